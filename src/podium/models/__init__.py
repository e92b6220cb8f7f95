"""Models: pure codecs of provider wires over one transport, and models that need no provider.

`ScriptedModel` and `OfflineModel` answer without a network; the others each speak a provider's wire; `resolve` turns a
name such as `openai:gpt-5.4-mini` into one of them. This package knows nothing of agents, runs, retries or money.
Everything loads on first use, so importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .anthropic import ClaudeModel
    from .azure import AzureOpenAIModel
    from .fallback import FallbackModel
    from .gemini import GeminiModel, VertexModel
    from .offline import OfflineModel
    from .ollama import OllamaModel
    from .openai import OpenAIModel, OpenAIResponsesModel
    from .providers import resolve
    from .scripted import ScriptedModel

__all__ = [
    "AzureOpenAIModel",
    "ClaudeModel",
    "FallbackModel",
    "GeminiModel",
    "OfflineModel",
    "OllamaModel",
    "OpenAIModel",
    "OpenAIResponsesModel",
    "ScriptedModel",
    "VertexModel",
    "resolve",
]

_HOMES = {
    "AzureOpenAIModel": "azure",
    "ClaudeModel": "anthropic",
    "FallbackModel": "fallback",
    "GeminiModel": "gemini",
    "OfflineModel": "offline",
    "OllamaModel": "ollama",
    "OpenAIModel": "openai",
    "OpenAIResponsesModel": "openai",
    "ScriptedModel": "scripted",
    "VertexModel": "gemini",
    "resolve": "providers",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
