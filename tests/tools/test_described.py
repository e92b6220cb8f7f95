"""A tool made of a JSON schema and a callable."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from podium import Agent, Podium, ScriptedModel, ToolCall
from podium.core.errors import ConfigurationError, NotDone, ToolError, ToolUnavailable, ToolValidationError
from podium.core.labels import TRUSTED, untrusted
from podium.core.messages import ToolResult
from podium.core.records import Retried
from podium.ports import ToolContext
from podium.testing import FakeClock
from podium.tools import ToolExecutor
from podium.tools.described import DESCRIPTION_CHARACTERS, MAX_ARGUMENTS, DescribedTool

if TYPE_CHECKING:
    from podium.ports import Tool

CTX = ToolContext(run_id="r", key="k", idempotency_key="once")
PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 1},
        "days": {"type": "integer", "maximum": 7, "default": 3},
        "units": {"enum": ["metric", "imperial"], "default": "metric"},
    },
    "required": ["city"],
    "additionalProperties": False,
}


def forecast(**options: Any) -> DescribedTool:
    async def call(args: dict[str, Any], ctx: ToolContext) -> Any:
        return {"city": args["city"], "highs": [20] * args["days"], "key": ctx.idempotency_key}

    given: dict[str, Any] = {
        "description": "The weather.",
        "parameters": PARAMETERS,
        "call": call,
        "effect": "read",
        **options,
    }
    return DescribedTool("forecast", **given)


def test_it_is_a_tool_like_any_other() -> None:
    port: Tool = forecast(tags="weather", capabilities=["forecast"], version="2", cache=60)
    assert (port.spec.name, port.spec.description, port.spec.parameters) == ("forecast", "The weather.", PARAMETERS)
    assert (port.effect, port.reach, port.network, port.blocking, port.declared) == (
        "read", "external", True, False, True,
    )  # fmt: skip
    assert (port.tags, port.capabilities, port.version, port.cache) == (("weather",), ("forecast",), "2", 60.0)
    assert port.label == untrusted("tool:forecast")


def test_without_a_word_about_its_effect_it_is_a_write() -> None:
    assert forecast(effect="write").effect == "write"

    async def call(args: dict[str, Any], ctx: ToolContext) -> None: ...

    assert DescribedTool("x", description="", parameters={}, call=call).effect == "write"


def test_arguments_are_checked_and_completed_with_the_schemas_defaults() -> None:
    assert forecast().resolve({"city": "Oslo"}) == {"city": "Oslo", "days": 3, "units": "metric"}
    with pytest.raises(ToolValidationError) as raised:
        forecast().resolve({"city": "", "days": 9, "unit": "metric"})
    assert str(raised.value) == (
        'forecast: /city: must have at least 1 characters, got ""; /days: must be at most 7, got 9; '
        "has no property 'unit'; it has 'city', 'days', 'units'"
    )


def test_resolving_twice_changes_nothing() -> None:
    once = forecast().resolve({"city": "Oslo", "days": 1})
    assert forecast().resolve(once) == once


def test_a_default_that_does_not_fit_is_left_out() -> None:
    parameters = {"properties": {"n": {"type": "integer", "default": "many"}}}
    assert forecast(parameters=parameters).resolve({}) == {}


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "must be an object"),
        ({"city": "x" * MAX_ARGUMENTS}, "bytes, more than"),
        ({"city": "\ud800"}, "unpaired surrogate"),
        ({"city": "Oslo", "days": 2**70}, "beyond 64 bits"),
        ({"city": "Oslo", "days": float("nan")}, "finite"),
        ({"city": b"Oslo"}, "must be a string"),
        ({"city": {1}}, "must be a string|not JSON"),
    ],
)
def test_arguments_that_no_journal_could_hold_are_refused(args: Any, said: str) -> None:
    with pytest.raises(ToolValidationError, match=said):
        forecast().resolve(args)


def test_arguments_nested_too_deeply_are_refused() -> None:
    deep: Any = 1
    for _ in range(50_000):
        deep = [deep]
    with pytest.raises(ToolValidationError, match="nested deeper"):
        forecast(parameters={}).resolve({"a": deep})


async def test_a_result_is_checked_against_its_schema() -> None:
    returns = {"type": "object", "properties": {"highs": {"items": {"type": "integer"}}}}
    good = await forecast(returns=returns).invoke({"city": "Oslo", "days": 2}, CTX)
    assert good == {"city": "Oslo", "highs": [20, 20], "key": "once"}

    async def wrong(args: dict[str, Any], ctx: ToolContext) -> Any:
        return {"highs": ["mild"]}

    with pytest.raises(ToolValidationError, match="forecast: its result: /highs/0: must be an integer") as raised:
        await forecast(returns=returns, call=wrong).invoke({}, CTX)
    assert raised.value.data["where"] == "result"


@pytest.mark.parametrize(("value", "said"), [(object(), "not JSON"), ("x" * 9_000_000, "ask for less")])
async def test_a_result_that_is_not_json_or_too_large_is_refused(value: Any, said: str) -> None:
    async def call(args: dict[str, Any], ctx: ToolContext) -> Any:
        return value

    with pytest.raises(ToolValidationError, match=said) as raised:
        await forecast(call=call).invoke({}, CTX)
    assert raised.value.data["where"] == "result"


async def test_settle_asks_reconcile() -> None:
    def found(key: str, args: dict[str, Any]) -> Any:
        return {"key": key, **args}

    async def nothing(key: str, args: dict[str, Any]) -> Any:
        raise NotDone("never came")

    assert await forecast(reconcile=found).settle("k1", {"city": "Oslo"}) == {"key": "k1", "city": "Oslo"}
    with pytest.raises(NotDone):
        await forecast(reconcile=nothing).settle("k1", {})
    with pytest.raises(ConfigurationError, match="has no reconcile="):
        await forecast().settle("k1", {})


@pytest.mark.parametrize(
    "wrong",
    [
        {"effect": "sometimes"},
        {"reach": "far"},
        {"timeout": 0},
        {"retries": -1},
        {"approval": "maybe"},
        {"cost": "cheap"},
        {"cache": 60, "effect": "write"},
        {"cache": -1},
        {"parameters": {"type": "array"}},
        {"parameters": []},
        {"parameters": {"$ref": "https://example.com/schema"}},
        {"returns": {"type": "nothing"}},
        {"label": "nobody's"},
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        forecast(**wrong)


def test_a_long_description_is_cut() -> None:
    made = forecast(description="word " * 10_000)
    assert len(made.description) == DESCRIPTION_CHARACTERS
    assert made.description.endswith("…")


def test_a_label_of_ones_own_is_kept() -> None:
    assert forecast(label=TRUSTED).label == forecast(label="trusted").label == TRUSTED


def test_an_agent_uses_it_and_corrects_itself() -> None:
    model = ScriptedModel(
        [ToolCall("forecast", {"city": "Oslo", "days": 9}), ToolCall("forecast", {"city": "Oslo", "days": 1}), "Mild."]
    )
    result = Agent("weather", model, [forecast()]).run_sync("How is it in Oslo?")
    assert result.status == "succeeded"
    assert result.output == "Mild."
    refused, done = [part for message in result.messages for part in message.parts if isinstance(part, ToolResult)]
    assert "/days: must be at most 7" in str(refused.content)
    assert "20" in str(done.content)
    assert (refused.is_error, done.is_error) == (True, False)


async def test_a_service_that_asks_to_wait_is_left_alone_that_long() -> None:
    answers = iter([ToolUnavailable("busy", retry_after=120), ToolUnavailable("busy", retry_after=1e9), None])

    async def busy(args: dict[str, Any], ctx: ToolContext) -> Any:
        answer = next(answers)
        if answer is not None:
            raise answer
        return "at last"

    model = ScriptedModel([ToolCall("forecast", {"city": "Oslo"}), "Mild."])
    async with Podium(":memory:", clock=FakeClock(autojump=0.05)) as app:
        result = await app.run(Agent("weather", model, [forecast(call=busy)]), "How is it?")
    assert result.status == "succeeded"
    pauses = [record.until - record.at for record in result.records if isinstance(record, Retried)]
    assert pauses == [120.0, 300.0]  # what was asked for, up to a bound


async def test_the_executor_runs_it_and_its_failures_are_results() -> None:
    async def fails(args: dict[str, Any], ctx: ToolContext) -> Any:
        raise ToolError("no such city")

    done = await ToolExecutor([forecast(call=fails, retries=0)]).execute("forecast", {"city": "Oslo"})
    assert (done.success, done.error) == (False, "no such city")


async def test_calls_at_the_same_time_do_not_meet() -> None:
    tool = forecast()
    results = await asyncio.gather(*[tool.invoke({"city": str(n), "days": n}, CTX) for n in range(20)])
    assert [item["city"] for item in results] == [str(n) for n in range(20)]
