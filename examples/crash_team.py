"""A team that refunds an order, made to be killed: two branches, a write tool, an approval and a timer.

    podium crashtest examples/crash_team.py:team "order 7"

Every tool leaves one line for each thing it did in the folder `PODIUM_WORLD`, with the idempotency key that Podium gave
it: that is what `effects` reads. No model is called: the agents follow scripts.
"""

import json
import os
from pathlib import Path
from typing import Any

from podium import Agent, Context, ModelRequest, ScriptedModel, ToolCall, ToolContext, member, tool


def world() -> Path:
    return Path(os.environ.get("PODIUM_WORLD", "."))


def note(file: str, line: dict[str, Any]) -> None:
    with (world() / file).open("a") as out:
        out.write(json.dumps(line) + "\n")


@tool(effect="read")
async def order_total(order: str) -> int:
    """What was paid for an order, in euros."""
    return 10 * len(order)


@tool(effect="write", cost="0.01")
async def send_mail(to: str, text: str, ctx: ToolContext) -> str:
    """Send a mail."""
    note("mails.jsonl", {"to": to, "text": text, "idempotency_key": ctx.idempotency_key})
    return f"sent to {to}"


@tool(effect="write", approval="always", cost="0.05")
async def refund(order: str, euros: int, ctx: ToolContext) -> str:
    """Pay money back."""
    note("refunds.jsonl", {"order": order, "euros": euros, "idempotency_key": ctx.idempotency_key})
    return f"refunded {euros} euros"


@tool(effect="idempotent")
def book(entry: str, ctx: ToolContext) -> str:
    """Enter something in the books; the same key is entered once."""
    (world() / "books").mkdir(exist_ok=True)
    (world() / "books" / ctx.idempotency_key.replace("/", "_").replace(":", "_")).write_text(entry)
    return "booked"


def clerk(request: ModelRequest) -> str | ToolCall | list[ToolCall]:
    """What the scripted agents do: look up, then pay and write at once, then say so."""
    results = [part for message in request.messages for part in message.parts if type(part).__name__ == "ToolResult"]
    if not results:
        return ToolCall(name="order_total", args={"order": "order 7"})
    if len(results) == 1:
        return [
            ToolCall(name="refund", args={"order": "order 7", "euros": 70}),
            ToolCall(name="send_mail", args={"to": "customer", "text": "your money is on its way"}),
        ]
    return "refunded and told"


refunds: Agent[Any, str] = Agent("refunds", model=ScriptedModel(clerk), tools=[order_total, refund, send_mail])


@member
async def follow_up(ctx: Context, input: str) -> str:
    """Ask an hour later whether all is well."""
    await ctx.sleep(3600)
    return await ctx.tool(send_mail, to="customer", text=f"is {input} settled?")


@member
async def team(ctx: Context, input: str) -> dict[str, Any]:
    """Refund an order and book it, and follow up, side by side; then tell the boss what was decided."""
    language = await ctx.ask("In which language?", choices=["English", "German"])

    async def pay(branch: Context) -> str:
        done = await branch.call(refunds, input)
        await branch.tool(book, entry=f"{input}: {done}")
        return done

    async def later(branch: Context) -> str:
        return await branch.call(follow_up, input)

    paid, told = await ctx.gather(pay, later)
    await ctx.tool(send_mail, to="boss", text=f"{input} is done ({language})")
    return {"paid": paid, "told": told, "at": await ctx.now()}


def effects(world: Path) -> list[Any]:
    """Everything that was done to the outside world."""
    mails = [json.loads(line) for file in sorted(world.glob("*.jsonl")) for line in file.read_text().splitlines()]
    return mails + [[path.name, path.read_text()] for path in sorted(world.glob("books/*"))]
