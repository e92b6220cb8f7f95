"""Members that spend, and the processes that drive them: `python spenders.py ROLE DB RUN ...`.

A call costs 1 to 10 dollars, as its text decides; nobody knows before, so 10 are reserved.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

from podium import Podium, Price, Reply, ScriptedModel, Settings, Usage, member
from podium.core.actions import Kind
from podium.core.errors import BudgetExceeded
from podium.core.messages import ModelRequest, assistant, user
from podium.runtime.clock import SystemClock
from podium.stores.sqlite import SqliteStore
from podium.testing import FaultPlan, FaultyStore, Kill, Point

WORST = 10
LIMIT = 300
BRANCHES = 100
CALLS = 4
PRICE = Price(input=Decimal(0), output=Decimal(1_000_000))


def say(*words: object) -> None:
    """One line, at once, in one write."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def cost(text: str) -> int:
    """What an answer to this costs."""
    return random.Random(text).randint(1, WORST)


async def _answer(request: ModelRequest) -> Reply:
    text = request.messages[-1].text
    if "LOUD" in os.environ:
        say("asked", text)
    await asyncio.sleep(random.uniform(0, 0.01))
    return Reply(assistant(text), Usage(0, cost(text)))


@member
async def spender(ctx: Any, input: int) -> list[str]:
    """`input` branches that call the model at once, `CALLS` times each: what each call came to."""

    async def branch(ctx: Any, number: int) -> list[str]:
        told: list[str] = []
        for call in range(CALLS):
            text = f"{ctx.run_id} {number * CALLS + call}"
            request = ModelRequest((user(text),), settings=Settings(max_output_tokens=WORST))
            try:
                await ctx.model(request, model=ScriptedModel(_answer, price=PRICE))
            except BudgetExceeded:
                told.append("refused")
                await ctx.sleep(0.005)
            else:
                told.append("answered")
        return told

    told = await ctx.gather(*[lambda ctx, number=number: branch(ctx, number) for number in range(input)])
    return [each for branch in told for each in branch]


def _app(db: str, plan: FaultPlan | None = None) -> Podium:
    budgets = {"all": LIMIT}
    if plan is None:
        return Podium(db, budgets=budgets, on_alert=lambda _: None)
    store = FaultyStore(SqliteStore.open(db, clock=SystemClock()), plan)
    return Podium(store=store, budgets=budgets, on_alert=lambda _: None)


async def spend(db: str, run: str, branches: str = str(BRANCHES)) -> None:
    """Drive a spender, and say how many calls were answered."""
    async with _app(db) as app:
        result = await spender.run(int(branches), app=app, run_id=run)
        say("over", result.output.count("answered"), result.output.count("refused"))


async def die(db: str, run: str, point: str, nth: str) -> None:
    """Drive a spender, and die at the `nth` such point of its model calls."""

    def of_a_model(at: Point) -> bool:
        return at.record.kind is Kind.MODEL if point.endswith("Began") else "model." in at.key

    plan = FaultPlan().on(point, Kill(), nth=int(nth), where=of_a_model)
    async with _app(db, plan) as app:
        await spender.run(BRANCHES, app=app, run_id=run)
        say("it lived")


ROLES = {"spend": spend, "die": die}
FILE = str(Path(__file__).resolve())

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
