"""A whole store at one instant, read row by row for a proof.

A connection of its own holds one snapshot, however long the reading takes and whoever writes meanwhile. Values are
handed on as they are found, whatever their type: a proof must be able to say what is wrong with them.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from podium.core.chain import HEAD, SALT, Anchor, Link, Seal, frame_salt

from . import sql
from .errors import translate
from .files import connect_readonly

T = TypeVar("T")

BREATH = 200
"""Rows after which the event loop gets its turn."""


class SqliteEvidence:
    """An `Evidence`. Made by `SqliteStore.evidence`."""

    def __init__(self, path: Path, *, busy_timeout: float) -> None:
        self._path = str(path)
        with self._reading():
            self._connection = connect_readonly(path, busy_timeout=busy_timeout)
            self._connection.text_factory = _text
            self._connection.execute("BEGIN")
            found = self._connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        self._tables = {str(name) for (name,) in found}

    def anchors(self) -> AsyncIterator[Anchor]:
        """All anchors, in order."""
        return self._each(Anchor(*row) for row in self._rows("anchors", sql.ANCHORS))

    async def tip(self) -> tuple[int, bytes] | None:
        """The number and hash of what the store says is its last anchor."""
        with self._reading():
            found = next(self._rows("anchors", sql.TIP), None)
        if found is None:
            return (-1, b"") if "anchors" in self._tables else None
        number, hashed = found
        return number if isinstance(number, int) else -1, hashed if isinstance(hashed, bytes) else b""

    def chains(self, run_id: str = "") -> AsyncIterator[Seal | Link]:
        """For each run its seal and then its frames; at their place, frames of no run."""
        return self._each(self._chains(run_id))

    def contents(self) -> AsyncIterator[tuple[str, bytes]]:
        """Every blob: its address and content."""
        rows = self._rows("blobs", sql.CONTENTS)
        return self._each((str(address), data if isinstance(data, bytes) else b"") for address, data in rows)

    async def damage(self) -> list[str]:
        """What SQLite itself finds wrong with the file."""
        with self._reading():
            found = self._connection.execute("PRAGMA quick_check(20)").fetchall()
        return [line for (text,) in found if text != "ok" for line in str(text).splitlines()]

    async def close(self) -> None:
        """Let go of the snapshot."""
        self._connection.close()

    # ------------------------------------------------------------------------------------------------------ inside

    def _rows(self, table: str, statement: str, values: tuple[object, ...] = ()) -> Iterator[tuple[Any, ...]]:
        return iter(self._connection.execute(statement, values)) if table in self._tables else iter(())

    def _chains(self, run_id: str) -> Generator[Seal | Link]:
        unchained: dict[int, Any] = dict(self._rows("unchained", sql.UNCHAINED))
        rows = self._rows("runs", sql.SEALS, (run_id,))
        if run_id:
            for row in rows:
                yield _seal(row, unchained)
                frames = self._rows("journal", sql.FRAMES, (row[0] << 32, (row[0] << 32) + sql.LAST))
                yield from (_frame(frame, row[-1]) for frame in frames)
            return
        run, current, secret = next(rows, None), None, None
        for frame in self._rows("journal", sql.ALL_FRAMES):
            number = frame[0] >> 32
            while run is not None and run[0] <= number:
                yield _seal(run, unchained)
                current, secret, run = run[0], run[-1], next(rows, None)
            if current != number:
                yield Seal("")
                current, secret = number, None
            yield _frame(frame, secret)
        while run is not None:
            yield _seal(run, unchained)
            run = next(rows, None)

    async def _each(self, rows: Iterator[T]) -> AsyncIterator[T]:
        number = 0
        while True:
            with self._reading():
                row = next(rows, None)
            if row is None:
                return
            yield row
            number += 1
            if not number % BREATH:
                await asyncio.sleep(0)

    @contextmanager
    def _reading(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise translate(error, self._path) from error


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _seal(row: tuple[Any, ...], unchained: dict[int, Any]) -> Seal:
    number, run, member, status, head, updated, _ = row
    before = unchained.get(number, 0)
    return Seal(
        str(run),
        str(member),
        str(status),
        head if head is None or isinstance(head, bytes) else b"",
        before if isinstance(before, int) else 0,
        updated if isinstance(updated, float) else 0.0,
    )


def _frame(row: tuple[Any, ...], secret: object) -> Link:
    place, count, body, head = row
    first = place & sql.LAST
    if head is None:
        return Link(first, count, body, None)
    if not isinstance(head, bytes) or len(head) not in (HEAD, HEAD + SALT):
        return Link(first, count, body, b"")
    if len(head) == HEAD and isinstance(secret, bytes):
        return Link(first, count, body, head, frame_salt(secret, first))
    return Link(first, count, body, head[:HEAD], head[HEAD:], len(head) == HEAD)
