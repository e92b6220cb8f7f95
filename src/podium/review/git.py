"""The repository one stands in, read through the git command: changes, files at a revision, history, search.

The repository is not trusted: its configuration and attributes must not run anything (no external diff, no textconv, no
fsmonitor, no hooks, no lazy fetch, no signature program), and no revision or path can become an option. Nothing
here writes to it. What a diff says is `diff`'s business; this module only fetches the text.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from podium.core.errors import ConfigurationError
from podium.review.change import INDEX, Change, Commit, FileChange, LeftOut, Omitted, Status
from podium.review.diff import parse
from podium.review.process import Output, run

MAX_DIFF_BYTES = 16 * 1024 * 1024
"""How much of a diff is read. What lies behind it is named in `Change.omitted`."""
MAX_FILE_BYTES = 2 * 1024 * 1024
"""The largest file that `Repository.file_at` returns, in bytes."""
_MAX_COMMITS = 200

# Configuration of the reviewed repository that could run a program is switched off by name.
_SAFE = (
    "--no-pager",
    "--literal-pathspecs",
    *("-c", "core.quotepath=off"),
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "diff.external="),
    *("-c", "log.showSignature=false"),
)
# Plumbing plus explicit options: `diff.*` settings of a user must not change what we parse.
_DIFF = (
    *(
        "-p",
        "--full-index",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--no-relative",
        "--find-renames",
        "-l1000",
    ),
    *("--src-prefix=a/", "--dst-prefix=b/", "--unified=3", "--submodule=short", "--ignore-submodules=none"),
)
_HEX = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_OUTSIDE = "not inside a git repository: cd into one, or review a patch with --diff FILE or `-` for standard input"


class Match(msgspec.Struct, frozen=True):
    """One line found by `Repository.search`."""

    path: str
    line: int
    text: str


class Repository:
    """A git repository, read-only. `root` is its top folder; `timeout` bounds each git command, in seconds.

    Every method may raise `ConfigurationError` with one line that says what git could not do.
    """

    def __init__(self, root: str | os.PathLike[str], *, timeout: float = 60.0) -> None:
        self.root = Path(root)
        self.timeout = timeout

    @classmethod
    def discover(cls, path: str | os.PathLike[str] = ".", *, timeout: float = 60.0) -> Repository:
        """The repository that holds `path`. Raises `ConfigurationError` outside of one, or without git."""
        start = Path(path)
        if not start.is_dir():
            raise ConfigurationError(f"{start} is not a folder")
        here = cls(start, timeout=timeout)
        found = here._run("rev-parse", "--show-toplevel")
        if found.code:
            # A bare repository has commits to review, but no top folder.
            found = here._run("rev-parse", "--absolute-git-dir")
        if found.code:
            if "dubious ownership" in found.error:
                raise ConfigurationError(
                    f"git does not trust this repository, it belongs to another user: "
                    f"git config --global --add safe.directory {start.resolve()}"
                )
            raise ConfigurationError(_OUTSIDE)
        return cls(found.data.decode("utf-8", "surrogateescape").removesuffix("\n"), timeout=timeout)

    def change(self, revisions: str | None = None, *, staged: bool = False) -> Change:
        """What `revisions` did: one commit (default: the last), `A..B`, `A...B` (since they parted); or what is staged.

        A commit is compared with its first parent, the first commit with nothing. A range without difference is a
        change without files. Titles and descriptions come from the commits' messages.
        """
        if staged:
            if revisions:
                raise ConfigurationError("review either what is staged or a range, not both")
            return self._staged()
        text = (revisions or "HEAD").strip()
        if ".." in text:
            return self._range(text)
        return self._commit(self.resolve(text.removesuffix("^!")))

    def resolve(self, revision: str) -> str:
        """The full id of the commit that `revision` names. Raises `ConfigurationError` for an unknown one."""
        shown = _printable(revision)
        if not revision or revision.startswith("-") or "\0" in revision or "\n" in revision:
            raise ConfigurationError(f"{shown!r} is not a revision: name a commit, branch, tag, or a range A..B")
        found = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        sha = found.data.decode("ascii", "replace").strip()
        if found.code or not _HEX.fullmatch(sha):
            if revision == "HEAD":
                raise ConfigurationError("this repository has no commit yet: `git add` files and use --staged")
            raise ConfigurationError(f"unknown revision {shown!r}: `git log --oneline --all` lists what there is")
        return sha

    def has(self, revision: str) -> bool:
        """Whether the commit `revision` is here (for instance the head of a pull request)."""
        try:
            self.resolve(revision)
        except ConfigurationError:
            return False
        return True

    def file_at(self, path: str, revision: str = "HEAD", *, max_bytes: int = MAX_FILE_BYTES) -> str | None:
        """The text of `path` at `revision` (`INDEX`: as staged).

        None when there is no such file, or when it is binary, a submodule, or larger than `max_bytes`. A link is its
        target's name. Bytes that are not UTF-8 are replaced. Raises `ConfigurationError` for a path that leads outside.
        """
        inside = _inside(path)
        commit = INDEX if revision == INDEX else self._id(revision)
        found = self._run("cat-file", "blob", f"{commit}:{inside}", max_bytes=max_bytes)
        if found.truncated or found.code or b"\0" in found.data[:8000]:
            return None
        return found.data.decode("utf-8", "replace")

    def files(self, revision: str = "HEAD", *, limit: int = 20_000) -> list[str]:
        """The paths of all files at `revision` (or `INDEX`), at most `limit`."""
        if revision == INDEX:
            found = self._git("ls-files", "-z", "--cached")
        else:
            found = self._git("ls-tree", "-r", "-z", "--name-only", "--full-tree", self._id(revision))
        return [_text(name) for name in found.data.split(b"\0")[:limit] if name]

    def history(self, path: str = "", *, limit: int = 20, revision: str = "HEAD") -> list[Commit]:
        """The last commits up to `revision`, newest first; with `path` those that changed it, also before a rename."""
        name = "HEAD" if revision == INDEX else revision
        only = ("--follow",) if path else ()
        return self._log(self._id(name), *only, limit=limit, paths=(_inside(path),) if path else ())

    def search(self, text: str, *, revision: str = "HEAD", limit: int = 50) -> list[Match]:
        """Lines that contain `text` literally, in the text files at `revision` (or `INDEX`), at most `limit`."""
        if not text or "\n" in text or "\0" in text:
            raise ConfigurationError("search for a text within one line")
        where = ("--cached",) if revision == INDEX else (self._id(revision),)
        options = ("-n", "-I", "-F", "-z", "--no-color", "--no-textconv", "--full-name", "--threads=1")
        cached = where if revision == INDEX else ()
        commit = () if revision == INDEX else where
        found = self._run("grep", *options, *cached, "-e", text, *commit, "--", max_bytes=1024 * 1024)
        if found.code not in (0, 1) and not found.truncated:
            raise ConfigurationError(f"git grep: {found.complaint}")
        matches: list[Match] = []
        for line in found.data.split(b"\n"):
            parts = line.split(b"\0", 2)
            if len(parts) == 3 and parts[1].isdigit() and len(matches) < limit:
                path = _text(parts[0]).removeprefix(f"{where[0]}:")
                matches.append(Match(path, int(parts[1]), _text(parts[2])[:500]))
        return matches

    def _staged(self) -> Change:
        head = self._run("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        base = _text(head.data).strip() if not head.code else self._empty_tree()
        files, omitted = self._diff("diff-index", "--cached", base)
        return Change("staged changes", "", base, INDEX, files, (), omitted)

    def _commit(self, sha: str) -> Change:
        parents = self._parents(sha)
        base = parents[0] if parents else self._empty_tree()
        files, omitted = self._diff("diff-tree", "-r", base, sha)
        subject, _, body = self._message(sha).partition("\n")
        notes = ("a merge commit, compared with its first parent",) if len(parents) > 1 else ()
        return Change(subject, body.strip(), base, sha, files, tuple(self._log(sha, limit=1)), omitted, notes)

    def _range(self, text: str) -> Change:
        left, dots, right = re.split(r"(\.{2,3})", text, maxsplit=1)
        if ".." in right:
            raise ConfigurationError(f"{_printable(text)!r} is not a range: write A..B or A...B")
        start, head = self.resolve(left or "HEAD"), self.resolve(right or "HEAD")
        parted = self._run("merge-base", start, head)
        ancestor = _text(parted.data).split("\n", 1)[0]
        base, notes = start, ()
        if dots == "...":
            if parted.code or not ancestor:
                raise ConfigurationError(
                    f"{_printable(text)!r}: the two have no common commit (a shallow clone? git fetch)"
                )
            base = ancestor
        elif ancestor != start:
            ours, theirs = left or "HEAD", right or "HEAD"
            only = f"{left}...{right} shows only what {theirs} did since they parted"
            notes = (f"{ours} has commits that {theirs} lacks; here they read as undone. {only}",)
        files, omitted = self._diff("diff-tree", "-r", base, head)
        commits = tuple(self._log(head, f"^{base}", limit=_MAX_COMMITS))
        title = commits[0].subject if len(commits) == 1 else f"{text} ({_plural(len(commits), 'commit')})"
        if len(commits) == 1:
            description = self._message(commits[0].sha).partition("\n")[2].strip()
        else:
            description = "\n".join(f"{commit.sha[:12]} {commit.subject}" for commit in commits)
        return Change(title, description, base, head, files, commits, omitted, notes)

    def _diff(self, *command: str) -> tuple[tuple[FileChange, ...], Omitted]:
        name, *rest = command
        found = self._git(name, *_DIFF, *rest, "--", max_bytes=MAX_DIFF_BYTES)
        if not found.data.strip():
            return (), Omitted()
        files = list(parse(found.data).files)
        omitted = Omitted()
        if found.truncated:
            files.pop()  # the last one was cut somewhere
            omitted = self._beyond(command, {file.path for file in files})
        return tuple(self._measured(files)), omitted

    def _beyond(self, command: tuple[str, ...], seen: set[str]) -> Omitted:
        """The files of a diff that was too large to read to its end."""
        name, *rest = command
        options = [option for option in _DIFF if option != "-p"]
        stats = self._git(name, "--numstat", "-z", *options, *rest, "--", max_bytes=MAX_DIFF_BYTES)
        fields = iter(stats.data.split(b"\0"))
        left: list[LeftOut] = []
        for field in fields:
            counts = field.split(b"\t", 2)
            if len(counts) < 3:
                continue
            if not counts[2]:  # a rename: the old and the new name follow
                next(fields, b"")
                counts[2] = next(fields, b"")
            lines = sum(int(count) for count in counts[:2] if count.isdigit())
            if _text(counts[2]) not in seen:
                why = f"the diff is larger than {MAX_DIFF_BYTES // 1024 // 1024} MiB"
                left.append(LeftOut(_text(counts[2]), lines, why))
        return Omitted(tuple(left))

    def _measured(self, files: list[FileChange]) -> Iterable[FileChange]:
        """The files with the size of their new content where it is cheap to know and matters: new and binary ones."""
        gone = (Status.SUBMODULE, Status.DELETED)
        wanted = {f.blob for f in files if f.blob and f.status not in gone and (f.binary or f.status is Status.ADDED)}
        if not wanted:
            return files
        asked = "".join(f"{blob}\n" for blob in sorted(wanted)).encode()
        sizes: dict[str, int] = {}
        for line in _text(self._git("cat-file", "--batch-check", stdin=asked).data).splitlines():
            parts = line.split(" ")
            if len(parts) == 3 and parts[2].isdecimal():
                sizes[parts[0]] = int(parts[2])
        return (replace(file, size=sizes[file.blob]) if file.blob in sizes else file for file in files)

    def _parents(self, sha: str) -> list[str]:
        # The raw object: unlike `rev-list` it names parents that a shallow clone has cut off.
        raw = _text(self._git("cat-file", "commit", sha).data)
        header = raw.partition("\n\n")[0]
        parents = [line[7:] for line in header.split("\n") if line.startswith("parent ")]
        if parents and self._run("cat-file", "-e", f"{parents[0]}^{{tree}}").code:
            raise ConfigurationError(
                f"the parent of {sha[:12]} is not here, this clone is shallow: "
                "git fetch --deepen=1 (in CI, check out with a depth of at least 2)"
            )
        return parents

    def _message(self, sha: str) -> str:
        return _text(
            self._git("log", "-1", "--no-show-signature", "--encoding=UTF-8", "--format=%s%n%b", sha, "--").data
        )

    def _log(self, *revisions: str, limit: int, paths: tuple[str, ...] = ()) -> list[Commit]:
        form = "--format=%H%x00%aI%x00%an%x00%s"
        options = (
            "--no-show-signature",
            "--no-color",
            "--encoding=UTF-8",
            "--no-ext-diff",
            "--no-textconv",
            "--no-patch",
        )
        found = self._git("log", *options, form, f"--max-count={max(limit, 0)}", *revisions, "--", *paths)
        rows = (line.split("\0") for line in _text(found.data).split("\n"))
        return [Commit(row[0], row[1], row[2], row[3][:500]) for row in rows if len(row) == 4]

    def _empty_tree(self) -> str:
        # Asked for, not a constant: it differs between SHA-1 and SHA-256 repositories.
        return _text(self._git("hash-object", "-t", "tree", "--stdin").data).strip()

    def _id(self, revision: str) -> str:
        return revision if _HEX.fullmatch(revision) else self.resolve(revision)

    def _git(self, *arguments: str, max_bytes: int = 8 * 1024 * 1024, stdin: bytes = b"") -> Output:
        found = self._run(*arguments, max_bytes=max_bytes, stdin=stdin)
        if found.code and not found.truncated:
            raise ConfigurationError(f"git {arguments[0]}: {found.complaint}")
        return found

    def _run(self, *arguments: str, max_bytes: int = 1024 * 1024, stdin: bytes = b"") -> Output:
        command = ["git", *_SAFE, *arguments]
        try:
            return run(
                command, cwd=self.root, env=_environment(), timeout=self.timeout, max_bytes=max_bytes, stdin=stdin
            )
        except FileNotFoundError:
            if shutil.which("git") is None:
                raise ConfigurationError(
                    "git is not installed, or not on PATH: install it, or use --diff FILE"
                ) from None
            raise ConfigurationError(f"the folder {self.root} is gone") from None


def _environment() -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if name not in ("GIT_EXTERNAL_DIFF", "GIT_PAGER")}
    # A promisor remote may name any transport, so a missing object stays missing instead of being fetched.
    return env | {
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "LC_ALL": "C",
    }


def _inside(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or not parts or "\0" in path:
        raise ConfigurationError(
            f"{_printable(path)!r} is not a path inside the repository: write it from its top folder"
        )
    return "/".join(parts)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:200])


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
