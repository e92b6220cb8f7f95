"""Who keeps a run going: drives it, answers for people, and moves the clock. It goes through the public app."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

from podium.agents.member import RunOptions
from podium.app import Podium
from podium.core import keys
from podium.core.errors import PodiumError, RunBusy
from podium.core.records import Principal, Status
from podium.ports import RunRow
from podium.runtime.results import Pending, RunResult
from podium.stores.owner import is_dead

from .job import RUN, Change, Job
from .life_clock import LifeClock
from .subject import Subject

MOST_TURNS = 10_000
MOST_IDLE = 20


class Stuck(PodiumError):
    """The run came to no end."""


class Keeper:
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
