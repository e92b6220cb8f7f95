"""Fault: a tool that says it is idempotent, and does not pass its key on."""

from outbox import sent

from podium import Context, member, tool


@tool(effect="idempotent")
async def charge(euros: int) -> str:
    """Charge a card."""
    sent({"charged": euros})
    return "charged"


@member
async def team(ctx: Context, input: str) -> str:
    """Charge."""
    return await ctx.tool(charge, euros=5)
