"""A review is a run: its steps are in the journal, it survives being killed, and any model may play the reviewers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from reviewed_repository import Done, Sandbox

from models.loopback import Exchange, Handler, serving
from podium.review import ruff, source
from podium.review.outcome import Review
from podium.review.tools import reading

Podium = Callable[..., Done]
Process = Callable[..., "subprocess.Popen[str]"]

REVIEWERS = ("security", "correctness", "maintainability")
EVIL = "import os\n\n\ndef run(text):\n    return eval(text)\n"
PATCH = "--- a/x.js\n+++ b/x.js\n@@ -4 +4 @@\n-a\n+eval(b)\n"


@pytest.fixture
def hasty(sandbox: Sandbox) -> Sandbox:
    sandbox.commit("Begin", **{"app.py": "def run(text):\n    return text\n"})
    sandbox.commit("Evaluate", **{"app.py": EVIL})
    return sandbox


def told(outcome: dict[str, Any]) -> Review:
    """What a review says, apart from which run said it."""
    review = msgspec.convert({**outcome, "omitted": {}}, Review)
    return msgspec.structs.replace(review, run_id="", model="", cost=None, duration=None)


# ------------------------------------------------------------------------------------------------------ the journal


def test_every_step_of_the_team_is_in_the_journal(hasty: Sandbox, podium: Podium):
    report = podium("review", "--json").json
    run = podium("show", "last", "--json").json
    assert (run["run_id"], run["status"], run["member"]) == (report["run_id"], "succeeded", "review")
    assert run["target"] == "podium.review.team:TEAM"
    assert told(run["output"]) == told(report)
    assert run["models"] == ["offline"]
    steps = {(step["key"], step["kind"]): step for step in run["steps"]}
    for reviewer in REVIEWERS:
        assert ("review.1/" + reviewer + ".1", "call") in steps
        assert ("review.1/" + reviewer + ".1/turn.1/model.1", "model") in steps
        for tool in (f"check_{reviewer}", f"lint_{reviewer}", "read_diff"):
            assert (f"review.1/{reviewer}.1/turn.1/{tool}.1", "tool") in steps
    assert ("review.1/read_change.1", "tool") in steps
    assert ("review.1/editor.1/turn.1/tally_findings.1", "tool") in steps
    assert ("review.1/editor.1/turn.2/model.1", "model") in steps
    assert {step["status"] for step in steps.values()} == {"ok"}


def test_the_tools_of_a_review_pass_the_gate_as_reads(hasty: Sandbox, podium: Podium):
    podium("review")
    began = [each for each in podium("show", "last", "--records", "--json").json if each["type"] == "began"]
    tools = [each for each in began if each["kind"] == "tool" or each["effect"]]
    assert tools
    assert {each["effect"] for each in tools} == {"read"}


def test_another_process_reads_and_repeats_the_outcome(hasty: Sandbox, podium: Podium, process: Process):
    here = podium("review", "--json").json
    out, err = process("resume", "last", "--json").communicate(timeout=20)
    there = json.loads(out)
    assert err == ""
    assert there["run_id"] == here["run_id"]
    assert told(there["output"]) == told(here)


def test_two_processes_share_a_store(hasty: Sandbox, process: Process, podium: Podium):
    both = [process("review", "--json"), process("review", "HEAD~1..HEAD", "--json")]
    done = [(each.communicate(timeout=30), each.returncode) for each in both]
    assert [code for _, code in done] == [0, 0]
    first, second = (json.loads(out) for (out, _), _ in done)
    assert first["run_id"] != second["run_id"]
    assert first["findings"] == second["findings"]
    assert {row["status"] for row in podium("runs", "--json").json} == {"succeeded"}


# ------------------------------------------------------------------------------------------------------------- kill


@pytest.fixture
def slow_python(tmp_path: Path) -> Path:
    """A Python beside which lies a ruff that waits until the file `go` is there."""
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "python").symlink_to(Path(sys.executable).resolve())
    command = ruff._command()
    assert command is not None
    script = f"""#!/bin/sh
touch "{folder}/began"
tries=0
while [ ! -e "{folder}/go" ] && [ $tries -lt 600 ]; do sleep 0.05; tries=$((tries + 1)); done
exec {" ".join(f"'{word}'" for word in command)} "$@"
"""
    (folder / "ruff").write_text(script)
    (folder / "ruff").chmod(0o755)
    return folder


def wait_for(question: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + 20
    while not question():
        assert time.monotonic() < until, f"{what} did not happen"
        time.sleep(0.02)


def tool_steps(podium: Podium, type: str) -> Counter[str]:
    """How often each tool step was begun, or ended."""
    records = podium("show", "last", "--records", "--json").json
    tools = {each["key"] for each in records if each["type"] == "began" and each["effect"]}
    return Counter(each["key"] for each in records if each["type"] == type and each["key"] in tools)


@pytest.mark.parametrize("arguments", [[], ["--staged"]])
def test_a_review_killed_in_the_middle_goes_on_and_repeats_nothing(
    hasty: Sandbox, slow_python: Path, process: Process, podium: Podium, arguments: list[str]
):
    hasty.write("app.py", EVIL + "\n\ndef go(text, seen=[]):\n    return eval(text)\n")
    hasty.git("add", "app.py")
    whole = podium("review", *arguments, "--store", "whole.db", "--json").json
    path = os.pathsep.join(each for each in sys.path if each)
    running = process("review", *arguments, python=str(slow_python / "python"), PYTHONPATH=path)
    wait_for((slow_python / "began").exists, "the slow analyser")
    checked = [f"review.1/{name}.1/turn.1/check_{name}.1" for name in REVIEWERS]
    wait_for(lambda: all(tool_steps(podium, "ended")[key] for key in checked), "the checks of all reviewers")
    running.send_signal(signal.SIGKILL)
    out, _ = running.communicate(timeout=10)
    assert (out, running.returncode) == ("", -signal.SIGKILL)
    (slow_python / "go").touch()
    finished = tool_steps(podium, "ended")
    assert podium("show", "last", "--json").json["state"] == "interrupted"
    hasty.git("reset", "-q", "--hard")  # what was staged is gone; the review still knows it

    done = podium("resume", "last", "--json").json

    assert done["status"] == "succeeded"
    assert told(done["output"]) == told(whole)
    assert whole["findings"]
    began, ended = tool_steps(podium, "began"), tool_steps(podium, "ended")
    assert {key: began[key] for key in finished} == dict.fromkeys(finished, 1)
    assert set(ended.values()) == {1}
    assert set(finished) < set(ended)


def test_an_interrupted_review_says_how_to_go_on(hasty: Sandbox, slow_python: Path, process: Process, podium: Podium):
    path = os.pathsep.join(each for each in sys.path if each)
    running = process("review", python=str(slow_python / "python"), PYTHONPATH=path)
    wait_for((slow_python / "began").exists, "the slow analyser")
    running.send_signal(signal.SIGINT)
    (slow_python / "go").touch()  # a program at work is waited for
    out, err = running.communicate(timeout=10)
    assert (out, running.returncode) == ("", 130)
    assert "interrupted; go on with: podium resume run-" in err
    assert podium("resume", "last", "--json").json["output"]["findings"]


def test_a_kept_change_that_is_gone_or_altered_is_not_reviewed(sandbox: Sandbox, podium: Podium):
    named = source.name(folder=sandbox.root, patch=PATCH, asked="a patch")
    kept = source.keep(named, sandbox.root / ".podium")
    assert source.load(kept).files[0].path == "x.js"
    file = Path(kept.kept)
    file.write_bytes(file.read_bytes() + b"\0")
    source.load.cache_clear()
    with pytest.raises(source.ConfigurationError, match="was altered: review it again"):
        source.load(kept)
    file.unlink()
    with pytest.raises(source.ConfigurationError, match="not kept any more: review it again"):
        source.load(kept)


# ------------------------------------------------------------------------------------------------------------ tools


def test_a_file_is_read_at_the_revision_in_bounded_pieces(sandbox: Sandbox):
    sandbox.commit("Begin", **{"a.txt": "".join(f"{n}\n" for n in range(1, 1001))})
    sandbox.write("a.txt", "changed since\n")
    tools = {tool.name: tool for tool in reading(source.name(folder=sandbox.root).source)}
    read = tools["read_file"]
    whole: str = read(path="a.txt")
    assert whole.startswith("    1 1\n")
    assert whole.endswith("  400 400\n(1000 lines in all)")
    tail: str = read(path="a.txt", first=999, last=5000)
    assert tail == "  999 999\n 1000 1000\n(1000 lines in all)"
    assert "cannot be read" in read(path="b.txt")


# --------------------------------------------------------------------------------------------------- language models


Reviewed = Callable[..., Any]


@pytest.fixture
def reviewed(podium: Podium) -> Reviewed:
    """Review with a server on loopback in the place of a language model; gives the outcome and the requests."""

    async def review(handler: Handler, *arguments: str) -> tuple[Done, list[dict[str, Any]]]:
        async with serving(handler) as server:
            words = ("review", "--model", "openai:stub", "--base-url", server.url, *arguments)
            done = await asyncio.to_thread(podium, *words)
            return done, [exchange.body for exchange in server.exchanges]

    return review


async def reply(exchange: Exchange, content: str | None, *calls: tuple[str, dict[str, Any]]) -> None:
    message: dict[str, Any] = {"role": "assistant", "content": content}
    if calls:
        message["tool_calls"] = [
            {"id": f"c{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for at, (name, arguments) in enumerate(calls)
        ]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    body = {"model": "stub", "choices": [choice], "usage": usage}
    await exchange.answer(200, json.dumps(body).encode(), content_type="application/json")


def player(exchange: Exchange) -> str:
    """Which member asks."""
    prompt = str(exchange.body["messages"][0]["content"])
    return next((name for name in REVIEWERS if f"You review a change for {name}" in prompt), "editor")


def seen(exchange: Exchange) -> list[str]:
    """What the tools have told this member."""
    return [str(each["content"]) for each in exchange.body["messages"] if each["role"] == "tool"]


def finding(line: int, severity: str = "high", **more: Any) -> dict[str, Any]:
    fields = {"file": "app.py", "line": line, "severity": severity, "rule": "evaluation"}
    return {**fields, "message": "the caller's text is evaluated", "why": "it runs what anybody sends", **more}


async def play(exchange: Exchange) -> None:
    """A reviewer that looks at the diff and then answers; the security one errs once in its form."""
    member = player(exchange)
    if member == "editor":
        if seen(exchange):
            await reply(exchange, "Do not evaluate what callers send.")
        else:
            await reply(exchange, None, ("tally_findings", {}))
    elif not seen(exchange):
        await reply(exchange, None, ("read_diff", {"path": "app.py"}))
    elif member != "security":
        await reply(exchange, json.dumps({"findings": []}))
    elif "does not fit" not in str(exchange.body["messages"][-1]["content"]):
        await reply(exchange, json.dumps({"findings": [finding(5, "dreadful")]}))
    else:
        await reply(exchange, json.dumps({"findings": [finding(5)]}))


async def test_a_language_model_plays_the_reviewers(hasty: Sandbox, reviewed: Reviewed):
    done, requests = await reviewed(play)
    assert done.code == 0
    assert "Do not evaluate what callers send.\n" in done.out
    assert "  app.py:5  the caller's text is evaluated  [security, evaluation]" in done.out
    assert "1 finding: 1 high" in done.out
    told = [str(each["content"]) for request in requests for each in request["messages"] if each["role"] == "tool"]
    assert any("     5 +    return eval(text)" in each for each in told)
    again = [request for request in requests if "does not fit" in str(request["messages"][-1]["content"])]
    assert len(again) == 1
    assert "dreadful" in str(again[0]["messages"])
    assert {request["model"] for request in requests} == {"stub"}


async def test_the_findings_of_a_model_are_signed_by_its_reviewer(hasty: Sandbox, reviewed: Reviewed):
    done, _ = await reviewed(play, "--json")
    [found] = done.json["findings"]
    assert (found["reviewer"], found["source"], found["severity"]) == ("security", "model", "high")
    assert done.json["model"] == "openai:stub"
    assert done.json.get("cost") is None  # nobody knows the price of this model


async def test_secrets_of_the_change_do_not_reach_the_model(hasty: Sandbox, reviewed: Reviewed):
    token = "ghp_" + "Zq8Lw3Tn6Rb1Vc9Xk4Mj7Hd2Gf5Sp0Ya3Ue8"
    hasty.commit(f"Add {token}", **{"app.py": f'{EVIL}TOKEN = "{token}"\n'})
    done, requests = await reviewed(play)
    assert done.code == 0
    assert requests
    assert token not in json.dumps(requests)
    assert token not in done.out


@pytest.mark.parametrize(("extra", "code"), [((), 0), (("--fail-on", "critical"), 1)])
async def test_a_reviewer_that_fails_does_not_lose_the_others(
    hasty: Sandbox, reviewed: Reviewed, extra: tuple[str, ...], code: int
):
    async def one_refuses(exchange: Exchange) -> None:
        if player(exchange) == "correctness":
            await exchange.answer(400, b'{"error": {"message": "no such thing"}}', content_type="application/json")
        else:
            await play(exchange)

    done, _ = await reviewed(one_refuses, "--json", *extra)
    assert done.code == code
    report = {each["name"]: each for each in done.json["reviewers"]}
    assert report["correctness"]["status"] == "failed"
    assert "no such thing" in report["correctness"]["note"]
    assert [each["reviewer"] for each in done.json["findings"]] == ["security"]
    assert ("--fail-on cannot be judged without correctness" in done.err) == bool(extra)
    text, _ = await reviewed(one_refuses)
    assert "note: correctness failed: " in text.out


async def test_when_every_reviewer_fails_so_does_the_review(hasty: Sandbox, reviewed: Reviewed):
    async def refuse(exchange: Exchange) -> None:
        await exchange.answer(401, b'{"error": {"message": "who are you"}}', content_type="application/json")

    done, _ = await reviewed(refuse)
    assert (done.code, done.out) == (1, "")
    assert "every member failed" in done.err
    assert "podium show run-" in done.err
