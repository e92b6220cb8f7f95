"""Values on their way into a box, and out of it: JSON.

What comes out is judged before anybody looks at it, and has a bounded depth: whoever wrote these bytes may be hostile.
Nothing here knows how they came.
"""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec

DEEPEST: Final = 64
"""Levels of lists and objects. Deeper ones would fail in whatever walks the value next."""


class UnreadableValue(ValueError):
    """The bytes are not a value; the message says why, in one line."""


def read(raw: bytes) -> Any:
    """The value in `raw`; None when there are no bytes. Raises UnreadableValue."""
    if not raw:
        return None
    try:
        value = msgspec.json.decode(raw.decode("utf-8", "replace").encode())
    except RecursionError:
        raise UnreadableValue(f"its value is nested more than {DEEPEST} levels deep") from None
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        raise UnreadableValue(f"its value is not JSON: {str(error)[:100]}") from None
    if not shallow(value):
        raise UnreadableValue(f"its value is nested more than {DEEPEST} levels deep")
    return value


def shallow(value: Any) -> bool:
    """Whether lists and objects in `value` are at most DEEPEST levels deep."""
    level: list[Any] = [value]
    for _ in range(DEEPEST + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += cast("dict[str, Any]", item).values()
            elif isinstance(item, list):
                below += cast("list[Any]", item)
        if not any(isinstance(item, (dict, list)) for item in level):
            return True
        level = below
    return False


def plain(value: object) -> Any:
    """JSON for what is close to it, of our own side. Raises TypeError for anything else."""
    from podium.core.errors import ToolValidationError
    from podium.schema import dump

    listed: Any = getattr(value, "tolist", None)  # numpy's numbers and arrays
    if callable(listed) and not isinstance(value, type):
        return listed()
    try:
        return dump(value, what=type(value).__name__)
    except ToolValidationError as error:
        raise TypeError(str(error)) from None
