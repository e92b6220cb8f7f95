"""The addresses of Google's model APIs: versions, names of models and paths. It knows no keys and sends nothing."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, quote, urlsplit

from podium.core.errors import ConfigurationError
from podium.models import endpoint

_VERSION = re.compile(r"v\d[a-z0-9]*")


def method(*, stream: bool) -> str:
    """What is asked of a model, as the end of an address."""
    return ":streamGenerateContent?alt=sse" if stream else ":generateContent"


def model_path(model: str, prefix: str, known: tuple[str, ...]) -> str:
    """A model's path below the version: its own if it begins like one of `known`, else its name below `prefix`.

    Raises ConfigurationError for a name that would lead elsewhere.
    """
    name = model.strip()
    if ".." in name or name.startswith("/") or re.search(r"[?#&%\\\s:]", name):
        raise ConfigurationError(f"{model!r} is no name of a model: write it as the provider lists it")
    return quote(name if name.startswith(known) else prefix + name, safe="/@._-~")


def version_of(value: str, beta: str) -> str:
    """A version of the API from what a person wrote; every beta is `beta`, as each API calls its own differently.

    Raises ConfigurationError.
    """
    value = value.strip()
    if value in ("beta", "v1beta", "v1beta1"):
        return beta
    if not _VERSION.fullmatch(value):
        raise ConfigurationError(f"{value!r} is no version of the API: use v1 or {beta} (GOOGLE_GENAI_API_VERSION)")
    return value


def under(parts: SplitResult, version: str, path: str) -> str:
    """The address of `path` (with its own query) under a base URL, which may end in a version of its own."""
    base = parts.path.rstrip("/")
    if not _VERSION.fullmatch(base.rpartition("/")[2]):
        base = f"{base}/{version}"
    path, _, query = path.partition("?")
    url = endpoint.joined(parts, f"{base}/{path}")
    return f"{url}{'&' if parts.query else '?'}{query}" if query else url


def is_google(url: str) -> bool:
    """Whether an address is Google's own."""
    host = urlsplit(url).hostname or ""
    return host == "googleapis.com" or host.endswith(".googleapis.com")
