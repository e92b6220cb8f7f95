"""`generateContent` as a `wire.Codec`: one model at one server."""

from __future__ import annotations

from collections.abc import Collection

from podium.core.errors import ModelError
from podium.core.messages import ModelRequest, Reply
from podium.models.errors import Hints
from podium.models.reading import Json
from podium.models.wire import StreamDecoder

from .failure import gemini_error
from .reply import GeminiStream, decode_reply
from .request import encode_request


class GeminiCodec:
    """The wire of the Gemini API and of Vertex AI. `include_thoughts` is `encode_request`'s."""

    __slots__ = ("_hints", "_include_thoughts", "_model", "_server")

    def __init__(self, model: str, server: str, hints: Hints, *, include_thoughts: bool | None = None) -> None:
        self._model, self._server, self._hints = model, server, hints
        self._include_thoughts = include_thoughts

    def encode(self, request: ModelRequest, *, stream: bool) -> Json:
        """See `request.encode_request`. A stream is asked for by its address; the body is the same."""
        return encode_request(request, self._model, include_thoughts=self._include_thoughts)

    def decode(self, body: bytes) -> Reply:
        """See `reply.decode_reply`."""
        return decode_reply(body, model=self._model, server=self._server, hints=self._hints)

    def stream(self) -> StreamDecoder:
        """See `reply.GeminiStream`."""
        return GeminiStream(model=self._model, server=self._server, hints=self._hints)

    def error(
        self, status: int, body: bytes, *, retry_after: float | None = None, secrets: Collection[str] = ()
    ) -> ModelError:
        """See `failure.gemini_error`."""
        return gemini_error(
            status,
            body,
            model=self._model,
            server=self._server,
            hints=self._hints,
            retry_after=retry_after,
            secrets=secrets,
        )
