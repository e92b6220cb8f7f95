"""Where a model's requests go and what proves that they may: addresses, headers and credentials.

Credentials come from an argument, the environment (`NAME`), or a file that the environment names (`NAME_FILE`, as
container secrets are mounted). They are read at each request, so a rotated secret needs no restart, and they are listed
as secrets beside every address, so that no error repeats them. This module sends nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import SplitResult, urlsplit, urlunsplit

import msgspec

from podium.core.errors import AuthenticationFailed, ConfigurationError

from .transport import is_loopback, shown

_MOST = 64 * 1024
"""Bytes of a credentials file that are read."""
CREDENTIAL_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "x-goog-api-key"})


class Address(msgspec.Struct, frozen=True):
    """One endpoint, ready to be asked."""

    url: str
    headers: dict[str, str]
    secrets: tuple[str, ...] = ()
    """What must never be shown."""


class Key(msgspec.Struct, frozen=True):
    """A credential and whether a person chose it for this very model."""

    value: str
    given: bool


def sendable(value: str, what: str) -> str:
    """`value` if HTTP can carry it in a header. The refusal does not repeat it: it may be a secret."""
    if value.isascii() and value.isprintable():
        return value
    raise ConfigurationError(f"{what} holds characters that cannot be sent in a header: check for line ends or quotes")


def headers_of(given: Mapping[str, str] | None) -> dict[str, str]:
    """Headers of a person's choice, by lower-case name. Raises ConfigurationError."""
    return {key.lower(): sendable(value, f"header {key}") for key, value in (given or {}).items()}


def credential(given: str | None, *variables: str) -> Key:
    """The credential: `given`, else the first of the environment's `variables` (or `VARIABLE_FILE`) that is set.

    Raises AuthenticationFailed for a file that cannot be read, and ConfigurationError for what cannot be sent.
    """
    if given is not None:
        return Key(sendable(given.strip(), "api_key"), given=True)
    for variable in variables:
        value = os.environ.get(variable, "").strip()
        if value:
            return Key(sendable(value, variable), given=False)
        file = os.environ.get(f"{variable}_FILE", "").strip()
        if file:
            return Key(sendable(_content(file, f"{variable}_FILE"), f"{variable}_FILE"), given=False)
    return Key("", given=False)


def _content(file: str, variable: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            return opened.read(_MOST).decode("utf-8", "replace").strip()
    except OSError as error:
        raise AuthenticationFailed(
            f"the file that {variable} names cannot be read ({error.strerror or error}): "
            "correct the path, or its rights"
        ) from None


def environment(*variables: str) -> str:
    """The first of these variables that is set, or an empty text."""
    return next((value for name in variables if (value := os.environ.get(name, "").strip())), "")


def split(base: str, example: str) -> SplitResult:
    """A base URL in its parts. Raises ConfigurationError for what is no http(s) address of a host."""
    try:
        parts = urlsplit(base.strip())
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        whole = False
    if not whole:
        raise ConfigurationError(
            f"base_url must begin with http:// or https:// and name a host, like {example}, not {shown(base)!r}"
        )
    return urlsplit(base.strip())


def joined(parts: SplitResult, path: str) -> str:
    """The address of `path` under a base URL, whose query (Azure's `api-version`) is kept."""
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def exposed(url: str) -> bool:
    """Whether a request would cross a network unencrypted: a key from the environment is not sent that way."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def secrets_in(url: str, headers: Mapping[str, str], keys: Sequence[str]) -> tuple[str, ...]:
    """Everything in a request that no error may repeat."""
    values = [value.removeprefix("Bearer ") for value in headers.values() if len(value) >= 8]
    return tuple(secret for secret in (*keys, urlsplit(url).password, *values) if secret)
