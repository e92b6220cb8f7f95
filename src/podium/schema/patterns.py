"""Regular expressions that somebody else wrote, matched in bounded time.

A pattern like `(a+)+$` takes a backtracking engine ages on thirty characters. So patterns run on Rust's regex engine
(which pydantic-core brings): its time is the length of the text times the size of the pattern, and that product is
bounded here. What it cannot do (look-around, back-references) runs on Python's engine, when the pattern cannot blow up
and the text is short. What neither may try is not checked: `matches` says None. It knows nothing of schemas.
"""

from __future__ import annotations

import functools
import re
from typing import Any, Final

PATTERN_CHARACTERS: Final = 1000
"""Longest pattern."""
TEXT_CHARACTERS: Final = 100_000
"""Longest text that a pattern is tried on."""
STEPS: Final = 20_000_000
"""Most characters of text times states of the pattern: well under a second."""
SHORT: Final = 64
"""Longest text that Python's engine is given."""
_BITS: Final = 24
"""How many doublings of work a pattern may cause on Python's engine: six for each open repetition (SHORT is 2**6), one
for each choice."""

_PIECE: Final = re.compile(
    r"\\(?:.|$)"  # an escape
    r"|\[\^?\]?(?:[^\]\\]|\\.)*\]"  # a set of characters
    r"|\(\?(?:P?<[A-Za-z_]\w*>|<?[=!]|:)?|[()]"
    r"|[*+?][?+]?|\{\d+,?\d*\}[?+]?"
    r"|.",
    re.DOTALL,
)
_COUNT: Final = re.compile(r"\{(\d+)(,?)(\d*)\}")


def matches(pattern: str, text: str) -> bool | None:
    """Whether `pattern` is found in `text`; None when no engine here may try it on a text of this length."""
    engine = _engine(pattern)
    if engine is not None and len(text) <= TEXT_CHARACTERS and len(text) * _states(pattern) <= STEPS:
        return engine.isinstance_python(text)
    if len(text) <= SHORT and backtracks_little(pattern):
        return re.search(pattern, text) is not None
    return None


def unchecked(pattern: str) -> bool:
    """Whether no engine here may try `pattern`, not even on a short text."""
    return (_engine(pattern) is None or _states(pattern) * SHORT > STEPS) and not backtracks_little(pattern)


@functools.lru_cache(maxsize=1024)
def backtracks_little(pattern: str) -> bool:
    """Whether Python's engine can run `pattern` on SHORT characters without blowing up.

    So it is when no group is repeated, nothing refers back, and the doublings of work stay within bounds.
    """
    if len(pattern) > PATTERN_CHARACTERS:
        return False
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    before, bits = "", 0
    for piece in _PIECE.findall(pattern):
        if piece == "(?" or re.fullmatch(r"\\[1-9]", piece):
            return False
        low, high = _times(piece)
        if high != low or piece == "|":
            bits += 6 if high is None or high - low > 1 else 1
        if before == ")" and (high is None or high > 1):
            return False
        before = piece
    return bits <= _BITS


def _times(piece: str) -> tuple[int, int | None]:
    """How often a piece says that what stands before it comes: at least, and at most (None: any number)."""
    if piece[0] in "*+?" and len(piece) <= 2:
        return (piece[0] == "+", 1 if piece[0] == "?" else None)
    count = _COUNT.match(piece)
    if count is None:
        return 1, 1
    low, more, high = count.groups()
    return int(low), (int(high) if high else None) if more else int(low)


@functools.lru_cache(maxsize=1024)
def _states(pattern: str) -> int:
    """About how many states the pattern has when its counted repetitions are written out."""
    open_groups: list[int] = []
    total, last = 0, 0
    for piece in _PIECE.findall(pattern):
        low, high = _times(piece)
        if piece[0] == "(":
            open_groups.append(total)
            total, last = 0, 0
        elif piece == ")" and open_groups:
            last = total
            total += open_groups.pop()
        elif (low, high) != (1, 1):
            total += last * (max(low, high or 0, 1) - 1)
            last *= max(low, high or 0, 1)
        else:
            last = 1
            total += 1
    return total + sum(open_groups) + 1


@functools.lru_cache(maxsize=1024)
def _engine(pattern: str) -> Any:
    """Rust's engine for `pattern`, or None when it does not know such patterns."""
    import pydantic_core  # loaded with the first pattern

    if len(pattern) > PATTERN_CHARACTERS:
        return None
    try:
        return pydantic_core.SchemaValidator(
            pydantic_core.core_schema.str_schema(pattern=pattern, regex_engine="rust-regex", strict=True)
        )
    except pydantic_core.SchemaError:
        return None
