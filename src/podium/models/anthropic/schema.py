"""A JSON schema as the provider's structured outputs accept it: an adapted copy, or the finding that there is none.

The provider compiles a schema into a grammar. It wants every object closed, knows few keywords and no recursion. A
keyword it does not know is told to the model in the description, which is what the official SDK does too; the agent
checks the answer against the original. A schema that would lose its meaning (an object with keys of any name, a value
of any type, a recursion) is not adapted: the caller says it in words instead.

The rules: https://platform.claude.com/docs/en/build-with-claude/structured-outputs (as of 2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from podium.models.reading import Json, table

_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)  # fmt: skip
_TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
_SAID_ELSEWHERE = frozenset({"$schema", "$id", "$comment", "definitions"})
"""Keywords that mean nothing to a model, or are carried elsewhere."""
_MOVED = ("#/definitions/", "#/$defs/")


class _NotExpressible(Exception):
    """The provider's grammar cannot say this."""


def adapted(schema: Mapping[str, Any]) -> Json | None:
    """A copy the provider accepts, or None when there is none with the same meaning."""
    definitions = {**table(schema.get("definitions")), **table(schema.get("$defs"))}
    try:
        _check_references(definitions, schema)
        found = _adapt({name: value for name, value in schema.items() if name != "$defs"})
        if definitions:
            found = {"$defs": {name: _adapt(each) for name, each in definitions.items()}, **found}
    except (_NotExpressible, RecursionError):
        return None
    return found


def _adapt(schema: object) -> Json:
    if not isinstance(schema, Mapping):
        raise _NotExpressible  # `true` allows anything
    given = cast("Mapping[str, Any]", schema)
    if isinstance(given.get("$ref"), str):
        return {"$ref": _target(given["$ref"])}
    if isinstance(given.get("type"), list):
        return _choice_of_types(given)
    found, used = _meaning(given)
    for name in ("description", "title"):
        if given.get(name) is not None:
            found[name] = given[name]
    left = {name: value for name, value in given.items() if name not in used | _SAID_ELSEWHERE | {"title"}}
    left.pop("description", None)
    kind = found.get("type")
    if kind == "object":
        found.update(_object(given))
        for name in ("properties", "additionalProperties", "required"):
            left.pop(name, None)
    elif kind == "array":
        found.update(_array(given, left))
    elif kind == "string" and left.get("format") in _FORMATS:
        found["format"] = left.pop("format")
    _tell(found, left)
    return found


def _meaning(given: Mapping[str, Any]) -> tuple[Json, set[str]]:
    """What the schema demands, and the keywords that say so."""
    found: Json = {}
    used: set[str] = {"type"}
    values = given.get("enum")
    if isinstance(values, list) and values and all(_plain(value) for value in cast("list[object]", values)):
        found["enum"] = list(cast("list[object]", values))
        used.add("enum")
    if "const" in given and _plain(given["const"]):
        found["const"] = given["const"]
        used.add("const")
    for name, sent in (("anyOf", "anyOf"), ("oneOf", "anyOf"), ("allOf", "allOf")):
        choices = given.get(name)
        if isinstance(choices, list) and choices:
            found[sent] = [_adapt(choice) for choice in cast("list[object]", choices)]
            return found, used | {name}
    if not found:
        found["type"] = _type(given)
    return found, used


def _type(given: Mapping[str, Any]) -> str:
    kind = given.get("type") or ("object" if "properties" in given else "array" if "items" in given else None)
    if kind not in _TYPES:
        raise _NotExpressible
    return kind


def _choice_of_types(given: Mapping[str, Any]) -> Json:
    """`"type": ["string", "null"]`, which the provider wants as a choice."""
    about = {name: given[name] for name in ("title", "description") if name in given}
    rest = {name: value for name, value in given.items() if name not in {*about, "type", "default"}}
    if "enum" in rest or "const" in rest:
        return _adapt({**about, **rest})
    kinds = cast("list[object]", given["type"])
    return {"anyOf": [_adapt({"type": kind} if kind == "null" else {**rest, "type": kind}) for kind in kinds], **about}


def _object(given: Mapping[str, Any]) -> Json:
    others = given.get("additionalProperties")
    if isinstance(others, Mapping) or "patternProperties" in given:
        raise _NotExpressible  # closed, it would allow no keys at all
    if "properties" not in given and others is not False:
        raise _NotExpressible
    properties = {name: _adapt(each) for name, each in table(given.get("properties")).items()}
    found: Json = {"properties": properties, "additionalProperties": False}
    if given.get("required") is not None:
        found["required"] = list(given["required"])
    return found


def _array(given: Mapping[str, Any], left: Json) -> Json:
    found: Json = {}
    left.pop("items", None)
    if "items" not in given or "prefixItems" in given:
        raise _NotExpressible
    found["items"] = _adapt(given["items"])
    if given.get("minItems") in (0, 1):
        found["minItems"] = left.pop("minItems")
    return found


def _tell(found: Json, left: Json) -> None:
    """Say in the description what the grammar cannot."""
    for name in ("format", "minItems"):  # last, where the official SDK puts them
        if name in left:
            left[name] = left.pop(name)
    if left:
        told = "{" + ", ".join(f"{name}: {value}" for name, value in left.items()) + "}"
        before = found.get("description")
        found["description"] = told if before is None else f"{before}\n\n{told}"


def _plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)


def _target(reference: str) -> str:
    reference = reference.replace(*_MOVED, 1)
    if not reference.startswith("#/$defs/"):
        raise _NotExpressible
    return reference


def _check_references(definitions: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Raise for a reference to nothing, and for one that leads back to where it stands."""
    done: set[str] = set()

    def follow(names: set[str], path: tuple[str, ...]) -> None:
        for name in names:
            if name in path or name not in definitions:
                raise _NotExpressible
            if name not in done:
                follow(_references(definitions[name]), (*path, name))
                done.add(name)

    follow(_references({name: value for name, value in schema.items() if name not in ("$defs", "definitions")}), ())


def _references(value: object) -> set[str]:
    found: set[str] = set()
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, object]", value)
        if isinstance(fields.get("$ref"), str):
            found.add(_target(cast("str", fields["$ref"])).removeprefix("#/$defs/"))
        for each in fields.values():
            found |= _references(each)
    elif isinstance(value, list):
        for each in cast("list[object]", value):
            found |= _references(each)
    return found
