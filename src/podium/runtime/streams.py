"""Following a run: its records in order, and what passes by while it works.

A follower first gets what is in the journal, then what is live; records are never missed, never doubled, and always in
order. Deltas are for whoever listens at the moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from podium.core.deltas import Transient
from podium.core.records import Finished, Record, Suspended

MOST_WAITING = 100_000
"""Events kept for a slow follower; beyond that deltas are dropped, records never."""


class Stream:
    """A listener that a coroutine reads."""

    __slots__ = ("_early", "_queue", "_seen")

    def __init__(self, seen: int = 0) -> None:
        self._queue: asyncio.Queue[tuple[int, Record] | Transient | None] = asyncio.Queue()
        self._seen = seen
        self._early: dict[int, Record] = {}

    def record(self, seq: int, record: Record) -> None:
        """A record became durable."""
        self._queue.put_nowait((seq, record))

    def transient(self, delta: Transient) -> None:
        """A passing event."""
        if self._queue.qsize() < MOST_WAITING:
            self._queue.put_nowait(delta)

    def end(self) -> None:
        """Nothing more will come."""
        self._queue.put_nowait(None)

    async def events(self, *, suspension_after: int | None = None) -> AsyncIterator[Record | Transient]:
        """Events until the run is over, or `end` was called.

        With `suspension_after`, also until it is unloaded by a record behind that number.
        """
        while True:
            item = await self._queue.get()
            if item is None:
                return
            if not isinstance(item, tuple):
                yield item
                continue
            seq, record = item
            if seq > self._seen:
                self._early[seq] = record
            # What is live may be heard before what was read from the journal: give records by number, never by arrival.
            while self._seen + 1 in self._early:
                self._seen += 1
                record = self._early.pop(self._seen)
                yield record
                if isinstance(record, Finished):
                    return
                if suspension_after is not None and self._seen > suspension_after and isinstance(record, Suspended):
                    return
