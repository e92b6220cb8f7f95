"""`OpenAIModel`: OpenAI, or any server that speaks Chat Completions, behind the Model port.

It joins the codec (`openai_chat`) to the transport, and knows addresses and keys. It does not retry, count money or
keep conversations: the runtime does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import aclosing
from urllib.parse import urlsplit, urlunsplit

import msgspec

from podium.core.errors import (
    AuthenticationFailed,
    BadRequest,
    ConfigurationError,
    MalformedReply,
)
from podium.core.messages import ModelRequest, Reply
from podium.ports import Emitter

from .openai_chat import ChatDialect, ChatStream, decode_reply, encode_request
from .openai_errors import model_error
from .pieces import emit_reply
from .transport import Answer, HttpTransport, is_loopback, shown

OFFICIAL = "https://api.openai.com/v1"
TIMEOUT = 600.0
"""Seconds one request may take, unless the model or the request says otherwise."""

# Servers known to want the newer name of the output limit; most compatible ones only know `max_tokens`.
_NEW_FIELD_HOSTS = ("api.openai.com", ".openai.azure.com", ".services.ai.azure.com")


class OpenAIModel:
    """A model behind Chat Completions. `.name` is `openai:NAME`.

    The key is `api_key`, else OPENAI_API_KEY (looked up at each request; `""` means none); the address is `base_url`,
    else OPENAI_BASE_URL, else OpenAI's own. Only OpenAI's own needs a key. A key from the environment is not sent in
    the clear (`http:`) to another machine; one given as `api_key` is.

    `timeout` is in seconds for a whole request. `transport` shares connections between models; without it the model
    has its own, closed by `aclose()`. `max_tokens_field` names the field of the output limit: by default
    `max_completion_tokens` at OpenAI and Azure and `max_tokens` elsewhere. `stream_usage=False` is for servers that
    refuse `stream_options`; `echo_thinking=True` for those that want their reasoning back.

    Raises ConfigurationError for a base_url, key or header that cannot be used.
    """

    def __init__(
        self,
        name: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = TIMEOUT,
        transport: HttpTransport | None = None,
        max_tokens_field: str | None = None,
        stream_usage: bool = True,
        echo_thinking: bool = False,
    ) -> None:
        if not name.strip():
            raise ConfigurationError('a model of OpenAI needs a name: OpenAIModel("gpt-5.4-mini")')
        self.name = f"openai:{name}"
        self._model = name
        self._api_key = None if api_key is None else _sendable(api_key.strip(), "api_key")
        self._base_url = base_url
        if base_url is not None:
            _endpoint(base_url)
        self._headers = {key.lower(): _sendable(value, f"header {key}") for key, value in (headers or {}).items()}
        self._timeout = timeout
        self._own = transport is None
        self._transport = transport or HttpTransport()
        self._max_tokens_field = max_tokens_field
        self._stream_usage = stream_usage
        self._echo_thinking = echo_thinking

    def __repr__(self) -> str:
        return f"OpenAIModel({self._model!r}, base_url={shown(self._base_url) if self._base_url else None!r})"

    async def request(self, request: ModelRequest, emit: Emitter | None = None) -> Reply:
        """Ask once. With `emit` the answer is streamed, and each piece handed on as it comes.

        Raises a ModelError; PermissionDenied while real calls are forbidden.
        """
        url, secrets, headers = self._address()
        dialect = ChatDialect(self._max_tokens_field or _max_tokens_field(url), self._stream_usage, self._echo_thinking)
        try:
            body = msgspec.json.encode(encode_request(request, self._model, stream=emit is not None, dialect=dialect))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise BadRequest(f"the request is not JSON ({error}): correct settings.extra or a tool's schema") from None
        timeout = self._timeout if request.settings.timeout is None else request.settings.timeout
        headers["accept"] = "application/json" if emit is None else "text/event-stream, application/json"
        async with self._transport.post(
            url, body, headers={**headers, **self._headers}, timeout=timeout, secrets=secrets
        ) as answer:
            if not answer.ok:
                raise model_error(
                    answer.status,
                    await answer.body(),
                    model=self._model,
                    server=answer.where,
                    retry_after=answer.retry_after,
                    secrets=secrets,
                )
            if emit is None:
                return decode_reply(await answer.body(), model=self._model, server=answer.where)
            if answer.content_type == "application/json":  # a server that does not stream
                reply = decode_reply(await answer.body(), model=self._model, server=answer.where)
                emit_reply(reply, emit)
                return reply
            return await self._follow(answer, emit)

    async def aclose(self) -> None:
        """Close the connections of the running loop, unless they are shared with other models."""
        if self._own:
            await self._transport.aclose()

    async def _follow(self, answer: Answer, emit: Emitter) -> Reply:
        """Read a stream to its end, or to where it broke."""
        import httpx2

        stream = ChatStream(model=self._model, server=answer.where)
        try:
            async with aclosing(answer.chunks()) as chunks:
                async for chunk in chunks:
                    for delta in stream.feed(chunk):
                        emit(delta)
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            if not stream.complete:  # else all of the answer has come, and the rest does not matter
                raise MalformedReply(
                    f"{answer.where} broke off in the middle of an answer of {self._model!r} ({type(error).__name__}): "
                    "try again",
                    partial=stream.text,
                ) from None
        return stream.finish()

    def _address(self) -> tuple[str, list[str], dict[str, str]]:
        """The endpoint, what must never be shown, and the headers."""
        base = self._base_url or os.environ.get("OPENAI_BASE_URL", "").strip() or OFFICIAL
        try:
            url = _endpoint(base)
            key = self._api_key
            if key is None:
                key = _sendable(os.environ.get("OPENAI_API_KEY", "").strip(), "OPENAI_API_KEY")
                parts = urlsplit(url)
                if key and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
                    key = ""
        except ConfigurationError as error:
            raise BadRequest(str(error)) from None
        authorised = key or "authorization" in self._headers or "api-key" in self._headers
        if not authorised and urlsplit(url).hostname == urlsplit(OFFICIAL).hostname:
            raise AuthenticationFailed(
                f"{self.name} needs a key: set OPENAI_API_KEY, or pass api_key=; for a local server pass base_url= "
                '(--base-url http://localhost:11434/v1); or try the model "offline", which needs neither'
            )
        headers = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "podium"}
        if key:
            headers["authorization"] = f"Bearer {key}"
        values = [value.removeprefix("Bearer ") for value in self._headers.values() if len(value) >= 8]
        password = urlsplit(url).password
        return url, [secret for secret in (key, password, *values) if secret], headers


def _endpoint(base: str) -> str:
    """The address of chat completions under a base URL, whose query (Azure's `api-version`) is kept."""
    parts = urlsplit(base.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"base_url must begin with http:// or https:// and name a host, like http://localhost:11434/v1, "
            f"not {shown(base)!r}"
        )
    path = parts.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path += "/chat/completions"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def _max_tokens_field(url: str) -> str:
    host = urlsplit(url).hostname or ""
    return "max_completion_tokens" if host.endswith(_NEW_FIELD_HOSTS) else "max_tokens"


def _sendable(value: str, what: str) -> str:
    """`value` if HTTP can carry it in a header. The refusal does not repeat it: it may be a secret."""
    if value.isascii() and value.isprintable():
        return value
    raise ConfigurationError(f"{what} holds characters that cannot be sent in a header: check for line ends or quotes")
