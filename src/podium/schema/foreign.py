"""JSON Schemas that somebody else wrote (an MCP server, an OpenAPI document): values are checked against them here.

The verdicts are those of the `jsonschema` library (extra `mcp` or `openapi`, loaded with the first schema); the bounds
and the words are ours, because both the schema and the value may come from a hostile hand:

- References stay within the schema. A remote one is refused when the validator is made; nothing is ever fetched.
- Size, depth and the work of one check are bounded, so that recursive alternatives end with an error, not a hang.
- `pattern` runs on an engine whose time is linear (see `patterns`), never by plain backtracking.
- Formats are notes, as 2020-12 has it, but for those that can be told exactly and cheaply: `date`, `date-time`,
  `uuid`, `ipv4`, `ipv6`.

Drafts: 2020-12 (also without `$schema`), and draft 7 (also for schemas that say draft 6, which it contains). It knows
no tool: `DescribedTool` does. Below it: `keywords` (what a schema may say), `patterns`, and
`findings` (what is said of a value that does not fit).
"""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from podium.core.errors import ConfigurationError, MissingExtra, ToolValidationError

from .findings import Finding, said_of
from .keywords import RULES_7, RULES_2020, Rule, misused
from .patterns import SHORT, backtracks_little, matches, unchecked
from .problems import first_line, message_of, shown
from .terms import Json, JsonSchema

DRAFT_2020: Final = "https://json-schema.org/draft/2020-12/schema"
DRAFT_7: Final = "http://json-schema.org/draft-07/schema"
_DRAFTS: Final = {
    "json-schema.org/draft/2020-12/schema": DRAFT_2020,
    "json-schema.org/draft-07/schema": DRAFT_7,
    "json-schema.org/draft-06/schema": DRAFT_7,
}

SCHEMA_BYTES: Final = 1024 * 1024
"""Most bytes of a schema, as JSON."""
SCHEMA_NODES: Final = 20_000
"""Most subschemas of a schema."""
SCHEMA_DEPTH: Final = 64
"""Deepest nesting of subschemas."""
VALUE_DEPTH: Final = 64
"""Deepest nesting of a value that is checked."""
WORK: Final = 200_000
"""Most keywords that one check may evaluate; long error texts count too. Enough for a value of some megabytes."""
FINDINGS: Final = 20
"""Most findings of one check."""

_MAPS: Final = frozenset(
    ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas", "dependencies")
)
_LISTS: Final = frozenset(("anyOf", "oneOf", "allOf", "prefixItems", "items"))
_ONES: Final = frozenset(
    ("items", "additionalItems", "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "not", "if",
     "then", "else", "contains", "propertyNames", "contentSchema")
)  # fmt: skip
_REFERENCES: Final = ("$ref", "$dynamicRef")

_left: contextvars.ContextVar[list[int]] = contextvars.ContextVar("podium_schema_work")


class _TooMuch(Exception):
    """One check did more work than it may."""


class Validator:
    """A schema ready to check values. Make one with `validator`."""

    __slots__ = ("_check", "draft", "schema", "unchecked", "what")

    def __init__(self, schema: JsonSchema | bool, what: str, draft: str, check: Any, unsure: tuple[str, ...]) -> None:
        self.schema = schema
        self.what = what
        self.draft = draft
        """The address of the draft in force."""
        self.unchecked = unsure
        """Patterns that no engine here can run within bounds (say, a back-reference): they are not checked. Of others
        that need look-around, only texts up to `patterns.SHORT` characters are."""
        self._check = check

    def findings(self, value: Json) -> list[Finding]:
        """What is wrong with `value`: nothing when it fits, at most FINDINGS. Never raises for the value."""
        if deeper_than(value, VALUE_DEPTH):
            return [Finding("", f"is nested deeper than {VALUE_DEPTH} levels: give flatter data")]
        token = _left.set([WORK])
        found: list[Finding] = []
        try:
            for error in self._check.iter_errors(value):
                finding = said_of(error)
                if finding not in found:
                    found.append(finding)
                if len(found) == FINDINGS:
                    break
        except (_TooMuch, RecursionError):
            found.append(Finding("", "takes too much work to check against its schema: give a smaller value"))
        except OverflowError:  # an integer beyond every float, where the schema has a fraction
            found.append(Finding("", "holds a number that is too large to check against its schema"))
        finally:
            _left.reset(token)
        return found

    def fits(self, value: Json) -> bool:
        """Whether `value` fits."""
        return not self.findings(value)

    def check(self, value: Json, **data: Any) -> None:
        """Raise ToolValidationError when `value` does not fit: one line that names the places as JSON pointers.

        `data` goes into the error (`where="result"`).
        """
        found = self.findings(value)
        if found:
            raise ToolValidationError(message_of(self.what, [(item.pointer, item.says) for item in found]), **data)


def validator(schema: JsonSchema | bool, *, what: str = "the value", formats: bool = True) -> Validator:
    """A validator for `schema`; `what` begins its messages. With `formats=False` no format is checked.

    Raises ConfigurationError for a schema that is no schema, of another draft, too large, or that refers outside of
    itself; MissingExtra when `jsonschema` is not installed.
    """
    try:
        classes = _classes()
    except ImportError:
        raise MissingExtra("checking values against JSON schemas", "openapi") from None
    if not isinstance(cast("object", schema), bool | dict):
        raise ConfigurationError(f"{what}: a JSON schema is an object, true or false, not {type(schema).__name__}")
    _bounded(schema, what)
    draft = _draft(schema, what)
    kind = classes[draft]
    _well_formed(schema, what, draft)
    used = _with_dependencies_spelled(schema) if draft == DRAFT_7 else schema
    unsure = _walked(used, what, draft)
    checker = _format_checker() if formats else None
    return Validator(schema, what, draft, kind(used, registry=_registry(), format_checker=checker), unsure)


# ------------------------------------------------------------------------------------------------- before it is used


def _bounded(schema: JsonSchema | bool, what: str) -> None:
    if deeper_than(schema, 4 * SCHEMA_DEPTH):
        raise ConfigurationError(f"{what}: the schema is nested too deeply")
    try:
        size = len(msgspec.json.encode(schema))
    except (TypeError, ValueError, UnicodeEncodeError, RecursionError) as error:
        raise ConfigurationError(f"{what}: the schema is not JSON: {first_line(error)}") from None
    if size > SCHEMA_BYTES:
        raise ConfigurationError(f"{what}: the schema has {size} bytes, more than {SCHEMA_BYTES}")


def _draft(schema: JsonSchema | bool, what: str) -> str:
    said = schema.get("$schema", DRAFT_2020) if isinstance(schema, dict) else DRAFT_2020
    draft = _DRAFTS.get(said.removesuffix("#").partition("://")[2]) if isinstance(said, str) else None
    if draft is None:
        raise ConfigurationError(
            f"{what}: $schema {str(said)[:200]!r} is not supported: use {DRAFT_2020} or {DRAFT_7}#"
        )
    return draft


def _well_formed(schema: JsonSchema | bool, what: str, draft: str) -> None:
    """Raise ConfigurationError for a keyword with a value it may not have."""
    rules = _rules(draft)
    waiting: list[tuple[Any, str]] = [(schema, "")]
    while waiting:
        node, pointer = waiting.pop()
        if not isinstance(node, dict):
            continue
        found = cast("JsonSchema", node)
        word = misused(found, rules)
        if word is not None:
            raise ConfigurationError(
                f"{what}: not a JSON schema{pointer and f' at {pointer}'}: {word!r} cannot be {shown(found[word])}"
            )
        waiting += [(child, f"{pointer}/{place}") for place, child in _children(found, rules)]


def _with_dependencies_spelled(schema: Any) -> Any:
    """`schema` with `dependencies: {a: [b]}` as `{a: {required: [b]}}`, which means the same: the library that follows
    references stumbles over the list."""
    if not isinstance(schema, dict):
        return schema
    fresh: JsonSchema = {}
    for key, item in cast("JsonSchema", schema).items():
        if key in _MAPS and isinstance(item, dict):
            entries = cast("dict[str, Any]", item).items()
            fresh[key] = {
                name: {"required": below} if isinstance(below, list) else _with_dependencies_spelled(below)
                for name, below in entries
            }
        elif key in _LISTS and isinstance(item, list):
            fresh[key] = [_with_dependencies_spelled(below) for below in cast("list[Any]", item)]
        else:
            fresh[key] = _with_dependencies_spelled(item) if key in _ONES else item
    return fresh


def _walked(schema: JsonSchema | bool, what: str, draft: str) -> tuple[str, ...]:
    """Visit every subschema, also those that only a reference leads to; gives the patterns that cannot be checked.

    Raises ConfigurationError for a reference that leads out of the schema or nowhere.
    """
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import DRAFT7, DRAFT202012

    specification, rules = (DRAFT202012 if draft == DRAFT_2020 else DRAFT7), _rules(draft)
    if isinstance(schema, bool):
        return ()
    top = specification.create_resource(schema)
    base = top.id() or ""
    resolver = _registry().with_resource(base, top).crawl().resolver(base)
    waiting: list[tuple[JsonSchema, Any, int]] = [(schema, resolver, 0)]
    seen: set[int] = {id(schema)}
    nodes: list[JsonSchema] = []
    while waiting:
        node, where, depth = waiting.pop()
        if depth > SCHEMA_DEPTH or len(seen) > SCHEMA_NODES:
            raise ConfigurationError(
                f"{what}: the schema has more than {SCHEMA_NODES} parts or {SCHEMA_DEPTH} levels: make it smaller"
            )
        if node is not schema and isinstance(node.get("$id"), str):
            where = where.in_subresource(specification.create_resource(node))
        found = [(child, where) for _, child in _children(node, rules)]
        for keyword in _REFERENCES:
            if isinstance(reference := node.get(keyword), str):
                try:
                    resolved = where.lookup(reference)
                except (Unresolvable, ValueError):
                    raise ConfigurationError(
                        f"{what}: the reference {reference[:200]!r} leads nowhere within the schema, and nothing is "
                        "fetched from elsewhere: put what it means into $defs"
                    ) from None
                target: object = resolved.contents
                if not isinstance(target, dict | bool) or misused(cast("JsonSchema | bool", target), rules):
                    raise ConfigurationError(f"{what}: the reference {reference[:200]!r} leads to no JSON schema")
                found.append((cast("Any", target), resolved.resolver))
        nodes.append(node)
        for child, place in found:
            if isinstance(child, dict) and id(cast("object", child)) not in seen:
                seen.add(id(cast("object", child)))
                waiting.append((cast("JsonSchema", child), place, depth + 1))
    return _unsure(nodes, what)


def _rules(draft: str) -> Mapping[str, Rule]:
    return RULES_2020 if draft == DRAFT_2020 else RULES_7


def _children(node: JsonSchema, rules: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The subschemas of a schema, and their places in it."""
    for keyword in _MAPS & rules.keys() & node.keys():
        if isinstance(group := node[keyword], dict):
            for name, child in cast("dict[str, Any]", group).items():
                yield f"{keyword}/{name}", child
    for keyword in _LISTS & rules.keys() & node.keys():
        if isinstance(group := node[keyword], list):
            for index, child in enumerate(cast("list[Any]", group)):
                yield f"{keyword}/{index}", child
    for keyword in _ONES & rules.keys() & node.keys():
        yield keyword, node[keyword]


def _unsure(nodes: list[JsonSchema], what: str) -> tuple[str, ...]:
    """The patterns that cannot be checked. Those of property names must be: which names an object may have hangs on
    them; and beside `unevaluatedProperties` the library itself tries them, by backtracking."""
    strict = any("unevaluatedProperties" in node for node in nodes)
    unsure: dict[str, None] = {}
    for node in nodes:
        names = node.get("patternProperties")
        for name in cast("dict[str, Any]", names) if isinstance(names, dict) else ():
            if unchecked(name) or (strict and not backtracks_little(name)):
                raise ConfigurationError(
                    f"{what}: patternProperties {name[:80]!r} may take too long to match, or is no pattern: use no "
                    "repeated groups and at most four open repetitions"
                )
        pattern = node.get("pattern")
        if isinstance(pattern, str) and unchecked(pattern):
            unsure[pattern] = None
    return tuple(unsure)


def deeper_than(value: Any, limit: int) -> bool:
    """Whether plain JSON is nested deeper than `limit` levels."""
    level: list[Any] = [value]
    for _ in range(limit + 1):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(cast("dict[str, Any]", item).values())
            elif isinstance(item, list | tuple):
                below.extend(cast("list[Any]", item))
        level = [item for item in below if isinstance(item, dict | list | tuple)]
        if not level:
            return False
    return True


# -------------------------------------------------------------------------------------------------- with the library


@functools.cache
def _registry() -> Any:
    """The drafts' own schemas, and nothing that could be fetched."""
    from jsonschema_specifications import REGISTRY

    return REGISTRY


@functools.cache
def _classes() -> Mapping[str, Any]:
    """The library's validators, every keyword counted, and the dangerous ones replaced."""
    from jsonschema import Draft7Validator, Draft202012Validator, validators

    extend: Callable[..., Any] = validators.extend  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - it has no types
    made: dict[str, Any] = {}
    for draft, kind in ((DRAFT_2020, Draft202012Validator), (DRAFT_7, Draft7Validator)):
        keywords: dict[str, Any] = {
            **kind.VALIDATORS,
            "pattern": _pattern,
            "patternProperties": _pattern_properties,
            "additionalProperties": _additional_properties,
            "uniqueItems": _unique_items,
        }
        if "unevaluatedProperties" in keywords:
            keywords["unevaluatedProperties"] = _short_names(keywords["unevaluatedProperties"])
        made[draft] = extend(kind, {name: _counted(keyword) for name, keyword in keywords.items()})
    return made


def _spend(amount: int) -> None:
    left = _left.get(None)
    if left is not None:
        left[0] -= amount
        if left[0] < 0:
            raise _TooMuch


def _counted(keyword: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    def run(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        _spend(1)
        for error in keyword(validator, value, instance, schema) or ():
            # The library writes the whole value into each message: that is work too.
            _spend(len(error.message) // 256)
            yield error

    return run


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(instance, str) and matches(pattern, instance) is False:
        yield ValidationError("does not match")


def _unique_items(validator: Any, unique: Any, instance: Any, schema: Any) -> Iterator[Any]:
    """By hashing: the library compares every pair when the items are objects."""
    from jsonschema import ValidationError

    if unique and isinstance(instance, list):
        items = cast("list[Any]", instance)
        if len({_identity(item) for item in items}) < len(items):
            yield ValidationError("not unique")


def _identity(value: Any) -> Any:
    """Something hashable that is equal for equal JSON: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, dict):
        return "object", frozenset((key, _identity(item)) for key, item in cast("dict[str, Any]", value).items())
    if isinstance(value, list):
        return "array", tuple(_identity(item) for item in cast("list[Any]", value))
    return isinstance(value, bool), value


def _pattern_properties(validator: Any, patterns: dict[str, Any], instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, dict):
        for pattern, below in patterns.items():
            for name, item in cast("dict[str, Any]", instance).items():
                _spend(1)
                found = matches(pattern, name)
                if found is None:
                    yield _long_name()
                elif found:
                    yield from validator.descend(item, below, path=name, schema_path=pattern)


def _additional_properties(validator: Any, below: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not isinstance(instance, dict):
        return
    known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name, item in cast("dict[str, Any]", instance).items():
        _spend(1)
        if name in known or any(matches(pattern, name) for pattern in patterns):
            continue
        if below is False:
            yield ValidationError("not known")
            return
        else:
            yield from validator.descend(item, below, path=name)


def _long_name() -> Any:
    from jsonschema import ValidationError

    error = ValidationError(f"has a property name too long to be matched: give one of at most {SHORT} characters")
    error.validator = "long name"
    return error


def _short_names(keyword: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    """The library finds what was evaluated by backtracking, over names of bounded length only."""

    def run(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if isinstance(instance, dict):
            names = cast("dict[str, Any]", instance)
            _spend(len(names))
            if any(len(name) > SHORT for name in names):
                yield _long_name()
                return
        yield from keyword(validator, value, instance, schema) or ()

    return run


@functools.cache
def _format_checker() -> Any:
    import jsonschema

    from .findings import FORMATS

    checker = jsonschema.FormatChecker(formats=())
    for name, fits in FORMATS.items():
        checker.checks(name)(fits)
    return checker
