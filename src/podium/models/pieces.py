"""What models without a provider share: a finished reply handed on in pieces, and a rough count of tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from podium.core.deltas import TextDelta, ThinkingDelta, ToolCallDelta
from podium.core.messages import AnyPart, Message, Reply, Text, Thinking, ToolCall, ToolResult
from podium.ports import Emitter

PIECES = 8
"""At most this many deltas for one text."""


def pieces_of(text: str) -> list[str]:
    """`text` cut between words into at most `PIECES` pieces; joined they are the text."""
    words = re.findall(r"\s*\S+\s*$|\s*\S+|\s+$", text)
    size = -(-len(words) // PIECES) or 1
    return ["".join(words[start : start + size]) for start in range(0, len(words), size)]


def emit_reply(reply: Reply, emit: Emitter) -> None:
    """Hand on a finished reply as deltas with the offsets that streaming would have given them."""
    offsets = {Text: 0, Thinking: 0}
    calls = 0
    for part in reply.message.parts:
        if isinstance(part, Text | Thinking):
            make = TextDelta if isinstance(part, Text) else ThinkingDelta
            for piece in pieces_of(part.text):
                emit(make(piece, offset=offsets[type(part)]))
                offsets[type(part)] += len(piece)
        elif isinstance(part, ToolCall):
            emit(ToolCallDelta(calls, part.name, json.dumps(part.args, ensure_ascii=False, default=str)))
            calls += 1


def estimate_tokens(parts: Iterable[AnyPart]) -> int:
    """About how many tokens a tokeniser would count: a quarter of the characters, and a few for each part."""
    total = 3
    for part in parts:
        if type(part) is ToolResult:
            total += 8 + len(part.content)
        elif type(part) is Text or type(part) is Thinking:
            total += 8 + len(part.text)
        elif type(part) is ToolCall:
            total += 8 + len(part.name) + len(str(part.args))
        else:
            total += 8
    return total // 4


def estimate_input(messages: Iterable[Message]) -> int:
    """`estimate_tokens` of whole messages."""
    return sum(estimate_tokens(message.parts) for message in messages)
