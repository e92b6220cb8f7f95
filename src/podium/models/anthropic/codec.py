"""The Messages API as a `Codec`: one model at one server."""

from __future__ import annotations

from functools import partial

from podium.models.codec import BoundCodec

from .failure import claude_error
from .reply import ClaudeStream, decode_reply
from .request import CURRENT, Dialect, encode_request


class ClaudeCodec(BoundCodec):
    """The wire, for messages that name `server`."""

    __slots__ = ()

    def __init__(self, model: str, server: str, dialect: Dialect = CURRENT) -> None:
        super().__init__(
            model,
            server,
            encode=partial(encode_request, dialect=dialect),
            decode=decode_reply,
            stream=ClaudeStream,
            error=claude_error,
        )
