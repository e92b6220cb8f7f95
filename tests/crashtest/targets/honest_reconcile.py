"""No fault: a reconcile that looks, so that nobody has to be asked."""

from outbox import lines, sent

from podium import Context, NotDone, ToolContext, member, tool


def look(key: str) -> str:
    """Find out whether it was sent."""
    if not any(key in line for line in lines()):
        raise NotDone(f"{key} is not there")
    return "sent"


@tool(effect="write", reconcile=look)
async def send(ctx: ToolContext) -> str:
    """Send."""
    sent({"key": ctx.idempotency_key})
    return "sent"


@member
async def team(ctx: Context, input: str) -> str:
    """Send."""
    return await ctx.tool(send)
