"""The team of `podium demo`: three mails, one of which needs an approval. It can be crash-tested as it stands.

    podium crashtest podium.cli.demo_team:team

The agent follows a script, so that no key is needed; the mails are files, so that everybody can count them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from podium import Agent, Context, ModelRequest, Podium, ScriptedModel, ToolCall, ToolContext, member, tool
from podium.agents.member import RunOptions

RUN = "demo"
SLOW = "PODIUM_DEMO_SLOW"
"""The environment variable with the seconds the server takes to say that it has the second mail."""


def world() -> Path:
    """The folder the mails go to."""
    return Path(os.environ.get("PODIUM_WORLD", "."))


def _post(name: str, to: str, text: str, ctx: ToolContext) -> None:
    part = world() / f"{name}.part"
    part.write_text(json.dumps({"to": to, "text": text, "idempotency_key": ctx.idempotency_key}))
    part.rename(world() / name)  # whoever counts mails sees whole ones


@tool(effect="read")
async def customers(product: str) -> list[str]:
    """Everybody who bought a product."""
    return ["ann@example.com", "bob@example.com"]


@tool(effect="write")
async def send_mail(to: str, text: str, ctx: ToolContext) -> str:
    """Send a mail."""
    number = len(list(world().glob("mail-*.json"))) + 1
    _post(f"mail-{number}.json", to, text, ctx)
    if number == 2:
        await asyncio.sleep(float(os.environ.get(SLOW, "0")))  # the server has the mail, and has not said so yet
    return f"sent to {to}"


@tool(effect="write", approval="always")
async def send_newsletter(text: str, ctx: ToolContext) -> str:
    """Send a mail to everybody."""
    _post("mail-everybody.json", "everybody", text, ctx)
    return "sent to everybody"


def _script(request: ModelRequest) -> str | ToolCall:
    done = [message for message in request.messages if message.role == "tool"]
    if not done:
        return ToolCall(name="customers", args={"product": "tent"})
    if len(done) == 1:
        return ToolCall(name="send_mail", args={"to": "ann@example.com", "text": "Please return your tent."})
    if len(done) == 2:
        return ToolCall(name="send_mail", args={"to": "bob@example.com", "text": "Please return your tent."})
    if len(done) == 3:
        return ToolCall(name="send_newsletter", args={"text": "We are recalling a tent."})
    return "Both customers and the public have been told."


clerk: Agent[Any, str] = Agent("clerk", model=ScriptedModel(_script), tools=[customers, send_mail, send_newsletter])


@member
async def team(ctx: Context, input: str) -> str:
    """Recall a product."""
    return str(await ctx.call(clerk, input))


def effects(world: Path) -> list[object]:
    """The mails that were sent."""
    return [json.loads(path.read_text()) for path in sorted(world.glob("mail-*.json"))]


async def _run(store: str) -> None:
    async with Podium(f"sqlite:///{store}", members=[team]) as app:
        await app.run(team, "recall the tent", options=RunOptions(run_id=RUN))


def main() -> None:
    """What the child process of `podium demo` does: run the team on the store named by the first argument."""
    asyncio.run(_run(sys.argv[1]))
