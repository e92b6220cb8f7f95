"""Driving a run in the foreground: the work in one task, whoever listens to it in another, Ctrl-C between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

from podium.app import Podium
from podium.core.deltas import Transient
from podium.core.errors import RunBusy
from podium.core.records import RECORDS, Record, Status
from podium.ports import Member, RunRow
from podium.runtime.results import RunResult

from . import documents, progress, screen
from .exits import Code, Interrupted, code_of_status, say
from .options import Settings
from .progress import Listener


class Presentation:
    """How a command shows a run and its outcome."""

    def __init__(
        self,
        settings: Settings,
        *,
        as_json: bool = False,
        quiet: bool = False,
        follow: bool = False,
        wait: bool = False,
    ) -> None:
        self.settings = settings
        self.as_json = as_json
        self.quiet = quiet
        self.follow = follow
        """Print every event as a line of JSON."""
        self.wait = wait
        """Stay until the run is over, whatever it waits for."""

    async def drive(self, app: Podium, run_id: str, working: Coroutine[Any, Any, RunResult[Any]]) -> Code:
        """Do `working`, which drives (or waits for) the run; show it; print what came of it.

        Raises Interrupted after Ctrl-C: the run is then unloaded and can be resumed.
        """
        async with progress.shown(run_id, quiet=self.quiet) as drawing:
            told = [listener for listener in (drawing, _print if self.follow else None) if listener is not None]
            try:
                result = await attended(app, run_id, self._through(app, run_id, working), told)
            except asyncio.CancelledError:
                raise Interrupted(screen.resume_command(run_id, self.settings)) from None
        return self.finish(result)

    def finish(self, result: RunResult[Any]) -> Code:
        """Print what a run came to, and the exit code that says it."""
        if self.as_json:
            documents.write(documents.outcome(result), line=self.follow)
        else:
            screen.outcome(result, self.settings, quiet=self.quiet)
        return code_of_status(result.status)

    async def _through(self, app: Podium, run_id: str, working: Coroutine[Any, Any, RunResult[Any]]) -> RunResult[Any]:
        """The result once nothing goes on here any more: a run that waits for its own children is not at rest."""
        result = await working
        while result.status is Status.SUSPENDED:
            if self.wait:
                return await app.settled(run_id, over=True)
            if not await _children_work(app, result):
                return result
            await asyncio.sleep(app.limits.poll)
            result = await app.settled(run_id, over=False)
        return result


async def events(
    app: Podium, run_id: str, after: int = 0, feed: AsyncIterator[Record | Transient] | None = None
) -> AsyncIterator[tuple[int, Record | Transient]]:
    """Records after number `after` with their numbers, and with 0 what passes by, until the run is over.

    The journal has the word on which record is next: being told of one is only the occasion to read on.
    """
    seen = after
    async for event in feed or app.follow(run_id, stop_at_suspension=False):
        if isinstance(event, RECORDS):
            for record in await app.store.read(run_id, seen):
                seen += 1
                yield seen, record
        else:
            yield 0, event


async def attended(
    app: Podium,
    run_id: str,
    working: Coroutine[Any, Any, RunResult[Any]],
    listeners: Sequence[Listener],
    *,
    after: int = 0,
) -> RunResult[Any]:
    """The result of `working`, while `listeners` are told of all that happens in the run, to its last record.

    What a listener raises (its pipe is closed) ends the attendance, and with it `working`.
    """
    loop = asyncio.get_running_loop()
    seen = after

    # The ear first: what is driven from the next tick on is heard from its first delta.
    feed = app.follow(run_id, stop_at_suspension=False) if listeners else None

    async def listen() -> None:
        nonlocal seen
        async for seq, event in events(app, run_id, after, feed):
            seen = max(seen, seq)
            for listener in listeners:
                listener(seq, event)

    listening = loop.create_task(listen()) if listeners else None
    await asyncio.sleep(0)
    work = loop.create_task(working)
    try:
        await asyncio.wait([work, *([listening] if listening else [])], return_when=asyncio.FIRST_COMPLETED)
        if listening is not None and listening.done():
            listening.result()
        result = await work
    finally:
        tasks = [work, *([listening] if listening else [])]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.exception()  # Looked at: what matters is raised already.
    if listeners:
        for seq, record in enumerate(await app.store.read(run_id, seen), seen + 1):
            for listener in listeners:
                listener(seq, record)
    return result


def _print(seq: int, event: Any) -> None:
    documents.write(documents.event(seq, event), line=True)


async def _children_work(app: Podium, result: RunResult[Any]) -> bool:
    """Whether a run that waits for child runs has one that is being driven, so that the wait ends by itself."""
    if not any(item.why == "child" for item in result.pending):
        row = await app.row(result.run_id)
        return row is not None and row.status is not Status.SUSPENDED
    now = app.clock.time()
    for child in await app.store.rows(parent=result.run_id):
        if child.status in {Status.PENDING, Status.RUNNING} and child.lease_until > now:
            return True
        if child.status is Status.SUSPENDED and any(
            row.lease_until > now for row in await app.store.rows(parent=child.id)
        ):
            return True
    row = await app.row(result.run_id)
    return row is not None and row.status is not Status.SUSPENDED


async def carry_on(
    app: Podium,
    row: RunRow,
    member: Member,
    shown: Presentation,
    *,
    look_on: bool = False,
    steal: bool = False,
    upgrade: bool = False,
) -> Code:
    """Resume a run here. When another process drives it: raises RunBusy, or (`look_on`) waits for what comes of it."""

    async def working() -> RunResult[Any]:
        try:
            return await app.resume(row.id, member, steal=steal, upgrade=upgrade)
        except RunBusy:
            if not look_on:
                raise
            if not shown.quiet and not shown.as_json:
                say(f"run {row.id} is driven by another process; waiting for what comes of it")
            return await app.settled(row.id, over=False)

    return await shown.drive(app, row.id, working())
