"""A finished reply handed on as if it had been streamed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from .deltas import Delta, TextDelta, ThinkingDelta, ToolCallDelta
from .messages import Reply, Text, Thinking, ToolCall

PIECES = 8
"""At most this many deltas for one text that is cut up after the fact."""


def pieces_of(text: str) -> list[str]:
    """`text` cut between words into at most `PIECES` pieces; joined they are the text."""
    words = re.findall(r"\s*\S+\s*$|\s*\S+|\s+$", text)
    size = -(-len(words) // PIECES) or 1
    return ["".join(words[start : start + size]) for start in range(0, len(words), size)]


def deltas_of(reply: Reply) -> Iterator[Delta]:
    """A finished reply as deltas, with the offsets that streaming would have given them."""
    offsets = {Text: 0, Thinking: 0}
    calls = 0
    for part in reply.message.parts:
        if isinstance(part, Text | Thinking):
            make = TextDelta if isinstance(part, Text) else ThinkingDelta
            for piece in pieces_of(part.text):
                yield make(piece, offset=offsets[type(part)])
                offsets[type(part)] += len(piece)
        elif isinstance(part, ToolCall):
            yield ToolCallDelta(calls, part.name, json.dumps(part.args, ensure_ascii=False, default=str))
            calls += 1
