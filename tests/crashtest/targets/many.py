"""Other runs to kill: child runs, signals, sessions of agents, retries, chance, broken hooks."""

import json
from pathlib import Path
from typing import Any

from outbox import sent

from podium import Agent, Context, NotDone, ScriptedModel, ToolCall, ToolContext, member, tool


@tool(effect="write")
async def mail(to: str, ctx: ToolContext) -> str:
    """Send a mail."""
    sent({"to": to, "key": ctx.idempotency_key})
    return f"sent to {to}"


@tool(effect="write", retries=2)
async def stubborn(ctx: ToolContext) -> str:
    """Succeeds at the third attempt, and says so before that."""
    if ctx.attempt < 3:
        raise NotDone("not yet")
    sent({"stubborn": ctx.idempotency_key})
    return "at last"


@member
async def child(ctx: Context, input: str) -> str:
    """A run of its own that asks and writes."""
    who = await ctx.ask("To whom?")
    return await ctx.tool(mail, to=f"{input} {who}")


@member
async def parent(ctx: Context, input: str) -> list[Any]:
    """Spawn two, side by side."""
    return await ctx.gather(lambda c: c.spawn(child, "one"), lambda c: c.spawn(child, "two"))


@member
async def signalled(ctx: Context, input: str) -> Any:
    """Wait for a signal, then write, with a retry."""
    payload = await ctx.wait("go")
    await ctx.tool(stubborn)
    return [payload, await ctx.tool(mail, to="boss")]


@member
async def lucky(ctx: Context, input: str) -> float:
    """Ends with a number of ctx's own chance."""
    return await ctx.random()


@member
async def failing(ctx: Context, input: str) -> str:
    """Ends with an error, always the same."""
    await ctx.tool(mail, to="boss")
    raise ValueError("the customer left")


@member
async def racing(ctx: Context, input: str) -> str:
    """The first of two branches wins; a timeout bounds a third."""

    async def quick(branch: Context) -> str:
        return await branch.tool(mail, to="quick")

    async def slow(branch: Context) -> str:
        await branch.sleep(9000)
        return await branch.tool(mail, to="slow")

    first = await ctx.race(quick, slow)
    return f"{first}, then {await ctx.timeout(600, quick)}"


@member
async def endless(ctx: Context, input: str) -> Any:
    """Waits for a child that waits for itself: nothing will ever come."""
    return await ctx.call(waits)


@member
async def waits(ctx: Context, input: str) -> Any:
    """Asks for a number between one and two."""
    return await ctx.ask("Which?", choices=["one", "two"])


agent = Agent(
    "agent",
    model=ScriptedModel([[ToolCall("mail", {"to": "a"}), ToolCall("mail", {"to": "b"})], "done"]),
    tools=[mail],
)


def effects(world: Path) -> list[object]:
    """The mails that were sent."""
    path = world / "outbox"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def answers(pending: Any) -> Any:
    """What people say."""
    return {"To whom?": "ann"}.get(pending.prompt, {"n": 1} if pending.why == "signal" else None)
