"""`run`, `resume`, `fork`, `runs`, `show`, `tail`: through the program's own door."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Done

Podium = Callable[..., Done]
Process = Callable[..., "subprocess.Popen[str]"]


def until(exists: Path) -> None:
    """Wait, at most some seconds, for a file that another process makes."""
    for _ in range(2000):
        if exists.exists():
            return
        time.sleep(0.005)
    raise AssertionError(f"{exists} was not made")


def test_the_output_and_nothing_else_goes_to_stdout(podium: Podium):
    assert podium("run", "team.py:echo", "hello") == (0, "hello\n", "")


def test_an_input_comes_from_a_file_from_json_or_from_stdin(podium: Podium, folder: Path, process: Process):
    (folder / "letter.txt").write_text("dear\nall")
    assert podium("run", "team.py:echo", "@letter.txt").out == "dear\nall\n"
    assert json.loads(podium("run", "team.py:echo", "--json-input", '{"a": [1]}').out) == {"a": [1]}
    piped = process("run", "team.py:echo", "-", stdin=subprocess.PIPE)
    assert piped.communicate("from a pipe", timeout=20) == ("from a pipe\n", "")


def test_json_is_one_document_with_the_promised_fields(podium: Podium):
    document = podium("run", "team.py:echo", "hello", "--json", "--run-id", "r1").json
    assert document["run_id"] == "r1"
    assert document["status"] == "succeeded"
    assert document["output"] == "hello"
    assert set(document) == {
        *("run_id", "status", "output", "error", "pending", "cost", "uncertain_cost", "unpriced", "usage"),
        *("agents", "models", "steps", "duration"),
    }


def test_followed_json_is_every_record_in_order_and_then_the_outcome(podium: Podium):
    lines = [json.loads(line) for line in podium("run", "team.py:echo", "x", "--json", "--follow").out.splitlines()]
    assert [line.get("seq") for line in lines[:-1]] == list(range(1, len(lines)))
    assert [line["type"] for line in lines[:-1]] == ["started", "began", "ended", "finished"]
    assert lines[-1]["output"] == "x"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["run", "team.py:boom"], 1),
        (["run", "team.py:plain", "hello"], 2),  # no model, and no default: the run can be resumed with one
        (["run", "team.py:asker"], 3),
        (["run", "team.py:sleeper"], 3),
        (["run", "team.py:endless", "go"], 5),
        (["run", "team.py:plain", "hello", "--model", "offline"], 0),
        (["run", "team.py:hanger", "go", "--timeout", "0.2"], 5),
    ],
)
def test_the_exit_code_says_how_the_run_ended(podium: Podium, arguments: list[str], code: int):
    assert podium(*arguments).code == code


def test_a_failed_run_says_why_and_where_to_look(podium: Podium):
    done = podium("run", "team.py:boom", "--run-id", "b1")
    assert done.out == ""
    assert "run b1 failed: MemberFailed: ValueError: no [red]luck[/red]" in done.err
    assert "podium show b1" in done.err


def test_the_same_id_and_input_attach_and_another_input_is_a_conflict(podium: Podium):
    assert podium("run", "team.py:echo", "one", "--run-id", "r1").code == 0
    assert podium("run", "team.py:echo", "one", "--run-id", "r1") == (0, "one\n", "")
    again = podium("run", "team.py:echo", "two", "--run-id", "r1")
    assert (again.code, again.out) == (6, "")
    assert again.err.startswith("podium: run r1 exists with another member or input")


def test_a_run_that_spawned_children_is_not_left_before_they_are_done(podium: Podium):
    assert podium("run", "team.py:parent", "me") == (0, "kid of me\n", "")


def test_control_characters_stay_in_a_pipe_and_never_reach_stderr(podium: Podium):
    done = podium("run", "team.py:evil", "x")
    assert done.out == "\x1b[31mred [bold]not bold[/bold]\x07\n"  # exactly what the model wrote
    shown = podium("show", "last")
    assert "\x1b" not in shown.out
    assert "\\x1b[31mred [bold]not bold[/bold]\\x07" in shown.out


def test_a_killed_run_is_shown_as_interrupted_and_resume_ends_it(podium: Podium, folder: Path, process: Process):
    killed = process("run", "team.py:hanger", "x", "--run-id", "k1")
    until(folder / "hanging")
    killed.kill()
    killed.communicate(timeout=20)
    assert [row["run_id"] for row in podium("runs", "--status", "interrupted", "--json").json] == ["k1"]
    assert "podium resume k1" in podium("show", "k1").out
    (folder / "go").touch()
    assert podium("resume", "k1") == (0, "It went.\n", "")


def test_ctrl_c_unloads_the_run_and_says_how_to_go_on(podium: Podium, folder: Path, process: Process):
    stopped = process("run", "team.py:hanger", "x", "--run-id", "c1")
    until(folder / "hanging")
    stopped.send_signal(signal.SIGINT)
    out, err = stopped.communicate(timeout=20)
    assert (stopped.returncode, out) == (130, "")
    assert err == "podium: interrupted; go on with: podium resume c1\n"
    (folder / "go").touch()
    assert podium("resume", "c1", "--json").json["output"] == "It went."


def test_a_run_driven_elsewhere_is_busy_and_can_be_tailed_to_its_end(podium: Podium, folder: Path, process: Process):
    driving = process("run", "team.py:hanger", "x", "--run-id", "d1")
    until(folder / "hanging")
    busy = podium("resume", "d1")
    assert busy.code == 6
    assert "--steal" in busy.err
    tailing = process("tail", "d1", "--json")
    assert json.loads(tailing.stdout.readline())["type"] == "started"  # pyright: ignore[reportOptionalMemberAccess]
    (folder / "go").touch()
    rest = [json.loads(line) for line in tailing.communicate(timeout=20)[0].splitlines()]
    assert tailing.returncode == 0
    assert rest[-1]["type"] == "finished"
    assert driving.communicate(timeout=20)[0] == "It went.\n"


def test_a_run_driven_elsewhere_can_be_cancelled(podium: Podium, folder: Path, process: Process):
    driving = process("run", "team.py:hanger", "x", "--run-id", "d2")
    until(folder / "hanging")
    assert podium("cancel", "d2").code == 0
    driving.communicate(timeout=20)
    assert driving.returncode == 4
    assert podium("runs", "--json").json[0]["status"] == "cancelled"


def test_runs_lists_the_newest_first_and_filters(podium: Podium):
    for name in ("r1", "r2", "r3"):
        podium("run", "team.py:echo", name, "--run-id", name)
    podium("run", "team.py:asker", "--run-id", "a1")
    podium("run", "team.py:sleeper", "--run-id", "s1")
    assert [row["run_id"] for row in podium("runs", "--json").json] == ["s1", "a1", "r3", "r2", "r1"]
    assert [row["run_id"] for row in podium("runs", "--limit", "2", "--json").json] == ["s1", "a1"]
    assert [row["run_id"] for row in podium("runs", "--waiting", "--json").json] == ["a1"]
    assert [row["run_id"] for row in podium("runs", "--status", "succeeded", "--json").json] == ["r3", "r2", "r1"]
    table = podium("runs").out.splitlines()
    assert table[0].split()[:3] == ["RUN", "MEMBER", "STATUS"]
    assert "timer" in table[1]
    assert "Which colour?" in table[2]


def test_looking_for_runs_makes_no_store(podium: Podium, folder: Path):
    assert podium("runs") == (0, "", "no runs yet\n")
    assert podium("runs", "--json").json == []
    assert podium("show", "last").code == 2
    assert not (folder / ".podium").exists()


def test_a_run_is_named_by_the_beginning_of_its_id(podium: Podium):
    podium("run", "team.py:echo", "a", "--run-id", "run-abc1")
    podium("run", "team.py:echo", "b", "--run-id", "run-abd2")
    assert podium("show", "run-abc", "--json").json["run_id"] == "run-abc1"
    assert podium("show", "abd", "--json").json["run_id"] == "run-abd2"
    assert podium("show", "last", "--json").json["run_id"] == "run-abd2"
    several = podium("show", "run-ab")
    assert several.code == 2
    assert several.err == "podium: 'run-ab' begins several runs: run-abd2, run-abc1\n"


def test_show_prints_the_tree_of_steps_and_what_is_waited_for(podium: Podium):
    podium("run", "team.py:support", "refund A-1", "--run-id", "s1")
    shown = podium("show", "s1").out
    assert "input    refund A-1" in shown
    for key in ("support.1", "turn.1/model.1", "turn.1/look_up.1", "turn.2/refund.1"):
        assert key in shown
    assert "waits for approval" in shown
    assert "podium approve s1 " in shown


def test_show_step_gives_a_model_the_request_it_really_had(podium: Podium):
    podium("run", "team.py:support", "refund A-1", "--run-id", "s1")
    step = podium("show", "s1", "--step", "support.1/turn.2/model.1", "--json").json
    assert [message["role"] for message in step["request"]["messages"]] == ["system", "user", "assistant", "tool"]
    assert step["request"]["messages"][0]["parts"][0]["text"] == "You refund orders."
    assert [tool["name"] for tool in step["request"]["tools"]] == ["look_up", "refund"]
    assert step["receipt"]["value"]["message"]["parts"][0]["name"] == "refund"
    assert step["missing"] == []
    plain = podium("show", "s1", "--step", "support.1/turn.2/model.1").out
    assert "You refund orders." in plain
    assert 'look_up({"order":"A-1"})' in plain


def test_show_step_reads_the_session_that_the_model_was_shown(podium: Podium):
    podium("run", "team.py:plain", "my name is Ada", "--model", "offline", "--session", "monday")
    podium("run", "team.py:plain", "what is my name", "--model", "offline", "--session", "monday", "--run-id", "s2")
    step = podium("show", "s2", "--step", "plain.1/turn.1/model.1", "--json").json
    texts = [message["parts"][0]["text"] for message in step["request"]["messages"]]
    assert texts[1] == "my name is Ada"
    assert texts[-1] == "what is my name"


def test_show_step_of_a_tool_has_its_secrets_redacted(podium: Podium):
    podium("run", "team.py:support", "x", "--run-id", "s1")
    podium("approve", "s1")
    for arguments in (["--json"], []):
        shown = podium("show", "s1", "--step", "support.1/turn.2/refund.1", *arguments).out
        assert "hunter2" not in shown
        assert "[redacted]" in shown
        assert "refunded A-1" in shown


def test_an_unknown_step_is_answered_with_those_there_are(podium: Podium):
    podium("run", "team.py:echo", "x", "--run-id", "r1")
    done = podium("show", "r1", "--step", "nope.1")
    assert done.code == 2
    assert "echo.1" in done.err


def test_records_and_tail_tell_the_same_story(podium: Podium):
    podium("run", "team.py:echo", "x", "--run-id", "r1")
    records = podium("show", "r1", "--records", "--json").json
    tailed = [json.loads(line) for line in podium("tail", "r1", "--json").out.splitlines()]
    assert records == tailed
    assert [record["type"] for record in records] == ["started", "began", "ended", "finished"]
    assert len(podium("tail", "r1").out.splitlines()) == len(records)
    assert "finished" in podium("show", "r1", "--records").out


def test_a_suspended_run_is_tailed_without_waiting_when_asked(podium: Podium):
    podium("run", "team.py:asker", "--run-id", "a1")
    done = podium("tail", "a1", "--no-follow")
    assert done.code == 3
    assert "suspended" in done.out


def test_a_fork_performs_a_step_anew_and_leaves_the_first_run_alone(podium: Podium):
    podium("run", "team.py:support", "x", "--run-id", "f1")
    podium("approve", "f1")
    forked = podium("fork", "f1", "--at", "support.1/turn.2/model.1", "--run-id", "f2", "--json").json
    assert forked["status"] == "suspended"
    assert forked["pending"][0]["tool"] == "refund"
    assert podium("show", "f1", "--json").json["status"] == "succeeded"
    assert podium("show", "f2", "--json").json["forked_from"] == "f1"


def test_resume_needs_to_be_told_a_target_that_has_moved(podium: Podium, folder: Path):
    podium("run", "team.py:asker", "--run-id", "a1")
    (folder / "team.py").rename(folder / "moved.py")
    lost = podium("answer", "a1", "red")
    assert lost.code == 2
    assert "there is no file team.py" in lost.err
    assert "--target" in lost.err
    assert podium("resume", "a1", "--target", "moved.py:asker", "--json").json["output"] == {"colour": "red"}
