"""A server that costs its clients nothing but what they do themselves: recorded answers, from another process.

Below `/at-once/` the pieces of a stream (each an HTTP chunk of its own) leave in one write, so that a client finds many
whenever it looks: what it then needs is its own work. Below `/one-by-one/` each is sent when the one before has surely
been read, as a model's tokens come: the client also wakes up for each. The wire is told by the path.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from . import payloads

GAP = 0.002
"""Seconds between the pieces of a stream that comes one by one: enough for a client to be idle again."""

Answer = tuple[Callable[[], bytes], Callable[[], list[bytes]], str]

ANSWERS: dict[str, Answer] = {
    "/chat/completions": (payloads.openai_call, payloads.openai_stream, "text/event-stream; charset=utf-8"),
    "/responses": (payloads.responses_call, payloads.responses_stream, "text/event-stream; charset=utf-8"),
    "/messages": (payloads.anthropic_call, payloads.anthropic_stream, "text/event-stream; charset=utf-8"),
    "enerateContent": (payloads.gemini_call, payloads.gemini_stream, "text/event-stream"),
    "/api/chat": (payloads.ollama_call, payloads.ollama_stream, "application/x-ndjson"),
}


class _Connection(asyncio.Protocol):
    def __init__(self, answers: dict[str, tuple[bytes, list[bytes], bytes]], gap: float) -> None:
        self._answers = answers
        self._gap = gap
        self._bytes = b""
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        head, found, rest = self._bytes.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(rest) < length:
            return
        self._bytes = rest[length:]
        self._answer(head.split(b" ")[1].decode(), rest[:length])

    def _answer(self, path: str, body: bytes) -> None:
        whole, pieces, kind = next(answer for part, answer in self._answers.items() if part in path)
        said = body.replace(b'"stream": true', b'"stream":true')
        if b'"stream":true' not in said and "streamGenerate" not in path:
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(whole)}\r\n\r\n"
            self._transport.write(head.encode() + whole)
            return
        head = b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\ntransfer-encoding: chunked\r\n\r\n"
        if "/at-once/" in path:
            self._transport.write(head + b"".join(pieces))
            return
        task = asyncio.get_running_loop().create_task(self._one_by_one([head, *pieces]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _one_by_one(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self._transport.write(piece)
            await asyncio.sleep(self._gap)


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(piece), piece)


async def _serve(gap: float) -> None:
    answers = {
        part: (whole(), [*map(_chunk, stream()), b"0\r\n\r\n"], kind.encode())
        for part, (whole, stream, kind) in ANSWERS.items()
    }
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(answers, gap), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until whoever started us is gone
    server.close()


@contextmanager
def serving(gap: float = GAP) -> Generator[str]:
    """The server's address while it runs, in a process of its own."""
    command = [sys.executable, "-m", "wire.server", str(gap)]
    with subprocess.Popen(
        command, cwd=Path(__file__).parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
