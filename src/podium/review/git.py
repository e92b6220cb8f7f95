"""The changes of the repository one stands in, read through the git command.

How git is run without trusting the repository is `podium.tools.builtin.repository`'s business, and what a diff says is
`diff`'s; this module only fetches the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec.structs import replace

from podium.core.errors import ConfigurationError
from podium.review.change import INDEX, Change, FileChange, LeftOut, Omitted, Status
from podium.review.diff import parse
from podium.tools.builtin.repository import Repository as Readable
from podium.tools.builtin.repository import printable, text_of

MAX_DIFF_BYTES = 16 * 1024 * 1024
"""How much of a diff is read. What lies behind it is named in `Change.omitted`."""
_MAX_COMMITS = 200

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


class Repository(Readable):
    """A git repository, and the changes made in it. Raises what its base does."""

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

    def _staged(self) -> Change:
        head = self._run("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        base = text_of(head.data).strip() if not head.code else self._empty_tree()
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
            raise ConfigurationError(f"{printable(text)!r} is not a range: write A..B or A...B")
        start, head = self.resolve(left or "HEAD"), self.resolve(right or "HEAD")
        parted = self._run("merge-base", start, head)
        ancestor = text_of(parted.data).split("\n", 1)[0]
        base, notes = start, ()
        if dots == "...":
            if parted.code or not ancestor:
                raise ConfigurationError(
                    f"{printable(text)!r}: the two have no common commit (a shallow clone? git fetch)"
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
            if text_of(counts[2]) not in seen:
                why = f"the diff is larger than {MAX_DIFF_BYTES // 1024 // 1024} MiB"
                left.append(LeftOut(text_of(counts[2]), lines, why))
        return Omitted(tuple(left))

    def _measured(self, files: list[FileChange]) -> Iterable[FileChange]:
        """The files with the size of their new content where it is cheap to know and matters: new and binary ones."""
        gone = (Status.SUBMODULE, Status.DELETED)
        wanted = {f.blob for f in files if f.blob and f.status not in gone and (f.binary or f.status is Status.ADDED)}
        if not wanted:
            return files
        asked = "".join(f"{blob}\n" for blob in sorted(wanted)).encode()
        sizes: dict[str, int] = {}
        for line in text_of(self._git("cat-file", "--batch-check", stdin=asked).data).splitlines():
            parts = line.split(" ")
            if len(parts) == 3 and parts[2].isdecimal():
                sizes[parts[0]] = int(parts[2])
        return (replace(file, size=sizes[file.blob]) if file.blob in sizes else file for file in files)

    def _parents(self, sha: str) -> list[str]:
        # The raw object: unlike `rev-list` it names parents that a shallow clone has cut off.
        raw = text_of(self._git("cat-file", "commit", sha).data)
        header = raw.partition("\n\n")[0]
        parents = [line[7:] for line in header.split("\n") if line.startswith("parent ")]
        if parents and self._run("cat-file", "-e", f"{parents[0]}^{{tree}}").code:
            raise ConfigurationError(
                f"the parent of {sha[:12]} is not here, this clone is shallow: "
                "git fetch --deepen=1 (in CI, check out with a depth of at least 2)"
            )
        return parents

    def _message(self, sha: str) -> str:
        return text_of(
            self._git("log", "-1", "--no-show-signature", "--encoding=UTF-8", "--format=%s%n%b", sha, "--").data
        )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
