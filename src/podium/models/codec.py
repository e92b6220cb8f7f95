"""What a provider's codec is: a request to a body, a body or a stream's bytes to a reply and deltas, a refusal to an
error of ours. Pure: it sends nothing and reads no clock.

A provider writes it as functions (and a class for its streams); `BoundCodec` is the one adapter around them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from podium.core.deltas import Delta
from podium.core.errors import ModelError
from podium.core.messages import ModelRequest, Reply

from .reading import Json


class StreamDecoder(Protocol):
    """A stream's bytes to deltas and, at the end, the reply: the same for any chunking of the same bytes."""

    @property
    def text(self) -> str:
        """The answer's text so far."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the server said that its answer is whole; what follows may be lost without harm."""
        ...

    def feed(self, chunk: bytes) -> list[Delta]:
        """The deltas completed by these bytes. Raises the error that an error in the stream means."""
        ...

    def finish(self) -> Reply:
        """The reply. Raises MalformedReply, with `data["partial"]`, when the stream was empty or cut off."""
        ...


class Codec(Protocol):
    """One provider's wire for one model at one server."""

    def encode(self, request: ModelRequest, *, stream: bool) -> Json:
        """The body that asks. Raises BadRequest for what the wire (or the model) cannot carry."""
        ...

    def decode(self, body: bytes) -> Reply:
        """The reply in a whole body of status 2xx. Raises a ModelError when there is none in it."""
        ...

    def stream(self) -> StreamDecoder:
        """A decoder for one streamed answer."""
        ...

    def error(
        self, status: int, body: bytes, *, retry_after: float | None = None, secrets: Collection[str] = ()
    ) -> ModelError:
        """What a refusal means. `retry_after` is in seconds."""
        ...


class Encode(Protocol):
    """What asks."""

    def __call__(self, request: ModelRequest, model: str, *, stream: bool) -> Json:
        """The body that asks `model`. Raises BadRequest."""
        ...


class Decode(Protocol):
    """What reads a whole answer."""

    def __call__(self, body: bytes, *, model: str, server: str) -> Reply:
        """The reply in a body; errors name `server`. Raises a ModelError."""
        ...


class Follow(Protocol):
    """What reads streams; a class does."""

    def __call__(self, *, model: str, server: str) -> StreamDecoder:
        """A decoder for one answer."""
        ...


class Refuse(Protocol):
    """What reads refusals."""

    def __call__(
        self,
        status: int,
        body: bytes,
        *,
        model: str,
        server: str,
        retry_after: float | None,
        secrets: Collection[str],
    ) -> ModelError:
        """What a refusal means. `retry_after` is in seconds."""
        ...


class BoundCodec:
    """A `Codec` of a provider's functions, bound to `model` and to the `server` that errors name."""

    __slots__ = ("_decode", "_encode", "_error", "_model", "_server", "_stream")

    def __init__(
        self, model: str, server: str, *, encode: Encode, decode: Decode, stream: Follow, error: Refuse
    ) -> None:
        self._model, self._server = model, server
        self._encode, self._decode, self._stream, self._error = encode, decode, stream, error

    def encode(self, request: ModelRequest, *, stream: bool) -> Json:
        """See `Codec.encode`."""
        return self._encode(request, self._model, stream=stream)

    def decode(self, body: bytes) -> Reply:
        """See `Codec.decode`."""
        return self._decode(body, model=self._model, server=self._server)

    def stream(self) -> StreamDecoder:
        """See `Codec.stream`."""
        return self._stream(model=self._model, server=self._server)

    def error(
        self, status: int, body: bytes, *, retry_after: float | None = None, secrets: Collection[str] = ()
    ) -> ModelError:
        """See `Codec.error`."""
        return self._error(
            status, body, model=self._model, server=self._server, retry_after=retry_after, secrets=secrets
        )
