"""A box that may reach some hosts reaches those, by name and through its proxy, and no others."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator

import pytest

from podium.tools.sandbox import Sandbox, SandboxUnavailable

try:
    Sandbox().rung()
except SandboxUnavailable as unavailable:
    pytest.skip(str(unavailable), allow_module_level=True)

FETCH = """
import urllib.request, urllib.error
try:
    result = urllib.request.urlopen(url, timeout=20).read().decode()
except urllib.error.HTTPError as error:
    result = f"{error.code} {error.reason}"
except OSError as error:
    result = f"{type(error).__name__} {error}"
"""


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A web server on this machine's loopback."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def test_a_listed_host_is_reached_by_programs_that_know_proxies(port: int) -> None:
    box = Sandbox(timeout=60, network=[f"localhost:{port}"])
    fetched = await box.python(FETCH, {"url": f"http://localhost:{port}/"})
    assert (fetched.value, fetched.error) == ("hello", None)


@pytest.mark.skipif(shutil.which("curl", path="/usr/bin:/bin") is None, reason="curl is not installed")
async def test_curl_reaches_a_listed_host_too(port: int) -> None:
    box = Sandbox(timeout=60, network=[f"127.0.0.1:{port}"])
    done = await box.run(["curl", "-sS", "-p", f"http://127.0.0.1:{port}/"])
    assert (done.output, done.error) == ("hello", None)


async def test_another_host_is_refused_with_what_to_add(port: int) -> None:
    box = Sandbox(timeout=60, network=["example.com"])
    refused = await box.python(FETCH, {"url": f"http://127.0.0.1:{port}/"})
    assert f"403 Forbidden: podium sandbox: 127.0.0.1:{port} is not on this sandbox's list" in refused.value
    assert f'add "127.0.0.1:{port}" to network' in refused.value


async def test_private_addresses_are_refused_even_when_any_public_host_is_allowed(port: int) -> None:
    box = Sandbox(timeout=60, network=True)
    for url in ("http://169.254.169.254/latest/", "http://localhost/", "http://[::ffff:127.0.0.1]/"):
        assert (await box.python(FETCH, {"url": url})).value.startswith("403 Forbidden")
    assert "403" in (await box.python(FETCH, {"url": f"http://127.0.0.1:{port}/"})).value


async def test_going_round_the_proxy_reaches_nobody(port: int) -> None:
    box = Sandbox(timeout=60, network=[f"127.0.0.1:{port}"])
    code = (
        "import socket\nresult = []\n"
        "for kind, act in ((socket.SOCK_STREAM, lambda s: s.connect(('127.0.0.1', port))),\n"
        "                  (socket.SOCK_STREAM, lambda s: s.connect(('192.0.2.1', 80)))):\n"
        "    with socket.socket(socket.AF_INET, kind) as s:\n"
        "        s.settimeout(5)\n"
        "        try: act(s); result.append('reached')\n"
        "        except OSError as error: result.append(type(error).__name__)\n"
    )
    done = await box.python(code, {"port": port})
    assert done.error is None
    assert len(done.value) == 2
    assert "reached" not in done.value


async def test_names_are_not_resolved_inside() -> None:
    done = await Sandbox(timeout=60, network=True).python(
        "import socket\n"
        "try: result = socket.getaddrinfo('secret-data.example.com', 443) and 'resolved'\n"
        "except OSError as error: result = 'none'"
    )
    assert done.value == "none"


async def test_a_box_without_network_has_no_proxy() -> None:
    done = await Sandbox(timeout=60).python(
        "import os; result = [n for n in os.environ if 'proxy' in n.lower()], os.path.exists('/run/podium')"
    )
    assert done.value == [[], False]
