"""What models without a provider share: a finished reply handed on in pieces, and a rough count of tokens."""

from __future__ import annotations

from collections.abc import Iterable

from podium.core.messages import AnyPart, Message, Reply, Text, Thinking, ToolCall, ToolResult
from podium.core.pieces import deltas_of
from podium.ports import Emitter


def emit_reply(reply: Reply, emit: Emitter) -> None:
    """Hand on a finished reply as deltas with the offsets that streaming would have given them."""
    for delta in deltas_of(reply):
        emit(delta)


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
