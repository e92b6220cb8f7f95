"""What one drive of a run writes: records, in order, folded into the run's facts, masked, and told to those who listen.

It knows reservations, since the beginning of a paid step and its refusal are one place in the journal. Why something is
written, and what a step does with its outcome, is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Protocol, cast

import msgspec

from podium.core.actions import Kind
from podium.core.budgets import Amount
from podium.core.codec import content_digest, encode
from podium.core.codec import encode as _encode
from podium.core.deltas import Transient
from podium.core.errors import Unloaded
from podium.core.money import pico
from podium.core.records import NIL, Began, Ended, Held, Record, Retried, decode_frame, frame
from podium.core.state import Facts
from podium.core.usage import Usage
from podium.ports import Blob, Lease, Settlement, Writer

from .reserving import Paid
from .services import Services


class Listener(Protocol):
    """A live subscriber."""

    def record(self, seq: int, record: Record) -> None:
        """A record became durable."""
        ...

    def transient(self, delta: Transient) -> None:
        """A passing event."""
        ...


class Standing(Protocol):
    """A step that may stand in line before it has a receipt."""

    def stand(self, order: int) -> None:
        """Take the place `order` in line, not ready to go."""
        ...

    def leave(self) -> None:
        """Give the place up, if there is one."""
        ...


class Journal:
    """The journal of the run that `lease` is about, from here on. `frames` are what was written before."""

    __slots__ = (
        "_append",
        "_events",
        "_frames",
        "_listeners",
        "_mask",
        "_written",
        "closed",
        "facts",
        "id",
        "limits",
        "services",
        "settling",
        "writer",
    )

    def __init__(
        self, services: Services, lease: Lease, facts: Facts, frames: list[bytes], listeners: list[Listener]
    ) -> None:
        self.services = services
        self.limits = services.limits
        self.id = lease.run
        self.facts = facts
        self.closed = False
        """Steps may write nothing more."""
        self._listeners = listeners
        self._frames = frames
        self._written: list[bytes] = []
        self._events: list[tuple[int, Record | Paid]] = []
        self.settling: tuple[Settlement, ...] = ()
        """Ends of reservations that are not known to be durable."""
        self.writer: Writer = services.store.writer(lease, facts.seq, self._committed)
        self._append = self.writer.append
        self._mask = services.vault.mask

    def _write(self, record: Record) -> int:
        """Append a record whose facts were folded already; its number."""
        plain = _encode(record)
        data = self._mask(plain)
        self._append(data)
        self._written.append(data)
        seq = self.facts.seq
        if self._listeners:
            self._events.append((seq, record if data is plain else decode_frame(frame([data]))[0]))
        return seq

    @property
    def kept(self) -> list[bytes]:
        """The run's whole journal as it is stored, for its result."""
        return [*self._frames, frame(self._written)] if self._written else self._frames

    def _unloaded(self) -> Unloaded:
        return Unloaded(f"run {self.id} was unloaded; this drive records nothing more")

    def began(self, record: Began) -> int:
        """Journal a `Began`; its number. Like all that steps journal, it raises Unloaded on a closed drive."""
        if self.closed:
            raise self._unloaded()
        self.facts.began(record)
        return self._write(record)

    def held(self, record: Held, began: Began | None = None) -> None:
        """Journal a `Held`, about the attempt that `began` if there is one."""
        if self.closed:
            raise self._unloaded()
        self.facts.held(record, began)
        self._write(record)

    def retried(self, record: Retried, began: Began | None) -> None:
        """Journal a failed attempt."""
        if self.closed:
            raise self._unloaded()
        if began is not None and began.reserved is not None:
            self.settle(began, _amount(began, record.cost, None))
        self.facts.retried(record, began)
        self._write(record)

    def ended(self, record: Ended, began: Began | None) -> int:
        """Journal an `Ended`; its number."""
        if self.closed:
            raise self._unloaded()
        if began is not None and began.reserved is not None and not record.cached:
            self.settle(began, _amount(began, record.cost, record.usage))
        self.facts.ended(record, began)
        return self._write(record)

    def settle(self, began: Began, amount: Amount | None) -> None:
        """End the reservation of an attempt, in one commit with the next record. None spends all of it."""
        settlement = Settlement(began.key, began.attempt, amount)
        self.writer.attach(settlement)
        self.settling = (*self.settling, settlement)

    def note(self, record: Record) -> int:
        """Journal a record about the run as a whole; its number. The driver's own: a closed drive may end with one."""
        self.facts.other(record)
        return self._write(record)

    def masked(self, data: bytes) -> bytes:
        """Encoded data that is written beside the records, without known secrets; itself if it has none."""
        return self._mask(data)

    def packed(self, value: Any) -> tuple[msgspec.Raw, str]:
        """An encoded value, in place or as the address of a blob stored with the record."""
        data = self._mask(encode(value))
        if len(data) <= self.limits.blob:
            return msgspec.Raw(data), ""
        address = content_digest(data)
        self.writer.attach(Blob(address, data))
        return NIL, address

    def fresh(self, value: Any) -> msgspec.Raw:
        """A value that went into a blob, encoded as a reader of that blob will find it."""
        return msgspec.Raw(self._mask(encode(value)))

    def reserve(self, paid: Paid) -> int:
        """Journal a `Began` that depends on its reservation; the number of whatever will be written."""
        if self.closed:
            raise self._unloaded()
        data = self._mask(_encode(paid.began))
        self._append(data, paid)
        self._written.append(data)
        self.facts.seq += 1
        seq = self.facts.seq
        if self._listeners:
            self._events.append((seq, paid))
        return seq

    async def decided(self, step: Standing, paid: Paid, seq: int) -> None:
        """Wait until it is known whether a reservation was granted, and fold in what was written at `seq`.

        A cancellation waits that long too. Until then the step stands in line at `seq`, and stays there if it is
        refused: that is where its receipt belongs, and nothing journaled later may be delivered before it.
        """
        slot = len(self._written) - 1
        barrier = self.writer.barrier()
        if barrier is not None:
            step.stand(seq)
        try:
            if barrier is not None:
                await _through(barrier)
        except BaseException:
            step.leave()
            raise
        finally:
            if self.writer.failed is None:
                self._written[slot] = self._mask(_encode(paid.record))
                self._fold(paid, seq)
        if paid.refusal is None:
            step.leave()

    def _fold(self, paid: Paid, seq: int) -> None:
        facts = self.facts
        now, facts.seq = facts.seq, seq - 1
        if paid.refusal is None:
            facts.began(paid.began)
        else:
            facts.ended(cast("Ended", paid.record), None)
        facts.seq = now

    def _committed(self, seq: int) -> None:
        if self.settling:
            self._told()
        events = self._events
        if not events:
            return
        done = 0
        for number, record in events:
            if number > seq:
                break
            done += 1
            written = record.record if type(record) is Paid else cast("Record", record)
            for listener in self._listeners:
                listener.record(number, written)
        del events[:done]

    def _told(self) -> None:
        """Pass on the alerts of reservations that are settled for good."""
        settled, self.settling = self.settling, ()
        for settlement in settled:
            if settlement.crossed is None:
                self.settling = (*self.settling, settlement)
            else:
                for crossing in settlement.crossed:
                    self.services.alert(crossing)

    def transient(self, delta: Transient) -> None:
        """Pass a delta on to whoever listens now."""
        for listener in self._listeners:
            listener.transient(delta)

    @property
    def heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)


def _amount(began: Began, cost: str | None, usage: Usage | None) -> Amount | None:
    """What an attempt used, as far as its record tells; None when nobody knows.

    Of a reply whose cost is not known, the tokens are: the money stays what was reserved.
    """
    if cost is None:
        if usage is None or began.reserved is None:
            return None
        cost = began.reserved
    return Amount(pico(cost), 0 if usage is None else usage.total_tokens, 1 if began.kind is Kind.MODEL else 0)


async def _through(barrier: Awaitable[None]) -> None:
    """Await `barrier` to its end, even if the task is cancelled meanwhile; then the cancellation goes on."""
    future = asyncio.ensure_future(barrier)
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError as error:
            if future.cancelled():
                raise
            cancelled = error
    future.result()
    if cancelled is not None:
        raise cancelled
