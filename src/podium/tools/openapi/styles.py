"""Values to the places of a request that take text: path, query, headers and cookies.

The styles are those of the OpenAPI Specification 3.1, section 4.8.12, which are those of RFC 6570. Every value is
encoded so that it stays where it was put: no argument adds a path segment, a query parameter, a header or a cookie.
What the specification leaves open (objects within arrays) is written as JSON.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, TypeAlias, cast
from urllib.parse import quote

import msgspec

from podium.core.errors import ToolValidationError

Place: TypeAlias = Literal["path", "query", "header", "cookie"]
STYLES: Final = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
}
"""The styles of each place; the first is its default."""
_RESERVED: Final = ":/?@!$'()*,;"
"""What `allowReserved` leaves as it is. Not `& = # + [ ]`, which would end the value."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_DEEPEST: Final = 8


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One parameter of an operation."""

    name: str
    """Its name in the request."""
    argument: str
    """Its name among the tool's arguments."""
    place: Place
    style: str
    explode: bool
    reserved: bool = False
    json: bool = False
    """Whether it is described by a media type, and so written as JSON."""


def plain(value: Any) -> str:
    """A single value as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return "" if value is None else msgspec.json.encode(value).decode()


def _encoded(value: Any, safe: str = "") -> str:
    try:
        return quote(plain(value), safe=safe)
    except UnicodeEncodeError:
        raise ToolValidationError("an argument holds an unpaired surrogate, which is not text") from None


def in_path(parameter: Parameter, value: Any) -> str:
    """The text that replaces `{name}`. Raises ToolValidationError for one that would change the path."""
    for part in _leaves(value):
        if any(piece in (".", "..") for piece in re.split(r"[/\\]", part)) or part == "":
            raise ToolValidationError(
                f"{parameter.argument}: {part[:80]!r} cannot stand in a path: give one that is not empty and has no "
                "'.' or '..' between slashes"
            )
    if parameter.json:
        return _encoded(msgspec.json.encode(value).decode())
    name = quote(parameter.name, safe="")
    before, between = {"label": (".", "."), "matrix": (";", ";")}.get(parameter.style, ("", ","))
    if isinstance(value, dict):
        pairs = [(_encoded(key), _encoded(item)) for key, item in cast("dict[str, Any]", value).items()]
        if parameter.explode:
            return before + between.join(f"{key}={item}" for key, item in pairs)
        joined = ",".join(part for pair in pairs for part in pair)
        return f";{name}={joined}" if parameter.style == "matrix" else before + joined
    if isinstance(value, list):
        items = [_encoded(item) for item in cast("list[Any]", value)]
        if parameter.style == "matrix":
            return "".join(f";{name}={item}" for item in items) if parameter.explode else f";{name}={','.join(items)}"
        return before + (between if parameter.explode else ",").join(items)
    return f";{name}={_encoded(value)}" if parameter.style == "matrix" else before + _encoded(value)


def _leaves(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [leaf for key, item in cast("dict[str, Any]", value).items() for leaf in (key, *_leaves(item))] or [""]
    if isinstance(value, list):
        return [leaf for item in cast("list[Any]", value) for leaf in _leaves(item)] or [""]
    return [plain(value)]


def in_query(parameter: Parameter, value: Any) -> list[tuple[str, str]]:
    """Names and values, both encoded; none for an empty array or object."""
    name, safe = quote(parameter.name, safe=""), _RESERVED if parameter.reserved else ""
    if parameter.json:
        return [(name, _encoded(msgspec.json.encode(value).decode(), safe))]
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        if parameter.style == "deepObject":
            return _deep(name, entries, safe, 0)
        pairs = [(quote(key, safe=""), _encoded(item, safe)) for key, item in entries.items()]
        if parameter.explode and parameter.style == "form":
            return pairs
        items = [part for pair in pairs for part in pair]
    elif isinstance(value, list):
        items = [_encoded(item, safe) for item in cast("list[Any]", value)]
        if parameter.explode or parameter.style == "deepObject":
            return [(name, item) for item in items]
    else:
        return [(name, _encoded(value, safe))]
    between = {"spaceDelimited": "%20", "pipeDelimited": "%7C"}.get(parameter.style, ",")
    return [(name, between.join(items))] if items else []


def _deep(name: str, entries: dict[str, Any], safe: str, depth: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, item in entries.items():
        there = f"{name}%5B{quote(key, safe='')}%5D"
        if isinstance(item, dict) and depth < _DEEPEST:
            found += _deep(there, cast("dict[str, Any]", item), safe, depth + 1)
        elif isinstance(item, list):
            found += [(there, _encoded(each, safe)) for each in cast("list[Any]", item)]
        else:
            found.append((there, _encoded(item, safe)))
    return found


def in_header(parameter: Parameter, value: Any) -> str:
    """The header's value. Raises ToolValidationError for line breaks and other control characters."""
    if parameter.json:
        text = msgspec.json.encode(value).decode()
    elif isinstance(value, dict):
        pairs = [(plain(key), plain(item)) for key, item in cast("dict[str, Any]", value).items()]
        text = ",".join(f"{key}={item}" if parameter.explode else f"{key},{item}" for key, item in pairs)
    elif isinstance(value, list):
        text = ",".join(plain(item) for item in cast("list[Any]", value))
    else:
        text = plain(value)
    if _CONTROL.search(text) or text != text.strip(" \t"):
        raise ToolValidationError(
            f"{parameter.argument}: cannot stand in a header: no line breaks or control characters, and no spaces at "
            "its ends"
        )
    return text


def in_cookie(parameter: Parameter, value: Any) -> list[tuple[str, str]]:
    """Names and values, both encoded. The names of an exploded object are its keys."""
    found = in_query(parameter, value)
    if isinstance(value, list) and parameter.explode and not parameter.json:  # one cookie has one value
        return [(quote(parameter.name, safe=""), ",".join(item for _, item in found))] if found else []
    return found
