"""One drive of one run: its journal, its waits, its mail, and whether it may still act.

A `Run` exists from the moment a lease is taken until the run ends, is unloaded, or loses its lease. It knows records
and futures; which actions there are, and what members see, is written on top of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from podium.core.actions import Kind
from podium.core.codec import decode
from podium.core.errors import Cancelled, Failure, LeaseLost, PodiumError, SchemaTooNew, StepFailed, Unloaded
from podium.core.labels import TRUSTED, Label
from podium.core.records import (
    FORMAT,
    Hold,
    Outcome,
    Principal,
    Signalled,
    Started,
)
from podium.core.state import History
from podium.core.usage import Usage
from podium.ports import Lease

from .carrying import entries, owner, received
from .journal import Journal, Listener
from .pump import QUIET_TICKS, Pump
from .replay import Replay
from .scope import Frame
from .services import Services
from .slots import Slots


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


class Run(Journal):
    """See the module."""

    __slots__ = (
        "_consider",
        "_seen_activity",
        "_watch",
        "_watched",
        "aborted",
        "active",
        "attached",
        "billed",
        "breath",
        "cancelled",
        "consumed",
        "context",
        "decisions",
        "deps",
        "ending",
        "expired",
        "failure",
        "fork_cut",
        "label",
        "lease",
        "loop",
        "mail",
        "next_due_at",
        "on_quiet",
        "performers",
        "principal",
        "pump",
        "replay",
        "root",
        "session",
        "signals",
        "slots",
        "started",
        "tasks",
        "upgrade",
        "waits",
        "whose",
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
        super().__init__(services, lease, history.facts, frames, listeners)
        self.loop = asyncio.get_running_loop()
        self.lease = lease
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
        self.attached: dict[str, None] = {}

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
            self._consider = self.loop.call_later(self.limits.idle, self._settling, QUIET_TICKS)

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

    def _settling(self, turns: int) -> None:
        """The time is over. A loop that something kept busy has not come to what was ready: let it turn first."""
        if turns and self.pump.activity == self._seen_activity:
            self._consider = self.loop.call_soon(self._settling, turns - 1)
        else:
            self._quiet()

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
