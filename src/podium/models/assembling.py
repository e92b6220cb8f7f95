"""Text and tool calls put together from the fragments of a stream. No I/O, no wire names.

Servers that speak OpenAI's dialect disagree about fragments: some leave out the index or the id, repeat both (and the
name) with every fragment, use index 0 for every call, make up a new id per fragment, or send arguments as an object.
The rule followed here: two fragments belong to one call unless something shows that a new call began.
"""

from __future__ import annotations

import json
from typing import Any, cast

import msgspec

from podium.core.messages import ToolCall

UNNAMED = "unnamed"
"""The name given to a call without one, so that the conversation can still be sent back to its provider."""


class Characters:
    """Text from pieces that may cut a UTF-16 surrogate pair in two, as servers written in JavaScript do."""

    __slots__ = ("_high", "_pieces", "length")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._high = ""
        self.length = 0
        """Characters pushed out so far."""

    def push(self, piece: str) -> str:
        """Add a piece; returns what is complete of it, which may be less or nothing."""
        piece = self._high + piece
        self._high = ""
        if piece and "\ud800" <= piece[-1] <= "\udbff":
            piece, self._high = piece[:-1], piece[-1]
        if not piece.isascii():
            piece = _whole(piece)
        if piece:
            self._pieces.append(piece)
            self.length += len(piece)
        return piece

    def text(self) -> str:
        """All of it. A half pair at the very end becomes a replacement character."""
        return "".join(self._pieces) + ("\ufffd" if self._high else "")


def _whole(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def arguments_of(text: str) -> tuple[dict[str, Any], str | None]:
    """A call's arguments from what a model wrote, and why they cannot be read if they cannot (`ToolCall.invalid`)."""
    if not text.strip():
        return {}, None
    try:
        value: object = msgspec.json.decode(text)
        # Arguments are journaled as MessagePack, whose integers end at 64 bits.
        msgspec.msgpack.encode(value)
    except (msgspec.DecodeError, UnicodeError) as error:
        return {}, f"the arguments are not valid JSON ({error}); they began with {_begin(text)}"
    except OverflowError:
        return {}, "the arguments hold an integer of more than 64 bits; write it as a string"
    except RecursionError:
        return {}, "the arguments are nested too deeply"
    if not isinstance(value, dict):
        return {}, f"the arguments must be a JSON object, not {_begin(text)}"
    return cast("dict[str, Any]", value), None


def _begin(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 80 else text[:79] + "…")


def call_from(name: str, arguments: str, id: str | None, *, cut: bool = False) -> ToolCall:
    """A `ToolCall` as it was written. `cut` says that the output limit ended the reply."""
    args, invalid = arguments_of(arguments)
    if invalid and cut:
        invalid += " (the reply was cut off at its output limit: raise max_output_tokens or ask for less)"
    if not name:
        return ToolCall(UNNAMED, args, id or None, invalid or "the model named no tool")
    return ToolCall(name, args, id or None, invalid)


class _Slot:
    __slots__ = ("arguments", "conflict", "id", "index", "name", "position")

    def __init__(self, position: int, index: int | None) -> None:
        self.position = position
        self.index = index
        self.id = ""
        self.name = ""
        self.arguments = Characters()
        self.conflict = ""

    def complete(self) -> bool:
        text = self.arguments.text()
        if not text.endswith("}"):
            return False
        try:
            return isinstance(json.loads(text), dict)
        except ValueError:
            return False


class CallFragments:
    """Parallel tool calls from fragments."""

    __slots__ = ("_slots", "_touched")

    def __init__(self) -> None:
        self._slots: list[_Slot] = []
        self._touched: set[int] = set()

    def begin_event(self) -> None:
        """A new event begins: within one event, named fragments without an index are different calls."""
        self._touched.clear()

    def add(self, index: int | None, id: str, name: str, arguments: str) -> tuple[int, str, str, int]:
        """Take a fragment. Returns the call's position, its name if now first known, new argument text, its offset."""
        slot = self._find(index, id, name)
        self._touched.add(slot.position)
        slot.id = slot.id or id
        fresh = self._rename(slot, name) if name and name != slot.name else ""
        offset = slot.arguments.length
        return slot.position, fresh, slot.arguments.push(arguments), offset

    def calls(self, *, cut: bool = False) -> list[ToolCall]:
        """The calls in the order in which they began. With `cut`, the output limit ended the reply."""
        found: list[ToolCall] = []
        for slot in self._slots:
            call = call_from(slot.name, slot.arguments.text(), slot.id, cut=cut)
            if slot.conflict:
                call = ToolCall(call.name, {}, call.id, slot.conflict)
            if call.id and any(call.id == other.id for other in found):
                # Two calls with one id: their results could not be told apart. The runtime gives the second a new one.
                call = ToolCall(call.name, call.args, None, call.invalid)
            found.append(call)
        return found

    def __bool__(self) -> bool:
        return bool(self._slots)

    def _find(self, index: int | None, id: str, name: str) -> _Slot:
        if index is not None:
            same = [slot for slot in self._slots if slot.index == index]
        else:
            same = [slot for slot in self._slots if id and slot.id == id] or self._slots[-1:]
        if not same:
            return self._open(index)
        slot = next((slot for slot in same if id and slot.id == id), same[-1])
        return self._open(index) if self._begins_another(slot, index, id, name) else slot

    def _begins_another(self, slot: _Slot, index: int | None, id: str, name: str) -> bool:
        """Whether a fragment found for `slot` is really the first of a further call."""
        if not name or not slot.name or (id and id == slot.id):
            return False
        if slot.position in self._touched and index is None:
            return True
        if slot.complete():
            # A server that repeats the name with every fragment has nothing to add once the arguments are complete;
            # one that repeats the index (or has none) for each call goes on with another id, or with none at all.
            return index is None or bool(id and slot.id)
        return bool(id and slot.id and slot.arguments.length == 0 and name != slot.name)

    def _open(self, index: int | None) -> _Slot:
        slot = _Slot(len(self._slots), index)
        self._slots.append(slot)
        return slot

    def _rename(self, slot: _Slot, name: str) -> str:
        if not slot.name:
            slot.name = name
            return name
        if name.startswith(slot.name):  # the name so far, grown
            slot.name = name
        elif slot.arguments.length == 0:  # the name in pieces
            slot.name += name
        else:
            slot.conflict = f"the server named two tools for one call: {slot.name!r} and {name!r}"
            return ""
        return slot.name
