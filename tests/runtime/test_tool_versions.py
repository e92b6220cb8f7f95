"""Versions, permissions and turns of tools in runs: what a registry says holds from the next call on."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from harness import QUICK, Machine, records_of, until

from podium import Agent, ConfigurationError, NotDone, ScriptedModel, ToolCall, ToolRegistry, ToolResult, member, tool
from podium.core.records import Began, Ended
from podium.policy import Chain
from podium.policy.approvals import approvals
from podium.policy.permissions import permissions


def act(version: str, effect: Any = "write", calls: list[str] | None = None, **options: Any) -> Any:
    @tool(name="act", version=version, effect=effect, **options)
    async def function(n: int) -> str:
        """Act."""
        if calls is None:
            await asyncio.Event().wait()
        else:
            calls.append(version)
        return f"act@{version} {n}"

    return function


@member(name="once")
async def once(ctx: Any) -> Any:
    return await ctx.tool("act", n=1)


async def interrupted(machine: Machine, effect: Any, body: Any = once) -> str:
    """A process ends while version 1 of the tool runs; the run's id."""
    async with machine.app(tools=[act("1", effect)]) as app:
        handle = await app.start(body)
        await until(lambda: _began(app, handle.run_id), "the call")
        return handle.run_id


async def _began(app: Any, run: str) -> bool:
    return any(isinstance(record, Began) and record.name == "act" for record in await app.store.read(run))


# -------------------------------------------------------------------------------------------------------- versions


async def test_a_name_means_the_version_that_is_the_default_at_each_call(machine: Machine) -> None:
    calls: list[str] = []
    registry = ToolRegistry([act("1", calls=calls)])

    @member(name="upgrades")
    async def upgrades(ctx: Any) -> Any:
        first = await ctx.tool("act", n=1)
        registry.register(act("2", calls=calls))
        return [first, await ctx.tool("act", n=1)]

    async with machine.app(tools=registry) as app:
        result = await app.run(upgrades)
        assert result.output == ["act@1 1", "act@2 1"]
        assert [record.version for record in records_of(result, Began) if record.name == "act"] == ["1", "2"]
        assert app.tools["act"].version == "2", "the app's registry and the one it was given are one"


async def test_an_agent_keeps_the_tool_it_was_made_with(machine: Machine) -> None:
    calls: list[str] = []
    old = act("1", calls=calls)
    agent = Agent("clerk", ScriptedModel([ToolCall("act", {"n": 1}), "done"]), [old])
    async with machine.app(tools=[old, act("2", calls=calls)]) as app:
        await app.run(agent, "go")
    assert calls == ["1"]


@pytest.mark.parametrize("effect", ["read", "idempotent"])
async def test_an_interrupted_call_goes_on_with_the_version_it_began_with(any_machine: Machine, effect: Any) -> None:
    run = await interrupted(any_machine, effect)
    calls: list[str] = []
    async with any_machine.app(tools=[act("1", effect, calls), act("2", effect, calls)]) as app:
        assert (await app.resume(run, once)).output == "act@1 1"
    assert calls == ["1"]


async def test_an_interrupted_write_is_settled_by_the_version_it_began_with(machine: Machine) -> None:
    run = await interrupted(machine, "write")

    def settled(version: str) -> Any:
        return act(version, "write", [], reconcile=lambda key: f"settled by {version}")

    async with machine.app(tools=[settled("1"), settled("2")]) as app:
        assert (await app.resume(run, once)).output == "settled by 1"


async def test_a_read_goes_on_with_whatever_version_there_is(machine: Machine) -> None:
    run = await interrupted(machine, "read")
    async with machine.app(tools=[act("2", "read", [])]) as app:
        assert (await app.resume(run, once)).output == "act@2 1"


@pytest.mark.parametrize("effect", ["idempotent", "write"])
async def test_a_person_is_asked_when_the_version_that_may_have_acted_is_gone(
    any_machine: Machine, effect: Any
) -> None:
    run = await interrupted(any_machine, effect)
    calls: list[str] = []
    tools = [act("2", effect, calls, reconcile=lambda key: "version 2 cannot know")]
    async with any_machine.app(tools=tools) as app:
        held = await app.resume(run, once)
        [pending] = held.pending
        assert pending.why == "in_doubt"
        assert "it was version 1, which is not registered here (version 2 is)" in pending.prompt
        assert calls == []
        await app.handle(run).answer(value="not_happened")
        result = await app.resume(run, once)
        assert (result.output, calls) == ("act@2 1", ["2"])
        assert [record.version for record in records_of(result, Began) if record.name == "act"] == ["1", "2"]


@pytest.mark.parametrize("effect", ["read", "idempotent", "write"])
async def test_after_a_crash_an_agent_is_not_given_another_version_of_a_tool_that_it_names(
    any_machine: Machine, effect: Any
) -> None:
    run = await interrupted(any_machine, effect, _naming())
    calls: list[str] = []
    model = ScriptedModel(["done"])
    async with any_machine.app(tools=[act("2", effect, calls)], members=[_naming(model)]) as app:
        held = await app.resume(run)
        if held.pending:
            await app.handle(run).answer(value="not_happened")
        assert (await app.handle(run).result()).output == "done"
    [told] = [part for part in model.requests[0].messages[-1].parts if isinstance(part, ToolResult)]
    assert "act is not what this run was given, so it is not called: it was version 1, and is version 2" in told.content
    assert calls == []


def _naming(model: Any = None) -> Any:
    return Agent("clerk", model or ScriptedModel([ToolCall("act", {"n": 1})]), ["act"])


async def test_a_call_that_certainly_did_not_happen_goes_on_with_another_version(machine: Machine) -> None:
    run = await interrupted(machine, "write")

    def nothing(key: str) -> str:
        raise NotDone("nothing happened")

    calls: list[str] = []
    async with machine.app(tools=[act("1", "write", calls, reconcile=nothing), act("2", "write", calls)]) as app:
        assert (await app.resume(run, once)).output == "act@1 1"


async def test_upgrading_takes_the_present_version_of_an_idempotent_tool(machine: Machine) -> None:
    run = await interrupted(machine, "idempotent")
    async with machine.app(tools=[act("2", "idempotent", [])]) as app:
        assert (await app.resume(run, once, upgrade=True)).output == "act@2 1"


async def test_a_run_whose_tool_nobody_knows_waits_for_a_process_that_does(any_machine: Machine) -> None:
    run = await interrupted(any_machine, "write")
    async with any_machine.app() as app:
        with pytest.raises(ConfigurationError, match=r"interrupted in a call of act \(version 1\)"):
            await app.resume(run, once)
    tools = [act("1", "write", [], reconcile=lambda key: "found")]
    async with any_machine.app(tools=tools) as app:
        assert (await app.resume(run, once)).output == "found"


async def test_a_read_whose_tool_is_gone_fails_as_an_unknown_tool_does(machine: Machine) -> None:
    run = await interrupted(machine, "read")
    async with machine.app() as app:
        result = await app.resume(run, once)
        assert "there is no tool named 'act'" in str(result.error)


async def test_a_deprecated_tool_of_an_agent_warns_once(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    old = act("1", calls=[])
    registry = ToolRegistry([old])
    registry.deprecate("act", "1", use="act 2")
    script = [ToolCall("act", {"n": 1}), ToolCall("act", {"n": 2}), "done"]
    with caplog.at_level(logging.WARNING, "podium"):
        async with machine.app(tools=registry) as app:
            await app.run(Agent("clerk", ScriptedModel(script), [old]), "go")
    assert [record.getMessage() for record in caplog.records] == ['version 1 of tool "act" is deprecated; use act 2']


# ----------------------------------------------------------------------------------------------------- permissions


def clerk(calls: list[str], *script: Any) -> Agent:
    return Agent("clerk", ScriptedModel([*script, "done"]), [act("1", calls=calls, tags="finance")])


@pytest.mark.parametrize("own_gate", [False, True])
async def test_an_agent_may_use_only_what_it_is_permitted_even_if_it_was_given_more(
    machine: Machine, own_gate: bool
) -> None:
    calls: list[str] = []
    gate = Chain([permissions, approvals]) if own_gate else None
    async with machine.app(gate=gate) as app:
        app.tools.set_tool_permissions("clerk", ["tag:reading"])
        result = await app.run(clerk(calls, ToolCall("act", {"n": 1})), "go")
        [ended] = [record for record in records_of(result, Ended) if record.name == "act"]
        assert ended.rule == "permission:registry"
        assert ended.error is not None
        assert "set_tool_permissions('clerk', [...])" in ended.error.message
        assert (result.output, calls) == ("done", []), "the model is told, and goes on"


async def test_permissions_hold_from_the_next_call_on(machine: Machine) -> None:
    registry = ToolRegistry()
    calls: list[int] = []

    @tool(name="act", effect="read")
    async def withdraws(n: int) -> str:
        """Act."""
        calls.append(n)
        registry.set_tool_permissions("clerk", [])
        return "done"

    script = [ToolCall("act", {"n": 1}), ToolCall("act", {"n": 2}), "done"]
    async with machine.app(tools=registry) as app:
        result = await app.run(Agent("clerk", ScriptedModel(script), [withdraws]), "go")
    assert (result.output, calls) == ("done", [1])


# ----------------------------------------------------------------------------------------------------- side by side


class Counted:
    """A tool that tells how many of it ran at once."""

    def __init__(self) -> None:
        self.running = self.most = 0
        self.order: list[int] = []
        self.go = asyncio.Event()
        self.go.set()

    def tool(self, **options: Any) -> Any:
        given: Any = {"effect": "read", **options}

        @tool(name="work", **given)
        async def work(n: int) -> int:
            """Work."""
            self.running += 1
            self.order.append(n)
            self.most = max(self.most, self.running)
            try:
                for _ in range(7 - n % 3):
                    await asyncio.sleep(0)
                await self.go.wait()
            finally:
                self.running -= 1
            return n

        return work


def batch(work: Any, count: int) -> Agent:
    calls = [ToolCall("work", {"n": n}) for n in range(count)]
    return Agent("clerk", ScriptedModel([calls, "done"]), [work])


async def test_a_batch_of_calls_is_bounded_fair_and_answered_in_order(any_machine: Machine) -> None:
    world = Counted()
    async with any_machine.app(limits=_limited(3)) as app:
        result = await app.run(batch(world.tool(), 10), "go")
        [shown] = [message for message in result.messages if message.role == "tool"]
        assert [part.content for part in shown.parts if isinstance(part, ToolResult)] == [str(n) for n in range(10)]
    assert (world.most, world.order) == (3, list(range(10)))


def _limited(count: int) -> Any:
    import msgspec

    return msgspec.structs.replace(QUICK, tools_at_once=count)


async def test_calls_that_wait_for_a_person_take_no_turn(machine: Machine) -> None:
    world = Counted()
    held = world.tool(approval=lambda args: args["n"] < 2)
    async with machine.app(limits=_limited(1)) as app:
        result = await app.run(batch(held, 4), "go")
        assert (len(result.pending), world.order) == (2, [2, 3])
        for pending in result.pending:
            await app.handle(result.run_id).approve(pending.request)
        assert (await app.resume(result.run_id)).output == "done"
    assert sorted(world.order) == [0, 1, 2, 3]


async def test_cancelling_a_run_lets_go_of_calls_in_line(machine: Machine) -> None:
    world = Counted()
    world.go.clear()
    async with machine.app(limits=_limited(2)) as app:
        handle = await app.start(batch(world.tool(), 6))
        await until(lambda: world.running == 2)
        await handle.cancel()
        result = await handle.result()
        assert result.status == "cancelled"
        assert world.order == [0, 1], "those in line never began"


async def test_a_bounded_batch_replays_without_calling_again(any_machine: Machine) -> None:
    world = Counted()
    work = world.tool()

    @member(name="both")
    async def both(ctx: Any) -> Any:
        done = await ctx.gather(*[lambda c, n=n: c.tool(work, n=n) for n in range(7)])
        return [done, await ctx.ask("And?")]

    async with any_machine.app(limits=_limited(2)) as app:
        waiting = await app.run(both)
        [pending] = waiting.pending
        await app.handle(waiting.run_id).answer(pending.request, "yes")
    async with any_machine.app(limits=_limited(5)) as app:
        assert (await app.resume(waiting.run_id, both)).output == [list(range(7)), "yes"]
    assert len(world.order) == 7


# ------------------------------------------------------------------------------------------------------- statistics


async def test_statistics_come_from_the_journal_and_outlive_the_process(any_machine: Machine) -> None:
    @tool(name="work", effect="read", cost="0.1", retries=0)
    async def work(fail: bool = False) -> str:
        """Work."""
        any_machine.clock.now += 0.25
        if fail:
            raise ValueError("no")
        return "done"

    @member(name="works")
    async def works(ctx: Any) -> Any:
        for _ in range(3):
            await ctx.tool(work)
        await ctx.tool(work, fail=True)

    @tool(name="free", effect="read")
    async def free() -> str:
        """Work for nothing."""
        return "done"

    @member(name="frees")
    async def frees(ctx: Any) -> Any:
        return await ctx.tool(free)

    async with any_machine.app() as app:
        await app.run(works)
        await app.run(frees)
    async with any_machine.app() as app:
        stats = await app.tools.get_tool_stats()
        work_, free_ = stats["work"], stats["free"]
        assert (work_.executions, work_.failures, work_.success_rate) == (4, 1, 0.75)
        assert work_.p50_ms == pytest.approx(250, rel=0.1)
        assert (free_.executions, free_.total_cost) == (1, 0)
        report = await app.tools.get_tool_cost_report()
        assert {name: (cost.executions, str(cost.total_cost), str(cost.avg_cost)) for name, cost in report.items()} == {
            "work": (4, "0.4", "0.1"),
            "free": (1, "0", "0"),
        }
        assert list(await app.tools.get_tool_stats(agent="frees")) == ["free"]
        assert await app.tools.get_tool_stats(since=any_machine.clock.now + 90_000) == {}
        assert [line.name for line in await app.costs.summary("tool")] == ["work"], "what is free has no line of costs"
