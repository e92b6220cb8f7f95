"""Calls of a model wait for their turn when its rate is limited, and nobody calls a model that asked for a pause."""

from __future__ import annotations

import asyncio

from harness import Machine

from podium import Agent, Rate, RunResult, ScriptedModel, Settings
from podium.core.actions import Retry
from podium.core.errors import RateLimited

SMALL = Settings(max_output_tokens=1)


async def test_calls_beyond_the_limit_wait_and_all_are_made(machine: Machine) -> None:
    at: list[float] = []

    def answer(request: object) -> str:
        at.append(machine.clock.time())
        return "ok"

    agent = Agent("a", model=ScriptedModel(answer, name="slow"), settings=SMALL)
    async with machine.app(rates={"slow": {"requests": 2}}) as app:
        handles = [await app.start(agent, str(number)) for number in range(5)]
        await machine.clock.advance(200)
        results: list[RunResult[object]] = [await handle.result() for handle in handles]
    assert [result.output for result in results] == ["ok"] * 5
    began = at[0]
    assert [round(moment - began) for moment in at] == [0, 0, 30, 60, 90]


async def test_a_model_without_a_limit_is_not_held_up(machine: Machine) -> None:
    agent = Agent("a", model=ScriptedModel(["now"], name="quick"))
    async with machine.app(rates={"slow": Rate(requests=1)}) as app:
        assert (await app.run(agent, "hi")).output == "now"


async def test_after_a_refusal_other_calls_of_the_model_wait_as_well(machine: Machine) -> None:
    at: list[float] = []

    def answer(request: object) -> str:
        at.append(machine.clock.time())
        if len(at) == 1:
            raise RateLimited("wait", retry_after=40)
        return "ok"

    model = ScriptedModel(answer, name="slow")
    agent = Agent("a", model=model, settings=SMALL, retry=Retry(attempts=3, first=0.001))
    async with machine.app(rates={"slow": {"requests": 1000}}) as app:
        first = await app.start(agent, "1")
        await asyncio.sleep(0.01)
        second = await app.start(agent, "2")
        await machine.clock.advance(100)
        assert [(await handle.result()).output for handle in (first, second)] == ["ok", "ok"]
    assert at[1] - at[0] >= 40
    assert at[2] - at[0] >= 40


async def test_a_cancelled_run_gives_its_place_up(machine: Machine) -> None:
    agent = Agent("a", model=ScriptedModel(lambda request: "ok", name="slow"), settings=SMALL)
    async with machine.app(rates={"slow": {"requests": 1}}) as app:
        assert (await app.run(agent, "1")).output == "ok"
        waiting = await app.start(agent, "2")
        await asyncio.sleep(0.01)
        await waiting.cancel()
        assert str((await waiting.result()).status) == "cancelled"
        third = await app.start(agent, "3")
        await machine.clock.advance(61)
        assert (await third.result()).output == "ok"
