"""`VertexModel`: Google's models on Vertex AI, in a Google Cloud project.

The wire is the Gemini API's; addresses and credentials are Google Cloud's. It knows those; where a token comes from
when nobody gave one is `credentials`'.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from podium.core.errors import AuthenticationFailed, ConfigurationError, StepFailed
from podium.models import endpoint
from podium.models.codec import Codec
from podium.models.endpoint import Address
from podium.models.transport import HttpTransport, shown
from podium.models.wire import TIMEOUT, HttpModel

from .addresses import is_google, method, model_path, under, version_of
from .codec import GeminiCodec
from .credentials import DefaultCredentials, Grant
from .failure import VERTEX

EXAMPLE = "https://us-central1-aiplatform.googleapis.com"
Token: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""An access token, or a function that gives one for each request (and keeps it itself for as long as it is good)."""

_MULTI_REGIONS = frozenset({"us", "eu"})


class VertexModel(HttpModel):
    """A model on Vertex AI. `.name` is `vertex:NAME`.

    NAME is a model of Google's, `PUBLISHER/NAME`, or the full name of an endpoint (`projects/…/endpoints/…`).
    `project` is by default GOOGLE_CLOUD_PROJECT, else that of the default credentials; `location` is
    GOOGLE_CLOUD_LOCATION, else `global`.

    Credentials are the first of: `token` (a text, or a function, plain or async, that is called for each request),
    GOOGLE_VERTEX_ACCESS_TOKEN or the file GOOGLE_VERTEX_ACCESS_TOKEN_FILE names, and Google's application default
    credentials, which need the extra `vertex` and are only ever sent to Google. With `api_key` and no `project` the
    request goes to express mode, which belongs to a key and not to a project.

    The address is `base_url`, else GOOGLE_VERTEX_BASE_URL, else Google's for the location. `api_version` is by default
    GOOGLE_GENAI_API_VERSION, else `v1beta1`; a base_url that ends in a version decides it. `include_thoughts`,
    `timeout`, `headers` and `transport` are those of `GeminiModel`.

    Raises ConfigurationError for a name, project, location, base_url, version or credential that cannot be used.
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
        project: str | None = None,
        location: str | None = None,
        token: Token | None = None,
        api_version: str | None = None,
        include_thoughts: bool | None = None,
    ) -> None:
        super().__init__("vertex", model, headers=headers, timeout=timeout, transport=transport)
        self._path = _path(model.strip())
        if api_key is not None and token is not None:
            raise ConfigurationError(f"{self.name}: pass api_key (express mode) or token, not both")
        self._api_key = endpoint.sendable(api_key.strip(), "api_key") if api_key else ""
        self._token = endpoint.sendable(token.strip(), "token") if isinstance(token, str) else token
        self._base_url = base_url
        if base_url is not None:
            endpoint.split(base_url, EXAMPLE)
        self._project = None if project is None else _segment(project, "project")
        self._location = None if location is None else _segment(location, "location")
        self._api_version = None if api_version is None else version_of(api_version, "v1beta1")
        self._include_thoughts = include_thoughts
        self._default = DefaultCredentials()

    def __repr__(self) -> str:
        return f"VertexModel({self._model!r}, base_url={shown(self._base_url) if self._base_url else None!r})"

    def _codec(self, server: str) -> Codec:
        return GeminiCodec(self._model, server, VERTEX, include_thoughts=self._include_thoughts)

    async def _address(self, *, stream: bool) -> Address:
        grant = await self._grant()
        path = self._path
        if not path.startswith("projects/") and not self._express:
            path = f"projects/{self._project_of(grant)}/locations/{self._place()}/{path}"
        return self._at(path + method(stream=stream), grant)

    async def _listing(self) -> Address:
        grant = await self._grant()
        path = self._path
        if path.startswith(("models/", "endpoints/")):
            path = f"projects/{self._project_of(grant)}/locations/{self._place()}/{path}"
        return self._at(path, grant)

    @property
    def _express(self) -> bool:
        return bool(self._api_key) and self._project is None

    def _place(self) -> str:
        return self._location or _segment(endpoint.environment("GOOGLE_CLOUD_LOCATION") or "global", "location")

    def _project_of(self, grant: Grant) -> str:
        found = self._project or endpoint.environment("GOOGLE_CLOUD_PROJECT") or grant.project
        if not found:
            raise ConfigurationError(f"{self.name} needs a project: set GOOGLE_CLOUD_PROJECT, or pass project=")
        return _segment(found, "project")

    def _base(self) -> str:
        given = self._base_url or endpoint.environment("GOOGLE_VERTEX_BASE_URL")
        if given:
            return given
        place = "global" if self._express and self._location is None else self._place()
        if place == "global":
            return "https://aiplatform.googleapis.com"
        if place in _MULTI_REGIONS:
            return f"https://aiplatform.{place}.rep.googleapis.com"
        return f"https://{place}-aiplatform.googleapis.com"

    def _at(self, path: str, grant: Grant) -> Address:
        """An address under the base URL, with its credentials."""
        named = endpoint.environment("GOOGLE_GENAI_API_VERSION")
        version = self._api_version or (version_of(named, "v1beta1") if named else "v1beta1")
        url = under(endpoint.split(self._base(), EXAMPLE), version, path)
        headers: dict[str, str] = {}
        if self._api_key:
            headers["x-goog-api-key"] = self._api_key
        elif grant.token and (grant.given or not endpoint.exposed(url)):
            headers["authorization"] = f"Bearer {grant.token}"
        if grant.quota_project:
            headers["x-goog-user-project"] = grant.quota_project
        return Address(url, headers, endpoint.secrets_in(url, self._headers, (self._api_key, grant.token)))

    async def _grant(self) -> Grant:
        """What proves that the request may be made. Raises AuthenticationFailed, Overloaded, ConfigurationError."""
        if self._api_key:
            return Grant("", given=True)
        if isinstance(self._token, str):
            return Grant(self._token, given=True)
        if self._token is not None:
            return Grant(await self._called(self._token), given=True)
        key = endpoint.credential(None, "GOOGLE_VERTEX_ACCESS_TOKEN")
        if key.value:
            return Grant(key.value)
        if endpoint.CREDENTIAL_HEADERS & self._headers.keys() or not is_google(self._base()):
            return Grant("")
        return await self._default.grant(self.name)

    async def _called(self, token: Callable[[], str | Awaitable[str]]) -> str:
        try:
            # In a thread, as a plain function may well ask a server.
            value = token() if inspect.iscoroutinefunction(token) else await asyncio.to_thread(token)
            found: object = await value if inspect.isawaitable(value) else value
        except StepFailed:
            raise
        except Exception as error:  # noqa: BLE001  (whatever a person's own function raises, there is no token)
            # Without its words, which may hold the very token.
            raise AuthenticationFailed(
                f"token= of {self.name} raised {type(error).__name__}: correct the function"
            ) from None
        if not isinstance(found, str) or not found.strip():
            raise AuthenticationFailed(f"token= of {self.name} gave no text: return an access token")
        return endpoint.sendable(found.strip(), "token")


def _path(model: str) -> str:
    known = ("projects/", "publishers/", "models/", "endpoints/")
    if "/" in model and not model.startswith(known):  # PUBLISHER/NAME
        return model_path(model.replace("/", "/models/", 1), "publishers/", known)
    return model_path(model, "publishers/google/models/", known)


def _segment(value: str, what: str) -> str:
    """A project or location, which becomes part of an address: it must not lead to another host or path."""
    value = value.strip()
    if not re.fullmatch(r"[a-z0-9-]+" if what == "location" else r"[A-Za-z0-9][A-Za-z0-9.:_-]*", value):
        like = "us-central1 or global" if what == "location" else "my-project-123"
        raise ConfigurationError(f"{value!r} is no {what} of Google Cloud: write it like {like}")
    return value
