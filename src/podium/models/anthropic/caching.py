"""Where a request is marked for the prompt cache, so that the next one of the same conversation reads it.

A mark says: keep everything up to here. The provider reads a request as tools, then system, then messages, and finds
what it kept by the exact beginning. So the marks stand where the next request begins alike: after the tools, after the
instructions, and at the conversation's end. One more stands where the request before was marked, since the provider
looks back no more than 20 blocks from a mark and a turn with many calls is longer. Marks are free; writing is not.

The rules: https://platform.claude.com/docs/en/build-with-claude/prompt-caching (as of 2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from podium.core.errors import BadRequest
from podium.models.reading import Json, tables

MOST = 4
"""Marks in one request; more are refused with 400."""
_MARKED = frozenset({"text", "image", "document", "search_result", "tool_use", "tool_result"})
"""Blocks that take a mark. Thinking never does."""


def time_to_live(prompt_cache: str | None, *, offers_tools: bool) -> str | None:
    """How long to keep the prompt: `5m`, `1h`, or None for not at all. Raises BadRequest for anything else."""
    if prompt_cache is None:
        return "5m" if offers_tools else None
    if prompt_cache in ("5m", "1h"):
        return prompt_cache
    if prompt_cache == "off":
        return None
    raise BadRequest(f"prompt_cache {prompt_cache!r} is unknown to Claude: use 5m, 1h or off")


def mark(body: Json, ttl: str) -> None:
    """Add marks to a finished body, beside those that are in it already (from `settings.extra`)."""
    control = {"type": "ephemeral", "ttl": ttl} if ttl != "5m" else {"type": "ephemeral"}
    room = MOST - _count(body)
    messages = cast("list[Json]", body["messages"])
    places = [_tools(body) if "tools" in body else None, _system(body) if "system" in body else None]
    if "cache_control" not in body:  # the provider marks the end of the conversation by itself
        places = [_last(messages[-1]), *places, _before_the_answer(messages)]
    for place in places:
        if place is not None and "cache_control" not in place and room > 0:
            place["cache_control"] = control
            room -= 1


def _tools(body: Json) -> Json | None:
    """The last tool that is always loaded."""
    tools = body["tools"] = [dict(tool) for tool in tables(body.get("tools"))]  # some are the caller's own
    return next((tool for tool in reversed(tools) if not tool.get("defer_loading")), None)


def _system(body: Json) -> Json | None:
    system = body.get("system")
    if isinstance(system, str) and system.strip():
        system = [{"type": "text", "text": system}]
    blocks = body["system"] = [dict(block) for block in tables(system)]
    return blocks[-1] if blocks else None


def _before_the_answer(messages: list[Json]) -> Json | None:
    """The end of what the request before this one asked."""
    for index in range(len(messages) - 1, 0, -1):
        if messages[index]["role"] == "assistant":
            return _last(messages[index - 1])
    return None


def _last(message: Json) -> Json | None:
    for block in reversed(tables(message["content"])):
        if block.get("type") in _MARKED:
            return block
    return None


def _count(body: Mapping[str, Any]) -> int:
    places = [body, *tables(body.get("tools")), *tables(body.get("system"))]
    for message in tables(body.get("messages")):
        places += tables(message.get("content"))
    return sum("cache_control" in place for place in places)
