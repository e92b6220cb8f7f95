"""`OpenAIModel`: OpenAI, or any server that speaks Chat Completions, behind the Model port.

It knows OpenAI's addresses and keys; how a request is sent is `wire`'s, and what it says is a codec's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from podium.core.errors import AuthenticationFailed, ModelError
from podium.core.messages import ModelRequest, Reply
from podium.models import endpoint
from podium.models.endpoint import Address
from podium.models.errors import model_error
from podium.models.reading import Json
from podium.models.transport import HttpTransport, shown
from podium.models.wire import TIMEOUT, Codec, HttpModel, StreamDecoder

from .chat import ChatDialect, ChatStream, decode_reply, encode_request

OFFICIAL = "https://api.openai.com/v1"
LOCAL = "http://localhost:11434/v1"

# Servers known to want the newer name of the output limit; most compatible ones only know `max_tokens`.
_NEW_FIELD_HOSTS = ("api.openai.com", ".openai.azure.com", ".services.ai.azure.com")


class ChatCodec:
    """Chat Completions as a `wire.Codec`."""

    __slots__ = ("_dialect", "_model", "_server")

    def __init__(self, model: str, server: str, dialect: ChatDialect) -> None:
        self._model, self._server, self._dialect = model, server, dialect

    def encode(self, request: ModelRequest, *, stream: bool) -> Json:
        """See `chat_request.encode_request`."""
        return encode_request(request, self._model, stream=stream, dialect=self._dialect)

    def decode(self, body: bytes) -> Reply:
        """See `chat_reply.decode_reply`."""
        return decode_reply(body, model=self._model, server=self._server)

    def stream(self) -> StreamDecoder:
        """See `chat_reply.ChatStream`."""
        return ChatStream(model=self._model, server=self._server)

    def error(
        self, status: int, body: bytes, *, retry_after: float | None = None, secrets: Collection[str] = ()
    ) -> ModelError:
        """See `errors.model_error`."""
        return model_error(
            status, body, model=self._model, server=self._server, retry_after=retry_after, secrets=secrets
        )


class OpenAIModel(HttpModel):
    """A model behind Chat Completions. `.name` is `openai:NAME`.

    The key is `api_key`, else OPENAI_API_KEY or the file OPENAI_API_KEY_FILE names (looked up at each request; `""`
    means none); the address is `base_url`, else OPENAI_BASE_URL, else OpenAI's own. Only OpenAI's own needs a key. A
    key from the environment is not sent in the clear (`http:`) to another machine; one given as `api_key` is.

    `timeout` is in seconds for a whole request. `transport` shares connections between models; without it the model
    has its own, closed by `aclose()`. `max_tokens_field` names the field of the output limit: by default
    `max_completion_tokens` at OpenAI and Azure and `max_tokens` elsewhere. `stream_usage=False` is for servers that
    refuse `stream_options`; `echo_thinking=True` for those that want their reasoning back.

    Raises ConfigurationError for a base_url, key or header that cannot be used.
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
    ) -> None:
        super().__init__("openai", model, headers=headers, timeout=timeout, transport=transport)
        self._api_key = None if api_key is None else endpoint.sendable(api_key.strip(), "api_key")
        self._base_url = base_url
        if base_url is not None:
            endpoint.split(base_url, LOCAL)
        self._max_tokens_field = max_tokens_field
        self._stream_usage = stream_usage
        self._echo_thinking = echo_thinking

    def __repr__(self) -> str:
        return f"OpenAIModel({self._model!r}, base_url={shown(self._base_url) if self._base_url else None!r})"

    def _codec(self, server: str) -> Codec:
        field = self._max_tokens_field or _max_tokens_field(self._base())
        return ChatCodec(self._model, server, ChatDialect(field, self._stream_usage, self._echo_thinking))

    async def _address(self, *, stream: bool) -> Address:
        return self._at("/chat/completions")

    async def _listing(self) -> Address:
        return self._at("/models")

    def _base(self) -> str:
        return self._base_url or endpoint.environment("OPENAI_BASE_URL") or OFFICIAL

    def _at(self, path: str) -> Address:
        """An address under the base URL, with its credentials."""
        parts = endpoint.split(self._base(), LOCAL)
        base = parts.path.rstrip("/").removesuffix("/chat/completions")
        url = endpoint.joined(parts, base + path)
        key = endpoint.credential(self._api_key, "OPENAI_API_KEY")
        value = "" if endpoint.exposed(url) and not key.given else key.value
        if not value and not endpoint.CREDENTIAL_HEADERS & self._headers.keys() and _official(url):
            raise AuthenticationFailed(
                f"{self.name} needs a key: set OPENAI_API_KEY, or pass api_key=; for a local server pass base_url= "
                f'(--base-url {LOCAL}); or try the model "offline", which needs neither'
            )
        headers = {"authorization": f"Bearer {value}"} if value else {}
        return Address(url, headers, endpoint.secrets_in(url, self._headers, (value,)))


def _official(url: str) -> bool:
    return urlsplit(url).hostname == urlsplit(OFFICIAL).hostname


def _max_tokens_field(url: str) -> str:
    host = urlsplit(url).hostname or ""
    return "max_completion_tokens" if host.endswith(_NEW_FIELD_HOSTS) else "max_tokens"
