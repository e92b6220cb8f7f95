"""Faults: a reconcile that always says "not done", and one that always says "done"."""

from outbox import sent

from podium import Context, NotDone, ToolContext, member, tool


def never(key: str) -> str:
    """Claim that it did not happen, whatever did."""
    raise NotDone(f"{key} is not there")


def always(key: str) -> str:
    """Claim that it happened, whatever did."""
    return "sent"


@tool(effect="write", reconcile=never)
async def denied(ctx: ToolContext) -> str:
    """Send; its reconcile denies it."""
    sent({"denied": ctx.idempotency_key})
    return "sent"


@tool(effect="write", reconcile=always)
async def claimed(ctx: ToolContext) -> str:
    """Send; its reconcile claims it."""
    sent({"claimed": ctx.idempotency_key})
    return "sent"


@member
async def denying(ctx: Context, input: str) -> str:
    """Send."""
    return await ctx.tool(denied)


@member
async def claiming(ctx: Context, input: str) -> str:
    """Send."""
    return await ctx.tool(claimed)
