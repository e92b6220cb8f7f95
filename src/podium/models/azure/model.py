"""`AzureOpenAIModel`: a deployment of Azure OpenAI behind the Model port.

It knows Azure's credentials and which wire is spoken; the addresses are `addresses`', tokens are `tokens`', and what is
sent and read is `models.openai`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from podium.core.errors import AuthenticationFailed, ConfigurationError
from podium.models import endpoint as endpoints
from podium.models.codec import Codec
from podium.models.endpoint import Address
from podium.models.errors import Hints
from podium.models.openai.chat import ChatDialect
from podium.models.openai.codecs import ChatCodec, ResponsesCodec
from podium.models.openai.responses import ResponsesDialect
from podium.models.transport import HttpTransport, is_loopback, shown
from podium.models.wire import TIMEOUT, HttpModel

from .addresses import EXAMPLE, Call, Place, place
from .tokens import SCOPE, Credential, Tokens

PROVIDER = "azure"
"""The provider named in the reasoning of Azure's Responses: OpenAI itself could not decrypt it."""
_HINTS = Hints(
    key="AZURE_OPENAI_API_KEY (or api_key=, credential=)",
    wire="Azure OpenAI",
    address="endpoint and api_version: the name after azure: is that of the deployment",
)


class AzureOpenAIModel(HttpModel):
    """A deployment of Azure OpenAI. `.name` is `azure:DEPLOYMENT`.

    The resource is `endpoint` (or `base_url`, which means the same), else AZURE_OPENAI_ENDPOINT:
    `https://RESOURCE.openai.azure.com`, or any address of the resource as the portal shows it. Without an API version
    (`api_version`, the endpoint's own, or OPENAI_API_VERSION) the `v1` surface is used, with a date the dated one.
    `api` is the wire: `chat` or `responses`.

    Credentials, the first that is there: `api_key`; `credential` (of `azure-identity`, or anything with its
    `get_token`, or a function that gives a token, each sync or async); AZURE_OPENAI_AD_TOKEN; AZURE_OPENAI_API_KEY; and
    else `azure-identity`'s default, such as a managed identity (extra `azure`). The variables may also be files:
    AZURE_OPENAI_API_KEY_FILE. `scope` is what tokens are asked for; other clouds have their own. A server on loopback
    needs none.

    The other options are those of `OpenAIModel` and `OpenAIResponsesModel`; `cache_key` is on for the `v1` surface.

    Raises ConfigurationError for an endpoint, key, header or option that cannot be used.
    """

    def __init__(
        self,
        deployment: str,
        *,
        endpoint: str | None = None,
        api_key: str | None = None,
        api_version: str | None = None,
        credential: Credential | None = None,
        api: Literal["chat", "responses"] = "chat",
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = TIMEOUT,
        transport: HttpTransport | None = None,
        scope: str = SCOPE,
        max_tokens_field: str = "max_completion_tokens",
        stream_usage: bool = True,
        echo_thinking: bool = False,
        store: bool = False,
        encrypted_reasoning: bool | None = None,
        reasoning_summary: str | None = None,
        cache_key: bool | None = None,
    ) -> None:
        super().__init__(PROVIDER, deployment, headers=headers, timeout=timeout, transport=transport)
        if api not in ("chat", "responses"):
            raise ConfigurationError(f"api must be 'chat' or 'responses', not {api!r}")
        if endpoint is not None and base_url is not None:
            raise ConfigurationError("endpoint and base_url mean the same: give one of them")
        if api_key is not None and credential is not None:
            raise ConfigurationError("api_key and credential are two ways to sign in: give one of them")
        self._endpoint = endpoint if endpoint is not None else base_url
        self._api_key = _stripped(api_key)
        self._version = api_version
        self._api: Literal["chat", "responses"] = api
        self._signs_in = credential is not None
        self._tokens = Tokens(credential, scope=scope, who=self.name)
        self._cache_key = cache_key
        self._chat = ChatDialect(max_tokens_field, stream_usage, echo_thinking)
        self._responses = ResponsesDialect(PROVIDER, store, encrypted_reasoning, reasoning_summary)
        if self._endpoint is not None:
            self._place()

    def __repr__(self) -> str:
        return f"AzureOpenAIModel({self._model!r}, endpoint={shown(self._endpoint) if self._endpoint else None!r})"

    def _codec(self, server: str) -> Codec:
        cached = not self._place().dated if self._cache_key is None else self._cache_key
        if self._api == "chat":
            return ChatCodec(self._model, server, msgspec.structs.replace(self._chat, cache_key=cached), _HINTS)
        dialect = msgspec.structs.replace(self._responses, cache_key=cached)
        return ResponsesCodec(self._model, server, dialect, _HINTS)

    async def _address(self, *, stream: bool) -> Address:
        return await self._at(self._api)

    async def _listing(self) -> Address:
        return await self._at("models")

    async def aclose(self) -> None:
        """Close the connections of the running loop, unless they are shared, and a credential made here."""
        await super().aclose()
        await self._tokens.aclose()

    def _place(self) -> Place:
        given = self._endpoint if self._endpoint is not None else endpoints.environment("AZURE_OPENAI_ENDPOINT")
        if not given:
            raise ConfigurationError(
                f"{self.name} needs the endpoint of its resource: set AZURE_OPENAI_ENDPOINT, or pass endpoint={EXAMPLE}"
            )
        return place(given, self._model, self._version, endpoints.environment("OPENAI_API_VERSION"))

    async def _at(self, call: Call) -> Address:
        url = self._place().url(call, self._model)
        headers = await self._signed(url)
        secrets = [value.removeprefix("Bearer ") for value in headers.values()]
        return Address(url, headers, endpoints.secrets_in(url, self._headers, secrets))

    async def _signed(self, url: str) -> dict[str, str]:
        """The header that proves who asks."""
        if endpoints.CREDENTIAL_HEADERS & self._headers.keys():
            return {}
        if self._api_key is not None:
            return {"api-key": self._api_key} if self._api_key else {}
        if endpoints.exposed(url):
            raise AuthenticationFailed(
                f"{self.name}: nothing that proves who asks is sent over http to another machine: use https, or pass "
                "api_key="
            )
        if not self._signs_in:
            # In this order, as Azure's own client reads them.
            if token := endpoints.credential(None, "AZURE_OPENAI_AD_TOKEN").value:
                return {"authorization": f"Bearer {token}"}
            if key := endpoints.credential(None, "AZURE_OPENAI_API_KEY").value:
                return {"api-key": key}
            if is_loopback(urlsplit(url).hostname or ""):
                return {}
        return {"authorization": f"Bearer {await self._tokens.get()}"}


def _stripped(api_key: str | None) -> str | None:
    return None if api_key is None else endpoints.sendable(api_key.strip(), "api_key")
