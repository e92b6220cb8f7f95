"""Ollama's `/api/chat` as a `wire.Codec`: one model at one server."""

from __future__ import annotations

from collections.abc import Collection

from podium.core.errors import ModelError
from podium.core.messages import ModelRequest, Reply
from podium.models.reading import Json
from podium.models.wire import StreamDecoder

from .failure import ollama_error
from .reply import OllamaStream, decode_reply
from .request import DEFAULT, Dialect, encode_request


class OllamaCodec:
    """The wire for `model` at `server`, as `dialect` asks it."""

    __slots__ = ("_dialect", "_model", "_server")

    def __init__(self, model: str, server: str, dialect: Dialect = DEFAULT) -> None:
        self._model, self._server, self._dialect = model, server, dialect

    def encode(self, request: ModelRequest, *, stream: bool) -> Json:
        """See `request.encode_request`."""
        return encode_request(request, self._model, stream=stream, dialect=self._dialect)

    def decode(self, body: bytes) -> Reply:
        """See `reply.decode_reply`."""
        return decode_reply(body, model=self._model, server=self._server)

    def stream(self) -> StreamDecoder:
        """See `reply.OllamaStream`."""
        return OllamaStream(model=self._model, server=self._server)

    def error(
        self, status: int, body: bytes, *, retry_after: float | None = None, secrets: Collection[str] = ()
    ) -> ModelError:
        """See `failure.ollama_error`."""
        return ollama_error(
            status, body, model=self._model, server=self._server, retry_after=retry_after, secrets=secrets
        )
