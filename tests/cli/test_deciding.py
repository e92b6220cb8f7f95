"""`approve`, `reject`, `answer`, `signal`, `cancel`: words left by one process, acted on by another."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from .conftest import Done

Podium = Callable[..., Done]
Process = Callable[..., "subprocess.Popen[str]"]


def refunds(folder: Path) -> list[str]:
    file = folder / "refunds.txt"
    return file.read_text().splitlines() if file.exists() else []


def test_a_refund_waits_for_a_person_across_processes_and_happens_once(podium: Podium, process: Process, folder: Path):
    first = process("run", "team.py:support", "refund A-1", "--run-id", "s1")
    out, err = first.communicate(timeout=20)
    assert (first.returncode, out) == (3, "")
    assert refunds(folder) == []
    [command] = [line.strip() for line in err.splitlines() if line.strip().startswith("podium approve")]
    approving = process(*shlex.split(command)[1:])  # exactly what was printed
    assert approving.communicate(timeout=20)[0] == "All done.\n"
    assert refunds(folder) == ["A-1 25.0"]
    assert podium("resume", "s1").out == "All done.\n"
    assert refunds(folder) == ["A-1 25.0"]


def test_a_redacted_call_is_not_offered_for_editing(podium: Podium):
    done = podium("run", "team.py:support", "x", "--run-id", "s1")
    assert "[redacted]" in done.err
    assert "--args" not in done.err


def test_edited_arguments_are_those_that_are_used(podium: Podium, folder: Path):
    podium("run", "team.py:support", "x", "--run-id", "s1")
    assert podium("approve", "s1", "--args", '{"order": "A-1", "amount": 5}').code == 0
    assert refunds(folder) == ["A-1 5.0"]


def test_a_rejection_reaches_the_model_with_its_message(podium: Podium, folder: Path):
    podium("run", "team.py:support", "x", "--run-id", "s1")
    assert podium("reject", "s1", "-m", "too much", "--by", "ada").code == 0
    assert refunds(folder) == []
    step = podium("show", "s1", "--step", "support.1/turn.3/model.1", "--json").json
    assert step["request"]["messages"][-1]["parts"][0]["content"] == "Rejected: ada refused refund: too much"


def test_a_decision_left_behind_is_acted_on_later(podium: Podium, folder: Path):
    podium("run", "team.py:support", "x", "--run-id", "s1")
    posted = podium("approve", "s1", "--no-resume")
    assert (posted.code, posted.out) == (0, "")
    assert "podium resume s1" in posted.err
    assert refunds(folder) == []
    assert podium("resume", "s1").out == "All done.\n"
    assert refunds(folder) == ["A-1 25.0"]


def test_a_second_word_on_the_same_request_is_refused(podium: Podium):
    podium("run", "team.py:support", "x", "--run-id", "s1")
    request = podium("show", "s1", "--json").json["pending"][0]["request"]
    podium("approve", "s1", request)
    late = podium("reject", "s1", request)
    assert late.code == 6
    assert "does not wait for" in late.err


def test_an_answer_must_be_one_of_the_choices(podium: Podium):
    podium("run", "team.py:asker", "--run-id", "a1")
    wrong = podium("answer", "a1", "green")
    assert wrong.code == 6
    assert "blue, red" in wrong.err
    assert podium("answer", "a1", "red", "--json").json["output"] == {"colour": "red"}


def test_one_of_several_requests_is_named_by_its_beginning(podium: Podium):
    podium("run", "team.py:two", "--run-id", "t1")
    pending = podium("show", "t1", "--json").json["pending"]
    several = podium("answer", "t1", "yes")
    assert several.code == 6
    assert all(item["request"] in several.err for item in pending)
    assert podium("answer", "t1", pending[1]["request"][:6], "b").code == 3
    assert podium("answer", "t1", "a", "--json").json["output"] == ["a", "b"]


def test_an_answer_may_be_json(podium: Podium):
    podium("run", "team.py:two", "--run-id", "t1")
    request = podium("show", "t1", "--json").json["pending"][0]["request"]
    podium("answer", "t1", request, "[1, 2]", "--value-json")
    assert podium("answer", "t1", "b", "--json").json["output"] == [[1, 2], "b"]


def test_a_signal_carries_a_value_and_wakes_the_run(podium: Podium):
    waiting = podium("run", "team.py:waiter", "--run-id", "w1")
    assert "podium signal w1 paid" in waiting.err
    assert podium("signal", "w1", "paid", "--json-input", '{"sum": 20}', "--json").json["output"] == {
        "got": {"sum": 20}
    }


def test_cancelling_a_suspended_run_ends_it(podium: Podium):
    podium("run", "team.py:sleeper", "--run-id", "s1")
    assert podium("cancel", "s1").code == 0
    assert podium("runs", "--json").json[0]["status"] == "cancelled"
    again = podium("cancel", "s1")
    assert again.code == 6
    assert "over already" in again.err


def test_commands_that_are_printed_name_a_store_given_by_flag(podium: Podium, folder: Path):
    done = podium("run", "team.py:asker", "--run-id", "a1", "--store", "other place.db")
    assert "podium answer a1" in done.err
    assert "--store 'other place.db'" in done.err
    assert (folder / "other place.db").exists()
    assert not (folder / ".podium" / "podium.db").exists()


ROLES = '''
from podium import Agent, Approval, ScriptedModel, ToolCall, tool

@tool(effect="read", roles=["finance"])
def books() -> str:
    """Look into the books."""
    return "42"

@tool(effect="write")
def pay(amount: int) -> str:
    """Pay."""
    return "paid"

def last(request):
    if request.messages[-1].role == "tool":
        return request.messages[-1].parts[-1].content
    return ToolCall("pay", {"amount": 5}) if "pay" in request.messages[-1].text else ToolCall("books", {})

clerk = Agent("clerk", ScriptedModel(last), [books, pay], approvals=[Approval(tools="pay", roles="finance")])
'''


def test_a_run_is_for_whom_it_is_said_to_be(podium: Podium, folder: Path):
    (folder / "roles.py").write_text(ROLES)
    refused = podium("run", "roles.py:clerk", "look", "--as", "bo")
    assert "books is for finance; bo holds none of these roles" in refused.out
    done = podium(
        "run", "roles.py:clerk", "look", "--as", "ann", "--role", "finance", "--tenant", "acme", "--run-id", "r1"
    )
    assert done.out == "42\n"
    assert podium("show", "r1", "--json").json["principal"] == {"id": "ann", "roles": ["finance"], "tenant": "acme"}


def test_whoever_chats_decides_as_who_they_are(process: Process, folder: Path):
    (folder / "roles.py").write_text(ROLES)
    ann = process("chat", "roles.py:clerk", "--as", "ann", "--role", "finance", stdin=subprocess.PIPE)
    assert ann.communicate("look\npay it\ny\n/quit\n", timeout=60)[0] == "42\npaid\n"
    bo = process("chat", "roles.py:clerk", "--as", "bo", stdin=subprocess.PIPE)
    out, err = bo.communicate("pay it\ny\n/quit\n", timeout=60)
    assert out == ""
    assert "is for finance; bo holds none of these roles" in err
