"""`OllamaModel`: a model behind Ollama's own API, on this machine or another.

It knows where Ollama is and its key; how a request is sent is `wire`'s, and what it says is the codec's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from podium.core.errors import AuthenticationFailed, ConfigurationError, Overloaded
from podium.core.messages import ModelRequest, Reply
from podium.models import endpoint
from podium.models.codec import Codec
from podium.models.endpoint import Address
from podium.models.transport import HttpTransport, is_loopback
from podium.models.wire import TIMEOUT, HttpModel
from podium.ports import Emitter

from .addresses import CLOUD, base_of
from .codec import OllamaCodec
from .request import LEVELS, Dialect, Think


class OllamaModel(HttpModel):
    """A model behind Ollama. `.name` is `ollama:NAME`.

    The server is `host` (or `base_url`, which means the same), else OLLAMA_HOST in any of Ollama's own forms (`box`,
    `0.0.0.0:11434`, `https://box`), else http://127.0.0.1:11434. It needs no key; one for ollama.com, or for a proxy,
    is `api_key`, else OLLAMA_API_KEY, or the file OLLAMA_API_KEY_FILE names (looked up at each request; `""` means
    none). A key from the environment is not sent in the clear (`http:`) to another machine; one given as `api_key` is.

    `think` says whether the model thinks before it answers (True, False), or how hard (`low`, `medium`, `high`, `max`);
    None leaves it to the model, and a request's `reasoning_effort` goes before it. `keep_alive` is how long the model
    stays loaded: seconds, or a text such as `30m`; a negative one is for good. `options` are the server's own
    (https://docs.ollama.com/modelfile#parameter), above all `num_ctx`, the tokens of context the model is loaded with:
    a conversation that does not fit is ContextTooLong, or with `truncate=True` loses its oldest messages in silence.

    `timeout` is in seconds for a whole request, the loading of the model included. `transport` shares connections
    between models; without it the model has its own, closed by `aclose()`.

    Raises ConfigurationError for an address, key, header or option that cannot be used.
    """

    stream_type = "application/x-ndjson"

    def __init__(
        self,
        model_name: str,
        host: str | None = None,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = TIMEOUT,
        transport: HttpTransport | None = None,
        think: Think | None = None,
        keep_alive: float | str | None = None,
        truncate: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__("ollama", model_name, headers=headers, timeout=timeout, transport=transport)
        if host is not None and base_url is not None and base_of(host) != base_of(base_url):
            raise ConfigurationError("host and base_url name two servers: leave one of them out")
        self._host = base_url if host is None else host
        if self._host is not None:
            base_of(self._host)
        self._api_key = None if api_key is None else endpoint.sendable(api_key.strip(), "api_key")
        if think is not None and not isinstance(think, bool) and think not in LEVELS:
            raise ConfigurationError(f"think must be True, False or one of {', '.join(LEVELS)}, not {think!r}")
        self._dialect = Dialect(think, keep_alive, truncate, dict(options or {}))

    def __repr__(self) -> str:
        return f"OllamaModel({self._model!r}, host={None if self._host is None else self._shown()!r})"

    async def request(self, request: ModelRequest, emit: Emitter | None = None) -> Reply:
        """Ask once; see `HttpModel.request`."""
        try:
            return await super().request(request, emit)
        except Overloaded as error:
            raise self._not_running(error) from None

    async def check(self, *, timeout: float = 10.0) -> str:
        """See `HttpModel.check`."""
        try:
            return await super().check(timeout=timeout)
        except Overloaded as error:
            raise self._not_running(error) from None

    def _codec(self, server: str) -> Codec:
        return OllamaCodec(self._model, server, self._dialect)

    async def _address(self, *, stream: bool) -> Address:
        return self._at("/api/chat")

    async def _listing(self) -> Address:
        return self._at("/api/tags")

    def _at(self, path: str) -> Address:
        """An address of the server, with its credentials."""
        parts = base_of(self._host if self._host is not None else endpoint.environment("OLLAMA_HOST"))
        url = endpoint.joined(parts, parts.path + path)
        key = endpoint.credential(self._api_key, "OLLAMA_API_KEY")
        value = "" if endpoint.exposed(url) and not key.given else key.value
        if not value and not endpoint.CREDENTIAL_HEADERS & self._headers.keys() and parts.hostname == CLOUD:
            raise AuthenticationFailed(
                f"{self.name} at {CLOUD} needs a key: set OLLAMA_API_KEY, or pass api_key= "
                "(https://ollama.com/settings/keys makes one); or use a server of your own, which needs none"
            )
        headers = {"authorization": f"Bearer {value}"} if value else {}
        return Address(url, headers, endpoint.secrets_in(url, self._headers, (value,)))

    def _shown(self) -> str:
        parts = base_of(self._host or "")
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def _not_running(self, error: Overloaded) -> Overloaded:
        """`error`, with what to do when nothing listens at the address."""
        if not str(error).startswith("cannot connect to"):
            return error
        local = is_loopback(urlsplit(self._at("").url).hostname or "")
        advice = (
            "start Ollama with `ollama serve`, or open its app"
            if local
            else "start Ollama there, with OLLAMA_HOST=0.0.0.0 so that it answers other machines"
        )
        return Overloaded(f"{error}; {advice}", **error.data)
