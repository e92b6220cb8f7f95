"""`podium init`: a small project that works at once, without a key and without a network."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from podium.core.errors import ConfigurationError

from .exits import reported
from .options import MACHINE, JsonOption, example

CONFIG = """\
# Settings of `podium` in this folder. PODIUM_* environment variables and flags win over them.
# Keys of providers do not belong here: set OPENAI_API_KEY and the like in the environment.

store = ".podium/podium.db"  # every run, and what it did; safe to keep, and to delete
model = "offline"            # rules, no language model: try "openai:NAME" once OPENAI_API_KEY is set
# base_url = "http://localhost:11434/v1"  # any server that speaks Chat Completions, with model = "openai:NAME"

# Calls are refused before they would pass a budget: US dollars, or { tokens = …, calls = …, per = "day" }.
# [budgets]
# run = 0.50              # each run
# "agent:support" = 5     # this agent, each day (UTC)
# all = { usd = 100, per = "month" }

# [prices]                # US dollars per million tokens, for models that `podium prices MODEL` does not know
# "openai:my-model" = { input = 0.5, output = 2 }

# [rates]                 # at most so many a minute
# "openai:*" = { requests = 50, tokens = 40000 }

# [policy.agents.support] # who may call what; `podium policy check` finds mistakes, `podium policy explain` says why
# tools = ["look_up_order", "refund"]

# [mcp.servers.docs]      # its tools are docs_…; agents name them: tools=["docs_search"]
# url = "https://docs.example.org/mcp"  # or command = "docs-server" for a program
# auth = { env = "DOCS_TOKEN" }

# [limits]
# tool_timeout = 60   # seconds
"""

TEAM = '''\
"""A support agent that may read orders, and refunds them only when a person has approved.

    podium run team.py:support "Refund order A-1001"

looks the order up, then waits for you. What was done is never done twice, whatever happens in between: kill it, and go
on with `podium resume last`. A longer conversation: `podium chat team.py:support`.
"""

import json
from pathlib import Path

from podium import Agent, tool

ORDERS = {
    "A-1001": {"item": "tent", "price": 249.0},
    "A-1002": {"item": "stove", "price": 89.0},
}
REFUNDS = Path(__file__).with_name("refunds.jsonl")


@tool(effect="read")
async def look_up_order(order_id: str) -> dict:
    """Look up what a customer did buy in an order, and for how much."""
    return ORDERS.get(order_id, {"error": f"there is no order {order_id}"})


@tool(effect="write", approval="always")
async def refund(order_id: str) -> str:
    """Give the customer the money back."""
    with REFUNDS.open("a") as file:
        file.write(json.dumps({"order": order_id}) + "\\n")
    return f"order {order_id} was refunded"


support = Agent(
    "support",
    tools=[look_up_order, refund],
    system_prompt="You are friendly and brief.",
)
'''

TEST = '''\
"""Tests of the team, with a script in place of the model: `pytest`."""

from podium import ScriptedModel, ToolCall

import team


def test_a_question_is_answered_from_the_order():
    model = ScriptedModel([ToolCall("look_up_order", {"order_id": "A-1002"}), "It is a stove for 89 dollars."])

    result = team.support.replace(model=model).run_sync("What did I buy in A-1002?")

    assert result.output == "It is a stove for 89 dollars."
    model.finish()


def test_a_refund_waits_for_a_person(tmp_path, monkeypatch):
    monkeypatch.setattr(team, "REFUNDS", tmp_path / "refunds.jsonl")
    model = ScriptedModel([ToolCall("refund", {"order_id": "A-1001"}), "Done."])

    result = team.support.replace(model=model).run_sync("Refund A-1001")

    assert result.status == "suspended"
    assert result.pending[0].tool == "refund"
    assert not team.REFUNDS.exists()
'''

FILES = {"podium.toml": CONFIG, "team.py": TEAM, "test_team.py": TEST}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init", rich_help_panel=MACHINE, epilog=example("podium init my-team"))(init)


def init(
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="The folder; it is made if need be.", show_default=False)
    ] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Write a small working project: settings, an agent with a tool that needs approval, and its tests.

    Nothing is overwritten: when one of the files is there already, nothing is written.
    """
    with reported():
        write(directory)
        commands = next_commands(directory)
        if as_json:
            from . import documents

            documents.write({"directory": str(directory), "files": list(FILES), "next": commands})
            return
        sys.stdout.write(f"wrote {', '.join(FILES)} in {directory}\n\nnext:\n")
        sys.stdout.writelines(f"  {command}\n" for command in commands)


def write(directory: Path) -> None:
    """Write the project's files. Raises ConfigurationError, and then nothing was written, when one is there."""
    there = [name for name in FILES if os.path.lexists(directory / name)]
    if there:
        raise ConfigurationError(
            f"{', '.join(there)} is there already in {directory}, and nothing is overwritten: name another folder"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in FILES.items():
            with (directory / name).open("x", encoding="utf-8") as file:
                file.write(content)
    except OSError as error:
        raise ConfigurationError(f"{directory} cannot be written: {error.strerror or error}") from error


def next_commands(directory: Path) -> list[str]:
    """What to type next."""
    enter = [] if directory == Path() else [shlex.join(["cd", str(directory)])]
    return [
        *enter,
        'podium run team.py:support "Refund order A-1001"',
        "podium approve last",
        "podium show last",
        "podium chat team.py:support",
        "pytest",
        "podium doctor",
    ]
