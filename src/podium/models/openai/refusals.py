"""What OpenAI's and Azure's refusals say beyond a status: which content filter, and what to leave out.

It stands on `models.errors`, which knows the kinds; both wires' codecs stand on it. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, cast

from podium.core.errors import BadRequest, ContentFiltered, ModelError
from podium.models.errors import CHAT, Hints, model_error
from podium.models.reading import fields_of, table, text

_DEEP = 6
"""Levels of an answer that are searched for filter results."""
_CODES = {"server_error": 500, "rate_limit_exceeded": 429, "vector_store_timeout": 504}
_REJECTED = re.compile(r"image|policy|invalid|mismatch|unsupported|not_found")

# What a server that is not OpenAI's (or an older model) may refuse of what we send on our own, and how to leave it out.
_UNKNOWN = re.compile(
    r"unrecogni[sz]ed|unknown|unexpected|unsupported|not (?:supported|permitted|allowed)|extra", re.IGNORECASE
)
_UNWANTED = (
    (re.compile(r"prompt_cache_key"), "Pass cache_key=False: this server does not know prompt_cache_key"),
    (re.compile(r"[Ee]ncrypted[ _]content"), "Pass encrypted_reasoning=False: this model does not reason"),
    (re.compile(r"'max_tokens'.*'max_completion_tokens'"), 'Pass max_tokens_field="max_completion_tokens"'),
    (re.compile(r"max_completion_tokens"), 'Pass max_tokens_field="max_tokens"'),
    (re.compile(r"stream_options"), "Pass stream_usage=False"),
    (
        re.compile(r"[Ff]unction tools with reasoning_effort"),
        'Name the model openai-responses:… (at Azure: api="responses"), or set reasoning_effort="none"',
    ),
)


def refusal(
    status: int,
    body: bytes | Mapping[str, Any],
    *,
    model: str,
    server: str,
    retry_after: float | None = None,
    secrets: Collection[str] = (),
    partial: str = "",
    hints: Hints = CHAT,
) -> ModelError:
    """`model_error`, with the content filters that refused (`data["filters"]`) or the option that avoids a 400."""
    if status == 200 and isinstance(body, Mapping):
        status = _status_in(body)
    error = model_error(
        status,
        body,
        model=model,
        server=server,
        retry_after=retry_after,
        secrets=secrets,
        partial=partial,
        hints=hints,
    )
    if type(error) is ContentFiltered:
        found = filters_in(fields_of(body))
        return ContentFiltered(f"{error}{named(found)}", **error.data, **({"filters": found} if found else {}))
    if type(error) is BadRequest:
        said = str(error)
        advice = next((advice for pattern, advice in _UNWANTED if pattern.search(said)), None)
        if advice and _UNKNOWN.search(said):
            return BadRequest(f"{error}. {advice}", **error.data)
    return error


def _status_in(body: Mapping[str, Any]) -> int:
    """The status that an error code inside an answer stands for; 200 leaves it to the words."""
    error = table(body.get("error")) or body
    code = text(error.get("code"))
    return _CODES.get(code) or (400 if _REJECTED.search(code) else 200)


def named(filters: Collection[str]) -> str:
    """The filters for a message."""
    return f". Filtered: {', '.join(filters)}" if filters else ""


def filters_in(body: object, depth: int = 0) -> list[str]:
    """The names of Azure's content filters that acted (`hate`, `jailbreak`, …), wherever they stand in an answer.

    The shape: https://learn.microsoft.com/azure/ai-foundry/openai/concepts/content-filter-annotations
    """
    found: list[str] = []
    if depth >= _DEEP:
        return found
    if isinstance(body, list):
        for item in cast("list[object]", body):
            found += filters_in(item, depth + 1)
    elif isinstance(body, Mapping):
        for key, value in cast("Mapping[str, object]", body).items():
            if key in ("content_filter_result", "content_filter_results"):
                found += [name for name, result in table(value).items() if table(result).get("filtered") is True]
            else:
                found += filters_in(value, depth + 1)
    return list(dict.fromkeys(found))
