"""What a refusal of an Ollama server means. Pure; the general reading of refusals is `models.errors`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from podium.core.errors import BadRequest, ContextTooLong, ModelError
from podium.models.errors import Hints, model_error

# What the server says, and what a person can do about it that the kind of the error does not tell.
_ADVICE = (
    (re.compile(r"does not support tools"), "Choose a model that does: https://ollama.com/search?c=tools"),
    (re.compile(r"does not support thinking"), "Leave think and reasoning_effort out, or choose a model that thinks"),
    (re.compile(r"invalid think value"), "Use think=True or False, or a reasoning_effort of low, medium or high"),
    (
        re.compile(r"missing data required for image input|does not support (?:images|vision|multimodal)"),
        "Choose a model that sees: https://ollama.com/search?c=vision",
    ),
)
_MEMORY = re.compile(r"requires more system memory|out of memory|unable to allocate", re.IGNORECASE)


def ollama_error(
    status: int,
    body: bytes | Mapping[str, Any],
    *,
    model: str,
    server: str,
    retry_after: float | None = None,
    secrets: Collection[str] = (),
    partial: str = "",
) -> ModelError:
    """The error for an answer with this status and body; see `errors.model_error`.

    A model that does not fit into memory is a BadRequest in spite of its status 500: trying again does not help.
    """
    error = model_error(
        status,
        body,
        model=model,
        server=server,
        retry_after=retry_after,
        secrets=secrets,
        partial=partial,
        hints=Hints(
            key="OLLAMA_API_KEY (or api_key=; for a cloud model of a local server: `ollama signin`)",
            wire="Ollama (without /v1, which is OpenAI's wire: openai:NAME)",
            address=f"get the model with `ollama pull {model}` (`ollama list` shows what is there); "
            "if the address is not that of an Ollama server, correct host=",
        ),
    )
    said = str(error)
    if _MEMORY.search(said):
        return BadRequest(
            f"{said.removesuffix('. Try again in a moment')}. Choose a smaller model, lower num_ctx, or unload others "
            "(`ollama ps`, `ollama stop NAME`)",
            **error.data,
        )
    if type(error) is ContextTooLong:
        return ContextTooLong(
            f'{said}; options={{"num_ctx": ...}} makes room, and truncate=True has Ollama drop the oldest messages',
            **error.data,
        )
    if type(error) is BadRequest:
        advice = next((advice for pattern, advice in _ADVICE if pattern.search(said)), None)
        if advice:
            return BadRequest(f"{said}. {advice}", **error.data)
    return error
