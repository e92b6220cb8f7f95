"""Transient pieces of a reply while it is being written.

Deltas go to live subscribers only; the journal holds the whole reply. Each names the step and attempt it belongs to
and its offset in characters, so that a subscriber can drop what a new attempt (`Reset`) made void.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec


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
