"""Reasoning items of the Responses wire as `Thinking`, and back again unchanged.

The readable text of an item is the text of the part; everything else (id, encrypted content, where its pieces begin)
is the part's signature, as JSON. So a text that was redacted in between stays redacted. Both directions of the wire
stand on it. No I/O.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import cast

from podium.core.messages import Thinking
from podium.models.reading import Json, json_text, table, tables, text

GAP = "\n\n"
"""What stands between the pieces of a summary in one text."""
_FIELDS = {"summary_text": "summary", "reasoning_text": "content"}


def thinking_of(item: Json, pieces: Sequence[tuple[str, str]], provider: str) -> Thinking | None:
    """The part of a reasoning item; None for an empty one.

    `pieces` are the item's texts with their kinds: `summary_text` or `reasoning_text`.
    """
    texts = ("summary", "content", "type")
    kept = {key: value for key, value in item.items() if key not in texts and value is not None}
    words = GAP.join(piece for _, piece in pieces)
    if not words and not kept.get("encrypted_content"):
        return None
    if not kept.keys() & {"id", "encrypted_content"}:
        return Thinking(words, None, provider)
    cuts = [[kind, len(piece)] for kind, piece in pieces]
    return Thinking(words, json_text({**kept, "pieces": cuts}), provider)


def item_of(part: Thinking, *, stored: bool) -> Json | None:
    """The reasoning item of `thinking_of`.

    None when the server could not read it: it holds neither encrypted content nor its own words, and is not `stored`.
    """
    signature = _signature(part)
    cuts = signature.pop("pieces", None)
    if not isinstance(cuts, list):
        return None
    item: Json = {"type": "reasoning", **signature, "summary": []}
    for kind, piece in _pieces(part.text, cast("list[object]", cuts)):
        item.setdefault(_FIELDS[kind], []).append({"type": kind, "text": piece})
    return item if stored or "encrypted_content" in item or "content" in item else None


def commentary_of(words: str, phase: str, provider: str) -> Thinking:
    """Text that a model wrote for whoever watches it work, before its answer: it is no part of the answer."""
    return Thinking(words, json_text({"phase": phase}), provider)


def phase_of(part: Thinking) -> str:
    """The phase of `commentary_of`, empty for reasoning."""
    return text(_signature(part).get("phase"))


def _signature(part: Thinking) -> Json:
    try:
        return dict(table(cast("object", json.loads(part.signature or ""))))
    except (ValueError, RecursionError):
        return {}


def _pieces(words: str, cuts: list[object]) -> list[tuple[str, str]]:
    """The text cut as it was; in one piece when it has changed since."""
    found: list[tuple[str, str]] = []
    at = 0
    for cut in cuts:
        match cut:
            case [str(kind), int(length)] if kind in _FIELDS:
                found.append((kind, words[at : at + length]))
                at += length + len(GAP)
            case _:
                return []
    if GAP.join(piece for _, piece in found) == words:
        return found
    return [(found[0][0], words)] if found else []


def pieces_of(item: Json) -> list[tuple[str, str]]:
    """The kinds and texts of a whole reasoning item."""
    parts = tables(item.get("summary")) + tables(item.get("content"))
    return [(text(part.get("type")), text(part.get("text"))) for part in parts if text(part.get("type")) in _FIELDS]
