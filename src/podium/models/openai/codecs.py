"""OpenAI's two wires as `wire.Codec`s: a model and a server's name bound to the pure functions of each.

The models at OpenAI, at compatible servers and at Azure stand on it.
"""

from __future__ import annotations

from collections.abc import Collection

from podium.core.errors import ModelError
from podium.core.messages import ModelRequest, Reply
from podium.models.errors import CHAT, Hints
from podium.models.reading import Json
from podium.models.wire import StreamDecoder

from . import chat, responses
from .refusals import refusal


class ChatCodec:
    """Chat Completions as a `wire.Codec`."""

    __slots__ = ("_dialect", "_hints", "_model", "_server")

    def __init__(self, model: str, server: str, dialect: chat.ChatDialect, hints: Hints = CHAT) -> None:
        self._model, self._server, self._dialect, self._hints = model, server, dialect, hints

    def encode(self, request: ModelRequest, *, stream: bool) -> Json:
        """See `chat_request.encode_request`."""
        return chat.encode_request(request, self._model, stream=stream, dialect=self._dialect)

    def decode(self, body: bytes) -> Reply:
        """See `chat_reply.decode_reply`."""
        return chat.decode_reply(body, model=self._model, server=self._server, hints=self._hints)

    def stream(self) -> StreamDecoder:
        """See `chat_reply.ChatStream`."""
        return chat.ChatStream(model=self._model, server=self._server, hints=self._hints)

    def error(
        self, status: int, body: bytes, *, retry_after: float | None = None, secrets: Collection[str] = ()
    ) -> ModelError:
        """See `refusals.refusal`."""
        return refusal(
            status,
            body,
            model=self._model,
            server=self._server,
            retry_after=retry_after,
            secrets=secrets,
            hints=self._hints,
        )


class ResponsesCodec:
    """Responses as a `wire.Codec`."""

    __slots__ = ("_dialect", "_hints", "_model", "_server")

    def __init__(
        self, model: str, server: str, dialect: responses.ResponsesDialect, hints: Hints = responses.HINTS
    ) -> None:
        self._model, self._server, self._dialect, self._hints = model, server, dialect, hints

    def encode(self, request: ModelRequest, *, stream: bool) -> Json:
        """See `responses_request.encode_request`."""
        return responses.encode_request(request, self._model, stream=stream, dialect=self._dialect)

    def decode(self, body: bytes) -> Reply:
        """See `responses_reply.decode_reply`."""
        return responses.decode_reply(
            body, model=self._model, server=self._server, provider=self._dialect.provider, hints=self._hints
        )

    def stream(self) -> StreamDecoder:
        """See `responses_reply.ResponsesStream`."""
        return responses.ResponsesStream(
            model=self._model, server=self._server, provider=self._dialect.provider, hints=self._hints
        )

    def error(
        self, status: int, body: bytes, *, retry_after: float | None = None, secrets: Collection[str] = ()
    ) -> ModelError:
        """See `refusals.refusal`."""
        return refusal(
            status,
            body,
            model=self._model,
            server=self._server,
            retry_after=retry_after,
            secrets=secrets,
            hints=self._hints,
        )
