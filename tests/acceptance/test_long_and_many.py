"""Long runs cost the same at their end as at their beginning, and runs that wait cost no memory."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import tracemalloc
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from programs import waits

from podium import Agent, Limits, Podium, ScriptedModel, ToolCall, tool
from podium.core.records import Ended

TURNS = 1000
CALM = Limits(poll=1e6)
"""Nobody else has the file: no looking for what others wrote, which would be counted."""


class Traffic:
    """Statements that reach SQLite, on whatever connection."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.statements = 0
        self.commits = 0
        connect = sqlite3.connect

        def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            connection = connect(*args, **kwargs)
            connection.set_trace_callback(lambda statement: self._saw(connection, statement))
            return connection

        monkeypatch.setattr(sqlite3, "connect", traced)

    def _saw(self, connection: sqlite3.Connection, statement: str) -> None:
        self.statements += 1
        word = statement.split(maxsplit=1)[0].upper()
        alone = word in {"INSERT", "UPDATE", "DELETE"} and not connection.in_transaction
        self.commits += alone or word == "COMMIT"  # a statement outside a transaction is one by itself


def size(connection: sqlite3.Connection) -> int:
    """Bytes in use, those still in the log included."""
    pages, free, page = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * page


async def test_the_thousandth_turn_costs_what_the_hundredth_did(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = 0
    figures: dict[int, tuple[int, int, int]] = {}
    looking: list[sqlite3.Connection] = []
    connect = sqlite3.connect
    traffic = Traffic(monkeypatch)

    @tool(effect="idempotent")
    async def add(n: int) -> str:
        """Add a number."""
        if n % 100 == 0:
            if not looking:
                looking.append(connect(db))
            figures[n] = (size(looking[0]), traffic.statements, traffic.commits)
        return f"the sum so far and some words about it, number {n:04}"

    def script(_: Any) -> Any:
        nonlocal turn
        turn += 1
        return ToolCall("add", {"n": turn}) if turn <= TURNS else "done"

    agent = Agent("adder", ScriptedModel(script), [add], "Add.", max_iterations=TURNS + 1)
    async with Podium(db, limits=CALM) as app:
        result = await agent.run("go", app=app, run_id="long")
        assert result.output == "done", result.error
    for connection in looking:
        connection.close()
    early, late = ([b - a for a, b in zip(figures[start], figures[start + 100], strict=True)] for start in (100, 900))
    for what, first, last in zip(("bytes", "statements", "commits"), early, late, strict=True):
        assert first > 0, what
        assert abs(last - first) <= 0.2 * first, (what, first, last)
    assert late[2] <= 2 * 100 + 5, "a turn costs two commits or fewer"
    await _is_readable(db, result)


async def _is_readable(db: Path, result: Any) -> None:
    """The journal of a long run, as a process that comes later finds it."""
    async with Podium(db) as app:
        records = await app.store.read("long")
        again = await app.handle("long").result()
    keys = [record.key for record in records if isinstance(record, Ended) and "/add." in record.key]
    assert keys == [f"adder.1/turn.{n}/add.1" for n in range(1, TURNS + 1)]
    assert again.output == "done"
    assert [message.text for message in again.messages] == [message.text for message in result.messages]


def alive() -> Counter[str]:
    """Live objects of the runtime's classes, and tasks."""
    gc.collect()
    names: Counter[str] = Counter()
    for thing in gc.get_objects():
        kind = type(thing)
        if str(kind.__module__).startswith("podium.runtime.") and kind.__name__ in {
            "Run",
            "Step",
            "Scope",
            "Frame",
            "Pump",
        }:
            names[kind.__name__] += 1
        elif issubclass(kind, asyncio.Task) and not thing.done():
            names["Task"] += 1
    return names


async def suspend(app: Podium, first: int, last: int) -> None:
    """Start runs that wait, until all of them are unloaded."""
    for start in range(first, last, 250):
        handles = [await app.start(waits, n, run_id=f"w{n}") for n in range(start, min(last, start + 250))]
        for result in await asyncio.gather(*(handle.settled() for handle in handles)):
            assert result.status == "suspended"


@pytest.mark.parametrize("many", [2000, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_a_run_that_waits_is_not_in_memory_and_can_be_woken_anywhere(
    many: int, db: Path, child: Callable
) -> None:
    async with Podium(db, limits=Limits(idle=0.002)) as app:
        await suspend(app, 0, 250)
        before = alive()
        tracemalloc.start()
        try:
            start, _ = tracemalloc.get_traced_memory()
            await suspend(app, 250, 250 + many)
            assert alive() == before
            grown = tracemalloc.get_traced_memory()[0] - start
        finally:
            tracemalloc.stop()
        assert grown < 2048 * many, f"{grown / many:.0f} bytes a run"
        chosen = 250 + many // 3
        handle = app.handle(f"w{chosen}")
        await handle.signal("go", "here")
        assert (await handle.result()).output == [chosen, "here"]
    elsewhere = child("wake", db, f"w{many // 2}")
    assert elsewhere.rest() == [f"[{many // 2}, 'from afar']"]
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
