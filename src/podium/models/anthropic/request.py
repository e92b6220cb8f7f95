"""Our request to the body of a Messages request.

Pure: it sends nothing and knows no addresses, keys or answers. What the wire or the model cannot carry is refused here,
before anything is paid for. Messages are `turns`', the cache's marks `caching`'s.

The wire: https://platform.claude.com/docs/en/api/messages/create (as of 2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec

from podium.core.errors import BadRequest
from podium.core.messages import ModelRequest, Settings, ToolSpec
from podium.models.reading import Json, json_text

from .caching import mark, time_to_live
from .family import Family, family
from .schema import adapted
from .turns import instructions_of, turns_of

VERSION = "2026-10-21"
"""The `anthropic-version` this codec speaks."""
BEFORE = "2023-06-01"
"""The version before, which still has temperature, top_p and top_k."""

_SAMPLING = ("temperature", "top_p", "top_k")
_EFFORTS = {"minimal": "low", **{level: level for level in ("low", "medium", "high", "xhigh", "max")}}
# Tokens, for models that are told how many: the provider's own examples lie between these.
_BUDGETS = {"low": 2048, "medium": 8192, "high": 16384, "xhigh": 32000, "max": 32000}
_LEAST = 1024
"""Tokens of thinking that the provider accepts at least."""
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


class Dialect(msgspec.Struct, frozen=True):
    """How a body is written, beyond what a request says."""

    version: str = VERSION
    show_thinking: bool | None = None
    """Ask for readable summaries of the model's thinking, or for none; None is the model's own default."""
    strict_tools: bool = False
    """Have the arguments of calls held to the tool's schema, where the provider can."""
    eager_input: bool = False
    """Have the arguments of calls streamed as they are written, before they are known to be JSON."""


CURRENT = Dialect()


def encode_request(request: ModelRequest, model: str, *, stream: bool, dialect: Dialect = CURRENT) -> Json:
    """The body that asks `model`.

    `settings.extra` is merged in, object by object; its `tools` (the provider's own, such as web search) stand behind
    ours. Raises BadRequest for what the wire cannot carry: no message at all, a seed, sampling settings under the
    current version, a `tool_choice` that is not offered or that the model cannot be made to follow, an unknown
    `reasoning_effort` or `prompt_cache`, files of other types.
    """
    known = family(model)
    settings = request.settings
    instructions, rest = instructions_of(request.messages)
    most = settings.max_output_tokens
    body: Json = {"model": model, "max_tokens": known.max_tokens if most is None else most}
    if request.output is not None:
        schema = adapted(request.output.schema) if known.fills_schemas else None
        if schema is not None:
            body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        else:
            instructions.append(
                "Answer with nothing but JSON that fits this JSON Schema: " + json_text(request.output.schema)
            )
    if instructions:
        body["system"] = [{"type": "text", "text": text} for text in instructions]
    body["messages"] = turns_of(rest)
    if request.tools:
        body["tools"] = [_tool(tool, dialect) for tool in request.tools]
        _tool_settings(request, model, known, body)
    _think(settings, model, known, dialect, body)
    _sampling(settings, body)
    _extra(settings.extra, body)
    _refuse_sampling(model, dialect, body)
    body["model"] = model
    body.pop("stream", None)
    if stream:
        body["stream"] = True
    ttl = time_to_live(settings.prompt_cache, offers_tools=bool(body.get("tools")))
    if ttl is not None:
        mark(body, ttl)
    return body


# --------------------------------------------------------------------------------------------------------------- tools


def _tool(tool: ToolSpec, dialect: Dialect) -> Json:
    schema = tool.parameters or {"type": "object", "properties": {}}
    found: Json = {"name": tool.name, "input_schema": schema}
    if tool.description.strip():
        found["description"] = tool.description
    if dialect.strict_tools:
        strict = adapted(schema)
        if strict is not None and strict.get("type") == "object":
            found.update(input_schema=strict, strict=True)
    if dialect.eager_input:
        found["eager_input_streaming"] = True
    return found


def _tool_settings(request: ModelRequest, model: str, known: Family, body: Json) -> None:
    settings = request.settings
    choice = settings.tool_choice
    found: Json = {"type": "auto"}
    if choice in _CHOICES:
        found = {"type": _CHOICES[choice]}
    elif choice is not None:
        names = [tool.name for tool in request.tools]
        if choice not in names:
            raise BadRequest(f"tool_choice {choice!r} is not among the tools offered: {', '.join(names)}")
        found = {"type": "tool", "name": choice}
    if found["type"] in ("any", "tool"):
        if not known.can_be_made_to_call:
            raise BadRequest(
                f"tool_choice {choice!r}: {model} cannot be made to call a tool: leave it out and say in the prompt "
                "which tool to use, or give the agent an output type"
            )
        if known.generation < (5, 0) and settings.reasoning_effort not in (None, "none"):
            raise BadRequest(
                f"tool_choice {choice!r}: {model} cannot think and be made to call a tool: leave out one of "
                "tool_choice and reasoning_effort"
            )
    if settings.parallel_tool_calls is False and found["type"] != "none":
        found["disable_parallel_tool_use"] = True
    if choice is not None or len(found) > 1:
        body["tool_choice"] = found


# ------------------------------------------------------------------------------------------------------------ settings


def _think(settings: Settings, model: str, known: Family, dialect: Dialect, body: Json) -> None:
    effort = settings.reasoning_effort
    shown: Json = {}
    if dialect.show_thinking is not None:
        shown = {"display": "summarized" if dialect.show_thinking else "omitted"}
    if effort is None:
        if dialect.show_thinking and known.thinks == "adaptive":
            body["thinking"] = {"type": "adaptive", **shown}
        return
    if effort == "none":
        off = known.off
        if off is None:
            raise BadRequest(f'reasoning_effort "none": {model} always thinks: use "low", or another model')
        if off:
            body["thinking"] = dict(off)
        return
    if effort not in _EFFORTS:
        raise BadRequest(f"reasoning_effort {effort!r} is unknown to Claude: use none, {', '.join(_EFFORTS)}")
    if known.thinks == "never":
        raise BadRequest(f"reasoning_effort: {model} does not think: leave it out, or choose a newer model")
    if known.thinks == "budget":
        most = int(body["max_tokens"]) // 2
        if most < _LEAST:
            raise BadRequest(
                f"reasoning_effort: {model} thinks in at least {_LEAST} tokens of max_output_tokens: set it to "
                f"{2 * _LEAST} or more, or leave reasoning_effort out"
            )
        body["thinking"] = {"type": "enabled", "budget_tokens": min(_BUDGETS[_EFFORTS[effort]], most), **shown}
        return
    body["thinking"] = {"type": "adaptive", **shown}
    body["output_config"] = {**body.get("output_config", {}), "effort": _EFFORTS[effort]}


def _sampling(settings: Settings, body: Json) -> None:
    if settings.seed is not None:
        raise BadRequest("seed: Claude takes none: leave it out")
    if settings.stop:
        if not all(word.strip() for word in settings.stop):
            raise BadRequest("stop: Claude takes no stop sequence of blanks alone: leave it out")
        body["stop_sequences"] = list(settings.stop)
    for name in ("temperature", "top_p"):
        value = getattr(settings, name)
        if value is not None:
            body[name] = value


def _refuse_sampling(model: str, dialect: Dialect, body: Mapping[str, Any]) -> None:
    given = [name for name in _SAMPLING if body.get(name) is not None]
    if given and dialect.version >= VERSION:
        raise BadRequest(
            f"{' and '.join(given)}: version {dialect.version} of Claude's API has no such setting: leave it out, or, "
            f'for a model that still takes it, use ClaudeModel("{model}", version="{BEFORE}")'
        )


def _extra(extra: Mapping[str, Any], body: Json) -> None:
    for name, value in extra.items():
        if name == "messages":
            raise BadRequest("settings.extra cannot replace the messages: add them to the conversation")
        if name == "tools" and isinstance(value, list):
            body["tools"] = [*body.get("tools", []), *cast("list[Any]", value)]
        else:
            body[name] = _merged(body.get(name), value)


def _merged(before: object, value: object) -> object:
    if not isinstance(before, dict) or not isinstance(value, Mapping):
        return value
    found = dict(cast("Json", before))
    for name, inner in cast("Mapping[str, Any]", value).items():
        found[name] = _merged(found.get(name), inner)
    return found
