"""`--budget`: a run never passes it, says which limit ended it, and goes on with the line that it prints."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Done

Podium = Callable[..., Done]

PAID = '''
from podium import Agent, Parallel, Price, ScriptedModel, ToolCall, tool

price = Price.parse({"input": 3, "output": 15})

@tool(effect="write")
def note(text: str) -> str:
    """Write a note."""
    with open("notes.txt", "a") as file:
        file.write(text + "\\n")
    return "noted"

def work(request):
    turn = sum(message.role == "tool" for message in request.messages)
    return "all noted" if turn == 4 else [f"note {turn}", ToolCall("note", {"text": str(turn)})]

clerk = Agent("clerk", ScriptedModel(work, price=price), [note])
pair = Parallel(*(Agent(name, ScriptedModel(lambda request: "hello", price=price)) for name in ("ann", "bob")))
'''


@pytest.fixture(autouse=True)
def paid(folder: Path) -> None:
    (folder / "paid.py").write_text(PAID)


def test_a_budget_ends_the_run_and_the_printed_line_goes_on_without_doing_anything_twice(podium: Podium, folder: Path):
    done = podium("run", "paid.py:clerk", "go", "--budget", "1.00,2calls", "--run-id", "r1")
    assert done.code == 5
    assert done.out == "note 1\n"
    assert "BudgetExceeded: the budget 'run:r1' of 2 calls has 0 calls left" in done.err
    line = re.search(r"podium (fork .*)", done.err)
    assert line is not None
    assert line[1] == "fork r1 --at clerk.1/turn.3/model.1 --budget 1.00,2calls"
    again = podium(*shlex.split(line[1]), "--effects", "allow")
    assert again.code == 5
    line = re.search(r"podium (fork .*)", again.err)
    assert line is not None
    last = podium(*shlex.split(line[1]), "--effects", "allow")
    assert (last.code, last.out) == (0, "all noted\n")
    assert (folder / "notes.txt").read_text() == "0\n1\n2\n3\n"


def test_money_is_refused_before_it_is_spent(podium: Podium):
    done = podium("run", "paid.py:clerk", "go", "--budget", "0.001", "--json")
    document = done.json
    assert done.code == 5
    assert document["status"] == "exhausted"
    assert document["cost"] == "0"
    assert document["error"]["data"]["unit"] == "usd"
    assert document["error"]["data"]["limit"] == "0.001"


def test_the_line_that_goes_on_gives_at_least_what_was_asked(podium: Podium):
    done = podium("run", "paid.py:clerk", "go", "--budget", "100tokens", "--run-id", "r1")
    line = re.search(r"podium (fork .* --budget (\d+)tokens)", done.err)
    assert line is not None
    assert int(line[2]) > 100
    assert podium(*shlex.split(line[1]), "--effects", "allow", "--json").json["cost"] != "0"


def test_a_fork_has_as_much_as_its_run_had_unless_it_is_given_more(podium: Podium):
    podium("run", "paid.py:clerk", "go", "--budget", "2calls", "--run-id", "r1")
    at = ("--at", "clerk.1/turn.3/model.1", "--effects", "allow")
    assert podium("fork", "r1", *at).code == 5
    assert podium("fork", "r1", *at, "--budget", "9calls").code == 0


def test_flags_win_over_the_environment_and_that_over_the_file(
    podium: Podium, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    (folder / "podium.toml").write_text("[budgets]\nrun = { calls = 1 }\n")

    def limit(*more: str) -> object:
        return podium("run", "paid.py:clerk", "go", "--json", *more).json["error"]["data"]["limit"]

    assert limit() == 1
    monkeypatch.setenv("PODIUM_BUDGET", "2calls")
    assert limit() == 2
    assert limit("--budget", "3calls") == 3


def test_a_wider_budget_says_which_to_raise(podium: Podium, folder: Path):
    (folder / "podium.toml").write_text('[budgets]\n"agent:clerk" = { calls = 2 }\n')
    done = podium("run", "paid.py:clerk", "go", "--run-id", "r1")
    assert done.code == 5
    assert "raise the budget 'agent:clerk' in podium.toml, then go on:" in done.err
    assert "podium fork r1 --at clerk.1/turn.3/model.1\n" in done.err
    (folder / "podium.toml").write_text('[budgets]\n"agent:clerk" = { calls = 9 }\n')
    assert podium("fork", "r1", "--at", "clerk.1/turn.3/model.1", "--effects", "allow").out == "all noted\n"


def test_prices_of_the_settings_hold_for_runs(podium: Podium, folder: Path):
    (folder / "podium.toml").write_text('[prices]\n"scripted" = { input = 0, output = 0, request = 0.25 }\n')
    assert podium("run", "paid.py:clerk", "go", "--json").json["cost"] == "1.25"


def test_an_alert_is_a_line_on_stderr(podium: Podium, folder: Path):
    (folder / "podium.toml").write_text("[budgets]\nall = { calls = 6, alert = 0.5 }\n")
    done = podium("run", "paid.py:clerk", "go")
    assert done.code == 0
    assert "podium: the budget 'all' is used to 50%" in done.err


def test_time_is_a_limit_too(podium: Podium):
    done = podium("run", "team.py:sleeper", "--budget", "0.05s", "--wait", "--json")
    assert done.code == 5
    assert done.json["error"]["type"] == "DeadlineExceeded"


def test_each_message_of_a_chat_has_the_budget(folder: Path, process: Callable[..., subprocess.Popen[str]]):
    started = process("chat", "paid.py:clerk", "--budget", "1call", "--json", stdin=subprocess.PIPE)
    out, _ = started.communicate("go\ngo on\n", timeout=30)
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["status"] for line in lines] == ["exhausted", "exhausted"]
    assert started.returncode == 5


def test_a_team_whose_members_were_all_refused_says_how_to_go_on(podium: Podium):
    done = podium("run", "paid.py:pair", "go", "--budget", "0calls", "--run-id", "r1")
    assert done.code in (1, 5)
    assert re.search(r"podium fork r1 --at parallel\.1/\S+model\.1 --budget 1calls\n", done.err)


@pytest.mark.parametrize("command", [("run", "paid.py:clerk"), ("chat", "paid.py:clerk"), ("review",)])
def test_what_is_no_budget_is_one_line_before_anything_is_done(podium: Podium, folder: Path, command: tuple[str, ...]):
    done = podium(*command, "--budget", "much")
    assert done.code == 2
    assert done.err == (
        "podium: --budget: 'much' is no limit: write US dollars (0.50), 20000tokens, 10calls or 60s (min, h), "
        "and several with commas: 0.50,10calls\n"
    )
    assert not (folder / ".podium").exists()


def test_a_review_keeps_to_its_budget(podium: Podium, folder: Path):
    patch = "--- a/a.py\n+++ b/a.py\n@@ -1 +1,2 @@\n x = 1\n+eval(input())\n"
    (folder / "change.patch").write_text(patch)
    done = podium("review", "--diff", "change.patch", "--budget", "0calls")
    assert done.code in (1, 5)
    assert "BudgetExceeded" in done.err
    assert "podium fork" in done.err
    assert podium("review", "--diff", "change.patch", "--budget", "50calls").code == 0
