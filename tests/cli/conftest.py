"""A folder with members in files, and the command line called in it as `main` or as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from podium.cli import main

TEAM = '''
import asyncio
from pathlib import Path
from podium import Agent, ScriptedModel, ToolCall, member, tool

HERE = Path(__file__).parent

@tool(effect="read")
async def look_up(order: str) -> dict:
    """Look up an order."""
    return {"order": order, "amount": 25}

@tool(effect="write", approval="always")
async def refund(order: str, amount: float, api_key: str = "") -> str:
    """Give the money back."""
    with (HERE / "refunds.txt").open("a") as file:
        file.write(f"{order} {amount}\\n")
    return f"refunded {order}"

call = ToolCall("refund", {"order": "A-1", "amount": 25, "api_key": "hunter2hunter2"})
support = Agent(
    "support",
    model=ScriptedModel([ToolCall("look_up", {"order": "A-1"}), call, "All done."]),
    tools=[look_up, refund],
    system_prompt="You refund orders.",
)
plain = Agent("plain", system_prompt="Say it again.")
evil = Agent("evil", model=ScriptedModel(["\\x1b[31mred [bold]not bold[/bold]\\x07"]))

@tool(effect="idempotent")
async def hang() -> str:
    """Wait for a file to appear."""
    (HERE / "hanging").touch()
    while not (HERE / "go").exists():
        await asyncio.sleep(0.01)
    return "went"

hanger = Agent("hanger", model=ScriptedModel([ToolCall("hang", {}), "It went."]), tools=[hang])

@member
async def echo(ctx, input):
    return input

@member
async def asker(ctx, input):
    return {"colour": await ctx.ask("Which colour?", choices=("blue", "red"))}

@member
async def two(ctx, input):
    return await ctx.gather(lambda branch: branch.ask("first?"), lambda branch: branch.ask("second?"))

@member
async def sleeper(ctx, input):
    await ctx.sleep(3600)

@member
async def waiter(ctx, input):
    return {"got": await ctx.wait("paid")}

@member
async def boom(ctx, input):
    raise ValueError("no [red]luck[/red]")

@member
async def kid(ctx, input):
    return f"kid of {input}"

@member
async def parent(ctx, input):
    return await ctx.spawn(kid, input)

again = ScriptedModel(lambda request: ToolCall("look_up", {"order": "A"}))
endless = Agent("endless", model=again, tools=[look_up], max_iterations=2)
'''


class Done(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("PODIUM_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "team.py").write_text(TEAM)
    return tmp_path


@pytest.fixture
def podium(folder: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Call the command line in this process; its streams are no terminals."""

    def call(*arguments: str) -> Done:
        capfd.readouterr()
        code = main(list(arguments))
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        assert "\x1b" not in err
        return Done(int(code), out, err)

    return call


@pytest.fixture
def process(folder: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start the command line as a process."""

    def start(*arguments: str, stdin: Any = subprocess.DEVNULL) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "podium", *arguments],
            cwd=folder,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    return start
