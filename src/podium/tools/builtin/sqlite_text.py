"""SQLite's functions that look for one text in another, in time that grows with their sum.

SQLite's own take the product: two values of some megabytes keep one of them busy for hours, and SQLite looks at the
clock only between its instructions. These give what those give (https://sqlite.org/lang_corefunc.html).
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable
from typing import Final

Value = str | bytes | int | float | None
_MOST_TRIMMED: Final = 256


def define(database: sqlite3.Connection, largest: int) -> None:
    """Put them in the place of SQLite's own. `largest` is the most bytes that a value may have."""

    def replace(text: Value, old: Value, new: Value) -> str | None:
        if text is None or old is None or new is None:
            return None
        where, what, by = _text(text), _text(old), _text(new)
        if not what:
            return where
        if len(where) + where.count(what) * (len(by) - len(what)) > largest:
            raise ValueError("string or blob too big")
        return where.replace(what, by)

    database.create_function("instr", 2, _instr, deterministic=True)
    database.create_function("replace", 3, replace, deterministic=True)
    for name, trim in (("trim", str.strip), ("ltrim", str.lstrip), ("rtrim", str.rstrip)):
        database.create_function(name, 2, functools.partial(_trimmed, trim), deterministic=True)


def _instr(where: Value, what: Value) -> int | None:
    if where is None or what is None:
        return None
    if isinstance(where, bytes) and isinstance(what, bytes):
        return where.find(what) + 1
    return _text(where).find(_text(what)) + 1


def _trimmed(trim: Callable[[str, str], str], text: Value, those: Value) -> str | None:
    if text is None or those is None:
        return None
    letters = "".join(set(_text(those)))
    if len(letters) > _MOST_TRIMMED:
        raise ValueError(f"trim takes at most {_MOST_TRIMMED} letters")
    return trim(_text(text), letters)


def _text(value: str | bytes | int | float) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
