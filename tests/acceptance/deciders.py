"""An agent whose refunds a person decides, and the processes that drive it: `python deciders.py ROLE DB RUN ...`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from podium import Agent, Approval, Podium, Principal, ScriptedModel, ToolCall, tool
from podium.core.actions import Kind
from podium.core.errors import RequestError
from podium.core.records import Began
from podium.runtime.clock import SystemClock
from podium.stores.sqlite import SqliteStore
from podium.testing import FaultPlan, FaultyStore, Kill, Point

POLICY: dict[str, Any] = {
    "default": "allow",
    "rules": [
        {"name": "ceiling", "tools": ["refund"], "when": [{"arg": "amount", "op": ">", "value": 100}], "then": "deny"}
    ],
}
RULES: dict[str, Any] = {"policy": POLICY, "approvals": [Approval(tools="refund", roles="finance")]}
ADA = Principal("ada", ("finance",))


def say(*words: object) -> None:
    """One line, at once, in one write."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


@tool(effect="write")
def refund(order: str, amount: float) -> str:
    """Pay money back: a line of the effects file."""
    with Path(os.environ["EFFECTS"]).open("a", encoding="utf-8") as file:
        file.write(f"{order} {amount:g}\n")
    return f"refunded {amount:g}"


clerk = Agent("clerk", ScriptedModel([ToolCall("refund", {"order": "A-1", "amount": 20.0}), "All done."]), [refund])


async def ask(db: str, run: str) -> None:
    """Drive the agent until it waits."""
    async with Podium(db, **RULES) as app:
        say((await clerk.run("Refund A-1", app=app, run_id=run)).status)


async def decide(db: str, run: str, amount: str) -> None:
    """Approve with another amount, and drive the run on."""
    async with Podium(db, members=[clerk], **RULES) as app:
        handle = app.handle(run)
        try:
            await handle.approve(edit={"amount": float(amount)}, by=ADA)
        except RequestError as error:
            say("refused:", error)
        else:
            say((await handle.result()).status)


async def go(db: str, run: str, point: str = "") -> None:
    """Drive the run on; die at a point of it, if one is given."""

    def ours(at: Point) -> bool:
        return not isinstance(at.record, Began) or at.record.kind is Kind.TOOL

    plan = FaultPlan()
    if point:
        plan.on(point, Kill(), where=ours)
    store: Any = FaultyStore(SqliteStore.open(db, clock=SystemClock()), plan)
    async with Podium(store=store, **RULES) as app:
        result = await app.resume(run, clerk)
        say(result.status, len(result.pending))


ROLES = {"ask": ask, "decide": decide, "go": go}
FILE = str(Path(__file__).resolve())

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
