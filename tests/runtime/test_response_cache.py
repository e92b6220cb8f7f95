"""The response cache: only who asks for it gets it, an equal request is free, and nothing else is equal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from harness import Machine, cut, records_of, spy

from podium import (
    Agent,
    FallbackModel,
    Limits,
    ModelError,
    Price,
    Principal,
    Reply,
    ScriptedModel,
    Settings,
    ToolCall,
    Usage,
    tool,
)
from podium.agents.member import RunOptions
from podium.core.actions import Retry
from podium.core.deltas import TextDelta
from podium.core.errors import Overloaded
from podium.core.messages import assistant
from podium.core.records import Began, Ended, Retried
from podium.core.state import fold

DOLLAR = Price(input=Decimal(0), output=Decimal(0), request=Decimal(1))


def counting(*, name: str = "counted", price: Price = DOLLAR) -> ScriptedModel:
    """Answers with the number of requests it has had."""
    model = ScriptedModel(lambda _: f"answer {len(model.requests)} about many things", name=name, price=price)
    return model


def agent(model: Any, **options: Any) -> Agent:
    options.setdefault("cache", 60.0)
    return Agent(options.pop("name", "shop"), model=model, **options)


async def test_an_equal_request_is_answered_from_the_cache_at_no_cost(any_machine: Machine) -> None:
    model = counting()
    async with any_machine.app(budgets={"all": 100}) as app:
        first = await app.run(agent(model), "hi")
        second = await app.run(agent(model), "hi")
        assert second.output == first.output == "answer 1 about many things"
        assert len(model.requests) == 1
        assert (first.cost, second.cost, second.uncertain_cost, second.unpriced) == (1, 0, 0, 0)
        assert first.usage.input_tokens > 0
        assert (second.usage.input_tokens, second.usage.output_tokens) == (0, 0)
        [ended] = [record for record in records_of(second, Ended) if record.cached]
        assert (ended.cost, ended.usage) == ("0", None)
        [balance] = await app.store.balances()
        assert (balance.spent.calls, balance.held.calls) == (1, 0), "a hit reserves and spends nothing"
        [line] = await app.costs.summary("model")
        assert (line.calls, line.cost, line.hits, line.saved) == (1, 1, 1, 1)
    async with any_machine.app() as app:
        assert (await app.run(agent(model), "hi")).output == first.output, "kept by the store"


async def test_a_hit_needs_no_budget(machine: Machine) -> None:
    model = counting()
    async with machine.app(budgets={"all": 1}) as app:
        await app.run(agent(model), "hi")
        assert (await app.run(agent(model), "hi")).status == "succeeded"
        assert (await app.run(agent(model), "something else")).status == "exhausted"


async def test_only_an_agent_that_asks_for_it_is_answered_from_the_cache(machine: Machine) -> None:
    model = counting()
    async with machine.app() as app:
        await app.run(agent(model), "hi")
        assert (await app.run(agent(model, cache=None), "hi")).output == "answer 2 about many things"
        assert (await app.store.cache_size()).entries == 1
        await app.run(agent(counting(name="other"), cache=None), "hi")
        assert (await app.store.cache_size()).entries == 1


@tool(effect="read")
async def look() -> str:
    """Look."""
    return "seen"


@pytest.mark.parametrize(
    ("changes", "options", "input"),
    [
        ({}, {}, "hi!"),
        ({"system_prompt": "Be brief."}, {}, "hi"),
        ({"settings": Settings(temperature=0.5)}, {}, "hi"),
        ({"settings": Settings(max_output_tokens=100)}, {}, "hi"),
        ({"tools": [look]}, {}, "hi"),
        ({"output": dict[str, int], "output_retries": 0}, {}, "hi"),
        ({}, {"principal": Principal(tenant="x")}, "hi"),
    ],
)
async def test_a_request_that_differs_in_anything_is_another(
    machine: Machine, changes: dict[str, Any], options: dict[str, Any], input: str
) -> None:
    model = counting()
    async with machine.app() as app:
        await app.run(agent(model), "hi")
        await app.run(agent(model, **changes), input, options=RunOptions(**options))
    assert len(model.requests) == 2


async def test_models_and_servers_do_not_share_answers(machine: Machine) -> None:
    one, two, far = counting(), counting(name="two"), counting()
    far.server = "https://elsewhere.test"  # type: ignore[attr-defined]
    async with machine.app() as app:
        for model in (one, two, far):
            await app.run(agent(model), "hi")
    assert [len(model.requests) for model in (one, two, far)] == [1, 1, 1]


async def test_people_of_one_tenant_share_answers_and_agents_too(machine: Machine) -> None:
    model = counting()
    async with machine.app() as app:
        await app.run(agent(model), "hi", options=RunOptions(principal=Principal("ann", tenant="x")))
        await app.run(agent(model, name="other"), "hi", options=RunOptions(principal=Principal("bob", tenant="x")))
    assert len(model.requests) == 1


async def test_an_answer_expires(any_machine: Machine) -> None:
    model = counting()
    async with any_machine.app() as app:
        for later in (0, 59, 1):
            any_machine.clock.now += later
            await app.run(agent(model), "hi")
    assert len(model.requests) == 2, "60 seconds from when it was given, however often it was used"


async def test_only_whole_answers_are_kept(machine: Machine) -> None:
    for finish in ("length", "refusal", "content_filter", "a_word_of_the_provider"):
        model = ScriptedModel(
            lambda _, finish=finish: Reply(assistant("cut"), Usage(1, 1), finish, None, "0"), name=finish
        )
        async with machine.app() as app:
            await app.run(agent(model), "hi")
            await app.run(agent(model), "hi")
            assert len(model.requests) == 2, finish
            assert (await app.store.cache_size()).entries == 0


async def test_an_answer_of_the_second_in_a_chain_is_not_kept_for_the_first(machine: Machine) -> None:
    def busy(_: Any) -> str:
        raise Overloaded("busy", status=529)

    first, second = ScriptedModel(busy, name="first", price=DOLLAR), counting(name="second")
    async with machine.app() as app:
        await app.run(agent(FallbackModel(first, second, attempts=1)), "hi")
        assert (await app.store.cache_size()).entries == 0
        alone = await app.run(agent(first, retry=Retry(1)), "hi")
        assert (alone.status, len(first.requests), len(second.requests)) == ("failed", 2, 1)


async def test_the_cache_has_a_size(any_machine: Machine) -> None:
    model = counting()
    async with any_machine.app(limits=Limits(lease=1e9, idle=0.002, cache=400)) as app:
        for number in range(10):
            any_machine.clock.now += 1
            await app.run(agent(model), f"question {number}")
        size = await app.store.cache_size()
        assert 0 < size.bytes <= 400
        any_machine.clock.now += 1
        assert (await app.run(agent(model), "question 9")).cost == 0, "the newest is there"
        assert (await app.run(agent(model), "question 0")).cost == 1, "the oldest is not"


async def test_tool_calls_from_the_cache_are_named_anew_in_each_run(any_machine: Machine) -> None:
    """Their names come from record numbers: those of another run could meet one of this run's own."""

    def script(request: Any) -> Any:
        return "done" if len(request.messages) > 2 else [ToolCall("look"), ToolCall("look")]

    def shop() -> Agent:
        return agent(model, tools=[look])

    model = ScriptedModel(script, price=DOLLAR)
    async with any_machine.app() as app:
        for number in range(2):
            result = await app.run(shop(), "hi")
            calls = [call.id for message in result.messages for call in message.tool_calls]
            seq = next(n for n, record in enumerate(result.records, 1) if isinstance(record, Ended) and record.value)
            assert calls == [f"call_{seq}_0", f"call_{seq}_1"]
            assert bool(number) == any(record.cached for record in records_of(result, Ended))


async def test_a_hit_is_streamed_as_if_it_were_given_now(any_machine: Machine) -> None:
    model = counting()
    async with any_machine.app() as app:
        await app.run(agent(model), "hi")
        events = [event async for event in app.stream(agent(model), "hi")]
    pieces = [event for event in events if isinstance(event, TextDelta)]
    assert "".join(piece.text for piece in pieces) == "answer 1 about many things"
    assert len(pieces) > 1
    assert {piece.key for piece in pieces} == {"shop.1/turn.1/model.1"}


async def test_a_large_hit_is_replayed_and_counted_like_any_other(any_machine: Machine) -> None:
    model = ScriptedModel(lambda _: "x" * 100_000, price=DOLLAR)
    async with any_machine.app() as app:
        await app.run(agent(model), "hi")
        result = await app.run(agent(model), "hi")
        assert result.output == "x" * 100_000
        [_, row] = [row for each in await app.store.costs() for row in each.rows]
        assert (row.hits, row.calls) == (1, 0)


async def test_a_crash_after_any_record_replays_a_hit_as_it_was(any_machine: Machine) -> None:
    model = counting()

    def shop() -> Agent:
        return agent(model, tools=[look])

    async with any_machine.app() as app:
        await app.run(shop(), "hi")
        whole = await app.run(shop(), "hi")
        seen = spy(app)
        at = [isinstance(record, Ended) and record.cached for record in whole.records].index(True) + 1
    for count in range(at, len(whole.records)):
        other = any_machine.fresh()
        async with other.app() as app:
            await cut(seen, whole.run_id, count, spy(app))
            result = await app.resume(whole.run_id, shop())
            assert (result.output, result.cost) == (whole.output, 0)
            assert fold(result.records).facts.costs.rows() == fold(whole.records).facts.costs.rows()
    assert len(model.requests) == 1


async def test_a_hit_does_not_move_a_script_on(any_machine: Machine) -> None:
    """A list is indexed by the calls it really had."""

    def shop(*script: Any) -> Agent:
        model = ScriptedModel(list(script), price=DOLLAR)
        return agent(model, tools=[look])

    script = (ToolCall("look"), "first", "second")
    async with any_machine.app() as app:
        one = await app.run(shop(*script), "hi")
        two = await app.run(shop(*script), "hi")
        assert (one.output, two.output, two.cost) == ("first", "first", 0)


async def test_an_answer_that_failed_is_not_kept(machine: Machine) -> None:
    answers = iter([ModelError("no"), "yes"])
    model = ScriptedModel(lambda _: next(answers), price=DOLLAR)
    async with machine.app() as app:
        assert (await app.run(agent(model), "hi")).status == "failed"
        assert (await app.run(agent(model), "hi")).output == "yes"
        assert (await app.run(agent(model), "hi")).output == "yes"
    assert len(model.requests) == 2


async def test_clearing_the_cache_asks_again(any_machine: Machine) -> None:
    model = counting()
    async with any_machine.app() as app:
        await app.run(agent(model), "hi")
        assert (await app.store.clear_cache()).entries == 1
        result = await app.run(agent(model), "hi")
        assert (len(model.requests), records_of(result, Retried)) == (2, [])
        assert len([record for record in records_of(result, Began) if record.kind == "model"]) == 1
