"""Unified diffs: text to a `Change` and back. A pure function of text; it runs no command and opens no file.

Reads what `git diff`, `git show`, `git format-patch`, `diff -u`, `hg diff` and `svn diff` write, with any junk around
it, and combined diffs of merges (reduced to the change against the first parent). It is written for hostile input:
hunks are read by their counts, numbers are bounded, bytes that are not UTF-8 are replaced.
Format: https://git-scm.com/docs/diff-format, section "Generating patch text with -p".
"""

from __future__ import annotations

import contextlib
import email.header
import re
from email.errors import MessageError

from msgspec.structs import replace

from podium.core.errors import ConfigurationError
from podium.review.change import NO_NEWLINE, Change, FileChange, Hunk, Status

_HUNK = re.compile(r"@@ -(\d{1,9})(?:,(\d{1,9}))? \+(\d{1,9})(?:,(\d{1,9}))? @@ ?(.*)", re.DOTALL)
_COMBINED = re.compile(r"(@{3,40})((?: -\d{1,9}(?:,\d{1,9})?)+) \+(\d{1,9})(?:,(\d{1,9}))? @{3,40} ?(.*)", re.DOTALL)
_SUBMODULE = re.compile(r"Submodule (.+) ([0-9a-f]{7,64})\.{2,3}([0-9a-f]{7,64})(?: \(.*\))?:?")
_INDEX = re.compile(r"index ([0-9a-f,]+)\.\.([0-9a-f]+)(?: (\d{6}))?")
_STAMP = re.compile(r"\s{2,}\d{4}-\d\d-\d\d.*$")
_PREFIXES = (("a/", "b/"), ("b/", "a/"), ("i/", "w/"), ("c/", "i/"), ("c/", "w/"), ("o/", "w/"), ("1/", "2/"))
_ESCAPES = {"a": 7, "b": 8, "t": 9, "n": 10, "v": 11, "f": 12, "r": 13, '"': 34, "\\": 92}
_GITLINK = "160000"


def decode(data: bytes) -> str:
    """Bytes of a patch as text: UTF-8 (bad bytes replaced), or UTF-16 where a byte-order mark says so."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8", "replace").removeprefix("\ufeff")


def parse(text: str | bytes, *, title: str = "", description: str = "", base: str = "", head: str = "") -> Change:
    """The change that a diff describes. Blank text is a change without files.

    Without `title`, the subject of a mail (`git format-patch`) before the diff is taken. Raises `ConfigurationError`
    when text that is not blank holds no diff at all.
    """
    source = decode(text) if isinstance(text, bytes) else text
    reader = _Reader(source)
    files = reader.read()
    if not files and source.strip():
        raise ConfigurationError(
            "there is no diff in this text: expected a patch as `git diff` or `diff -u` write it (`@@ -1,2 +1,3 @@`)"
        )
    return Change(title or reader.subject, description, base, head, tuple(files))


class _Draft:
    """A file being read. `plain` drafts come from `---`/`+++` lines alone, without a git header."""

    __slots__ = (
        "binary", "blob", "copied", "deleted", "hunks", "names", "new", "new_mode", "old", "old_mode", "plain",
        "renamed", "similarity", "strip", "strip_cr", "was_new",
    )  # fmt: skip

    def __init__(self, old: str, new: str, *, plain: bool, strip: bool) -> None:
        self.old, self.new, self.plain, self.strip = old, new, plain, strip
        self.names = self.was_new = self.deleted = self.renamed = self.copied = self.binary = self.strip_cr = False
        self.old_mode = self.new_mode = self.blob = ""
        self.similarity: int | None = None
        self.hunks: list[Hunk] = []

    def status(self) -> Status:
        if _GITLINK in (self.old_mode, self.new_mode):
            return Status.SUBMODULE
        if self.was_new:
            return Status.ADDED
        if self.deleted:
            return Status.DELETED
        if self.renamed:
            return Status.RENAMED
        if self.copied:
            return Status.COPIED
        if self.old_mode != self.new_mode and self.old_mode and self.new_mode and not self.hunks and not self.binary:
            return Status.MODE
        return Status.MODIFIED

    def finish(self) -> FileChange | None:
        path = self.old if self.deleted else self.new or self.old
        if not path:
            return None
        moved = (self.renamed or self.copied) and self.old != path
        signs = [line[0] for hunk in self.hunks for line in hunk.lines]
        return FileChange(
            path,
            self.old if moved else "",
            self.status(),
            self.binary,
            signs.count("+"),
            signs.count("-"),
            tuple(self.hunks),
            self.old_mode,
            self.new_mode,
            self.similarity,
            "" if not self.blob.strip("0") else self.blob,
        )


class _Reader:
    """One pass over the lines: headers open a draft, hunks fill it, everything else is junk and skipped."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        if self.lines[-1] == "":
            self.lines.pop()
        self.at = 0
        self.subject = ""
        self.draft: _Draft | None = None
        self.files: list[FileChange] = []

    def read(self) -> list[FileChange]:
        while self.at < len(self.lines):
            line = self.lines[self.at].rstrip("\r")
            self.at += 1
            self._line(line)
        self._flush()
        return self.files

    def _line(self, line: str) -> None:
        if line.startswith("diff --git "):
            self._open(*_header_names(line[11:]))
        elif line.startswith(("diff --cc ", "diff --combined ")):
            name = _unquote(line.split(" ", 2)[2])
            self._open(name, name, strip=False)
        elif line.startswith("--- ") and self._names_follow():
            self._names(line[4:], self.lines[self.at][4:])
        elif line.startswith("@@") and self.draft is not None and self.draft.names:
            self._hunk(line)
        elif self.draft is not None and not self.draft.plain and not self.draft.hunks and _extended(self.draft, line):
            pass
        elif line.startswith("Binary files ") and line.endswith(" differ"):
            self._binary(line)
        elif line.startswith("Submodule "):
            self._submodule(line)
        elif line.startswith("Subject: ") and not self.subject:
            self._subject(line[9:])

    def _open(self, old: str, new: str, strip: bool) -> None:
        self._flush()
        self.draft = _Draft(old, new, plain=False, strip=strip)

    def _names_follow(self) -> bool:
        # `--- x` alone is prose or a mail's separator: names come in pairs and a hunk follows them.
        following = self.lines[self.at : self.at + 2]
        return len(following) == 2 and following[0].startswith("+++ ") and following[1].startswith("@@")

    def _names(self, old: str, new: str) -> None:
        self.at += 1
        draft = self.draft
        if draft is None or draft.plain or draft.names:
            self._flush()
            self.draft = draft = _Draft("", "", plain=True, strip=False)
        draft.names = True
        draft.strip_cr = old.endswith("\r") or new.endswith("\r")
        old, new = _name(old.rstrip("\r")), _name(new.rstrip("\r"))
        gone, fresh = new == "/dev/null", old == "/dev/null"
        if draft.plain:
            old, new = _strip_pair(_STAMP.sub("", old), _STAMP.sub("", new))
            draft.was_new, draft.deleted = fresh, gone
        elif draft.strip:
            old, new = _strip(old), _strip(new)
        if not fresh and not draft.renamed and not draft.copied:
            draft.old = old
        if not gone and not draft.renamed and not draft.copied:
            draft.new = new
        if gone:
            draft.new = draft.old
        if fresh:
            draft.old = draft.new

    def _hunk(self, line: str) -> None:
        draft = self.draft
        assert draft is not None  # noqa: S101 - the only caller looked
        combined = _COMBINED.fullmatch(line) if line.startswith("@@@") else None
        found = None if combined else _HUNK.fullmatch(line)
        if combined:
            hunk = self._read_combined(combined)
        elif found:
            start, count, new_start, new_count, header = found.groups()
            hunk = self._read_hunk(int(start), _count(count), int(new_start), _count(new_count), header)
            if draft.plain and not draft.hunks:
                # `diff -N` has no /dev/null: an empty side at line 0 is a file that was not there.
                draft.was_new = draft.was_new or (hunk.old_start == 0 and _count(count) == 0)
                draft.deleted = draft.deleted or (hunk.new_start == 0 and _count(new_count) == 0)
        else:
            return
        if hunk.lines:
            draft.hunks.append(hunk)

    def _read_hunk(self, old_start: int, old_left: int, new_start: int, new_left: int, header: str) -> Hunk:
        draft = self.draft
        taken: list[str] = []
        old = new = 0
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if draft is not None and draft.strip_cr:
                line = line.removesuffix("\r")
            sign = line[:1] or " "  # mailers strip the space of an empty context line
            if sign == "\\" and taken:
                taken.append(NO_NEWLINE)
                self.at += 1
                continue
            if old >= old_left and new >= new_left:
                break
            if sign not in " +-" or (sign != "+" and old >= old_left) or (sign != "-" and new >= new_left):
                break
            old += sign != "+"
            new += sign != "-"
            taken.append(line or " ")
            self.at += 1
        return Hunk(old_start, old, new_start, new, header, tuple(taken))

    def _read_combined(self, found: re.Match[str]) -> Hunk:
        """A hunk of a merge, as it reads against the first parent alone."""
        parents = len(found[1]) - 1
        old_start = int(found[2].split()[0][1:].split(",")[0])
        left = _count(found[4])
        taken: list[str] = []
        old = new = 0
        while self.at < len(self.lines):
            line = self.lines[self.at]
            signs = line[:parents]
            if line.startswith("\\") and taken:
                self.at += 1
                continue
            if len(signs) < parents or signs.strip(" +-") or (new >= left and "-" not in signs):
                break
            self.at += 1
            if "-" in signs:
                if signs[0] == "-":
                    taken.append("-" + line[parents:])
                    old += 1
                continue
            new += 1
            old += signs[0] == " "
            taken.append(signs[0] + line[parents:])
        return Hunk(old_start, old, int(found[3]), new, found[5], tuple(taken))

    def _binary(self, line: str) -> None:
        if self.draft is not None and not self.draft.plain:
            self.draft.binary = True
            return
        old, _, new = line.removeprefix("Binary files ").removesuffix(" differ").partition(" and ")
        self._flush()
        draft = _Draft(*_strip_pair(_name(old), _name(new)), plain=True, strip=False)
        draft.binary, draft.was_new, draft.deleted = True, old == "/dev/null", new == "/dev/null"
        self.draft = draft

    def _submodule(self, line: str) -> None:
        found = _SUBMODULE.fullmatch(line)
        if found is None:
            return
        self._flush()
        old, new = found[2], found[3]
        was, becomes = bool(old.strip("0")), bool(new.strip("0"))
        lines = [f"-Subproject commit {old}"] * was + [f"+Subproject commit {new}"] * becomes
        hunk = Hunk(int(was), int(was), int(becomes), int(becomes), "", tuple(lines))
        self.files.append(
            FileChange(
                found[1], "", Status.SUBMODULE, False, int(becomes), int(was), (hunk,),
                _GITLINK if was else "", _GITLINK if becomes else "",
            )
        )  # fmt: skip

    def _subject(self, raw: str) -> None:
        at = self.at
        while at < len(self.lines) and self.lines[at].startswith((" ", "\t")) and at - self.at < 20:
            raw += " " + self.lines[at].strip()
            at += 1
        with contextlib.suppress(LookupError, ValueError, MessageError):  # else the raw subject is still a title
            raw = str(email.header.make_header(email.header.decode_header(raw)))
        self.subject = re.sub(r"^\[[^\]]{0,80}\]\s*", "", raw.strip())[:300]

    def _flush(self) -> None:
        draft, self.draft = self.draft, None
        file = draft.finish() if draft is not None else None
        if file is None:
            return
        last = self.files[-1] if self.files else None
        if last is not None and _changes_type(last, file):
            self.files[-1] = replace(
                file, status=Status.TYPE_CHANGED, old_mode=last.old_mode, hunks=last.hunks + file.hunks,
                deletions=last.deletions + file.deletions, additions=last.additions + file.additions,
                binary=last.binary or file.binary,
            )  # fmt: skip
        else:
            self.files.append(file)


def _changes_type(last: FileChange, file: FileChange) -> bool:
    # git writes a file that became a link (or back) as a deletion followed by a creation.
    return (
        last.path == file.path
        and last.status in (Status.DELETED, Status.SUBMODULE)
        and file.status in (Status.ADDED, Status.SUBMODULE)
        and bool(last.old_mode and file.new_mode)
        and not last.new_mode
        and not file.old_mode
        and last.old_mode[:3] != file.new_mode[:3]
    )


def _extended(draft: _Draft, line: str) -> bool:
    """Whether `line` was one of git's extended header lines; what it says goes into `draft`."""
    if line.startswith("old mode "):
        draft.old_mode = line[9:15]
    elif line.startswith("new mode "):
        draft.new_mode = line[9:15]
    elif line.startswith("new file mode "):
        draft.was_new, draft.new_mode = True, line[14:20]
    elif line.startswith("deleted file mode "):
        draft.deleted, draft.old_mode = True, line[18:24]
    elif line.startswith("rename from "):
        draft.renamed, draft.old = True, _unquote(line[12:])
    elif line.startswith("rename to "):
        draft.renamed, draft.new = True, _unquote(line[10:])
    elif line.startswith("copy from "):
        draft.copied, draft.old = True, _unquote(line[10:])
    elif line.startswith("copy to "):
        draft.copied, draft.new = True, _unquote(line[8:])
    elif line.startswith("similarity index ") and line[17:-1].isdecimal() and len(line) <= 21:
        draft.similarity = int(line[17:-1])
    elif line.startswith("GIT binary patch"):
        draft.binary = True
    elif found := _INDEX.fullmatch(line):
        draft.blob = found[2]
        if found[3] == _GITLINK:
            draft.old_mode = draft.new_mode = _GITLINK
    else:
        return False
    return True


def _count(digits: str | None) -> int:
    return 1 if digits is None else int(digits)


def _header_names(rest: str) -> tuple[str, str, bool]:
    """The two names of `diff --git X Y`, and whether they carry a prefix to strip."""
    if rest.endswith('"') or rest.startswith('"'):
        old, new = _split_quoted(rest)
    else:
        # Names with spaces are ambiguous, except that both halves are equal when nothing was renamed; for renames
        # the `rename from`/`rename to` lines speak.
        middle = len(rest) // 2
        old, new = rest[:middle], rest[middle + 1 :]
        if rest[middle : middle + 1] != " " or (old != new and _strip(old) != _strip(new)):
            cut = rest.find(" b/")
            old, new = (rest[:cut], rest[cut + 1 :]) if cut > 0 else (rest.partition(" ")[0], rest.partition(" ")[2])
    if old == new:
        return old, new, False
    return _strip(old), _strip(new), True


def _split_quoted(rest: str) -> tuple[str, str]:
    if rest.startswith('"'):
        end = re.match(r'"(?:[^"\\]|\\.)*"', rest)
        if end is None:
            return rest, rest
        return _unquote(end[0]), _unquote(rest[end.end() :].strip(" "))
    old, _, new = rest.partition(' "')
    return old, _unquote('"' + new)


def _strip(name: str) -> str:
    return name if name == "/dev/null" else name.partition("/")[2] or name


def _strip_pair(old: str, new: str) -> tuple[str, str]:
    """Names of a patch without git header: known prefixes are stripped, others kept; the new name is the file's."""
    null = "/dev/null"
    for a, b in _PREFIXES:
        if (old == null or old.startswith(a)) and (new == null or new.startswith(b)):
            return old.removeprefix(a), new.removeprefix(b)
    return old, new


def _name(text: str) -> str:
    """The file name of a `---` or `+++` line, without the time stamp that may follow it."""
    if text.startswith('"'):
        found = re.match(r'"(?:[^"\\]|\\.)*"', text)
        return _unquote(found[0]) if found else text
    return text.split("\t", 1)[0]


def _unquote(text: str) -> str:
    """A path as git quotes it in C style; text that is not quoted is returned as it is."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    body = text[1:-1].encode("utf-8", "replace")
    out = bytearray()
    at = 0
    while at < len(body):
        if body[at] != 0x5C or at + 1 == len(body):
            out.append(body[at])
            at += 1
            continue
        octal = re.match(rb"[0-3][0-7]{2}", body[at + 1 : at + 4])
        if octal:
            out.append(int(octal[0], 8))
            at += 4
        else:
            out.append(_ESCAPES.get(chr(body[at + 1]), body[at + 1]))
            at += 2
    return out.decode("utf-8", "replace")
