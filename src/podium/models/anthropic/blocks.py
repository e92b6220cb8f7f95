"""The content blocks of one answer, put together from their beginnings and fragments. No I/O.

A whole answer is the special case of blocks without fragments. `reply` reads the events around them.
"""

from __future__ import annotations

from typing import cast

from podium.core.deltas import Delta, TextDelta, ThinkingDelta, ToolCallDelta
from podium.core.messages import AnyPart, Raw, Text, Thinking, ToolCall
from podium.models.assembling import Characters, arguments_of, call_from
from podium.models.reading import Json, json_text
from podium.models.reading import text as text_of

from .turns import FIELDS, PROVIDER

# What a fragment tells of a block whose beginning did not.
_KINDS = {
    "text_delta": "text",
    "citations_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
    "input_json_delta": "tool_use",
}


class _Block:
    """One block: its first form, and what came after."""

    __slots__ = ("call", "data", "kind", "text", "written")

    def __init__(self, data: Json) -> None:
        self.kind = ""
        """Its type, once that is known."""
        self.call = 0
        """The position among the calls."""
        self.data = data
        self.text = Characters()
        self.written = Characters()
        """The arguments of a call, as they are written."""


class Blocks:
    """The blocks of one answer, in the order in which they began."""

    __slots__ = ("_all", "_by_index", "_calls", "_said", "_thought")

    def __init__(self) -> None:
        self._all: list[_Block] = []
        self._by_index: dict[int, _Block] = {}
        self._calls = 0
        self._said = 0
        self._thought = 0

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(block.text.text() for block in self._all if block.kind == "text")

    def start(self, index: int | None, data: Json) -> list[Delta]:
        """A block begins. Some servers give all of it at once."""
        block = self._open(index, text_of(data.get("type")), dict(data))
        if block.kind in ("text", "thinking"):
            return self._write(block, text_of(data.get(block.kind)))
        if block.kind == "tool_use":
            given = data.get("input")
            arguments = given if isinstance(given, str) else json_text(given) if given else ""
            name = text_of(data.get("name"))
            return [ToolCallDelta(block.call, name, arguments)] if name or arguments else []
        return []

    def add(self, index: int | None, delta: Json) -> list[Delta]:
        """A fragment of a block comes."""
        kind = text_of(delta.get("type"))
        block = self._by_index.get(index) if index is not None else self._all[-1] if self._all else None
        if block is None:  # a server that leaves out beginnings
            block = self._open(index, _KINDS.get(kind, ""), {})
        elif not block.kind:
            self._name(block, _KINDS.get(kind, ""))
        if kind == "input_json_delta":
            offset = block.written.length
            piece = block.written.push(text_of(delta.get("partial_json")))
            return [ToolCallDelta(block.call, "", piece, offset=offset)] if piece and block.kind == "tool_use" else []
        if kind == "text_delta" and block.kind == "text":
            return self._write(block, text_of(delta.get("text")))
        if kind == "thinking_delta" and block.kind == "thinking":
            return self._write(block, text_of(delta.get("thinking")))
        if kind == "citations_delta":
            block.data["citations"] = [*(block.data.get("citations") or []), delta.get("citation")]
        elif kind == "signature_delta":
            block.data["signature"] = text_of(delta.get("signature")) or block.data.get("signature")
        else:
            _grow(block.data, delta)
        return []

    def parts(self, *, cut: bool, calls: bool) -> list[AnyPart]:
        """The parts. `cut` says that the output limit ended the answer; without `calls` they are left out."""
        found: list[AnyPart] = []
        ids: set[str] = set()
        for block in self._all:
            if block.kind == "text":
                self._text(block, found)
            elif block.kind == "thinking":
                signature = text_of(block.data.get("signature")) or None
                if block.text.length or signature:
                    found.append(Thinking(block.text.text(), signature, PROVIDER))
            elif block.kind == "tool_use":
                if calls:
                    call = _call(block, cut=cut, last=block is self._all[-1])
                    if call.id and call.id in ids:
                        # Results of two calls with one id could not be told apart: the runtime gives it a new one.
                        call = ToolCall(call.name, call.args, None, call.invalid)
                    ids.add(call.id or "")
                    found.append(call)
                    _keep(found, {name: block.data.get(name) for name in ("toolset_name", "caller")})
            elif block.kind:  # without a type it could not be sent back
                found.append(Raw(PROVIDER, _whole(block)))
        return found

    def _open(self, index: int | None, kind: str, data: Json) -> _Block:
        block = _Block(data)
        self._name(block, kind)
        self._all.append(block)
        if index is not None:
            self._by_index[index] = block
        return block

    def _name(self, block: _Block, kind: str) -> None:
        block.kind = kind
        block.call = self._calls
        self._calls += kind == "tool_use"

    def _write(self, block: _Block, piece: str) -> list[Delta]:
        piece = block.text.push(piece)
        if not piece:
            return []
        if block.kind == "text":
            self._said += len(piece)
            return [TextDelta(piece, offset=self._said - len(piece))]
        self._thought += len(piece)
        return [ThinkingDelta(piece, offset=self._thought - len(piece))]

    def _text(self, block: _Block, found: list[AnyPart]) -> None:
        if text := block.text.text():
            found.append(Text(text))
            _keep(found, {"citations": block.data.get("citations")})


def _keep(found: list[AnyPart], fields: Json) -> None:
    """Keep what else a block said, to send it back with the block. A direct call is the usual one."""
    caller = fields.get("caller")
    if isinstance(caller, dict) and cast("Json", caller).get("type") == "direct":
        del fields["caller"]
    said = {name: value for name, value in fields.items() if value}
    if said:
        found.append(Raw(PROVIDER, {"type": FIELDS, **said}))


def _call(block: _Block, *, cut: bool, last: bool) -> ToolCall:
    given = block.data.get("input")
    name, id = text_of(block.data.get("name")), text_of(block.data.get("id")) or None
    if block.written.length:
        arguments = block.written.text()
    elif isinstance(given, str):
        arguments = given
    else:
        arguments = "" if given is None or given == {} else json_text(given)
    if cut and last and not arguments.strip():
        # It may have been about to write some: without this, the call would be made without them.
        arguments = "{"
    return call_from(name, arguments, id, cut=cut)


def _whole(block: _Block) -> Json:
    """A block of another type with what came for it."""
    data = dict(block.data)
    if block.written.length:
        args, invalid = arguments_of(block.written.text())
        data["input"] = args if invalid is None else data.get("input", {})
    return data


def _grow(data: Json, delta: Json) -> None:
    """A fragment of a block, or of a kind, that is not known: text goes on, anything else replaces."""
    for name, value in delta.items():
        if name != "type":
            before = data.get(name)
            data[name] = before + value if isinstance(before, str) and isinstance(value, str) else value
