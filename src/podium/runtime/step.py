"""A requested step: an awaitable with a key, matched against the journal, performed, and delivered in order.

A step does nothing until it is awaited or started. Awaited by the task that owns its scope, with nothing else going on,
it runs in that task and hands its receipt over on the spot. In all other cases the pump decides when.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from enum import IntEnum
from typing import Any, Protocol

import msgspec

from podium.core.actions import Action, CallModel, Kind
from podium.core.codec import decode
from podium.core.errors import (
    Aborted,
    Cancelled,
    ConfigurationError,
    Exhausted,
    ReplayMismatch,
    ScopeError,
    StepFailed,
    StoreError,
    Unloaded,
    rebuild,
)
from podium.core.errors import LeaseLost as _LeaseLost
from podium.core.labels import TRUSTED, Label
from podium.core.records import NIL, Began, Ended, Outcome, Retried
from podium.core.state import StepState
from podium.core.usage import Usage
from podium.ports import Receipt

from .bounded import Blocked, at_once
from .run import Run
from .scope import Scope

FATAL = (ReplayMismatch, _LeaseLost, Unloaded, StoreError, ConfigurationError)
"""Errors that stop a drive without an outcome: the journal stays as it is, and the run can be resumed."""


_CALL = Kind.CALL
_PAID = frozenset({Kind.MODEL, Kind.TOOL})
BREATH = 128
"""Steps that end at once, after which the event loop gets its turn."""


class Performer(Protocol):
    """How one kind of action is compared, performed and received."""

    def digest(self, run: Run, action: Any) -> bytes:
        """What a replayed request must equal."""
        ...

    async def perform(self, run: Run, step: Step) -> None:
        """Perform the step live and call `step.finish`."""
        ...

    def receive(self, run: Run, action: Any, raw: msgspec.Raw) -> Any:
        """The value a member gets for a recorded one: the same live and on replay."""
        ...


class _State(IntEnum):
    NEW = 0
    RUNNING = 1
    DONE = 2


class Step:
    """See the module. Made by a Context."""

    __slots__ = (
        "_broken",
        "_future",
        "_offered",
        "_owner_waits",
        "_state",
        "_task",
        "_unwrap",
        "_woken",
        "action",
        "attempt",
        "counted",
        "digest",
        "key",
        "label",
        "order",
        "past",
        "pos",
        "ready",
        "receipt",
        "recorded",
        "run",
        "scope",
        "waiting",
    )

    def __init__(self, run: Run, scope: Scope, action: Action, *, unwrap: bool) -> None:
        if scope.task is not asyncio.current_task(run.loop):
            raise ScopeError(
                f"a step ({action.name}) was requested in scope {scope.key!r} from a task that does not own it: "
                "start branches with ctx.gather(...) or `async with ctx.group() as g`, and use the context each "
                "branch is given"
            )
        if run.closed or run.cancelled or run.expired or run.aborted is not None:
            run.refuse(scope.frame)
        self.run = run
        self.scope = scope
        self.action = action
        self.key = scope.take(action.name)
        scope.pos += 1
        self.pos = scope.pos
        self.label = scope.frame.label
        """What the scope had seen when the step was requested: the same on replay, whatever was delivered since."""
        self.digest = b""
        self.waiting: tuple[int, ...] = ()
        self.past: StepState | None = None
        """What the journal holds of an unfinished earlier performance."""
        self.attempt: Began | None = None
        """The attempt of a model or tool call that is under way: begun here or by an earlier drive, and not settled."""
        self.order = 0
        """Number of the `Ended` record."""
        self.ready = True
        self.recorded = False
        self.counted = False
        """Whether the pump already counts the member this step runs in the background."""
        self.receipt: Receipt | None = None
        self._unwrap = unwrap
        self._state = _State.NEW
        self._offered = False
        self._owner_waits = False
        self._woken = False
        self._future: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._broken: BaseException | None = None

    def __lt__(self, other: object) -> bool:  # pragma: no cover  (two deliveries never share an order)
        return False

    # ------------------------------------------------------------------------------------------------------ starting

    def start(self) -> Step:
        """Begin now, beside whatever the caller does next."""
        if self._state is not _State.NEW:
            return self
        self._state = _State.RUNNING
        run = self.run
        if self._known():
            run.pump.offer(self)
            return self
        if self.action.kind == "call":
            self.counted = True
            run.pump.unpark()
        self._task = run.loop.create_task(self._background())
        run.tasks.add(self._task)
        self._task.add_done_callback(run.tasks.discard)
        return self

    async def _background(self) -> None:
        try:
            await self._execute()
        except BaseException as error:
            self._state = _State.DONE
            self._broken = error
            if self._owner_waits and not self._woken:
                self._woken = True
                self.run.pump.unpark()
            if self._future is not None and not self._future.done():
                self._future.set_result(None)
            if isinstance(error, asyncio.CancelledError):
                raise
            return
        self._offer()

    def cancel(self) -> None:
        """Stop a started step that nobody will await."""
        if self._task is not None and not self._task.done():
            self._task.cancel()

    def __await__(self) -> Generator[Any, None, Any]:
        run = self.run
        if self._state is not _State.NEW or not run.replay.over:
            return (yield from self._settle().__await__())
        # The common case, a new step awaited where it was requested, without a coroutine of its own.
        pump = run.pump
        scope = self.scope
        action = self.action
        owned = asyncio.current_task(run.loop) is scope.task
        self._state = _State.RUNNING
        try:
            self.waiting = scope.started(self.pos)
            performer = run.performers[action.kind]
            self.digest = performer.digest(run, action)
            run.check()
            if action.kind is _CALL:
                # The task goes on running, now the called member's code: it does not park.
                self.counted = not owned
                if not owned:
                    pump.unpark()
                yield from performer.perform(run, self).__await__()
            else:
                if owned:
                    pump.park()
                run.active += 1
                try:
                    yield from performer.perform(run, self).__await__()
                finally:
                    run.active -= 1
                    if owned:
                        pump.unpark()
                    if run.waits:
                        run.consider()
        except BaseException as error:
            self._failed(error)
            self._state = _State.DONE
            raise
        if owned and not self._offered and pump.alone:
            self._arrive()
            run.breath += 1
            if not run.breath % BREATH:
                yield  # A member whose steps never wait must not keep timers, mail and the lease waiting.
        else:
            yield from self._handed_over(owned).__await__()
        return self._result()

    async def _handed_over(self, owned: bool) -> None:
        """Stand in line, and wait for one's turn."""
        self._owner_waits = owned
        self._offer()
        if owned:
            # In line before its task counts as parked: what is journaled later must not overtake it.
            self.run.pump.park()
        await self._delivered(owned)

    async def _settle(self) -> Any:
        run = self.run
        pump = run.pump
        if self._over():
            return self._result()
        owned = asyncio.current_task(run.loop) is self.scope.task
        if self._state is not _State.NEW:
            self._owner_waits = owned
            if owned:
                pump.park()
            await self._delivered(owned)
            return self._result()
        self._state = _State.RUNNING
        try:
            if not self._known():
                await self._perform(owned)
        except BaseException:
            self._state = _State.DONE
            raise
        if owned and not self._offered and pump.alone:
            self._arrive()
        else:
            await self._handed_over(owned)
        return self._result()

    async def _delivered(self, owned: bool) -> None:
        """Wait until the pump has handed the receipt over; parking may have done it in the same breath."""
        if not self._over():
            future = self._future = self.run.loop.create_future()
            try:
                await future
            except asyncio.CancelledError:
                if not self._over():
                    self._state = _State.DONE
                    self.run.pump.drop(self)
                    if self.recorded:
                        self.run.replay.delivered()
                    self.cancel()
                if owned and not self._woken:
                    # Cancelled while it waited, or delivered to a task that had been cancelled already.
                    self.run.pump.unpark()
                raise
        if owned and not self._woken:
            self.run.pump.unpark()

    def _over(self) -> bool:
        return self._state is _State.DONE

    def _offer(self) -> None:
        if self._offered:
            self.ready = True
            self.run.pump.became_ready()
        else:
            self._offered = True
            self.run.pump.offer(self)

    # ----------------------------------------------------------------------------------------------------- performing

    def _known(self) -> bool:
        """Match the request against the journal; True when its receipt is recorded."""
        run = self.run
        scope = self.scope
        action = self.action
        self.waiting = scope.started(self.pos)
        performer = run.performers[action.kind]
        self.digest = performer.digest(run, action)
        replay = run.replay
        if replay.over:
            return False
        try:
            past = replay.match(scope.key, self.key, self.pos, action.kind, action.name, self.digest)
        except ReplayMismatch as error:
            run.fail(error)
            raise
        self.past = past
        if past is None:
            return False
        if past.ended is None:
            self.attempt = past.attempt if action.kind in _PAID else None
            return False
        raw = past.ended.value
        if past.ended.blob:
            # Read here and now where the store can: a receipt that is fetched later would lose its place in line.
            data = at_once(run.services.store.blob(past.ended.blob))
            if isinstance(data, Blocked):
                data.coroutine.close()
                return False
            raw = msgspec.Raw(data)
        self._recall(past, raw)
        return True

    def _recall(self, past: StepState, raw: msgspec.Raw) -> None:
        ended = past.ended
        if ended is None:
            return
        self.recorded = True
        self.order = past.ended_seq
        if past.began_seq and isinstance(self.action, CallModel):
            self.action.transcript.called(past.began_seq)
        self._receive(ended, raw, past.began)

    async def _execute(self) -> None:
        run = self.run
        past = self.past
        try:
            if past is not None and past.ended is not None:
                self._recall(past, msgspec.Raw(await run.services.store.blob(past.ended.blob)))
                return
            if run.replay.remaining and self.action.kind is not _CALL:
                # A Call is no effect: it is entered (again) at once, and what is new inside it waits here.
                run.watch_replay()
                await run.replay.caught_up()
            run.check()
            performer = run.performers[self.action.kind]
            if self.action.kind is _CALL:
                await performer.perform(run, self)
                return
            run.active += 1
            try:
                await performer.perform(run, self)
            finally:
                run.active -= 1
                if run.waits:
                    run.consider()
        except BaseException as error:
            self._failed(error)
            raise

    async def _perform(self, owned: bool) -> None:
        """Execute, counting the task as parked while it is not the member's code that runs."""
        pump = self.run.pump
        if self.action.kind is _CALL:
            self.counted = not owned
            if not owned:
                pump.unpark()
            await self._execute()
            return
        if owned:
            pump.park()
        try:
            await self._execute()
        finally:
            if owned:
                pump.unpark()

    def _failed(self, error: BaseException) -> None:
        """What performing raised is not an outcome: it stops the drive, or the step was cancelled."""
        run = self.run
        if isinstance(error, FATAL):
            run.fail(error)
        elif isinstance(error, asyncio.CancelledError) and not run.closed and self.receipt is None:
            # A lost race, a timeout, a cancelled run: the step is over for good, and says so.
            self.cancelled()

    def cancelled(self, *, made: bool = True) -> None:
        """Journal that the step was cancelled. If its attempt may have been `made`, nobody knows what came of it."""
        error = Cancelled(f"{self.action.name} was cancelled")
        began = self.attempt
        if began is None:
            self.finish(error=error)
            return
        unknown = made and (began.kind is Kind.MODEL or began.effect == "write")
        cost = None if made and (began.reserved is not None or began.kind is Kind.MODEL) else "0"
        self.finish(error=error, outcome=Outcome.UNKNOWN if unknown else None, began=began, cost=cost)

    async def durable(self, barrier: Awaitable[None]) -> None:
        """Wait until the beginning of the attempt under way is durable: cancelled before that, it was never made."""
        try:
            await barrier
        except asyncio.CancelledError:
            if not self.run.closed:
                self.cancelled(made=False)
            raise

    def retried(self, record: Retried) -> None:
        """Journal that the attempt under way failed, and is followed by another."""
        began, self.attempt = self.attempt, None
        clean = self.run.services.vault.clean(record.error)
        self.run.retried(record if clean is record.error else msgspec.structs.replace(record, error=clean), began)

    def finish(
        self,
        value: Any = None,
        *,
        error: StepFailed | None = None,
        outcome: Outcome | None = None,
        usage: Usage | None = None,
        cost: str | None = "0",
        label: Label = TRUSTED,
        rule: str = "",
        began: Began | None = None,
        attempt: int = 1,
        sync: bool = False,
        cached: bool = False,
    ) -> None:
        """Journal how the step ended. With `sync`, it is delivered only after the caller made the record durable."""
        run = self.run
        self.attempt = None
        if began is not None:
            attempt = began.attempt
        raw, blob = NIL, ""
        if value is not None:
            raw, blob = run.packed(value)
        if outcome is None:
            outcome = Outcome.OK if error is None else Outcome.ERROR
        at = run.services.clock.time()
        failure = None if error is None else run.services.vault.clean(error.failure)
        stored = None if label is TRUSTED else run.label_of(label)
        if began is None:
            action = self.action
            record = Ended(
                self.key,
                at,
                outcome,
                raw,
                failure,
                usage,
                cost,
                stored,
                attempt,
                False,
                blob,
                self.pos,
                action.kind,
                action.name,
                self.digest,
                self.waiting,
                rule,
            )
        else:
            record = Ended(self.key, at, outcome, raw, failure, usage, cost, stored, attempt, cached, blob, rule=rule)
        self.order = run.ended(record, began)
        if sync:
            self.ready = False
            self._offered = True
            run.pump.offer(self)
        self._receive(record, raw if not blob else run.fresh(value), began)

    def stand(self, order: int) -> None:
        """Take the place `order` in line, not ready to go: something journaled there may be this step's outcome."""
        self.order, self.ready, self._offered = order, False, True
        self.run.pump.offer(self)

    def leave(self) -> None:
        """Give up the place that `stand` took, if it did."""
        if self._offered and not self.ready:
            self.ready, self._offered = True, False
            self.run.pump.drop(self)

    def ended(self, record: Ended, seq: int) -> None:
        """Take an outcome that is in the journal already, as record `seq`."""
        self.order = seq
        self._receive(record, record.value, None)

    def _receive(self, ended: Ended, raw: msgspec.Raw, began: Began | None) -> None:
        error = None
        value = None
        if ended.error is None:
            value = self.run.performers[self.action.kind].receive(self.run, self.action, raw)
        else:
            error = rebuild(ended.error)
            if isinstance(error, Exhausted):
                error.partial = decode(raw)
        self.receipt = Receipt(
            self.key,
            value,
            error,
            self.order,
            ended.usage,
            ended.cost,
            ended.at - began.at if began is not None else 0.0,
            ended.label,
            ended.attempt,
            ended.cached,
        )

    # ------------------------------------------------------------------------------------------------------ delivery

    def deliver(self) -> None:
        """Called by the pump when the step's turn has come."""
        self._arrive()
        if self._owner_waits and not self._woken:
            self._woken = True
            self.run.pump.unpark()
        future = self._future
        if future is not None and not future.done():
            future.set_result(None)

    def _arrive(self) -> None:
        self._state = _State.DONE
        receipt = self.receipt
        if receipt is not None:
            if receipt.label is not None:
                self.scope.frame.absorb(receipt.label)
            if type(receipt.error) is Aborted:
                self.run.abort(receipt.error)
        if self.recorded:
            self.run.replay.delivered()

    def _result(self) -> Any:
        if self._broken is not None:
            raise self._broken
        receipt = self.receipt
        if receipt is None:
            raise asyncio.CancelledError
        if not self._unwrap:
            return receipt
        if receipt.error is not None:
            raise receipt.error
        return receipt.value
