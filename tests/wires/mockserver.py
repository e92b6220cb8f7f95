"""The third-party mock of the providers' wires as a process: started on a free port of loopback, and ended for sure.

`scripts/mockserver` knows what it is and where it is installed; here it is only run. It is asked on the same wires as
the providers are, and knows nothing of Podium.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
FIXTURES = Path(__file__).parent / "fixtures"
SECONDS = 30
"""Longer than it takes to start on a busy machine."""


def missing() -> str:
    """Why there is no mock server to start; empty when there is one."""
    if (Path(sys.prefix) / "mockserver" / "installed").exists():
        return ""
    return "the mock server is not installed: run scripts/venv where npm's registry can be reached"


class MockServer:
    """A mock server that runs at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def journal(self, test: str) -> list[dict[str, Any]]:
        """The requests that came with `x-test-id: TEST`, in order, each with its path, headers and body."""
        with urllib.request.urlopen(f"{self.url}/__aimock/journal?testId={test}", timeout=SECONDS) as answer:  # noqa: S310
            return json.load(answer)


@contextmanager
def running() -> Generator[MockServer]:
    """Start the mock server, wait until it answers, and end it at the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as said:
            process = subprocess.Popen(
                ["sh", ROOT / "scripts" / "mockserver", "-p", "0", "-f", FIXTURES],
                stdout=said,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PODIUM_VENV": sys.prefix},
                preexec_fn=_end_with_parent,
            )
        try:
            yield MockServer(_address(process, log))
        finally:
            process.kill()  # the script has become the server: there is no other process
            process.wait(SECONDS)


def _end_with_parent() -> None:
    """Where the system can: end the server too when the tests are killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address the server prints once it listens."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        said = log.read_text("utf-8")
        if found := re.search(r"listening on (http://127\.0\.0\.1:\d+)", said):
            return found[1]
        if process.poll() is not None:
            raise RuntimeError(f"the mock server ended with {process.returncode}: {said}")
        time.sleep(0.02)
    raise RuntimeError(f"the mock server did not start: {log.read_text('utf-8')}")
