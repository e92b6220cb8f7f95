"""`podium audit`: shown, proven, exported, anchored and erased from the command line."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

TEAM = '''
from podium import Agent, ScriptedModel, ToolCall, member, tool

@tool(effect="read")
async def look_up(order: str, api_key: str = "") -> dict:
    """Look up an order."""
    return {"order": order, "iban": "DE89370400440532013000"}

@tool(effect="write", approval="always")
async def refund(order: str, amount: int) -> str:
    """Give the money back."""
    return f"refunded {order}"

support = Agent(
    "support",
    model=ScriptedModel([
        ToolCall("look_up", {"order": "A-1", "api_key": "hunter2hunter2"}),
        ToolCall("delete", {"order": "A-1"}),
        ToolCall("refund", {"order": "A-1", "amount": 25}),
        "All done.",
    ]),
    tools=[look_up, refund],
)

@member
async def echo(ctx, input):
    return input
'''
STORE = Path(".podium") / "podium.db"
Podium = Callable[..., Any]


@pytest.fixture
def refunded(podium: Podium) -> Podium:
    """After a run that was held, approved and has ended."""
    Path("team.py").write_text(TEAM)
    assert podium("run", "team.py:support", "please refund Ada Lovelace").code == 3
    assert podium("approve", "last").code == 0
    assert podium("resume", "last").code == 0
    return podium


def shown(podium: Podium, *options: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in podium("audit", "show", "--json", *options).out.splitlines()]


def test_every_verdict_and_every_execution_is_shown(refunded: Podium) -> None:
    entries = shown(refunded)
    told = [(each["event"], each.get("name", ""), each.get("verdict", each.get("status", ""))) for each in entries]
    assert [each for each in told if each[0] in ("gate", "decision", "tool")] == [
        ("gate", "look_up", "allow"),
        ("tool", "look_up", "ok"),
        ("gate", "delete", "deny"),
        ("gate", "refund", "hold"),
        ("decision", "refund", "approve"),
        ("gate", "refund", "allow"),
        ("tool", "refund", "ok"),
    ]
    call = next(each for each in entries if each["event"] == "tool" and each["name"] == "refund")
    assert call["agent"] == "support"
    assert call["success"] is True
    assert call["duration_ms"] >= 0
    assert call["args"] == {"order": "A-1", "amount": 25}
    assert len(call["args_digest"]) == len(call["result_digest"]) == 32
    looked_up = next(each for each in entries if each["event"] == "tool")
    assert looked_up["args"] == {"order": "A-1", "api_key": "[redacted]"}
    denied = next(each for each in entries if each.get("verdict") == "deny")
    assert (denied["rule"], denied["agent"]) == ("permission:not-granted", "support")
    assert "hunter2" not in json.dumps(entries)


def test_entries_are_filtered(refunded: Podium) -> None:
    assert {each["name"] for each in shown(refunded, "--tool", "refund")} == {"refund"}
    assert [each["event"] for each in shown(refunded, "--verdict", "hold")] == ["gate"]
    assert shown(refunded, "--agent", "nobody") == []
    assert {each["event"] for each in shown(refunded, "last", "--event", "run.")} == {
        "run.started",
        "run.suspended",
        "run.resumed",
        "run.finished",
    }
    assert len(shown(refunded, "--since", "today")) > 5
    assert "refund" in refunded("audit", "show").out
    assert refunded("audit", "show", "nobody").code == 2


def test_an_event_that_does_not_exist_is_an_error_that_names_those_that_do(refunded: Podium) -> None:
    done = refunded("audit", "show", "--event", "gates")
    assert done.code == 2
    assert "there is no event 'gates'" in done.err
    assert "decision" in done.err
    assert refunded("audit", "show", "--event", "run.").code == 0


def test_a_verdict_that_does_not_exist_is_an_error_that_names_those_that_do(refunded: Podium) -> None:
    done = refunded("audit", "show", "--verdict", "denied")
    assert done.code == 2
    assert "there is no verdict 'denied'; verdicts are allow, deny" in done.err
    assert refunded("audit", "show", "--verdict", "deny").code == 0


def test_whoever_may_read_the_store_and_not_the_key_sees_the_log_and_the_chains(
    refunded: Podium, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def denied(path: Path, *args: Any, **options: Any) -> Any:
        if path.name == "audit.key":
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **options)

    monkeypatch.setattr(Path, "open", denied)
    assert len(shown(refunded)) > 5
    done = refunded("audit", "verify")
    assert (done.code, done.out[:2]) == (0, "ok")
    assert "signatures were not checked" in done.out
    done = refunded("audit", "export", "log.jsonl")
    assert done.code == 2
    assert "is not this user's to read: be its owner, or give PODIUM_AUDIT_KEY" in done.err


def test_an_untouched_store_is_proven_and_a_changed_one_is_not(refunded: Podium) -> None:
    done = refunded("audit", "verify", "--json")
    assert done.code == 0
    assert done.json["ok"] is True
    assert done.json["signed"] is True
    assert done.json["anchors"] >= 1
    with closing(sqlite3.connect(STORE)) as connection:
        connection.execute("UPDATE journal SET body = CAST(replace(body, 'A-1', 'A-2') AS BLOB)")
        connection.commit()
    done = refunded("audit", "verify")
    assert done.code == 1
    assert "changed" in done.out


def test_without_the_key_the_chains_are_checked_and_it_says_so(refunded: Podium) -> None:
    key = STORE.with_name("audit.key")
    assert key.stat().st_mode & 0o777 == 0o600
    key.unlink()
    done = refunded("audit", "verify")
    assert done.code == 0
    assert "signatures were not checked" in done.out
    key.write_text("x" * 64)
    key.chmod(0o600)
    done = refunded("audit", "verify")
    assert done.code == 1
    assert "signed with another key" in done.out


def test_a_key_that_others_can_read_is_refused(refunded: Podium) -> None:
    STORE.with_name("audit.key").chmod(0o644)
    done = refunded("audit", "verify")
    assert done.code == 2
    assert "chmod 600" in done.err


def test_a_line_that_was_kept_finds_a_store_that_was_set_back(refunded: Podium) -> None:
    earlier = STORE.read_bytes()
    line = refunded("audit", "anchor").out.strip()
    assert refunded("audit", "verify", "--anchor", line).code == 0
    assert refunded("run", "team.py:echo", "one more", "--json").code == 0
    later = refunded("audit", "anchor").out.strip()
    assert later != line
    assert refunded("audit", "verify", "--anchor", line).code == 0
    STORE.write_bytes(earlier)
    assert refunded("audit", "verify").code == 0
    done = refunded("audit", "verify", "--anchor", later)
    assert done.code == 1
    assert "truncated" in done.out
    assert refunded("audit", "verify", "--anchor", "nonsense").code == 2


def test_an_exported_log_is_proven_elsewhere_and_a_changed_one_is_not(refunded: Podium) -> None:
    done = refunded("audit", "export", "log.jsonl", "--json")
    assert done.json["entries"] == len(shown(refunded))
    assert refunded("audit", "verify", "log.jsonl").code == 0
    log = Path("log.jsonl")
    log.write_text(log.read_text().replace('"approve"', '"rejects"'))
    done = refunded("audit", "verify", "log.jsonl")
    assert done.code == 1
    assert "changed" in done.out
    assert refunded("audit", "verify", "nowhere.jsonl").code == 2


def test_an_erased_run_keeps_its_proof_and_loses_its_payloads(refunded: Podium) -> None:
    assert refunded("audit", "erase", "last").code == 2, "nobody is there to be asked"
    assert refunded("audit", "erase", "last", "--yes").code == 0
    done = refunded("audit", "verify", "--json")
    assert done.code == 0
    assert done.json["erased"] > 5
    everything = b"".join(file.read_bytes() for file in STORE.parent.iterdir())
    for payload in (b"Lovelace", b"A-1", b"All done", b"DE8937"):
        assert payload not in everything
    refund = next(each for each in shown(refunded) if each["event"] == "tool" and each["name"] == "refund")
    assert refund["args"] == "[erased]"
    assert "args_digest" not in refund
    assert refund["success"] is True
    for command in (["show", "last"], ["show", "last", "--records"], ["show", "last", "--json"]):
        done = refunded(*command)
        assert done.code == 0
        assert "erased" in done.out
    done = refunded("show", "last", "--step", "support.1/turn.2/model.1")
    assert done.code == 0
    assert "[erased]" in done.out
    assert refunded("audit", "erase", "last", "--yes").code == 2, "there is nothing left"


def test_one_step_can_be_erased_alone(refunded: Podium) -> None:
    assert refunded("audit", "erase", "last", "--yes", "--step", "support.1/turn.1/look_up.1").code == 0
    args = {each["name"]: each["args"] for each in shown(refunded) if each["event"] == "tool"}
    assert args["look_up"] == "[erased]"
    assert args["refund"]["order"] == "A-1"
    assert refunded("audit", "verify").code == 0
    assert refunded("audit", "erase", "last", "--yes", "--step", "support.1/nothing.1").code == 2
    assert refunded("audit", "erase", "last", "--yes").code == 0
    assert refunded("audit", "verify").code == 0


def test_who_erased_is_said_in_the_anchor(refunded: Podium) -> None:
    assert refunded("audit", "erase", "last", "--yes", "--as", "dpo@example.org").code == 0
    with closing(sqlite3.connect(STORE)) as connection:
        anchors = [bytes(row[0]) for row in connection.execute("SELECT data FROM anchors")]
    assert sum(b"dpo@example.org" in anchor for anchor in anchors) == 1


def test_without_a_command_the_commands_are_shown(podium: Podium) -> None:
    done = podium("audit")
    assert (done.code, done.err) == (0, "")
    assert "verify" in done.out


def test_a_run_that_waits_is_not_erased(podium: Podium) -> None:
    Path("team.py").write_text(TEAM)
    podium("run", "team.py:support", "refund")
    done = podium("audit", "erase", "last", "--yes")
    assert done.code == 6
    assert "not over" in done.err


def test_a_file_that_is_no_store_is_one_line(podium: Podium) -> None:
    Path("junk.db").write_bytes(b"This is no database. " * 200)
    done = podium("audit", "verify", "--store", "junk.db")
    assert done.code == 1
    assert "unreadable" in done.out
    assert podium("audit", "verify").code == 2, "there is no store yet"


def test_the_key_may_come_from_the_environment(podium: Podium, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_AUDIT_KEY", "correct horse battery staple")
    assert podium("run", "team.py:echo", "hello").code == 0
    assert not STORE.with_name("audit.key").exists()
    assert podium("audit", "verify", "--json").json["signed"] is True
    monkeypatch.setenv("PODIUM_AUDIT_KEY", "short")
    done = podium("audit", "verify")
    assert done.code == 2
    assert "too short" in done.err
