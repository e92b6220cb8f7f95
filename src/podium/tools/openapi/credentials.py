"""Credentials: the user's secrets, put where an operation's security asks for them.

They are given by the name of an environment variable, or by a function; a secret never stands in the code, the
document, an argument or a message. They are read for each request, so a rotated one is used at once, and everything
that comes back is searched for them.
"""

from __future__ import annotations

import base64
import inspect
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias, TypeVar, cast
from urllib.parse import quote

import msgspec

from podium.core.errors import ConfigurationError, NotDone
from podium.core.redaction import redact_text, spellings, without

from .document import Document, Unusable
from .operations import Operation

Credential: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""The name of an environment variable, or a function (async or not) that gives the secret."""

T = TypeVar("T")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z\[\]-]+")
_BREAK: Final = re.compile(r"[\x00-\x1f\x7f]")
SHORTEST: Final = 4
"""Secrets shorter than this are not searched for in what comes back: they would blot out ordinary text."""


class Carried(msgspec.Struct, kw_only=True):
    """What credentials add to one request, and what must not be seen of it."""

    headers: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    query: list[tuple[str, str]] = msgspec.field(default_factory=list[tuple[str, str]])
    cookies: list[tuple[str, str]] = msgspec.field(default_factory=list[tuple[str, str]])
    secrets: list[str] = msgspec.field(default_factory=list[str])

    def hide(self, value: T) -> T:
        """A text, or plain JSON, without these secrets."""
        longest_first = sorted({item for item in self.secrets if len(item) >= SHORTEST}, key=len, reverse=True)
        return without(longest_first, value)

    def one_line(self, text: str, limit: int) -> str:
        """Somebody else's words, fit for a message: one line, short, no secrets of ours and none that look so."""
        line = " ".join(redact_text(self.hide(text[: 64 * limit])).split())
        return line if len(line) <= limit else line[: limit - 1] + "…"


class Credentials:
    """What the user gave, by the document's names of the schemes.

    Raises ConfigurationError for a scheme the document does not have, or a credential that is no name and no function.
    """

    def __init__(self, document: Document, given: Mapping[str, Credential]) -> None:
        components = document.data.get("components")
        found: Any = cast("dict[str, Any]", components).get("securitySchemes") if isinstance(components, dict) else None
        self._schemes: dict[str, Any] = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        self._document = document
        self._given = dict(given)
        for name, credential in self._given.items():
            if name not in self._schemes:
                known = ", ".join(map(repr, list(self._schemes)[:20])) or "none"
                raise ConfigurationError(f"auth names {name!r}, which is no scheme of the document: it has {known}")
            _check(name, credential)

    def chosen(self, operation: Operation) -> tuple[str, ...]:
        """The schemes an operation will be called with: of its alternatives the first that all is given for.

        Raises Unusable when there is none.
        """
        for alternative in sorted(operation.security, key=lambda schemes: not schemes):
            if all(name in self._given for name in alternative):
                for name in alternative:
                    self._supported(name)
                return alternative
        wanted = " or ".join("+".join(map(repr, each)) for each in operation.security if each)
        raise Unusable(f"it needs credentials for {wanted}")

    def _supported(self, name: str) -> None:
        scheme = self._document.resolve(self._schemes[name])
        kind, form = scheme.get("type"), str(scheme.get("scheme", "")).lower()
        if kind == "apiKey":
            if scheme.get("in") not in ("header", "query", "cookie") or not _TOKEN.fullmatch(str(scheme.get("name"))):
                raise Unusable(f"its scheme {name!r} puts the key nowhere that can be sent")
        elif kind not in ("oauth2", "openIdConnect") and not (kind == "http" and form in ("basic", "bearer")):
            raise Unusable(f"its scheme {name!r} ({kind} {form}) is not supported: apiKey, basic, bearer, oauth2 are")

    async def carried(self, names: Iterable[str]) -> Carried:
        """What the schemes add to a request. Raises NotDone when a secret is missing: nothing was sent."""
        carried = Carried()
        for name in names:
            secret = await self._secret(name)
            scheme = self._document.resolve(self._schemes[name])
            kind, form = scheme.get("type"), str(scheme.get("scheme", "")).lower()
            carried.secrets += spellings(secret)
            if kind == "apiKey":
                _api_key(carried, scheme, secret)
            elif kind == "http" and form == "basic":
                encoded = base64.b64encode(secret.encode()).decode()
                carried.secrets += [encoded, secret.partition(":")[2]]
                carried.headers["Authorization"] = f"Basic {encoded}"
            else:  # bearer, OAuth 2 and OpenID Connect: `_supported` lets nothing else pass
                carried.headers["Authorization"] = f"Bearer {secret}"
        return carried

    async def _secret(self, name: str) -> str:
        given = self._given[name]
        if isinstance(given, str):
            secret = os.environ.get(given, "")
            missing = f"the environment variable {given} is not set"
        else:
            try:
                value = given()
                secret = await value if inspect.isawaitable(value) else value
            except Exception as error:  # noqa: BLE001 - whatever it is, its text may hold the secret
                raise NotDone(f"the credential for {name!r} could not be had ({type(error).__name__})") from None
            missing = "its function gave nothing"
        if not isinstance(cast("object", secret), str) or not secret:
            raise NotDone(f"no credential for {name!r}: {missing}")
        if _BREAK.search(secret):
            raise NotDone(
                f"the credential for {name!r} holds line breaks or control characters: check where it is kept"
            )
        return secret


def _check(name: str, credential: object) -> None:
    if callable(credential):
        return
    if not isinstance(credential, str) or not _VARIABLE.fullmatch(credential):
        raise ConfigurationError(
            f"auth[{name!r}] is the NAME of an environment variable, or a function that gives the secret; the secret "
            "itself does not belong here"
        )
    if not os.environ.get(credential):
        raise ConfigurationError(f"auth[{name!r}]: the environment variable {credential} is not set")


def _api_key(carried: Carried, scheme: dict[str, Any], secret: str) -> None:
    name, place = str(scheme.get("name", "")), scheme.get("in")
    if place == "header":
        carried.headers[name] = secret
    elif place == "query":
        carried.query.append((quote(name, safe=""), quote(secret, safe="")))
    else:
        carried.cookies.append((quote(name, safe=""), quote(secret, safe="")))
