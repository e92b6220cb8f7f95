"""Turns of one agent, model and tool: in memory, on SQLite, and taken up again after the process is gone."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import bare
from measure import Pairs, Settings, alternate, bytes_in, per_unit, report, timed
from podium import Agent, ModelRequest, Podium, ScriptedModel, ToolCall
from shapes import add, adder, checked

LOOP = "bare asyncio loop"
RAW = "bare loop, one raw SQLite insert a turn"


async def in_memory(settings: Settings) -> None:
    """CPU microseconds a turn. `agent.run` without an app, as in the first lines of the README."""
    for turns in settings.lengths():
        runs = max(1, settings.size(600, 1) // turns)
        agent = adder(turns)

        async def ours(agent: Agent[Any, str] = agent, runs: int = runs) -> None:
            for _ in range(runs):
                checked(await agent.run("go"))

        async def plain(turns: int = turns, runs: int = runs) -> None:
            for _ in range(5 * runs):
                await bare.agent(turns)

        pairs = await alternate(
            per_unit(ours, runs * turns, 1e6), per_unit(plain, 5 * runs * turns, 1e6), settings.repetitions
        )
        report(f"turn.{turns}", pairs, "us CPU", baseline=LOOP, turns=turns)


async def durable(settings: Settings) -> None:
    """CPU microseconds and bytes a turn, with read tools: the first run of a fresh file, and the next one in that file.

    The first makes the tables it needs, which the baseline has before its time is taken; the difference tells how
    much that is. Closing the store is reported apart.
    """
    for turns in settings.lengths():
        found = _Durable(settings, turns)
        pairs = await alternate(found.ours, found.plain, settings.repetitions)
        more: dict[str, Any] = {"baseline": RAW, "turns": turns}
        report(f"durable.{turns}", pairs, "us CPU", **more)
        report(f"durable.next.{turns}", Pairs(found.following[1:], pairs.bare), "us CPU, in a file in use", **more)
        report(f"durable.bytes.{turns}", found.size.after(1), "bytes on disk a turn, closed", **more)
        report(f"durable.bytes.next.{turns}", found.growth[1:], "bytes a turn, in a file in use", turns=turns)
        report(f"durable.close.{turns}", found.closing.after(1), "ms CPU to close the store", **more)


class _Durable:
    """Two runs on one SQLite file, and the baseline on another."""

    def __init__(self, settings: Settings, turns: int) -> None:
        self._settings = settings
        self._turns = turns
        self._agent = adder(turns)
        self.size = Pairs()
        self.closing = Pairs()
        self.following: list[float] = []
        self.growth: list[float] = []

    async def ours(self) -> float:
        """CPU of a turn of the first run; the other figures are kept here."""
        turns = self._turns
        with self._settings.temporary() as folder:
            first, closed = await self._run(folder)
            size = bytes_in(folder)
            following, _ = await self._run(folder)
            grown = bytes_in(folder) - size
        self.size.ours.append(size / turns)
        self.closing.ours.append(closed * 1e3)
        self.following.append(following / turns * 1e6)
        self.growth.append(grown / turns)
        return first / turns * 1e6

    async def _run(self, folder: Path) -> tuple[float, float]:
        """CPU seconds of one run, and of closing the store after it."""
        app = Podium(f"sqlite:///{folder}/x.db")
        await app.open()
        with timed() as clock:
            checked(await self._agent.run("go", app=app))
        with timed() as end:
            await app.close()
        return clock.cpu, end.cpu

    async def plain(self) -> float:
        """CPU of a turn of the baseline."""
        turns = self._turns
        with self._settings.temporary() as folder:
            connection = bare.database(folder / "x.db")
            with timed() as clock:
                await bare.durable_agent(connection, turns)
            with timed() as end:
                connection.close()
            self.size.bare.append(bytes_in(folder) / turns)
        self.closing.bare.append(end.cpu * 1e3)
        return clock.cpu / turns * 1e6


async def resume(settings: Settings) -> None:
    """CPU milliseconds from a cold file to the end of a run that lost its process in its last model call.

    Opening the store, replaying every turn and making the last call are all in it. The baseline reads its conversation.
    """
    for turns in settings.lengths():
        with settings.temporary() as folder:
            await _interrupted(folder / "left.db", turns)
            connection = bare.database(folder / "bare.db")
            await bare.durable_agent(connection, turns)
            connection.close()
            opening: list[float] = []

            async def ours(folder: Path = folder, turns: int = turns, opening: list[float] = opening) -> float:
                with settings.temporary() as copy:
                    shutil.copy(folder / "left.db", copy / "x.db")
                    agent = adder(turns)
                    with timed() as opened:
                        app = Podium(f"sqlite:///{copy}/x.db")
                        await app.open()
                    with timed() as clock:
                        checked(await app.resume("left", agent))
                    await app.close()
                opening.append(opened.cpu * 1e3)
                return (opened.cpu + clock.cpu) * 1e3

            async def plain(folder: Path = folder) -> float:
                with timed() as clock:
                    bare.read_back(folder / "bare.db")
                return clock.cpu * 1e3

            pairs = await alternate(ours, plain, settings.repetitions)
        report(f"resume.{turns}", pairs, "ms CPU", baseline="open and read the raw log", turns=turns)
        report(f"resume.open.{turns}", opening[1:], "ms CPU to open the store (in the above)", turns=turns)


async def _interrupted(path: Path, turns: int) -> None:
    """Leave a run of which everything but the last model call is done."""
    reached = asyncio.Event()

    async def answer(request: ModelRequest) -> ToolCall:
        done = len(request.messages) // 2
        if done >= turns:
            reached.set()
            await asyncio.Event().wait()
        return ToolCall("add", {"a": done, "b": 1})

    agent = Agent[Any, str]("adder", ScriptedModel(answer), [add], max_iterations=turns + 5)
    app = Podium(f"sqlite:///{path}")
    await app.open()
    await app.start(agent, "go", run_id="left")
    await reached.wait()
    await app.close()
