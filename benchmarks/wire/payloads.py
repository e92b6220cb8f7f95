"""What goes over each wire: one request as an agent in the middle of its work makes it, and an answer of 100 pieces.

The answers have every field that the providers send, used or not: skipping what nobody needs is part of the work.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from podium.core.messages import (
    Message,
    ModelRequest,
    Settings,
    ToolCall,
    ToolResult,
    ToolSpec,
    assistant,
    system,
    tool_results,
    user,
)

Json = dict[str, Any]

STORY = (
    "The ridge tent for two weighs 1.9 kg and stands in wind up to 70 km/h ; the tunnel tent for three weighs 2.6 kg "
    "and has a porch for wet boots . Both are in stock in Leeds , and the first can be there by Thursday . "
)
WORDS = STORY.split()
PIECES = 100
TOKENS = [f"{WORDS[index % len(WORDS)]} " for index in range(PIECES)]
TEXT = "".join(TOKENS)
GIVEN, WRITTEN, CACHED = 1834, 131, 1536


def request() -> ModelRequest:
    """Instructions, four tools, three rounds of calls with results, and a question."""
    lookup: Json = {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "Words to look for in names and descriptions."},
            "limit": {"type": "integer", "description": "At most so many.", "minimum": 1, "maximum": 50},
            "in_stock": {"type": "boolean", "description": "Only what can be sent today."},
        },
        "required": ["query"],
        "additionalProperties": False,
    }
    names = ("search_products", "stock_levels", "delivery_dates", "compare_products")
    tools = tuple(
        ToolSpec(name, f"{name.replace('_', ' ').capitalize()} of the shop's catalogue.", lookup) for name in names
    )
    messages: list[Message] = [
        system("You advise customers of an outdoor shop. " + "Be brief, name prices, and never guess at stock. " * 12)
    ]
    for turn in range(3):
        messages.append(user(f"I need a tent for {turn + 2} people for a week of rain in Scotland, under 500 pounds."))
        call = ToolCall(names[turn], {"query": f"tent for {turn + 2}", "limit": 5, "in_stock": True}, f"call_{turn}")
        messages.append(assistant("Let me look that up.", call))
        rows = [{"sku": f"T-{turn}{row}", "name": "Ridge 2", "price": 349.0, "stock": row} for row in range(5)]
        messages.append(tool_results(ToolResult(f"call_{turn}", names[turn], json.dumps(rows))))
        messages.append(assistant("There are five that fit; the Ridge 2 is the lightest of them at 1.9 kg."))
    messages.append(user("Which of them stands best in the wind, and when can it be here?"))
    return ModelRequest(messages, tools, Settings(max_output_tokens=1024))


def _sse(*events: Json, named: bool = False, end: str = "") -> list[bytes]:
    frames: list[bytes] = []
    for event in events:
        name = f"event: {event['type']}\n" if named else ""
        frames.append(f"{name}data: {json.dumps(event, separators=(',', ':'))}\n\n".encode())
    return [*frames, end.encode()] if end else frames


# ------------------------------------------------------------------------------------------------- Chat Completions

_CHAT_USAGE: Json = {
    "prompt_tokens": GIVEN,
    "completion_tokens": WRITTEN,
    "total_tokens": GIVEN + WRITTEN,
    "prompt_tokens_details": {"cached_tokens": CACHED, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


def _chat_head(kind: str) -> Json:
    return {
        "id": "chatcmpl-CkQ2v8nYh4tXb1uWmJr0fZsE7dLpA",
        "object": kind,
        "created": 1795236117,
        "model": "gpt-6-sol-2026-09-10",
        "service_tier": "default",
        "system_fingerprint": "fp_51db84afab",
    }


def openai_call() -> bytes:
    """One whole answer of Chat Completions."""
    message = {"role": "assistant", "content": TEXT, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return json.dumps({**_chat_head("chat.completion"), "choices": [choice], "usage": _CHAT_USAGE}).encode()


def openai_stream() -> list[bytes]:
    """The same in pieces."""

    def chunk(delta: Json, finish: str | None = None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**_chat_head("chat.completion.chunk"), "choices": [choice], "usage": None, "obfuscation": "x7Qm2vA"}

    return _sse(
        chunk({"role": "assistant", "content": "", "refusal": None}),
        *[chunk({"content": token}) for token in TOKENS],
        chunk({}, "stop"),
        {**_chat_head("chat.completion.chunk"), "choices": [], "usage": _CHAT_USAGE, "obfuscation": "p"},
        end="data: [DONE]\n\n",
    )


# -------------------------------------------------------------------------------------------------------- Responses


def _response(status: str, output: list[Json], usage: Json | None) -> Json:
    return {
        "id": "resp_0a1c5e5b4f2d8c7e0069258a15d1b08190a4",
        "object": "response",
        "created_at": 1795236117,
        "status": status,
        "background": False,
        "completed_at": None if usage is None else 1795236119,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": 1024,
        "max_tool_calls": None,
        "metadata": {},
        "model": "gpt-6-sol-2026-09-10",
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "user": None,
    }


_ITEM = "msg_0a1c5e5b4f2d8c7e0069258a1604d08190b1"
_RESPONSES_USAGE: Json = {
    "input_tokens": GIVEN,
    "input_tokens_details": {"cached_tokens": CACHED, "cache_write_tokens": 0},
    "output_tokens": WRITTEN,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": GIVEN + WRITTEN,
}


def _item(status: str, content: list[Json]) -> Json:
    return {"id": _ITEM, "type": "message", "status": status, "role": "assistant", "content": content}


def _output_text(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def responses_call() -> bytes:
    """One whole answer of Responses."""
    return json.dumps(_response("completed", [_item("completed", [_output_text(TEXT)])], _RESPONSES_USAGE)).encode()


def responses_stream() -> list[bytes]:
    """The same in pieces."""
    done = _item("completed", [_output_text(TEXT)])
    place = {"item_id": _ITEM, "output_index": 0, "content_index": 0}
    events: list[Json] = [
        {"type": "response.created", "response": _response("in_progress", [], None)},
        {"type": "response.in_progress", "response": _response("in_progress", [], None)},
        {"type": "response.output_item.added", "output_index": 0, "item": _item("in_progress", [])},
        {"type": "response.content_part.added", **place, "part": _output_text("")},
        *[
            {"type": "response.output_text.delta", **place, "delta": token, "logprobs": [], "obfuscation": "x7Qm2vA"}
            for token in TOKENS
        ],
        {"type": "response.output_text.done", **place, "text": TEXT, "logprobs": []},
        {"type": "response.content_part.done", **place, "part": _output_text(TEXT)},
        {"type": "response.output_item.done", "output_index": 0, "item": done},
        {"type": "response.completed", "response": _response("completed", [done], _RESPONSES_USAGE)},
    ]
    return _sse(*[{**event, "sequence_number": number} for number, event in enumerate(events)], named=True)


# ----------------------------------------------------------------------------------------------- Anthropic Messages

_CLAUDE_USAGE: Json = {
    "input_tokens": GIVEN - CACHED,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": CACHED,
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
    "output_tokens": WRITTEN,
    "service_tier": "standard",
}


def _claude(content: list[Json], stop: str | None, usage: Json) -> Json:
    return {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-5-5",
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage,
    }


def anthropic_call() -> bytes:
    """One whole answer of Messages."""
    return json.dumps(_claude([{"type": "text", "text": TEXT}], "end_turn", _CLAUDE_USAGE)).encode()


def anthropic_stream() -> list[bytes]:
    """The same in pieces."""
    return _sse(
        {"type": "message_start", "message": _claude([], None, {**_CLAUDE_USAGE, "output_tokens": 1})},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *[
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": token}}
            for token in TOKENS
        ],
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": _CLAUDE_USAGE,
        },
        {"type": "message_stop"},
        named=True,
    )


# ----------------------------------------------------------------------------------------------------------- Gemini


def _gemini(text: str, *, last: bool) -> Json:
    candidate: Json = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    return {
        "candidates": [{**candidate, "finishReason": "STOP"} if last else candidate],
        "usageMetadata": {
            "promptTokenCount": GIVEN,
            "cachedContentTokenCount": CACHED,
            "candidatesTokenCount": WRITTEN,
            "totalTokenCount": GIVEN + WRITTEN,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": GIVEN}],
        },
        "modelVersion": "gemini-3.5-flash",
        "responseId": "FookaYrCHb6pz7IP0tXJ8Ao",
    }


def gemini_call() -> bytes:
    """One whole answer of generateContent."""
    return json.dumps(_gemini(TEXT, last=True)).encode()


def gemini_stream() -> list[bytes]:
    """The same in pieces."""
    return _sse(*[_gemini(token, last=index == PIECES - 1) for index, token in enumerate(TOKENS)])


# ----------------------------------------------------------------------------------------------------------- Ollama


def _ollama(text: str, *, done: bool) -> Json:
    piece: Json = {
        "model": "llama3.2",
        "created_at": "2026-11-20T10:21:57.845367Z",
        "message": {"role": "assistant", "content": text},
        "done": done,
    }
    counts = {
        "done_reason": "stop",
        "total_duration": 4935886791,
        "load_duration": 534986708,
        "prompt_eval_count": GIVEN,
        "prompt_eval_duration": 107345000,
        "eval_count": WRITTEN,
        "eval_duration": 4289432000,
    }
    return {**piece, **counts} if done else piece


def ollama_call() -> bytes:
    """One whole answer of /api/chat."""
    return json.dumps(_ollama(TEXT, done=True)).encode()


def ollama_stream() -> list[bytes]:
    """The same in pieces."""
    lines: Iterator[Json] = (_ollama(token, done=False) for token in TOKENS)
    return [json.dumps(line).encode() + b"\n" for line in [*lines, _ollama("", done=True)]]
