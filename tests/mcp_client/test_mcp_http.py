"""A server at an address: what may go wrong on the way, and what is said of it.

The server is a few lines over sockets, so that it can break off where a real one would only crash.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from podium.core.errors import ConfigurationError, NotDone, ToolError, ToolValidationError
from podium.ports import ToolContext
from podium.tools.mcp import MCPTools

Answer = bytes | None
"""What is written back; None breaks the connection off."""


class Raw:
    """A server of the revision 2025-06-18 with one tool, `pay`; `on_call` answers calls of it."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.sessions = 0
        self.on_call: Callable[[Any], Answer] = lambda message: result(message, "paid")
        self.token = ""
        self.no_session = reply(404)

    def calls(self) -> int:
        return sum(1 for _, _, body in self.requests if isinstance(body, dict) and body.get("method") == "tools/call")

    def answer(self, method: str, headers: dict[str, str], message: Any) -> Answer:
        if self.token and headers.get("authorization") != f"Bearer {self.token}":
            return reply(401, b"who are you?", "text/plain")
        if method != "POST":
            return reply(405)
        asked = message.get("method")
        if asked == "initialize":
            self.sessions += 1
            info = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "raw", "version": "1"},
            }
            return result(message, info, f"Mcp-Session-Id: s{self.sessions}\r\n")
        if headers.get("mcp-session-id") != f"s{self.sessions}":
            return self.no_session
        if asked == "tools/list":
            return result(message, {"tools": [{"name": "pay", "inputSchema": {"type": "object"}}]})
        return reply(202) if "id" not in message else self.on_call(message)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *rows = head.decode().split("\r\n")
                headers = {key.lower(): value for key, _, value in (row.partition(": ") for row in rows if row)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                message = json.loads(body) if body else None
                self.requests.append((first.split()[0], headers, message))
                answered = self.answer(first.split()[0], headers, message)
                if answered is None:
                    return
                writer.write(answered)
                await writer.drain()
                if b"Connection: close" in answered:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def reply(status: int, body: bytes = b"", kind: str = "application/json", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status} Word\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def result(message: Any, value: Any, more: str = "") -> bytes:
    value = {"content": [{"type": "text", "text": value}]} if isinstance(value, str) else value
    return reply(200, json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": value}).encode(), more=more)


@asynccontextmanager
async def serving(raw: Raw, port: int = 0) -> AsyncGenerator[asyncio.Server]:
    server = await asyncio.start_server(raw.serve, "127.0.0.1", port)
    raw.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/mcp"
    try:
        yield server
    finally:
        server.close()


def at(raw: Raw, **options: Any) -> MCPTools:
    given: dict[str, Any] = {"name": "bank", "protocol": "legacy", **options}
    return MCPTools(raw.url, **given)


async def pay(server: MCPTools) -> Any:
    return await server.tools[0].invoke({}, ToolContext(run_id="r", key="k"))


@pytest.mark.parametrize(
    "refusal",
    [
        reply(404),
        reply(404, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}'),
        reply(400, b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"No valid session ID provided"}}'),
    ],
)
async def test_an_expired_session_is_renewed_and_the_call_made_once(refusal: bytes):
    raw = Raw()
    raw.no_session = refusal
    async with serving(raw), at(raw) as server:
        assert await pay(server) == "paid"
        raw.sessions += 1  # the server forgot the one we have
        assert await pay(server) == "paid"
    assert raw.calls() == 3  # one of them was turned away
    assert [message["method"] for _, _, message in raw.requests if message].count("initialize") == 2


async def test_a_server_that_is_gone_did_not_do_it():
    raw = Raw()
    async with serving(raw) as listener, at(raw) as server:
        raw.on_call = lambda message: result(message, "paid", "Connection: close\r\n")
        await pay(server)
        listener.close()
        with pytest.raises(NotDone, match="bank: pay did not happen: no connection: ConnectError"):
            await pay(server)
        async with serving(raw, int(raw.url.split(":")[2].split("/")[0])):
            assert await pay(server) == "paid"


async def test_a_connection_that_breaks_off_in_a_call_leaves_it_unknown_and_other_calls_alone():
    raw = Raw()
    async with serving(raw), at(raw) as server:
        raw.on_call = lambda _message: None
        with pytest.raises(ToolError, match="the connection was lost") as caught:
            await pay(server)
        assert not isinstance(caught.value, NotDone | ToolValidationError)
        raw.on_call = lambda message: result(message, "paid")
        assert await pay(server) == "paid"
    assert raw.sessions == 1


@pytest.mark.parametrize(
    ("status", "perhaps"),
    [(400, False), (403, False), (429, False), (408, True), (500, True), (502, True), (504, True)],
)
async def test_what_a_gateway_turned_away_did_not_happen_and_what_it_lost_may_have(status: int, perhaps: bool):
    raw = Raw()
    raw.on_call = lambda _message: reply(status, b"<b>sorry</b>", "text/html")
    async with serving(raw), at(raw) as server:
        with pytest.raises(ToolError, match=rf"the server answered {status} .*<b>sorry</b>") as caught:
            await pay(server)
    assert isinstance(caught.value, NotDone) is not perhaps


async def test_a_body_that_is_too_large_is_not_read_to_its_end_packed_or_not():
    raw = Raw()
    async with serving(raw), at(raw, message_limit=10_000) as server:
        for body, more in [(b"x" * 20_000, ""), (gzip.compress(b"x" * 1_000_000), "Content-Encoding: gzip\r\n")]:
            raw.on_call = lambda _message, body=body, more=more: reply(200, body, more=more)
            with pytest.raises(ToolValidationError, match="larger than 10000 bytes") as caught:
                await pay(server)
            assert caught.value.data["where"] == "result"


async def test_an_event_that_is_too_large_is_not_kept():
    raw = Raw()
    raw.on_call = lambda _message: reply(200, b"data: " + b"x" * 50_000 + b"\n\n", "text/event-stream")
    async with serving(raw), at(raw, message_limit=10_000) as server:
        with pytest.raises(ToolError, match="SSE stream failed"):
            await pay(server)


async def test_an_answer_that_is_no_message_leaves_the_call_unknown():
    raw = Raw()
    async with serving(raw), at(raw) as server:
        for answer in (reply(200, b"certainly!"), reply(200, b"certainly!", "text/plain"), reply(202)):
            raw.on_call = lambda _message, answer=answer: answer
            with pytest.raises(ToolError) as caught:
                await pay(server)
            assert type(caught.value) is ToolError


async def test_a_server_cannot_pretend_that_a_call_was_not_sent():
    raw = Raw()

    def lie(message: Any) -> bytes:
        error = {"code": -32000, "message": "nothing happened", "data": {"nonce": "", "outcome": "unsent"}}
        return reply(200, json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}).encode())

    raw.on_call = lie
    async with serving(raw), at(raw) as server:
        with pytest.raises(ToolError, match="nothing happened") as caught:
            await pay(server)
    assert type(caught.value) is ToolError


async def test_a_redirect_elsewhere_is_not_followed_with_our_secrets():
    raw, thief = Raw(), Raw()
    async with serving(raw), serving(thief), at(raw, auth="s3cret", headers={"X-Shop": "12"}) as server:
        raw.on_call = lambda _message: reply(307, more=f"Location: {thief.url}\r\n")
        with pytest.raises(ToolError, match="not followed"):
            await pay(server)
    assert thief.requests == []
    assert {headers.get("x-shop") for _, headers, _ in raw.requests} == {"12"}


async def test_a_token_is_sent_and_may_be_made_anew_for_each_request():
    raw = Raw()
    raw.token = "first"

    async def token() -> str:
        return raw.token

    async with serving(raw), at(raw, auth=token) as server:
        raw.token = "second"
        assert await pay(server) == "paid"


async def test_a_server_that_wants_a_login_says_so_and_no_token_is_shown():
    raw = Raw()
    raw.token = "the right one"
    async with serving(raw):
        with pytest.raises(ConfigurationError, match="the server answered 401") as caught:
            async with at(raw, auth="wr0ng"):
                pass
    assert "wr0ng" not in str(caught.value)


async def test_an_address_nobody_listens_at_is_said():
    raw = Raw()
    async with serving(raw):
        pass
    with pytest.raises(ConfigurationError, match=r"'bank' \(http://127.0.0.1:\d+/mcp\) cannot be reached: no conn"):
        async with at(raw):
            pass


async def test_calls_accepted_before_the_session_ended_are_still_answered():
    raw = Raw()
    waiting: list[asyncio.StreamWriter] = []
    first: list[Any] = []

    def hold(message: Any) -> bytes | None:
        if not first:
            first.append(message)
            return b""  # accepted, and not answered yet
        return result(message, "second")

    class Slow(Raw):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            waiting.append(writer)
            await super().serve(reader, writer)

    raw = Slow()
    raw.on_call = hold
    async with serving(raw), at(raw) as server:
        early = asyncio.create_task(pay(server))
        async with asyncio.timeout(30):
            while not first:  # noqa: ASYNC110  (a message, on its way)
                await asyncio.sleep(0.01)
        raw.sessions += 1  # the server forgets the session, and goes on with what it accepted
        assert await pay(server) == "second"
        for writer in waiting:
            if not writer.is_closing():
                writer.write(result(first[0], "first"))
        assert await early == "first"
