"""Which agents a member holds, and which tools and approvals each of them has: what commands show of a TARGET without
running it.

Members that only a function's code knows are not found: nothing here calls anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from podium.ports import Check, Tool


def tools_of(member: Any) -> dict[str, dict[str, Tool]]:
    """The members that this one is or holds, by name, each with its tools by name."""
    found: dict[str, dict[str, Tool]] = {}
    for each in _members(member, set()):
        tools: Any = getattr(each, "tools", None)
        found.setdefault(each.name, {}).update(cast("dict[str, Tool]", tools) if isinstance(tools, dict) else {})
    return found


def names_of(member: Any) -> dict[str, tuple[str, ...]]:
    """The members that this one is or holds, by name, each with the names of the tools of the app that it uses."""
    found: dict[str, tuple[str, ...]] = {}
    for each in _members(member, set()):
        if names := getattr(each, "named", ()):
            found[each.name] = (*found.get(each.name, ()), *names)
    return found


def approvals_of(member: Any) -> dict[str, tuple[Check, ...]]:
    """The members that this one is or holds, by name, each with its own approvals."""
    found: dict[str, tuple[Check, ...]] = {}
    for each in _members(member, set()):
        found[each.name] = (*found.get(each.name, ()), *getattr(each, "approvals", ()))
    return found


def _members(value: Any, seen: set[int]) -> Iterator[Any]:
    if id(value) in seen or isinstance(value, str | bytes | int | float | type):
        return
    seen.add(id(value))
    if isinstance(value, list | tuple | dict):
        items = cast("dict[Any, Any]", value).values() if isinstance(value, dict) else cast("list[Any]", value)
        for item in items:
            yield from _members(item, seen)
    elif callable(value) and isinstance(getattr(value, "name", None), str) and hasattr(value, "capabilities"):
        if hasattr(value, "effect"):
            return  # a tool
        yield value
        for item in list(vars(value).values()):
            yield from _members(item, seen)
