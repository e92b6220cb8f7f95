"""What is drawn on a real (pseudo) terminal, and what is never sent to it; and `chat`, there and in a pipe."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .conftest import Done

Podium = Callable[..., Done]
Process = Callable[..., "subprocess.Popen[str]"]

TALKER = '''
import asyncio
from podium import Agent, Message, Reply, Text, TextDelta

class Slow:
    """A model that writes its answer piece by piece, and waits to be stopped when told to."""

    name = "slow"

    async def request(self, request, emit=None):
        asked = request.messages[-1].text
        text = ""
        for word in ("you ", "said ", asked, "\\x1b[2J"):
            if emit:
                emit(TextDelta(word, offset=len(text)))
            text += word
        if asked == "wait":
            await asyncio.sleep(60)
        return Reply(Message("assistant", (Text(text),)))

talker = Agent("talker", model=Slow())
'''


def on_terminal(arguments: Sequence[str], script: Sequence[tuple[str, str]] = ()) -> tuple[str, int]:
    """Run `podium` on a pseudo terminal; each `(prompt, keys)` types the keys once the prompt was written."""
    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover
        os.environ.update(TERM="xterm-256color", COLUMNS="100", LINES="30")
        os.environ.pop("NO_COLOR", None)
        os.execv(sys.executable, [sys.executable, "-m", "podium", *arguments])  # noqa: S606
    shown, seen, todo = b"", 0, list(script)
    ends = time.monotonic() + 30
    try:
        while time.monotonic() < ends:
            if todo and (at := shown.find(todo[0][0].encode(), seen)) >= 0:
                seen = at + len(todo[0][0])
                os.write(terminal, todo.pop(0)[1].encode())
            if not select.select([terminal], [], [], 0.05)[0]:
                continue
            try:
                piece = os.read(terminal, 65536)
            except OSError:  # the terminal is closed: the program has ended
                break
            if not piece:
                break
            shown += piece
        else:
            os.kill(pid, 9)
    finally:
        os.close(terminal)
    status = os.waitpid(pid, 0)[1]
    return shown.decode(), os.waitstatus_to_exitcode(status)


def test_a_terminal_shows_the_tree_then_the_output_then_a_summary(folder: Path):
    shown, code = on_terminal(["run", "team.py:evil", "x", "--run-id", "e1"])
    assert code == 0
    assert "turn.1/model.1" in shown
    assert "e1 succeeded: " in shown
    after = shown[shown.rindex("turn.1/model.1") :]
    assert "\\x1b[31mred [bold]not bold[/bold]\\x07" in after  # said, not obeyed
    assert "\x1b[31mred" not in shown
    assert "\x07" not in shown


def test_quiet_draws_nothing_even_on_a_terminal(folder: Path):
    shown, code = on_terminal(["run", "team.py:echo", "hello", "--quiet"])
    assert (shown, code) == ("hello\r\n", 0)


def test_a_pipe_is_not_drawn_on(podium: Podium):
    done = podium("run", "team.py:support", "x")
    assert "\x1b" not in done.out + done.err
    assert "turn.1" not in done.err


def test_a_chat_on_a_terminal_streams_and_ctrl_c_stops_only_the_answer(folder: Path):
    (folder / "talk.py").write_text(TALKER)
    script = [("you>", "hello\r"), ("you>", "wait\r"), ("said wait", "\x03"), ("you>", "again\r"), ("you>", "/quit\r")]
    shown, code = on_terminal(["chat", "talk.py:talker"], script)
    assert code == 0
    assert shown.count("you said hello\\x1b[2J") == 1
    assert "was cancelled" in shown
    assert "you said again" in shown
    assert "\x1b[2J" not in shown


def test_a_chat_asks_for_approvals_where_it_is_held(folder: Path):
    script = [("you>", "refund\r"), ("approve?", 'e {"order": "A-1", "amount": 3}\r'), ("you>", "\x04")]
    shown, code = on_terminal(["chat", "team.py:support"], script)
    assert code == 0
    assert 'refund(amount=25.0, api_key="[redacted]", order="A-1")' in shown
    assert shown.count("· look_up") == 1
    assert shown.count("· refund") == 1
    assert "All done." in shown
    assert (folder / "refunds.txt").read_text() == "A-1 3.0\n"


def test_a_chat_in_a_pipe_prints_answers_only_and_remembers(podium: Podium, process: Process):
    talking = process("chat", "team.py:plain", "--model", "offline", "--session", "s1", stdin=subprocess.PIPE)
    out, err = talking.communicate("the tent is red\nwhat is red\n/quit\nnever read\n", timeout=20)
    assert talking.returncode == 0
    assert err == ""
    assert "you>" not in out
    assert out.count("Offline extract") == 2
    runs = podium("runs", "--session", "s1", "--json").json
    assert len(runs) == 2
    step = podium("show", runs[0]["run_id"], "--step", "plain.1/turn.1/model.1", "--json").json
    assert step["request"]["messages"][1]["parts"][0]["text"] == "the tent is red"


def test_a_chat_that_ends_while_an_approval_is_open_says_how_to_go_on(podium: Podium, process: Process, folder: Path):
    talking = process("chat", "team.py:support", stdin=subprocess.PIPE)
    out, err = talking.communicate("refund it\n", timeout=20)
    assert (talking.returncode, out) == (3, "")
    assert "podium approve run-" in err
    assert podium("approve", "last").out == "All done.\n"


def test_decisions_and_json_work_in_a_piped_chat(podium: Podium, process: Process, folder: Path):
    talking = process("chat", "team.py:support", "--json", stdin=subprocess.PIPE)
    out, _ = talking.communicate("refund it\ny\n", timeout=20)
    assert talking.returncode == 0
    assert '"output":"All done."' in out
    assert (folder / "refunds.txt").read_text() == "A-1 25.0\n"
