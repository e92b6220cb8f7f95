"""The output items of one Responses answer while they come in, and the parts they become. No I/O.

A whole answer is the special case of items that are complete at once. Servers leave out events, ids and indexes, and
some give an item another id with every event: an event belongs to the item that its id, else its index, else its kind
points to, and opens one when there is none. `responses_reply` stands on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from podium.core.deltas import Delta, TextDelta, ThinkingDelta, ToolCallDelta
from podium.core.messages import AnyPart, Raw, Text, ToolCall
from podium.models.assembling import Characters, call_from
from podium.models.reading import Json, json_text, tables
from podium.models.reading import text as text_of

from .reasoning import GAP, commentary_of, pieces_of, thinking_of

_COMMENTARY = "commentary"


class _Piece:
    """A text of an item: part of a message, of a summary, or the arguments of a call."""

    __slots__ = ("characters", "kind", "replaced")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.characters = Characters()
        self.replaced: str | None = None

    def text(self) -> str:
        return self.characters.text() if self.replaced is None else self.replaced


class _Item:
    """One output item."""

    __slots__ = ("call", "done", "fields", "heard", "index", "kind", "named", "notes", "pieces")

    def __init__(self, kind: str, index: int | None, heard: str = "") -> None:
        self.kind = kind
        self.index = index
        self.heard = heard
        """The id by which events called it before it was announced."""
        self.fields: Json = {}
        self.pieces: dict[tuple[str, int], _Piece] = {}
        self.notes: dict[int, list[Json]] = {}
        self.done = False
        self.call = -1
        """A call's position among the calls."""
        self.named = False

    @property
    def id(self) -> str:
        return text_of(self.fields.get("id")) or self.heard

    def may_be(self, index: int, id: str) -> bool:
        """Whether an event with this index, and an id that no item has, can mean this item."""
        finished = self.done and bool(id and self.id)
        return self.index in (None, index) and not finished


class Items:
    """All items of an answer. Each method that takes something in returns the deltas it makes."""

    __slots__ = ("_calls", "_items", "_said", "_thought", "refused")

    def __init__(self) -> None:
        self._items: list[_Item] = []
        self._calls = 0
        self._said = 0
        self._thought = 0
        self.refused = False
        """Whether the model refused, wholly or in part."""

    def __len__(self) -> int:
        return len(self._items)

    @property
    def text(self) -> str:
        """The answer's text so far."""
        return "".join(
            piece.text()
            for item in self._items
            if item.kind == "message" and item.fields.get("phase") != _COMMENTARY
            for piece in item.pieces.values()
        )

    # ------------------------------------------------------------------------------------------------ taking in

    def begin(self, fields: Json, index: int | None) -> list[Delta]:
        """An item begins, or is announced once more."""
        kind = text_of(fields.get("type"))
        for item in self._items:
            if item.kind != kind or item.done or (index is not None and item.index not in (None, index)):
                continue
            # One that an early delta opened is announced now; one with this id is announced once more.
            if not item.fields or (item.id and item.id == text_of(fields.get("id"))):
                break
        else:
            item = self._open(kind, index)
        item.fields = {**fields}
        return self._name(item)

    def write(self, kind: str, field: str, at: int, piece: str, index: int | None, id: str) -> list[Delta]:
        """More text of an item. `field` and `at` say which of its texts: `summary_text` 1, or `arguments` 0."""
        item = self._find(kind, index, id)
        return self._name(item) + self._push(item, field, at, piece)

    def settle(self, kind: str, field: str, at: int, whole: str, index: int | None, id: str) -> list[Delta]:
        """A text is complete: what did not come before is added."""
        item = self._find(kind, index, id)
        return self._name(item) + self._settle(item, field, at, whole)

    def annotate(self, at: int, annotation: Json, index: int | None, id: str) -> None:
        """A citation of a message's text."""
        self._find("message", index, id).notes.setdefault(at, []).append(annotation)

    def end(self, fields: Json, index: int | None) -> list[Delta]:
        """An item is complete."""
        kind = text_of(fields.get("type"))
        item = self._find(kind, index, text_of(fields.get("id")))
        if item.done and not _same(item.fields, fields):
            item = self._open(kind, index)  # a server with one index for all, that never announces its items
        return self._complete(item, fields)

    def close(self, output: Sequence[Json]) -> list[Delta]:
        """The whole answer is there: it says the order, and completes what the stream left out or left open."""
        found: list[Delta] = []
        ours = list(self._items)
        ordered: list[_Item] = []
        for fields in output:
            kind = text_of(fields.get("type"))
            item = next((item for item in ours if item.kind == kind), None)
            if item is None:
                item = self._open(kind, None)
            else:
                ours.remove(item)
            ordered.append(item)
            if not item.done:
                found += self._complete(item, fields)
        self._items = ordered + ours
        return found

    def _find(self, kind: str, index: int | None, id: str) -> _Item:
        same = [item for item in self._items if item.kind == kind]
        found = [item for item in same if id and item.id == id]
        if not found and index is not None:
            found = [item for item in same if item.may_be(index, id)]
        elif not found:
            found = [item for item in same if not item.done]
        return found[-1] if found else self._open(kind, index, id)

    def _open(self, kind: str, index: int | None, heard: str = "") -> _Item:
        item = _Item(kind, index, heard)
        self._items.append(item)
        return item

    def _complete(self, item: _Item, fields: Json) -> list[Delta]:
        item.fields = {**fields}
        item.done = True
        found = self._name(item)
        if item.kind == "function_call":
            arguments = fields.get("arguments")
            whole = arguments if isinstance(arguments, str) else "" if arguments is None else json_text(arguments)
            found += self._settle(item, "arguments", 0, whole)
        elif item.kind == "message":
            for at, part in enumerate(_contents(fields)):
                self._part(item, at, part, found)
        elif item.kind == "reasoning":
            counts: dict[str, int] = {}
            for field, whole in pieces_of(fields):
                at = counts.get(field, 0)
                counts[field] = at + 1
                found += self._settle(item, field, at, whole)
        return found

    def _name(self, item: _Item) -> list[Delta]:
        name = text_of(item.fields.get("name"))
        if item.kind != "function_call" or item.named or not name:
            return []
        item.named = True
        return [ToolCallDelta(self._position(item), name)]

    def _position(self, item: _Item) -> int:
        if item.call < 0:
            item.call = self._calls
            self._calls += 1
        return item.call

    def _part(self, item: _Item, at: int, part: Json, found: list[Delta]) -> None:
        kind = part.get("type")
        if kind == "refusal":
            found += self._settle(item, "refusal", at, text_of(part.get("refusal")))
        elif kind in ("output_text", "text"):
            found += self._settle(item, "output_text", at, text_of(part.get("text")))
            if notes := tables(part.get("annotations")):
                item.notes[at] = notes

    def _settle(self, item: _Item, field: str, at: int, whole: str) -> list[Delta]:
        piece = item.pieces.get((field, at))
        before = piece.text() if piece else ""
        if whole.startswith(before):
            return self._push(item, field, at, whole[len(before) :])
        if piece and whole:
            piece.replaced = whole
        return []

    def _push(self, item: _Item, field: str, at: int, more: str) -> list[Delta]:
        piece = item.pieces.get((field, at))
        found: list[Delta] = []
        if piece is None:
            if not more:
                return []
            if item.kind == "reasoning" and item.pieces:
                found += self._think(GAP)
            piece = item.pieces[field, at] = _Piece(field)
        offset = piece.characters.length
        ready = piece.characters.push(more)
        if not ready:
            return found
        if item.kind == "function_call":
            found.append(ToolCallDelta(self._position(item), "", ready, offset=offset))
        elif item.kind == "reasoning" or item.fields.get("phase") == _COMMENTARY:
            found += self._think(ready)
        else:
            self.refused = self.refused or field == "refusal"
            found.append(TextDelta(ready, offset=self._said))
            self._said += len(ready)
        return found

    def _think(self, words: str) -> list[Delta]:
        offset = self._thought
        self._thought += len(words)
        return [ThinkingDelta(words, offset=offset)]

    # --------------------------------------------------------------------------------------------------- giving

    def parts(self, provider: str, *, cut: bool) -> list[AnyPart]:
        """The parts of the message, in the model's order. With `cut`, the output limit ended the answer."""
        found: list[AnyPart] = []
        ids: set[str] = set()
        for item in self._items:
            if item.kind == "message":
                found += _message(item, provider)
            elif item.kind == "reasoning":
                texts = [(piece.kind, piece.text()) for piece in item.pieces.values()]
                thinking = thinking_of(item.fields, texts, provider)
                found += [thinking] if thinking else []
            elif item.kind == "function_call":
                found.append(_call(item, ids, cut=cut))
            else:
                found.append(Raw(provider, item.fields))
        return found


def _same(one: Json, other: Json) -> bool:
    name = "call_id" if text_of(other.get("call_id")) else "id"
    return not text_of(one.get(name)) or not text_of(other.get(name)) or one[name] == other[name]


def _contents(fields: Json) -> list[Json]:
    content = fields.get("content")
    if isinstance(content, str):
        return [{"type": "output_text", "text": content}]
    return tables(cast("object", content))


def _message(item: _Item, provider: str) -> list[AnyPart]:
    places = sorted(item.pieces.items(), key=lambda place: place[0][1])
    phase = text_of(item.fields.get("phase"))
    texts = [(at, piece.text()) for (_, at), piece in places if piece.text()]
    if phase == _COMMENTARY:
        words = "".join(words for _, words in texts)
        return [commentary_of(words, phase, provider)] if words else []
    found: list[AnyPart] = [Text(words) for _, words in texts]
    notes = [item.notes.get(at, []) for at, _ in texts]
    unknown = [part for part in _contents(item.fields) if part.get("type") not in ("output_text", "text", "refusal")]
    kept: Json = {
        "phase": phase,
        "annotations": notes if any(notes) else None,
        "content": unknown or None,
    }
    kept = {key: value for key, value in kept.items() if value}
    if kept:
        # What a message holds beside its text: citations for whoever reads the reply, and what goes back with it.
        found.append(Raw(provider, {"type": "message", **kept}))
    return found


def _call(item: _Item, ids: set[str], *, cut: bool) -> ToolCall:
    id = text_of(item.fields.get("call_id")) or item.id
    if id in ids:
        id = ""  # two calls with one id: their results could not be told apart; the runtime gives this one another
    ids.add(id)
    arguments = "".join(piece.text() for piece in item.pieces.values())
    return call_from(text_of(item.fields.get("name")), arguments, id or None, cut=cut)
