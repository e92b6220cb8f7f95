"""A model behind HTTP: the one way a request is sent, whatever the provider.

A provider is an address (`endpoint`) and a `codec`, which is pure. `HttpModel` joins the two to the transport. It makes
one attempt: it does not retry, count money, or keep conversations; the runtime does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

import msgspec

from podium.core.errors import BadRequest, ConfigurationError, ModelError
from podium.core.messages import ModelRequest, Reply
from podium.ports import Emitter

from .codec import Codec, StreamDecoder
from .endpoint import Address, headers_of
from .pieces import emit_reply
from .reading import cut_off
from .transport import Answer, HttpTransport

TIMEOUT = 600.0
"""Seconds one request may take, unless the model or the request says otherwise."""


class HttpModel(ABC):
    """The base of every model behind HTTP. `.name` is `provider:model`.

    `timeout` is in seconds for a whole request; `headers` are added to every request and win; `transport` shares
    connections between models, and without it the model has its own, closed by `aclose()`.
    """

    stream_type = "text/event-stream"
    """The content type asked of a streamed answer."""

    def __init__(
        self,
        provider: str,
        model: str,
        *,
        headers: Mapping[str, str] | None,
        timeout: float | None,
        transport: HttpTransport | None,
    ) -> None:
        if not model.strip():
            raise ConfigurationError(f"a model of {provider} needs a name: {provider}:NAME")
        self.name = f"{provider}:{model}"
        self._model = model
        self._headers = headers_of(headers)
        self._timeout = timeout
        self._own = transport is None
        self._transport = transport or HttpTransport()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._model!r})"

    @abstractmethod
    async def _address(self, *, stream: bool) -> Address:
        """Where a request goes. Raises AuthenticationFailed, ConfigurationError."""
        ...

    @abstractmethod
    async def _listing(self) -> Address:
        """Where a GET lists models (or shows this one): what proves, at no cost, that the credentials work."""
        ...

    @abstractmethod
    def _codec(self, server: str) -> Codec:
        """The wire, for messages that name `server`."""
        ...

    async def request(self, request: ModelRequest, emit: Emitter | None = None) -> Reply:
        """Ask once. With `emit` the answer is streamed, and each piece handed on as it comes.

        Raises a ModelError; PermissionDenied while real calls are forbidden.
        """
        address = await self._addressed(stream=emit is not None)
        try:
            body = msgspec.json.encode(self._codec(self.name).encode(request, stream=emit is not None))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise BadRequest(f"the request is not JSON ({error}): correct settings.extra or a tool's schema") from None
        timeout = self._timeout if request.settings.timeout is None else request.settings.timeout
        accept = "application/json" if emit is None else f"{self.stream_type}, application/json"
        headers = {
            "content-type": "application/json",
            "accept": accept,
            "accept-encoding": "identity",
            "user-agent": "podium",
            **address.headers,
            **self._headers,
        }
        async with self._transport.post(
            address.url, body, headers=headers, timeout=timeout, secrets=address.secrets
        ) as answer:
            codec = self._codec(answer.where)
            if not answer.ok:
                raise codec.error(
                    answer.status, await answer.body(), retry_after=answer.retry_after, secrets=address.secrets
                )
            try:
                return await self._read(answer, codec, emit)
            except ModelError as error:  # an error inside an answer of status 200, in the server's own words
                raise _without(error, address.secrets) from None

    async def check(self, *, timeout: float = 10.0) -> str:
        """Ask the server something that costs nothing, and say what it answered: `podium doctor --online`.

        Raises a ModelError when it cannot be reached or does not accept the credentials.
        """
        try:
            address = await self._listing()
        except ConfigurationError as error:
            raise BadRequest(str(error)) from None
        headers = {"accept": "application/json", "user-agent": "podium", **address.headers, **self._headers}
        async with self._transport.get(
            address.url, headers=headers, timeout=timeout, secrets=address.secrets
        ) as answer:
            if not answer.ok:
                raise self._codec(answer.where).error(
                    answer.status, await answer.body(), retry_after=answer.retry_after, secrets=address.secrets
                )
            return f"{answer.where} answers HTTP {answer.status}"

    async def aclose(self) -> None:
        """Close the connections of the running loop, unless they are shared with other models."""
        if self._own:
            await self._transport.aclose()

    async def _addressed(self, *, stream: bool) -> Address:
        try:
            return await self._address(stream=stream)
        except ConfigurationError as error:
            # Found while a run is driven: the step fails with it, and the run goes on as its member sees fit.
            raise BadRequest(str(error)) from None

    async def _read(self, answer: Answer, codec: Codec, emit: Emitter | None) -> Reply:
        if emit is None:
            return codec.decode(await answer.body())
        if answer.content_type == "application/json" and self.stream_type != "application/json":
            reply = codec.decode(await answer.body())  # a server that does not stream
            emit_reply(reply, emit)
            return reply
        return await self._follow(answer, codec.stream(), emit)

    async def _follow(self, answer: Answer, stream: StreamDecoder, emit: Emitter) -> Reply:
        """Read a stream to its end, or to where it broke."""
        import httpx2

        def take(piece: bytes) -> None:
            for delta in stream.feed(piece):
                emit(delta)

        try:
            await answer.read(take)
        except (httpx2.HTTPError, httpx2.StreamError):
            if not stream.complete:  # else all of the answer has come, and the rest does not matter
                raise cut_off(self._model, answer.where, stream.text) from None
        return stream.finish()


def _without(error: ModelError, secrets: Collection[str]) -> ModelError:
    """The error with no secret in its words, whatever a server echoed."""
    words = [str(error), *(value for value in error.data.values() if isinstance(value, str))]
    if not any(secret in text for secret in secrets for text in words):
        return error

    def hidden(text: str) -> str:
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, "[redacted]")
        return text

    data = {name: hidden(value) if isinstance(value, str) else value for name, value in error.data.items()}
    return type(error)(hidden(str(error)), **data)
