"""The time of a life."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from podium.testing.clock import FakeClock, FakeTimer

SHORT_SLEEP = 3_600.0
"""Seconds: a shorter sleep is a pause between attempts."""


class LifeClock(FakeClock):
    """Time that moves only when nothing else can happen.

    It stands still (so that what a member reads of it is the same in every life) until a timer is due in real seconds
    too, a retry pauses (at once), or every run is unloaded and the life jumps to the next due time.
    """

    def call_later(self, seconds: float, callback: Callable[[], None]) -> FakeTimer:
        """Call after `seconds` of real time, or of a jump."""

        def once() -> None:
            if not timer.cancelled:
                timer.cancel()
                callback()

        def passed() -> None:
            self.forward(timer.due)
            timer.callback()

        timer = super().call_later(seconds, once)
        asyncio.get_running_loop().call_later(max(0.0, seconds), passed)
        return timer

    async def sleep(self, seconds: float) -> None:
        """Pauses between attempts are over at once; longer waits wait."""
        await (super().sleep(seconds) if seconds > SHORT_SLEEP else asyncio.sleep(0))

    def forward(self, until: float) -> None:
        """Be at `until`, without firing anything."""
        self._now = max(self._now, until)

    async def jump(self, until: float) -> None:
        """Be at `until` (rounded up to a millisecond, the same in every life), and fire all that is due."""
        self.forward(round(until + 0.001, 3))
        while (due := self.next_due) is not None and due <= self.time():
            self._fire()
        await self.advance(0.0)
