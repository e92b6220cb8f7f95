"""Our own server of recorded answers: what the third-party mock does not serve, byte for byte as a provider sends it.

It answers request after request with the recordings it is given (`tests/models/fixtures/FOLDER/NAME`), on whatever path
it is asked, and keeps what it was asked. It knows no wire.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from models.loopback import Exchange, Server, serving

FIXTURES = Path(__file__).parent.parent / "models" / "fixtures"
TYPES = {".json": "application/json", ".sse": "text/event-stream", ".ndjson": "application/x-ndjson"}


class Recording(msgspec.Struct, frozen=True):
    """One recorded answer: `FOLDER/NAME`, and the status and headers it came with."""

    name: str
    status: int = 200
    headers: dict[str, str] = {}

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return FIXTURES / self.name


@asynccontextmanager
async def answering(*recordings: Recording | str) -> AsyncGenerator[Server]:
    """A server on loopback that gives these answers one after another, and fails the test that asks for more.

    `server.url` has no path; `server.exchanges` are the requests.
    """
    rest = [each if isinstance(each, Recording) else Recording(each) for each in recordings]

    async def answer(exchange: Exchange) -> None:
        if not rest:
            await exchange.answer(400, b'{"error": {"message": "the stub has no further recording"}}')
            return
        recording = rest.pop(0)
        kind = TYPES[recording.path.suffix]
        data = recording.path.read_bytes()
        if recording.status != 200 or kind == "application/json":
            await exchange.answer(recording.status, data, content_type=kind, **recording.headers)
            return
        await exchange.begin_stream(kind)
        for start in range(0, len(data), 64):
            await exchange.piece(data[start : start + 64])
        await exchange.piece(b"")

    async with serving(answer) as server:
        server.url = server.url.removesuffix("/v1")
        yield server
    assert not rest, f"never asked for: {[recording.name for recording in rest]}"
