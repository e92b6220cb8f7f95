"""A team without a fault: two writes, a question."""

import json
from pathlib import Path

from outbox import sent

from podium import Context, ToolContext, member, tool


@tool(effect="write", cost="0.02")
async def mail(to: str, ctx: ToolContext) -> str:
    """Send a mail."""
    sent({"to": to, "key": ctx.idempotency_key})
    return f"sent to {to}"


@member
async def team(ctx: Context, input: str) -> list[str]:
    """Ask, then write twice."""
    who = await ctx.ask("Who else?", choices=["bob", "carol"])
    return [await ctx.tool(mail, to=input), await ctx.tool(mail, to=who)]


def effects(world: Path) -> list[object]:
    """The mails that were sent."""
    path = world / "outbox"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
