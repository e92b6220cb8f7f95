"""Text of a change with every credential masked: what may be journaled and shown to models.

Two nets: the formats a review reports (`credentials`), which keep a telling shape, and the shapes that nothing in
Podium may store (`core.redaction`). Lines stay where they are, and what is no credential stays readable: a reviewer
must see the code behind a line that merely looks like the beginning of a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from podium.core.redaction import redact_text
from podium.review.credentials import mask

MASK = "[private key]"
_NAME = r"(?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_END = re.compile(f"-----END {_NAME}")
# With as much of the key as stands on the same line, line ends written as escapes included.
_BEGIN = re.compile(rf"-----BEGIN {_NAME}(?:[A-Za-z0-9+/=]|\\[nr])*(-----END {_NAME})?")
# A line of a key, with what a listing of a diff, or the syntax of a language, puts around it.
# Possessive, for lines of a hundred thousand spaces.
_FRONT = r"^(\s*+\d*+\s*+[+-]?+\s*+[\"'`]?+)"
_BODY = re.compile(rf"{_FRONT}([A-Za-z0-9+/]{{20,}}={{0,2}}|[A-Za-z0-9+/]{{1,76}}={{1,2}})(?:\\[nr])*[\"'`]?[,;+]?\s*$")
_LAST = re.compile(rf"{_FRONT}([A-Za-z0-9+/]+)")
_HEADER = re.compile(r"^\s*+\d*+\s*+[+-]?+\s*+(?:(?:Proc-Type|DEK-Info|Version|Comment):.*)?$")
# The line that git shows beside a hunk's place may be one of a key above it.
_HUNK = re.compile(r"^(@@ line \d+ @@ )[A-Za-z0-9+/]{16,}={0,2}$")
_WIDTH = 60
"""Two lines of a key that are at least this long are known without its marks: a hunk may show its middle alone."""


def masked(text: str) -> str:
    """`text` without credentials, line by line."""
    lines = text.split("\n")
    keys = _keys(lines)
    return "\n".join(_front(line) + MASK if at in keys else _line(line) for at, line in enumerate(lines))


def _line(line: str) -> str:
    return redact_text(mask(_HUNK.sub(rf"\1{MASK}", _BEGIN.sub(MASK, line))))


def _front(line: str) -> str:
    found = _LAST.match(line)
    return found[1] if found else ""


def _keys(lines: list[str]) -> set[int]:
    """The numbers of the lines that are nothing but a part of a private key."""
    bodies = {at: found[2] for at, line in enumerate(lines) if (found := _BODY.match(line))}
    keys = {at for at, body in bodies.items() if len(body) >= _WIDTH and {at - 1, at + 1} & _alike(bodies, at)}
    for at, line in enumerate(lines):
        if (begin := _BEGIN.search(line)) and begin[1] is None:
            keys.update(_run(lines, bodies, range(at + 1, len(lines))))
        elif _END.search(line) and at and begin is None:
            if _LAST.match(lines[at - 1]) and " " not in lines[at - 1].strip().lstrip("0123456789 +-"):
                keys.add(at - 1)
            keys.update(_run(lines, bodies, range(at - 2, -1, -1)))
    return keys


def _alike(bodies: dict[int, str], at: int) -> set[int]:
    """The neighbours of a line that are as long as it is."""
    return {other for other in (at - 1, at + 1) if len(bodies.get(other, "")) == len(bodies[at])}


def _run(lines: list[str], bodies: dict[int, str], numbers: range) -> Iterator[int]:
    """The lines of a key from one of its marks on, past its headers."""
    for at in numbers:
        if at in bodies:
            yield at
        elif not _HEADER.match(lines[at]):
            return
