"""Group commit: gathers what all runs of the process append, and decides where it is written.

At the end of the loop's tick everything appended goes into one transaction, in line, on a connection that neither syncs
nor waits (about 15 microseconds). A task that writes alone need not wait for that end: nobody would share its group.
When a group finds the file locked, or somebody asked for a sync, it goes to the writer thread instead; while the thread
is at work, later groups queue behind it, so that the order of writes is the order of calls, always.
docs/decisions/0005-sqlite-writer.md has the reasons and figures.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import TypeVar

from podium.core.errors import PodiumError, StoreError, StoreReadOnly

from .commit import Job, Unit, checkpoint, commit_units, transact
from .errors import is_busy, translate
from .files import PAGE_SIZE, Database
from .worker import Worker

T = TypeVar("T")

LOG_LIMIT = 4 * 1024 * 1024
"""Bytes logged (about) after which the thread moves the log into the file."""

STREAK = 32
"""Groups that one task may commit within one tick. Then it waits for the tick's end, and the loop looks at the others:
a member whose models and tools answer at once would else keep everybody waiting, its own lease's renewal included."""


class Committer:
    """The one door through which a store writes. Lives on one thread, with one event loop at a time."""

    def __init__(self, db: Database, open_database: Callable[[], Database], *, readonly: bool) -> None:
        self._db = db
        self._readonly = readonly
        self._pending: list[Unit] = []
        """Units of this tick."""
        self._queue: list[Unit | Job] = []
        """What waits for the thread."""
        self._working = False
        """Whether the thread has a batch; nothing is written in line then."""
        self._worker = Worker(db.path, open_database, self._finished)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._scheduled = False
        """Whether the end of this tick is waited for."""
        self._alone = False
        """Whether the last group that was gathered over a whole tick had one unit, and at most one task waited."""
        self._soloist: asyncio.Task[object] | None = None
        """The task that committed by itself in this tick."""
        self._streak = 0
        """How often it did."""
        self._idle: list[asyncio.Future[None]] = []
        self._logged = 0
        self._closed = False
        self.commits = 0
        """Groups committed by this store."""
        self.synced = 0
        """The newest of them that is known to be on the disk."""

    def add(self, unit: Unit) -> None:
        """Commit `unit` at the end of this tick. Raises StoreReadOnly, StoreError (closed)."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop or self._closed or self._readonly:
            self._check(loop)
        self._pending.append(unit)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._tick_ends)

    def commit_alone(self) -> bool:
        """Commit what is pending now, if it is one unit and the task that asks is the only one at work.

        It is alone until a second task asks within one tick (a fan-out, several runs); from then on groups are gathered
        to the end of the tick, until one of them has a single unit and a single waiter. False when nothing was done;
        after True the unit is finished, or (the file was locked) sealed and with the thread.
        """
        if not self._alone or self._working or len(self._pending) != 1:
            return False
        task = asyncio.current_task(self._loop)
        if task is not self._soloist:
            if self._soloist is not None or task is None:
                self._alone = False
                return False
            self._soloist = task
        self._streak += 1
        if self._streak > STREAK:
            return False
        self.flush()
        return True

    async def write(self, work: Callable[[Database], T]) -> T:
        """Do `work` in a transaction of its own, after everything appended so far.

        Raises what `work` raises, or a StoreError; nothing is written then.
        """
        loop = asyncio.get_running_loop()
        self._check(loop)
        self.flush()
        if not self._working:
            try:
                result = transact(self._db, work)
            except sqlite3.Error as error:
                if not is_busy(error):
                    raise translate(error, self._db.path) from error
            else:
                self._log(2 * PAGE_SIZE)
                return result
        future: asyncio.Future[T] = loop.create_future()
        self._queue.append(Job(work, future, bare=False))
        self._feed()
        return await future

    def flush(self) -> None:
        """Write the units of this tick, or hand them to the thread."""
        units = self._pending
        if not units:
            return
        self._pending = []
        away = self._working
        doomed = False
        for unit in units:
            unit.sealed = True
            away = away or unit.sync
            doomed = doomed or unit.position.failed is not None
        if doomed:
            units = self._without_failed(units)
        if away:
            self._queue += units
            self._feed()
        elif units:
            self._commit(units)

    async def close(self) -> None:
        """Write what is pending, end the thread and let the file go. Harmless when repeated."""
        loop = asyncio.get_running_loop()
        self._bind(loop)
        self._closed = True
        self.flush()
        while self._working:
            idle: asyncio.Future[None] = loop.create_future()
            self._idle.append(idle)
            await idle
        self._worker.stop()
        self._db.close()

    # ------------------------------------------------------------------------------------------------ inside

    def _tick_ends(self) -> None:
        self._scheduled = False
        self._soloist, self._streak = None, 0
        units = self._pending
        if units:
            self._alone = len(units) == 1 and units[0].waiting <= 1
            self.flush()

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._closed:
            raise StoreError("the store is closed: open it again")
        if self._readonly:
            raise StoreReadOnly(f"{self._db.path} is open for reading only: give this process write access to it")
        self._bind(loop)

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Belong to `loop`; finish what an earlier one, closed meanwhile, left half done."""
        if loop is self._loop:
            return
        self._loop, self._scheduled = loop, False
        self._alone, self._soloist, self._streak = False, None, 0
        while self._working:
            self._finished()
        self.flush()

    def _commit(self, units: list[Unit]) -> None:
        try:
            size = commit_units(self._db, units)
        except sqlite3.Error as error:
            if is_busy(error):
                self._queue += units
                self._feed()
                return
            failure = translate(error, self._db.path)
            for unit in units:
                unit.failure = failure
            size = 0
        self.commits += 1
        for unit in units:
            unit.finish(unit, self.commits)
        self._log(size)

    def _log(self, size: int) -> None:
        self._logged += size
        if self._logged > LOG_LIMIT:
            self._logged = 0
            self._queue.append(Job(checkpoint, None, bare=True))
            self._feed()

    def _feed(self) -> None:
        """Give the thread all that waits, if it is free."""
        if self._working or not self._queue:
            return
        batch, self._queue = self._queue, []
        assert self._loop is not None  # noqa: S101 - every way here has bound it
        self._working = True
        self._worker.submit(batch, self._loop)

    def _finished(self) -> None:
        """On the loop's thread: deliver what the writer thread has done, and give it what came meanwhile."""
        if not self._working:
            return  # a call for a batch that `_bind` has taken already
        batch = self._worker.take()
        self.commits += 1
        if any(isinstance(item, Unit) and item.failure is None and not item.refused for item in batch.items):
            self.synced = self.commits
        for item in batch.items:
            if isinstance(item, Unit):
                item.finish(item, self.commits)
            elif item.future is not None:
                settle(item.future, item.result, item.failure)
        self._working = False
        self._queue = self._drop_failed(self._queue)
        self._log(batch.size)
        self._feed()
        if not self._working:
            idle, self._idle = self._idle, []
            for future in idle:
                settle(future, None, None)

    def _drop_failed(self, items: list[Unit | Job]) -> list[Unit | Job]:
        kept: list[Unit | Job] = []
        for item in items:
            if isinstance(item, Unit) and item.position.failed is not None:
                item.failure = item.position.failed
                item.finish(item, self.commits)
            else:
                kept.append(item)
        return kept

    def _without_failed(self, units: list[Unit]) -> list[Unit]:
        return [item for item in self._drop_failed([*units]) if isinstance(item, Unit)]


def settle(future: asyncio.Future[T], result: T, failure: PodiumError | None) -> None:
    """Answer a future, if anybody can still hear it. An unheard failure makes no noise: the writer keeps it."""
    if future.done() or future.get_loop().is_closed():
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)
        future.exception()
