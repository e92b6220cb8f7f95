"""`ClaudeModel`: Anthropic's models, or any server that speaks the Messages API, behind the Model port.

It knows Anthropic's address, versions and keys; how a request is sent is `wire`'s, and what it says is the codec's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from podium.core.errors import AuthenticationFailed, ConfigurationError
from podium.models import endpoint
from podium.models.codec import Codec
from podium.models.endpoint import Address
from podium.models.transport import HttpTransport, shown
from podium.models.wire import TIMEOUT, HttpModel

from .codec import ClaudeCodec
from .request import VERSION, Dialect

OFFICIAL = "https://api.anthropic.com"
_PATHS = ("/messages", "/v1")
"""What people paste behind the address; it is added again."""


class ClaudeModel(HttpModel):
    """A model behind Anthropic's Messages API. `.name` is `anthropic:NAME`.

    The key is `api_key`, else ANTHROPIC_API_KEY, else ANTHROPIC_AUTH_TOKEN, or the file that one of these names with
    `_FILE` behind it (looked up at each request; `""` means none). It goes out as `Authorization: Bearer`;
    `auth="x-api-key"` is for proxies that read only that header (a token of ANTHROPIC_AUTH_TOKEN stays a bearer's). The
    address is `base_url`, else ANTHROPIC_BASE_URL, else Anthropic's own, which alone needs a key. A key from the
    environment is not sent in the clear (`http:`) to another machine; one given as `api_key` is.

    `version` is the `anthropic-version`; with `2023-06-01` models up to 4.6 take temperature and top_p.
    `show_thinking=True` asks for readable summaries of the model's thinking, which newer models leave out by default;
    `False` leaves them out. `strict_tools=True` has arguments held to the schemas of tools that the provider can
    compile (few and small ones: it refuses a request whose schemas are too large together). `eager_input=True` streams
    arguments while they are written; what is no JSON in the end comes back as an invalid call.

    `timeout` is in seconds for a whole request. `transport` shares connections between models; without it the model
    has its own, closed by `aclose()`.

    Raises ConfigurationError for a base_url, key, header or option that cannot be used.
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
        version: str = VERSION,
        auth: Literal["bearer", "x-api-key"] = "bearer",
        show_thinking: bool | None = None,
        strict_tools: bool = False,
        eager_input: bool = False,
    ) -> None:
        super().__init__("anthropic", model, headers=headers, timeout=timeout, transport=transport)
        self._api_key = None if api_key is None else endpoint.sendable(api_key.strip(), "api_key")
        self._base_url = base_url
        if base_url is not None:
            endpoint.split(base_url, OFFICIAL)
        if auth not in ("bearer", "x-api-key"):
            raise ConfigurationError(f'auth must be "bearer" or "x-api-key", not {auth!r}')
        self._auth = auth
        # A version among the headers is the one that is sent, so the body is written for it too.
        self._version = self._headers.get("anthropic-version") or endpoint.sendable(version, "version")
        self._dialect = Dialect(self._version, show_thinking, strict_tools, eager_input)

    def __repr__(self) -> str:
        return f"ClaudeModel({self._model!r}, base_url={shown(self._base_url) if self._base_url else None!r})"

    def _codec(self, server: str) -> Codec:
        return ClaudeCodec(self._model, server, self._dialect)

    async def _address(self, *, stream: bool) -> Address:
        return self._at("/v1/messages")

    async def _listing(self) -> Address:
        return self._at("/v1/models")

    def _at(self, path: str) -> Address:
        """An address under the base URL, with its credentials."""
        base = self._base_url or endpoint.environment("ANTHROPIC_BASE_URL") or OFFICIAL
        parts = endpoint.split(base, OFFICIAL)
        under = parts.path.rstrip("/")
        for pasted in _PATHS:
            under = under.removesuffix(pasted)
        url = endpoint.joined(parts, under + path)
        name, value = self._credential(url)
        if not value and not endpoint.CREDENTIAL_HEADERS & self._headers.keys() and _official(url):
            raise AuthenticationFailed(
                f"{self.name} needs a key: set ANTHROPIC_API_KEY, or pass api_key= "
                "(https://platform.claude.com/settings/keys makes one); "
                'or try the model "offline", which needs none'
            )
        headers = {"anthropic-version": self._version}
        if value:
            headers[name] = value if name == "x-api-key" else f"Bearer {value}"
        return Address(url, headers, endpoint.secrets_in(url, self._headers, (value,)))

    def _credential(self, url: str) -> tuple[str, str]:
        """The header that proves who asks, and the credential it holds; an empty one when there is none to send."""
        header = "x-api-key" if self._auth == "x-api-key" else "authorization"
        key = endpoint.credential(self._api_key, "ANTHROPIC_API_KEY")
        if not key.value and not key.given:
            key, header = endpoint.credential(None, "ANTHROPIC_AUTH_TOKEN"), "authorization"
        return header, "" if endpoint.exposed(url) and not key.given else key.value


def _official(url: str) -> bool:
    return urlsplit(url).hostname == urlsplit(OFFICIAL).hostname
