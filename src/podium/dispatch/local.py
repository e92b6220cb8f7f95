"""Dispatch within one process: wake what is due, and look for what other processes left behind.

It sleeps until the earliest timer of the store and looks at the store every `poll` seconds if another process may have
written to it. It does not know how a run is driven.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from podium.core.errors import StoreError
from podium.ports import Clock, RunRow, Store, Timer

FAR = 3600.0
"""Seconds to sleep at most; timers further away are found again later."""


class LocalDispatcher:
    """Calls `drive(row)` for runs that may go on, and `mail(run_id)` for driven runs that have mail."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        drive: Callable[[RunRow], None],
        mail: Callable[[str], Awaitable[object]],
        driven: Callable[[], Sequence[str]],
        poll: float | None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._drive = drive
        self._mail = mail
        self._driven = driven
        self._poll = poll
        """Seconds between looks at the store; None when no other process can reach it."""
        self._task: asyncio.Task[None] | None = None
        self._alarm: asyncio.Event | None = None
        self._timer: Timer | None = None
        self._wake_at: float | None = None

    def start(self) -> None:
        """Begin, on the running loop."""
        if self._task is None:
            self._alarm = asyncio.Event()
            self._task = asyncio.get_running_loop().create_task(self._work())

    def wake(self, run_id: str, wake_seq: int, *, at: float | None = None) -> None:
        """A run will be due at `at` (epoch seconds), or is now."""
        if self._alarm is None:
            return
        if at is None:
            self._alarm.set()
        elif self._wake_at is None or at < self._wake_at:
            self._arm(at)

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._wake_at = at
        alarm = self._alarm
        if alarm is not None:
            self._timer = self._clock.call_later(min(FAR, max(0.0, at - self._clock.time())), alarm.set)

    async def _work(self) -> None:
        alarm = self._alarm
        if alarm is None:
            return
        while True:
            try:
                await self._look()
            except StoreError:
                # A store that cannot be read now (locked, full disk) is looked at again at the next turn.
                self._wake_at = None
            try:
                # Not `wait_for`: on Python 3.11 it can swallow the cancellation that `close` sends.
                async with asyncio.timeout(self._poll):
                    await alarm.wait()
            except TimeoutError:
                if not self._store.changed():
                    continue
            alarm.clear()

    async def _look(self) -> None:
        driven = self._driven()
        if driven and self._poll is not None:
            for run_id in await self._store.unread_runs(driven):
                await self._mail(run_id)
        for row in await self._store.due(self._clock.time()):
            self._drive(row)
        self._wake_at = None
        at = await self._store.next_wake()
        if at is not None:
            self._arm(at)

    async def close(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            self._task = None
