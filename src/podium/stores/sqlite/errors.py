"""SQLite's errors as ours: one clear line that says what to do next.

Knows the result codes (https://www.sqlite.org/rescode.html) and nothing of what was being done.
"""

from __future__ import annotations

import sqlite3

from podium.core.errors import StoreCorrupt, StoreError, StoreFull, StoreLocked, StoreReadOnly

_SHM_SIZE = sqlite3.SQLITE_IOERR_SHMSIZE


def is_busy(error: BaseException) -> bool:
    """Whether another connection holds the lock that was wanted; waiting may help."""
    return isinstance(error, sqlite3.Error) and _code(error) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def translate(error: sqlite3.Error, path: str) -> StoreError:
    """The error a caller of the store sees for one of SQLite's."""
    code = _code(error)
    primary = code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreLocked(
            f"{path} is locked by another process: wait for it or stop it, then try again (or open with a longer "
            f"busy_timeout)"
        )
    if primary == sqlite3.SQLITE_FULL or code == _SHM_SIZE:
        return StoreFull(
            f"{path} cannot grow: the disk, or the store's own limit, is full. Free space, then resume the run"
        )
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return StoreReadOnly(
            f"{path} cannot be written by this process: give it write access to the file and its folder"
        )
    if primary == sqlite3.SQLITE_NOTADB:
        return StoreCorrupt(f"{path} is not a Podium store (not a SQLite file): give another path")
    if primary == sqlite3.SQLITE_CORRUPT:
        return StoreCorrupt(
            f"{path} is damaged ({error}): restore a backup, or save what can be read with `sqlite3 .recover`"
        )
    if primary == sqlite3.SQLITE_CANTOPEN:
        return StoreError(f"{path} cannot be opened: check that it is a file and that this process may use its folder")
    return StoreError(f"{path}: {error} ({getattr(error, 'sqlite_errorname', 'SQLITE_ERROR')})")


def _code(error: sqlite3.Error) -> int:
    # Absent on errors that Python's own binding raises.
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR))
