"""Planted secrets are in nothing that the command line prints or leaves behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Podium = Callable[..., Any]

ENVIRONMENT = "planted-env-5d41402abc4b2a76"
ARGUMENT = "sk-planted0argument1234567890"
PASSWORD = "correct horse 42"
RESULT = "ghp_plantedresult12345678901234567890"
ERROR = "AKIAPLANTEDERROR1234"
PLANTED = (ENVIRONMENT, ARGUMENT, PASSWORD, RESULT, ERROR)

TEAM = f'''
import os
from podium import Agent, ScriptedModel, ToolCall, tool

used = []

@tool(effect="read")
def peek(name: str) -> dict:
    """Look around."""
    return {{"access_token": "{RESULT}", "environment": dict(os.environ), "note": "key {RESULT}"}}

@tool(effect="read", retries=0)
def fail(why: str) -> str:
    """Fail, telling too much."""
    raise RuntimeError("no luck with {ERROR} and " + os.environ["PLANTED_API_KEY"])

@tool(effect="write", approval="always")
def login(user: str, password: str, note: str = "") -> str:
    """Log in."""
    assert password == "{PASSWORD}" and "{ARGUMENT}" in note, (password, note)
    return "welcome"

calls = [ToolCall("peek", {{"name": "x"}}), ToolCall("fail", {{"why": "y"}})]
enter = ToolCall("login", {{"user": "ada", "password": "{PASSWORD}", "note": "use {ARGUMENT}"}})
worker = Agent("worker", ScriptedModel([calls, enter, "Done."]), tools=[peek, fail, login])
'''


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_planted_secrets_are_in_no_output_and_no_file(
    podium: Podium, folder: Path, monkeypatch: pytest.MonkeyPatch, form: list[str]
) -> None:
    monkeypatch.setenv("PLANTED_API_KEY", ENVIRONMENT)
    (folder / "team.py").write_text(TEAM)
    done = [podium("run", "team.py:worker", f"log in with {ENVIRONMENT}", "--run-id", "r1", *form)]
    done += [podium("runs", "--waiting", *form), podium("approve", *form), podium("approve", "r1", *form)]
    done += [podium("resume", "r1", *form)]
    assert done[-1].code == 0, done[-1].err
    assert "welcome" in podium("show", "r1", "--step", "worker.1/turn.2/login.1", "--json").out
    for command in (
        ["runs"], ["show", "r1"], ["tail", "r1"], ["show", "r1", "--step", "worker.1/turn.1/peek.1"],
        ["show", "r1", "--step", "worker.1/turn.2/login.1"], ["audit", "show"], ["audit", "verify"], ["tools", "stats"],
        ["tools", "report"], ["costs"], ["fork", "r1", "--at", "worker.1/turn.2/login.1"],
    ):  # fmt: skip
        done.append(podium(*command, *form))
    done.append(podium("audit", "export", "audit.jsonl"))
    printed = "".join(each.out + each.err for each in done)
    assert [secret for secret in PLANTED if secret in printed] == []
    left = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "team.py"}
    assert [(path.name, secret) for path, data in left.items() for secret in PLANTED if secret.encode() in data] == []
    assert any(path.name == "audit.jsonl" for path in left)
