"""Our request to the body of a Responses request.

Pure: it sends nothing and knows no addresses, keys or answers. What the wire cannot carry is refused here, before
anything is paid for. The wire is named in `responses`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

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
from podium.models.reading import Json, json_text, tables

from .limits import check
from .reasoning import item_of, phase_of
from .shapes import (
    address_of,
    cache_key,
    chosen_tool,
    file_name,
    json_schema_of,
    parameters_of,
    result_text,
    strict_ready,
    word,
)

PROVIDER = "openai-responses"
"""The provider named in `Thinking` and `Raw` parts. Not `openai`: the items of one wire mean nothing to the other."""

ENCRYPTED = "reasoning.encrypted_content"
# These do not reason, and answer 400 to a request for encrypted reasoning.
_NO_REASONING = re.compile(r"(?:ft:)?(?:gpt-3|gpt-4|chatgpt-|gpt-[5-9](?:\.\d+)?-chat)")


class ResponsesDialect(msgspec.Struct, frozen=True):
    """Where services and uses differ."""

    provider: str = PROVIDER
    """Whose signatures and raw items go back. Another service could not decrypt the reasoning of this one."""
    store: bool = False
    """Let the server keep the response (for 30 days or more)."""
    encrypted_reasoning: bool | None = None
    """Ask for reasoning in encrypted form, to send it back. None asks all models but those known not to reason."""
    reasoning_summary: str | None = None
    """Ask for a readable summary of the reasoning: `auto`, `concise` or `detailed`."""
    cache_key: bool = False
    """Send a `prompt_cache_key`. Only OpenAI and Azure know the field; others may refuse it."""
    known_as: str = ""
    """The model's name (`openai:NAME`) where it can only mean OpenAI's: what it refuses is then refused here."""


RESPONSES = ResponsesDialect()


def encode_request(request: ModelRequest, model: str, *, stream: bool, dialect: ResponsesDialect = RESPONSES) -> Json:
    """The body that asks `model`.

    `settings.extra` goes on top; its `tools` and `include` are added to ours, `reasoning` and `text` merged with them.
    Raises BadRequest for what the wire cannot carry (`stop`, `seed`, audio, media written by the assistant, a
    `tool_choice` that is not offered) and what the model is known to refuse.
    """
    settings = request.settings
    _check(settings)
    check(request, dialect.known_as, chat=False)
    first = _first_of_conversation(request.messages)
    body: Json = {"model": model, "input": _items(request.messages, first, dialect), "store": dialect.store}
    if first:
        body["instructions"] = "\n\n".join(message.text for message in request.messages[:first])
    if request.tools:
        _tools(request, body)
    if request.output is not None:
        body["text"] = {"format": {"type": "json_schema", **json_schema_of(request.output)}}
    reasoning = {"effort": settings.reasoning_effort, "summary": dialect.reasoning_summary}
    values: Json = {
        "max_output_tokens": settings.max_output_tokens,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "reasoning": {key: value for key, value in reasoning.items() if value is not None} or None,
        "prompt_cache_key": cache_key(request) if dialect.cache_key else None,
    }
    body.update({name: value for name, value in values.items() if value is not None})
    encrypted = dialect.encrypted_reasoning
    if encrypted or (encrypted is None and not _NO_REASONING.match(model)):
        body["include"] = [ENCRYPTED]
    _extend(body, settings.extra)
    body["model"] = model
    if stream:
        body["stream"] = True
    else:
        body.pop("stream", None)
        body.pop("stream_options", None)
    return body


def _check(settings: Settings) -> None:
    refused = [name for name, given in (("stop", bool(settings.stop)), ("seed", settings.seed is not None)) if given]
    if refused:
        raise BadRequest(
            f"the Responses wire has no {' and no '.join(refused)}: leave {'them' if len(refused) > 1 else 'it'} out, "
            "or use openai:NAME (Chat Completions) instead of openai-responses:NAME"
        )


def _extend(body: Json, extra: Json) -> None:
    """Put `extra` on top, without losing the tools, inclusions and groups that are already there."""
    for name, value in extra.items():
        ours = body.get(name)
        if name in ("tools", "include") and isinstance(ours, list) and isinstance(value, list | tuple):
            more = cast("list[object]", [*value])
            body[name] = [*ours, *(each for each in more if each not in ours)]
        elif name in ("reasoning", "text") and isinstance(ours, dict) and isinstance(value, dict):
            body[name] = {**cast("Json", ours), **cast("Json", value)}
        else:
            body[name] = value


def _tools(request: ModelRequest, body: Json) -> None:
    tools: list[Json] = []
    for tool in request.tools:
        parameters = parameters_of(tool)
        # Said in every case: left out, it means true on this wire.
        tools.append(
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": parameters,
                "strict": strict_ready(parameters),
            }
        )
    body["tools"] = tools
    settings = request.settings
    if name := chosen_tool(request):
        body["tool_choice"] = {"type": "function", "name": name}
    elif settings.tool_choice:
        body["tool_choice"] = settings.tool_choice
    if settings.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = settings.parallel_tool_calls


def _first_of_conversation(messages: Sequence[Message]) -> int:
    """The position after the leading system messages, which become `instructions`; 0 when nothing follows them."""
    for position, message in enumerate(messages):
        if message.role != "system" or any(type(part) is not Text for part in message.parts):
            return position
    return 0  # a request without any input is refused


def _items(messages: Sequence[Message], first: int, dialect: ResponsesDialect) -> list[Json]:
    found: list[Json] = []
    for position in range(first, len(messages)):
        message = messages[position]
        if message.role == "assistant":
            found += _assistant(message, position, dialect)
        elif message.role == "tool":
            found += _results(message, dialect)
        else:
            parts = message.parts
            if message.name and message.role == "user":  # the wire has no field for who speaks
                parts = (Text(f"{word(message.name)}: "), *parts)
            found.append({"type": "message", "role": message.role, "content": _content(parts, dialect)})
    return found


def _assistant(message: Message, position: int, dialect: ResponsesDialect) -> list[Json]:
    """The items of one reply, in the order in which the model wrote them."""
    found: list[Json] = []
    said: Json | None = None  # the message item that further text belongs to
    calls = 0
    for part in message.parts:
        if type(part) is Text:
            if not part.text:
                continue
            if said is None:
                said = {"type": "message", "role": "assistant", "content": []}
                found.append(said)
            said["content"].append({"type": "output_text", "text": part.text})
            continue
        if type(part) is Raw and part.provider == dialect.provider and part.data.get("type") == "message":
            if said is not None:
                _complete(said, part.data)
        elif type(part) is Raw and part.provider == dialect.provider:
            found.append(part.data)
        elif type(part) is Thinking:
            found += _thinking(part, dialect)
        elif type(part) is ToolCall:
            found.append(
                {
                    "type": "function_call",
                    "call_id": part.id or f"call_{position}_{calls}",
                    "name": part.name,
                    "arguments": json_text(part.args),
                }
            )
            calls += 1
        elif type(part) is Media:
            raise BadRequest("the Responses wire takes no media in assistant messages: move it into a user message")
        said = None
    # Reasoning without what it led to (a reply cut off while thinking) is refused.
    while found and found[-1].get("type") == "reasoning":
        found.pop()
    return found


def _complete(said: Json, kept: Json) -> None:
    """Give a message item back what `responses_reply` kept of it beside its text."""
    if kept.get("phase"):
        said["phase"] = kept["phase"]
    for part, notes in zip(said["content"], cast("list[object]", kept.get("annotations") or []), strict=False):
        if notes:
            part["annotations"] = notes
    said["content"] += tables(kept.get("content"))


def _thinking(part: Thinking, dialect: ResponsesDialect) -> list[Json]:
    if part.signature is None or part.provider not in (None, dialect.provider):
        return []
    if phase := phase_of(part):
        content = [{"type": "output_text", "text": part.text}]
        return [{"type": "message", "role": "assistant", "content": content, "phase": phase}]
    item = item_of(part, stored=dialect.store)
    return [] if item is None else [item]


def _results(message: Message, dialect: ResponsesDialect) -> list[Json]:
    """The outputs of calls. Media that follows a result is part of it."""
    found: list[Json] = []
    for part in message.parts:
        if type(part) is ToolResult:
            found.append({"type": "function_call_output", "call_id": part.call_id, "output": result_text(part)})
            continue
        content = _content((part,), dialect)
        if not content:
            continue
        if not found:
            found.append({"type": "message", "role": "user", "content": []})
        last = found[-1]
        field = "output" if "output" in last else "content"
        if isinstance(last[field], str):
            last[field] = [{"type": "input_text", "text": last[field]}]
        last[field] += content
    return found


def _content(parts: Sequence[AnyPart], dialect: ResponsesDialect) -> list[Json]:
    found: list[Json] = []
    for part in parts:
        if type(part) is Text:
            found.append({"type": "input_text", "text": part.text})
        elif type(part) is Media:
            found.append(_media(part))
        elif type(part) is Raw and part.provider == dialect.provider:
            found.append(part.data)
    return found


def _media(part: Media) -> Json:
    kind = part.media_type.partition("/")[0]
    address = address_of(part)
    if kind == "image":
        return {"type": "input_image", "image_url": address, "detail": "auto"}
    if kind in ("audio", "video"):
        raise BadRequest(
            f"the Responses wire takes no {part.media_type}: send a transcript"
            + (", or use openai:NAME (Chat Completions) for audio" if kind == "audio" else "")
        )
    if part.data:
        return {"type": "input_file", "filename": file_name(part), "file_data": address}
    return {"type": "input_file", "file_url": address}
