"""One drive of one run: its journal, its waits, its mail, and whether it may still act.

A `Run` exists from the moment a lease is taken until the run ends, is unloaded, or loses its lease. It knows records
and futures; which actions there are, and what members see, is written on top of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, cast

import msgspec

from podium.core.actions import Kind
from podium.core.budgets import Amount
from podium.core.codec import content_digest, decode, encode
from podium.core.codec import encode as _encode
from podium.core.deltas import Transient
from podium.core.errors import Cancelled, Failure, LeaseLost, PodiumError, SchemaTooNew, StepFailed, Unloaded
from podium.core.labels import TRUSTED, Label
from podium.core.money import pico
from podium.core.records import (
    FORMAT,
    NIL,
    Began,
    Ended,
    Held,
    Hold,
    Outcome,
    Principal,
    Record,
    Retried,
    Signalled,
    Started,
    decode_frame,
    frame,
)
from podium.core.state import History
from podium.core.usage import Usage
from podium.ports import Blob, Lease, Settlement, Writer

from .carrying import entries, owner, received
from .pump import Pump
from .replay import Replay
from .reserving import Paid
from .scope import Frame
from .services import Services
from .slots import Slots


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


class Wait:
    """A step that waits for mail or for a time."""

    __slots__ = ("durable", "future", "hold")

    def __init__(self, hold: Hold, future: asyncio.Future[Signalled | None], *, durable: bool) -> None:
        self.hold = hold
        self.future = future
        self.durable = durable
        """Whether the run may be unloaded while this waits."""


class _Cancellation:
    """A request to cancel, delivered in its place among the receipts."""

    __slots__ = ("_run", "order", "ready")

    def __init__(self, run: Run, order: int) -> None:
        self._run = run
        self.order = order
        self.ready = True

    def deliver(self) -> None:
        self._run.stop()


class Run:
    """See the module."""

    __slots__ = (
        "_append",
        "_consider",
        "_events",
        "_frames",
        "_listeners",
        "_mask",
        "_seen_activity",
        "_watch",
        "_watched",
        "_written",
        "aborted",
        "active",
        "attached",
        "billed",
        "breath",
        "cancelled",
        "closed",
        "consumed",
        "context",
        "decisions",
        "deps",
        "ending",
        "expired",
        "facts",
        "failure",
        "fork_cut",
        "id",
        "label",
        "lease",
        "limits",
        "loop",
        "mail",
        "next_due_at",
        "on_quiet",
        "performers",
        "principal",
        "pump",
        "replay",
        "root",
        "services",
        "session",
        "settling",
        "signals",
        "slots",
        "started",
        "tasks",
        "upgrade",
        "waits",
        "whose",
        "writer",
    )

    def __init__(
        self,
        services: Services,
        lease: Lease,
        history: History,
        frames: list[bytes],
        *,
        listeners: list[Listener],
        performers: Mapping[Kind, Any],
        context: Callable[..., Any],
        deps: Any = None,
        upgrade: bool = False,
    ) -> None:
        started = history.facts.started
        if started is None:
            raise PodiumError(f"run {lease.run} has no beginning in its journal")
        if started.reads > FORMAT:
            raise SchemaTooNew(f"run {lease.run} needs journal format {started.reads}: upgrade podium, then resume")
        self.services = services
        self.limits = services.limits
        self.loop = asyncio.get_running_loop()
        self.id = lease.run
        self.lease = lease
        self.facts = history.facts
        self.started: Started = started
        self.label: Label = started.label or TRUSTED
        """What the run's output carries; known when the member has returned."""
        self.principal: Principal = started.principal
        self.whose = owner(self.principal)
        """Whose secrets those of this run are."""
        self.session = started.session
        self.billed = started.session or started.billed
        """The session that costs belong to: the run's own, or that of the run above it."""
        self.deps = deps
        self.upgrade = upgrade
        self.performers = performers
        self.context = context
        self.pump = Pump(self.loop)
        self.replay = Replay(history, self.loop)
        self.decisions = dict(history.decisions)
        self.signals = {name: list(arrivals) for name, arrivals in history.signals.items()}
        self.consumed: dict[str, int] = {}
        for step in history.steps.values():
            if step.kind is Kind.WAIT and step.ended is not None and step.ended.outcome is Outcome.OK:
                self.consumed[step.name] = self.consumed.get(step.name, 0) + 1
        self.mail = dict.fromkeys(history.mail)
        self.fork_cut = started.effects == "hold"
        self.waits: dict[str, Wait] = {}
        self.slots = Slots(services.limits.tools_at_once)
        """Places for calls of tools."""
        self.active = 0
        """Steps at work, Calls aside, that are not durable waits."""
        self.breath = 0
        """Steps that ended at once."""
        self.closed = False
        self.cancelled = False
        self.expired = False
        self.aborted: StepFailed | None = None
        self.failure: BaseException | None = None
        """Why the drive stops without an end: the lease is lost, or the store failed."""
        self.ending: Failure | None = None
        """Why the run ended without success."""
        self.next_due_at: float | None = None
        """When an unloaded run is due by itself."""
        self.root: asyncio.Task[Any] | None = None
        self.tasks: set[asyncio.Task[Any]] = set()
        self.on_quiet: Callable[[], None] | None = None
        self._consider: asyncio.Handle | None = None
        self._seen_activity = -1
        self._watch: asyncio.TimerHandle | None = None
        self._watched = -1
        self._listeners = listeners
        self._frames = frames
        self._written: list[bytes] = []
        self._events: list[tuple[int, Record | Paid]] = []
        self.settling: tuple[Settlement, ...] = ()
        """Ends of reservations that are not known to be durable."""
        self.attached: dict[str, None] = {}
        self.writer: Writer = services.store.writer(lease, self.facts.seq, self._committed)
        self._append = self.writer.append
        self._mask = services.vault.mask

    # ------------------------------------------------------------------------------------------------------ journal

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

    # ------------------------------------------------------------------------------------------------- may we act?

    def check(self) -> None:
        """Raise unless this drive may start an action now."""
        if self.services.clock.time() > self.lease.until - self.limits.margin:
            error = LeaseLost(f"the lease of run {self.id} is over or about to be; another process may drive it")
            self.fail(error)
            raise error

    def fail(self, error: BaseException) -> None:
        """Stop driving without recording: the lease is lost, or the store cannot be written."""
        if self.closed and isinstance(error, Unloaded):
            return  # A member that would not stop: it was told, and there is nothing to report.
        if self.failure is None:
            self.failure = error
        self.close()

    def close(self) -> None:
        """Close the context, then cancel the member. Nothing is recorded after this."""
        if not self.closed:
            self.closed = True
            self.pump.closed = True
            self.stop()

    def stop(self) -> None:
        """Cancel the member's tasks."""
        if self.root is not None and not self.root.done():
            self.root.cancel()

    def label_of(self, label: Label) -> Label | None:
        """A label as it is stored: the common one is left out."""
        return None if label is TRUSTED or label == TRUSTED else label

    # -------------------------------------------------------------------------------------------------------- waits

    async def wait(self, hold: Hold, *, durable: bool = True) -> Signalled | None:
        """Wait for the decision on `hold`, or until it is due (None). The record that says so is durable by now."""
        decided = self.decisions.get(hold.request)
        if decided is not None:
            return decided
        now = self.services.clock.time()
        if hold.due is not None and hold.due <= now:
            return None
        durable = durable and (hold.due is None or hold.due - now > self.limits.short_wait)
        future: asyncio.Future[Signalled | None] = self.loop.create_future()
        self.waits[hold.request] = Wait(hold, future, durable=durable)
        timer = None
        if hold.due is not None:
            timer = self.services.clock.call_later(hold.due - now, lambda: _resolve(future, None))
        if durable:
            self.active -= 1
            self.consider()
        try:
            return await future
        finally:
            del self.waits[hold.request]
            if timer is not None:
                timer.cancel()
            if durable:
                self.active += 1

    def next_due(self) -> float | None:
        """The earliest time at which a wait ends by itself."""
        times = [wait.hold.due for wait in self.waits.values() if wait.hold.due is not None]
        if self.started.deadline is not None:
            times.append(self.started.deadline)
        return min(times, default=None)

    def consider(self) -> None:
        """Something began to wait or came to an end: see soon whether the run can be unloaded."""
        if self._consider is not None or self.on_quiet is None or self.closed or self.active or not self.waits:
            return
        self._seen_activity = self.pump.activity
        if self.pump.busy <= 0:
            self._consider = self.loop.call_soon(self._quiet)
        else:
            self._consider = self.loop.call_later(self.limits.idle, self._quiet)

    def watch_replay(self) -> None:
        """A new step waits for the replay to end: make sure that it can."""
        if self._watch is None and not self.closed:
            self._watched = self.pump.activity
            self._watch = self.loop.call_later(self.limits.idle, self._replaying)

    def _replaying(self) -> None:
        self._watch = None
        if self.closed or not self.replay.remaining:
            return
        if self.pump.activity == self._watched and self.pump.empty and self.pump.busy <= 0:
            stuck = self.replay.stuck()
            if stuck is not None:
                self.fail(stuck)
                return
        self.watch_replay()

    def _quiet(self) -> None:
        self._consider = None
        if self.closed or self.active or not self.waits or not self.pump.empty or self.on_quiet is None:
            return
        if self.replay.remaining:
            return
        if any(not wait.durable or wait.future.done() for wait in self.waits.values()):
            return
        if self.pump.activity != self._seen_activity:
            self.consider()
            return
        self.on_quiet()

    # --------------------------------------------------------------------------------------------------------- mail

    async def take_mail(self) -> None:
        """Turn unread mail into records, and wake what waited for it."""
        for mail in await self.services.store.unread(self.id):
            if self.closed:
                return
            if mail.id in self.mail:
                self.writer.attach(mail.id)
                continue
            self.mail[mail.id] = None
            data, tokens = received(self.services.vault, mail, self.whose)
            for entry in entries(
                self.services.vault, self.whose, tokens, self.services.clock.time(), self.limits.cache
            ):
                self.writer.attach(entry)
            record = Signalled(mail.id, mail.kind, mail.request, self.services.clock.time(), msgspec.Raw(data), mail.by)
            seq = self.note(record)
            self.writer.attach(mail.id)
            self._arrived(record, seq)

    def _arrived(self, record: Signalled, seq: int) -> None:
        if record.kind == "cancel":
            self.cancel(seq)
        elif record.kind == "signal":
            self.signals.setdefault(record.request, []).append(record)
            for wait in self.waits.values():
                if wait.hold.why == "signal" and decode(wait.hold.detail) == record.request and not wait.future.done():
                    taken = self.next_signal(record.request)
                    if taken is not None:
                        _resolve(wait.future, taken)
                    break
        else:
            self.decisions.setdefault(record.request, record)
            wait = self.waits.get(record.request)
            if wait is not None:
                _resolve(wait.future, record)

    def next_signal(self, name: str) -> Signalled | None:
        """Take the oldest arrival of a signal that no step has taken."""
        arrivals = self.signals.get(name, ())
        taken = self.consumed.get(name, 0)
        if taken >= len(arrivals):
            return None
        self.consumed[name] = taken + 1
        return arrivals[taken]

    def cancel(self, seq: int) -> None:
        """Cancel the member, in the place of record `seq` among its receipts."""
        if self.cancelled:
            return
        self.cancelled = True
        cancellation = _Cancellation(self, seq)
        if self.replay.remaining:
            # Its place is behind everything that is recorded, also behind what the member has not asked for yet.
            self.replay.ending().add_done_callback(lambda _: self.pump.offer(cancellation))
        else:
            self.pump.offer(cancellation)

    def abort(self, error: StepFailed) -> None:
        """A person ended the run rather than settle a doubt: no member may go on with it."""
        self.aborted = error
        self.stop()

    def refuse(self, frame: Frame) -> None:
        """Raise if a member may not request anything any more."""
        if self.closed:
            raise self._unloaded()
        if self.aborted is not None:
            raise self.aborted
        if (self.cancelled or self.expired) and not frame.cleaning and self.root is not None and self.root.cancelling():
            raise Cancelled("the run is being cancelled; use `async with ctx.cleanup():` for what must still happen")


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


def _resolve(future: asyncio.Future[Signalled | None], value: Signalled | None) -> None:
    if not future.done():
        future.set_result(value)


def usage_or_none(usage: Usage) -> Usage | None:
    """Usage as it is stored: nothing when nothing was used."""
    return usage if usage.input_tokens or usage.output_tokens else None


def as_step_error(error: BaseException, fallback: type[StepFailed]) -> StepFailed:
    """`error` as a member will see it: our own errors as they are, others by name."""
    while isinstance(error, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", error).exceptions
        if len(inner) != 1:
            break
        # What a TaskGroup wraps a single failure in says nothing.
        error = inner[0]
    if isinstance(error, StepFailed):
        return error
    name = type(cast("BaseException", error)).__name__
    text = str(cast("BaseException", error))
    return fallback(f"{name}: {text}" if text else name, type=name)
