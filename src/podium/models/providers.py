"""From the name of a model to the model: the one table of providers.

`offline` stands for itself; every other name is `provider:model`. A new provider is one entry here.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from podium.core.errors import ConfigurationError
from podium.ports import Model

if TYPE_CHECKING:
    from .transport import HttpTransport


# Where each provider's model is. Every class takes (model, *, api_key, base_url, headers, timeout, transport).
_PROVIDERS: dict[str, tuple[str, str]] = {
    "anthropic": ("anthropic", "ClaudeModel"),
    "openai": ("openai", "OpenAIModel"),
    "openai-responses": ("openai", "OpenAIResponsesModel"),
    "azure": ("azure", "AzureOpenAIModel"),
    "gemini": ("gemini", "GeminiModel"),
    "vertex": ("gemini", "VertexModel"),
    "ollama": ("ollama", "OllamaModel"),
}

# Names people try, and what serves them.
_COMPATIBLE = {
    "vllm": "http://localhost:8000/v1",
    "lmstudio": "http://localhost:1234/v1",
    "groq": "https://api.groq.com/openai/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "deepseek": "https://api.deepseek.com/v1",
    "mistral": "https://api.mistral.ai/v1",
    "together": "https://api.together.xyz/v1",
}
_MEANT = {"claude": "anthropic", "google": "gemini", "google-genai": "gemini", "azure-openai": "azure"}


def resolve(
    name: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
    transport: HttpTransport | None = None,
) -> Model:
    """The model called `name`: `offline`, `provider:NAME`, or several in order, `a:X | b:Y`.

    No network is touched and no key is needed yet.

    `timeout` is in seconds; `transport` is shared by the models that are given it. Raises ConfigurationError, with the
    names that are known, for any other name.
    """
    if "|" in name:
        from .fallback import FallbackModel

        given = (base_url, api_key, headers)
        if any(value is not None for value in given):
            raise ConfigurationError(
                f"{name!r} names several models: base_url, api_key and headers belong to one; make a FallbackModel of "
                "models that have their own"
            )
        return FallbackModel(*(resolve(each.strip(), timeout=timeout, transport=transport) for each in name.split("|")))
    provider, colon, model = name.strip().partition(":")
    if provider == "offline" and not colon:
        if base_url is not None:
            raise ConfigurationError(
                'the model "offline" uses no server: leave base_url out, or name a model: openai:NAME'
            )
        from .offline import OfflineModel

        return OfflineModel()
    home = _PROVIDERS.get(provider)
    if home is not None and model.strip():
        module, name_of_class = home
        build = getattr(importlib.import_module(f"{__package__}.{module}"), name_of_class)
        given = {"api_key": api_key, "base_url": base_url, "headers": headers, "timeout": timeout}
        return build(
            model.strip(), transport=transport, **{key: value for key, value in given.items() if value is not None}
        )
    known = ", ".join(['"offline"', *(f'"{each}:NAME"' for each in _PROVIDERS)])
    if home is not None:
        raise ConfigurationError(f"{name!r} names a provider but no model: write {provider}:NAME")
    if provider in _COMPATIBLE:
        raise ConfigurationError(
            f"{name!r}: a server of {provider} speaks Chat Completions: use openai:{model or 'NAME'} with "
            f"base_url={_COMPATIBLE[provider]} (--base-url). Known: {known}"
        )
    if provider in _MEANT:
        raise ConfigurationError(f"unknown provider {provider!r}: did you mean {_MEANT[provider]}:{model or 'NAME'}?")
    if not colon:
        raise ConfigurationError(f"unknown model {name!r}: did you mean {_guess(name)}:{name}? Known: {known}")
    raise ConfigurationError(f"unknown provider {provider!r} in {name!r}. Known: {known}")


def providers() -> tuple[str, ...]:
    """The names of the providers."""
    return tuple(_PROVIDERS)


def _guess(name: str) -> str:
    return "anthropic" if name.startswith("claude") else "gemini" if name.startswith("gemini") else "openai"
