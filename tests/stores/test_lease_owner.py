"""Who owns a lease, and when its process is proven dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from podium.stores.owner import is_dead, this_owner

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody is ever proven dead")

SPEAK = "import sys; from podium.stores.owner import this_owner; print(this_owner(), flush=True); sys.stdin.read()"


@pytest.fixture
def process():
    with subprocess.Popen(
        [sys.executable, "-c", SPEAK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as it:
        yield it
        it.kill()


def replaced(owner: str, place: int, text: str) -> str:
    parts = owner.split("/")
    parts[place] = text
    return "/".join(parts)


def test_each_owner_text_is_new() -> None:
    assert this_owner() != this_owner()


def test_a_living_process_is_not_dead_whatever_its_nonce() -> None:
    assert not is_dead(this_owner())
    assert not is_dead(replaced(this_owner(), -1, "00000000"))


def test_a_process_is_dead_from_its_exit_even_before_it_is_reaped(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    owner = process.stdout.readline().strip()
    assert not is_dead(owner)
    process.send_signal(signal.SIGSTOP)
    assert not is_dead(owner), "a frozen process may thaw"
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_dead(owner), "a zombie runs nothing any more"
    process.wait()
    assert is_dead(owner)


def test_another_process_with_the_same_number_does_not_keep_a_dead_owner_alive() -> None:
    assert is_dead(replaced(this_owner(), 5, "1"))


@pytest.mark.parametrize("owner", ["", "me", "other/host/1/abcd", "linux/host/boot/ns/1/2", "linux/h/b/n/x/y/z"])
def test_what_cannot_be_judged_counts_as_alive(owner: str) -> None:
    assert not is_dead(owner)


def test_a_number_no_process_can_have_is_judged_without_an_error() -> None:
    assert is_dead(replaced(this_owner(), 4, "9" * 30)) in (True, False)


@pytest.mark.parametrize(("place", "what"), [(2, "another boot"), (3, "another process namespace")])
def test_a_process_of_elsewhere_is_never_proven_dead(place: int, what: str) -> None:
    gone = replaced(this_owner(), 5, "1")
    assert is_dead(gone)
    assert not is_dead(replaced(gone, place, "f" * 32)), what
