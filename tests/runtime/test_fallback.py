"""A chain of models: each attempt is journaled under the model it asked, and only errors of its kinds go on."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from harness import Machine

from podium import Agent, FallbackModel, Price, ScriptedModel, Settings, ToolCall, tool
from podium.core.actions import Kind, Retry
from podium.core.deltas import Reset, TextDelta
from podium.core.errors import (
    AuthenticationFailed,
    BadRequest,
    ConfigurationError,
    ModelTimeout,
    Overloaded,
    PermissionDenied,
    RateLimited,
)
from podium.core.records import Began, Record, Retried
from podium.policy import Chain, permissions
from podium.ports import Deny, Proposal

TWICE = Retry(attempts=2)


def failing(error: BaseException | type[BaseException], name: str = "first") -> ScriptedModel:
    def answer(request: object) -> str:
        raise error

    return ScriptedModel(answer, name=name)


def said(text: str = "from the second", name: str = "second") -> ScriptedModel:
    return ScriptedModel(lambda request: text, name=name)


def attempts(records: list[Record]) -> list[tuple[int, str]]:
    return [(each.attempt, each.version) for each in records if isinstance(each, Began) and each.kind is Kind.MODEL]


@pytest.mark.parametrize("error", [AuthenticationFailed("no key"), Overloaded("busy"), RateLimited("wait")])
async def test_the_next_model_is_asked_after_an_error_of_the_chains_kinds(machine: Machine, error: Exception) -> None:
    first, second = failing(error), said()
    agent = Agent("a", model=FallbackModel(first, second, attempts=1))
    async with machine.app() as app:
        result = await app.run(agent, "hi")
        records = await app.store.read(result.run_id)
    assert result.output == "from the second"
    assert attempts(records) == [(1, "first"), (2, "second")]
    [failed] = [each for each in records if isinstance(each, Retried)]
    assert failed.error.type == type(error).__name__
    assert (len(first.requests), len(second.requests)) == (1, 1)


async def test_an_error_that_is_ours_ends_the_call(machine: Machine) -> None:
    second = said()
    agent = Agent("a", model=FallbackModel(failing(BadRequest("no such setting")), second))
    async with machine.app() as app:
        result = await app.run(agent, "hi")
    assert result.error is not None
    assert result.error.type == "BadRequest"
    assert second.requests == []


async def test_the_kinds_can_be_chosen(machine: Machine) -> None:
    agent = Agent("a", model=FallbackModel(failing(BadRequest("x")), said(), on=(BadRequest,)))
    async with machine.app() as app:
        assert (await app.run(agent, "hi")).output == "from the second"
    agent = Agent("a", model=FallbackModel(failing(Overloaded("x")), said(), on=(BadRequest,), attempts=1))
    async with machine.app() as app:
        assert (await app.run(agent, "hi")).error is not None


async def test_each_model_is_retried_as_the_agent_says_before_the_next_is_asked(machine: Machine) -> None:
    agent = Agent("a", model=FallbackModel(failing(Overloaded("x")), said()), retry=TWICE)
    async with machine.app() as app:
        handle = await app.start(agent, "hi")
        await machine.clock.advance(10)
        result = await handle.result()
        assert attempts(await app.store.read(result.run_id)) == [(1, "first"), (2, "first"), (3, "second")]


async def test_the_last_models_error_is_the_calls(machine: Machine) -> None:
    agent = Agent(
        "a", model=FallbackModel(failing(AuthenticationFailed("1")), failing(ModelTimeout("2"), "b"), attempts=1)
    )
    async with machine.app() as app:
        result = await app.run(agent, "hi")
    assert result.error is not None
    assert result.error.type == "ModelTimeout"


async def test_what_failed_attempts_cost_is_paid_and_what_nobody_knows_is_said(machine: Machine) -> None:
    dear = Price.parse({"input": 1, "output": 1, "request": "0.5"})
    first = ScriptedModel([ModelTimeout("late", cost="0.25")], name="first", price=dear)
    second = ScriptedModel(["fine"], name="second", price=Price.parse({"input": 0, "output": 0, "request": "0.125"}))
    async with machine.app() as app:
        result = await app.run(Agent("a", model=FallbackModel(first, second, attempts=1)), "hi")
        lines = {line.name: line for line in await app.costs.summary("model")}
    assert result.cost == Decimal("0.375")
    assert [lines[name].cost for name in (first.name, second.name)] == [Decimal("0.25"), Decimal("0.125")]
    unknown = ScriptedModel([ModelTimeout("late")], name="third", price=dear)
    async with machine.app() as app:
        result = await app.run(Agent("a", model=FallbackModel(unknown, said(), attempts=1)), "hi")
    assert result.unpriced == 1


async def test_names_are_found_by_the_app_and_can_be_written_as_one(machine: Machine) -> None:
    async with machine.app(model="offline | offline") as app:
        result = await app.run(Agent("a"), "The tent is red. What colour is the tent?")
    assert "red" in str(result.output)


async def test_a_resumed_run_goes_on_with_the_model_it_had_come_to(any_machine: Machine) -> None:
    entered = asyncio.Event()

    async def hangs(request: object) -> str:
        entered.set()
        await asyncio.Event().wait()
        return ""

    def chain(second: ScriptedModel) -> Agent:
        return Agent("a", model=FallbackModel(failing(AuthenticationFailed("x")), second))

    async with any_machine.app() as app:
        handle = await app.start(chain(ScriptedModel(hangs, name="second")), "hi")
        await entered.wait()
    async with any_machine.app() as again:
        result = await again.resume(handle.run_id, chain(said("done")))
        seen = attempts(await again.store.read(handle.run_id))
    assert result.output == "done"
    assert [name for _, name in seen] == ["first", "second", "second"]


async def test_a_listener_is_told_to_forget_what_a_failed_model_wrote(machine: Machine) -> None:
    agent = Agent("a", model=FallbackModel(failing(AuthenticationFailed("x")), said("two words")))
    async with machine.app() as app:
        events = [event async for event in app.stream(agent, "hi")]
    kinds = [type(event) for event in events if isinstance(event, Reset | TextDelta)]
    assert kinds[0] is Reset
    assert TextDelta in kinds


async def test_the_gate_judges_every_model_of_a_chain(machine: Machine) -> None:
    class NoFirst:
        name = "models"
        kinds = frozenset({Kind.MODEL})

        def __call__(self, proposal: Proposal) -> Deny | None:
            return Deny("models:first", "not that one") if proposal.name == "first" else None

    first, second = said("1", "first"), said()
    gate = Chain([permissions, NoFirst()])
    async with machine.app(gate=gate) as app:
        assert (await app.run(Agent("a", model=FallbackModel(first, second)), "hi")).output == "from the second"
        denied = await app.run(Agent("b", model=first), "hi")
    assert first.requests == []
    assert denied.error is not None
    assert denied.error.type == PermissionDenied.__name__


async def test_asked_directly_a_chain_asks_one_after_the_other() -> None:
    from podium.core.messages import ModelRequest, user

    chain = FallbackModel(failing(Overloaded("x")), said("direct"))
    assert (await chain.request(ModelRequest((user("hi"),)))).message.text == "direct"
    with pytest.raises(BadRequest, match="by name"):
        await FallbackModel("offline", "offline").request(ModelRequest((user("hi"),)))


def test_a_chain_needs_two_models_and_at_least_one_attempt() -> None:
    with pytest.raises(ConfigurationError, match="at least two"):
        FallbackModel("offline")
    with pytest.raises(ConfigurationError, match="attempts"):
        FallbackModel("offline", "offline", attempts=0)


async def test_tools_and_results_reach_whichever_model_goes_on(machine: Machine) -> None:
    @tool(effect="read")
    async def look() -> str:
        """Look."""
        return "a red tent"

    first = ScriptedModel([ToolCall("look", {}), Overloaded("gone")], name="first")
    second = ScriptedModel(lambda request: request.messages[-1].parts[0].content, name="second")  # type: ignore[union-attr]
    agent = Agent(
        "a", model=FallbackModel(first, second, attempts=1), tools=[look], settings=Settings(max_output_tokens=50)
    )
    async with machine.app() as app:
        result = await app.run(agent, "hi")
    assert "a red tent" in str(result.output)
