"""A decorated function is a tool, and still a function."""

from __future__ import annotations

import contextvars
import dataclasses
import enum
import functools
import logging
import re
import threading
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, Field

from podium.core.errors import ConfigurationError, NotDone, ToolValidationError
from podium.core.labels import TRUSTED, untrusted
from podium.ports import ToolContext
from podium.tools import FunctionTool, tool

if TYPE_CHECKING:
    from podium.ports import Tool

CTX = ToolContext(run_id="r", key="k", idempotency_key="once")


@tool(effect="read")
async def add(a: int, b: int = 2) -> str:
    """Add two numbers.

    Args:
        a: the first
    """
    return str(a + b)


def test_a_tool_is_described_by_its_function() -> None:
    port: Tool = add
    assert port.spec.name == "add"
    assert port.spec.description == "Add two numbers."
    assert port.spec.parameters["properties"]["a"] == {"type": "integer", "description": "the first"}
    assert port.spec.returns == {"type": "string"}
    assert port.spec is port.spec


async def test_a_tool_stays_callable_as_the_function_it_was() -> None:
    assert await add(1) == "3"
    assert add.__name__ == "add"
    assert (add.__doc__ or "").startswith("Add two")
    assert await add.__wrapped__(1, 1) == "2"


async def test_resolved_arguments_are_invoked() -> None:
    assert await add.invoke(add.resolve({"a": "1"}), CTX) == "3"


def test_without_options_a_tool_is_the_careful_kind() -> None:
    @tool
    def pay(amount: int) -> None: ...

    assert (pay.effect, pay.declared, pay.reach, pay.approval) == ("write", False, "external", "never")
    assert (pay.cost, pay.roles, pay.timeout, pay.label) == ("0", (), None, untrusted("tool:pay"))


def test_options_are_kept_as_the_port_wants_them() -> None:
    @tool(
        name="pay-2",
        description="Pay.",
        version="7",
        effect="idempotent",
        reach="spend",
        cost=0.002,
        roles="admin",
        output_label="trusted",
        approval=lambda args: args["amount"] > 5,
        timeout=3,
        retries=0,
    )
    def pay(amount: int) -> None: ...

    assert (pay.name, pay.spec.description, pay.version, pay.effect) == ("pay-2", "Pay.", "7", "idempotent")
    assert (pay.cost, pay.roles, pay.label, pay.declared) == ("0.002", ("admin",), TRUSTED, True)
    assert callable(pay.approval)
    assert pay.approval({"amount": 6})


def _f() -> None: ...


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "not valid"}, "name="),
        ({"name": "x" * 65}, "name="),
        ({"effect": "maybe"}, "say one of read"),
        ({"reach": "far"}, "say one of none"),
        ({"approval": "sometimes"}, "approval="),
        ({"timeout": 0}, "seconds above 0"),
        ({"timeout": "5"}, "seconds above 0"),
        ({"retries": -1}, "0 or more"),
        ({"retries": 1.5}, "0 or more"),
        ({"roles": 3}, "roles=3: give a word, or a list of them"),
        ({"tags": [1]}, "give a word, or a list of them"),
        ({"effects": "read"}, "@tool has no option 'effects': did you mean 'effect'?"),
        ({"requires_network": True}, "@tool has no option 'requires_network': write network=True"),
        ({"needs_approval": True}, """has no option 'needs_approval': write approval="always\""""),
        ({"cost": "much"}, "US dollars"),
        ({"cost": -1}, "US dollars"),
        ({"output_label": "fine"}, "output_label="),
        ({"reconcile": 3}, "reconcile="),
        ({"sandbox": "wasm"}, "sandbox="),
        ({"cache": 60, "effect": "write"}, "never cached"),
        ({"cache": True, "effect": "read"}, "deterministic"),
        ({"cache": -1, "effect": "read"}, "above 0"),
    ],
)
def test_a_bad_option_is_refused_with_the_remedy(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        tool(**options)(_f)


def _generator() -> Iterator[int]:
    yield 1


async def _async_generator() -> AsyncIterator[int]:
    yield 1


def _of_class(cls: type) -> None: ...
def _variadic(*args: int) -> None: ...


@pytest.mark.parametrize(
    "fn", [_generator, _async_generator, _variadic, lambda x: x, int, add, classmethod(_of_class), 3]
)
def test_what_cannot_be_a_tool_is_refused_when_it_is_decorated(fn: Any) -> None:
    with pytest.raises(ConfigurationError):
        tool(fn)


async def test_the_context_is_injected_and_not_part_of_the_schema() -> None:
    @tool(effect="read")
    async def by_name(ctx, x: int) -> str:
        return f"{ctx.idempotency_key}{x}"

    @tool(effect="read")
    async def by_type(x: int, call: ToolContext) -> str:
        return f"{call.run_id}{x}"

    assert list(by_name.spec.parameters["properties"]) == list(by_type.spec.parameters["properties"]) == ["x"]
    assert await by_name.invoke({"x": 1}, CTX) == "once1"
    assert await by_type.invoke({"x": 1}, CTX) == "r1"


async def test_a_synchronous_tool_runs_in_another_thread_with_the_callers_context_variables() -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who")
    who.set("ada")

    @tool(effect="read")
    def where() -> list[Any]:
        return [threading.get_ident(), who.get()]

    assert where.blocking
    assert not add.blocking
    thread, name = await where.invoke({}, CTX)
    assert thread != threading.get_ident()
    assert name == "ada"


async def test_a_synchronous_tool_may_raise_even_stop_iteration() -> None:
    @tool(effect="read")
    def exhausted() -> int:
        return next(iter(()))

    with pytest.raises(RuntimeError, match="StopIteration"):
        await exhausted.invoke({}, CTX)


class Mood(enum.Enum):
    GOOD = "good"


@dataclasses.dataclass
class Report:
    title: str
    score: int = 1


async def test_typed_arguments_reach_the_function_and_typed_results_leave_as_plain_json() -> None:
    @tool(effect="read")
    async def rate(report: Report, mood: Mood = Mood.GOOD) -> list[Report]:
        assert isinstance(report, Report)
        assert mood is Mood.GOOD
        return [report]

    resolved = rate.resolve({"report": {"title": "a"}})
    assert resolved == {"report": {"title": "a", "score": 1}, "mood": "good"}
    assert await rate.invoke(resolved, CTX) == [{"title": "a", "score": 1}]


@pytest.mark.parametrize(
    ("declared", "value", "plain"),
    [
        (Report, {"title": "a"}, {"title": "a", "score": 1}),
        (Mood, Mood.GOOD, "good"),
        (list[Mood], [Mood.GOOD], ["good"]),
        (float, 3, 3.0),
        (Any, (1, 2), [1, 2]),
        (None, None, None),
    ],
)
async def test_a_result_is_converted_to_its_declared_type(declared: Any, value: Any, plain: Any) -> None:
    async def give() -> Any:
        return value

    give.__annotations__ = {"return": declared}
    assert await tool(effect="read")(give).invoke({}, CTX) == plain


@pytest.mark.parametrize(("declared", "value"), [(int, "3"), (Report, {"name": "a"}), (None, 5), (list[int], ["x"])])
async def test_a_result_of_another_type_is_an_error_that_says_both(declared: Any, value: Any) -> None:
    async def give() -> Any:
        return value

    give.__annotations__ = {"return": declared}
    with pytest.raises(ToolValidationError, match=r"give returned .* where .* was declared") as caught:
        await tool(effect="read")(give).invoke({}, CTX)
    assert caught.value.data["where"] == "result"


async def test_a_methods_tool_belongs_to_its_instance() -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        @tool(effect="read")
        async def find(self, query: str) -> str:
            """Find."""
            return f"{self.name}:{query}"

        @staticmethod
        @tool(effect="read")
        async def ping() -> str:
            return "pong"

        borrowed = add

    one, two = Shop("one"), Shop("two")
    assert list(one.find.spec.parameters["properties"]) == ["query"]
    assert await one.find.invoke({"query": "x"}, CTX) == "one:x"
    assert await two.find("y") == "two:y"
    assert await Shop.ping.invoke({}, CTX) == "pong"
    assert await one.borrowed.invoke({"a": 1, "b": 1}, CTX) == "2"


async def test_factories_of_similar_tools_are_one_line_each() -> None:
    async def fetch(source: str, query: str) -> str:
        """Fetch."""
        return f"{source}/{query}"

    def make(source: str) -> FunctionTool[..., Any]:
        return tool(name=f"fetch_{source}", effect="read")(functools.partial(fetch, source=source))

    news, mail = make("news"), make("mail")
    assert list(news.spec.parameters["properties"]) == ["query"]
    assert news.spec.description == "Fetch."
    assert await news.invoke(news.resolve({"query": "x"}), CTX) == "news/x"
    assert await mail.invoke({"query": "x"}, CTX) == "mail/x"
    with pytest.raises(ToolValidationError, match="source: unknown parameter"):
        news.resolve({"query": "x", "source": "mail"})


async def test_types_defined_beside_a_nested_function_are_found() -> None:
    class Local(BaseModel):
        n: int = Field(ge=1)

    @tool(effect="read")
    async def use(item: Local) -> Local:
        return item

    assert await use.invoke(use.resolve({"item": {"n": "2"}}), CTX) == {"n": 2}


async def test_an_input_model_gives_the_schema_with_its_constraints() -> None:
    class Query(BaseModel):
        """Search the catalogue."""

        text: str = Field(min_length=2, description="What for")

    @tool(effect="read", input_model=Query)
    async def search(query: Query, ctx: ToolContext) -> str:
        return query.text + ctx.run_id

    assert search.spec.parameters["properties"]["text"] == {"type": "string", "minLength": 2, "description": "What for"}
    assert search.spec.description == "Search the catalogue."
    assert await search.invoke(search.resolve({"text": "ab"}), CTX) == "abr"


async def test_an_undeclared_effect_is_pointed_out_once_per_name(caplog: pytest.LogCaptureFixture) -> None:
    def make() -> FunctionTool[..., Any]:
        @tool(name="undeclared_for_the_hint")
        async def f() -> None: ...

        return f

    with caplog.at_level(logging.WARNING, logger="podium"):
        for _ in range(2):
            await make().invoke({}, CTX)
    assert [record.getMessage().count("undeclared_for_the_hint") for record in caplog.records] == [1]


async def test_settle_asks_reconcile_with_what_its_signature_takes() -> None:
    def by_key(key: str) -> str:
        return key

    def by_args(args: dict[str, Any]) -> str:
        return args["a"]

    async def both(step: str, given: dict[str, Any]) -> str:
        return step + given["a"]

    def nothing() -> str:
        return "?"

    for ask, expected in [(by_key, "k"), (by_args, "x"), (both, "kx"), (nothing, "?")]:

        @tool(effect="write", reconcile=ask)
        async def pay(a: str) -> str:
            return a

        assert await pay.settle("k", {"a": "x"}) == expected


async def test_settle_passes_not_done_and_needs_a_reconcile() -> None:
    def undone(key: str) -> str:
        raise NotDone("no such payment")

    with pytest.raises(NotDone):
        await tool(effect="write", reconcile=undone)(_f).settle("k", {})
    with pytest.raises(ConfigurationError, match="reconcile="):
        await tool(effect="write")(_f).settle("k", {})


async def test_what_a_tool_raises_passes_untouched() -> None:
    error = KeyError("x")

    @tool(effect="read")
    async def fail() -> None:
        raise error

    with pytest.raises(KeyError) as caught:
        await fail.invoke({}, CTX)
    assert caught.value is error
