"""The mock server as a process: it is there while it is used, and gone afterwards, whatever happens."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from .mockserver import missing, running

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "-")


def answers(url: str) -> bool:
    with socket.socket() as opened:
        opened.settimeout(5)
        return opened.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


def test_it_is_gone_when_the_block_ends_even_by_an_error() -> None:
    found: list[str] = []

    def broken() -> None:
        with running() as server:
            found.append(server.url)
            assert answers(server.url)
            raise RuntimeError("a test failed")

    with pytest.raises(RuntimeError, match="a test failed"):
        broken()
    assert not answers(found[0])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the children of a process that is killed")
def test_it_is_gone_when_the_tests_are_killed() -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1])\nfrom wires.mockserver import running\n"
    program += "with running() as server:\n    print(server.url, flush=True)\n    sys.stdin.read()\n"
    with subprocess.Popen(
        [sys.executable, "-c", program, Path(__file__).parent.parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as tests:
        assert tests.stdout is not None
        url = tests.stdout.readline().strip()
        assert answers(url)
        tests.kill()
    for _ in range(200):
        if not answers(url):
            return
        time.sleep(0.02)
    raise AssertionError("the mock server outlived the tests")
