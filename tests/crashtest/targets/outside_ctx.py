"""Fault: an effect that no step knows of."""

from outbox import sent

from podium import Context, ToolContext, member, tool


@tool(effect="write")
async def mail(to: str, ctx: ToolContext) -> str:
    """Send a mail."""
    sent({"to": to, "key": ctx.idempotency_key})
    return "sent"


@member
async def team(ctx: Context, input: str) -> str:
    """Write, and log it behind the runtime's back."""
    done = await ctx.tool(mail, to=input)
    sent({"log": f"wrote to {input}"})
    await ctx.tool(mail, to="boss")
    return done
