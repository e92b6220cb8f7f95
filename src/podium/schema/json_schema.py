"""JSON Schemas as documents: their definitions, their references, and what a model need not read.

It does not make schemas (the engines do) and knows no types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from .terms import JsonSchema

REF: Final = "#/$defs/{name}"
_MAPS = ("properties", "$defs", "patternProperties", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_ONES = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")


def with_defs(schema: JsonSchema, defs: Mapping[str, JsonSchema]) -> JsonSchema:
    """`schema` with `defs` as its definitions, if there are any."""
    return {**schema, "$defs": dict(defs)} if defs else schema


def tidy(schema: Any, *, closed: bool = False) -> Any:
    """`schema` without generated titles (they cost tokens and say what the names say); with `closed`, objects of known
    fields take no others."""
    if not isinstance(schema, dict):
        return schema
    fresh: JsonSchema = {}
    for key, value in cast("JsonSchema", schema).items():
        if key == "title" and isinstance(value, str):
            continue
        if key in _MAPS and isinstance(value, dict):
            fresh[key] = {name: tidy(item, closed=closed) for name, item in cast("JsonSchema", value).items()}
        elif key in _LISTS and isinstance(value, list):
            fresh[key] = [tidy(item, closed=closed) for item in cast("list[Any]", value)]
        elif key in _ONES:
            fresh[key] = tidy(value, closed=closed)
        else:
            fresh[key] = value
    if closed and "properties" in fresh:
        fresh.setdefault("additionalProperties", False)
    return fresh


def top_resolved(schema: JsonSchema) -> JsonSchema:
    """`schema` with a reference at its very top replaced by what it names."""
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
        return schema
    defs = cast("dict[str, JsonSchema]", schema.get("$defs", {}))
    top = reference.removeprefix("#/$defs/")
    rest = {key: value for key, value in schema.items() if key not in {"$ref", "$defs"}}
    body = {**defs[top], **rest}
    import json  # at the first use of a type, not with the package

    used = json.dumps([body, {name: item for name, item in defs.items() if name != top}])
    return with_defs(body, {name: item for name, item in defs.items() if f'"#/$defs/{name}"' in used})


def holds_secret(schema: Any) -> bool:
    """Whether Pydantic marks a value in it as a secret (`SecretStr`)."""
    if isinstance(schema, dict):
        entries = cast("JsonSchema", schema)
        return entries.get("writeOnly") is True or any(holds_secret(item) for item in entries.values())
    return isinstance(schema, list) and any(holds_secret(item) for item in cast("list[Any]", schema))


def without_clashes(schema: JsonSchema, taken: Mapping[str, JsonSchema]) -> JsonSchema:
    """`schema` with those of its `$defs` renamed whose names mean something else in `taken`."""
    defs = cast("dict[str, JsonSchema]", schema.get("$defs", {}))
    clashes = [name for name, body in defs.items() if name in taken and taken[name] != body]
    if not clashes:
        return dict(schema)
    fresh: dict[str, str] = {}
    for name in clashes:
        number = 2
        while f"{name}_{number}" in taken or f"{name}_{number}" in defs:
            number += 1
        fresh[name] = f"{name}_{number}"
    moved = {**schema, "$defs": {fresh.get(name, name): body for name, body in defs.items()}}
    return cast(
        "JsonSchema", _redirected(moved, {REF.format(name=old): REF.format(name=new) for old, new in fresh.items()})
    )


def _redirected(schema: Any, references: Mapping[str, str]) -> Any:
    if isinstance(schema, list):
        return [_redirected(item, references) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    entries = cast("JsonSchema", schema).items()
    return {
        key: references.get(item, item) if key == "$ref" and isinstance(item, str) else _redirected(item, references)
        for key, item in entries
    }
