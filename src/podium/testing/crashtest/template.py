"""The process that lives are forked from: it has imported Podium and TARGET, and does nothing else.

A forked child starts in milliseconds and with exactly the state that importing TARGET leaves behind. No loop and no
thread runs here, so a fork is safe. Orders come as lines on standard input, answers go as lines to standard output.
`Template` is the other end, in the process that tests.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from podium.core.errors import ConfigurationError, PodiumError

from .job import Job, Life

MOST_REPORT = 64 << 20
"""Bytes of a life's report."""


class Told(msgspec.Struct, frozen=True):
    """What came of a child process."""

    killed_at: str = ""
    """The boundary, when it was killed by itself."""
    life: Life | None = None
    problem: str = ""
    """Why there is neither."""


class Template:
    """A template process, started and spoken to."""

    def __init__(self, target: str, *, folder: Path, seed: int, timeout: float) -> None:
        self._log = folder / f"template-{os.getpid()}-{threading.get_ident()}-{seed}.log"
        # Another seed is another order of sets, as in the process that resumes a run in earnest.
        environment = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._timeout = timeout
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from podium.testing.crashtest.template import main; main()", target],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )

    def ready(self) -> bool:
        """Wait until TARGET is loaded; whether it supplies `effects`. Raises ConfigurationError when it cannot be."""
        said = self._line()
        if "error" in said:
            raise ConfigurationError(str(said["error"]))
        return bool(said["effects"])

    def live(self, job: Job) -> Told:
        """Fork a child, let it live `job`, and wait for its end."""
        order = json.dumps({"timeout": self._timeout, "job": msgspec.json.encode(job).decode()})
        assert self._process.stdin is not None  # noqa: S101 - it was opened with a pipe
        self._process.stdin.write(order.encode() + b"\n")
        self._process.stdin.flush()
        return msgspec.convert(self._line(), Told)

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - it was opened with a pipe
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            tail = self._log.read_text("utf-8", "replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise ConfigurationError(f"the process that loads TARGET ended: {tail[0]}")
        return msgspec.json.decode(line)

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process.wait()


def main() -> None:
    """Load TARGET (the first argument), then fork a child for each order until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever TARGET prints does not get among the answers
    try:
        subject = _load(sys.argv[1])
    except PodiumError as error:
        _say(answers, {"error": str(error)})
        return
    except Exception as error:  # noqa: BLE001  (the outermost edge of the process: the parent must hear of it)
        traceback.print_exc()
        _say(answers, {"error": f"{type(error).__name__}: {error}"})
        return
    _say(answers, {"effects": subject.reads_the_world})
    gc.collect()
    gc.freeze()  # children share these pages, and their collections need not look at them
    with contextlib.suppress(KeyboardInterrupt):
        for line in sys.stdin.buffer:
            order = json.loads(line)
            told = _fork(subject, order["job"].encode(), float(order["timeout"]))
            _say(answers, msgspec.to_builtins(told))


def _say(answers: Any, message: object) -> None:
    answers.write(msgspec.json.encode(message) + b"\n")
    answers.flush()


def _load(target: str) -> Any:
    from .subject import Subject

    sys.path[:] = [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100 - children change their folder
    subject = Subject(target)
    _warm()
    alive = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if alive:
        raise ConfigurationError(
            f"importing {target} starts threads ({', '.join(alive)}), which no fork survives: start them in setup()"
        )
    return subject


def _warm() -> None:
    """Import what every life needs, once."""
    import importlib

    for name in (
        "agents.agent",
        "app",
        "models.offline",
        "models.scripted",
        "models.transport",
        "runtime.context",
        "stores.owner",
        "stores.sqlite",
        "teams",
        "tools.function",
    ):
        importlib.import_module(f"podium.{name}")


def _fork(subject: Any, job: bytes, timeout: float) -> Told:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(subject, job, read, write)
    os.close(write)
    try:
        data, late = _drain(read, timeout)
        if late:
            os.kill(pid, signal.SIGKILL)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(read)
        _, status = os.waitpid(pid, 0)
    killed_at, life = _read(data)
    if late:
        return Told(problem=f"a process did not end within {timeout:g} s")
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) == signal.SIGKILL and killed_at:
            return Told(killed_at=killed_at)
        return Told(problem=f"a process died of signal {os.WTERMSIG(status)}")
    if life is None:
        return Told(problem=f"a process ended with code {os.waitstatus_to_exitcode(status)} and without a report")
    return Told(life=life)


def _child(subject: Any, job: bytes, read: int, write: int) -> None:
    """In the child; never returns."""
    from .life import child

    code = 1
    try:
        os.close(read)
        child(subject, job, write)
        code = 0
    except BaseException:  # noqa: BLE001  (the outermost edge of a forked process: nothing may get past it)
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _drain(pipe: int, timeout: float) -> tuple[bytes, bool]:
    """Everything written until the other end is closed, and whether that took too long."""
    end = time.monotonic() + timeout
    parts: list[bytes] = []
    size = 0
    poll = select.poll()
    poll.register(pipe, select.POLLIN | select.POLLHUP)
    while True:
        left = end - time.monotonic()
        if left <= 0 or size > MOST_REPORT:
            return b"".join(parts), True
        if poll.poll(left * 1000):
            part = os.read(pipe, 1 << 16)
            if not part:
                return b"".join(parts), False
            parts.append(part)
            size += len(part)


def _read(data: bytes) -> tuple[str, Life | None]:
    killed_at, life = "", None
    for line in data.splitlines():
        if line.startswith(b"K"):
            killed_at = line[1:].decode("utf-8", "replace")
        elif line.startswith(b"L"):
            life = msgspec.json.decode(line[1:], type=Life)
    return killed_at, life


def available() -> bool:
    """Whether this system can fork and kill."""
    return hasattr(os, "fork") and hasattr(signal, "SIGKILL")


__all__: Sequence[str] = ("Template", "Told", "available", "main")
