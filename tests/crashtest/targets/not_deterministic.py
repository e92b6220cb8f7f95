"""Faults: members that take chance, the order of a set, or the world, past ctx."""

import random

from outbox import lines, sent

from podium import Context, ToolContext, member, tool


@tool(effect="write")
async def mail(to: str, ctx: ToolContext) -> str:
    """Send a mail."""
    sent({"to": to, "key": ctx.idempotency_key})
    return "sent"


@member
async def by_chance(ctx: Context, input: str) -> str:
    """Write to somebody at random."""
    await ctx.tool(mail, to=f"customer {random.randrange(1 << 40)}")
    return await ctx.tool(mail, to="boss")


@member
async def by_hash(ctx: Context, input: str) -> str:
    """Write in the order of a set."""
    for name in {"ann", "bob", "carol", "dave", "eve", "frank"}:
        await ctx.tool(mail, to=name)
    return "done"


@member
async def by_world(ctx: Context, input: str) -> str:
    """Look at the world without asking ctx: the same without a crash, another thing after one."""
    already = len(lines())
    await ctx.tool(mail, to="ann")
    await ctx.tool(mail, to=f"boss, after {already}")
    return "done"
