"""From the name of a model to the model: the one table of providers.

`offline` stands for itself; every other name is `provider:model`. A new provider is one entry here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from podium.core.errors import ConfigurationError
from podium.ports import Model

if TYPE_CHECKING:
    from .transport import HttpTransport


class Options(msgspec.Struct, frozen=True):
    """What a provider's model may be given besides its name. `None` is the provider's own default."""

    base_url: str | None = None
    api_key: str | None = None
    headers: Mapping[str, str] | None = None
    timeout: float | None = None
    """Seconds one request may take."""
    transport: HttpTransport | None = None


def _openai(model: str, options: Options) -> Model:
    from .openai import TIMEOUT, OpenAIModel

    return OpenAIModel(
        model,
        api_key=options.api_key,
        base_url=options.base_url,
        headers=options.headers,
        timeout=TIMEOUT if options.timeout is None else options.timeout,
        transport=options.transport,
    )


_PROVIDERS: dict[str, Callable[[str, Options], Model]] = {"openai": _openai}

_COMPATIBLE = "its server speaks Chat Completions, so use openai:NAME with base_url={} (--base-url) today"
_NOT_YET = {
    "anthropic": "use openai:NAME with base_url= of a compatible gateway meanwhile",
    "gemini": "use openai:NAME with base_url= of its compatible endpoint meanwhile",
    "azure": "use openai:DEPLOYMENT with base_url=https://RESOURCE.openai.azure.com/openai/v1 meanwhile",
    "ollama": _COMPATIBLE.format("http://localhost:11434/v1"),
    "vllm": _COMPATIBLE.format("http://localhost:8000/v1"),
}


def resolve(
    name: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
    transport: HttpTransport | None = None,
) -> Model:
    """The model called `name`: `offline`, or `openai:NAME`. No network is touched and no key is needed yet.

    `timeout` is in seconds; `transport` is shared by the models that are given it. Raises ConfigurationError, with the
    names that are known, for any other name.
    """
    provider, colon, model = name.strip().partition(":")
    if provider == "offline" and not colon:
        if base_url is not None:
            raise ConfigurationError(
                'the model "offline" uses no server: leave base_url out, or name a model: openai:NAME'
            )
        from .offline import OfflineModel

        return OfflineModel()
    build = _PROVIDERS.get(provider)
    if build is not None and model.strip():
        return build(model.strip(), Options(base_url, api_key, headers, timeout, transport))
    known = ", ".join(['"offline"', *(f'"{each}:NAME"' for each in _PROVIDERS)])
    if build is not None:
        raise ConfigurationError(f"{name!r} names a provider but no model: write {provider}:NAME")
    if provider in _NOT_YET:
        raise ConfigurationError(
            f"{name!r}: the provider {provider!r} is not in this version; {_NOT_YET[provider]}. Known: {known}"
        )
    if not colon:
        raise ConfigurationError(f"unknown model {name!r}: did you mean openai:{name}? Known: {known}")
    raise ConfigurationError(f"unknown provider {provider!r} in {name!r}. Known: {known}")
