"""The journal of one driven run, as the runtime appends to it. When it is committed is decided in `group`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from podium.core.errors import PodiumError, StoreError
from podium.ports import Attachment, Clock, Lease, Reservation, Transition
from podium.stores.announce import announce
from podium.stores.refusals import lease_lost

from .contents import Contents
from .group import Group
from .runs import Run


class MemoryWriter:
    """A `Writer`. Made by `MemoryStore.writer`; belongs to the loop's thread."""

    __slots__ = (
        "_clock", "_contents", "_epoch", "_failed", "_group", "_items", "_on_commit", "_owner", "_records",
        "_reservations", "_run", "queued",
    )  # fmt: skip

    def __init__(
        self,
        group: Group,
        contents: Contents,
        run: Run,
        lease: Lease,
        clock: Clock,
        on_commit: Callable[[int], None] | None,
    ) -> None:
        self._group, self._contents, self._run = group, contents, run
        self._clock, self._on_commit = clock, on_commit
        self._epoch, self._owner = lease.epoch, lease.owner
        self._records: list[bytes] = []
        self._reservations: list[tuple[int, int, Reservation]] = []
        """Which of the records depend on a reservation, and how many items were attached before it."""
        self._items: list[Attachment] = []
        self._failed: PodiumError | None = None
        self.queued = False
        """Whether the group will commit this writer at the end of the tick."""

    @property
    def failed(self) -> BaseException | None:
        """Why appends are no longer accepted, if they are not."""
        return self._failed

    def append(self, record: bytes, reservation: Reservation | None = None) -> None:
        """Add a record to the group that is committed at the end of this tick; with a reservation, if it is granted.

        Raises what the writer failed with (LeaseLost, a StoreError).
        """
        if self._failed is not None:
            raise self._failed
        if reservation is not None:
            self._reservations.append((len(self._records), len(self._items), reservation))
        self._records.append(record)
        if not self.queued:
            self._group.add(self)

    def attach(self, item: Attachment) -> None:
        """Store beside the records of this group: see `Attachment`."""
        if self._failed is not None:
            raise self._failed
        self._items.append(item)
        if not self.queued:
            self._group.add(self)

    def barrier(self, *, sync: bool = False) -> Awaitable[None] | None:
        """Commit what is appended now; always None, since memory has nothing slower to wait for."""
        if self._records or self._items:
            self.commit()
        if self._failed is not None:
            raise self._failed
        return None

    def transition(self, change: Transition) -> Awaitable[bool]:
        """Write what is pending together with a change of the run's row, at once.

        False when refused because of unread mail: the records and attachments that were pending are then dropped, as if
        they had never been appended. Raises LeaseLost, StoreError.
        """
        if self._failed is not None or not self._fence():
            raise self._failed or StoreError("the store is closed")
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        run = self._run
        if change.unless_mail:
            read = {item for item in self._items if isinstance(item, str)}
            if any(mail.id not in read for mail in run.unread):
                self._records, self._items, self._reservations = [], [], []
                answer.set_result(False)
                return answer
        self.commit()
        run.status, run.wake_at, run.updated = change.status, change.wake_at, self._clock.time()
        if change.cost is not None:
            run.cost = change.cost
        if change.costs:
            run.costs = change.costs
        if change.release:
            run.let_go()
        self._contents.changed(run)
        answer.set_result(True)
        return answer

    def commit(self) -> None:
        """Write what is pending, or fail. Called by the group; never raises."""
        records, items, reservations = self._records, self._items, self._reservations
        if not records and not items:
            return
        self._records, self._items, self._reservations = [], [], []
        if not self._fence():
            return
        run, contents = self._run, self._contents
        kept = 0
        for index, before, reservation in reservations:
            for item in items[kept:before]:
                contents.keep(run, item)  # what was let go before the reservation was made is free for it
            kept = before
            contents.accounts.reserve(run.new.id, reservation)
            if reservation.refusal is not None:
                records[index] = reservation.otherwise(reservation.refusal)
        run.records += records
        for item in items[kept:]:
            contents.keep(run, item)
        if records and self._on_commit is not None:
            announce(self._on_commit, len(run.records))

    def _fence(self) -> bool:
        run = self._run
        if self._group.closed:
            self._failed = StoreError("the store is closed")
        elif run.epoch != self._epoch or run.owner != self._owner:
            self._failed = lease_lost(run.new.id, self._epoch)
        return self._failed is None
