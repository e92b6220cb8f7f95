"""What is said of a value that does not fit somebody else's schema: the place, and what was expected there.

The library's own words repeat the whole value, secrets included; these name the place as a JSON pointer (RFC 6901),
show at most eighty characters of a value, and none of one whose name tells a secret. Also the formats that are checked.
It decides nothing: it is given the library's errors.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

import msgspec

from podium.core.redaction import is_sensitive

from .patterns import matches
from .problems import shown

_NAMES: Final = 12
"""Most names or choices that one message lists."""
_ARTICLES: Final = {
    "array": "an array", "object": "an object", "integer": "an integer", "null": "null", "string": "a string",
    "number": "a number", "boolean": "true or false",
}  # fmt: skip


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong."""

    pointer: str
    """Where, as a JSON pointer; empty is the value itself."""
    says: str
    """What is wrong, and what would be right."""


def said_of(error: Any, *, depth: int = 3) -> Finding:
    """The library's error in our words."""
    parts = [str(part) for part in error.absolute_path]
    secret = any(is_sensitive(part) for part in parts)
    got = "" if secret else f", got {shown(error.instance)}"
    says = _words(error, got, depth=depth)
    return Finding("".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts), says)


def _words(error: Any, got: str, *, depth: int) -> str:
    keyword, wanted, value = error.validator, error.validator_value, error.instance
    if keyword == "type":
        kinds = [wanted] if isinstance(wanted, str) else wanted
        return f"must be {_either(_ARTICLES.get(kind, str(kind)) for kind in kinds)}{got}"
    if keyword == "required":
        return "must have " + _names(name for name in wanted if name not in value)
    if keyword in {"anyOf", "oneOf"}:
        return _alternatives(error, keyword, depth)
    plain = _PLAIN.get(keyword)
    if plain is not None:
        return plain.format(n=wanted if isinstance(wanted, int | float) else shown(wanted)) + (
            "" if keyword in _COUNTS else got
        )
    named = _NAMED.get(keyword)
    if named is not None:
        return named(error, got)
    if keyword is None:
        return "is not allowed here"
    if keyword == "long name":
        return str(error.message)
    return f"does not fit {str(keyword)[:40]}"


def _alternatives(error: Any, keyword: str, depth: int) -> str:
    branches = len(error.validator_value)
    if not error.context:
        return "fits more than one of the alternatives, and must fit exactly one"
    nearest = _nearest(error.context)
    inner = said_of(nearest, depth=depth - 1) if depth > 0 else None
    if inner is None:
        return f"fits none of {branches} alternatives"
    here = "".join(f"/{part}" for part in nearest.path)
    return f"fits none of {branches} alternatives; nearest: {here + ': ' if here else ''}{inner.says}"


def _nearest(errors: Iterable[Any]) -> Any:
    """The error of the branch that came furthest: deep in the value, and not about its type."""
    return max(errors, key=lambda item: (len(item.path), item.validator not in {"type", "const", "enum"}))


def _either(words: Iterable[str]) -> str:
    return " or ".join(words)


def _names(names: Iterable[Any]) -> str:
    found = [str(name)[:60] for name in names]
    more = f" and {len(found) - _NAMES} more" if len(found) > _NAMES else ""
    return ", ".join(repr(name) for name in found[:_NAMES]) + more


def _choices(error: Any, got: str) -> str:
    values: list[Any] = error.validator_value
    more = f" (and {len(values) - _NAMES} more)" if len(values) > _NAMES else ""
    return f"must be one of {', '.join(shown(item) for item in values[:_NAMES])}{more}{got}"


def _unknown_names(error: Any, got: str) -> str:
    value, schema = error.instance, error.schema
    if not isinstance(value, dict) or error.validator_value is not False:
        return "has properties that are not allowed"
    known: dict[str, Any] = schema.get("properties", {})
    if error.validator == "unevaluatedProperties":
        return f"has properties that its schema does not know; it names {_names(known) or 'none'}"
    patterns = schema.get("patternProperties", {})
    extra = [
        name
        for name in cast("dict[str, Any]", value)
        if name not in known and not any(matches(pattern, name) for pattern in patterns)
    ]
    return f"has no property {_names(extra)}; it has {_names(known) or 'none'}"


def _dependent(error: Any, got: str) -> str:
    value, wanted = error.instance, error.validator_value
    missing = [
        name
        for key, names in wanted.items()
        if key in value and isinstance(names, list)
        for name in cast("list[str]", names)
        if name not in value
    ]
    return f"must also have {_names(missing)}"


_COUNTS: Final = frozenset(("minItems", "maxItems", "minProperties", "maxProperties", "uniqueItems", "contains", "not"))
_PLAIN: Final[Mapping[str, str]] = {
    "const": "must be {n}",
    "minimum": "must be at least {n}",
    "maximum": "must be at most {n}",
    "exclusiveMinimum": "must be above {n}",
    "exclusiveMaximum": "must be below {n}",
    "multipleOf": "must be a multiple of {n}",
    "minLength": "must have at least {n} characters",
    "maxLength": "must have at most {n} characters",
    "pattern": "must match the pattern {n}",
    "format": "must be of the format {n}",
    "minItems": "must have at least {n} items",
    "maxItems": "must have at most {n} items",
    "minProperties": "must have at least {n} properties",
    "maxProperties": "must have at most {n} properties",
    "uniqueItems": "must not hold the same item twice",
    "contains": "must hold an item of the kind that its schema asks for",
    "not": "has a form that its schema excludes",
}
_NAMED: Final[Mapping[str, Callable[[Any, str], str]]] = {
    "enum": _choices,
    "additionalProperties": _unknown_names,
    "unevaluatedProperties": _unknown_names,
    "dependentRequired": _dependent,
    "dependencies": _dependent,
}


# ------------------------------------------------------------------------------------------------------- formats

_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:)(\d\d)(?:\.\d{1,12})?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _is_date(value: object) -> bool:
    if not isinstance(value, str):
        return True
    if not _DATE.fullmatch(value):
        return False
    try:
        datetime.date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_moment(value: object) -> bool:
    """RFC 3339, section 5.6; a leap second is allowed in any minute."""
    if not isinstance(value, str):
        return True
    found = _MOMENT.fullmatch(value)
    if found is None or not _is_date(found[1]):
        return False
    try:
        datetime.time.fromisoformat(found[2] + ("59" if found[3] == "60" else found[3]))
    except ValueError:
        return False
    return True


def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or _UUID.fullmatch(value) is not None


def _is_ipv4(value: object) -> bool:
    return not isinstance(value, str) or _parses(ipaddress.IPv4Address, value)


def _is_ipv6(value: object) -> bool:
    return not isinstance(value, str) or ("%" not in value and _parses(ipaddress.IPv6Address, value))


def _parses(kind: Callable[[str], object], value: str) -> bool:
    try:
        kind(value)
    except ValueError:
        return False
    return True


FORMATS: Final[Mapping[str, Callable[[object], bool]]] = {
    "date": _is_date,
    "date-time": _is_moment,
    "uuid": _is_uuid,
    "ipv4": _is_ipv4,
    "ipv6": _is_ipv6,
}
