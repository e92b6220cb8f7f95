"""Where an Azure resource serves its models: endpoint, surface and API version to addresses. Pure.

There are two surfaces: `v1` (`/openai/v1/…`, the deployment named in the body) and the dated one
(`/openai/deployments/NAME/…?api-version=DATE`). What people paste from the portal is understood: an endpoint may be
the resource alone, or the whole address of a call. The rules:
https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlunsplit

import msgspec

from podium.core.errors import ConfigurationError
from podium.models import endpoint

Call: TypeAlias = Literal["chat", "responses", "models"]

EXAMPLE = "https://RESOURCE.openai.azure.com"
V1 = ("v1", "preview", "latest")
"""API versions that mean the `v1` surface; the latter two are also said in the query."""
_PATHS: dict[Call, str] = {"chat": "/chat/completions", "responses": "/responses", "models": "/models"}
_PASTED = re.compile(r"(?P<prefix>.*?)(?:/openai(?:/(?P<rest>.*))?)?")
_VERSION = "api-version"


class Place(msgspec.Struct, frozen=True):
    """A resource (or a gateway before it) and how it is spoken to."""

    parts: SplitResult
    prefix: str
    """The path before `/openai`."""
    version: str
    """An API version: a date, or one of `V1`."""
    query: tuple[tuple[str, str], ...]

    @property
    def dated(self) -> bool:
        """Whether this is the dated surface."""
        return self.version not in V1

    def url(self, call: Call, deployment: str) -> str:
        """The address of a call."""
        path = _PATHS[call]
        if not self.dated:
            path = f"/v1{path}"
        elif call == "chat":
            path = f"/deployments/{quote(deployment, safe='')}{path}"
        query = list(self.query)
        if self.version != "v1":
            query.append((_VERSION, self.version))
        parts = self.parts
        return urlunsplit((parts.scheme, parts.netloc, f"{self.prefix}/openai{path}", urlencode(query), ""))


def place(given: str, deployment: str, version: str | None, default: str) -> Place:
    """What an endpoint means for `deployment`.

    `version` is a chosen API version; without one that of the endpoint's query counts, then `v1` if the endpoint says
    so, then `default`. Raises ConfigurationError for what is no address, or names another deployment.
    """
    parts = endpoint.split(given, EXAMPLE)
    found = _PASTED.fullmatch(parts.path.rstrip("/"))
    prefix, rest = (found["prefix"], found["rest"] or "") if found else ("", "")
    if pasted := re.match(r"deployments/([^/]+)", rest):
        other = unquote(pasted[1])
        if other != deployment:
            raise ConfigurationError(
                f"the endpoint is that of the deployment {other!r}, and the model is azure:{deployment}: "
                f"write azure:{other}, or shorten the endpoint to {EXAMPLE}"
            )
    query = dict(parse_qsl(parts.query))
    said = query.pop(_VERSION, "")
    chosen = version or said or ("v1" if re.match(r"v1(?:/|$)", rest) else default) or "v1"
    return Place(parts, prefix, chosen, tuple(query.items()))
