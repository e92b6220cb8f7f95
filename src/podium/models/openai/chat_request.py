"""Our request to the body of a Chat Completions request.

Pure: it sends nothing and knows no addresses, keys or answers. What the dialect cannot carry is refused here, before
anything is paid for. The wire is named in `chat`.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import cast

import msgspec

from podium.core.errors import BadRequest
from podium.core.messages import AnyPart, Media, Message, ModelRequest, Raw, Settings, Text, Thinking, ToolResult
from podium.models.reading import Json, json_text

from .limits import check
from .shapes import (
    address_of,
    cache_key,
    chosen_tool,
    file_name,
    json_schema_of,
    parameters_of,
    result_text,
    word,
)

PROVIDER = "openai"
"""The provider named in `Raw` parts."""


class ChatDialect(msgspec.Struct, frozen=True):
    """Where servers differ in what they accept."""

    max_tokens_field: str = "max_completion_tokens"
    """The field for the output limit; many compatible servers only know `max_tokens`."""
    stream_usage: bool = True
    """Ask for token counts at the end of a stream (`stream_options`)."""
    echo_thinking: bool = False
    """Send earlier reasoning back as `reasoning_content`, as some thinking models want during tool use."""
    cache_key: bool = False
    """Send a `prompt_cache_key`. Only OpenAI and Azure know the field; others may refuse it."""
    known_as: str = ""
    """The model's name (`openai:NAME`) where it can only mean OpenAI's: what it refuses is then refused here."""


OPENAI = ChatDialect()


def encode_request(request: ModelRequest, model: str, *, stream: bool, dialect: ChatDialect = OPENAI) -> Json:
    """The body that asks `model`.

    Raises BadRequest for what the dialect cannot carry (a file by address, media written by the assistant, a
    `tool_choice` that is not offered) and what the model is known to refuse.
    """
    check(request, dialect.known_as, chat=True)
    body: Json = {"model": model, "messages": _messages(request.messages, dialect)}
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": parameters_of(tool),
                },
            }
            for tool in request.tools
        ]
        _tool_settings(request, body)
    if request.output is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": json_schema_of(request.output)}
    _settings(request.settings, dialect, body)
    if dialect.cache_key and (key := cache_key(request)):
        body["prompt_cache_key"] = key
    body.update(request.settings.extra)
    body["model"] = model
    if stream:
        body["stream"] = True
        if dialect.stream_usage:
            body.setdefault("stream_options", {"include_usage": True})
    else:
        body.pop("stream", None)
        body.pop("stream_options", None)
    return body


def _settings(settings: Settings, dialect: ChatDialect, body: Json) -> None:
    values: Json = {
        dialect.max_tokens_field: settings.max_output_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "stop": list(settings.stop) or None,
        "seed": settings.seed,
        "reasoning_effort": settings.reasoning_effort,
    }
    body.update({name: value for name, value in values.items() if value is not None})


def _tool_settings(request: ModelRequest, body: Json) -> None:
    settings = request.settings
    if name := chosen_tool(request):
        body["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif settings.tool_choice:
        body["tool_choice"] = settings.tool_choice
    if settings.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = settings.parallel_tool_calls


def _messages(messages: Sequence[Message], dialect: ChatDialect) -> list[Json]:
    found: list[Json] = []
    for position, message in enumerate(messages):
        if message.role == "assistant":
            found.append(_assistant(message, position, dialect))
        elif message.role == "tool":
            found += _results(message)
        else:
            entry: Json = {"role": message.role, "content": _content(message.parts)}
            if message.name:
                entry["name"] = word(message.name)
            found.append(entry)
    return found


def _assistant(message: Message, position: int, dialect: ChatDialect) -> Json:
    entry: Json = {"role": "assistant"}
    if any(type(part) is Media for part in message.parts):
        raise BadRequest("Chat Completions takes no media in assistant messages: move it into a user message")
    calls = message.tool_calls
    kept = tuple(part for part in message.parts if type(part) is Raw and part.provider == PROVIDER)
    if kept:
        entry["content"] = _content(tuple(part for part in message.parts if type(part) in (Text, Raw)))
    else:
        entry["content"] = message.text or (None if calls else "")
    if dialect.echo_thinking:
        # Another provider's reasoning means nothing to this one; what nobody signed came from a server like this.
        thoughts = "".join(
            part.text for part in message.parts if type(part) is Thinking and part.provider in (None, PROVIDER)
        )
        if thoughts:
            entry["reasoning_content"] = thoughts
    if calls:
        entry["tool_calls"] = [
            {
                "id": call.id or f"call_{position}_{number}",
                "type": "function",
                "function": {"name": call.name, "arguments": json_text(call.args)},
            }
            for number, call in enumerate(calls)
        ]
    return entry


def _results(message: Message) -> list[Json]:
    found: list[Json] = [
        {"role": "tool", "tool_call_id": part.call_id, "content": result_text(part)}
        for part in message.parts
        if type(part) is ToolResult
    ]
    others = tuple(part for part in message.parts if type(part) is not ToolResult)
    if others:  # tool messages carry text only; an image a tool returned follows as the user's
        found.append({"role": "user", "content": _content(others)})
    return found


def _content(parts: Sequence[AnyPart]) -> str | list[Json]:
    if all(type(part) is Text for part in parts):
        return "".join(cast("Text", part).text for part in parts)
    found: list[Json] = []
    for part in parts:
        if type(part) is Text:
            found.append({"type": "text", "text": part.text})
        elif type(part) is Media:
            found.append(_media(part))
        elif type(part) is Raw and part.provider == PROVIDER:
            found.append(part.data)
    return found


def _media(part: Media) -> Json:
    kind, _, subtype = part.media_type.partition("/")
    address = address_of(part)
    if kind == "image":
        return {"type": "image_url", "image_url": {"url": address}}
    if not part.data:
        raise BadRequest(
            f"Chat Completions takes a {part.media_type} file by value only: read it and pass Media(..., data=...)"
        )
    if kind == "audio" and subtype in ("wav", "x-wav", "mpeg", "mp3"):
        return {
            "type": "input_audio",
            "input_audio": {
                "data": base64.b64encode(part.data).decode(),
                "format": "wav" if "wav" in subtype else "mp3",
            },
        }
    return {"type": "file", "file": {"filename": file_name(part), "file_data": address}}
