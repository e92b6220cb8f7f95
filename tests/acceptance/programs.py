"""Members whose effects can be seen from outside, and the processes that drive them.

`python programs.py ROLE DB RUN ...` drives a run in a process of its own. It speaks in lines on stdout, one write each,
so that a parent (or a trace) sees them in their place. Effects are lines of the file that EFFECTS names.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from podium import Agent, Context, Podium, ScriptedModel, ToolCall, ToolContext, member, tool
from podium.core.errors import PodiumError

STEPS = 6
STORM = 30
KINDS = ("write", "idempotent", "read")


def say(*words: object) -> None:
    """One line, at once, in one write."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def act(line: str) -> None:
    """Do something to the world: a line of the effects file, in one write."""
    file = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, f"{line}\n".encode())
    finally:
        os.close(file)


def gate(name: str) -> None:
    """Say where we are and wait for a line, in a process that is led by the hand."""
    if "LED" in os.environ:
        say(name)
        sys.stdin.readline()


# ------------------------------------------------------------------------------------------ one run, many processes


@tool(effect="write")
def pay(n: int, ctx: ToolContext) -> str:
    """Pay once."""
    act(ctx.idempotency_key)
    gate(f"paying {n}")
    return f"paid {n}"


@tool(effect="idempotent")
def post(n: int, ctx: ToolContext) -> str:
    """Post once per key."""
    act(ctx.idempotency_key)
    gate(f"posting {n}")
    return f"posted {n}"


@tool(effect="read")
def look(n: int) -> int:
    """Look, and stand still there."""
    gate(f"looking {n}")
    return n


@member
async def chain(ctx: Context, input: int) -> list[str]:
    """Look, pay and post, `input` times."""
    done: list[str] = []
    for n in range(input):
        await ctx.tool(look, n=n)
        done += [await ctx.tool(pay, n=n), await ctx.tool(post, n=n)]
    return done


async def drive(db: str, run: str) -> None:
    """Drive `chain`, and say how that ended."""
    app = Podium(db)
    async with app:
        try:
            result = await chain.run(STEPS, app=app, run_id=run)
        except PodiumError as error:
            say(type(error).__name__)
        else:
            say(result.status)


# --------------------------------------------------------------------------------------------------- what is synced


@tool(effect="read")
async def reads() -> str:
    """Read."""
    say("body read")
    return "read"


@tool(effect="idempotent")
async def repeats() -> str:
    """Act with a key."""
    say("body idempotent")
    return "posted"


@tool(effect="write")
async def writes() -> str:
    """Act."""
    say("body write")
    return "written"


TURNS = ("reads", "reads", "repeats", "repeats", "writes", "writes")


async def syncs(db: str) -> None:
    """An agent that calls each kind of tool twice; its second run is the one to look at."""
    turn = 0

    def script(request: Any) -> Any:
        nonlocal turn
        turn += 1
        say("model", turn)
        return ToolCall(TURNS[turn - 1]) if turn <= len(TURNS) else "done"

    agent = Agent("agent", model=ScriptedModel(script), tools=[reads, repeats, writes], system_prompt="Act.")
    async with Podium(db) as app:
        await agent.run("go", app=app)
        turn = 0
        say("begin")
        await agent.run("go", app=app)
        say("end")
        os._exit(0)  # closing would sync


# ------------------------------------------------------------------------------------------------ fifty runs at once


def _storming(kind: Any) -> Any:
    @tool(name=kind, effect=kind)
    async def acts(name: str, n: int, ctx: ToolContext) -> str:
        """Act, and say that the step before was acknowledged."""
        if kind == "write":
            act(ctx.idempotency_key)
        say(name, n)
        await asyncio.sleep(0)
        return f"{kind} {n}"

    return acts


TOOLS = {kind: _storming(kind) for kind in KINDS}


@member
async def stormy(ctx: Context, input: str) -> list[str]:
    """Steps of every kind, one after the other."""
    return [await ctx.tool(TOOLS[KINDS[n % 3]], name=input, n=n) for n in range(STORM)]


async def storm(db: str) -> None:
    """Fifty runs side by side."""
    async with Podium(db) as app:
        handles = [await app.start(stormy, f"run{n}", run_id=f"run{n}") for n in range(50)]
        await asyncio.gather(*(handle.result() for handle in handles))
        say("over", 0)


# ---------------------------------------------------------------------------------------------------- suspended runs


@member
async def waits(ctx: Context, input: int) -> Any:
    """Wait for a signal."""
    return [input, await ctx.wait("go")]


async def wake(db: str, run: str) -> None:
    """Signal a suspended run from a process that has never seen it, and bring it to its end."""
    async with Podium(db, members=[waits]) as app:
        handle = app.handle(run)
        await handle.signal("go", "from afar")
        say((await handle.result()).output)


ROLES = {"drive": drive, "syncs": syncs, "storm": storm, "wake": wake}
FILE = str(Path(__file__).resolve())

if __name__ == "__main__":
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
