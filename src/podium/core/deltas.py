"""Transient pieces of a reply while it is being written.

Deltas go to live subscribers only; the journal holds the whole reply. Each names the step and attempt it belongs to
and its offset in characters, so that a subscriber can drop what a new attempt (`Reset`) made void.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TypeAlias

import msgspec

from .messages import Reply, Text, Thinking, ToolCall


class TextDelta(msgspec.Struct, tag="text_delta", frozen=True, gc=False):
    """More text of the answer."""

    text: str
    key: str = ""
    attempt: int = 1
    offset: int = 0


class ThinkingDelta(msgspec.Struct, tag="thinking_delta", frozen=True, gc=False):
    """More of the model's reasoning."""

    text: str
    key: str = ""
    attempt: int = 1
    offset: int = 0


class ToolCallDelta(msgspec.Struct, tag="tool_call_delta", frozen=True, gc=False):
    """More of a tool call's arguments, as unparsed JSON text. `index` tells parallel calls apart."""

    index: int
    name: str = ""
    arguments: str = ""
    key: str = ""
    attempt: int = 1
    offset: int = 0


class Reset(msgspec.Struct, tag="reset", frozen=True, gc=False):
    """An attempt starts over: forget the deltas of `key` with a lower attempt."""

    key: str
    attempt: int


class Progress(msgspec.Struct, tag="progress", frozen=True, gc=False):
    """A tool's own report of how far it is. Not journaled."""

    key: str
    message: str
    fraction: float | None = None


Delta: TypeAlias = TextDelta | ThinkingDelta | ToolCallDelta
Transient: TypeAlias = Delta | Reset | Progress


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
