"""Step keys: the path of scopes that names a step, e.g. `review.1/security.1/turn.3/search.1`.

A key is taken when a call is made, in program order within its scope, and never by completion order. So the same
program gives the same keys on every machine, however its branches were scheduled.
"""

from __future__ import annotations

import re

_UNSAFE = re.compile(r"[%/.\x00-\x20\x7f]")
_ESCAPED = re.compile(r"%([0-9a-fA-F]{2})")


def escape(name: str) -> str:
    """`name` with the characters that structure a key percent-encoded. Never empty."""
    if name.isalnum():
        return name
    return _UNSAFE.sub(lambda match: f"%{ord(match.group()):02x}", name) or "%"


def unescape(segment: str) -> str:
    """The name that `escape` was given."""
    if segment == "%":
        return ""
    return _ESCAPED.sub(lambda match: chr(int(match.group(1), 16)), segment)


def join(scope: str, name: str, ordinal: int) -> str:
    """The key of the `ordinal`-th step (from 1) called `name` in `scope` (empty for the root)."""
    segment = f"{escape(name)}.{ordinal}"
    return f"{scope}/{segment}" if scope else segment


def parent(key: str) -> str:
    """The scope a key belongs to; empty for a root key."""
    return key.rpartition("/")[0]


def split(key: str) -> tuple[tuple[str, int], ...]:
    """The (name, ordinal) pairs of a key, from the root down.

    Raises ValueError when the text is not a key.
    """
    pairs: list[tuple[str, int]] = []
    for segment in key.split("/"):
        name, dot, ordinal = segment.rpartition(".")
        if not dot or not ordinal.isdecimal():
            raise ValueError(f"not a step key: {key!r}")
        pairs.append((unescape(name), int(ordinal)))
    return tuple(pairs)


def within(key: str, scope: str) -> bool:
    """Whether `key` lies inside `scope` (not the scope itself)."""
    return key.startswith(scope + "/") if scope else True
