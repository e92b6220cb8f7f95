"""Whether the keywords of a subschema have values they may have: what the drafts' own schemas say, as a table.

The library can check a schema against its draft's schema, at half a millisecond a node; a large API has a hundred
thousand of them. This takes microseconds, and a test holds it to the library's verdicts. It looks at one subschema;
`foreign` walks through all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

_TYPES: Final = frozenset(("array", "boolean", "integer", "null", "number", "object", "string"))
_ANCHOR: Final = re.compile(r"[A-Za-z_][-A-Za-z0-9._]*")
Rule = Callable[[Any], bool]


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _schemas(value: Any) -> bool:
    return isinstance(value, list) and value != [] and all(map(_is_schema, cast("list[Any]", value)))


def _named_schemas(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_schema, cast("dict[str, Any]", value).values()))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _above_zero(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and (isinstance(value, int) or value.is_integer())


def _texts(value: Any) -> bool:
    """An array of different texts."""
    if not isinstance(value, list):
        return False
    items = cast("list[Any]", value)
    return all(isinstance(item, str) for item in items) and len(set(items)) == len(items)


def _named_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_texts, cast("dict[str, Any]", value).values()))


def _dependencies(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _is_schema(item) or _texts(item) for item in cast("dict[str, Any]", value).values()
    )


def _is_type(value: Any) -> bool:
    if isinstance(value, str):
        return value in _TYPES
    return _texts(value) and bool(value) and all(item in _TYPES for item in value)


def _is_anchor(value: Any) -> bool:
    return isinstance(value, str) and _ANCHOR.fullmatch(value) is not None


def _is_identity(value: Any) -> bool:
    return isinstance(value, str) and "#" not in value.removesuffix("#")


def _is_flags(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_flag, cast("dict[str, Any]", value).values()))


def _table(*groups: tuple[Rule, str]) -> dict[str, Rule]:
    return {word: rule for rule, words in groups for word in words.split()}


_BOTH: Final = _table(
    (_is_schema, "additionalProperties not if then else contains propertyNames"),
    (_schemas, "anyOf oneOf allOf"),
    (_named_schemas, "properties patternProperties definitions"),
    (_dependencies, "dependencies"),
    (_is_number, "maximum minimum exclusiveMaximum exclusiveMinimum"),
    (_above_zero, "multipleOf"),
    (_is_count, "maxLength minLength maxItems minItems maxProperties minProperties"),
    (_is_flag, "uniqueItems readOnly"),
    (_is_text, "pattern format title description $comment $schema $ref contentEncoding contentMediaType"),
    (_is_list, "enum examples"),
    (_texts, "required"),
    (_is_type, "type"),
)
_ONLY_2020: Final = _table(
    (_is_schema, "items unevaluatedItems unevaluatedProperties contentSchema"),
    (_schemas, "prefixItems"),
    (_named_schemas, "$defs dependentSchemas"),
    (_named_texts, "dependentRequired"),
    (_is_count, "maxContains minContains"),
    (_is_flag, "deprecated writeOnly"),
    (_is_anchor, "$anchor $dynamicAnchor"),
    (_is_identity, "$id"),
    (_is_text, "$dynamicRef"),
    (_is_flags, "$vocabulary"),
)
_ONLY_7: Final[dict[str, Rule]] = {
    "items": lambda value: _is_schema(value) or _schemas(value),
    "additionalItems": _is_schema,
    "$id": _is_text,
}
RULES_2020: Final[Mapping[str, Rule]] = {**_BOTH, **_ONLY_2020}
RULES_7: Final[Mapping[str, Rule]] = {**_BOTH, **_ONLY_7}


def misused(schema: Mapping[str, Any] | bool, rules: Mapping[str, Rule]) -> str | None:
    """The first keyword whose value it may not have, or None."""
    if isinstance(schema, bool):
        return None
    for word, value in schema.items():
        rule = rules.get(word)
        if rule is not None and not rule(value):
            return word
    return None
