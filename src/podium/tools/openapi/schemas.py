"""OpenAPI's schema objects to JSON Schema 2020-12, with everything they refer to as `$defs`.

3.0 has a dialect of its own (`nullable`, boolean `exclusiveMinimum`); 3.1 is 2020-12 with additions. What a model or a
validator has no use for (examples, XML, extensions) is left out. What flows in loses its `readOnly` properties; what
flows out need not have those that are `writeOnly`. It knows no parameter and no body.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, cast

from .document import Document, Unusable

_DEPTH: Final = 64
_DESCRIPTION: Final = 1000
_MAPS: Final = frozenset(("properties", "patternProperties", "dependentSchemas", "$defs"))
_LISTS: Final = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_ONES: Final = frozenset(
    ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedItems",
     "unevaluatedProperties")
)  # fmt: skip
_PLAIN: Final = frozenset(
    ("type", "enum", "const", "default", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum",
     "maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "maxContains", "minContains",
     "maxProperties", "minProperties", "required", "dependentRequired", "format", "contentEncoding",
     "contentMediaType", "title", "description")
)  # fmt: skip
_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")

Way = Literal["in", "out"]


class Schemas:
    """Converts the schemas that belong together (one tool's arguments, one response) and collects their definitions."""

    def __init__(self, document: Document, way: Way) -> None:
        self._document = document
        self._way: Way = way
        self._names: dict[str, str] = {}
        self.defs: dict[str, Any] = {}
        """Definitions that what was converted so far refers to."""

    def convert(self, node: object) -> Any:
        """A schema object as JSON Schema, with references to `#/$defs/…`. Raises Unusable for what cannot be used."""
        return self._converted(node, 0, frozenset())

    def whole(self, node: object) -> Any:
        """A schema object as a JSON schema that stands alone."""
        schema = self.convert(node)
        if not self.defs or not isinstance(schema, dict):
            return schema
        return {**cast("dict[str, Any]", schema), "$defs": self.defs}

    def _converted(self, node: object, depth: int, hidden: frozenset[str]) -> Any:
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict) or depth > _DEPTH:
            raise Unusable("a schema is no object, or is nested too deeply")
        schema = cast("dict[str, Any]", node)
        reference = schema.get("$ref")
        if isinstance(reference, str):
            if hidden:  # the referenced schema without the hidden names is another one than its definition
                return self._converted(self._target(reference), depth + 1, hidden)
            there = {"$ref": self._definition(reference)}
            if self._document.version == "3.0":
                return there
            beside = self._keywords({key: item for key, item in schema.items() if key != "$ref"}, depth, hidden)
            return {**there, **beside}
        if "$dynamicRef" in schema:
            raise Unusable("$dynamicRef is not supported: use $ref")
        return self._keywords(schema, depth, hidden)

    def _target(self, reference: str) -> Any:
        seen: set[str] = set()
        while True:
            if reference in seen:
                raise Unusable(f"the reference {reference[:200]!r} leads back to itself")
            seen.add(reference)
            node = self._document.at(reference)
            entries = cast("dict[str, Any]", node) if isinstance(node, dict) else {}
            following = entries.get("$ref")
            if not isinstance(following, str) or len(entries) > 1:
                return cast("Any", node)
            reference = following

    def _definition(self, reference: str) -> str:
        """The place among the definitions of what a reference of the document names."""
        name = self._names.get(reference)
        if name is None:
            base = _NAME.sub("_", reference.rpartition("/")[2])[:60] or "schema"
            name, number = base, 2
            while name in self.defs:
                name, number = f"{base}_{number}", number + 1
            self._names[reference] = name
            self.defs[name] = {}  # so that it may refer to itself
            self.defs[name] = self._converted(self._target(reference), 0, frozenset())
        return f"#/$defs/{name}"

    def _keywords(self, schema: dict[str, Any], depth: int, hidden: frozenset[str]) -> dict[str, Any]:
        if "allOf" in schema:
            hidden |= self._hidden_within(schema, 0)
        else:
            hidden |= self._hidden_here(schema)
        fresh: dict[str, Any] = {}
        for key, item in schema.items():
            if key in _MAPS and isinstance(item, dict):
                entries = cast("dict[str, Any]", item)
                kept = {
                    name: below for name, below in entries.items() if key != "properties" or self._kept(name, below)
                }
                fresh[key] = {name: self._converted(below, depth + 1, frozenset()) for name, below in kept.items()}
            elif key in _LISTS and isinstance(item, list):
                within = hidden if key == "allOf" else frozenset[str]()
                fresh[key] = [self._converted(below, depth + 1, within) for below in cast("list[Any]", item)]
            elif key in _ONES:
                fresh[key] = self._converted(item, depth + 1, frozenset())
            elif key in _PLAIN:
                fresh[key] = item
        if isinstance(fresh.get("required"), list):
            fresh["required"] = [name for name in fresh["required"] if name not in hidden]
            if not fresh["required"]:
                del fresh["required"]
        if isinstance(fresh.get("description"), str):
            fresh["description"] = fresh["description"][:_DESCRIPTION]
        if fresh.get("format") == "binary" and fresh.get("type") == "string":
            fresh["contentEncoding"] = "base64"
        return _modern(fresh, schema) if self._document.version == "3.0" else fresh

    # ------------------------------------------------------------------------------------------- hidden properties

    def _kept(self, name: str, below: object) -> bool:
        return self._way == "out" or not self._flagged(below)

    def _flagged(self, below: object) -> bool:
        """Whether a property does not flow this way."""
        flag = "readOnly" if self._way == "in" else "writeOnly"
        if not isinstance(below, dict):
            return False
        schema = cast("dict[str, Any]", below)
        if schema.get(flag) is True:
            return True
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return False
        target = self._target(reference)
        return isinstance(target, dict) and cast("dict[str, Any]", target).get(flag) is True

    def _hidden_here(self, schema: dict[str, Any]) -> frozenset[str]:
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return frozenset()
        return frozenset(name for name, below in cast("dict[str, Any]", properties).items() if self._flagged(below))

    def _hidden_within(self, schema: object, depth: int) -> frozenset[str]:
        """The hidden names of a schema and of all it is composed of: one part may require what another hides."""
        if not isinstance(schema, dict) or depth > _DEPTH:
            return frozenset()
        node = cast("dict[str, Any]", schema)
        if isinstance(node.get("$ref"), str):
            return self._hidden_within(self._target(node["$ref"]), depth + 1)
        found = self._hidden_here(node)
        parts = node.get("allOf")
        for part in cast("list[Any]", parts) if isinstance(parts, list) else ():
            found |= self._hidden_within(part, depth + 1)
        return found


def _modern(schema: dict[str, Any], original: dict[str, Any]) -> dict[str, Any]:
    """The dialect of 3.0 as 2020-12."""
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        flag = schema.get(exclusive)
        if isinstance(flag, bool):
            del schema[exclusive]
            if flag and bound in schema:
                schema[exclusive] = schema.pop(bound)
    if original.get("nullable") is not True:
        return schema
    kind = schema.get("type")
    if isinstance(kind, str):
        schema["type"] = [kind, "null"]
        if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
        return schema
    if not schema:
        return schema
    # Strictly `nullable` needs `type` beside it; authors mean "or null" when they write it beside allOf.
    return {"anyOf": [schema, {"type": "null"}]}
