"""Fifty runs that share their commits, killed at any moment: nothing acknowledged is lost, and all of them finish."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from programs import KINDS, STORM, stormy

from podium import Podium
from podium.core.records import Began, Ended

RUNS = [f"run{n}" for n in range(50)]


def key(n: int) -> str:
    return f"stormy.1/{KINDS[n % 3]}.{n // 3 + 1}"


def check_acknowledged(name: str, steps: list[int], records: list[Any]) -> None:
    """A tool that began only after the step before it was delivered proves that step durable; and its own beginning."""
    began = {record.key for record in records if isinstance(record, Began)}
    ended = {record.key for record in records if isinstance(record, Ended)}
    for n in steps:
        if KINDS[n % 3] != "read":
            assert key(n) in began, (name, n)
            assert {key(before) for before in range(n)} <= ended, (name, n)


async def settled(app: Podium, name: str, effects: Callable[[], list[str]]) -> tuple[Any, int]:
    """The result of a run, and how often somebody had to say what came of a write."""
    result = await app.resume(name, stormy)
    asked = 0
    while result.pending:
        asked += 1
        [item] = result.pending
        assert (item.why, item.tool) == ("in_doubt", "write")
        happened = f"{name}:{item.key}" in effects()
        handle = app.handle(name)
        if happened:
            await handle.answer(item.request, "happened", result=f"write {item.args['n']}")
        else:
            await handle.answer(item.request, "not_happened")
        result = await handle.result()
    return result, asked


@pytest.mark.parametrize("attempt", range(2))
async def test_no_acknowledged_step_is_lost_and_all_runs_finish(
    attempt: int, db: Path, effects: Callable[[], list[str]], child: Callable
) -> None:
    killed = child("storm", db)
    moment = random.randint(20, 25 * STORM)
    sys.stdout.write(f"killed after {moment} lines\n")
    lines = [killed.heard() for _ in range(moment)]
    lines += killed.kill()
    acknowledged: dict[str, list[int]] = {name: [] for name in RUNS}
    for line in lines:
        name, n = line.split()
        acknowledged[name].append(int(n))
    async with Podium(db) as app:
        rows = await app.runs(limit=1000)
        assert {row.id for row in rows} >= {name for name, steps in acknowledged.items() if steps}
        unfinished = [row.id for row in rows if not row.status.over]
        assert unfinished, "it was killed at work"
        for row in rows:
            check_acknowledged(row.id, acknowledged[row.id], await app.store.read(row.id))
        outcomes = await asyncio.gather(*(settled(app, row.id, effects) for row in rows))
    for result, asked in outcomes:
        assert result.output == [f"{KINDS[n % 3]} {n}" for n in range(STORM)], result.error
        assert asked <= 1
    done = Counter(effects())
    writes = {f"{row.id}:{key(n)}" for row in rows for n in range(STORM) if KINDS[n % 3] == "write"}
    assert done == Counter(writes), "every write once, those in doubt settled by looking"
