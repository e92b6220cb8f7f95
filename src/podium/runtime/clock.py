"""The machine's own clock. Tests use `podium.testing.FakeClock` instead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic, time

from podium.ports import Timer


class SystemClock:
    """Wall time for what is recorded, monotonic time for margins, the event loop's timers for waiting."""

    # The functions themselves: a step reads the time several times, and a wrapper would cost as much as the reading.
    time = staticmethod(time)
    monotonic = staticmethod(monotonic)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` on the running loop after `seconds`."""
        return asyncio.get_running_loop().call_later(max(0.0, seconds), callback)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
