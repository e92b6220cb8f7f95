"""The part of JSON Schema that the offline rules need: does a value fit, and what is a schema about?

Not a validator: keywords it does not know are taken as satisfied. The agent that asked validates the answer fully.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

Schema = Mapping[str, Any]

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
_DEPTH = 24
"""References and nesting followed; a schema that refers to itself has no end."""


class Root:
    """A schema with its definitions, against which references inside it are resolved."""

    __slots__ = ("schema",)

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def plain(self, schema: object) -> Schema:
        """`schema` with its reference followed and an optional (`anyOf` with null) opened."""
        for _ in range(_DEPTH):
            if not isinstance(schema, dict):
                return {}
            fields = cast("dict[str, Any]", schema)
            if isinstance(fields.get("$ref"), str):
                schema = self._target(str(fields["$ref"]))
                continue
            union = fields.get("anyOf") or fields.get("oneOf") or fields.get("allOf")
            choices = [choice for choice in cast("list[Schema]", union or []) if choice.get("type") != "null"]
            if "type" not in fields and len(choices) == 1:
                schema = choices[0]
                continue
            return fields
        return {}

    def _target(self, reference: str) -> object:
        node = cast("object", self.schema)
        for name in reference.removeprefix("#").split("/")[1:]:
            name = name.replace("~1", "/").replace("~0", "~")
            if not isinstance(node, dict):
                return None
            node = cast("dict[str, object]", node).get(name)
        return node

    def fits(self, value: object, schema: object, depth: int = 0) -> bool:
        """Whether `value` is one that `schema` describes."""
        if depth > _DEPTH or not isinstance(schema, dict):
            return schema is True or depth > _DEPTH
        fields = cast("dict[str, Any]", schema)
        if isinstance(fields.get("$ref"), str):
            return self.fits(value, self._target(fields["$ref"]), depth + 1)
        for name in ("anyOf", "oneOf"):
            if name in fields and not any(self.fits(value, choice, depth + 1) for choice in fields[name]):
                return False
        if not all(self.fits(value, each, depth + 1) for each in fields.get("allOf", ())):
            return False
        if "enum" in fields and value not in fields["enum"]:
            return False
        if "const" in fields and value != fields["const"]:
            return False
        return _type_fits(value, fields.get("type")) and self._inside_fits(value, fields, depth)

    def _inside_fits(self, value: object, fields: Schema, depth: int) -> bool:
        if isinstance(value, dict):
            given = cast("dict[str, Any]", value)
            known = cast("dict[str, Any]", fields.get("properties", {}))
            if any(name not in given for name in fields.get("required", ())):
                return False
            if fields.get("additionalProperties") is False and given.keys() - known.keys():
                return False
            return all(self.fits(given[name], known[name], depth + 1) for name in known if name in given)
        if isinstance(value, list):
            items = cast("list[object]", value)
            if not _between(len(items), fields, "minItems", "maxItems"):
                return False
            return all(self.fits(item, fields.get("items", True), depth + 1) for item in items)
        if isinstance(value, str):
            pattern = fields.get("pattern")
            return _between(len(value), fields, "minLength", "maxLength") and (
                not isinstance(pattern, str) or _searched(pattern, value)
            )
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _between(value, fields, "minimum", "maximum")
        return True


def _searched(pattern: str, value: str) -> bool:
    # A user's pattern meets text of any length here: only short values are tried.
    try:
        return len(value) <= 1000 and re.search(pattern, value) is not None
    except re.error:
        return True


def _type_fits(value: object, wanted: object) -> bool:
    if wanted is None:
        return True
    names = [wanted] if isinstance(wanted, str) else cast("list[str]", wanted)
    for name in names:
        kind = _TYPES.get(name)
        if kind is None:
            return True
        if isinstance(value, bool) and name != "boolean":
            continue
        if isinstance(value, kind) or (name == "integer" and isinstance(value, float) and value.is_integer()):
            return True
    return False


def _between(size: float, fields: Schema, low: str, high: str) -> bool:
    least, most = fields.get(low), fields.get(high)
    return (least is None or size >= least) and (most is None or size <= most)


def options_of(schema: Schema) -> list[Any] | None:
    """The values of a closed choice (`enum`, or `oneOf`/`anyOf` constants), or None."""
    if isinstance(schema.get("enum"), list):
        return cast("list[Any]", schema["enum"])
    choices = cast("list[Schema]", schema.get("oneOf") or schema.get("anyOf") or [])
    if choices and all("const" in choice for choice in choices):
        return [choice["const"] for choice in choices]
    return None


def kind_of(schema: Schema) -> str:
    """The type a (plain) schema names first, guessed from its keywords when it names none."""
    named = schema.get("type")
    if isinstance(named, list):
        named = next((name for name in cast("list[str]", named) if name != "null"), "null")
    if isinstance(named, str):
        return named
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "any"
