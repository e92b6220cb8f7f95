"""Opening the file: rights, pragmas, and a connection that remembers which tables there are.

Two connections write: one in line on the loop's thread (`synchronous=NORMAL`, never waits) and one on the writer
thread (`FULL`, waits). What they write is not this module's concern.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

from podium.core.errors import StoreError, StoreLocked, StoreReadOnly

from .errors import is_busy, translate
from .schema import Schema

PAGE_SIZE = 1024
"""Bytes. A group of an agent's turn is about 300: a small page costs less to log and wastes less in small files."""


class Database:
    """A connection, its one cursor, and the schema it sees. Belongs to the thread that made it."""

    __slots__ = ("connection", "cursor", "execute", "path", "schema")

    def __init__(self, connection: sqlite3.Connection, schema: Schema, path: str) -> None:
        self.connection = connection
        self.cursor = connection.cursor()
        self.execute = self.cursor.execute
        self.schema = schema
        self.path = path

    def query(self, statement: str, parameters: tuple[object, ...] = ()) -> list[Any]:
        """All rows of a reading statement, waiting if another process is just recovering the file.

        Rows are tuples; what they hold is the statement's to know. Raises StoreCorrupt, StoreLocked, StoreError.
        """
        try:
            try:
                return self.execute(statement, parameters).fetchall()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                self.execute("PRAGMA busy_timeout = 2000")
                try:
                    return self.execute(statement, parameters).fetchall()
                finally:
                    self.execute("PRAGMA busy_timeout = 0")
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    def has(self, part: str) -> bool:
        """Whether the tables of a part exist already."""
        return self.schema.has(self.connection, part)

    def need(self, part: str) -> None:
        """Make the tables of a part, in the current transaction, unless they exist."""
        self.schema.need(self.connection, part)

    def rollback(self) -> None:
        """Undo the current transaction, if SQLite has not done so already."""
        if self.connection.in_transaction:
            self.connection.rollback()

    def close(self) -> None:
        """Let the file go."""
        self.connection.close()


def writable(path: Path) -> bool:
    """Whether this process may write the file and, as SQLite must, beside it."""
    effective = os.access in os.supports_effective_ids
    folder = path.parent
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=effective):
        return False
    return not path.exists() or os.access(path, os.W_OK, effective_ids=effective)


def prepare(path: Path) -> None:
    """Make the missing folder (0700) and file (0600); what exists keeps its rights.

    Raises StoreReadOnly, StoreError.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except (PermissionError, FileExistsError) as error:
        raise StoreReadOnly(f"{path} cannot be made: this process may not write there ({error.strerror})") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be used as a store: {error.strerror}") from error


def connect(path: Path, *, busy_timeout: float, full_sync: bool, max_bytes: int | None) -> sqlite3.Connection:
    """A connection that reads and writes. `busy_timeout` is in seconds.

    Raises sqlite3.Error.
    """
    connection = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, cached_statements=128)
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")  # only a new file takes it
        connection.execute(f"PRAGMA synchronous = {'FULL' if full_sync else 'NORMAL'}")
        # The writer thread does the checkpoints: they sync, and would stop the loop.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA cache_size = -4096")
        if max_bytes is not None:
            size = int(connection.execute("PRAGMA page_size").fetchone()[0])
            connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // size)}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def empty_log(path: Path) -> None:
    """Move the log into the file and cut it off, so that nothing old is left in it. Waits ten seconds for readers.

    Raises StoreLocked, StoreError.
    """
    try:
        with contextlib.closing(connect(path, busy_timeout=10.0, full_sync=True, max_bytes=None)) as connection:
            busy = int(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
    except sqlite3.Error as error:
        raise translate(error, str(path)) from error
    if busy:
        raise StoreLocked(
            f"the payloads are erased, but another process reads {path}, and its log may hold them until it is closed: "
            f"close it, then erase again"
        )


def connect_readonly(path: Path, *, busy_timeout: float) -> sqlite3.Connection:
    """A connection that only reads.

    Where SQLite may not make the `-shm` file it needs for a live store, a file that was closed cleanly is read as one
    that nobody changes. Raises sqlite3.Error.
    """
    uri = path.absolute().as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=busy_timeout, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        wal = path.with_name(path.name + "-wal")
        # An unreachable lock file or a read-only folder; never when there is a log that would be left out.
        if is_busy(error) or (wal.exists() and wal.stat().st_size > 0) or not path.exists():
            raise
        return sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, isolation_level=None)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
