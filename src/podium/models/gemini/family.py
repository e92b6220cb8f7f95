"""What the name of a Gemini model tells about it: its generation, and what that generation does differently.

It knows names only. A name it cannot read is taken for one of the newest generation, which is what an alias such as
`gemini-flash-latest` means.
"""

from __future__ import annotations

import re

_GENERATION = re.compile(r"gemini-(\d+)(?:\.(\d+))?(?=-|$)")
_NEWEST = (99, 0)


def generation(model: str) -> tuple[int, int]:
    """The generation in a name: `(2, 5)` for `gemini-2.5-flash`; a very high one when the name does not say."""
    found = _GENERATION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else _NEWEST


def thinks_by_level(model: str) -> bool:
    """Whether thinking is set by a level; generation 2.5 takes a number of tokens instead."""
    return generation(model) >= (3, 0)


def thinks(model: str) -> bool:
    """Whether it can be told how much to think."""
    return generation(model) >= (2, 5)


def wants_signatures(model: str) -> bool:
    """Whether it refuses earlier tool calls that come back without a thought signature."""
    return "gemini" in model and generation(model) >= (3, 0)


def answers_in_json_with_tools(model: str) -> bool:
    """Whether an answer's schema may stand beside function declarations; before generation 3 that is refused."""
    return generation(model) >= (3, 0)
