"""A run in memory: its row, its records and its mail.

Records are kept as the bytes they were encoded to, so that what is read back has been through the codec. Who may change
a run, and when, is the store's concern.
"""

from __future__ import annotations

import msgspec

from podium.core.chain import ErasedFrame, Link, Seal
from podium.core.costs import CostRow
from podium.core.records import Status
from podium.ports import Lease, Mail, NewRun, RunRow
from podium.stores.owner import is_dead

from .evidence import links
from .mailbox import Mailbox


class Run:
    """One run. It has an `erased` and a `mailbox` only once something was erased or posted: most never need them."""

    __slots__ = (
        "cost", "costs", "epoch", "erased", "lease_until", "mailbox", "new", "owner", "records", "status", "updated",
        "wake_at", "wake_seq",
    )  # fmt: skip

    def __init__(self, new: NewRun) -> None:
        self.records = list(new.records)
        self.new = msgspec.structs.replace(new, records=())
        self.status = Status.PENDING
        self.epoch = 0
        self.owner = ""
        self.lease_until = 0.0
        self.wake_seq = 0
        self.wake_at: float | None = None
        self.updated = new.created
        self.cost = "0"
        self.costs: tuple[CostRow, ...] = ()
        self.erased: dict[int, ErasedFrame] | None = None
        """Records whose payloads were erased, by number."""
        self.mailbox: Mailbox | None = None

    @property
    def unread(self) -> list[Mail]:
        """Mail that was not read, oldest first."""
        return [] if self.mailbox is None else self.mailbox.unread()

    def held(self, now: float) -> bool:
        """Whether somebody drives it."""
        return bool(self.owner) and self.lease_until > now and not is_dead(self.owner)

    def is_held_by(self, lease: Lease) -> bool:
        """Whether a lease is still the one it is driven under, expired or not."""
        return self.epoch == lease.epoch and self.owner == lease.owner

    def let_go(self) -> None:
        """Nobody drives it any more."""
        self.owner, self.lease_until = "", 0.0

    def wake(self, now: float) -> None:
        """It waited, and may go on."""
        self.status, self.wake_at, self.updated = Status.PENDING, None, now
        self.wake_seq += 1

    def row(self) -> RunRow:
        """The row as it is now."""
        new = self.new
        return RunRow(
            id=new.id,
            member=new.member,
            target=new.target,
            status=self.status,
            epoch=self.epoch,
            owner=self.owner,
            lease_until=self.lease_until,
            wake_seq=self.wake_seq,
            wake_at=self.wake_at,
            seq=len(self.records),
            created=new.created,
            updated=self.updated,
            parent=new.parent,
            session=new.session,
            digest=new.digest,
            cost=self.cost,
            title=new.title,
        )

    def links(self) -> list[Link]:
        """Its records as frames with their heads."""
        return links(self.new.id, self.records, self.erased)

    def seal(self) -> Seal:
        """What a proof begins with."""
        found = self.links()
        return Seal(self.new.id, self.new.member, self.status.value, found[-1].head if found else None, 0, self.updated)
