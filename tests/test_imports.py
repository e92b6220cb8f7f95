"""Importing Podium is quick and silent: what costs time to load waits until something needs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("asyncio", "httpx2", "json", "logging", "pathlib", "pydantic", "rich", "sqlite3", "typer")

DEFINES_AN_AGENT = """
from podium import Agent, tool

@tool(effect="read")
def add(a: int, b: int = 2) -> int:
    "Add two numbers."
    return a + b

Agent("adder", model="offline", tools=[add])
"""


@pytest.mark.parametrize("program", ["from podium import Agent, tool", DEFINES_AN_AGENT])
def test_defining_an_agent_loads_nothing_that_only_running_it_needs(program: str) -> None:
    # A `.pth` file of the environment may load anything, so what is there before Podium does not count.
    asked = f"import sys\nbefore = set(sys.modules)\n{program}\nprint(*(set({HEAVY!r}) & set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")
