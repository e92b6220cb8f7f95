"""Running another program for its output: without a shell, with a deadline and a bound on what is read.

Shared by git, the GitHub CLI and analysers. It knows none of them; the exit code is the caller's to judge.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from podium.core.errors import ConfigurationError


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

    `timeout` is in seconds; past it the program and its children are killed and `ConfigurationError` is raised.
    Raises `FileNotFoundError` when the program (or `cwd`) does not exist.
    """
    # Files instead of pipes for the other two streams: nobody has to read and write at once.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as errors:
        given.write(stdin)
        given.seek(0)
        late = threading.Event()
        with subprocess.Popen(
            list(command),
            cwd=cwd,
            env=dict(env),
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        ) as process:

            def stop() -> None:
                late.set()
                _kill(process)

            timer = threading.Timer(timeout, stop)
            timer.daemon = True
            timer.start()
            try:
                assert process.stdout is not None  # noqa: S101 - a pipe was asked for
                data = process.stdout.read(max_bytes + 1)
                truncated = len(data) > max_bytes
                if truncated:
                    _kill(process)
                process.wait()
            finally:
                timer.cancel()
                _kill(process)
        if late.is_set():
            raise ConfigurationError(f"`{command[0]}` did not finish within {timeout:g} seconds: ask for less at once")
        errors.seek(0)
        return Output(process.returncode, data[:max_bytes], errors.read(20_000).decode("utf-8", "replace"), truncated)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        # The group, so that what the program started does not keep the pipe open.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
