"""Branches: pieces of a member that run side by side, each owning a scope.

`gather` waits for all, `group` for all that were started in its block, `race` and `timeout` for the first; who won is
journaled. A branch that fails cancels its siblings, and the first failure in delivery order is the one raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from podium.core.actions import Kind
from podium.core.codec import decode
from podium.core.errors import DeadlineExceeded, LeaseLost, ScopeError, StoreError
from podium.core.records import Ended

from .run import Run
from .scope import Scope

Thunk = Callable[[Any], Awaitable[Any]]
_NOBODY = -2
"""The winner of a race that was cancelled."""


class Branches:
    """A set of branches of one scope. Owned by the task that opens it."""

    __slots__ = ("_failure", "_left", "_order", "_run", "_scope", "_waiter", "tasks")

    def __init__(self, run: Run, scope: Scope) -> None:
        self._run = run
        self._scope = scope
        self._left = 0
        self._waiter: asyncio.Future[None] | None = None
        self._failure: BaseException | None = None
        self._order: list[asyncio.Task[Any]] = []
        self.tasks: list[asyncio.Task[Any]] = []

    def open(self, thunk: Thunk, key: str) -> asyncio.Task[Any]:
        """Start a branch in the scope `key`."""
        run = self._run
        scope = Scope(key, self._scope.frame, None)
        run.pump.unpark()
        self._left += 1
        task = run.loop.create_task(self._branch(thunk, scope))
        self.tasks.append(task)
        task.add_done_callback(self._over)
        return task

    async def _branch(self, thunk: Thunk, scope: Scope) -> Any:
        scope.task = asyncio.current_task(self._run.loop)
        return await thunk(self._run.context(self._run, scope))

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._left -= 1
        self._order.append(task)
        if not task.cancelled():
            error = task.exception()
            if error is not None and self._failure is None:
                self._failure = error
                self.cancel()
        if self._left == 0 and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
            self._run.pump.unpark()
        self._run.pump.park()
        self._run.consider()

    def cancel(self) -> None:
        """Cancel the branches that still run."""
        for task in self.tasks:
            if not task.done():
                task.cancel()

    async def join(self) -> None:
        """Wait until all branches are over; cancels them when the caller is cancelled."""
        run = self._run
        if self._left:
            self._waiter = run.loop.create_future()
            run.pump.park()
            try:
                await self._waiter
            except asyncio.CancelledError:
                resumed = self._waiter.done() and not self._waiter.cancelled()
                if not resumed:
                    run.pump.unpark()
                self._waiter = None
                self.cancel()
                await self._drain()
                raise

    async def _drain(self) -> None:
        """Wait for cancelled branches to end, whatever else happens."""
        while self._left:
            running = [task for task in self.tasks if not task.done()]
            if not running:
                await asyncio.sleep(0)
                continue
            self._run.pump.park()
            try:
                await asyncio.wait(running)
            finally:
                self._run.pump.unpark()

    async def all(self) -> list[Any]:
        """The results in the order the branches were opened. Raises the first failure."""
        await self.join()
        if self._failure is not None:
            raise self._failure
        return [task.result() for task in self.tasks]


class Group:
    """`async with ctx.group() as g: g.start(thunk)`. The block ends when all its branches have."""

    __slots__ = ("_branches", "_open", "_run", "_scope")

    def __init__(self, run: Run, scope: Scope) -> None:
        self._run = run
        self._scope = scope
        self._branches = Branches(run, scope)
        self._open = False

    async def __aenter__(self) -> Group:
        self._open = True
        return self

    def start(self, thunk: Thunk) -> asyncio.Task[Any]:
        """Open a branch; `await` the task (or read `.result()` after the block) for its value."""
        if not self._open:
            raise ScopeError("start branches inside the block: async with ctx.group() as g: g.start(...)")
        if asyncio.current_task(self._run.loop) is not self._scope.task:
            raise ScopeError("a group takes branches only from the task that opened it")
        return self._branches.open(thunk, self._scope.take("branch"))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        if kind is not None:
            self._branches.cancel()
            await self._branches.join()
            return
        await self._branches.all()


class Race:
    """Branches of which one wins. Journaled as one Read of the winner's index; -1 is "time is up"."""

    __slots__ = (
        "_branches",
        "_future",
        "_run",
        "_scope",
        "_timed",
        "key",
        "order",
        "pos",
        "ready",
        "recorded",
        "winner",
    )

    def __init__(self, run: Run, scope: Scope, name: str) -> None:
        self._run = run
        self._scope = scope
        self._branches = Branches(run, scope)
        self._future: asyncio.Future[None] | None = None
        self._timed = name
        self.key = scope.take(name)
        scope.pos += 1
        self.pos = scope.pos
        self.order = 0
        self.ready = True
        self.recorded = False
        self.winner: int | None = None

    def __lt__(self, other: object) -> bool:  # pragma: no cover  (two deliveries never share an order)
        return False

    async def run(self, thunks: list[Thunk], seconds: float | None = None) -> Any:
        """The winner's result. Raises DeadlineExceeded when the time was up first, and whatever the winner raised."""
        run = self._run
        waiting = self._scope.started(self.pos)
        self._recall()
        self._future = run.loop.create_future()
        for index, thunk in enumerate(thunks):
            task = self._branches.open(thunk, f"{self.key}/branch.{index + 1}")
            task.add_done_callback(lambda _, index=index: self._won(index, waiting))
        timer = None
        if self.recorded:
            run.pump.offer(self)
        elif seconds is not None:
            timer = run.services.clock.call_later(seconds, lambda: self._won(-1, waiting))
        # Timeouts count active time: one that is not short does not keep a run in memory that only waits.
        keeps = timer is not None and seconds is not None and seconds <= run.limits.short_wait
        run.active += keeps
        run.pump.park()
        try:
            await self._decided(self._future)
        finally:
            if timer is not None:
                timer.cancel()
            run.active -= keeps
            run.consider()
            await self._end(len(thunks))
        if self.winner is None or self.winner < 0:
            raise DeadlineExceeded(f"{self.key} took longer than {seconds:g} s")
        return self._branches.tasks[self.winner].result()

    def _recall(self) -> None:
        """Take over what the journal says of this race."""
        replay = self._run.replay
        if replay.over:
            return
        past = replay.match(self._scope.key, self.key, self.pos, Kind.READ, self._timed, b"")
        if past is not None and past.ended is not None:
            self.recorded = True
            self.winner = int(decode(past.ended.value))
            self.order = past.ended_seq

    async def _decided(self, future: asyncio.Future[None]) -> None:
        try:
            await future
        except asyncio.CancelledError:
            if not future.done() or future.cancelled():
                if self.order:
                    self._run.pump.drop(self)
                self._run.pump.unpark()
            self.winner = _NOBODY
            raise

    async def _end(self, count: int) -> None:
        """Cancel the losers, and forget what is recorded of them."""
        self._branches.cancel()
        await self._branches.join()
        for index in range(count):
            if index != self.winner:
                self._run.replay.abandon(f"{self.key}/branch.{index + 1}")

    def _won(self, index: int, waiting: tuple[int, ...]) -> None:
        run = self._run
        if self.winner is not None or run.closed or self._future is None or self._future.done():
            return
        if index >= 0 and self._branches.tasks[index].cancelled():
            return
        self.winner = index
        record = Ended(
            self.key,
            run.services.clock.time(),
            value=run.packed(index)[0],
            pos=self.pos,
            kind=Kind.READ,
            name=self._timed,
            waiting=waiting,
        )
        try:
            self.order = run.ended(record, None)
        except (StoreError, LeaseLost) as error:
            # This is a callback of a task: nobody above would see it.
            run.fail(error)
            return
        run.pump.offer(self)

    def deliver(self) -> None:
        """Called by the pump: let the owner go on."""
        if self.recorded:
            self._run.replay.delivered()
        if self._future is not None and not self._future.done():
            self._run.pump.unpark()
            self._future.set_result(None)
