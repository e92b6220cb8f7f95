"""What is durable before what, counted from outside: the table of the guarantees, as a trace of system calls."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import TURNS

from podium import Agent, Podium, ScriptedModel, ToolCall, ToolContext, tool
from podium.core.records import Began, Ended

EVENT = re.compile(r'write\(1, "(?P<said>[a-z0-9 ]+)\\n"|\b(?P<sync>f(?:data)?sync)\(')


def events(trace: Path) -> list[str]:
    """What was said and every sync, in order, from `begin` to `end`."""
    found = [match["said"] or "sync" for line in trace.read_text().splitlines() if (match := EVENT.search(line))]
    return found[found.index("begin") + 1 : found.index("end")]


def test_only_a_write_syncs_and_it_does_so_before_and_after(tmp_path: Path, child: Callable) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: syncs cannot be counted from outside")
    if subprocess.run(["strace", "-e", "trace=none", "true"], capture_output=True).returncode != 0:
        pytest.skip("strace may not trace processes here: syncs cannot be counted from outside")
    trace = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,write"
    traced = child(
        "syncs", tmp_path / "runs.db", before=("strace", "-f", "-o", str(trace), "-e", calls, "-e", "signal=none")
    )
    said = traced.rest()
    assert said[-1:] == ["end"]
    expected: list[str] = []
    for turn, name in enumerate(TURNS, 1):
        body = f"body {({'reads': 'read', 'repeats': 'idempotent', 'writes': 'write'})[name]}"
        expected += [f"model {turn}", *(["sync", body, "sync"] if name == "writes" else [body])]
    assert events(trace) == [*expected, f"model {len(TURNS) + 1}"]


@pytest.mark.parametrize("effect", ["idempotent", "write"])
async def test_that_it_began_is_there_for_others_to_see_before_an_action_runs(effect: str, db: Path) -> None:
    seen: list[list[str]] = []

    @tool(effect=effect)  # pyright: ignore[reportArgumentType]
    async def acts(n: int, ctx: ToolContext) -> str:
        """Act, and look at the file through another connection."""
        async with Podium(db) as other:
            records = await other.store.read(ctx.run_id)
        began = [record.key for record in records if isinstance(record, Began) and record.effect]
        ended = {record.key for record in records if isinstance(record, Ended)}
        seen.append([key for key in began if key not in ended])
        return "acted"

    agent = Agent(
        "agent",
        model=ScriptedModel([ToolCall("acts", {"n": 1}), ToolCall("acts", {"n": 2}), "done"]),
        tools=[acts],
        system_prompt="Act.",
    )
    async with Podium(db) as app:
        result = await agent.run("go", app=app)
    assert result.output == "done", result.error
    assert seen == [["agent.1/turn.1/acts.1"], ["agent.1/turn.2/acts.1"]]
