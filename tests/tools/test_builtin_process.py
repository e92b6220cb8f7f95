"""A program that is run for its output: whatever it leaves behind or says, it ends in time and within bounds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from podium.core.errors import ConfigurationError
from podium.tools.builtin.process import Output, run


def shell(script: str, *, timeout: float = 60, max_bytes: int = 1000, stdin: bytes = b"") -> Output:
    return run(
        ["sh", "-c", script], cwd=Path("/"), env={"PATH": os.environ["PATH"]}, timeout=timeout, max_bytes=max_bytes,
        stdin=stdin,
    )  # fmt: skip


def test_its_output_its_error_and_its_exit_code_are_told() -> None:
    assert shell("cat; echo oops >&2; exit 3", stdin=b"hi") == Output(3, b"hi", "oops\n")


def test_much_input_and_output_pass_at_once() -> None:
    data = os.urandom(3 << 20)
    assert shell("cat", stdin=data, max_bytes=4 << 20).data == data
    assert shell("exit 0", stdin=data) == Output(0, b"", "")


def test_more_than_was_asked_for_is_cut_and_the_program_ended() -> None:
    done = shell("while :; do echo yes; done", max_bytes=10)
    assert (done.data, done.truncated) == (b"yes\nyes\nye", True)


@pytest.mark.parametrize("start", ["sleep 600 &", "setsid sleep 600 &", "(setsid sh -c 'sleep 600' &) &"])
def test_a_child_that_keeps_its_pipes_keeps_nobody_waiting(start: str) -> None:
    assert shell(f"{start} echo hi") == Output(0, b"hi\n", "")


def test_a_child_in_a_session_of_its_own_does_not_outlast_the_deadline() -> None:
    with pytest.raises(ConfigurationError, match="did not finish within"):
        shell("setsid sleep 600 & wait", timeout=0.5)


def test_an_endless_complaint_is_bounded() -> None:
    with pytest.raises(ConfigurationError, match="did not finish within"):
        shell("while :; do echo no >&2; done", timeout=0.5)
    assert len(shell("head -c 100000 /dev/zero | tr '\\0' x >&2").error) == 20_000


def test_what_it_left_in_its_group_is_ended(tmp_path: Path) -> None:
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    # The child holds the pipe open until it is ended, which is read as its end.
    assert shell(f"exec 3>{fifo}; sleep 600 >/dev/null 2>&1 & echo started").data == b"started\n"
    os.set_blocking(reading, True)
    with os.fdopen(reading, "rb") as told:
        assert told.read() == b""
