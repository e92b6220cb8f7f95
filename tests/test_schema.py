"""What a model is told of a function's arguments, and what becomes of the arguments it sends."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import string
import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, SecretStr

from podium.core.codec import encode
from podium.core.errors import ConfigurationError, InvalidOutput, ToolValidationError
from podium.schema import dump, output_type, parse_docstring, signature_schema


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Finding(BaseModel):
    title: str = Field(min_length=2, description="What is wrong")
    lines: list[int] = []
    parent: Finding | None = None


class Row(TypedDict):
    id: int


class Item(msgspec.Struct):
    sku: str


def search(
    query: str,
    limit: Annotated[int, "how many at most"] = 5,
    colour: Colour = Colour.RED,
    when: datetime.date | None = None,
    at: Point | None = None,
    tags: set[str] = frozenset(),  # pyright: ignore[reportArgumentType]
) -> None:
    """Search.

    Args:
        query: what to look for,
            in a few words
        limit (int): overruled by the annotation
    """


def test_a_schema_names_types_defaults_and_descriptions() -> None:
    schema = signature_schema(search).json
    assert schema["required"] == ["query"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["query"] == {"type": "string", "description": "what to look for, in a few words"}
    assert schema["properties"]["limit"] == {"type": "integer", "description": "how many at most", "default": 5}
    assert schema["properties"]["colour"] == {"$ref": "#/$defs/Colour", "default": "red"}
    assert "title" not in json.dumps(schema)


def test_a_parameter_called_title_keeps_its_place_in_the_schema() -> None:
    def post(title: str) -> None: ...

    assert signature_schema(post).json["properties"] == {"title": {"type": "string"}}


def test_resolved_arguments_are_plain_complete_and_coerced_without_loss() -> None:
    resolved = signature_schema(search).resolve({"query": "x", "limit": "3", "at": {"x": 4.0}, "tags": ["b", "a"]})
    expected = {"query": "x", "limit": 3, "colour": "red", "when": None, "at": {"x": 4, "y": 0}, "tags": ["a", "b"]}
    assert resolved == expected


def test_loaded_arguments_have_their_declared_types() -> None:
    loaded = signature_schema(search).load({"query": "x", "colour": "blue", "when": "2026-01-02", "at": {"x": 1}})
    assert loaded["colour"] is Colour.BLUE
    assert loaded["when"] == datetime.date(2026, 1, 2)
    assert loaded["at"] == Point(1)


def test_every_wrong_argument_is_named_in_one_message() -> None:
    with pytest.raises(ToolValidationError) as caught:
        signature_schema(search).resolve({"limit": "many", "colour": "green", "at": {"x": []}, "size": 1})
    message = str(caught.value)
    assert 'limit: expected int, got "many"' in message
    assert 'colour: expected one of "blue", "red", got "green"' in message
    assert "at.x: expected int" in message
    assert "query: is required (str)" in message
    assert "size: unknown parameter; the parameters are query, limit" in message


@pytest.mark.parametrize("text", ["null", "3", "true"])
def test_text_stays_text_where_text_is_allowed(text: str) -> None:
    def f(a: str | None, b: int | str) -> None: ...

    assert signature_schema(f).resolve({"a": text, "b": text}) == {"a": text, "b": text}


@pytest.mark.parametrize("value", [3.5, "3.5", True, "three", None, [], {}, 2**70, "9" * 30])
def test_what_is_not_losslessly_a_64_bit_integer_is_refused(value: Any) -> None:
    def f(n: int) -> None: ...

    with pytest.raises(ToolValidationError, match=r"^f: n"):
        signature_schema(f).resolve({"n": value})


@pytest.mark.parametrize("value", [math.nan, math.inf, "nan", "-inf", 10**400])
def test_numbers_that_json_does_not_have_are_refused(value: Any) -> None:
    def f(x: float) -> None: ...

    with pytest.raises(ToolValidationError, match="x: "):
        signature_schema(f).resolve({"x": value})


def test_a_message_shows_neither_secrets_nor_endless_values() -> None:
    def f(password: int, note: int, key: Annotated[int, Field(gt=0)]) -> None: ...

    planted = "ghp_0123456789abcdef0123456789abcdef0123"
    with pytest.raises(ToolValidationError) as caught:
        signature_schema(f).resolve({"password": "hunter2", "note": planted + "x" * 9000, "key": planted})
    assert "hunter2" not in str(caught.value)
    assert planted not in str(caught.value)
    assert len(str(caught.value)) < 1600


def test_pydantic_and_msgspec_types_work_in_one_signature() -> None:
    def f(finding: Finding, item: Item, path: pathlib.Path = pathlib.Path(), n: int = Field(5, le=9)) -> None: ...

    schema = signature_schema(f)
    resolved = schema.resolve({"finding": {"title": "ab", "parent": {"title": "cd"}}, "item": {"sku": "s"}})
    assert resolved["path"] == "."
    assert resolved["n"] == 5
    loaded = schema.load(resolved)
    assert loaded["finding"] == Finding(title="ab", parent=Finding(title="cd"))
    assert loaded["item"] == Item("s")
    assert loaded["path"] == pathlib.Path()
    assert schema.json["properties"]["n"]["maximum"] == 9
    with pytest.raises(ToolValidationError, match=r"finding\.title: .*at least 2.*n: "):
        schema.resolve({"finding": {"title": "a"}, "item": {"sku": "s"}, "n": 10})


def test_constraints_of_msgspec_hold_beside_pydantic_types() -> None:
    def f(found: Annotated[list[Finding], msgspec.Meta(min_length=1)]) -> None: ...

    assert signature_schema(f).json["properties"]["found"]["minItems"] == 1
    with pytest.raises(ToolValidationError, match="at least 1"):
        signature_schema(f).resolve({"found": []})


def test_types_of_one_name_keep_their_own_definitions() -> None:
    def make(field: str) -> type[BaseModel]:
        return type("Thing", (BaseModel,), {"__annotations__": {field: int}})

    one, two = make("a"), make("b")

    def f(first, second) -> None: ...

    f.__annotations__ = {"first": list[one], "second": list[two]}
    schema = signature_schema(f).json
    targets = [schema["properties"][name]["items"]["$ref"].rpartition("/")[2] for name in ("first", "second")]
    assert [list(schema["$defs"][target]["properties"]) for target in targets] == [["a"], ["b"]]


def test_a_model_as_the_arguments_arrives_whole_or_by_its_fields() -> None:
    class Query(BaseModel):
        text: str = Field(min_length=2)
        limit: int = 3

    def whole(request) -> None: ...
    def fields(text: str, limit: int) -> None: ...
    def other(text: str) -> None: ...

    assert signature_schema(whole, model=Query).load({"text": "ab"}) == {"request": Query(text="ab")}
    schema = signature_schema(fields, model=Query)
    assert schema.load({"text": "ab"}) == {"text": "ab", "limit": 3}
    assert schema.resolve({"text": "ab"}) == {"text": "ab", "limit": 3}
    with pytest.raises(ToolValidationError, match=r"text: .*at least 2"):
        schema.resolve({"text": "a"})
    with pytest.raises(ToolValidationError, match="size: unknown parameter"):
        schema.resolve({"text": "ab", "size": 1})
    with pytest.raises(ConfigurationError, match=r"takes text but .*Query has text, limit"):
        _ = signature_schema(other, model=Query).json


def _variadic(*args: int) -> None: ...
def _keywords(**kwargs: int) -> None: ...
def _positional(a: int, /) -> None: ...


@pytest.mark.parametrize("fn", [_variadic, _keywords, _positional])
def test_parameters_a_model_cannot_name_are_refused_at_once(fn: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match="name every parameter"):
        signature_schema(fn)


def test_unusable_types_and_defaults_name_function_parameter_and_remedy() -> None:
    def missing(x: Nowhere) -> None: ...  # noqa: F821 # pyright: ignore[reportUndefinedVariable]
    def opaque(x: threading) -> None: ...  # noqa: F821 # pyright: ignore[reportUndefinedVariable]
    def default(x: int = "a") -> None: ...  # pyright: ignore[reportArgumentType]
    def infinite(x: float = math.inf) -> None: ...
    def secret(x: SecretStr) -> None: ...

    opaque.__annotations__ = {"x": type("Opaque", (), {})}
    for fn, said in [
        (missing, r"missing: the type of parameter 'x'.*module level"),
        (opaque, r"opaque: parameter 'x' .*Use str, numbers"),
        (default, r"default: parameter 'x' .*default does not fit"),
        (infinite, r"infinite: parameter 'x' .*use None"),
        (secret, r"secret: .*ctx\.deps"),
    ]:
        with pytest.raises(ConfigurationError, match=said):
            _ = signature_schema(fn).json


@pytest.mark.parametrize(
    "doc",
    [
        "Do it.\n\nArgs:\n    a: the first,\n        long one\n    b (int): the second\n\nReturns:\n    c: no",
        "Do it.\n\nParameters\n----------\na : int\n    the first,\n    long one\nb\n    the second\n\nRaises\n------",
        "Do it.\n\n:param a: the first,\n    long one\n:param int b: the second\n:returns: c",
    ],
    ids=["google", "numpy", "sphinx"],
)
def test_docstrings_of_three_styles_describe_parameters(doc: str) -> None:
    assert parse_docstring(doc) == ("Do it.", {"a": "the first, long one", "b": "the second"})


def test_dump_makes_plain_data_of_what_programs_hold() -> None:
    value = {
        "point": Point(1),
        "finding": Finding(title="ab"),
        "item": Item("s"),
        "colour": Colour.RED,
        "day": datetime.date(2026, 1, 2),
        "price": decimal.Decimal("1.10"),
        "id": uuid.UUID(int=1),
        "raw": b"\xff",
        "set": {3, 1},
        "path": pathlib.PurePosixPath("a/b"),
        "pair": (1, 2),
    }
    assert dump(value) == {
        "point": {"x": 1, "y": 0},
        "finding": {"title": "ab", "lines": [], "parent": None},
        "item": {"sku": "s"},
        "colour": "red",
        "day": "2026-01-02",
        "price": "1.10",
        "id": "00000000-0000-0000-0000-000000000001",
        "raw": "/w==",
        "set": [1, 3],
        "path": "a/b",
        "pair": [1, 2],
    }


def test_dump_keeps_a_result_whose_detail_the_journal_cannot_hold() -> None:
    assert dump({"n": math.nan, "big": [2**70], "text": "\ud800!"}) == {"n": None, "big": [str(2**70)], "text": "�!"}


def _endless() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


@pytest.mark.parametrize("value", [object(), {"a": object()}, (x for x in "ab"), {(1, 2): 3}, _endless(), 1j])
def test_dump_refuses_what_is_not_json_and_says_what_to_return(value: object) -> None:
    with pytest.raises(ToolValidationError, match=r"^search returned is .*return"):
        dump(value, what="search returned")


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)


@given(anything)
def test_whatever_dump_returns_the_journal_can_hold_and_dump_leaves_alone(value: Any) -> None:
    plain = dump(value)
    encode(plain)
    json.dumps(plain, allow_nan=False).encode()
    assert dump(plain) == plain


# (type, values a model may rightly send)
_TYPES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, st.text(st.characters(exclude_categories=["Cs"]))),
    (int, st.integers(-(2**63), 2**63)),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (Literal["a", "b", 3], st.sampled_from(["a", "b", 3])),
    (Colour, st.sampled_from(["red", "blue"])),
    (list[int], st.lists(st.integers(0, 9))),
    (set[str], st.lists(st.text(string.ascii_letters), unique=True)),
    (dict[str, float], st.dictionaries(st.text(string.ascii_letters), st.floats(0, 1))),
    (int | str | None, st.none() | st.integers(0, 9) | st.text(string.ascii_letters)),
    (Point, st.fixed_dictionaries({"x": st.integers(0, 9)}, optional={"y": st.integers(0, 9)})),
    (Row, st.fixed_dictionaries({"id": st.integers(0, 9)})),
    (Item, st.fixed_dictionaries({"sku": st.text(string.ascii_letters)})),
    (Finding, st.fixed_dictionaries({"title": st.text(string.ascii_letters, min_size=2)})),
    (datetime.datetime, st.datetimes().map(lambda value: value.isoformat())),
    (decimal.Decimal, st.decimals(allow_nan=False, allow_infinity=False).map(str)),
    (pathlib.Path, st.text(string.ascii_letters, min_size=1)),
    (Annotated[int, Field(ge=0, le=9)], st.integers(0, 9)),
    (Annotated[str, msgspec.Meta(max_length=5)], st.text(string.ascii_letters, max_size=5)),
    (Any, anything.filter(lambda value: dump(value) is value)),
]


def _function(hints: list[Any]) -> Callable[..., Any]:
    names = string.ascii_lowercase[: len(hints)]
    namespace: dict[str, Any] = {}
    exec(f"def generated({', '.join(names)}): ...", namespace)  # noqa: S102 - a signature made from letters
    namespace["generated"].__annotations__ = dict(zip(names, hints, strict=True))
    return namespace["generated"]


@st.composite
def calls(draw: st.DrawFn) -> tuple[Callable[..., Any], dict[str, Any]]:
    chosen = draw(st.lists(st.sampled_from(_TYPES), min_size=1, max_size=4))
    fn = _function([hint for hint, _ in chosen])
    return fn, {name: draw(values) for name, (_, values) in zip(string.ascii_lowercase, chosen, strict=False)}


@settings(max_examples=150, deadline=None)
@given(calls())
def test_valid_arguments_resolve_once_and_for_all_and_load_to_equal_values(
    call: tuple[Callable[..., Any], dict[str, Any]],
) -> None:
    fn, args = call
    schema = signature_schema(fn)
    resolved = schema.resolve(args)
    encode(resolved)
    assert schema.resolve(resolved) == resolved
    assert schema.load(resolved) == schema.load(args)
    if schema.plain:
        assert schema.load(resolved) == resolved


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([hint for hint, _ in _TYPES]), max_size=3), st.dictionaries(st.text("abcz"), anything))
def test_any_arguments_resolve_or_give_a_validation_error_of_bounded_length(
    hints: list[Any], args: dict[str, Any]
) -> None:
    schema = signature_schema(_function(hints))
    try:
        resolved = schema.resolve(args)
    except ToolValidationError as error:
        message = str(error).encode()
        if len(message.decode()) > 1500:
            raise
    else:
        encode(resolved)
        assert schema.resolve(resolved) == resolved


@pytest.mark.parametrize("args", [None, [], "x", 3, {1: 2}])
def test_arguments_that_are_no_object_are_refused(args: Any) -> None:
    def f(a: int = 1) -> None: ...

    with pytest.raises(ToolValidationError):
        signature_schema(f).resolve(args)


def test_arguments_nested_beyond_reason_are_refused() -> None:
    def f(a: dict[str, Any]) -> None: ...

    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(ToolValidationError, match="nested too deeply"):
        signature_schema(f).resolve({"a": deep})


def test_text_is_an_output_without_a_schema() -> None:
    text = output_type(str)
    assert text.is_text
    assert text.spec is None
    assert text.parse("anything {") == "anything {"


@pytest.mark.parametrize("tp", [Finding, Point, Row, Item, list[Finding], int, Literal["a", "b"], int | str, Colour])
def test_providers_are_always_asked_for_a_closed_object(tp: Any) -> None:
    spec = output_type(tp).spec
    assert spec is not None
    assert spec.schema["type"] == "object"
    assert spec.schema["additionalProperties"] is False
    assert spec.name.isidentifier()


@pytest.mark.parametrize(
    "text",
    [
        '{"title": "ab", "lines": [1]}',
        '```json\n{"title": "ab", "lines": [1]}\n```',
        'Sure, {here} it is: {"title": "ab", "lines": ["1"]} Anything else?',
        'First {"title": "x"}, corrected: {"title": "ab", "lines": [1]}',
    ],
)
def test_an_answer_is_found_in_fences_and_prose(text: str) -> None:
    assert output_type(Finding).parse(text) == Finding(title="ab", lines=[1])


def test_a_wrapped_answer_may_come_bare() -> None:
    assert output_type(int).parse('{"value": 3}') == output_type(int).parse("3") == 3
    assert output_type(Colour).parse("red") is Colour.RED
    assert output_type(list[Point]).parse('[{"x": 1}]') == [Point(1)]


def test_an_unfit_answer_says_what_to_correct() -> None:
    with pytest.raises(InvalidOutput, match=r"title: .*at least 2 characters"):
        output_type(Finding).parse('{"title": "a"}')
    with pytest.raises(InvalidOutput, match="no JSON"):
        output_type(Finding).parse("I could not find anything.")
    with pytest.raises(InvalidOutput, match='one of "blue", "red"'):
        output_type(Colour).parse("green")


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 50_000, "```\n" * 50_000, "9" * 10_000, "{" * 99 + "NaN"])
def test_hostile_answers_are_refused_and_nothing_worse(text: str) -> None:
    with pytest.raises(InvalidOutput):
        output_type(Finding).parse(text)


@settings(deadline=None)
@given(
    st.builds(Finding, title=st.text(string.ascii_letters, min_size=2), lines=st.lists(st.integers(0, 99))), st.text()
)
def test_an_output_survives_the_journal_and_any_text_parses_or_is_refused(finding: Finding, text: str) -> None:
    output = output_type(Finding)
    assert output.load(output.dump(finding)) == finding
    assert output.parse(json.dumps(output.dump(finding))) == finding
    with pytest.raises(InvalidOutput):
        output.parse(text)
