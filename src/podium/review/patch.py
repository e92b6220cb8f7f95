"""Diff text from values: for a reader (`listing`), for tools that eat patches (`render`); a patch applied (`patched`).

The inverse of `diff`. Pure functions of values; they know no repository.
"""

from __future__ import annotations

from collections.abc import Iterator

from podium.review.change import NO_NEWLINE, Change, FileChange, Hunk, Status

_LETTERS = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}


def render(change: Change) -> str:
    """The change as `git diff` writes it. `diff.parse` reads it back (all but sizes, commits and what was left out)."""
    return "".join(f"{line}\n" for file in change.files for line in _file(file))


def listing(file: FileChange) -> str:
    """The file's diff with the line numbers of the new version before each line, for people and models to cite.

    The first line names the file and what happened to it; removed lines have no number.
    """
    moved = f" (from {file.old_path})" if file.old_path else ""
    kind = " binary" if file.binary else ""
    size = f", {file.size} bytes" if file.size is not None else ""
    out = [f"{file.path}: {file.status}{kind}{moved}, +{file.additions} -{file.deletions}{size}"]
    if file.old_mode and file.new_mode and file.old_mode != file.new_mode:
        out.append(f"mode {file.old_mode} -> {file.new_mode}")
    for hunk in file.hunks:
        out.append(f"@@ line {hunk.new_start} @@ {hunk.header}".rstrip())
        number = hunk.new_start
        for line in hunk.lines:
            if line[0] in " +":
                out.append(f"{number:>6} {line}")
                number += 1
            else:
                out.append(f"       {line}")
    return "\n".join(out)


def patched(old: str, file: FileChange) -> str | None:
    """`old` with the file's hunks applied; None when they do not fit exactly where they say, or nothing is to apply."""
    if file.binary or not file.hunks:
        return None
    before = _split(old)
    after: list[str] = []
    at = 0
    for hunk in file.hunks:
        start = hunk.old_start - 1 if hunk.old_lines else hunk.old_start
        removed, added = _sides(hunk)
        if start < at or before[start : start + len(removed)] != removed:
            return None
        after += before[at:start] + added
        at = start + len(removed)
    if at > len(before):
        return None
    return "".join(after + before[at:])


def _split(text: str) -> list[str]:
    lines = [f"{line}\n" for line in text.split("\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines


def _sides(hunk: Hunk) -> tuple[list[str], list[str]]:
    old: list[str] = []
    new: list[str] = []
    last = ""
    for line in hunk.lines:
        if line == NO_NEWLINE:
            for side, signs in ((old, " -"), (new, " +")):
                if last in signs and side:
                    side[-1] = side[-1].removesuffix("\n")
            continue
        last = line[0]
        if last in " -":
            old.append(line[1:] + "\n")
        if last in " +":
            new.append(line[1:] + "\n")
    return old, new


def _file(file: FileChange) -> Iterator[str]:
    if file.status is Status.TYPE_CHANGED:
        gone = tuple(h for h in file.hunks if not h.new_lines)
        fresh = tuple(h for h in file.hunks if h.new_lines)
        yield from _file(FileChange(file.path, "", Status.DELETED, hunks=gone, old_mode=file.old_mode))
        yield from _file(FileChange(file.path, "", Status.ADDED, file.binary, hunks=fresh, new_mode=file.new_mode))
        return
    old, new = quote("a/" + (file.old_path or file.path)), quote("b/" + file.path)
    yield f"diff --git {old} {new}"
    yield from _extended(file)
    if file.binary:
        yield f"Binary files {old} and {new} differ"
    if not file.hunks:
        return
    yield f"--- {'/dev/null' if not _was(file) else _ended(old)}"
    yield f"+++ {'/dev/null' if not _is(file) else _ended(new)}"
    for hunk in file.hunks:
        tail = f" {hunk.header}" if hunk.header else ""
        yield f"@@ -{hunk.old_start},{hunk.old_lines} +{hunk.new_start},{hunk.new_lines} @@{tail}"
        yield from hunk.lines


def _was(file: FileChange) -> bool:
    return file.status is not Status.ADDED and not (file.status is Status.SUBMODULE and not file.old_mode)


def _is(file: FileChange) -> bool:
    return file.status is not Status.DELETED and not (file.status is Status.SUBMODULE and not file.new_mode)


def _extended(file: FileChange) -> Iterator[str]:
    if not _was(file):
        yield f"new file mode {file.new_mode or '100644'}"
    elif not _is(file):
        yield f"deleted file mode {file.old_mode or '100644'}"
    elif file.old_mode and file.new_mode:
        yield f"old mode {file.old_mode}"
        yield f"new mode {file.new_mode}"
    if file.similarity is not None:
        yield f"similarity index {file.similarity}%"
    word = {Status.RENAMED: "rename", Status.COPIED: "copy"}.get(file.status)
    if word:
        yield f"{word} from {quote(file.old_path)}"
        yield f"{word} to {quote(file.path)}"
    if file.blob:
        yield f"index {'0' * len(file.blob)}..{file.blob}"


def _ended(name: str) -> str:
    # git ends a name that holds a space with a tab, so that readers do not take the rest for a time stamp.
    return f"{name}\t" if " " in name and not name.startswith('"') else name


def quote(path: str) -> str:
    """`path` in git's C style quotes where it holds control characters, quotes or backslashes; else as it is."""
    if not any(ord(c) < 32 or c in '"\\\x7f' for c in path):
        return path
    out: list[str] = []
    for char in path:
        code = ord(char)
        if code in _LETTERS:
            out.append("\\" + _LETTERS[code])
        elif code < 32 or code == 127:
            out.append(f"\\{code:03o}")
        else:
            out.append(char)
    return '"' + "".join(out) + '"'
