"""Driving runs: taking the lease, running the member, unloading it while it waits, recording how it ended.

To drive is to hold the lease. A drive ends in one of three ways: the run is over; the run is unloaded, waiting for
somebody; or the drive stopped without recording (the lease is lost, the store failed, the member no longer fits its
journal) and the run can be resumed.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from podium.core.actions import Call, Kind
from podium.core.codec import decode
from podium.core.errors import (
    Cancelled,
    DeadlineExceeded,
    Exhausted,
    Failure,
    LeaseLost,
    PermissionDenied,
    RunBusy,
    RunNotFound,
    StoreError,
    Unloaded,
    failure_of,
)
from podium.core.labels import TRUSTED
from podium.core.records import Finished, Resumed, Started, Status, Suspended, decode_frame, encode_record, frame
from podium.core.state import fold
from podium.ports import Allow, Busy, Deny, Lease, Member, Proposal, Timer, Transition

from .calls import CallPerformer
from .context import RunContext
from .journal import Listener
from .models import ModelPerformer
from .reads import EmitPerformer, ReadPerformer, RememberPerformer
from .run import Run
from .scope import Frame, Scope
from .services import Services
from .step import Step
from .tools import ToolPerformer
from .waits import AskPerformer, SignalPerformer, SleepPerformer, SpawnPerformer, child_mail, outcome_of

PERFORMERS = {
    Kind.MODEL: ModelPerformer(),
    Kind.TOOL: ToolPerformer(),
    Kind.CALL: CallPerformer(),
    Kind.SPAWN: SpawnPerformer(),
    Kind.ASK: AskPerformer(),
    Kind.WAIT: SignalPerformer(),
    Kind.SLEEP: SleepPerformer(),
    Kind.READ: ReadPerformer(),
    Kind.REMEMBER: RememberPerformer(),
    Kind.EMIT: EmitPerformer(),
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How one drive differs from another."""

    deps: Any = None
    steal: bool = False
    upgrade: bool = False
    """Use the agents' present configuration instead of what the run pinned."""
    fresh: Started | None = None
    """The only record of a run that was accepted just now, so that it need not be read back."""


class Driven(msgspec.Struct, frozen=True):
    """How a drive ended."""

    status: Status
    output: Any
    run: Run


class Driver:
    """Drives the runs of one app, on one event loop."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.active: dict[str, Run] = {}
        self.listeners: dict[str, list[Listener]] = {}
        """Subscribers by run; they stay while a run is unloaded."""
        self._keeper: asyncio.Task[None] | None = None

    def listen(self, run_id: str) -> list[Listener]:
        """The list of a run's subscribers, shared with the drive."""
        return self.listeners.setdefault(run_id, [])

    def unlisten(self, run_id: str, listener: Listener) -> None:
        """Remove a subscriber."""
        listeners = self.listeners.get(run_id)
        if listeners is not None and listener in listeners:
            listeners.remove(listener)
            if not listeners and run_id not in self.active:
                del self.listeners[run_id]

    async def notify(self, run_id: str) -> bool:
        """Tell the run's drive, if it is ours, that there is mail. False when we do not drive it."""
        run = self.active.get(run_id)
        if run is None or run.closed:
            return False  # An unloading run looks at its row once more before it lets go.
        try:
            await run.take_mail()
        except (StoreError, LeaseLost, Unloaded) as error:
            run.fail(error)
        return True

    async def drive(self, run_id: str, member: Member, options: Options) -> Driven:
        """Drive a run until it is over or unloaded.

        Raises RunBusy, RunNotFound, ReplayMismatch, LeaseLost or a StoreError; the run can then be resumed.
        """
        if run_id in self.active:
            raise RunBusy(f"run {run_id} is already driven by this process")
        lease = await self._acquire(run_id, options)
        try:
            while True:
                driven = await self._once(lease, member, options)
                options = msgspec.structs.replace(options, fresh=None)
                if driven is None:
                    continue
                if driven.status is Status.SUSPENDED:
                    row = await self.services.store.row(run_id)
                    if row is not None and row.status is Status.PENDING:
                        # Mail came between the suspension and this line: nobody else was told.
                        lease = await self._acquire(run_id, msgspec.structs.replace(options, steal=False))
                        continue
                return driven
        except BaseException:
            await self._let_go(lease)
            raise

    async def _acquire(self, run_id: str, options: Options) -> Lease:
        services = self.services
        lease = await services.store.acquire(run_id, services.owner, services.limits.lease, steal=options.steal)
        if isinstance(lease, Busy):
            left = max(0.0, lease.until - services.clock.time())
            raise RunBusy(
                f"run {run_id} is driven by {lease.owner or 'another process'} for at least {left:.0f} s more; "
                f"wait, or take it over with: podium resume {run_id} --steal"
            )
        return lease

    async def _let_go(self, lease: Lease) -> None:
        try:
            await self.services.store.release(lease)
        except (StoreError, LeaseLost):
            return  # It expires by itself.

    async def _once(self, lease: Lease, member: Member, options: Options) -> Driven | None:
        """One life of the run in memory; None when it must be loaded again at once."""
        services = self.services
        frames: list[bytes] = []
        if options.fresh is not None and lease.epoch == 1:
            history = fold((options.fresh,))
            frames.append(frame([encode_record(options.fresh)]))
        else:
            frames.extend(await services.store.frames(lease.run))
            history = fold(record for stored in frames for record in decode_frame(stored))
        if history.facts.seq == 0:
            raise RunNotFound(f"there is no run {lease.run}")
        listeners = self.listen(lease.run)
        run = Run(
            services,
            lease,
            history,
            frames,
            listeners=listeners,
            performers=PERFORMERS,
            context=RunContext,
            deps=options.deps,
            upgrade=options.upgrade,
        )
        self.active[run.id] = run
        if self._keeper is None or self._keeper.done():
            self._keeper = run.loop.create_task(self._keep())
        suspension = _Suspension(run)
        run.on_quiet = suspension.begin
        timer = None
        try:
            if history.facts.status.over:
                await services.store.release(lease)
                return Driven(history.facts.status, None, run)
            if lease.epoch > 1 or history.facts.seq > 1:
                now = services.clock.time()
                run.note(Resumed(lease.epoch, services.owner, now, lease.stolen_until, services.gate.version))
            run.pump.busy = 1
            run.root = run.loop.create_task(_root(run, member))
            timer = _deadline(run)
            if history.facts.cancelled is not None:
                run.cancel(history.facts.seq)
            await run.take_mail()
            output, error = await _outcome(run.root)
            if run.tasks:
                await _sweep(run)
            if run.closed:
                return await suspension.outcome()
            return await self._finish(run, output, error)
        except BaseException:
            run.close()
            if run.root is not None:
                await _outcome(run.root)
                await _sweep(run)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            del self.active[run.id]
            if not listeners:
                self.listeners.pop(run.id, None)

    async def _finish(self, run: Run, output: Any, error: BaseException | None) -> Driven:
        """Record how the run ended and give the lease back, in one transaction."""
        status, failure = _verdict(run, error)
        rule = ""
        if status is Status.EXHAUSTED and isinstance(error, Exhausted):
            output = error.partial
        if status is Status.SUCCEEDED or (status is Status.EXHAUSTED and output is not None):
            # What was reached before a limit is given out like an answer, so it passes like one.
            said = _answer(run, output)
            if isinstance(said, str):
                rule = said
            else:
                status, failure, output = Status.FAILED, said, None
        if failure is not None:
            failure = self.services.vault.clean(failure)
        run.ending = failure
        now = self.services.clock.time()
        run.note(Finished(status, now, error=failure, rule=rule))
        await run.writer.transition(
            Transition(status, None, release=True, cost=str(run.facts.cost), costs=run.facts.costs.rows())
        )
        run.closed = True
        if run.started.parent:
            await self._tell_parent(run, status, output, failure, now)
        return Driven(status, output, run)

    async def _tell_parent(self, run: Run, status: Status, output: Any, failure: Failure | None, now: float) -> None:
        services = self.services
        row = await services.store.row(run.id)
        if row is None:
            return
        plain = None if failure is not None else services.dump(output)
        outcome = outcome_of(status, plain, failure, str(run.facts.cost), run.label)
        try:
            mail = child_mail(row, run.started.parent, outcome, now)
            parent = await services.store.post(msgspec.structs.replace(mail, data=run.masked(mail.data)))
        except RunNotFound:
            return
        if not await self.notify(parent.id):
            services.woken(parent)

    async def _keep(self) -> None:
        """Renew the leases of all active runs, again and again."""
        while self.active:
            await self.services.clock.sleep(self.services.limits.lease / 3)
            await self._renew()

    async def _renew(self) -> None:
        """Renew the leases of all active runs; stop those that were lost. Holds on to no run while it waits."""
        services = self.services
        runs = list(self.active.values())
        try:
            lost = await services.store.renew([run.lease for run in runs], services.limits.lease)
        except StoreError:
            return  # The leases still hold for a while; `Run.check` stops actions before they end.
        gone = {(lease.run, lease.epoch) for lease in lost}
        for run in runs:
            if (run.id, run.lease.epoch) in gone and not run.closed:
                run.fail(LeaseLost(f"run {run.id} was taken over by another process"))

    async def flushed(self, run_id: str) -> None:
        """Wait until everything the run's drive here has written is durable, so that a reader of the store sees it."""
        run = self.active.get(run_id)
        barrier = run.writer.barrier() if run is not None and run.writer.failed is None else None
        if barrier is not None:
            await barrier

    async def close(self) -> None:
        """Unload every active run without recording anything; they can be resumed."""
        for run in list(self.active.values()):
            run.fail(Unloaded(f"the app was closed while run {run.id} was being driven; resume it"))
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
            self._keeper = None


class _Suspension:
    """Unloading a run that only waits."""

    __slots__ = ("_done", "_run", "_task")

    def __init__(self, run: Run) -> None:
        self._run = run
        self._task: asyncio.Task[None] | None = None
        self._done: bool | None = None

    def begin(self) -> None:
        run = self._run
        if self._task is None and not run.closed and not run.cancelled and not run.expired:
            run.closed = True
            run.pump.closed = True
            self._task = run.loop.create_task(self._unload())

    async def _unload(self) -> None:
        run = self._run
        now = run.services.clock.time()
        try:
            barrier = run.writer.barrier()
            if barrier is not None:
                await barrier
            run.next_due_at = run.next_due()
            run.note(Suspended(now, run.next_due_at))
            self._done = await run.writer.transition(
                Transition(
                    Status.SUSPENDED,
                    run.next_due_at,
                    release=True,
                    unless_mail=True,
                    cost=str(run.facts.cost),
                    costs=run.facts.costs.rows(),
                )
            )
        except (StoreError, LeaseLost) as error:
            run.fail(error)
        run.stop()

    async def outcome(self) -> Driven | None:
        """Suspended, or None when mail came in between and the run must go on."""
        if self._task is not None:
            await self._task
        if self._run.failure is not None:
            raise self._run.failure
        return Driven(Status.SUSPENDED, None, self._run) if self._done else None


async def _root(run: Run, member: Member) -> Any:
    scope = Scope("", Frame("", label=run.started.label or TRUSTED, deadline=run.started.deadline), run.root)
    value = decode(run.started.input)
    load = getattr(member, "load_input", None)
    step = Step(run, scope, Call(member.name, member, value if load is None else load(value)), unwrap=True)
    try:
        return await step
    finally:
        run.pump.busy = 0
        run.label = scope.frame.label


async def _outcome(task: asyncio.Task[Any]) -> tuple[Any, BaseException | None]:
    """Wait for a task that is never cancelled with its waiter, and take what came of it as a value."""
    if not task.done():
        # `asyncio.wait` would do, and costs two coroutines more for every run that is alive.
        over = task.get_loop().create_future()
        task.add_done_callback(lambda _: over.done() or over.set_result(None))
        await over
    if task.cancelled():
        return None, asyncio.CancelledError()
    error = task.exception()
    return (None, error) if error is not None else (task.result(), None)


async def _sweep(run: Run) -> None:
    """End what the member started and did not wait for; a run is not over before all of it is."""
    while run.tasks:
        for task in run.tasks:
            task.cancel()
        await asyncio.wait(set(run.tasks))


def _deadline(run: Run) -> Timer | None:
    deadline = run.started.deadline
    if deadline is None:
        return None

    def expire() -> None:
        run.expired = True
        run.stop()

    left = deadline - run.services.clock.time()
    if left <= 0:
        # The member gets as far as its first wait, so that it can clean up.
        return run.loop.call_soon(expire)
    return run.services.clock.call_later(left, expire)


def _verdict(run: Run, error: BaseException | None) -> tuple[Status, Failure | None]:
    if run.aborted is not None:
        return Status.FAILED, run.aborted.failure
    if error is None:
        return Status.SUCCEEDED, None
    if run.cancelled:
        return Status.CANCELLED, Cancelled("the run was cancelled").failure
    if run.expired:
        return Status.EXHAUSTED, DeadlineExceeded("the run's time was over").failure
    if isinstance(error, Exhausted):
        return Status.EXHAUSTED, error.failure
    return Status.FAILED, failure_of(error)


def _answer(run: Run, output: Any) -> Failure | str:
    """The gate's word on giving the output to whoever asked for it: the rule that lets it out, or why it stays."""
    gate = run.services.gate
    if not gate.concerns(Kind.ANSWER):
        return ""
    verdict = gate.judge(
        Proposal(
            kind=Kind.ANSWER,
            name="answer",
            args=output,
            digest=b"",
            subject=run.started.member,
            grants=None,
            principal=run.principal,
            label=run.label,
            run_id=run.id,
        )
    )
    if isinstance(verdict, Allow):
        return verdict.rule
    message = verdict.message if isinstance(verdict, Deny) else _NEITHER.format(rule=verdict.rule)
    return PermissionDenied(message, rule=verdict.rule, withheld=True).failure


_NEITHER = "the check {rule} wants the answer held or rewritten, which no answer can be: it is withheld"
