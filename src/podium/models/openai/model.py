"""`OpenAIModel` and `OpenAIResponsesModel`: OpenAI, or any server that speaks one of its wires, behind the Model port.

It knows OpenAI's addresses and keys; how a request is sent is `wire`'s, and what it says is a codec's.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from podium.core.errors import AuthenticationFailed
from podium.models import endpoint
from podium.models.codec import Codec
from podium.models.endpoint import Address
from podium.models.transport import HttpTransport, shown
from podium.models.wire import TIMEOUT, HttpModel

from .chat import ChatDialect
from .codecs import ChatCodec, ResponsesCodec
from .responses import PROVIDER, ResponsesDialect

OFFICIAL = "https://api.openai.com/v1"
LOCAL = "http://localhost:11434/v1"

_AZURE = ".openai.azure.com"
# Servers known to want the newer name of the output limit; most compatible ones only know `max_tokens`.
_NEW_FIELD_HOSTS = (_AZURE, ".services.ai.azure.com")
_WIRES = ("/chat/completions", "/responses")


class OpenAIServer(HttpModel):
    """What the models of both wires share: where OpenAI or another server is, and what proves that one may ask it.

    The key is `api_key`, else OPENAI_API_KEY or the file OPENAI_API_KEY_FILE names (looked up at each request; `""`
    means none); the address is `base_url`, else OPENAI_BASE_URL, else OpenAI's own. Only OpenAI's own needs a key, and
    is told OPENAI_ORG_ID and OPENAI_PROJECT_ID. A key from the environment is not sent in the clear (`http:`) to
    another machine; one given as `api_key` is.

    Raises ConfigurationError for a base_url, key or header that cannot be used.
    """

    def __init__(
        self,
        provider: str,
        model: str,
        *,
        api_key: str | None,
        base_url: str | None,
        headers: Mapping[str, str] | None,
        timeout: float | None,
        transport: HttpTransport | None,
        cache_key: bool | None,
    ) -> None:
        super().__init__(provider, model, headers=headers, timeout=timeout, transport=transport)
        self._api_key = None if api_key is None else endpoint.sendable(api_key.strip(), "api_key")
        self._base_url = base_url
        if base_url is not None:
            endpoint.split(base_url, LOCAL)
        self._cache_key = cache_key

    def __repr__(self) -> str:
        url = shown(self._base_url) if self._base_url else None
        return f"{type(self).__name__}({self._model!r}, base_url={url!r})"

    async def _listing(self) -> Address:
        return self._at("/models")

    def _base(self) -> str:
        return self._base_url or endpoint.environment("OPENAI_BASE_URL") or OFFICIAL

    @property
    def server(self) -> str:
        """The address that is asked, when it is not OpenAI's own: its models are another's, and so are its prices."""
        base = self._base()
        return "" if _official(base) else base

    def _caches_by_key(self) -> bool:
        """Whether the server knows `prompt_cache_key`, as far as its address tells."""
        if self._cache_key is not None:
            return self._cache_key
        return _official(self._base()) or (urlsplit(self._base()).hostname or "").endswith(_AZURE)

    def _known_as(self) -> str:
        """The name by which the model's own limits are known; empty where it may mean another model."""
        return f"openai:{self._model}" if _official(self._base()) else ""

    def _at(self, path: str) -> Address:
        """An address under the base URL, with its credentials."""
        parts = endpoint.split(self._base(), LOCAL)
        base = parts.path.rstrip("/")
        for wire in _WIRES:  # the whole address is often pasted
            base = base.removesuffix(wire)
        url = endpoint.joined(parts, base + path)
        key = endpoint.credential(self._api_key, "OPENAI_API_KEY")
        value = "" if endpoint.exposed(url) and not key.given else key.value
        official = _official(url)
        if not value and not endpoint.CREDENTIAL_HEADERS & self._headers.keys() and official:
            raise AuthenticationFailed(
                f"{self.name} needs a key: set OPENAI_API_KEY, or pass api_key=; for a local server pass base_url= "
                f'(--base-url {LOCAL}); or try the model "offline", which needs neither'
            )
        headers = {"authorization": f"Bearer {value}"} if value else {}
        if official:
            for name, variable in (("organization", "OPENAI_ORG_ID"), ("project", "OPENAI_PROJECT_ID")):
                if given := endpoint.environment(variable):
                    headers[f"openai-{name}"] = endpoint.sendable(given, variable)
        return Address(url, headers, endpoint.secrets_in(url, self._headers, (value,)))


class OpenAIModel(OpenAIServer):
    """A model behind Chat Completions. `.name` is `openai:NAME`. Key and address: see `OpenAIServer`.

    `timeout` is in seconds for a whole request. `transport` shares connections between models; without it the model
    has its own, closed by `aclose()`. `max_tokens_field` names the field of the output limit: by default
    `max_completion_tokens` at OpenAI and Azure and `max_tokens` elsewhere. `stream_usage=False` is for servers that
    refuse `stream_options`; `echo_thinking=True` for those that want their reasoning back. `cache_key` says whether
    `prompt_cache_key` is sent: by default to OpenAI and Azure only.
    """

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = TIMEOUT,
        transport: HttpTransport | None = None,
        max_tokens_field: str | None = None,
        stream_usage: bool = True,
        echo_thinking: bool = False,
        cache_key: bool | None = None,
    ) -> None:
        super().__init__(
            "openai",
            model,
            api_key=api_key,
            base_url=base_url,
            headers=headers,
            timeout=timeout,
            transport=transport,
            cache_key=cache_key,
        )
        self._max_tokens_field = max_tokens_field
        self._stream_usage = stream_usage
        self._echo_thinking = echo_thinking

    def _codec(self, server: str) -> Codec:
        field = self._max_tokens_field or _max_tokens_field(self._base())
        dialect = ChatDialect(field, self._stream_usage, self._echo_thinking, self._caches_by_key(), self._known_as())
        return ChatCodec(self._model, server, dialect)

    async def _address(self, *, stream: bool) -> Address:
        return self._at("/chat/completions")


class OpenAIResponsesModel(OpenAIServer):
    """A model behind Responses. `.name` is `openai-responses:NAME`. Key and address: see `OpenAIServer`.

    `timeout`, `transport` and `cache_key` are those of `OpenAIModel`. Nothing is kept at the server unless
    `store=True`: reasoning is asked for in encrypted form and goes back with the next request
    (`encrypted_reasoning=False` is for models that refuse to give it; those known not to reason are not asked).
    `reasoning_summary` (`auto`, `concise`, `detailed`) asks for a readable summary of the reasoning, for which OpenAI
    may want the organization to be verified.
    """

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = TIMEOUT,
        transport: HttpTransport | None = None,
        store: bool = False,
        encrypted_reasoning: bool | None = None,
        reasoning_summary: str | None = None,
        cache_key: bool | None = None,
    ) -> None:
        super().__init__(
            PROVIDER,
            model,
            api_key=api_key,
            base_url=base_url,
            headers=headers,
            timeout=timeout,
            transport=transport,
            cache_key=cache_key,
        )
        self._dialect = ResponsesDialect(
            store=store, encrypted_reasoning=encrypted_reasoning, reasoning_summary=reasoning_summary
        )

    def _codec(self, server: str) -> Codec:
        dialect = msgspec.structs.replace(self._dialect, cache_key=self._caches_by_key(), known_as=self._known_as())
        return ResponsesCodec(self._model, server, dialect)

    async def _address(self, *, stream: bool) -> Address:
        return self._at("/responses")


def _official(url: str) -> bool:
    """Whether this is OpenAI itself, in any region (`eu.api.openai.com`)."""
    host = urlsplit(url).hostname or ""
    own = urlsplit(OFFICIAL).hostname or ""
    return host == own or host.endswith(f".{own}")


def _max_tokens_field(url: str) -> str:
    host = urlsplit(url).hostname or ""
    return "max_completion_tokens" if _official(url) or host.endswith(_NEW_FIELD_HOSTS) else "max_tokens"
