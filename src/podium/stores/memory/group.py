"""When things are written: what the writers of one tick hold is committed at its end, in the order they asked."""

from __future__ import annotations

import asyncio
from typing import Protocol

from podium.core.errors import StoreError


class Pending(Protocol):
    """A writer that has something to commit."""

    queued: bool
    """Whether the group will commit it at the end of the tick."""

    def commit(self) -> None:
        """Write what is pending, or fail; never raises."""
        ...


class Group:
    """The writers to be committed at the end of the tick, and whether anything may still be."""

    __slots__ = ("_loop", "_pending", "closed")

    def __init__(self) -> None:
        self.closed = False
        self._pending: list[Pending] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, writer: Pending) -> None:
        """Commit `writer` at the end of this tick."""
        writer.queued = True
        self._pending.append(writer)
        loop = asyncio.get_running_loop()
        if len(self._pending) == 1 or loop is not self._loop:
            self._loop = loop
            loop.call_soon(self._flush)

    def flush(self) -> None:
        """Commit now, before whatever else is written. Raises StoreError when the store is closed."""
        if self.closed:
            raise StoreError("the store is closed")
        self._flush()

    def close(self) -> None:
        """Commit what is pending, and nothing afterwards. Harmless when repeated."""
        if not self.closed:
            self._flush()
            self.closed = True

    def _flush(self) -> None:
        writers, self._pending = self._pending, []
        for writer in writers:
            writer.queued = False
            writer.commit()
