"""Fetching asks only the hosts it was given, at addresses that were checked, within its bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from podium.core.errors import ConfigurationError, ToolError
from podium.ports import ToolContext
from podium.tools.builtin import fetch_tool, http
from podium.tools.builtin.http import Limits
from podium.tools.builtin.page import readable

Answer = Callable[[str, dict[str, str]], bytes]


@asynccontextmanager
async def server(answer: Answer) -> AsyncGenerator[int]:
    """A real server on loopback: `answer` gets the path and the headers, and gives all bytes of the response."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
            }
            writer.write(answer(first.split(" ")[1], headers))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    running = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with running:
        yield running.sockets[0].getsockname()[1]


def page(body: bytes, kind: str = "text/plain", status: str = "200 OK", more: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}Connection: close\r\n\r\n"
    )
    return head.encode() + body


async def fetch(tool: Any, url: str, **more: Any) -> Any:
    return await tool.invoke(tool.resolve({"url": url, **more}), ToolContext(run_id="r", key="k"))


async def loopback(_host: str, _port: int) -> Sequence[str]:
    return ["127.0.0.1"]


async def test_a_page_of_a_listed_host_is_shown_as_text() -> None:
    head = b"<html><head><title>x</title><script>bad()</script></head>"
    html = head + b"<body><h1>Tents</h1><p>Red &amp; <a href='/b'>blue</a></p></body></html>"
    async with server(lambda _path, _headers: page(html, "text/html; charset=utf-8")) as port:
        found = await fetch(fetch_tool([f"localhost:{port}"]), f"http://localhost:{port}/a#top")
    assert found["status"] == 200
    assert found["text"] == "Tents\nRed & blue (/b)"


async def test_json_is_shown_as_it_is_and_long_texts_in_parts() -> None:
    async with server(
        lambda path, _headers: page(b'{"a": 1}', "application/json") if path == "/j" else page(b"x" * 50_000)
    ) as port:
        tool = fetch_tool([f"127.0.0.1:{port}"])
        assert (await fetch(tool, f"http://127.0.0.1:{port}/j"))["text"] == '{"a": 1}'
        first = await fetch(tool, f"http://127.0.0.1:{port}/")
        rest = await fetch(tool, f"http://127.0.0.1:{port}/", start=len(first["text"]))
    assert (first["more"], rest["more"], len(first["text"]) + len(rest["text"])) == (True, False, 50_000)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://localhost/", "http://[::1]/", "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/", "http://2130706433/", "http://0177.0.0.1/", "http://0x7f.1/", "http://[::ffff:127.0.0.1]/",
        "http://127.0.0.1.nip.example/", "http://user:pass@example.com/", "file:///etc/passwd", "ftp://example.com/",
        "example.com", "http://", "http://exa mple.com/", "http://example.com:22/", "javascript:alert(1)", "http://\u2488example/",
    ],
)  # fmt: skip
async def test_private_addresses_and_odd_spellings_are_refused_even_where_every_public_host_is_allowed(
    url: str,
) -> None:
    with pytest.raises(ToolError):
        await fetch(fetch_tool(True, resolver=loopback, limits=Limits(seconds=5)), url)


async def test_a_public_name_that_points_inside_is_refused() -> None:
    async with server(lambda _path, _headers: page(b"internal")) as port:
        with pytest.raises(ToolError, match="not public"):
            await fetch(fetch_tool([f"rebound.example:{port}"], resolver=loopback), f"http://rebound.example:{port}/")


async def test_the_address_that_was_checked_is_the_one_that_is_asked_under_its_name() -> None:
    """A name server that answers otherwise the second time is not asked a second time."""
    asked: list[str] = []
    hosts: list[str] = []

    async def turning(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    def answer(_path: str, headers: dict[str, str]) -> bytes:
        hosts.append(headers["host"])
        return page(b"fine")

    async with server(answer) as port:
        tool = fetch_tool([f"shop.example:{port}", f"127.0.0.1:{port}"], resolver=turning)
        assert (await fetch(tool, f"http://shop.example:{port}/"))["text"] == "fine"
    assert asked == ["shop.example"]
    assert hosts == [f"shop.example:{port}"]


async def test_every_redirect_is_judged_and_headers_stay_with_the_first_host() -> None:
    seen: list[dict[str, str]] = []

    def answer(path: str, headers: dict[str, str]) -> bytes:
        seen.append(headers)
        targets = {"/inside": "http://169.254.169.254/", "/file": "file:///etc/passwd", "/loop": "/loop"}
        if path in targets:
            return page(b"", status="302 Found", more=f"Location: {targets[path]}\r\n")
        if path == "/other":
            return page(
                b"",
                status="307 Temporary Redirect",
                more=f"Location: http://localhost:{headers['host'].split(':')[1]}/end\r\n",
            )
        return page(b"end")

    async with server(answer) as port:
        tool = fetch_tool([f"127.0.0.1:{port}", f"localhost:{port}"], headers={"Authorization": "Bearer t"})
        for path in ("/inside", "/file", "/loop"):
            with pytest.raises(ToolError):
                await fetch(tool, f"http://127.0.0.1:{port}{path}")
        seen.clear()
        found = await fetch(tool, f"http://127.0.0.1:{port}/other")
    assert found["text"] == "end"
    assert ["authorization" in headers for headers in seen] == [True, False]


async def test_what_is_too_large_binary_compressed_or_broken_is_refused_in_words() -> None:
    def answer(path: str, _headers: dict[str, str]) -> bytes:
        if path == "/large":
            return page(b"x" * 3000)
        if path == "/endless":
            return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 5000
        if path == "/binary":
            return page(b"\x89PNG", "image/png")
        if path == "/bomb":
            return page(b"x", more="Content-Encoding: gzip\r\n")
        return b"nonsense\r\n\r\n"

    async with server(answer) as port:
        tool = fetch_tool([f"127.0.0.1:{port}"], limits=Limits(bytes=2000))
        for path, said in (
            ("/large", "larger"),
            ("/endless", "larger"),
            ("/binary", "image/png"),
            ("/bomb", "compressed"),
            ("/x", "cannot"),
        ):
            with pytest.raises(ToolError, match=said):
                await fetch(tool, f"http://127.0.0.1:{port}{path}")


async def test_the_environment_s_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with server(lambda _path, _headers: page(b"direct")) as port:
        found = await fetch(fetch_tool([f"127.0.0.1:{port}"]), f"http://127.0.0.1:{port}/")
    assert found["text"] == "direct"


def test_a_pattern_that_nobody_can_read_is_said_when_the_tool_is_made() -> None:
    with pytest.raises(ConfigurationError, match=r"^allow: .* address of a page"):
        fetch_tool(["https://example.com/"])


async def test_one_host_may_be_a_text_and_none_is_an_error() -> None:
    async with server(lambda _path, _headers: page(b"alone")) as port:
        found = await fetch(fetch_tool(f"127.0.0.1:{port}"), f"http://127.0.0.1:{port}/")
    assert found["text"] == "alone"
    for nothing in (False, []):
        with pytest.raises(ConfigurationError, match="allow= lists the hosts"):
            fetch_tool(nothing)


@pytest.mark.parametrize(
    "start", ["<!--", "<a ", "<", "</", "<!", "<![CDATA[", "<?", "<a b='", "<svg>", "<script>", "<p\n", "&#x"]
)
def test_a_page_that_closes_nothing_takes_no_longer_than_another(start: str) -> None:
    # The standard library's parser begins again at each of these: minutes, on the loop that runs everything else.
    assert readable(f"<p>before</p>{start * 500_000}").startswith("before")


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("a<!-- b --><b>c</b>", "ac"),
        ("<script>if (a < b) '<p>'</SCRIPT >d<style>p{}</style>", "d"),
        ("<svg><title>no</title></svg>yes <noscript>no", "yes"),
        ('<a title="x > y" href="/there?a=1&amp;b=2">go</a>', "go (/there?a=1&b=2)"),
        ("<a href=/plain>go</a> <a data-href=/no>stay</a>", "go (/plain) stay"),
        ("1 < 2 &lt; 3 <!DOCTYPE html><?xml?></ >&#99999999999999999999;", "1 < 2 < 3 \ufffd"),
        (f"&#{'9' * 5000};x", f"&#{'9' * 5000};x"),
        ("<p>one<br>two<td>three", "one\ntwothree"),
    ],
)
def test_a_page_is_read_as_a_browser_shows_it(page: str, text: str) -> None:
    assert readable(page) == text


@pytest.mark.parametrize("charset", ["idna", "undefined", "rot13", "no-such", "x" * 500])
async def test_a_charset_that_is_none_is_read_as_utf8(charset: str) -> None:
    async with server(lambda *_: page("grün".encode(), f"text/plain; charset={charset}")) as port:
        assert (await fetch(fetch_tool([f"127.0.0.1:{port}"]), f"http://127.0.0.1:{port}/"))["text"] == "grün"


async def test_a_public_address_of_this_machine_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def own(_host: str, _port: int) -> Sequence[str]:
        return ["8.8.8.8"]

    monkeypatch.setattr(http, "is_own", lambda address: str(address) == "8.8.8.8")
    with pytest.raises(ToolError, match="of this machine"):
        await fetch(fetch_tool(True, resolver=own), "http://example.com/")
