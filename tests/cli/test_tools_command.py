"""`podium tools`: what agents have, how it does, and what it costs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Done

Podium = Callable[..., Done]

MEMBERS = '''
from podium import Agent, ScriptedModel, Sequential, ToolCall, tool

@tool(effect="read", cost="0.25", network=True, tags="web", cache=3600, retries=0)
async def search(query: str) -> str:
    """Search the catalogue.

    Args:
        query: what for
    """
    if query == "nothing":
        raise ValueError("found nothing")
    return "found"

@tool
async def note(text: str) -> str:
    """Keep a [bold]note."""
    return "kept"

def asks(query):
    return [ToolCall("search", {"query": query}), "done"]

seeker = Agent("seeker", ScriptedModel(asks("tents")), [search, note])
failing = Agent("failing", ScriptedModel(asks("nothing")), [search])
plain = Agent("plain", "offline")
team = Sequential(seeker, plain, Sequential(failing, name="inner"), name="team")
'''


@pytest.fixture(autouse=True)
def members(folder: Path) -> None:
    (folder / "shop.py").write_text(MEMBERS)


def test_the_tools_of_a_teams_agents_are_listed_without_running_it(podium: Podium):
    lines = [line.split() for line in podium("tools", "list", "shop.py:team").out.splitlines()]
    assert lines[0] == ["AGENT", "TOOL", "VERSION", "EFFECT", "REACH", "NETWORK", "COST", "TAGS", "DESCRIPTION"]
    assert [line[:4] for line in lines[1:]] == [
        ["seeker", "search", "1", "read"],
        ["seeker", "note", "1", "write"],
        ["failing", "search", "1", "read"],
    ]
    assert "(undeclared)" in lines[2]
    assert "[bold]note." in lines[2], "what a tool says of itself is no markup"
    assert podium("runs", "--json").json == []


def test_with_json_the_schemas_are_there(podium: Podium):
    seeker, _ = podium("tools", "list", "shop.py:team", "--json").json
    search = seeker["tools"][0]
    assert (search["name"], search["requires_network"], search["cost"], search["cache"]) == (
        "search",
        True,
        "0.25",
        3600,
    )
    assert search["parameters"]["properties"]["query"]["description"] == "what for"
    assert search["returns"] == {"type": "string"}


def test_a_team_without_tools_is_no_error(podium: Podium):
    done = podium("tools", "list", "shop.py:plain")
    assert (done.code, done.out) == (0, "")
    assert "members found: plain" in done.err


def test_statistics_and_costs_of_what_ran(podium: Podium):
    for name in ("seeker", "seeker", "failing"):
        podium("run", f"shop.py:{name}", "go")
    [stats] = podium("tools", "stats", "--json").json["stats"]
    assert (stats["tool"], stats["executions"], stats["failures"], stats["hits"]) == ("search", 2, 1, 1)
    assert (stats["success_rate"], stats["avg_cost"]) == (0.5, "0.25")
    assert stats["p50_ms"] <= stats["p95_ms"]
    assert "50.0%" in podium("tools", "stats").out
    [line] = podium("tools", "report", "--json").json["report"]
    assert (line["executions"], line["total_cost"], line["avg_cost"], line["saved"]) == (2, "0.50", "0.25", "0.25")
    heads, row = [line.split() for line in podium("tools", "report").out.splitlines()]
    assert (heads, row) == (
        ["TOOL", "EXECUTIONS", "TOTAL", "AVG", "HITS", "SAVED"],
        ["search", "2", "$0.5", "$0.25", "1", "$0.25"],
    )
    assert podium("tools", "stats", "--agent", "failing", "--json").json["stats"][0]["executions"] == 1


def test_another_process_finds_what_this_one_kept(
    podium: Podium, process: Callable[..., subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
):
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        with process("run", "shop.py:seeker", "go") as running:
            out, err = running.communicate(timeout=60)
        assert (running.returncode, out.strip()) == (0, "done"), err
    [stats] = podium("tools", "stats", "--json").json["stats"]
    assert (stats["executions"], stats["hits"]) == (1, 1)


@pytest.mark.parametrize("command", ["stats", "report"])
def test_without_runs_there_is_nothing_to_show_and_no_store_is_made(podium: Podium, folder: Path, command: str):
    done = podium("tools", command)
    assert (done.code, done.out) == (0, "")
    assert "no tool was used yet" in done.err
    assert podium("tools", command, "--json").json == {"since": 0.0, command: []}
    assert not (folder / ".podium").exists()


def test_a_target_that_is_not_there_is_one_line(podium: Podium):
    done = podium("tools", "list", "shop.py:nobody")
    assert done.code != 0
    assert "has no 'nobody'" in done.err
    assert "Traceback" not in done.err
