"""A held call is decided by another process than the one that asked, and happens once: by API and by command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deciders import ADA, FILE, RULES

from podium import Podium
from podium.core.records import Held, Signalled

Effects = Callable[[], list[str]]
TOML = """
store = "runs.db"

[policy]
default = "allow"

[[policy.rules]]
name = "ceiling"
tools = ["refund"]
when = [{ arg = "amount", op = ">", value = 100 }]
then = "deny"

[[policy.rules]]
name = "person"
tools = ["refund"]
then = "ask"
approvers = ["finance"]
"""


def process(*words: object) -> subprocess.CompletedProcess[str]:
    """A process of `deciders.py`, to its end."""
    return subprocess.run([sys.executable, FILE, *map(str, words)], capture_output=True, text=True, timeout=60)


def test_an_edit_that_breaks_policy_is_refused_and_a_good_one_happens_once_in_another_process(
    db: Path, effects: Effects
) -> None:
    assert process("ask", db, "r").stdout == "suspended\n"
    refused = process("decide", db, "r", 5000).stdout
    assert refused.startswith("refused: the edited call would be refused:")
    assert refused.count("\n") == 1
    assert "policy:ceiling" in refused
    assert effects() == []
    assert process("decide", db, "r", 50).stdout == "succeeded\n"
    assert process("go", db, "r").stdout == "succeeded 0\n"
    assert process("decide", db, "r", 60).stdout == "refused: run r waits for no approval or review\n"
    assert effects() == ["A-1 50"]


@pytest.mark.slow
@pytest.mark.parametrize("point", ["before Signalled", "after Signalled", "before Began"])
async def test_a_process_killed_between_decision_and_call_leaves_both_to_the_next(
    point: str, db: Path, effects: Effects
) -> None:
    assert process("ask", db, "r").stdout == "suspended\n"
    async with Podium(db) as app:  # posts, and does not know the agent
        await app.desk.approve("r", edit={"amount": 50}, by=ADA)
    assert process("go", db, "r", point).returncode == -9
    assert effects() == []
    assert process("go", db, "r").stdout == "succeeded 0\n"
    assert effects() == ["A-1 50"]
    async with Podium(db) as app:
        records = await app.store.read("r")
    assert len([record for record in records if isinstance(record, Held)]) == 1, "nobody was asked twice"
    assert len([record for record in records if isinstance(record, Signalled)]) == 1


@pytest.mark.slow
async def test_a_process_killed_in_mid_call_leaves_a_doubt_about_the_edited_call(db: Path, effects: Effects) -> None:
    assert process("ask", db, "r").stdout == "suspended\n"
    async with Podium(db) as app:
        await app.desk.approve("r", edit={"amount": 50}, by=ADA)
    assert process("go", db, "r", "after Began").returncode == -9
    assert process("go", db, "r").stdout == "suspended 1\n"
    async with Podium(db, **RULES) as app:
        [item] = await app.desk.pending("r")
        assert (item.why, item.args["amount"]) == ("in_doubt", 50)
        await app.desk.answer("r", value="not_happened")
    assert process("go", db, "r").stdout == "succeeded 0\n"
    assert effects() == ["A-1 50"]


@pytest.mark.slow
def test_the_whole_flow_by_command_line(tmp_path: Path, effects: Effects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PODIUM_STORE", raising=False)
    (tmp_path / "podium.toml").write_text(TOML)

    def podium(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "podium", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)

    first = podium("run", f"{FILE}:clerk", "Refund A-1", "--run-id", "r")
    assert first.returncode == 3, first.stderr
    waiting = podium("runs", "--waiting")
    assert "approval refund" in waiting.stdout
    inbox: list[dict[str, Any]] = json.loads(podium("approve", "--json").stdout)
    [item] = inbox
    assert (item["run"], item["tool"], item["rule"], item["roles"]) == ("r", "refund", "policy:person", ["finance"])
    who = ["--as", "ada", "--role", "finance"]
    nobody = podium("approve", item["request"], "--as", "bob")
    assert (nobody.returncode, nobody.stderr.count("\n")) == (6, 1)
    bad = podium("approve", item["request"], "--edit", '{"amount": 5000}', *who)
    assert (bad.returncode, bad.stderr.count("\n")) == (6, 1)
    assert "policy:ceiling" in bad.stderr
    assert effects() == []
    posted = podium("approve", item["request"], "--edit", '{"amount": 50}', "--no-resume", *who)
    assert posted.returncode == 0, posted.stderr
    assert effects() == []
    assert json.loads(podium("approve", "--json").stdout) == []
    late = podium("reject", item["request"], *who)
    assert (late.returncode, late.stderr.count("\n")) == (6, 1)
    for _ in range(2):
        resumed = podium("resume", "r")
        assert (resumed.returncode, resumed.stdout) == (0, "All done.\n"), resumed.stderr
    assert effects() == ["A-1 50"]
