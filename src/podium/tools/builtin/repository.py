"""A git repository, read through the git command: files at a revision, history, search.

The repository is not trusted: its configuration and attributes must not run anything (no external diff, no textconv, no
fsmonitor, no hooks, no lazy fetch, no signature program), and no revision or path can become an option. Nothing
here writes to it.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Final, Self

import msgspec

from podium.core.errors import ConfigurationError

from .process import Output, run

INDEX: Final = ":0"
"""The revision name of what is staged."""
MAX_FILE_BYTES = 2 * 1024 * 1024
"""The largest file that `Repository.file_at` returns, in bytes."""

# Configuration of the repository that could run a program is switched off by name.
_SAFE = (
    "--no-pager",
    "--literal-pathspecs",
    *("-c", "core.quotepath=off"),
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "diff.external="),
    *("-c", "log.showSignature=false"),
    *("-c", "submodule.recurse=false"),
)
_HEX = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_OUTSIDE = "not inside a git repository: cd into one, or review a patch with --diff FILE or `-` for standard input"


class Commit(msgspec.Struct, frozen=True):
    """One commit of a history. `date` is ISO 8601 with its zone."""

    sha: str
    date: str
    author: str
    subject: str


class Blamed(msgspec.Struct, frozen=True):
    """One line of a file, and the commit that last changed it."""

    line: int
    sha: str
    author: str
    subject: str
    text: str


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
    def discover(cls, path: str | os.PathLike[str] = ".", *, timeout: float = 60.0) -> Self:
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

    def resolve(self, revision: str) -> str:
        """The full id of the commit that `revision` names. Raises `ConfigurationError` for an unknown one."""
        shown = printable(revision)
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
        return [text_of(name) for name in found.data.split(b"\0")[:limit] if name]

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
                path = text_of(parts[0]).removeprefix(f"{where[0]}:")
                matches.append(Match(path, int(parts[1]), text_of(parts[2])[:500]))
        return matches

    def patch(self, revisions: str, path: str = "", *, max_bytes: int = MAX_FILE_BYTES) -> str:
        """The difference that `A..B` or `A^!` (one commit) names, as a patch, cut after `max_bytes`."""
        left, dots, right = revisions.partition("..")
        if dots:
            base, head = self.resolve(left or "HEAD"), self.resolve(right or "HEAD")
        else:
            head = self.resolve(left.removesuffix("^!"))
            parent = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{head}^")
            base = self._empty_tree() if parent.code else text_of(parent.data).strip()
        only = (_inside(path),) if path else ()
        options = ("-p", "--stat", "--no-color", "--no-ext-diff", "--no-textconv", "--find-renames")
        return text_of(self._git("diff-tree", "-r", *options, base, head, "--", *only, max_bytes=max_bytes).data)

    def message(self, revision: str) -> str:
        """A commit's message."""
        options = ("--no-show-signature", "--no-patch", "--encoding=UTF-8", "--format=%B")
        return text_of(self._git("log", "-1", *options, self._id(revision), "--").data).strip()

    def blame(self, path: str, *, revision: str = "HEAD", start: int = 1, lines: int = 50) -> list[Blamed]:
        """Who last changed lines `start` to `start + lines - 1` of a file."""
        # The file that blame.ignoreRevsFile names may be any, and a line of it would be told in an error.
        where = ("--porcelain", "--no-textconv", "--no-ignore-revs-file", f"-L{start},+{lines}")
        found = text_of(self._git("blame", *where, "--no-progress", self._id(revision), "--", _inside(path)).data)
        told: dict[str, dict[str, str]] = {}
        blamed: list[Blamed] = []
        sha, number = "", 0
        for line in found.split("\n"):
            if line.startswith("\t"):
                of = told.get(sha, {})
                blamed.append(Blamed(number, sha, of.get("author", ""), of.get("summary", "")[:200], line[1:501]))
            elif (words := line.split(" ")) and _HEX.fullmatch(words[0]) and len(words) >= 3:
                sha, number = words[0], int(words[2])
                told.setdefault(sha, {})
            elif sha and " " in line:
                name, _, value = line.partition(" ")
                told[sha][name] = value
        return blamed

    def _empty_tree(self) -> str:
        # Asked for, not a constant: it differs between SHA-1 and SHA-256 repositories.
        return text_of(self._git("hash-object", "-t", "tree", "--stdin").data).strip()

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
        rows = (line.split("\0") for line in text_of(found.data).split("\n"))
        return [Commit(row[0], row[1], row[2], row[3][:500]) for row in rows if len(row) == 4]

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
            f"{printable(path)!r} is not a path inside the repository: write it from its top folder"
        )
    return "/".join(parts)


def printable(text: str) -> str:
    """Text that a terminal shows as it is, cut to one line."""
    return "".join(char if char.isprintable() else "?" for char in text[:200])


def text_of(data: bytes) -> str:
    """What git wrote, as text."""
    return data.decode("utf-8", "replace")
