"""Files into and out of a work dir whose owner is hostile: no link is followed, nothing but plain files is read."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEPTH = 32
_LOOKED_AT = 20_000


def put(work: str, files: Mapping[str, bytes], owner: int) -> None:
    """Write `files` (relative names, checked by the host) below `work`, owned by `owner`. OSError when one is there."""
    for name, content in files.items():
        *folders, last = name.split("/")
        current = os.open(work, _FOLDER)
        try:
            for folder in folders:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder, 0o700, dir_fd=current)
                    os.chown(folder, owner, owner, dir_fd=current, follow_symlinks=False)
                below = os.open(folder, _FOLDER, dir_fd=current)
                os.close(current)
                current = below
            made = os.open(
                last, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=current
            )
            with open(made, "wb") as file:
                file.write(content)
                os.fchown(made, owner, owner)
        finally:
            os.close(current)


def collect(work: str, *, count: int, size: int) -> tuple[list[tuple[str, bytes]], int]:
    """The plain files below `work`, in order of their names, and how many more there were that did not fit.

    Names that are not UTF-8 come with replacement characters; of two equal names the first stays.
    """
    found: dict[str, bytes] = {}
    left_out, room = 0, size
    for folder, name, path in _walk(work):
        shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        content = _read(folder, name, room) if len(found) < count and shown not in found else None
        if content is None:
            left_out += 1
        else:
            found[shown] = content
            room -= len(content)
    return list(found.items()), left_out


def _walk(work: str) -> Iterator[tuple[int, str, str]]:
    seen = 0
    pending: list[tuple[str, ...]] = [()]
    while pending:
        parts = pending.pop()
        try:
            folder = _open(work, parts)
        except OSError:
            continue
        try:
            for name in sorted(os.listdir(folder)):
                seen += 1
                if seen > _LOOKED_AT:
                    return
                try:
                    mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
                except OSError:
                    continue
                if stat.S_ISDIR(mode) and len(parts) < _DEPTH:
                    pending.append((*parts, name))
                elif stat.S_ISREG(mode):
                    yield folder, name, "/".join((*parts, name))
        finally:
            os.close(folder)


def _open(work: str, parts: tuple[str, ...]) -> int:
    current = os.open(work, _FOLDER)
    for part in parts:
        try:
            below = os.open(part, _FOLDER, dir_fd=current)
        finally:
            os.close(current)
        current = below
    return current


def _read(folder: int, name: str, room: int) -> bytes | None:
    """What a plain file holds; None when it is more than `room`, or no longer a plain file."""
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return None
    with open(opened, "rb") as file:
        about = os.fstat(opened)
        if not stat.S_ISREG(about.st_mode) or about.st_size > room:
            return None
        content = file.read(room + 1)
    return content if len(content) <= room else None
