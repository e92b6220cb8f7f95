"""A small HTTP server on loopback for the transport's tests: it answers what a test tells it to, byte by byte."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

Handler = Callable[["Exchange"], Awaitable[None]]


class Exchange:
    """One request as it came, and the means to answer it."""

    def __init__(self, head: str, body: bytes, writer: asyncio.StreamWriter, gone: asyncio.Event) -> None:
        self.path = head.split(" ")[1]
        lines = head.split("\r\n")[1:]
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.body = json.loads(body or b"{}")
        self.gone = gone
        self._writer = writer

    async def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join([*lines, "", ""]).encode() + body)

    async def begin_stream(self, content_type: str = "text/event-stream") -> None:
        await self.send(
            f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        )

    async def piece(self, data: bytes) -> None:
        await self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def drop(self) -> None:
        self._writer.transport.abort()


class Server:
    def __init__(self, url: str) -> None:
        self.url = url
        self.exchanges: list[Exchange] = []
        self.connections = 0
        self.asked = asyncio.Event()
        """Set when a request has come."""
        self.gone = asyncio.Event()
        """Set when a client has closed a connection."""


@asynccontextmanager
async def serving(handler: Handler):
    server = Server("")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip("\r\n")
                length = int(head.lower().partition("content-length:")[2].partition("\r\n")[0] or 0)
                exchange = Exchange(head, await reader.readexactly(length), writer, server.gone)
                server.exchanges.append(exchange)
                server.asked.set()
                answering = asyncio.ensure_future(handler(exchange))
                hanging = asyncio.ensure_future(reader.read(1)) if exchange.body.get("hang") else None
                await asyncio.wait([task for task in (answering, hanging) if task], return_when="FIRST_COMPLETED")
                if hanging is not None:
                    answering.cancel()
                    hanging.cancel()
                    return
                await answering
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            server.gone.set()
            writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    try:
        yield server
    finally:
        listener.close()
