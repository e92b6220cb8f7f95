"""A change under review, as frozen values: files, hunks, lines, commits, and what was left out.

This module knows nothing of git or of diff syntax: `diff` reads text into these values, `repository` and `pull_request`
fetch that text, the analysers and reports read the values.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from podium.tools.builtin.repository import INDEX, Commit

__all__ = ["INDEX", "Change", "Commit", "FileChange", "Hunk", "LeftOut", "Omitted", "Status"]


class Status(StrEnum):
    """What happened to a file."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"
    RENAMED = "renamed"
    COPIED = "copied"
    SUBMODULE = "submodule"
    TYPE_CHANGED = "type_changed"
    MODE = "mode"


class Hunk(msgspec.Struct, frozen=True, omit_defaults=True):
    """One hunk. Line numbers start at 1; `lines` keep their first character: space, `+`, `-` or backslash."""

    old_start: int
    old_lines: int
    new_start: int
    new_lines: int
    header: str = ""
    lines: tuple[str, ...] = ()

    def new_side(self) -> Iterator[tuple[int, str, bool]]:
        """`(line number, text, whether it was added)` for every line of the new version that the hunk shows."""
        number = self.new_start
        for line in self.lines:
            if line[0] in " +":
                yield number, line[1:], line[0] == "+"
                number += 1

    def added(self) -> Iterator[tuple[int, str]]:
        """`(line number in the new version, text)` of the added lines."""
        return ((number, text) for number, text, added in self.new_side() if added)

    def removed(self) -> Iterator[tuple[int, str]]:
        """`(line number in the old version, text)` of the removed lines."""
        number = self.old_start
        for line in self.lines:
            if line[0] == "-":
                yield number, line[1:]
            if line[0] in " -":
                number += 1


class FileChange(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happened to one file.

    `old_path` is where it was before a rename or copy, else empty. `additions` and `deletions` count the whole change,
    also when `hunks` were shortened by `bounds.bound`. Modes are git's six octal digits, empty when unchanged or
    unknown. `blob` is git's id of the new content and `size` its length in bytes; both may be unknown. `similarity` is
    in per cent.
    """

    path: str
    old_path: str = ""
    status: Status = Status.MODIFIED
    binary: bool = False
    additions: int = 0
    deletions: int = 0
    hunks: tuple[Hunk, ...] = ()
    old_mode: str = ""
    new_mode: str = ""
    similarity: int | None = None
    blob: str = ""
    size: int | None = None

    def added(self) -> Iterator[tuple[int, str]]:
        """`(line number in the new version, text)` of all added lines."""
        for hunk in self.hunks:
            yield from hunk.added()

    def added_lines(self) -> frozenset[int]:
        """The numbers of all added lines."""
        return frozenset(number for number, _ in self.added())

    def content(self) -> str | None:
        """The whole new text where the diff itself holds it: the file was added and nothing was left out."""
        if self.status is not Status.ADDED or self.binary or sum(h.new_lines for h in self.hunks) != self.additions:
            return None
        text = "".join(f"{line}\n" for _, line in self.added())
        unended = bool(self.hunks) and self.hunks[-1].lines[-1:] == (NO_NEWLINE,)
        return text[:-1] if unended else text


NO_NEWLINE = "\\ No newline at end of file"


class LeftOut(msgspec.Struct, frozen=True):
    """A file that is not shown, or (`partial`) only in part: how many lines of its diff are missing, and why."""

    path: str
    lines: int
    why: str
    partial: bool = False


class Omitted(msgspec.Struct, frozen=True):
    """Exactly what a bounded change leaves out. Falsy when that is nothing."""

    files: tuple[LeftOut, ...] = ()

    @property
    def lines(self) -> int:
        """How many lines of diff are missing altogether."""
        return sum(each.lines for each in self.files)

    def __bool__(self) -> bool:
        return bool(self.files)

    def __add__(self, other: Omitted) -> Omitted:
        return Omitted(self.files + other.files)

    def describe(self, *, limit: int = 20) -> str:
        """One line for people: what is missing, naming at most `limit` files; empty when nothing is."""
        if not self.files:
            return ""
        named = [f"{f.path} ({f.lines} lines{' of it' if f.partial else ''}, {f.why})" for f in self.files[:limit]]
        more = len(self.files) - limit
        tail = f", and {more} more" if more > 0 else ""
        partial = sum(f.partial for f in self.files)
        whole = len(self.files) - partial
        parts = [
            *([f"{whole} file{'' if whole == 1 else 's'}"] if whole else []),
            *([f"{partial} file{'' if partial == 1 else 's'} in part"] if partial else []),
        ]
        lines = f"{self.lines} line{'' if self.lines == 1 else 's'}"
        return f"left out {lines}: {' and '.join(parts)}: {', '.join(named)}{tail}"


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is reviewed.

    `base` and `head` are full revisions, `INDEX` for what is staged, or empty when unknown (a patch). `commits` are
    newest first. `notes` are sentences the reader of the review should see.
    """

    title: str = ""
    description: str = ""
    base: str = ""
    head: str = ""
    files: tuple[FileChange, ...] = ()
    commits: tuple[Commit, ...] = ()
    omitted: Omitted = Omitted()
    notes: tuple[str, ...] = ()

    @property
    def additions(self) -> int:
        """Lines added in all files."""
        return sum(file.additions for file in self.files)

    @property
    def deletions(self) -> int:
        """Lines removed in all files."""
        return sum(file.deletions for file in self.files)

    def file(self, path: str) -> FileChange | None:
        """The change of `path` (its new name, or its old one), or None."""
        return next((f for f in self.files if f.path == path), None) or next(
            (f for f in self.files if path and f.old_path == path), None
        )
