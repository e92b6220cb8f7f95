"""Tables: made from numbered SQL files, some only when first needed, and migrated.

A migration file is `NNNN_PART.sql`. The part `core` exists in every store, and `blobs` in every new one. The others are
made, at the newest number, when something is first stored in them: an empty table costs a page, and a short run needs
few of them. A store of an older number gets the later files of the parts it has, in one transaction. The number is
SQLite's `user_version`; `application_id` tells our files from other people's.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from podium.core.errors import SchemaTooNew, StoreCorrupt, StoreLocked, StoreReadOnly

from . import sql
from .errors import is_busy

APPLICATION_ID = 0x506F646D
"""`Podm`."""

MIGRATIONS = Path(__file__).with_name("migrations")

CORE = "core"
_AT_ONCE = (CORE, "blobs")
"""Parts of every new store. Agents need blobs at once, and a table made later has all statements compiled anew."""
_ANCHORS = {CORE: "runs", "due": "runs_due", "family": "runs_parent", "ledger": "budgets"}
"""The table or index by which a part is known to exist, where it is not a table of the part's own name."""

_OLDER = {"unchained": 2}
"""Parts of stores that were made before a number: they keep what later ones need not know."""

_NAME = re.compile(r"(\d{4})_([a-z]+)\.sql")


class Schema:
    """The migrations of a folder, and which parts one store is known to have. One instance per connection."""

    def __init__(self, folder: Path = MIGRATIONS) -> None:
        self._files: dict[str, list[tuple[int, str]]] = {}
        for path in sorted(folder.iterdir()):
            if match := _NAME.fullmatch(path.name):
                self._files.setdefault(match[2], []).append((int(match[1]), path.read_text("utf-8")))
        self.newest = max(number for files in self._files.values() for number, _ in files)
        self._known: set[str] = set()

    def has(self, connection: sqlite3.Connection, part: str) -> bool:
        """Whether a part's tables exist."""
        if part in self._known:
            return True
        name = _ANCHORS.get(part, part)
        found = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (name,)).fetchone() is not None
        # Inside a transaction the answer may still be rolled back.
        if found and not connection.in_transaction:
            self._known.add(part)
        return found

    def need(self, connection: sqlite3.Connection, part: str) -> None:
        """Make a part's tables, in the current transaction, unless they exist."""
        if not self.has(connection, part):
            self._run(connection, part, after=0)

    def prepare(
        self, connection: sqlite3.Connection, path: str, *, now: float, dead: Callable[[str], bool], wait: float
    ) -> None:
        """Bring a writable store to the newest schema: make it, migrate it, or find that it is there.

        `wait` is for how many seconds another process may be doing the same. Raises StoreCorrupt, SchemaTooNew,
        StoreLocked (somebody drives a run of a store that must be migrated), sqlite3.Error.
        """
        if self._check(connection, path) == self.newest:
            return
        _use_wal(connection, wait)
        connection.execute(sql.BEGIN)
        try:
            number = self._check(connection, path)  # again: another process may have been quicker
            if number == 0:
                for part in _AT_ONCE:
                    self._run(connection, part, after=0)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            elif number < self.newest:
                self._migrate(connection, path, number, now, dead)
            connection.execute(f"PRAGMA user_version = {self.newest}")
            connection.execute(sql.COMMIT)
        except BaseException:
            if connection.in_transaction:
                connection.rollback()
            raise

    def require(self, connection: sqlite3.Connection, path: str) -> None:
        """Find that a store that cannot be written has the newest schema.

        Raises StoreCorrupt, SchemaTooNew, StoreReadOnly.
        """
        number = self._check(connection, path)
        if number != self.newest:
            raise StoreReadOnly(
                f"{path} is empty or was written by an older Podium (schema {number}, not {self.newest}): "
                f"open it once with write access"
            )

    def _check(self, connection: sqlite3.Connection, path: str) -> int:
        """The store's number; 0 for an empty file."""
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        number = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if application != APPLICATION_ID:
            tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
            if int(connection.execute("PRAGMA application_id").fetchone()[0]) == APPLICATION_ID:
                return self._check(connection, path)  # another process made the store between these questions
            if application or number or tables:
                raise StoreCorrupt(f"{path} is a SQLite file but not a Podium store: give another path")
            return 0
        if number > self.newest:
            raise SchemaTooNew(
                f"{path} was written by a newer Podium (schema {number}; this one knows {self.newest}): upgrade podium"
            )
        return number

    def _migrate(
        self, connection: sqlite3.Connection, path: str, number: int, now: float, dead: Callable[[str], bool]
    ) -> None:
        for run, owner, until in connection.execute(sql.HELD, (now,)):
            if not dead(owner):
                raise StoreLocked(
                    f"{path} must be migrated from schema {number} to {self.newest}, but {owner} drives run {run} "
                    f"for {until - now:.0f} s more: stop it, then open the store again"
                )
        for part in sorted(self._files, key=lambda part: part != CORE):
            if self.has(connection, part):
                self._run(connection, part, after=number)
        for part, since in _OLDER.items():
            if number < since and part in self._files:
                self._run(connection, part, after=number)

    def _run(self, connection: sqlite3.Connection, part: str, *, after: int) -> None:
        for number, text in self._files[part]:
            if number > after:
                for statement in _statements(text):
                    connection.execute(statement)


def _statements(text: str) -> list[str]:
    """The statements of a migration, without comments and needless space: SQLite keeps the text in the file."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return [" ".join(part.split()) for part in "\n".join(lines).split(";") if part.strip()]


def _use_wal(connection: sqlite3.Connection, wait: float) -> None:
    """Put a file into WAL mode, which lasts. SQLite does not wait by itself for others who do the same."""
    end = time.monotonic() + wait
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= end:
                raise
            time.sleep(0.01)
        else:
            return
