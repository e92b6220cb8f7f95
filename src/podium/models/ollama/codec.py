"""Ollama's `/api/chat` as a `Codec`: one model at one server."""

from __future__ import annotations

from functools import partial

from podium.models.codec import BoundCodec

from .failure import ollama_error
from .reply import OllamaStream, decode_reply
from .request import DEFAULT, Dialect, encode_request


class OllamaCodec(BoundCodec):
    """The wire for `model` at `server`, as `dialect` asks it."""

    __slots__ = ()

    def __init__(self, model: str, server: str, dialect: Dialect = DEFAULT) -> None:
        super().__init__(
            model,
            server,
            encode=partial(encode_request, dialect=dialect),
            decode=decode_reply,
            stream=OllamaStream,
            error=ollama_error,
        )
