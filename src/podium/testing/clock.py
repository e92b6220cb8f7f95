"""A clock that tests move by hand: `podium.ports.Clock` without a machine's time in it.

Timers fire in the order of their due time, then of their making, and the loop settles between any two. With
`autojump`, time moves by itself to the next timer whenever the loop has had nothing to do for so long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heappop, heappush

START = 1_750_000_000.0
"""Epoch seconds at which a clock begins unless told otherwise: the same in every test, so that outputs compare."""

SETTLE_TICKS = 64
"""Turns of the loop given to whatever a timer woke: each hop through an asyncio primitive takes a few."""


class FakeTimer:
    """A call scheduled on a `FakeClock`."""

    __slots__ = ("callback", "cancelled", "due")

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        """The clock's epoch seconds at which it fires."""
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Do not call."""
        self.cancelled = True


class FakeClock:
    """Time that stands still until `advance` (or `autojump`) moves it. Belongs to one event loop at a time.

    `start` is in epoch seconds. `autojump` is in real seconds: when the loop has had nothing ready to run at two looks
    that far apart, time jumps to the next timer. Work the loop cannot see (a thread, a socket, a disk) counts as
    nothing, so give more than it takes, or move the clock by hand.
    """

    def __init__(self, start: float = START, *, autojump: float | None = None) -> None:
        self._start = start
        self._now = start
        self._autojump = autojump
        self._timers: list[tuple[float, int, FakeTimer]] = []
        self._made = 0
        self._watch: asyncio.TimerHandle | None = None
        self._watched: asyncio.AbstractEventLoop | None = None

    def time(self) -> float:
        """Epoch seconds."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._now - self._start

    def call_later(self, seconds: float, callback: Callable[[], None]) -> FakeTimer:
        """Call `callback` on the running loop once the clock was moved by `seconds`."""
        timer = FakeTimer(self._now + max(0.0, seconds), callback)
        self._made += 1
        heappush(self._timers, (timer.due, self._made, timer))
        self._look()
        return timer

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was moved by `seconds`; 0 or less only lets the loop turn once."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.call_later(seconds, lambda: None if done.done() else done.set_result(None))
        try:
            await done
        finally:
            timer.cancel()

    @property
    def next_due(self) -> float | None:
        """Epoch seconds of the next timer; None when none is set."""
        while self._timers and self._timers[0][2].cancelled:
            heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    async def advance(self, seconds: float) -> None:
        """Move time forward, firing what becomes due in order; the loop settles after each, and at the end.

        Raises ValueError for a negative number.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds!r}")
        target = self._now + seconds
        await _settle()
        while (due := self.next_due) is not None and due <= target:
            self._fire()
            await _settle()
        self._now = max(self._now, target)
        await _settle()

    def _fire(self) -> None:
        """Fire the next timer, at its own time."""
        due, _, timer = heappop(self._timers)
        self._now = max(self._now, due)
        if not timer.cancelled:
            timer.callback()

    # ----------------------------------------------------------------------------------------------- jumping by itself

    def _look(self) -> None:
        if self._autojump is None:
            return
        loop = asyncio.get_running_loop()
        if self._watch is None or self._watched is not loop:
            self._watched = loop
            self._watch = loop.call_later(self._autojump, self._jump, False)

    def _jump(self, idle: bool) -> None:
        self._watch = None
        if self._autojump is None or self.next_due is None:
            return
        loop = asyncio.get_running_loop()
        # Loops other than asyncio's do not show what is ready; two looks in a row must do there.
        quiet = not getattr(loop, "_ready", ())
        if quiet and idle:
            self._fire()
            quiet = False
        self._watch = loop.call_later(self._autojump, self._jump, quiet)


async def _settle() -> None:
    for _ in range(SETTLE_TICKS):
        await asyncio.sleep(0)
