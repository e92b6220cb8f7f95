"""Schemas that somebody else wrote: the library's verdicts, our words, and bounds that hold against a hostile hand."""

from __future__ import annotations

import itertools
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.core.errors import ConfigurationError, ToolValidationError
from podium.schema.foreign import DRAFT_7, DRAFT_2020, SCHEMA_BYTES, validator
from podium.schema.patterns import SHORT, backtracks_little, matches, unchecked

# ------------------------------------------------------------------------------------------- the library's verdicts

scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.0, 1.0, 1.5]) | st.text("ab1", max_size=4)
values = st.recursive(
    scalars,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("abc"), below, max_size=3),
    max_leaves=8,
)
names = st.sampled_from("abc")


def _schemas(draft: str) -> st.SearchStrategy[Any]:
    simple = st.sampled_from(
        [
            {"type": "string"},
            {"type": ["integer", "null"]},
            {"type": "number", "minimum": 0, "exclusiveMaximum": 3},
            {"multipleOf": 2},
            {"enum": [1, "a", None, {"a": 1}]},
            {"const": 1},
            {"type": "string", "minLength": 1, "maxLength": 2, "pattern": "^[ab]+$"},
            {"uniqueItems": True},
            {"minItems": 1, "maxItems": 2},
            {"minProperties": 1, "maxProperties": 1},
            {"required": ["a"]},
            {"patternProperties": {"^[ab]$": {"type": "integer"}}, "additionalProperties": False},
            {"patternProperties": {"c": True}, "additionalProperties": {"type": "null"}},
            {"$ref": "#/definitions/leaf"},
            True,
            False,
        ]
    )

    def larger(below: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        several = st.lists(below, min_size=1, max_size=3)
        made = [
            st.builds(lambda word, items: {word: items}, st.sampled_from(["anyOf", "allOf", "oneOf"]), several),
            st.builds(lambda word, item: {word: item}, st.sampled_from(["not", "contains", "items"]), below),
            st.builds(lambda a, b, c: {"if": a, "then": b, "else": c}, below, below, below),
            st.builds(
                lambda items, rest: {"properties": items, "additionalProperties": rest},
                st.dictionaries(names, below, max_size=3),
                below,
            ),
            st.builds(lambda item: {"propertyNames": item}, below),
        ]
        if draft == DRAFT_2020:
            made += [
                st.builds(lambda items, rest: {"prefixItems": items, "items": rest}, several, below),
                st.builds(lambda a, b: {"allOf": [a], "unevaluatedProperties": b}, below, below),
                st.builds(lambda item: {"dependentSchemas": {"a": item}, "dependentRequired": {"b": ["c"]}}, below),
            ]
        else:
            made.append(st.builds(lambda item: {"dependencies": {"a": item, "b": ["c"]}}, below))
        return st.one_of(made)

    return st.recursive(simple, larger, max_leaves=6).map(
        lambda schema: {"$schema": draft, "allOf": [schema], "definitions": {"leaf": {"type": ["string", "array"]}}}
    )


@settings(max_examples=300, deadline=None)
@given(schema=_schemas(DRAFT_2020), value=values)
def test_verdicts_are_those_of_the_library_in_2020_12(schema: dict[str, Any], value: Any) -> None:
    assert validator(schema).fits(value) == jsonschema.Draft202012Validator(schema).is_valid(value)


@settings(max_examples=200, deadline=None)
@given(schema=_schemas(DRAFT_7), value=values)
def test_verdicts_are_those_of_the_library_in_draft_7(schema: dict[str, Any], value: Any) -> None:
    assert validator(schema).fits(value) == jsonschema.Draft7Validator(schema).is_valid(value)


words = st.sampled_from(
    ["type", "enum", "multipleOf", "maximum", "minLength", "pattern", "items", "uniqueItems", "contains", "required",
     "maxProperties", "properties", "patternProperties", "additionalProperties", "dependencies", "propertyNames", "if",
     "allOf", "not", "format", "title", "readOnly", "examples", "definitions", "prefixItems", "additionalItems",
     "dependentRequired", "dependentSchemas", "$defs", "minContains", "deprecated", "unevaluatedProperties",
     "contentMediaType", "$comment", "const", "default"]
)  # fmt: skip
anything = st.recursive(
    scalars | st.sampled_from(["string", "integer", ["string", "null"], ["a", "a"], {}, [], [True], {"a": ["b"]}]),
    lambda below: st.lists(below, max_size=2) | st.dictionaries(words | names, below, max_size=2),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None)
@given(schema=st.dictionaries(words, anything, min_size=1, max_size=3), draft=st.sampled_from([DRAFT_2020, DRAFT_7]))
def test_what_is_a_schema_is_what_the_library_takes_for_one(schema: dict[str, Any], draft: str) -> None:
    kind = jsonschema.Draft202012Validator if draft == DRAFT_2020 else jsonschema.Draft7Validator
    try:
        kind.check_schema(schema, format_checker=jsonschema.FormatChecker(formats=()))
        right = True
    except jsonschema.SchemaError:
        right = False
    assert _is_schema({"$schema": draft, **schema}) == right


def _is_schema(schema: dict[str, Any]) -> bool:
    try:
        validator(schema)
    except ConfigurationError as error:
        return "not a JSON schema" not in str(error)  # a pattern may be refused for its own sake
    return True


@given(value=values, kind=st.sampled_from(["a", "b", "c"]))
def test_a_finding_points_at_the_value_that_is_wrong(value: Any, kind: str) -> None:
    schema = {"properties": {kind: {"type": "object", "properties": {kind: {"not": {}}}}}}
    whole = {kind: {kind: value}}
    assert [item.pointer for item in validator(schema).findings(whole)] == [f"/{kind}/{kind}"]


# --------------------------------------------------------------------------------------------------- the two drafts


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"prefixItems": [{"type": "integer"}], "items": {"type": "string"}}, [1, "a"], [1, 2]),
        ({"unevaluatedProperties": False, "allOf": [{"properties": {"a": {}}}]}, {"a": 1}, {"b": 1}),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1, "b": 1}, {"a": 1}),
        ({"contains": {"type": "null"}, "minContains": 2}, [None, None], [None]),
        ({"$defs": {"x": {"$anchor": "here", "type": "null"}}, "$ref": "#here"}, None, 1),
        ({"$id": "urn:a", "$defs": {"x": {"$id": "urn:b", "type": "null"}}, "$ref": "urn:b"}, None, 1),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}, "minimum": 3}, 3, 2),
        ({"items": {"$ref": "#/$defs/none"}, "$defs": {"none": False}}, [], [1]),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, {"type": "string"}, {"type": 1}),
    ],
)
def test_schemas_without_a_draft_are_2020_12(schema: dict[str, Any], good: Any, bad: Any) -> None:
    made = validator(schema)
    assert (made.draft, made.fits(good), made.fits(bad)) == (DRAFT_2020, True, False)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"items": [{"type": "integer"}], "additionalItems": False}, [1], [1, 2]),
        ({"dependencies": {"a": ["b"], "c": {"maxProperties": 1}}}, {"a": 1, "b": 1}, {"c": 1, "d": 1}),
        ({"definitions": {"n": {"$id": "#n", "type": "null"}}, "$ref": "#n"}, None, 1),
        # In draft 7 nothing counts beside a reference.
        ({"definitions": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/definitions/n", "minimum": 9}}},
         {"a": 1}, {"a": "x"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["", "#"])
def test_draft_7_is_used_when_the_schema_says_so(schema: dict[str, Any], good: Any, bad: Any, ending: str) -> None:
    made = validator({"$schema": DRAFT_7 + ending, **schema})
    assert (made.draft, made.fits(good), made.fits(bad)) == (DRAFT_7, True, False)


# -------------------------------------------------------------------------------------------------------- messages


def test_a_message_says_where_what_was_expected_and_what_came() -> None:
    schema = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "pets": {"type": "array", "items": {"properties": {"a/b": {"type": "integer", "minimum": 1}}}},
            "kind": {"enum": ["cat", "dog"]},
        },
        "additionalProperties": False,
    }
    with pytest.raises(ToolValidationError) as raised:
        validator(schema, what="save").check({"pets": [{"a/b": 0}, {"a/b": "x"}], "kind": "cow", "nam": 1})
    text = str(raised.value)
    assert text.startswith("save: ")
    assert "/pets/0/a~1b: must be at least 1, got 0" in text
    assert '/pets/1/a~1b: must be an integer, got "x"' in text
    assert '/kind: must be one of "cat", "dog", got "cow"' in text
    assert "must have 'name'" in text
    assert "has no property 'nam'; it has 'pets', 'kind'" in text


def test_a_message_stays_short_and_keeps_secrets() -> None:
    schema = {"additionalProperties": {"type": "integer"}}
    made = validator(schema, what="t")
    many = {f"n{i}": "word " * 1000 for i in range(500)}
    with pytest.raises(ToolValidationError) as raised:
        made.check(many)
    assert len(str(raised.value)) <= 1500
    with pytest.raises(ToolValidationError, match=r"/password: must be an integer$"):
        made.check({"password": "hunter2 hunter2"})


def test_alternatives_say_which_came_nearest() -> None:
    shape = {
        "oneOf": [
            {"properties": {"kind": {"const": "circle"}, "radius": {"type": "number"}}, "required": ["kind", "radius"]},
            {"type": "string"},
        ]
    }
    found = validator(shape).findings({"kind": "circle", "radius": "big"})
    assert [item.says for item in found] == [
        'fits none of 2 alternatives; nearest: /radius: must be a number, got "big"'
    ]


def test_what_the_caller_adds_travels_with_the_error() -> None:
    with pytest.raises(ToolValidationError) as raised:
        validator(False).check(1, where="result")
    assert raised.value.data == {"where": "result"}


# ---------------------------------------------------------------------------------------------------------- formats


@pytest.mark.parametrize(
    ("format", "good", "bad"),
    [
        ("date", "2024-02-29", "2023-02-29"),
        ("date-time", "2024-02-29T23:59:60.5Z", "2024-02-29T23:59"),
        ("date-time", "2024-02-29t10:00:00+05:30", "2024-02-29T25:00:00Z"),
        ("uuid", "2b6f0cc9-04d8-4f2b-8e3a-0123456789ab", "2b6f0cc904d84f2b8e3a0123456789ab"),
        ("ipv4", "192.0.2.1", "192.0.2.01"),
        ("ipv6", "2001:db8::1", "fe80::1%eth0"),
    ],
)
def test_formats_that_can_be_told_exactly_are_checked(format: str, good: str, bad: str) -> None:
    made = validator({"format": format})
    assert (made.fits(good), made.fits(bad), made.fits(7)) == (True, False, True)
    assert validator({"format": format}, formats=False).fits(bad)


@pytest.mark.parametrize("format", ["email", "uri", "regex", "hostname", "made-up"])
def test_other_formats_are_notes(format: str) -> None:
    assert validator({"format": format}).fits("((((")


# ------------------------------------------------------------------------------------------------- a hostile schema


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"properties": {"a": {"items": {"$ref": "other.json#/x"}}}},
        {"$id": "http://127.0.0.1:9/", "properties": {"a": {"$ref": "other.json"}}},
        {"$ref": "#/nowhere"},
        {"$ref": "#/definitions/a", "definitions": {"a": {"$ref": "https://example.com/"}}},
        {"$ref": "#/somewhere/else", "somewhere": {"else": {"items": {"$ref": "x.json"}}}},
    ],
)
def test_nothing_is_fetched_from_elsewhere(schema: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="leads nowhere within the schema"):
        validator(schema, what="t")


def test_words_in_data_are_not_references() -> None:
    schema = {"const": {"$ref": "http://127.0.0.1:9/"}, "properties": {"$ref": {"type": "string"}}}
    assert validator(schema).fits({"$ref": "http://127.0.0.1:9/"})


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"$schema": "http://json-schema.org/draft-04/schema#"}, "is not supported"),
        ({"$schema": 7}, "is not supported"),
        ({"type": "strin"}, "not a JSON schema: 'type' cannot be \"strin\""),
        ({"properties": {"a": 3}}, "'properties' cannot be an object"),
        ({"items": {"anyOf": [{"minLength": -1}]}}, "at /items/anyOf/0: 'minLength' cannot be -1"),
        ({"$ref": "#/x", "x": {"type": 1}}, "leads to no JSON schema"),
        ({"$ref": "#/x", "x": 1}, "leads to no JSON schema"),
        ("string", "is an object, true or false"),
        ({"description": "x" * SCHEMA_BYTES}, "bytes, more than"),
        ({"default": object()}, "is not JSON"),
        ({"patternProperties": {"(?=a)(a+)+$": {}}}, "may take too long"),
        ({"patternProperties": {"(a+)+$": {}}, "unevaluatedProperties": False}, "may take too long"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        validator(schema, what="t")


def test_a_schema_nested_without_end_is_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"not": deep}
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        validator(deep)


def _nested(levels: int) -> Any:
    value: Any = 1.5
    for _ in range(levels):
        value = {"x": value}
    return value


def test_recursive_alternatives_end_with_a_finding() -> None:
    branch = {"type": "object", "properties": {"x": {"$ref": "#/$defs/a"}}, "required": ["x"]}
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"type": "integer"}, branch, dict(branch)]}}}
    found = validator(schema).findings(_nested(40))  # 2**40 ways to look at it
    assert [item.says for item in found] == ["takes too much work to check against its schema: give a smaller value"]


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#"}}}])
def test_a_schema_that_is_itself_ends_with_a_finding(schema: dict[str, Any]) -> None:
    assert "too much work" in validator(schema).findings({})[0].says


def test_an_integer_beyond_every_float_is_a_finding_and_no_crash() -> None:
    found = validator({"multipleOf": 0.5}).findings(10**400)
    assert [item.says for item in found] == ["holds a number that is too large to check against its schema"]


def test_long_values_and_many_alternatives_do_not_multiply() -> None:
    assert validator({"anyOf": [{"type": "integer"}] * 2000}).findings("x" * 1_000_000)
    assert validator({"uniqueItems": True}).fits([{"a": index} for index in range(5000)])
    assert not validator({"uniqueItems": True}).fits([{"a": 1}, {"a": 1.0}])
    assert validator({"uniqueItems": True}).fits([1, True, "1", [1], [True]])


def test_a_value_nested_too_deeply_does_not_fit() -> None:
    assert validator({}).fits(_nested(60))
    assert "deeper than" in validator({}).findings(_nested(100_000))[0].says


# --------------------------------------------------------------------------------------------------------- patterns


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a|a)*b", "([a-z]{0,300}){0,300}x$", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_no_pattern_holds_a_check_up(pattern: str) -> None:
    made = validator({"pattern": pattern})
    made.findings("a" * 50 + "!")
    made.findings("ab" * 50_000)  # the test ends: that is what it shows


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("b", "abc", True),
        ("^b", "abc", False),
        (r"^\d{4}-\d{2}$", "2024-10", True),
        (r"^a$", "a\n", False),
        (r"^(?!.*secret).*$", "a secret", False),
        (r"^(?!.*secret).*$", "harmless", True),
        (r"^\p{Lu}", "Éa", True),
        (r"[^\/]+\.pdf$", "a/b.pdf", True),
    ],
)
def test_patterns_are_searched_as_ecma_has_them(pattern: str, text: str, found: bool) -> None:
    assert matches(pattern, text) is found


@pytest.mark.parametrize("pattern", [r"(a+)+\1$", r"(?=(a+)+$)b", "(?=a)(a|a)(a|a){40}", "(", "x" * 2000])
def test_patterns_no_engine_may_try_are_named_and_not_checked(pattern: str) -> None:
    assert unchecked(pattern)
    made = validator({"properties": {"a": {"pattern": pattern}}})
    assert made.unchecked == (pattern,)
    assert made.fits({"a": "a" * 60})


def test_a_pattern_that_needs_backtracking_is_tried_on_short_texts_only() -> None:
    pattern = "^(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z]).{8,}$"
    assert not unchecked(pattern)
    assert matches(pattern, "Passw0rds") is True
    assert matches(pattern, "password") is False
    assert matches(pattern, "p" * (SHORT + 1)) is None


@given(
    st.lists(
        st.sampled_from(["a", "b", "[ab]", ".", "a*", "b+", "a?", "|", "(", ")", "(?:", "(?=", "{2,9}", "^", "$"]),
        max_size=12,
    ),
    st.text("ab", max_size=SHORT),
)
@settings(max_examples=400, deadline=20_000)
def test_whatever_is_called_safe_ends(pieces: list[str], text: str) -> None:
    pattern = "".join(pieces)
    if backtracks_little(pattern):
        assert matches(pattern, text) in (True, False)
    assert matches(pattern, "a" * SHORT + "!") in (True, False, None)


def test_names_of_properties_are_matched_like_any_text() -> None:
    made = validator({"patternProperties": {"^(a+)+$": {"type": "integer"}}, "additionalProperties": False})
    assert made.fits({"a" * 5000: 1})
    assert [made.fits({"a" * 5000 + "b": 1}), made.fits({"aa": "x"})] == [False, False]


def test_findings_are_counted_up_to_a_bound() -> None:
    found = validator({"items": {"type": "string"}}).findings(list(range(1000)))
    assert [item.pointer for item in found] == [f"/{index}" for index in itertools.islice(range(1000), 20)]
