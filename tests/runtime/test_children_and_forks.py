"""Child runs and forks: runs made by runs, and runs that share a past."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from harness import Machine, records_of, until

from podium import Agent, ConfigurationError, ScriptedModel, ToolCall, member, tool
from podium.core.records import Began, Ended, Held, Started

DONE: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    DONE.clear()


@tool(effect="write")
async def pay(amount: int) -> str:
    """Pay."""
    DONE.append(amount)
    return f"paid {amount}"


@tool(effect="read", cost="0.5")
async def look(what: str) -> str:
    """Look."""
    DONE.append(what)
    return what.upper()


@member
async def child(ctx: Any, n: int) -> Any:
    return [n, await ctx.tool(look, what=f"c{n}")]


# ------------------------------------------------------------------------------------------------------ child runs


async def test_a_spawned_member_is_a_run_of_its_own(any_machine: Machine) -> None:
    @member
    async def parent(ctx: Any) -> Any:
        return await ctx.spawn(child, 3)

    async with any_machine.app() as app:
        handle = await app.start(parent)
        result = await handle.result()
        assert result.output == [3, "C3"]
        [row] = [row for row in await app.runs() if row.parent]
        assert row.parent == handle.run_id
        assert (await app.handle(row.id).result()).output == [3, "C3"]
    assert DONE == ["c3"]


async def test_the_same_step_always_spawns_the_same_child(any_machine: Machine) -> None:
    @member
    async def parent(ctx: Any) -> Any:
        one = await ctx.spawn(child, 1)
        return [one, await ctx.ask("go on?")]

    async with any_machine.app() as app:
        handle = await app.start(parent)
        while not any(item.why == "ask" for item in (await handle.settled()).pending):
            pass
    async with any_machine.app() as app:
        await app.handle(handle.run_id).answer(value="yes")
        result = await app.resume(handle.run_id, parent)
        assert result.output == [[1, "C1"], "yes"]
        assert len([row for row in await app.runs() if row.parent]) == 1
    assert DONE == ["c1"]


async def test_a_child_that_waits_suspends_its_parent_too(any_machine: Machine) -> None:
    @member
    async def asks(ctx: Any) -> Any:
        return await ctx.ask("go on?")

    @member
    async def parent(ctx: Any) -> Any:
        return await ctx.spawn(asks)

    async with any_machine.app() as app:
        handle = await app.start(parent)
        result = await handle.settled()
        assert [item.why for item in result.pending] == ["child"]
        [row] = [row for row in await app.runs() if row.parent]
        below = app.handle(row.id)
        await below.settled()
        await below.answer(value="yes")
        assert (await handle.result()).output == "yes"


async def test_a_failing_child_fails_the_step_of_its_parent(machine: Machine) -> None:
    @member
    async def bad(ctx: Any) -> None:
        raise ValueError("broken child")

    @member
    async def parent(ctx: Any) -> Any:
        try:
            await ctx.spawn(bad)
        except Exception as error:  # noqa: BLE001
            return str(error)

    async with machine.app() as app:
        handle = await app.start(parent)
        assert "broken child" in (await handle.result()).output


async def test_children_run_side_by_side(machine: Machine) -> None:
    @member
    async def parent(ctx: Any) -> Any:
        return await ctx.gather(*[lambda c, n=n: c.spawn(child, n) for n in range(5)])

    async with machine.app() as app:
        handle = await app.start(parent)
        assert (await handle.result()).output == [[n, f"C{n}"] for n in range(5)]


async def test_what_a_child_cost_is_part_of_what_its_parent_cost(machine: Machine) -> None:
    @member
    async def parent(ctx: Any) -> Any:
        return await ctx.spawn(child, 1)

    async with machine.app() as app:
        handle = await app.start(parent)
        assert str((await handle.result()).cost) == "0.5"


# ------------------------------------------------------------------------------------------------------------ forks


@member
async def shop(ctx: Any, order: str) -> Any:
    one = await ctx.tool(look, what=order)
    chance = await ctx.random()
    two = await ctx.tool(pay, amount=5)
    return [one, chance, two]


async def test_a_fork_shares_the_past_and_performs_the_step_anew(any_machine: Machine) -> None:
    async with any_machine.app() as app:
        first = await app.run(shop, "a")
        fork = await app.fork(first.run_id, at="shop.1/pay.1", member=shop, effects="allow")
        result = await fork.result()
        assert result.run_id != first.run_id
        assert result.output == first.output
        assert DONE == ["a", 5, 5]
        started = records_of(result, Started)[0]
        assert (started.forked_from, started.forked_at, started.effects) == (first.run_id, "shop.1/pay.1", "allow")
        assert (await app.handle(first.run_id).result()).output == first.output


async def test_copied_receipts_cost_nothing(machine: Machine) -> None:
    async with machine.app() as app:
        first = await app.run(shop, "a")
        assert str(first.cost) == "0.5"
        fork = await app.fork(first.run_id, at="shop.1/pay.1", member=shop, effects="allow")
        assert (await fork.result()).cost == 0


async def test_effects_after_the_cut_are_held_unless_allowed(any_machine: Machine) -> None:
    async with any_machine.app() as app:
        first = await app.run(shop, "a")
        fork = await app.fork(first.run_id, at="shop.1/random.1", member=shop)
        result = await fork.settled()
        assert result.status == "suspended"
        assert result.pending[0].tool == "pay"
        assert DONE == ["a", 5]
        await fork.approve()
        result = await fork.result()
        assert result.status == "succeeded"
        assert result.output[1] != first.output[1]
    assert DONE == ["a", 5, 5]


async def test_reads_after_the_cut_of_a_holding_fork_are_not_held(machine: Machine) -> None:
    async with machine.app() as app:
        first = await app.run(shop, "a")
        fork = await app.fork(first.run_id, at="shop.1/look.1", member=shop)
        await fork.settled()
    assert DONE == ["a", 5, "a"]


async def test_waits_and_decisions_are_not_copied(machine: Machine) -> None:
    @member
    async def asks(ctx: Any) -> Any:
        one = await ctx.ask("one?")
        await ctx.emit("between")
        return [one, await ctx.ask("two?")]

    async with machine.app() as app:
        handle = await app.start(asks)
        await handle.settled()
        await handle.answer(value="first")
        await handle.settled()
        fork = await app.fork(handle.run_id, at="asks.1/ask.2", member=asks)
        result = await fork.settled()
        assert [item.prompt for item in result.pending] == ["two?"]
        [original] = await handle.pending()
        assert result.pending[0].request != original.request
        await fork.answer(value="forked")
        assert (await fork.result()).output == ["first", "forked"]
        assert (await handle.settled()).status == "suspended"


async def test_an_approval_of_the_original_does_not_count_in_the_fork(machine: Machine) -> None:
    @tool(effect="write", approval="always")
    async def refund() -> str:
        """Refund."""
        DONE.append("refund")
        return "refunded"

    @member
    async def refunds(ctx: Any) -> Any:
        return await ctx.tool(refund)

    async with machine.app() as app:
        handle = await app.start(refunds)
        await handle.settled()
        await handle.approve()
        await handle.result()
        fork = await app.fork(handle.run_id, at="refunds.1/refund.1", member=refunds, effects="allow")
        result = await fork.settled()
        assert result.pending[0].why == "approval"
    assert DONE == ["refund"]


async def test_a_step_under_way_at_the_cut_is_not_done_twice(machine: Machine) -> None:
    import asyncio

    @tool(effect="write")
    async def slow() -> str:
        """Slow."""
        DONE.append("slow")
        await asyncio.sleep(0.02)
        return "slow"

    @member
    async def both(ctx: Any) -> Any:
        async def late(ctx: Any) -> Any:
            await ctx.now()
            return await ctx.tool(look, what="late")

        return await ctx.gather(lambda c: c.tool(slow), late)

    async with machine.app() as app:
        first = await app.run(both)
        names = [(type(record).__name__, record.key) for record in first.records if isinstance(record, Began | Ended)]
        cut, end = ("Began", "both.1/branch.2/look.1"), ("Ended", "both.1/branch.1/slow.1")
        assert names.index(cut) < names.index(end), "the schedule this test is about"
        fork = await app.fork(first.run_id, at="both.1/branch.2/look.1", member=both)
        result = await fork.result()
    assert result.output == ["slow", "LATE"]
    assert DONE.count("slow") == 1


@pytest.mark.parametrize(
    ("effect", "asked"), [("idempotent", ["act-once:fork"]), ("write", ["in_doubt", "act-once:fork"])]
)
async def test_what_was_under_way_at_the_cut_is_held_in_the_fork_before_it_is_done_there(
    machine: Machine, effect: Any, asked: list[str]
) -> None:
    broken = [True]

    @tool(effect=effect)
    async def act() -> str:
        """Act, or hang."""
        DONE.append("act")
        if broken:
            await asyncio.Event().wait()
        return "acted"

    @member
    async def both(ctx: Any) -> Any:
        async def late(ctx: Any) -> Any:
            return await ctx.ask("Go on?")

        return await ctx.gather(lambda c: c.tool(act), late)

    async with machine.app() as app:
        handle = await app.start(both)
        await until(lambda: "act" in DONE, "the call")
    broken.clear()
    async with machine.app() as app:
        fork = await app.fork(handle.run_id, at="both.1/branch.2/ask.1", member=both)
        found: list[str] = []
        for _ in asked:
            [item] = [item for item in (await fork.settled()).pending if item.why != "ask"]
            found.append(item.rule or item.why)
            assert DONE.count("act") == 1
            if item.why == "in_doubt":
                await fork.answer(item.request, value="not_happened")
            else:
                await fork.approve(item.request)
        await until(lambda: DONE.count("act") == 2, "the call of the fork")
    assert found == asked


async def test_the_session_of_a_fork_is_a_branch(any_machine: Machine) -> None:
    def agent(*answers: Any) -> Any:
        return Agent("shop", model=ScriptedModel(list(answers)))

    async with any_machine.app() as app:
        await agent("hello").run("hi", app=app, session="s")
        second = await agent("a", "b").run("again", app=app, session="s")
        fork = await app.fork(second.run_id, at="shop.1/turn.1/model.1", member=agent("a", "b"))
        await fork.result()
        original = await app.store.session("s")
        row = await app.row(fork.run_id)
        assert row is not None
        assert row.session not in ("", "s")
        branch = await app.store.session(row.session)
    assert original is not None
    assert branch is not None
    assert original.messages == 4
    assert branch.messages == 4
    assert branch.parent == "s"


async def test_an_agent_can_be_forked_at_any_of_its_steps(machine: Machine) -> None:
    @tool(effect="read")
    async def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    def agent() -> Any:
        model = ScriptedModel([ToolCall("add", {"a": 1, "b": 2}), ToolCall("add", {"a": 3, "b": 4}), "7"])
        return Agent("calc", model=model, tools=[add])

    async with machine.app() as app:
        first = await app.run(agent(), "add")
        for step in first.steps:
            fork = await app.fork(first.run_id, at=step.key, member=agent(), effects="allow")
            result = await fork.result()
            assert (result.status, result.output) == ("succeeded", "7"), step.key
            assert [message.role for message in result.messages] == [message.role for message in first.messages]


async def test_forking_at_a_step_that_is_not_there_names_those_that_are(machine: Machine) -> None:
    async with machine.app() as app:
        first = await app.run(shop, "a")
        with pytest.raises(ConfigurationError, match=r"shop\.1/pay\.1"):
            await app.fork(first.run_id, at="shop.1/pay.9", member=shop)
        with pytest.raises(ConfigurationError, match="hold"):
            await app.fork(first.run_id, at="shop.1/pay.1", member=shop, effects="maybe")
    assert records_of(first, Held) == []


async def test_a_queue_for_a_child_is_refused_rather_than_ignored(machine: Machine) -> None:
    @member
    async def child(ctx: Any) -> str:
        return "child"

    @member
    async def parent(ctx: Any) -> Any:
        return await ctx.spawn(child, queue="slow")

    async with machine.app() as app:
        with pytest.raises(ConfigurationError, match="queues come with a later release"):
            await app.run(parent)
