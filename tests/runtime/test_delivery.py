"""Delivery order: members meet their receipts in journal order, so shared state and "first" mean the same on replay."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest
from harness import QUICK, FakeClock, Machine, cut, records_of, spy
from hypothesis import given, settings
from hypothesis import strategies as st

from podium import Agent, ScriptedModel, member, tool
from podium.core.errors import DeadlineExceeded
from podium.core.records import Ended


def slow(delays: dict[int, int], log: list[int] | None = None) -> Any:
    @tool(effect="read")
    async def wait(n: int) -> int:
        """Take as many turns of the loop as `delays` says."""
        for _ in range(delays.get(n, 0)):
            await asyncio.sleep(0)
        if log is not None:
            log.append(n)
        return n

    return wait


async def test_a_list_shared_by_branches_is_filled_in_the_same_order_on_replay(any_machine: Machine) -> None:
    orders: list[list[int]] = []

    def program(delays: dict[int, int]) -> Any:
        wait = slow(delays)

        @member(name="shared")
        async def shared(ctx: Any) -> Any:
            order: list[int] = []
            orders.append(order)

            def branch(n: int) -> Any:
                async def body(ctx: Any) -> None:
                    order.append(await ctx.tool(wait, n=n))
                    order.append(await ctx.tool(wait, n=n + 10))

                return body

            await ctx.gather(*[branch(n) for n in range(4)])
            return [list(order), await ctx.ask("go on?")]

        return shared

    async with any_machine.app() as app:
        result = await app.run(program({0: 30, 1: 2, 2: 17, 3: 0, 10: 1, 13: 25}))
    async with any_machine.app() as app:
        await app.handle(result.run_id).answer(value=1)
        result = await app.resume(result.run_id, program({}))
    assert sorted(orders[0]) == [0, 1, 2, 3, 10, 11, 12, 13]
    assert orders[0] != sorted(orders[0])
    assert orders[0] == orders[1] == result.output[0]


async def test_steps_started_together_are_received_in_journal_order_whoever_awaits_them(machine: Machine) -> None:
    wait = slow({1: 20, 2: 0})

    @member
    async def both(ctx: Any) -> Any:
        from podium.core.actions import CallTool

        one = ctx.perform(CallTool("wait", {"n": 1}, wait)).start()
        two = ctx.perform(CallTool("wait", {"n": 2}, wait)).start()
        return [(await one).value, (await two).value]

    async with machine.app() as app:
        result = await app.run(both)
    assert result.output == [1, 2]
    ended = [record.key for record in records_of(result, Ended)]
    assert ended[:2] == ["both.1/wait.2", "both.1/wait.1"]


# ------------------------------------------------------------------------------------------------------ race, timeout


def racing(delays: dict[int, int]) -> Any:
    wait = slow(delays)

    @member(name="racing")
    async def body(ctx: Any) -> Any:
        won = await ctx.race(*[lambda c, n=n: c.tool(wait, n=n) for n in range(3)])
        return [won, await ctx.ask("go on?")]

    return body


async def test_a_race_is_won_by_the_first_and_stays_won_after_a_resume(any_machine: Machine) -> None:
    async with any_machine.app() as app:
        result = await app.run(racing({0: 40, 1: 3, 2: 40}))
    async with any_machine.app() as app:
        await app.handle(result.run_id).answer(value="x")
        result = await app.resume(result.run_id, racing({0: 0, 1: 60, 2: 60}))
    assert result.output == [1, "x"]
    assert [record.name for record in records_of(result, Ended) if record.key == "racing.1/race.1"] == ["race"]


async def test_the_losers_of_a_race_are_cancelled_and_record_nothing_more(machine: Machine) -> None:
    cancelled: list[str] = []

    @member
    async def body(ctx: Any) -> Any:
        async def quick(ctx: Any) -> str:
            await ctx.now()
            return "quick"

        async def slow(ctx: Any) -> str:
            try:
                return await ctx.ask("never?")
            except asyncio.CancelledError:
                cancelled.append("slow")
                raise

        return await ctx.race(slow, quick)

    async with machine.app() as app:
        result = await app.run(body)
    assert result.output == "quick"
    assert result.status == "succeeded"
    assert cancelled == ["slow"]


async def test_a_timeout_raises_when_time_is_up_and_again_on_replay(machine: Machine) -> None:
    gone: list[str] = []

    @tool(effect="read")
    async def forever() -> str:
        """Never end."""
        await asyncio.Event().wait()
        return ""

    @member
    async def body(ctx: Any) -> Any:
        try:
            await ctx.timeout(10, lambda c: c.tool(forever))
        except DeadlineExceeded as error:
            gone.append(str(error))
        return await ctx.ask("go on?")

    async with machine.app() as app:
        handle = await app.start(body)
        await machine.clock.advance(11)
        assert (await handle.settled()).status == "suspended"
    async with machine.app() as app:
        await app.handle(handle.run_id).answer(value="yes")
        result = await app.resume(handle.run_id, body)
    assert result.output == "yes"
    assert len(gone) == 2
    assert gone[0] == gone[1]


async def test_a_timeout_that_is_not_reached_gives_the_value(machine: Machine) -> None:
    @member
    async def body(ctx: Any) -> Any:
        return await ctx.timeout(10, lambda c: c.read("x", lambda: 5))

    async with machine.app() as app:
        assert (await app.run(body)).output == 5


async def test_an_error_of_the_winner_is_the_races_error(machine: Machine) -> None:
    @member
    async def body(ctx: Any) -> Any:
        async def fails(ctx: Any) -> None:
            await ctx.now()
            raise ValueError("won with an error")

        with pytest.raises(ValueError, match="won with"):
            await ctx.race(fails, lambda c: c.ask("never?"))
        return "ok"

    async with machine.app() as app:
        assert (await app.run(body)).unwrap() == "ok"


async def test_a_run_whose_loop_was_kept_busy_is_not_taken_for_one_that_waits(machine: Machine) -> None:
    @member
    async def body(ctx: Any) -> Any:
        async def works(ctx: Any) -> str:
            await ctx.now()
            time.sleep(QUICK.idle * 5)  # noqa: ASYNC251  (the member's own work, longer than a run is quiet)
            await asyncio.sleep(0)
            return "worked"

        return await ctx.race(works, lambda c: c.ask("never?"))

    async with machine.app() as app:
        assert (await app.run(body)).unwrap() == "worked"


# -------------------------------------------------------------------------------------------------------- properties

PLANS = st.lists(
    st.lists(st.sampled_from(["read", "tool", "model", "signal", "await", "turn"]), max_size=4), min_size=2, max_size=4
)


def branching(plan: list[list[str]], seed: int) -> Any:
    """Branches that share a list and an event, and take first what comes first."""
    chance = random.Random(seed)
    wait = slow({n: chance.randrange(12) for n in range(40)})

    async def answer(_: Any) -> str:
        for _ in range(chance.randrange(8)):
            await asyncio.sleep(0)
        return "reply"

    model = ScriptedModel(answer)

    @member(name="plan")
    async def body(ctx: Any) -> Any:
        order: list[str] = []
        event = asyncio.Event()

        def branch(number: int, steps: list[str]) -> Any:
            async def run(ctx: Any) -> None:
                for index, step in enumerate(steps):
                    if step == "read":
                        await ctx.read("n", lambda: 1)
                    elif step == "tool":
                        await ctx.tool(wait, n=number * 10 + index)
                    elif step == "model":
                        await ctx.model("hi", model=model)
                    elif step == "signal":
                        event.set()
                    elif step == "await":
                        await event.wait()
                    else:
                        await asyncio.sleep(0)
                    order.append(f"{number}.{index}.{step}.{len(order)}")
                    if len(order) % 3 == 0:
                        # What a branch asks for may depend on what the others did so far.
                        await ctx.emit(f"saw {len(order)}", list(order))

            return run

        async def sets(ctx: Any) -> None:
            await ctx.tool(wait, n=39)
            event.set()

        await ctx.gather(*[branch(number, steps) for number, steps in enumerate(plan)], sets)
        return order

    return body


async def _replays(plan: list[list[str]], seed: int, cuts: Any) -> None:
    machine = Machine(clock=FakeClock())
    async with machine.app() as app:
        whole = await asyncio.wait_for(app.run(branching(plan, seed)), 10)
        seen = spy(app)
    assert whole.status == "succeeded", whole.error
    total = len(whole.records)
    for count in cuts(total):
        other = Machine(clock=FakeClock())
        async with other.app() as app:
            await cut(seen, whole.run_id, count, spy(app))
            result = await asyncio.wait_for(app.resume(whole.run_id, branching(plan, seed + count)), 10)
        assert result.status == "succeeded", (count, result.error)
        if count >= total - 2:
            assert result.output == whole.output, count
        assert {key.rpartition("/")[0] for key in result.history.steps} >= set()


@given(PLANS, st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_any_schedule_of_branches_replays_its_whole_journal_identically(plan: list[list[str]], seed: int) -> None:
    # The last record is Finished and the one before ends the root: without both, every branch is replayed.
    asyncio.run(_replays(plan, seed, lambda total: [total - 2]))


@given(PLANS, st.integers(0, 10_000))
@settings(max_examples=12, deadline=None)
def test_any_schedule_of_branches_goes_on_from_every_partial_journal(plan: list[list[str]], seed: int) -> None:
    asyncio.run(_replays(plan, seed, lambda total: range(1, total)))


@given(st.integers(0, 10_000), st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_whatever_the_schedule_the_keys_are_the_same(one: int, other: int) -> None:
    async def keys(seed: int) -> set[tuple[str, int]]:
        chance = random.Random(seed)
        wait = slow({n: chance.randrange(15) for n in range(40)})

        @member(name="wide")
        async def body(ctx: Any) -> None:
            def branch(n: int) -> Any:
                async def run(ctx: Any) -> None:
                    await ctx.tool(wait, n=n)
                    await ctx.gather(lambda c: c.tool(wait, n=n + 10), lambda c: c.tool(wait, n=n + 20))
                    async with ctx.group() as group:
                        group.start(lambda c: c.tool(wait, n=n + 30))

                return run

            await ctx.gather(*[branch(n) for n in range(3)])

        async with Machine().app() as app:
            result = await app.run(body)
        return {(step.key, step.pos) for step in result.history.steps.values()}

    assert asyncio.run(keys(one)) == asyncio.run(keys(other))


async def test_parallel_tool_calls_of_an_agent_finish_in_any_order_and_are_shown_in_call_order(
    machine: Machine,
) -> None:
    from podium import ToolCall

    wait = slow({0: 30, 1: 0, 2: 10})
    model = ScriptedModel([[ToolCall("wait", {"n": n}) for n in range(3)], "done"])
    async with machine.app() as app:
        await app.run(Agent("shop", model=model, tools=[wait]), "go")
    assert [part.content for part in model.requests[1].messages[-1].parts] == ["0", "1", "2"]  # pyright: ignore[reportAttributeAccessIssue]


async def test_receipts_too_large_for_their_record_keep_their_place_on_replay(any_machine: Machine) -> None:
    def body_of(delays: dict[int, int]) -> Any:
        @tool(effect="read")
        async def page(n: int) -> str:
            """Read a page."""
            for _ in range(delays[n]):
                await asyncio.sleep(0)
            return f"{n}" * (100_000 if n != 1 else 1)

        @member(name="reader")
        async def body(ctx: Any) -> Any:
            seen: list[str] = []

            def branch(n: int) -> Any:
                async def run(ctx: Any) -> None:
                    seen.append((await ctx.tool(page, n=n))[:1])
                    seen.append((await ctx.tool(page, n=n))[:1])

                return run

            await ctx.gather(*[branch(n) for n in range(3)])
            return seen

        return body

    async with any_machine.app() as app:
        whole = await app.run(body_of({0: 9, 1: 1, 2: 4}))
        seen = spy(app)
    other = any_machine.fresh()
    async with other.app() as app:
        await cut(seen, whole.run_id, len(whole.records) - 2, spy(app))
        again = await asyncio.wait_for(app.resume(whole.run_id, body_of({0: 0, 1: 0, 2: 0})), 5)
    assert again.output == whole.output
