"""The Messages API as a `wire.Codec`: one model at one server."""

from __future__ import annotations

from collections.abc import Collection

from podium.core.errors import ModelError
from podium.core.messages import ModelRequest, Reply
from podium.models.reading import Json
from podium.models.wire import StreamDecoder

from .failure import claude_error
from .reply import ClaudeStream, decode_reply
from .request import CURRENT, Dialect, encode_request


class ClaudeCodec:
    """The wire, for messages that name `server`."""

    __slots__ = ("_dialect", "_model", "_server")

    def __init__(self, model: str, server: str, dialect: Dialect = CURRENT) -> None:
        self._model, self._server, self._dialect = model, server, dialect

    def encode(self, request: ModelRequest, *, stream: bool) -> Json:
        """See `request.encode_request`."""
        return encode_request(request, self._model, stream=stream, dialect=self._dialect)

    def decode(self, body: bytes) -> Reply:
        """See `reply.decode_reply`."""
        return decode_reply(body, model=self._model, server=self._server)

    def stream(self) -> StreamDecoder:
        """See `reply.ClaudeStream`."""
        return ClaudeStream(model=self._model, server=self._server)

    def error(
        self, status: int, body: bytes, *, retry_after: float | None = None, secrets: Collection[str] = ()
    ) -> ModelError:
        """See `failure.claude_error`."""
        return claude_error(
            status, body, model=self._model, server=self._server, retry_after=retry_after, secrets=secrets
        )
