"""Fault: a tool that says it only reads, and writes."""

from outbox import sent

from podium import Context, member, tool


@tool(effect="read")
async def look_up(name: str) -> str:
    """Look somebody up (and count how often)."""
    sent({"looked_up": name})
    return name.upper()


@member
async def team(ctx: Context, input: str) -> str:
    """Look up."""
    return await ctx.tool(look_up, name=input)
