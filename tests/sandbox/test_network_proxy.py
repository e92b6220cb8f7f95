"""The proxy of a sandbox lets out what is listed and nothing else: real sockets, real servers on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from podium.tools.sandbox.destinations import parse_address
from podium.tools.sandbox.network import RELAY, Proxy, ProxyLimits, is_own, resolve


class Site:
    """A server on loopback that answers each connection once and remembers what it was told."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.heard: list[bytes] = []
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        index = len(self.heard)
        self.heard.append(b"")
        try:
            while b"\r\n\r\n" not in self.heard[index]:
                if not (data := await reader.read(65536)):
                    return
                self.heard[index] += data
            writer.write(self.answer)
            await writer.drain()
            writer.write_eof()
            while data := await reader.read(65536):
                self.heard[index] += data
        except OSError:
            pass
        finally:
            await leave(writer)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    server = await asyncio.start_server(lambda r, w: site.serve(r, w), "127.0.0.1", 0)
    site = Site(server.sockets[0].getsockname()[1])
    yield site
    server.close()
    await server.wait_closed()


async def ask(path: str, request: bytes, *, end: bool = False) -> bytes:
    """Send `request` to the proxy at `path`; everything it says until it hangs up."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        async with asyncio.timeout(30):
            writer.write(request)
            if end:
                writer.write_eof()
            return await reader.read()
    finally:
        await leave(writer)


async def leave(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


class Names:
    """A resolver that gives the next answer each time it is asked, and remembers the questions."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if not self.answers:
            raise OSError("no such name")
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def test_a_plain_request_to_a_listed_host_gets_its_answer(site: Site) -> None:
    async with Proxy([f"shop.test:{site.port}", f"127.0.0.1:{site.port}"], resolver=Names(["127.0.0.1"])) as proxy:
        said = await ask(proxy.path, b"GET http://shop.test:%d/a?b=c HTTP/1.1\r\nHost: x\r\n\r\n" % site.port)
    assert said.endswith(b"\r\n\r\nhello")
    assert site.heard[0].startswith(b"GET /a?b=c HTTP/1.1\r\nHost: shop.test:%d\r\n" % site.port)
    assert [(one.host, one.port, one.address, one.refusal) for one in proxy.contacts] == [
        ("shop.test", site.port, "127.0.0.1", None)
    ]


async def test_a_tunnel_to_a_listed_host_carries_bytes_both_ways(site: Site) -> None:
    async with Proxy([f"127.0.0.1:{site.port}"]) as proxy:
        said = await ask(
            proxy.path, b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nmore" % site.port, end=True
        )
    assert said.startswith(b"HTTP/1.1 200 ")
    assert said.endswith(b"hello")
    assert site.heard == [b"GET / HTTP/1.1\r\n\r\nmore"]


async def test_socks_with_a_name_carries_bytes_both_ways(site: Site) -> None:
    names = Names(["127.0.0.1"])
    async with Proxy([f"shop.test:{site.port}", f"127.0.0.1:{site.port}"], resolver=names) as proxy:
        hello = b"\x05\x01\x00\x05\x01\x00\x03\x09shop.test" + site.port.to_bytes(2, "big")
        said = await ask(proxy.path, hello + b"GET / HTTP/1.1\r\n\r\n", end=True)
        refused = await ask(proxy.path, b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50", end=True)
    assert said.startswith(b"\x05\x00\x05\x00\x00\x01" + bytes(6) + b"HTTP/1.1 200 OK")
    assert refused[:4] == b"\x05\x00\x05\x02"
    assert names.asked == ["shop.test"]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_arrives_whole(site: Site, chunked: bool) -> None:
    body = os.urandom(200_000)
    if chunked:
        framing = b"Transfer-Encoding: chunked"
        sent = b"%x\r\n%s\r\n%x;ext=1\r\n%s\r\n0\r\nTrailer: x\r\n\r\n" % (
            150_000,
            body[:150_000],
            50_000,
            body[150_000:],
        )
        expected = b"249f0\r\n%s\r\nc350\r\n%s\r\n0\r\n\r\n" % (body[:150_000], body[150_000:])
    else:
        framing, sent, expected = b"Content-Length: 200000", body, body
    async with Proxy([f"127.0.0.1:{site.port}"]) as proxy:
        site.answer = b""  # the answer comes after the body: here the server only hears
        said = asyncio.ensure_future(
            ask(proxy.path, b"POST http://127.0.0.1:%d/ HTTP/1.1\r\n%s\r\n\r\n%s" % (site.port, framing, sent))
        )
        while not site.heard or not site.heard[0].endswith(expected):
            assert not said.done()
            await asyncio.sleep(0.01)
        said.cancel()


@pytest.mark.parametrize(
    "target",
    [
        "169.254.169.254:80",
        "127.0.0.1:80",
        "localhost:80",
        "[::1]:80",
        "[::ffff:127.0.0.1]:80",
        "[64:ff9b::a9fe:a9fe]:80",
        "[2002:7f00:1::1]:443",
        "0.0.0.0:80",
        "10.0.0.1:443",
        "metadata.test:80",
        "example.com:22",
    ],
)
async def test_no_way_of_asking_for_a_private_address_or_another_port_is_served(target: str) -> None:
    names = Names(["169.254.169.254"])
    async with Proxy(True, resolver=names) as proxy:
        tunnel = await ask(proxy.path, f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
        plain = await ask(proxy.path, f"GET http://{target}/ HTTP/1.1\r\n\r\n".encode())
    for said in (tunnel, plain):
        assert said.startswith(b"HTTP/1.1 403 Forbidden: podium sandbox: ")
        assert b"to allow it add " in said
    assert len(proxy.contacts) == 2
    assert all(one.refusal and one.address is None for one in proxy.contacts)


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "[fe80::1%25eth0]",
        "[127.0.0.1]",
        "user@127.0.0.1",
        "a\\@b.test",
    ],
)
async def test_spellings_that_readers_disagree_about_are_bad_requests(host: str) -> None:
    async with Proxy(True, resolver=Names(["1.1.1.1"])) as proxy:
        for request in (f"CONNECT {host}:443 HTTP/1.1\r\n\r\n", f"GET http://{host}/ HTTP/1.1\r\n\r\n"):
            assert (await ask(proxy.path, request.encode())).startswith(b"HTTP/1.1 400 ")
    assert proxy.contacts == ()


async def test_a_name_that_is_not_listed_is_never_looked_up() -> None:
    names = Names(["1.1.1.1"])
    async with Proxy(["example.com"], resolver=names) as proxy:
        said = await ask(proxy.path, b"CONNECT secret-data.evil.test:443 HTTP/1.1\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 403 ")
    assert b'add "secret-data.evil.test" to network' in said
    assert names.asked == []


async def test_a_name_that_rebinds_between_check_and_use_reaches_only_what_was_checked(site: Site) -> None:
    names = Names(["127.0.0.2"], ["127.0.0.1"])
    async with Proxy([f"shop.test:{site.port}", f"127.0.0.2:{site.port}"], resolver=names) as proxy:
        request = b"GET http://shop.test:%d/ HTTP/1.1\r\n\r\n" % site.port
        first = await ask(proxy.path, request)
        second = await ask(proxy.path, request)
    assert first.startswith(b"HTTP/1.1 502 ")  # nobody listens at 127.0.0.2, the one that was checked
    assert second.startswith(b"HTTP/1.1 403 ")  # now the name is 127.0.0.1, which is not listed
    assert names.asked == ["shop.test", "shop.test"]
    assert site.heard == []


async def test_of_mixed_answers_only_the_permitted_address_is_tried(site: Site) -> None:
    names = Names(["10.0.0.1", "127.0.0.1"])
    async with Proxy([f"shop.test:{site.port}", f"127.0.0.1:{site.port}"], resolver=names) as proxy:
        said = await ask(proxy.path, b"GET http://shop.test:%d/ HTTP/1.1\r\n\r\n" % site.port)
    assert said.endswith(b"hello")
    assert [one.address for one in proxy.contacts] == ["127.0.0.1"]


async def test_a_redirect_to_a_private_address_is_refused_when_followed(site: Site) -> None:
    site.answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.3:9/\r\nContent-Length: 0\r\n\r\n"
    async with Proxy([f"127.0.0.1:{site.port}"]) as proxy:
        code = (
            "import urllib.request, urllib.error, sys\n"
            "try: urllib.request.urlopen(sys.argv[1], timeout=30)\n"
            "except urllib.error.HTTPError as error: print(error.code, error.reason)\n"
        )
        said = await through_relay(proxy.path, code, f"http://127.0.0.1:{site.port}/")
    assert said.startswith("403 Forbidden: podium sandbox: 127.0.0.3:9 is not on this sandbox's list of hosts")
    assert len(site.heard) == 1


@pytest.mark.parametrize(
    "head",
    [
        "POST http://{0}/ HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 50",
        "POST http://{0}/ HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3",
        "POST http://{0}/ HTTP/1.1\r\nContent-Length: 3, 3",
        "POST http://{0}/ HTTP/1.1\r\nContent-Length: +3",
        "POST http://{0}/ HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
        "POST http://{0}/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "POST http://{0}/ HTTP/1.1\r\nTransfer-Encoding: xchunked",
        "POST http://{0}/ HTTP/1.0\r\nTransfer-Encoding: chunked",
        "POST http://{0}/ HTTP/1.1\r\nTransfer-Encoding : chunked",
        "GET http://{0}/ HTTP/1.1\r\nHost: a\r\nHost: b",
        "GET http://{0}/ HTTP/1.1\r\nA: b\r\n folded: c",
        "GET http://{0}/ HTTP/1.1\r\nA: b\nX: c",
        "GET http://{0}/ HTTP/1.1\r\nA: b\0c",
        "GET http://{0}/ HTTP/1.1\nHost: a",
        "GET  http://{0}/ HTTP/1.1",
        "GET http://{0}/ HTTP/2.0",
        "GET /only/a/path HTTP/1.1",
        "GET https://{0}/ HTTP/1.1",
        "GET file:///etc/passwd HTTP/1.1",
        "CONNECT {0}/ HTTP/1.1",
        "CONNECT 127.0.0.1 HTTP/1.1",
        "CONNECT {0} HTTP/1.1\r\nContent-Length: 5",
        "GET http://[::1/ HTTP/1.1",
        "\x16\x03\x01 not http",
    ],
)
async def test_requests_that_can_be_read_in_two_ways_reach_nobody(site: Site, head: str) -> None:
    async with Proxy([f"127.0.0.1:{site.port}"]) as proxy:
        said = await ask(proxy.path, head.format(f"127.0.0.1:{site.port}").encode("latin-1") + b"\r\n\r\nabc")
    assert said.startswith(b"HTTP/1.1 400 Bad Request: podium sandbox: ")
    assert site.heard == []


async def test_what_follows_a_request_never_reaches_the_server(site: Site) -> None:
    smuggled = b"GET http://127.0.0.1/admin HTTP/1.1\r\nHost: internal\r\n\r\n"
    async with Proxy([f"127.0.0.1:{site.port}"]) as proxy:
        for framing, body in (
            (b"Content-Length: 3", b"abc"),
            (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n0\r\n\r\n"),
        ):
            request = b"POST http://127.0.0.1:%d/ HTTP/1.1\r\n%s\r\n\r\n" % (site.port, framing)
            said = await ask(proxy.path, request + body + smuggled)
            assert said.endswith(b"hello")
    assert len(site.heard) == 2
    assert not any(b"admin" in heard or b"internal" in heard for heard in site.heard)


async def test_headers_for_the_proxy_stay_with_the_proxy(site: Site) -> None:
    async with Proxy([f"127.0.0.1:{site.port}"]) as proxy:
        lines = (
            f"GET http://127.0.0.1:{site.port}/ HTTP/1.1", "Proxy-Authorization: Basic c2VjcmV0", "TE: trailers",
            "Connection: keep-alive, X-Hop", "X-Hop: 1", "X-End: 2", "", "",
        )  # fmt: skip
        await ask(proxy.path, "\r\n".join(lines).encode())
    heard = site.heard[0]
    assert b"X-End: 2" in heard
    assert b"Connection: close" in heard
    assert not any(word in heard for word in (b"secret", b"X-Hop", b"keep-alive", b"TE:"))


async def test_headers_without_end_are_refused() -> None:
    async with Proxy(True) as proxy:
        said = await ask(proxy.path, b"GET http://example.com/ HTTP/1.1\r\nX: " + b"a" * 200_000)
    assert said.startswith(b"HTTP/1.1 400 Bad Request: podium sandbox: the headers are longer than 32768 bytes")


async def test_connections_are_bounded_and_silent_ones_dropped(site: Site) -> None:
    limits = ProxyLimits(connections=2, head_timeout=1.0)
    async with Proxy([f"127.0.0.1:{site.port}"], limits=limits) as proxy:
        silent = [await asyncio.open_unix_connection(proxy.path) for _ in range(2)]
        request = b"GET http://127.0.0.1:%d/ HTTP/1.1\r\n\r\n" % site.port
        assert (await ask(proxy.path, request)).startswith(b"HTTP/1.1 503 ")
        for reader, writer in silent:
            assert await reader.read() == b""
            await leave(writer)
        said = b""
        while not said.endswith(b"hello"):  # the places of the silent are free again
            said = await ask(proxy.path, request)


async def test_the_list_of_contacts_is_bounded() -> None:
    async with Proxy([], limits=ProxyLimits(contacts=3)) as proxy:
        for index in range(5):
            await ask(proxy.path, b"CONNECT host%d.test:443 HTTP/1.1\r\n\r\n" % index)
    assert [one.host for one in proxy.contacts] == ["host2.test", "host3.test", "host4.test"]


async def test_only_this_user_may_enter_the_folder_of_the_socket_and_closing_removes_it() -> None:
    proxy = Proxy(True)
    path = Path(await proxy.start())
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [stat.S_ISSOCK(one.stat().st_mode) for one in path.parent.iterdir()] == [True]
    _, writer = await asyncio.open_unix_connection(path)
    await proxy.aclose()
    await proxy.aclose()
    assert not path.parent.exists()
    await leave(writer)


async def test_a_name_without_an_address_is_a_bad_gateway_that_says_so() -> None:
    async with Proxy(True, resolver=Names()) as proxy:
        said = await ask(proxy.path, b"CONNECT nothing.test:443 HTTP/1.1\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 502 Bad Gateway: podium sandbox: nothing.test:443 has no address")


async def test_the_machine_s_own_addresses_are_known_and_its_resolver_answers() -> None:
    own, other = parse_address("127.0.0.1"), parse_address("192.0.2.1")
    assert own is not None
    assert other is not None
    assert is_own(own)
    assert not is_own(other)
    assert "127.0.0.1" in await resolve("localhost", 80)


async def through_relay(path: str, code: str, *args: str) -> str:
    """Run `code` in a Python whose only proxy is RELAY, as it runs inside a box; what it printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    relay = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", RELAY, str(port), path, stdout=asyncio.subprocess.PIPE
    )
    assert relay.stdout is not None
    try:
        async with asyncio.timeout(30):
            assert await relay.stdout.readline() == b"ready\n"
            proxy = f"http://127.0.0.1:{port}"
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-c", code, *args,
                env={"http_proxy": proxy, "https_proxy": proxy, "no_proxy": ""},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            out, _ = await child.communicate()
        assert relay.returncode is None, "the relay died"
        return out.decode()
    finally:
        if relay.returncode is None:
            relay.kill()
        await relay.wait()


async def test_programs_that_know_proxies_work_through_the_relay(site: Site) -> None:
    body = os.urandom(3_000_000)
    site.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + body
    code = (
        "import urllib.request, sys, hashlib, concurrent.futures as f\n"
        "get = lambda _: hashlib.sha256(urllib.request.urlopen(sys.argv[1], timeout=30).read()).hexdigest()\n"
        "with f.ThreadPoolExecutor(6) as pool: print(*set(pool.map(get, range(12))))\n"
    )
    async with Proxy([f"127.0.0.1:{site.port}"]) as proxy:
        said = await through_relay(proxy.path, code, f"http://127.0.0.1:{site.port}/")
    import hashlib

    assert said.split() == [hashlib.sha256(body).hexdigest()]
    assert len(site.heard) == 12


async def test_the_reason_of_a_refused_tunnel_reaches_the_program() -> None:
    code = (
        "import urllib.request, sys\n"
        "try: urllib.request.urlopen('https://example.com/', timeout=30)\n"
        "except OSError as error: print(error)\n"
    )
    async with Proxy(["example.org"]) as proxy:
        said = await through_relay(proxy.path, code)
    assert "403 Forbidden: podium sandbox: example.com:443 is not on this sandbox's list of hosts" in said


async def test_more_connections_than_the_relay_holds_all_get_served_in_the_end(site: Site) -> None:
    code = (
        "import socket, sys, os\n"
        "port = int(os.environ['http_proxy'].rsplit(':', 1)[1])\n"
        "many = [socket.create_connection(('127.0.0.1', port)) for _ in range(100)]\n"
        "for one in many: one.close()\n"
        "import urllib.request\n"
        "print(urllib.request.urlopen(sys.argv[1], timeout=30).read())\n"
    )
    async with Proxy([f"127.0.0.1:{site.port}"]) as proxy:
        assert await through_relay(proxy.path, code, f"http://127.0.0.1:{site.port}/") == "b'hello'\n"
