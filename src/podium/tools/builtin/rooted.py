"""Files below one folder, and nowhere else: every part of a path is opened relative to the one before it.

No link is followed, so no link, and no swap of a folder for a link while we look, leads out. It knows bytes and names;
what is told to a model is `files`'s and `documents`'s business.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import msgspec

from podium.core.errors import ConfigurationError, ToolError

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
DEEPEST: Final = 64


class Entry(msgspec.Struct, frozen=True):
    """A file that was found. `modified` is in nanoseconds since 1970."""

    path: str
    size: int
    modified: int


class Root:
    """A folder as the root of everything. Raises ConfigurationError when there is none."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(folder).resolve()
        if not self.path.is_dir():
            raise ConfigurationError(f"{folder} is not a folder: create it, or name another")

    def read(self, path: str, most: int) -> bytes:
        """A file's bytes. Raises ToolError when there is none, or it is larger than `most` bytes or no plain file."""
        *folders, name = _parts(path)
        with self._folder(folders, path) as parent:
            file = _open(name, os.O_RDONLY | os.O_NONBLOCK, parent, path)  # a pipe must not keep us waiting
            with os.fdopen(file, "rb") as opened:
                found = os.fstat(opened.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise ToolError(f"{path} is not a plain file")
                data = opened.read(most + 1)
        if len(data) > most:
            raise ToolError(f"{path} is larger than {most} bytes")
        return data

    def write(self, path: str, data: bytes) -> bool:
        """Put a file there, whole or not at all; whether it is new. Folders on the way are made."""
        *folders, name = _parts(path)
        with self._folder(folders, path, make=True) as parent:
            mode = _mode(name, parent, path)
            draft = f".{name[:100]}.{secrets.token_hex(6)}.tmp"
            file = os.open(draft, _NEW, 0o600, dir_fd=parent)
            try:
                with os.fdopen(file, "wb") as opened:
                    opened.write(data)
                    opened.flush()
                    os.fchmod(opened.fileno(), 0o644 if mode is None else mode)
                    os.fsync(opened.fileno())
                os.replace(draft, name, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException as error:
                with contextlib.suppress(OSError):
                    os.unlink(draft, dir_fd=parent)
                if isinstance(error, OSError):
                    raise ToolError(f"{path} cannot be written: {error.strerror}") from None
                raise
            os.fsync(parent)
        return mode is None

    def delete(self, path: str) -> bool:
        """Remove a file; False when there is none."""
        *folders, name = _parts(path)
        with self._folder(folders, path) as parent:
            if _mode(name, parent, path) is None:
                return False
            os.unlink(name, dir_fd=parent)
            os.fsync(parent)
        return True

    def files(self, folder: str = "", *, hidden: bool = False) -> Iterator[Entry]:
        """Plain files below a folder, in the order of their names, with paths from the root. Links are left out."""
        parts = _parts(folder) if folder not in ("", ".") else []
        with self._folder(parts, folder) as start:
            prefix = "".join(f"{part}/" for part in parts)
            for where, folders, names, here in os.fwalk(dir_fd=start, follow_symlinks=False):
                below = os.path.normpath(where)
                lead = prefix if below == "." else f"{prefix}{below}/"
                folders[:] = sorted(each for each in folders if hidden or not each.startswith("."))
                if lead.count("/") >= DEEPEST:
                    folders.clear()
                for name in sorted(names):
                    if hidden or not name.startswith("."):
                        found = _stat(name, here)
                        if found is not None and stat.S_ISREG(found.st_mode):
                            yield Entry(f"{lead}{name}", found.st_size, found.st_mtime_ns)

    @contextlib.contextmanager
    def _folder(self, parts: list[str], path: str, *, make: bool = False) -> Generator[int]:
        here = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in parts:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, 0o755, dir_fd=here)
                below = _open(part, _FOLDER, here, path)
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)


def lines_of(text: str) -> list[str]:
    """The lines of a text as editors count them: `splitlines` also ends lines where no editor does."""
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []


def _parts(path: str) -> list[str]:
    """The names of a path. Raises ToolError for one that leads out, or is none."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or ".." in parts or "\0" in path or not parts or len(parts) > DEEPEST or len(path) > 4096:
        raise ToolError(f"{path[:200]!r} is not a path below the folder: write it from there, such as notes/today.md")
    return parts


def _open(name: str, flags: int, parent: int, path: str) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise ToolError(f"there is no file {path}") from None
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
            raise ToolError(
                f"{path} leads through a link or a file that is no folder: links are not followed"
            ) from None
        raise ToolError(f"{path} cannot be opened: {error.strerror}") from None


def _stat(name: str, parent: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except OSError:
        return None


def _mode(name: str, parent: int, path: str) -> int | None:
    """The permissions of an existing plain file; None when there is none. Raises ToolError for anything else."""
    found = _stat(name, parent)
    if found is None:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise ToolError(f"{path} is not a plain file")
    return stat.S_IMODE(found.st_mode) & 0o777
