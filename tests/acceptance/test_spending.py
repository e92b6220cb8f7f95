"""Budgets under real concurrency and real deaths: never above the limit, nothing leaked, nothing doubled."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from spenders import BRANCHES, CALLS, FILE, LIMIT, WORST, cost, spender

from podium import Podium
from podium.core.budgets import NOTHING
from podium.core.money import dollars
from podium.core.records import Began, Ended, Retried
from podium.core.state import fold


async def process(*words: object, loud: bool = False) -> asyncio.subprocess.Process:
    environment = {**os.environ, **({"LOUD": "1"} if loud else {})}
    return await asyncio.create_subprocess_exec(
        sys.executable, FILE, *map(str, words), stdout=subprocess.PIPE, env=environment
    )


async def sampled(app: Podium, working: Awaitable[Any]) -> tuple[Any, int]:
    """Await something, looking at the accounts all the time; how often they were looked at while something was held."""
    looks = 0
    task = asyncio.ensure_future(working)
    while not task.done():
        for balance in await app.store.balances("all"):
            assert dollars(balance.spent.usd + balance.held.usd) <= LIMIT, "spent or promised beyond the limit"
            looks += balance.held != NOTHING
        await asyncio.sleep(0.001)
    return await task, looks


async def booked(app: Podium) -> Decimal:
    """What is spent: the sum of what all journals say, with nothing held, and no attempt begun or ended twice."""
    total = Decimal(0)
    for row in await app.runs():
        records = await app.store.read(row.id)
        facts = fold(records).facts
        total += facts.cost + facts.uncertain
        for kind in (Began, Ended):
            seen = [(record.key, record.attempt) for record in records if isinstance(record, kind)]
            assert len(seen) == len(set(seen))
    [balance] = await app.store.balances()
    assert (balance.scope, balance.held) == ("all", NOTHING)
    assert dollars(balance.spent.usd) == total <= LIMIT
    return total


@pytest.mark.parametrize("url", [":memory:", "file"])
async def test_two_hundred_branches_never_exceed_one_budget(url: str, db: Path) -> None:
    options: dict[str, Any] = {"budgets": {"all": LIMIT}, "on_alert": lambda _: None}
    async with Podium(url if url == ":memory:" else str(db), **options) as app:
        result, looks = await sampled(app, spender.run(200, app=app, run_id="r"))
        assert looks > 0, "it was looked at while it worked"
        answered = [number for number, what in enumerate(result.output) if what == "answered"]
        assert 0 < len(answered) < 200 * CALLS
        assert await booked(app) == sum(cost(f"r {number}") for number in answered) == result.cost


async def test_two_processes_never_exceed_the_budget_they_share(db: Path) -> None:
    async with Podium(str(db)) as app:
        children = [await process("spend", db, f"r{number}") for number in range(2)]
        told, looks = await sampled(app, asyncio.gather(*(child.communicate() for child in children)))
        assert looks > 0
        counts = [tuple(map(int, out.split()[1:])) for out, _ in told]
        assert all(answered + refused == BRANCHES * CALLS for answered, refused in counts)
        assert sum(refused for _, refused in counts) > 0
        spent = await booked(app)
        facts = [fold(await app.store.read(f"r{number}")).facts for number in range(2)]
        assert spent == sum((each.cost for each in facts), Decimal(0))
        assert all(each.uncertain == 0 for each in facts)


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1, 5, 17, 30])
async def test_a_killed_process_leaks_nothing_and_doubles_nothing(db: Path, lines: int) -> None:
    child = await process("spend", db, "r", loud=True)
    assert child.stdout is not None
    for _ in range(lines):
        assert (await child.stdout.readline()).startswith(b"asked")
    child.kill()
    await child.communicate()
    await resumed(db, killed=True)


@pytest.mark.slow
@pytest.mark.parametrize("point", ["before Began", "after Began", "before Ended", "after Ended"])
@pytest.mark.parametrize("nth", [1, 4, 20])
async def test_a_death_at_any_point_of_a_call_leaks_nothing_and_doubles_nothing(db: Path, point: str, nth: int) -> None:
    child = await process("die", db, "r", point, nth)
    out, _ = await child.communicate()
    assert (out, child.returncode) == (b"", -9)
    await resumed(db, killed=point != "before Began" or nth > 1)


async def resumed(db: Path, *, killed: bool) -> None:
    """Take the run up in this process, and look at its books."""
    async with Podium(str(db), budgets={"all": LIMIT}, on_alert=lambda _: None) as app:
        before = await app.store.read("r")
        facts = fold(before).facts
        open_ = {(record.key, record.attempt) for record in before if isinstance(record, Began) and record.reserved}
        open_ -= {(record.key, record.attempt) for record in before if isinstance(record, Ended | Retried)}
        balances = await app.store.balances()
        if balances:
            assert dollars(balances[0].held.usd) == WORST * len(open_), "held is what was begun and not ended"
            assert dollars(balances[0].spent.usd) == facts.cost
        elif killed:
            assert not open_
        result, _ = await sampled(app, app.resume("r", spender))
        assert result.status == "succeeded"
        assert result.uncertain_cost == WORST * len(open_), "each call that was lost, once"
        lost = [record.key for record in result.records if isinstance(record, Retried)]
        assert sorted(lost) == sorted(key for key, _ in open_)
        assert await booked(app) == result.cost + result.uncertain_cost
        answered = sum(cost(f"r {n}") for n, what in enumerate(result.output) if what == "answered")
        assert result.cost == answered
        again = await app.resume("r", spender)
        assert again.output == result.output
        assert await booked(app) == result.cost + result.uncertain_cost
