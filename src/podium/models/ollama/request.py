"""Our request to the body of a request to Ollama's `/api/chat`.

Pure: it sends nothing and knows no addresses, keys or answers. What the wire cannot carry is refused here, before
a model is loaded for it. The wire: https://docs.ollama.com/api/chat (as of 2026-11).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from podium.core.errors import BadRequest
from podium.core.messages import (
    AnyPart,
    Media,
    Message,
    ModelRequest,
    Raw,
    Settings,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from podium.models.reading import Json, json_text, table

PROVIDER = "ollama"
"""The provider named in `Raw` and `Thinking` parts."""

Think: TypeAlias = bool | Literal["low", "medium", "high", "max"]
LEVELS = ("low", "medium", "high", "max")
# Words of other providers, and the nearest that Ollama knows.
_EFFORTS: dict[str, Think] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "high",
    "max": "max",
}


class Dialect(msgspec.Struct, frozen=True):
    """How one model is asked, apart from what a request says."""

    think: Think | None = None
    """Whether, or how hard, the model thinks; a request's `reasoning_effort` goes before it."""
    keep_alive: float | str | None = None
    """How long the model stays loaded: seconds, or a text such as `5m`; negative is for good."""
    truncate: bool = False
    """Let the server drop the oldest messages of a conversation that does not fit, without a word."""
    options: Mapping[str, Any] = {}
    """`num_ctx` and the other options of the server; settings of a request go before them."""


DEFAULT = Dialect()


def encode_request(request: ModelRequest, model: str, *, stream: bool, dialect: Dialect = DEFAULT) -> Json:
    """The body that asks `model`.

    An output schema becomes `format`, which the server enforces. While tools are offered it is part of the instructions
    instead, since a model that is held to the schema cannot call a tool. `settings.extra` goes into the body as it is;
    its `options` are added to ours.

    Raises BadRequest for what the wire cannot carry: media that is no image or only an address, a tool that must be
    called, one call at a time, an unknown `reasoning_effort`, no message at all.
    """
    if not request.messages:
        raise BadRequest("Ollama only loads the model when there is no message: add one to the conversation")
    settings = request.settings
    tools = _offered(request)
    messages = _messages(request.messages)
    body: Json = {"model": model, "messages": messages}
    if tools:
        body["tools"] = tools
    if request.output is not None:
        if tools:
            _instruct(messages, request.output.schema)
        else:
            body["format"] = request.output.schema
    think = dialect.think if settings.reasoning_effort is None else _effort(settings.reasoning_effort)
    if think is not None:
        body["think"] = think
    if dialect.keep_alive is not None:
        body["keep_alive"] = dialect.keep_alive
    if not dialect.truncate:
        body["truncate"] = False  # the server's default is to forget in silence
    extra = dict(settings.extra)
    options: Json = {**dialect.options, **_options(settings), **table(extra.pop("options", None))}
    if options:
        body["options"] = options
    body.update(extra)
    body["model"] = model
    body["stream"] = stream  # without the field the server streams
    return body


def _options(settings: Settings) -> Json:
    values: Json = {
        "num_predict": settings.max_output_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "seed": settings.seed,
        "stop": list(settings.stop) or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _effort(word: str) -> Think:
    if word not in _EFFORTS:
        raise BadRequest(f"reasoning_effort {word!r} is unknown to Ollama: use one of {', '.join(_EFFORTS)}")
    return _EFFORTS[word]


def _offered(request: ModelRequest) -> list[Json]:
    settings = request.settings
    if not request.tools or settings.tool_choice == "none":
        return []
    if settings.tool_choice not in (None, "auto"):
        raise BadRequest(
            f"tool_choice {settings.tool_choice!r}: Ollama cannot make a model call a tool; leave the setting out, or "
            "say it in the instructions"
        )
    if settings.parallel_tool_calls is False:
        raise BadRequest(
            "parallel_tool_calls=False: Ollama cannot be told to call one tool at a time; leave the setting out"
        )
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters or {"type": "object", "properties": {}},
            },
        }
        for tool in request.tools
    ]


def _instruct(messages: list[Json], schema: Json) -> None:
    """Ask for an answer's form in words, at the end of the leading instructions."""
    words = f"When you call no tool, answer with nothing but JSON that fits this JSON Schema: {json_text(schema)}"
    if messages and messages[0]["role"] == "system":
        messages[0] = {**messages[0], "content": f"{messages[0]['content']}\n\n{words}"}
    else:
        messages.insert(0, {"role": "system", "content": words})


# --------------------------------------------------------------------------------------------------------- messages


def _messages(messages: Sequence[Message]) -> list[Json]:
    found: list[Json] = []
    for message in messages:
        if message.role == "assistant":
            found.append(_assistant(message))
        elif message.role == "tool":
            found += [_result(part) for part in message.parts if type(part) is ToolResult]
            others = tuple(part for part in message.parts if type(part) is not ToolResult)
            if others:  # an image a tool returned follows as the user's
                found.append(_said("user", others))
        else:
            found.append(_said(message.role, message.parts))
    return found


def _said(role: str, parts: Sequence[AnyPart]) -> Json:
    entry: Json = {"role": role, "content": "".join(part.text for part in parts if type(part) is Text)}
    images = [_image(part) for part in parts if type(part) is Media]
    if images:
        entry["images"] = images
    for part in parts:
        if type(part) is Raw and part.provider == PROVIDER:
            entry.update(part.data)
    return entry


def _assistant(message: Message) -> Json:
    entry = _said("assistant", message.parts)
    # Nothing is signed on this wire: a model's own thoughts help it while it uses tools, another provider's are noise.
    thoughts = "".join(part.text for part in message.parts if type(part) is Thinking and part.provider == PROVIDER)
    if thoughts:
        entry["thinking"] = thoughts
    calls = message.tool_calls
    if calls:
        entry["tool_calls"] = [_call(call) for call in calls]
    return entry


def _call(call: ToolCall) -> Json:
    written: Json = {"function": {"name": call.name, "arguments": call.args}}
    return {"id": call.id, **written} if call.id else written


def _result(result: ToolResult) -> Json:
    # The wire has no field for failure, so the text says it. Servers before 0.13 know no ids: for them it is the tool's
    # name, and the order, that tie a result to its call.
    entry: Json = {
        "role": "tool",
        "tool_name": result.name,
        "content": f"Error: {result.content}" if result.is_error else result.content,
    }
    if result.call_id:
        entry["tool_call_id"] = result.call_id
    return entry


def _image(part: Media) -> str:
    if not part.media_type.startswith("image/"):
        raise BadRequest(f"Ollama takes images only, not {part.media_type}: put the file's text into the message")
    if part.data:
        return base64.b64encode(part.data).decode()
    head, _, payload = (part.url or "").partition(",")
    if head.startswith("data:") and head.endswith(";base64"):
        return payload
    raise BadRequest("Ollama takes an image by value only: read it and pass Media(media_type, data=...)")
