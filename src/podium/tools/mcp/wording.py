"""Text that a server wrote, made fit to be shown: bounded, and without characters that hide or reorder what is read.

A description goes into the model's prompt and before the eyes of whoever approves the tool; invisible text in it is an
attack ("tool poisoning"). Cleaning makes it visible or absent; it does not make it trusted.
"""

from __future__ import annotations

import unicodedata
from typing import Any, Final, cast

_KEPT: Final = frozenset("\n\t")
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, formats (zero width, bidirectional, tags), surrogates, private use, unassigned, line separators."""
DESCRIPTION: Final = 4000
"""Characters of a tool's description."""
DEEP: Final = 32


def clean(text: str, limit: int = DESCRIPTION) -> str:
    """`text` without hidden characters, at most `limit` long; a cut is marked."""
    if len(text) > 4 * limit:
        text = text[: 4 * limit]
    plain = "".join([char for char in text if char in _KEPT or unicodedata.category(char) not in _HIDDEN]).strip()
    return plain if len(plain) <= limit else plain[: limit - 1] + "…"


def line(text: str, limit: int = 300) -> str:
    """`text` as one line, for messages."""
    return " ".join(clean(text, 2 * limit).split())[:limit]


def clean_schema(schema: Any, depth: int = 0) -> Any:
    """A schema whose descriptions and titles are clean. Raises ValueError when it is nested too deeply."""
    if depth > DEEP:
        raise ValueError(f"its schema is nested more than {DEEP} deep")
    if isinstance(schema, list):
        return [clean_schema(item, depth + 1) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    return {
        key: clean(value)
        if key in {"description", "title", "$comment"} and isinstance(value, str)
        # A property may be called "description": its value is a schema then, and cleaned as one.
        else clean_schema(value, depth + 1)
        for key, value in cast("dict[str, Any]", schema).items()
    }
