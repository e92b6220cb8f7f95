"""Real processes for the acceptance tests, and their end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import programs


class Child:
    """A process of `programs.py`, spoken to in lines. It is killed when its test is over."""

    def __init__(self, words: tuple[str, ...], before: tuple[str, ...], led: bool) -> None:
        command = [*before, sys.executable, programs.FILE, *words]
        environment = {**os.environ, **({"LED": "1"} if led else {})}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def heard(self) -> str:
        """Its next line; empty when it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def go_on(self) -> None:
        """Let it pass the gate it stands at."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def led_to(self, place: str) -> None:
        """Let it pass every gate before `place`."""
        while (here := self.heard()) != place:
            assert here, f"the child ended before {place!r}"
            self.go_on()

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def thaw(self) -> None:
        """Let it go on as if nothing had been."""
        self.process.send_signal(signal.SIGCONT)

    def rest(self) -> list[str]:
        """Close its input, wait, and give what else it said."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        said = self.process.stdout.read().splitlines()
        self.process.wait(timeout=30)
        return said

    def kill(self) -> list[str]:
        """kill -9; gives what it had said and nobody had heard."""
        self.process.kill()
        return self.rest()


@pytest.fixture
def child() -> Generator[Callable[..., Child]]:
    """`child(ROLE, WORD...)` starts one; with `led` it stops at every gate, with `before` another program runs it."""
    children: list[Child] = []

    def start(*words: object, before: tuple[str, ...] = (), led: bool = False) -> Child:
        one = Child(tuple(map(str, words)), before, led)
        children.append(one)
        return one

    yield start
    for one in children:
        one.process.kill()
        one.process.wait()
        for pipe in (one.process.stdin, one.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """What was done to the world, in order, by whatever process."""
    path = tmp_path / "effects"
    monkeypatch.setenv("EFFECTS", str(path))
    return lambda: path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A store that does not exist yet."""
    return tmp_path / "runs.db"
