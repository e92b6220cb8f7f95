"""The journal of one driven run, as the runtime appends to it. What happens to a unit is decided in `group`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from podium.core.errors import PodiumError
from podium.ports import Attachment, Clock, Reservation, Transition
from podium.stores.announce import announce

from .commit import Position, Unit
from .group import Committer, settle


class SqliteWriter:
    """A `Writer`. Made by `SqliteStore.writer`; belongs to the loop's thread."""

    __slots__ = ("_clock", "_commit", "_committer", "_on_commit", "_position", "_tail", "_unit")

    def __init__(
        self, committer: Committer, position: Position, clock: Clock, on_commit: Callable[[int], None] | None
    ) -> None:
        self._committer, self._position, self._clock, self._on_commit = committer, position, clock, on_commit
        self._unit: Unit | None = None
        """The unit that takes what is appended; None or sealed when the next append opens another."""
        self._tail: Unit | None = None
        """The newest unit that is not finished."""
        self._commit = committer.commits + 1
        """The group that holds the newest of this run. At first unknown, so taken as not synced."""

    @property
    def failed(self) -> BaseException | None:
        """Why appends are no longer accepted, if they are not."""
        return self._position.failed

    def append(self, record: bytes, reservation: Reservation | None = None) -> None:
        """Add a record to the group that is committed at the end of this tick; with a reservation, if it is granted.

        Raises what the writer failed with (LeaseLost, a StoreError).
        """
        unit = self._unit
        if unit is None or unit.sealed:
            unit = self._open()
        if reservation is not None:
            entry = (len(unit.records), record, len(unit.items or ()), reservation)
            unit.reservations = [entry] if unit.reservations is None else [*unit.reservations, entry]
        unit.records.append(record)

    def attach(self, item: Attachment) -> None:
        """Store beside the records of this group: see `Attachment`.

        A child run that exists is left as it is. Raises what the writer failed with.
        """
        unit = self._unit
        if unit is None or unit.sealed:
            unit = self._open()
        if unit.items is None:
            unit.items = [item]
        else:
            unit.items.append(item)

    def barrier(self, *, sync: bool = False) -> Awaitable[None] | None:
        """None when everything appended is committed (and on the disk, with `sync`); else an awaitable for that.

        Committed is safe from the death of this process; on the disk is safe from the death of the machine. Raises
        LeaseLost or a StoreError, here or when awaited.
        """
        failed = self._position.failed
        if failed is not None:
            raise failed
        unit = self._tail
        if unit is None:
            if not sync or self._commit <= self._committer.synced:
                return None
            unit = self._open()
        if sync:
            unit.sync = True  # or it is with the writer thread already, which always syncs
        elif not unit.sealed and not unit.sync and self._committer.commit_alone():
            failed = self._position.failed
            if failed is not None:
                raise failed
            if self._tail is None:
                return None
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if unit.waiters is None:
            unit.waiters = [future]
        else:
            unit.waiters.append(future)
        return future

    def transition(self, change: Transition) -> Awaitable[bool]:
        """Write what is pending together with a change of the run's row.

        False when refused because of unread mail: the records and attachments that were pending are then dropped, as if
        they had never been appended. Raises LeaseLost or a StoreError, here or when awaited.
        """
        failed = self._position.failed
        if failed is not None:
            raise failed
        unit = self._unit
        if unit is None or unit.sealed:
            unit = self._open()
        unit.change, unit.at, unit.sealed = change, self._clock.time(), True
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        unit.answer = answer
        if not unit.sync:
            self._committer.commit_alone()
        return answer

    def _open(self) -> Unit:
        failed = self._position.failed
        if failed is not None:
            raise failed
        unit = Unit(self._position, self._finish)
        self._committer.add(unit)
        self._unit = self._tail = unit
        return unit

    def _finish(self, unit: Unit, commit: int) -> None:
        failure: PodiumError | None = unit.failure
        if unit is self._tail:
            self._tail = self._unit = None
        if failure is not None:
            self._unit = None
            if self._position.failed is None:
                self._position.failed = failure
        elif not unit.refused:
            self._commit = commit
        if unit.waiters is not None:
            for waiter in unit.waiters:
                settle(waiter, None, failure)
        if unit.answer is not None:
            settle(unit.answer, not unit.refused, failure)
        if failure is None and unit.records and not unit.refused and self._on_commit is not None:
            announce(self._on_commit, unit.last)
