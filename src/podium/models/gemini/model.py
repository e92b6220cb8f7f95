"""`GeminiModel`: Google's models behind the Gemini API, which is asked with a key.

It knows that API's addresses, versions and keys; how a request is sent is `wire`'s, and what it says is the codec's.
"""

from __future__ import annotations

from collections.abc import Mapping

from podium.core.errors import AuthenticationFailed
from podium.models import endpoint
from podium.models.codec import Codec
from podium.models.endpoint import Address
from podium.models.transport import HttpTransport, shown
from podium.models.wire import TIMEOUT, HttpModel

from .addresses import is_google, method, model_path, under, version_of
from .codec import GeminiCodec
from .failure import GEMINI

OFFICIAL = "https://generativelanguage.googleapis.com"


class GeminiModel(HttpModel):
    """A model behind the Gemini API. `.name` is `gemini:NAME`.

    The key is `api_key`, else GEMINI_API_KEY, else GOOGLE_API_KEY, or the file that GEMINI_API_KEY_FILE or
    GOOGLE_API_KEY_FILE names (looked up at each request; `""` means none). The address is `base_url`, else
    GOOGLE_GEMINI_BASE_URL, else Google's own, which alone needs a key. A key from the environment is not sent in the
    clear (`http:`) to another machine; one given as `api_key` is.

    `api_version` is `v1` or `v1beta`: by default GOOGLE_GENAI_API_VERSION, else `v1`, but `v1beta` for names ending in
    `-latest`, which exist only there. A base_url that ends in a version decides it. `include_thoughts` asks for
    summaries of the model's thinking; by default they come when `reasoning_effort` is set.

    `timeout` is in seconds for a whole request. `transport` shares connections between models; without it the model
    has its own, closed by `aclose()`.

    Prompts are cached by the provider on its own, so `prompt_cache` changes nothing. To use an explicit cache, name it
    in `Settings(extra={"cachedContent": "cachedContents/…"})`; it then stands for the instructions and the tools.

    Raises ConfigurationError for a name, base_url, version, key or header that cannot be used.
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
        api_version: str | None = None,
        include_thoughts: bool | None = None,
    ) -> None:
        super().__init__("gemini", model, headers=headers, timeout=timeout, transport=transport)
        self._path = model_path(model, "models/", ("models/", "tunedModels/"))
        self._api_key = None if api_key is None else endpoint.sendable(api_key.strip(), "api_key")
        self._base_url = base_url
        if base_url is not None:
            endpoint.split(base_url, OFFICIAL)
        self._api_version = None if api_version is None else version_of(api_version, "v1beta")
        self._include_thoughts = include_thoughts

    def __repr__(self) -> str:
        return f"GeminiModel({self._model!r}, base_url={shown(self._base_url) if self._base_url else None!r})"

    def _codec(self, server: str) -> Codec:
        return GeminiCodec(self._model, server, GEMINI, include_thoughts=self._include_thoughts)

    async def _address(self, *, stream: bool) -> Address:
        return self._at(self._path + method(stream=stream))

    async def _listing(self) -> Address:
        return self._at(self._path)

    def _at(self, path: str) -> Address:
        """An address under the base URL, with its credentials."""
        base = self._base_url or endpoint.environment("GOOGLE_GEMINI_BASE_URL") or OFFICIAL
        url = under(endpoint.split(base, OFFICIAL), self._version(), path)
        key = endpoint.credential(self._api_key, "GEMINI_API_KEY", "GOOGLE_API_KEY")
        value = "" if endpoint.exposed(url) and not key.given else key.value
        if not value and not endpoint.CREDENTIAL_HEADERS & self._headers.keys() and is_google(url):
            raise AuthenticationFailed(
                f"{self.name} needs a key: set GEMINI_API_KEY, or pass api_key= (https://aistudio.google.com/apikey "
                'makes one); or try the model "offline", which needs none'
            )
        headers = {"x-goog-api-key": value} if value else {}
        return Address(url, headers, endpoint.secrets_in(url, self._headers, (value,)))

    def _version(self) -> str:
        named = endpoint.environment("GOOGLE_GENAI_API_VERSION")
        fallback = "v1beta" if self._model.endswith("-latest") else "v1"
        return self._api_version or (version_of(named, "v1beta") if named else fallback)
