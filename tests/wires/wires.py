"""Every wire as a test needs it: how a model is built for a server at an address, and what its fixtures are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from podium.models import OpenAIModel
from podium.models.anthropic import ClaudeModel
from podium.models.azure import AzureOpenAIModel
from podium.models.gemini import GeminiModel, VertexModel
from podium.models.ollama import OllamaModel
from podium.models.openai import OpenAIResponsesModel
from podium.models.wire import HttpModel

KEY = "wire-test-key-0123456789"


class Wire(msgspec.Struct, frozen=True):
    """One provider's wire at a server under test."""

    name: str
    build: Callable[..., HttpModel]
    """`build(url, **options)` with the options every model takes."""
    path: str
    """What the path of a request for a whole answer ends in."""
    folder: str
    """The folder of its recorded answers."""
    thinks: bool = True
    """Whether the mock server serves thinking on it."""

    def __str__(self) -> str:
        return self.name


def _claude(url: str, **options: Any) -> HttpModel:
    return ClaudeModel("claude-sonnet-5-5", base_url=url, api_key=KEY, **options)


def _chat(url: str, **options: Any) -> HttpModel:
    return OpenAIModel("gpt-5.4-mini", base_url=f"{url}/v1", api_key=KEY, **options)


def _responses(url: str, **options: Any) -> HttpModel:
    return OpenAIResponsesModel("gpt-5.4-mini", base_url=f"{url}/v1", api_key=KEY, **options)


def _gemini(url: str, *, api_version: str = "v1beta", **options: Any) -> HttpModel:
    # The mock server knows v1beta only; v1 is asked of the stub.
    return GeminiModel(
        "gemini-3-flash", base_url=url, api_key=KEY, api_version=api_version, include_thoughts=True, **options
    )


def _ollama(url: str, **options: Any) -> HttpModel:
    return OllamaModel("qwen3:8b", url, api_key=KEY, **options)


def _vertex(url: str, **options: Any) -> HttpModel:
    return VertexModel("gemini-3-flash", base_url=url, token=KEY, project="team", api_version="v1", **options)


def _azure(url: str, **options: Any) -> HttpModel:
    return AzureOpenAIModel("my-deployment", endpoint=url, api_key=KEY, **options)


ANTHROPIC = Wire("anthropic", _claude, "/v1/messages", "anthropic")
CHAT = Wire("openai", _chat, "/v1/chat/completions", "openai-chat")
RESPONSES = Wire("openai-responses", _responses, "/v1/responses", "openai-responses")
GEMINI = Wire("gemini", _gemini, "/v1beta/models/gemini-3-flash:generateContent", "gemini")
OLLAMA = Wire("ollama", _ollama, "/api/chat", "ollama", thinks=False)

WIRES = (ANTHROPIC, CHAT, RESPONSES, GEMINI, OLLAMA)
ADDRESSES = (
    Wire(
        "vertex",
        _vertex,
        "/v1/projects/team/locations/global/publishers/google/models/gemini-3-flash:generateContent",
        "gemini",
    ),
    Wire("azure", _azure, "/openai/v1/chat/completions", "openai-chat"),
)
"""Two of the wires at other providers' addresses."""
