"""Our request to the body of a `generateContent` request.

Pure: it sends nothing and knows no addresses, keys or answers. What the wire cannot carry is refused here, before
anything is paid for.

Thought signatures go back on the very part they came with. A call holds its own (`ToolCall.signature`), and so does a
thought (`Thinking.signature`). That of any other part stands right behind it as a `Thinking` without text.

The wire: https://ai.google.dev/api/generate-content and https://ai.google.dev/gemini-api/docs/thought-signatures (as of
2026-11).
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, cast

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
    ToolSpec,
)
from podium.models.reading import Json, json_text

from .family import answers_in_json_with_tools, thinks, thinks_by_level, wants_signatures

PROVIDER = "gemini"
"""The provider named in `Raw` and `Thinking` parts, at Vertex AI too: it is the same wire and the same models."""
CANDIDATE = "candidate"
"""The key of a `Raw` part that holds what was said about an answer (its sources); it is no part to send back."""

# What the provider documents for calls that none of its models made: written by another one, or by hand.
_FOREIGN = "skip_thought_signature_validator"
_LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "XHIGH", "max": "XHIGH"}
# Tokens, for generation 2.5: the provider's own reading of these words.
_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}


def encode_request(request: ModelRequest, model: str, *, include_thoughts: bool | None = None) -> Json:
    """The body that asks `model`, the same for a whole answer and a stream.

    `include_thoughts` asks for summaries of the model's thinking; None asks for them when `reasoning_effort` is set.
    `settings.extra` is merged in, object by object; its `tools` stand beside ours. With a `cachedContent` in it, the
    instructions and tools are those of the cache and are not sent again, which the provider would refuse.

    Raises BadRequest for what the wire cannot carry: no message at all, one call at a time, a `tool_choice` that is not
    offered, a seed of more than 32 bits, an unknown `reasoning_effort`.
    """
    instructions = [message.text for message in request.messages if message.role == "system"]
    config = _config(request.settings, model, include_thoughts)
    if request.output is not None:
        if request.tools and not answers_in_json_with_tools(model):
            instructions.append(
                "When you call no tool, answer with nothing but JSON that fits this JSON Schema: "
                + json_text(request.output.schema)
            )
        else:
            config["responseMimeType"] = "application/json"
            config["responseJsonSchema"] = request.output.schema
    body: Json = {"contents": _contents(request.messages, model)}
    extra = request.settings.extra
    if not extra.get("cachedContent"):
        texts = [{"text": text} for text in instructions if text]
        if texts:
            body["systemInstruction"] = {"parts": texts}
        if request.tools:
            body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}]
            _tool_settings(request, body)
    if config:
        body["generationConfig"] = config
    if isinstance(extra.get("tools"), list):
        body["tools"] = [*body.get("tools", []), *extra["tools"]]
        extra = {name: value for name, value in extra.items() if name != "tools"}
    return _merged(body, extra) if extra else body


def _merged(body: Mapping[str, Any], extra: Mapping[str, Any]) -> Json:
    found = dict(body)
    for name, value in extra.items():
        before = found.get(name)
        if isinstance(before, dict) and isinstance(value, Mapping):
            found[name] = _merged(cast("Json", before), cast("Mapping[str, Any]", value))
        else:
            found[name] = value
    return found


# --------------------------------------------------------------------------------------------------------- settings


def _config(settings: Settings, model: str, include_thoughts: bool | None) -> Json:
    if settings.seed is not None and not -(2**31) <= settings.seed < 2**31:
        raise BadRequest(f"seed {settings.seed} is too large: Gemini takes seeds of 32 bits")
    values: Json = {
        "maxOutputTokens": settings.max_output_tokens,
        "temperature": settings.temperature,
        "topP": settings.top_p,
        "stopSequences": list(settings.stop) or None,
        "seed": settings.seed,
        "thinkingConfig": _thinking(settings.reasoning_effort, model, include_thoughts) or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _thinking(effort: str | None, model: str, include_thoughts: bool | None) -> Json:
    config: Json = {}
    if effort is not None:
        if effort != "none" and effort not in _LEVELS:
            raise BadRequest(f"reasoning_effort {effort!r} is unknown to Gemini: use none, {', '.join(_LEVELS)}")
        if not thinks(model):
            raise BadRequest(f"reasoning_effort: {model} does not think: leave it out, or choose a newer model")
        if effort == "none":
            config["thinkingBudget"] = 0
        elif thinks_by_level(model):
            config["thinkingLevel"] = _LEVELS[effort]
        else:
            config["thinkingBudget"] = _BUDGETS[effort]
    wanted = effort not in (None, "none") or None if include_thoughts is None else include_thoughts
    if wanted is not None:
        config["includeThoughts"] = wanted
    return config


def _declaration(tool: ToolSpec) -> Json:
    found: Json = {"name": tool.name, "description": tool.description}
    schema = tool.parameters
    # A tool without parameters is declared without a schema: an object without properties is refused by some versions.
    if schema.get("properties") or schema.get("additionalProperties") or "$ref" in schema or "anyOf" in schema:
        found["parametersJsonSchema"] = schema
    return found


def _tool_settings(request: ModelRequest, body: Json) -> None:
    settings = request.settings
    if settings.parallel_tool_calls is False:
        raise BadRequest(
            "parallel_tool_calls=False: Gemini cannot be told to call one tool at a time; leave the setting out"
        )
    choice = settings.tool_choice
    if choice is None:
        return
    config: Json = {"mode": _MODES.get(choice, "ANY")}
    if choice not in _MODES:
        names = [tool.name for tool in request.tools]
        if choice not in names:
            raise BadRequest(f"tool_choice {choice!r} is not among the tools offered: {', '.join(names)}")
        config["allowedFunctionNames"] = [choice]
    body["toolConfig"] = {"functionCallingConfig": config}


# --------------------------------------------------------------------------------------------------------- contents


def _contents(messages: Sequence[Message], model: str) -> list[Json]:
    found: list[Json] = []
    called: set[str] = set()
    answers: list[Json] | None = None
    for message in messages:
        if message.role == "system":
            continue
        if message.role == "tool":
            # All answers to one message's calls have to stand in one content, with nothing else in it.
            if answers is None:
                answers = []
                found.append({"role": "user", "parts": answers})
            answers += [_response(part, called) for part in message.parts if type(part) is ToolResult]
            others = _parts([part for part in message.parts if type(part) is not ToolResult])
            if others:
                found.append({"role": "user", "parts": others})
            continue
        answers = None
        if message.role == "assistant":
            parts = _parts(message.parts)
            called.update(call.id for call in message.tool_calls if call.id)
            if wants_signatures(model):
                _sign(parts)
            if parts:
                found.append({"role": "model", "parts": parts})
        else:
            found.append({"role": "user", "parts": _parts(message.parts) or [{"text": ""}]})
    if not found:
        raise BadRequest("Gemini answers messages, not instructions alone: add a user message to the conversation")
    return found


def _parts(parts: Sequence[AnyPart]) -> list[Json]:
    found: list[Json] = []
    for part in parts:
        if type(part) is Text:
            if part.text:  # an empty part is refused
                found.append({"text": part.text})
        elif type(part) is ToolCall:
            found.append(_call(part))
        elif type(part) is Thinking:
            _think(part, found)
        elif type(part) is Media:
            found.append(_media(part))
        elif type(part) is Raw and part.provider == PROVIDER and CANDIDATE not in part.data:
            found.append(dict(part.data))
    return found


def _call(call: ToolCall) -> Json:
    function: Json = {"name": call.name, "args": call.args}
    if call.id:
        function["id"] = call.id
    return (
        {"functionCall": function, "thoughtSignature": call.signature} if call.signature else {"functionCall": function}
    )


def _think(part: Thinking, found: list[Json]) -> None:
    if not part.signature or part.provider not in (None, PROVIDER):
        return  # a summary is for people: the model keeps its thoughts in signatures
    if part.text:
        found.append({"text": part.text, "thought": True, "thoughtSignature": part.signature})
    elif found and "thoughtSignature" not in found[-1] and "functionCall" not in found[-1]:
        found[-1]["thoughtSignature"] = part.signature
    else:
        found.append({"text": "", "thoughtSignature": part.signature})


def _sign(parts: list[Json]) -> None:
    """Mark calls that came without a signature, as other providers' do; the model signs the first of parallel calls."""
    calls = [part for part in parts if "functionCall" in part]
    if calls and not any("thoughtSignature" in part for part in calls):
        calls[0]["thoughtSignature"] = _FOREIGN


def _response(result: ToolResult, called: set[str]) -> Json:
    # The text as it is, even if it is JSON: as an object it would lose its spacing, its order and its large integers.
    function: Json = {"name": result.name, "response": {"error" if result.is_error else "output": result.content}}
    if result.call_id in called:
        function["id"] = result.call_id
    return {"functionResponse": function}


def _media(part: Media) -> Json:
    if part.data:
        return {"inlineData": {"mimeType": part.media_type, "data": base64.b64encode(part.data).decode()}}
    if not part.url:
        raise BadRequest(f"a {part.media_type} part has neither data nor a url: give it one of them")
    head, _, payload = part.url.partition(",")
    if head.startswith("data:") and head.endswith(";base64"):
        return {"inlineData": {"mimeType": part.media_type, "data": payload}}
    return {"fileData": {"mimeType": part.media_type, "fileUri": part.url}}
