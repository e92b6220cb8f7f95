"""`generateContent` as a `Codec`: one model at one server."""

from __future__ import annotations

from functools import partial

from podium.core.messages import ModelRequest
from podium.models.codec import BoundCodec
from podium.models.errors import Hints
from podium.models.reading import Json

from .failure import gemini_error
from .reply import GeminiStream, decode_reply
from .request import encode_request


class GeminiCodec(BoundCodec):
    """The wire of the Gemini API and of Vertex AI. `include_thoughts` is `encode_request`'s."""

    __slots__ = ()

    def __init__(self, model: str, server: str, hints: Hints, *, include_thoughts: bool | None = None) -> None:
        def encode(request: ModelRequest, model: str, *, stream: bool) -> Json:
            # A stream is asked for by its address; the body is the same.
            return encode_request(request, model, include_thoughts=include_thoughts)

        super().__init__(
            model,
            server,
            encode=encode,
            decode=partial(decode_reply, hints=hints),
            stream=partial(GeminiStream, hints=hints),
            error=partial(gemini_error, hints=hints),
        )
