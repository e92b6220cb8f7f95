"""OpenAI's two wires as `Codec`s: a model and a server's name bound to the pure functions of each.

The models at OpenAI, at compatible servers and at Azure stand on it.
"""

from __future__ import annotations

from functools import partial

from podium.models.codec import BoundCodec
from podium.models.errors import CHAT, Hints

from . import chat, responses
from .refusals import refusal


class ChatCodec(BoundCodec):
    """Chat Completions as a `Codec`."""

    __slots__ = ()

    def __init__(self, model: str, server: str, dialect: chat.ChatDialect, hints: Hints = CHAT) -> None:
        super().__init__(
            model,
            server,
            encode=partial(chat.encode_request, dialect=dialect),
            decode=partial(chat.decode_reply, hints=hints),
            stream=partial(chat.ChatStream, hints=hints),
            error=partial(refusal, hints=hints),
        )


class ResponsesCodec(BoundCodec):
    """Responses as a `Codec`."""

    __slots__ = ()

    def __init__(
        self, model: str, server: str, dialect: responses.ResponsesDialect, hints: Hints = responses.HINTS
    ) -> None:
        super().__init__(
            model,
            server,
            encode=partial(responses.encode_request, dialect=dialect),
            decode=partial(responses.decode_reply, provider=dialect.provider, hints=hints),
            stream=partial(responses.ResponsesStream, provider=dialect.provider, hints=hints),
            error=partial(refusal, hints=hints),
        )
