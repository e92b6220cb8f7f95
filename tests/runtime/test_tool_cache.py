"""Results of tools that are given again: for equal calls of one tenant, through the whole gate, at no cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from harness import Machine, cut, records_of, spy

from podium import Agent, Limits, Principal, ScriptedModel, ToolCall, member, tool
from podium.agents.member import RunOptions
from podium.core.labels import Integrity, Label
from podium.core.records import Began, Ended, Retried


class World:
    """Counts how often a tool was really called."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.fails = False
        self.answer: Any = None

    def tool(self, **options: Any) -> Any:
        world = self
        given: Any = {"effect": "read", "cache": 60, **options}

        @tool(name="look", **given)
        async def look(what: str, times: int = 1) -> Any:
            """Look something up."""
            world.calls.append((what, times))
            if world.fails:
                raise ValueError("not found")
            return f"{what} x{times} #{len(world.calls)}" if world.answer is None else world.answer

        return look


def asks(look: Any, *calls: dict[str, Any], name: str = "asks") -> Any:
    @member(name=name)
    async def body(ctx: Any) -> Any:
        return [await ctx.tool(look, call) for call in calls]

    return body


ONE = {"what": "tents"}


async def test_an_equal_call_is_answered_from_the_cache_at_no_cost(any_machine: Machine) -> None:
    world = World()
    look = world.tool(cost="0.5")
    async with any_machine.app(budgets={"all": 10}) as app:
        first = await app.run(asks(look, ONE))
        second = await app.run(asks(look, {"what": "tents", "times": "1"}))
        assert first.output == second.output == ["tents x1 #1"]
        assert (first.cost, second.cost, second.uncertain_cost) == (Decimal("0.5"), 0, 0)
        [ended] = [record for record in records_of(second, Ended) if record.cached]
        assert ended.cost == "0"
        [balance] = await app.store.balances()
        assert (balance.spent.usd, balance.held.usd) == (500_000_000_000, 0)
        report = await app.tools.get_tool_cost_report()
        assert (report["look"].executions, report["look"].total_cost) == (1, Decimal("0.5"))
        assert (report["look"].hits, report["look"].saved) == (1, Decimal("0.5"))
        assert (await app.tools.get_tool_stats())["look"].hit_rate == 0.5
    async with any_machine.app() as app:
        assert (await app.run(asks(look, ONE))).output == first.output, "kept by the store"
    assert len(world.calls) == 1


@pytest.mark.parametrize(
    ("options", "call", "principal"),
    [
        ({}, {"what": "boots"}, Principal()),
        ({}, {"what": "tents", "times": 2}, Principal()),
        ({"version": "2"}, ONE, Principal()),
        ({"cache": None}, ONE, Principal()),
        ({}, ONE, Principal(tenant="other")),
    ],
)
async def test_a_call_that_differs_in_anything_is_another(
    machine: Machine, options: Any, call: Any, principal: Principal
) -> None:
    world = World()
    async with machine.app() as app:
        await app.run(asks(world.tool(), ONE))
        await app.run(asks(world.tool(**options), call), options=RunOptions(principal=principal))
    assert len(world.calls) == 2


async def test_different_tools_of_one_name_and_version_share_nothing(machine: Machine) -> None:
    world = World()

    @tool(name="look", effect="read", cache=60)
    async def other(what: str, times: int = 1) -> Any:
        """Look something up."""
        return "elsewhere"

    async with machine.app() as app:
        await app.run(asks(world.tool(), ONE))
        assert (await app.run(asks(other, ONE))).output == ["elsewhere"]


async def test_a_result_expires(any_machine: Machine) -> None:
    world = World()
    async with any_machine.app() as app:
        for later in (0, 59, 1):
            any_machine.clock.now += later
            await app.run(asks(world.tool(), ONE))
    assert len(world.calls) == 2


async def test_errors_are_not_kept(machine: Machine) -> None:
    world = World()
    world.fails = True
    async with machine.app() as app:
        for _ in range(2):
            assert (await app.run(asks(world.tool(retries=0), ONE))).status == "failed"
        assert (await app.store.cache_size()).entries == 0
    assert len(world.calls) == 2


async def test_a_write_is_not_kept_whatever_its_tool_says(machine: Machine) -> None:
    world = World()
    look = world.tool(effect="write", cache=None)
    look.cache = 60.0  # a tool of another make may say so
    async with machine.app() as app:
        for _ in range(2):
            await app.run(asks(look, ONE))
    assert len(world.calls) == 2


@pytest.mark.parametrize(
    ("call", "answer"), [({"what": "sk-0123456789abcdefABCDEF"}, None), (ONE, {"password": "hunter2-hunter2"})]
)
async def test_what_holds_a_secret_is_not_kept(machine: Machine, call: Any, answer: Any) -> None:
    world = World()
    world.answer = answer
    async with machine.app() as app:
        for _ in range(2):
            await app.run(asks(world.tool(), call))
    assert len(world.calls) == 2


async def test_a_result_too_large_for_the_room_is_not_kept(machine: Machine) -> None:
    world = World()
    world.answer = "x" * 70_000
    async with machine.app(limits=Limits(lease=1e9, cache=100_000)) as app:
        for _ in range(2):
            await app.run(asks(world.tool(), ONE))
        assert (await app.store.cache_size()).entries == 0
    async with machine.app() as app:
        for _ in range(2):
            assert (await app.run(asks(world.tool(), ONE))).output == [world.answer], "larger than a record may be"
    assert len(world.calls) == 3


async def test_a_hit_passes_the_gate_and_waits_for_its_approval(machine: Machine) -> None:
    world = World()
    async with machine.app() as app:
        await app.run(asks(world.tool(), ONE))
        staff = await app.run(asks(world.tool(roles="staff"), ONE))
        assert staff.status == "failed"
        assert "holds none of these roles" in str(staff.error)
        held = await app.run(asks(world.tool(approval="always"), ONE))
        [pending] = held.pending
        assert pending.why == "approval"
        await app.handle(held.run_id).approve(pending.request)
        assert (await app.resume(held.run_id)).output == ["tents x1 #1"]
    assert len(world.calls) == 1


async def test_a_hit_carries_the_label_of_the_result_it_repeats(machine: Machine) -> None:
    world = World()
    private = Label(Integrity.UNTRUSTED, frozenset({"tool:look"}), frozenset({"ann"}), frozenset({"pii.email"}))
    async with machine.app() as app:
        first = await app.run(asks(world.tool(output_label=private), ONE))
        second = await app.run(asks(world.tool(output_label="trusted"), ONE))
    [one], [two] = ([r.label for r in records_of(each, Ended) if r.key.endswith("look.1")] for each in (first, second))
    assert one == two == private
    assert len(world.calls) == 1


async def test_a_cached_step_replays_as_it_was_recorded(any_machine: Machine) -> None:
    world = World()
    look = world.tool(cost="0.5")

    @member(name="waits")
    async def waits(ctx: Any) -> Any:
        return [await ctx.tool(look, ONE), await ctx.ask("And?")]

    async with any_machine.app() as app:
        await app.run(asks(look, ONE))
        waiting = await app.run(waits)
        [pending] = waiting.pending
        await app.handle(waiting.run_id).answer(pending.request, "done")
    any_machine.clock.now += 3600  # what was kept has expired meanwhile
    async with any_machine.app() as app:
        result = await app.resume(waiting.run_id, waits)
        assert result.output == ["tents x1 #1", "done"]
        [ended] = [record for record in records_of(result, Ended) if record.cached]
        assert (result.cost, ended.cost) == (0, "0")
    assert len(world.calls) == 1


async def test_a_run_cut_off_at_any_record_of_a_hit_ends_the_same(machine: Machine) -> None:
    world = World()
    body = asks(world.tool(cost="0.5"), ONE, ONE)
    async with machine.app() as app:
        whole = await app.run(body)
        count = len(whole.records)
        seen = spy(app)
    for at in range(1, count):
        other = machine.fresh()
        async with other.app() as app:
            await cut(seen, whole.run_id, at, spy(app))
            result = await app.resume(whole.run_id, body)
            assert result.status == "succeeded"
            assert len({str(value) for value in result.output}) <= 2
            assert not [record for record in records_of(result, Retried) if record.uncertain not in (None, "0.5")]


async def test_agents_share_results_and_the_model_sees_no_difference(machine: Machine) -> None:
    world = World()
    look = world.tool()

    def agent(name: str) -> Agent:
        return Agent(name, ScriptedModel([ToolCall("look", ONE), "done"], name=f"m-{name}"), [look])

    async with machine.app() as app:
        await app.run(agent("ann"), "go")
        result = await app.run(agent("bob"), "go")
        assert result.output == "done"
        [began] = [record for record in records_of(result, Began) if record.name == "look"]
        assert (began.agent, began.version, began.effect) == ("bob", "1", "read")
    assert len(world.calls) == 1
