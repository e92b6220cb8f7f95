"""One life of a run, in a child process: start it or take it up, answer for people, move the clock, and report.

Everything goes through the public app on a real SQLite file. A life ends with its report, or with SIGKILL at the
boundary it was given. It judges nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import msgspec

from podium.agents.member import RunOptions
from podium.app import Podium
from podium.core import keys
from podium.core.actions import Kind
from podium.core.codec import decode
from podium.core.errors import PodiumError, RunBusy
from podium.core.records import Began, Ended, Held, Principal, Record, Retried, Signalled, Status
from podium.ports import RunRow
from podium.runtime.results import Pending, RunResult
from podium.runtime.services import Limits
from podium.schema import dump
from podium.stores.owner import is_dead
from podium.stores.sqlite import SqliteStore
from podium.testing.clock import START, FakeClock, FakeTimer
from podium.testing.faults import Do, FaultPlan, FaultyStore, Kill, Point

from .subject import Subject

RUN = "crashtest"
"""The id of every life's run, so that keys, child runs and idempotency keys are the same in all of them."""

LEASE = 86_400.0
"""Seconds: no lease ends by itself in a life, so only the proof that its owner is dead lets another take it."""

NO_MODELS = "a crash test runs hundreds of times: give the agents a ScriptedModel, or allow real models"

SHORT_SLEEP = 3_600.0
MOST_TURNS = 10_000
MOST_IDLE = 20


class Step(msgspec.Struct, frozen=True):
    """A tool call or model call that was at work."""

    key: str
    name: str
    kind: str
    effect: str
    run: str


class Change(msgspec.Struct, frozen=True):
    """Something that appeared in the world, and what was at work then."""

    effect: str
    during: tuple[Step, ...]
    after: str
    """The last record before it."""


class Line(msgspec.Struct, frozen=True):
    """A record of a finished life, as far as a judge needs it."""

    run: str
    type: str
    key: str = ""
    kind: str = ""
    name: str = ""
    effect: str = ""
    attempt: int = 0
    epoch: int = 0
    error: str = ""
    request: str = ""
    digest: str = ""
    value: Any = None


class Job(msgspec.Struct, frozen=True):
    """A life to live."""

    folder: str
    input: Any = None
    answers: dict[str, Any] = {}
    kill: tuple[int, str] | None = None
    """Record number and `before` or `after`."""
    observe: bool = False
    """Whether to look at the world at every record."""
    resume: bool = False
    changes: tuple[Change, ...] = ()
    """What the uninterrupted run did to the world, and when."""
    results: dict[str, Any] = {}
    """What its tools returned, by `run key`."""
    allow_real_models: bool = False
    model: str = "offline"
    patience: float = 5.0
    """Real seconds that a run may take between two stops, unless it asks something."""


class Life(msgspec.Struct, frozen=True):
    """What a life came to."""

    status: str = ""
    output: Any = None
    error: str = ""
    cost: str = "0"
    uncertain: str = "0"
    effects: dict[str, int] = {}
    lines: tuple[Line, ...] = ()
    asked: tuple[str, ...] = ()
    """Keys of steps in doubt."""
    holds: int = 0
    timers: int = 0
    changes: tuple[Change, ...] = ()
    points: tuple[tuple[str, str, str], ...] = ()
    """Record, run and key of every boundary, in order."""
    failure: str = ""
    """The name of the error that stopped the drive."""
    message: str = ""


class Stuck(PodiumError):
    """The run came to no end."""


class LifeClock(FakeClock):
    """Time that moves only when nothing else can happen.

    It stands still (so that what a member reads of it is the same in every life) until a timer is due in real seconds
    too, a retry pauses (at once), or every run is unloaded and the life jumps to the next due time.
    """

    def call_later(self, seconds: float, callback: Callable[[], None]) -> FakeTimer:
        """Call after `seconds` of real time, or of a jump."""

        def once() -> None:
            if not timer.cancelled:
                timer.cancel()
                callback()

        def passed() -> None:
            self.forward(timer.due)
            timer.callback()

        timer = super().call_later(seconds, once)
        asyncio.get_running_loop().call_later(max(0.0, seconds), passed)
        return timer

    async def sleep(self, seconds: float) -> None:
        """Pauses between attempts are over at once; longer waits wait."""
        await (super().sleep(seconds) if seconds > SHORT_SLEEP else asyncio.sleep(0))

    def forward(self, until: float) -> None:
        """Be at `until`, without firing anything."""
        self._now = max(self._now, until)

    async def jump(self, until: float) -> None:
        """Be at `until` (rounded up to a millisecond, the same in every life), and fire all that is due."""
        self.forward(round(until + 0.001, 3))
        while (due := self.next_due) is not None and due <= self.time():
            self._fire()
        await self.advance(0.0)


class Observer:
    """Looks at the world before every record, and notes what was at work when it changed."""

    def __init__(self, read: Callable[[], Counter[str]]) -> None:
        self._read = read
        self._seen = read()
        self._working: dict[tuple[str, str], Step] = {}
        self._last = "the start"
        self.changes: list[Change] = []

    def __call__(self, point: Point) -> None:
        """A plan's watcher."""
        if point.when != "before" or point.record is None:
            return
        self.look()
        record: Record = point.record
        if isinstance(record, Began) and record.kind in (Kind.TOOL, Kind.MODEL):
            step = Step(record.key, record.name, str(record.kind), record.effect, point.run)
            self._working[point.run, record.key] = step
        elif isinstance(record, Ended):
            self._working.pop((point.run, record.key), None)
        self._last = f"{point.place} {point.key}".strip()

    def look(self) -> None:
        """Compare the world with what it was."""
        now = self._read()
        if now != self._seen:
            during = tuple(self._working.values())
            new = now - self._seen
            self.changes += [Change(effect, during, self._last) for effect in new.elements()]
            self._seen = now


async def live(subject: Subject, job: Job, tell: Callable[[bytes], None]) -> Life:
    """Live a life. `tell` is called with the boundary's name just before the process is killed."""
    folder = Path(job.folder)
    world = folder / "world"
    if not job.allow_real_models:
        from podium.models.transport import forbid_real_calls

        forbid_real_calls(NO_MODELS)
    if not job.resume:
        subject.setup(world)
    clock = LifeClock(START)
    store = SqliteStore.open(folder / "podium.db", clock=clock)
    await _catch_up(store, clock)
    plan = FaultPlan()
    points: list[tuple[str, str, str]] = []
    plan.watch(lambda point: points.append((point.place, point.run, point.key)) if _counts(point) else None)
    observer = None
    if job.observe:
        observer = Observer(lambda: subject.effects(world))
        plan.watch(observer)
    if job.kill is not None:
        _murder(plan, job.kill, tell)
    app = Podium(
        store=FaultyStore(store, plan),
        clock=clock,
        members=[subject.member],
        model=job.model,
        limits=Limits(lease=LEASE, short_wait=0.0, idle=0.01),
    )
    keeper = _Keeper(app, clock, subject, job)
    life = Life()
    async with app:
        try:
            life = _told(await keeper.drive(subject.deps(world)))
        except PodiumError as error:
            life = Life(failure=type(error).__name__, message=str(error))
        except Exception as error:  # noqa: BLE001  (the outermost edge of the process: the parent must hear of it)
            traceback.print_exc()
            life = Life(failure=type(error).__name__, message=f"{type(error).__name__}: {error}")
        lines = await _lines(app)
    if observer is not None:
        observer.look()
    return msgspec.structs.replace(
        life,
        effects=dict(subject.effects(world)),
        lines=tuple(lines),
        asked=tuple(keeper.asked),
        holds=keeper.holds,
        timers=keeper.timers,
        changes=tuple(observer.changes) if observer is not None else (),
        points=tuple(points) if job.observe else (),
    )


def _counts(point: Point) -> bool:
    return point.when == "before" and point.record is not None


def _murder(plan: FaultPlan, kill: tuple[int, str], tell: Callable[[bytes], None]) -> None:
    number, when = kill

    def name(point: Point) -> None:
        tell(f"{point.place} {point.key}".strip().encode())

    for place in ("Started", "Resumed", "Began", "Held", "Retried", "Ended", "Signalled", "Suspended", "Finished"):
        here = f"{when} {place}"
        plan.on(here, Do(name), where=lambda point: point.number == number)
        plan.on(here, Kill(), where=lambda point: point.number == number)


async def _catch_up(store: SqliteStore, clock: LifeClock) -> None:
    """Let time go on from where the killed process left it."""
    for row in await store.rows(limit=1000):
        for record in await store.read(row.id):
            clock.forward(float(getattr(record, "at", 0.0)))
        if row.owner and not row.owner.startswith("linux/"):
            # Only Linux proves that a process is dead; elsewhere the lease has to end.
            clock.forward(row.lease_until + 1.0)


def _told(result: RunResult[Any]) -> Life:
    return Life(
        status=str(result.status),
        output=dump(result.output, what="the output"),
        error="" if result.error is None else str(result.error),
        cost=str(result.cost),
        uncertain=str(result.uncertain_cost),
    )


async def _lines(app: Podium) -> list[Line]:
    return [
        _line(row.id, record) for row in reversed(await app.runs(limit=1000)) for record in await app.store.read(row.id)
    ]


def _line(run: str, record: Record) -> Line:
    name = type(record).__name__
    if isinstance(record, Began):
        line = Line(run, name, record.key, str(record.kind), record.name, record.effect, record.attempt, record.epoch)
        return msgspec.structs.replace(line, digest=record.digest.hex())
    if isinstance(record, Ended):
        error = "" if record.error is None else str(record.error)
        value = None if record.blob or record.kind is not None else decode(record.value)
        return Line(run, name, record.key, str(record.kind or ""), record.name, attempt=record.attempt, error=error,
                    value=_plain(value))  # fmt: skip
    if isinstance(record, Retried):
        return Line(run, name, record.key, attempt=record.attempt, error=str(record.error))
    if isinstance(record, Signalled):
        return Line(run, name, kind=record.kind, request=record.request)
    request = record.hold.request if isinstance(record, Held) else ""
    return Line(run, name, str(getattr(record, "key", "")), epoch=int(getattr(record, "epoch", 0)), request=request)


def _plain(value: object) -> Any:
    try:
        return dump(value)
    except PodiumError:
        return None


class _Keeper:
    """Keeps a run going to its end: drives it, answers what it asks, and moves the clock when it only waits."""

    def __init__(self, app: Podium, clock: LifeClock, subject: Subject, job: Job) -> None:
        self._app, self._clock, self._subject, self._job = app, clock, subject, job
        self._world = Path(job.folder) / "world"
        self.asked: list[str] = []
        self.holds = 0
        self.timers = 0
        self._idle = 0
        self._answers: set[tuple[str, str]] = set()

    async def drive(self, deps: Any) -> RunResult[Any]:
        """The run's result. Raises Stuck, and what stops a drive."""
        app, member = self._app, self._subject.member
        await app.open()
        if await app.row(RUN) is None:
            await self._patient(app.run(member, self._job.input, options=RunOptions(run_id=RUN, deps=deps)), RUN)
        else:
            await self._patient(app.resume(RUN, member, deps=deps), RUN)
        for _ in range(MOST_TURNS):
            rows = [row for row in await app.runs(limit=1000) if not row.status.over]
            if all(row.id != RUN for row in rows):
                return await app.resume(RUN, member)
            driven = next((row for row in rows if row.owner and not is_dead(row.owner)), None)
            awake = next((row for row in rows if row.status is not Status.SUSPENDED), None)
            if driven is not None:
                await self._until(driven.id, lambda row: not row.owner, "it is still driven")
            elif awake is not None:
                await self._awake(awake, deps)
            elif not await self._answered(rows):
                await self._jump(rows, deps)
        raise Stuck(f"the run was stopped {MOST_TURNS} times without coming to an end")

    async def _patient(self, working: Coroutine[Any, Any, object], run: str) -> None:
        """Drive a run that may be driven already, until it does nothing any more."""
        task = asyncio.ensure_future(working)
        try:
            while True:
                done, _ = await asyncio.wait({task}, timeout=self._job.patience)
                if done:
                    break
                # A run may ask and stay in memory; people answer all the same.
                if not await self._answered(await self._app.runs(limit=1000)):
                    raise Stuck(f"run {run} came to a halt while it was driven: {await self._waits(run)}")
            with contextlib.suppress(RunBusy):
                task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _until(self, run: str, met: Callable[[RunRow], bool], why: str) -> None:
        """Wait until a run's row says so, or the run is over."""
        end = time.monotonic() + self._job.patience
        while True:
            row = await self._app.row(run)
            if row is None or row.status.over or met(row):
                return
            if time.monotonic() > end:
                if not await self._answered(await self._app.runs(limit=1000)):
                    raise Stuck(f"run {run} came to a halt ({why}): {await self._waits(run)}")
                end = time.monotonic() + self._job.patience
            await asyncio.sleep(0.001)

    async def _awake(self, row: RunRow, deps: Any) -> None:
        """A run that could go on and is not driven: its app is about to. Ask for the root by name, to hear errors."""
        if row.id == RUN:
            await self._patient(self._app.resume(RUN, self._subject.member, deps=deps), RUN)
        else:
            await self._until(row.id, lambda now: now.epoch != row.epoch, "nobody takes it up")

    async def _waits(self, run: str) -> str:
        found = [f"{item.why} {item.key}" for item in await self._app.desk.pending(run)]
        row = await self._app.row(run)
        status = "unknown" if row is None else str(row.status)
        return f"it is {status} and waits for {', '.join(found) or 'nothing'}"

    async def _jump(self, rows: list[RunRow], deps: Any) -> None:
        """Every run only waits: go to the first moment at which one goes on by itself."""
        due = [(row.wake_at, row.id, row.epoch) for row in rows if row.wake_at is not None]
        if not due:
            # The word of a child that is just over may still be on its way to its parent.
            epochs = {row.id: row.epoch for row in rows}
            await self._until(RUN, lambda row: row.epoch != epochs[RUN], "nothing can go on any more")
            return
        at, run, epoch = min(due)
        if at <= self._clock.time():
            # It was woken for this moment already, and stopped again: hear why.
            await self._patient(self._app.resume(RUN, self._subject.member, deps=deps), RUN)
            self._idle += 1
            if self._idle > MOST_IDLE:
                raise Stuck(f"run {run} is due and does not go on: {await self._waits(run)}")
            return
        self.timers += 1
        await self._clock.jump(at)
        await self._until(run, lambda row: row.epoch != epoch, "it was due, and nobody woke it")

    # -------------------------------------------------------------------------------------------------------- answers

    async def _answered(self, rows: list[RunRow]) -> bool:
        done = False
        for row in rows:
            for item in () if row.status.over else await self._app.desk.pending(row.id):
                done = await self._decide(row.id, item) or done
        return done

    async def _decide(self, run: str, item: Pending) -> bool:
        desk = self._app.desk
        by = Principal("crashtest", item.roles)
        if (run, item.request) in self._answers:
            return False  # It has been said, and is on its way.
        if item.why in ("in_doubt", "ask", "approval", "review", "signal"):
            self._answers.add((run, item.request))
        if item.why == "in_doubt":
            self.asked.append(f"{run} {item.key}")
            happened, result = await self._truth(run, item.key)
            if happened:
                await desk.answer(run, item.request, "happened", result=result, by=by)
            else:
                await desk.answer(run, item.request, "not_happened", by=by)
            return True
        if item.why not in ("ask", "approval", "review", "signal"):
            return False
        self.holds += 1
        said = self._said(item)
        if item.why == "ask":
            value = said if said is not None else item.choices[0] if item.choices else "yes"
            await desk.answer(run, item.request, value, by=by)
        elif item.why == "signal":
            name = keys.split(item.key)[-1][0]
            # The id makes the signal one and the same, whichever life sends it.
            await desk.signal(run, name, said, mail_id=f"signal:{item.request}")
        elif said is False or said == "reject":
            await desk.reject(run, item.request, message="rejected in the crash test", by=by)
        else:
            edited = cast("dict[str, Any]", said) if isinstance(said, dict) else None
            if item.why == "review" and edited is not None:
                await desk.approve(run, item.request, edit=edited, by=by)
            else:
                await desk.approve(run, item.request, args=edited, by=by)
        return True

    def _said(self, item: Pending) -> Any:
        answers = self._job.answers
        for name in (item.key, item.tool, item.prompt, keys.split(item.key)[-1][0], item.why):
            if name and name in answers:
                return answers[name]
        return self._subject.answer(item)

    async def _truth(self, run: str, key: str) -> tuple[bool, Any]:
        """Whether a step in doubt happened, as the world has it, and what the uninterrupted run got from it."""
        result = self._job.results.get(f"{run} {key}")
        now = self._subject.effects(self._world)
        own = [change for change in self._job.changes if _made(change, run, key)]
        if not own:
            return True, result  # It leaves no trace: the careful answer is the one that does not repeat it.
        token = f"{run}:{key}"
        if any(token in change.effect for change in own):
            return any(token in effect for effect in now), result
        # Twins without a key: it happened if there are more of them than steps that are known to have made one.
        effect = own[0].effect
        makers = {step.key for change in self._job.changes if change.effect == effect for step in change.during}
        history = await self._app.desk.history(run)
        known = [name for name in makers - {key} if name in history.steps and history.steps[name].ended is not None]
        return now[effect] > len(known), result


def _made(change: Change, run: str, key: str) -> bool:
    return any(step.run == run and step.key == key for step in change.during)


def child(subject: Subject, data: bytes, pipe: int) -> None:
    """The body of a forked process: live the job in `data`, and write what came of it to `pipe`."""
    job = msgspec.json.decode(data, type=Job)
    world = Path(job.folder) / "world"
    os.environ["PODIUM_WORLD"] = str(world)
    os.chdir(world)

    def tell(text: bytes) -> None:
        os.write(pipe, b"K" + text + b"\n")

    life = asyncio.run(live(subject, job, tell))
    payload = b"L" + msgspec.json.encode(life) + b"\n"
    while payload:
        payload = payload[os.write(pipe, payload) :]
