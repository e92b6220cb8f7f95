"""One life of a run, in a child process: start it or take it up, answer for people, move the clock, and report.

Everything goes through the public app on a real SQLite file. A life ends with its report, or with SIGKILL at the
boundary it was given. It judges nothing.
"""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from podium.app import Podium
from podium.core.errors import PodiumError
from podium.runtime.results import RunResult
from podium.runtime.services import Limits
from podium.schema import dump
from podium.stores.sqlite import SqliteStore
from podium.testing.clock import START
from podium.testing.faults import Do, FaultPlan, FaultyStore, Kill, Point

from .job import Job, Life, Line
from .keeper import Keeper
from .life_clock import LifeClock
from .observer import Observer, line_of
from .subject import Subject

LEASE = 86_400.0
"""Seconds: no lease ends by itself in a life, so only the proof that its owner is dead lets another take it."""

NO_MODELS = "a crash test runs hundreds of times: give the agents a ScriptedModel, or allow real models"


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
    keeper = Keeper(app, clock, subject, job)
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
        line_of(row.id, record)
        for row in reversed(await app.runs(limit=1000))
        for record in await app.store.read(row.id)
    ]


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
