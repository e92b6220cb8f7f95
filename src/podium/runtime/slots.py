"""Slots: how many of something a run does at once. First come, first served; nothing here knows what is done."""

from __future__ import annotations

import asyncio
from collections import deque


class Slots:
    """So many slots, at least one. Made for the case that there is one: taking and leaving it is a sum."""

    __slots__ = ("_free", "_waiting")

    def __init__(self, count: int) -> None:
        self._free = max(1, count)
        self._waiting: deque[asyncio.Future[None]] | None = None

    def take(self) -> bool:
        """Take a slot if one is free. Nobody overtakes: while others wait, none is."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    async def wait(self) -> None:
        """Stand in line for a slot, and take it."""
        waiting = self._waiting
        if waiting is None:
            waiting = self._waiting = deque()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # it was handed over in the same breath
            raise

    def leave(self) -> None:
        """Give a slot back: to whoever has waited longest, if anybody does."""
        waiting = self._waiting
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
