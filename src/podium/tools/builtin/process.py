"""Running another program for its output: without a shell, with a deadline and a bound on what is read.

Shared by git, the GitHub CLI and analysers. It knows none of them; the exit code is the caller's to judge.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from podium.core.errors import ConfigurationError

_CHUNK: Final = 65536
_LOOK: Final = 0.05
"""Seconds between two looks at a program that says nothing, where its end is not told."""
_MOST_ERROR: Final = 20_000


class Output(msgspec.Struct, frozen=True):
    """What a program wrote. `truncated` says that it wrote more than was asked for and was stopped."""

    code: int
    data: bytes
    error: str
    truncated: bool = False

    @property
    def complaint(self) -> str:
        """The first telling line of its standard error."""
        lines = [line.strip() for line in self.error.splitlines() if line.strip()]
        return lines[0][:500] if lines else f"exit code {self.code}"


def run(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float,
    max_bytes: int,
    stdin: bytes = b"",
) -> Output:
    """Run `command` in `cwd` with exactly `env` and return at most `max_bytes` of its standard output.

    `timeout` is in seconds; past it the program and its children are killed and `ConfigurationError` is raised. When it
    has ended, what it left running in its group is killed too.
    Raises `FileNotFoundError` when the program (or `cwd`) does not exist.
    """
    with subprocess.Popen(
        list(command),
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            talk = _Talk(process, stdin, max_bytes)
            late = not talk.until(time.monotonic() + timeout)
        finally:
            _kill(process)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
    if late:
        raise ConfigurationError(f"`{command[0]}` did not finish within {timeout:g} seconds: ask for less at once")
    error = bytes(talk.error).decode("utf-8", "replace")
    return Output(process.returncode, bytes(talk.data[:max_bytes]), error, len(talk.data) > max_bytes)


class _Talk:
    """What goes to a program and comes from it, until it has ended: its children may keep its pipes for longer."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes, max_bytes: int) -> None:
        self.process, self.left, self.max_bytes = process, memoryview(stdin), max_bytes
        self.data, self.error = bytearray(), bytearray()
        self.events = selectors.DefaultSelector()

    def until(self, end: float) -> bool:
        """Talk until it has ended, or has said enough; False when the time is over."""
        given, out, err = self.process.stdin, self.process.stdout, self.process.stderr
        assert given is not None and out is not None and err is not None  # noqa: PT018, S101 - pipes were asked for
        with self.events, _noticed(self.process) as notice:
            for pipe, wanted in (
                (given, selectors.EVENT_WRITE),
                (out, selectors.EVENT_READ),
                (err, selectors.EVENT_READ),
            ):
                os.set_blocking(pipe.fileno(), False)
                self.events.register(pipe, wanted)
            if notice is not None:
                self.events.register(notice, selectors.EVENT_READ)
            ended = False
            while len(self.data) <= self.max_bytes:
                left = end - time.monotonic()
                if left <= 0:
                    return False
                ready = [
                    key.fileobj
                    for key, _ in self.events.select(0 if ended else min(left, _LOOK if notice is None else left))
                ]
                for pipe in ready:
                    if pipe != notice:
                        self._serve(pipe, given)
                if ended and not ready:
                    break  # what it wrote has been read; a child of it may hold the pipes, and is not waited for
                if not ended and (notice in ready if notice is not None else self.process.poll() is not None):
                    ended = True
                    _kill(self.process)
                    if notice is not None:
                        self.events.unregister(notice)
        return True

    def _serve(self, pipe: Any, given: IO[bytes]) -> None:
        try:
            if pipe is given:
                self.left = self.left[os.write(given.fileno(), self.left[:_CHUNK]) :]
                done = not self.left
            else:
                held = self.data if pipe is self.process.stdout else self.error
                read = os.read(pipe.fileno(), _CHUNK)
                held += read if held is self.data else read[: max(0, _MOST_ERROR - len(held))]
                done = not read
        except BlockingIOError:
            return
        except BrokenPipeError:
            done = True
        if done:
            self.events.unregister(pipe)
            pipe.close()


@contextlib.contextmanager
def _noticed(process: subprocess.Popen[bytes]) -> Generator[int | None]:
    """A descriptor that can be read when it has ended (and nobody has waited for it); None where there is none."""
    if sys.platform != "linux":
        yield None
        return
    notice = os.pidfd_open(process.pid)
    try:
        yield notice
    finally:
        os.close(notice)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it and what it started: its group, so that nothing of it goes on."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
