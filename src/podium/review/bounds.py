"""Cutting a change down to what reviewers can read, and saying exactly what was left out.

Hand-written source comes first, then tests, configuration, documentation and data; lock, generated and vendored files
are the first to go. A file that is too long loses its last hunks (or the rest of a hunk), never its name or its counts.
"""

from __future__ import annotations

from msgspec.structs import replace

from podium.review.change import Change, FileChange, Hunk, LeftOut, Omitted
from podium.review.paths import Kind, kind_of, rank_of


def bound(
    change: Change,
    *,
    max_lines: int = 4000,
    max_file_lines: int = 1200,
    max_bytes: int = 400_000,
    max_files: int = 1000,
) -> tuple[Change, Omitted]:
    """`change` with at most `max_lines` lines of diff (`max_file_lines` a file), `max_bytes` and `max_files`.

    Returns the bounded change, whose `omitted` also holds what it lacked before, and that same value. Files keep
    their order. A change that fits is returned as it is.
    """
    kinds = {id(file): kind_of(file) for file in change.files}
    order = sorted(range(len(change.files)), key=lambda i: _importance(change.files[i], kinds[id(change.files[i])], i))
    kept: dict[int, FileChange] = {}
    left_out: list[LeftOut] = []
    lines, size = max_lines, max_bytes
    for index in order:
        file = change.files[index]
        total = _length(file)
        if len(kept) >= max_files:
            left_out.append(LeftOut(file.path, total, f"more than {max_files} files"))
            continue
        shown, used, used_bytes = _cut(file, min(lines, max_file_lines), size)
        if total and not used:
            left_out.append(LeftOut(file.path, total, _why(kinds[id(file)], "the diff is too large")))
            continue
        if used < total:
            left_out.append(
                LeftOut(file.path, total - used, _why(kinds[id(file)], "the file's diff is too long"), True)
            )
        kept[index] = shown
        lines -= used
        size -= used_bytes
    if not left_out:
        return change, change.omitted
    omitted = change.omitted + Omitted(tuple(sorted(left_out, key=lambda each: -each.lines)))
    return replace(change, files=tuple(kept[i] for i in sorted(kept)), omitted=omitted), omitted


def _importance(file: FileChange, kind: Kind, index: int) -> tuple[bool, int, int, int]:
    # Within a kind short diffs go first, so that one huge file does not push out fifty small ones.
    length = _length(file)
    return (length > 0, rank_of(kind), length, index)


def _why(kind: Kind, otherwise: str) -> str:
    return otherwise if kind.written else f"{kind} file"


def _length(file: FileChange) -> int:
    return sum(len(hunk.lines) for hunk in file.hunks)


def _cut(file: FileChange, max_lines: int, max_bytes: int) -> tuple[FileChange, int, int]:
    hunks: list[Hunk] = []
    used = used_bytes = 0
    for hunk in file.hunks:
        fits = 0
        for line in hunk.lines:
            cost = len(line) + 1
            if used + fits >= max_lines or used_bytes + cost > max_bytes:
                break
            fits += 1
            used_bytes += cost
        used += fits
        if fits == len(hunk.lines):
            hunks.append(hunk)
            continue
        if fits:
            hunks.append(_head(hunk, fits))
        return replace(file, hunks=tuple(hunks)), used, used_bytes
    return file, used, used_bytes


def _head(hunk: Hunk, count: int) -> Hunk:
    lines = hunk.lines[:count]
    old = sum(line[0] in " -" for line in lines)
    new = sum(line[0] in " +" for line in lines)
    return replace(hunk, lines=lines, old_lines=old, new_lines=new)
