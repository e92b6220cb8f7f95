"""The property everything rests on: a crash after any record, then a resume, equals no crash."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from harness import FakeClock, Machine, cut, spy
from hypothesis import given, settings
from hypothesis import strategies as st

from podium import NotDone, ScriptedModel, ToolContext, member, tool
from podium.core.records import Began, Ended

LEAF = st.sampled_from(["read", "idempotent", "write", "model", "now", "emit", "sleep", "call", "fail"])
TREE = st.recursive(
    LEAF.map(lambda leaf: (leaf,)),
    lambda inner: st.tuples(st.sampled_from(["sequence", "gather", "member"]), st.lists(inner, min_size=1, max_size=3)),
    max_leaves=6,
)


class World:
    """What happened outside, by idempotency key. A write done twice under one key is the bug we look for."""

    def __init__(self, done: dict[str, int] | None = None) -> None:
        self.done = dict(done or {})

    def tools(self) -> dict[str, Any]:
        world = self

        @tool(effect="read")
        async def read(n: int) -> int:
            """Read."""
            return n * 2

        @tool(effect="idempotent")
        async def idempotent(ctx: ToolContext, n: int) -> int:
            """Act once per key."""
            world.done.setdefault(ctx.idempotency_key, 0)
            world.done[ctx.idempotency_key] = 1
            return n * 3

        async def reconcile(key: str, args: dict[str, Any]) -> int:
            if key not in world.done:
                raise NotDone("it did not")
            return args["n"] * 4

        @tool(effect="write", reconcile=reconcile)
        async def write(ctx: ToolContext, n: int) -> int:
            """Act."""
            world.done[ctx.idempotency_key] = world.done.get(ctx.idempotency_key, 0) + 1
            return n * 4

        return {"read": read, "idempotent": idempotent, "write": write}


def program(tree: Any, world: World) -> Any:
    tools = world.tools()
    model = ScriptedModel(lambda request: f"echo {request.messages[-1].text}")

    @member(name="leaf")
    async def leaf(ctx: Any, n: int) -> Any:
        return [await ctx.tool(tools["read"], n=n), await ctx.tool(tools["write"], n=n)]

    @member(name="fails")
    async def fails(ctx: Any, n: int) -> Any:
        await ctx.tool(tools["write"], n=n)
        raise ValueError(f"as planned {n}")

    async def walk(ctx: Any, node: Any, path: int) -> Any:
        what = node[0]
        if what in tools:
            return await ctx.tool(tools[what], n=path)
        if what == "model":
            return (await ctx.model(f"say {path}", model=model)).message.text
        simple = {
            "now": lambda: ctx.now(),
            "emit": lambda: ctx.emit("event", path),
            "sleep": lambda: ctx.sleep(0),
            "call": lambda: ctx.call(leaf, path),
        }
        if what in simple:
            return await simple[what]()
        if what == "fail":
            try:
                return await ctx.call(fails, path)
            except Exception as error:  # noqa: BLE001
                return str(error)
        children = node[1]
        if what == "gather":
            return await ctx.gather(
                *[lambda c, n=n, child=child: walk(c, child, path * 5 + n) for n, child in enumerate(children)]
            )
        if what == "member":

            @member(name="inner")
            async def inner(ctx: Any) -> Any:
                return [await walk(ctx, child, path * 5 + n) for n, child in enumerate(children)]

            return await ctx.call(inner)
        return [await walk(ctx, child, path * 5 + n) for n, child in enumerate(children)]

    @member(name="root")
    async def root(ctx: Any) -> Any:
        return await walk(ctx, tree, 1)

    return root


def world_at(records: list[Any], happened: bool) -> World:
    """What is done outside at a crash: every write that ended, and those under way if they came so far."""
    names = {
        record.key: record
        for record in records
        if isinstance(record, Began) and record.effect in ("idempotent", "write")
    }
    ended = {record.key for record in records if isinstance(record, Ended)}
    run = records[0].run
    return World({f"{run}:{key}": 1 for key in names if key in ended or happened})


async def _check(tree: Any) -> None:
    machine = Machine(clock=FakeClock())
    world = World()
    async with machine.app() as app:
        whole = await asyncio.wait_for(app.run(program(tree, world)), 10)
        seen = spy(app)
    assert whole.status == "succeeded", whole.error
    keys = {(step.key, step.pos) for step in whole.history.steps.values()}
    for count in range(1, len(whole.records)):
        for happened in (False, True):
            after = world_at(whole.records[:count], happened)
            other = Machine(clock=FakeClock())
            async with other.app() as app:
                await cut(seen, whole.run_id, count, spy(app))
                result = await asyncio.wait_for(app.resume(whole.run_id, program(tree, after)), 10)
            assert result.status == "succeeded", (count, happened, result.error, result.pending)
            assert result.output == whole.output, (count, happened)
            assert after.done == world.done, (count, happened)
            assert {(step.key, step.pos) for step in result.history.steps.values()} == keys
            assert result.cost == whole.cost


@given(TREE)
@settings(max_examples=25, deadline=None)
def test_a_crash_after_any_record_then_a_resume_equals_no_crash(tree: Any) -> None:
    asyncio.run(_check(tree))


async def test_a_crash_between_every_two_records_of_an_agents_run_changes_nothing(any_machine: Machine) -> None:
    from podium import Agent, ToolCall

    world = World()

    def agent(world: World) -> Any:
        tools = world.tools()
        script = [
            [ToolCall("read", {"n": 1}), ToolCall("write", {"n": 2})],
            ToolCall("idempotent", {"n": 3}),
            "done",
        ]
        return Agent("shop", model=ScriptedModel(script), tools=list(tools.values()), system_prompt="Be brief.")

    async with any_machine.app() as app:
        whole = await agent(world).run("go", app=app, session="s")
        seen = spy(app)
    for count in range(1, len(whole.records)):
        after = world_at(whole.records[:count], happened=True)
        other = any_machine.fresh()
        async with other.app() as app:
            await cut(seen, whole.run_id, count, spy(app))
            result = await app.resume(whole.run_id, agent(after))
            assert result.output == "done", (count, result.error)
            assert after.done == world.done
            session = await app.store.session("s")
            assert session is not None
            assert session.messages == 6, count
            # Identifiers of calls derive from record numbers, so only their texts are compared.
            assert [message.text for message in result.messages] == [message.text for message in whole.messages]


async def test_a_crash_after_the_lease_is_lost_at_any_append_loses_nothing(machine: Machine) -> None:
    from podium.core.errors import LeaseLost

    tree = ("sequence", [("write",), ("gather", [("idempotent",), ("model",)]), ("call",)])
    world = World()
    async with machine.app() as app:
        whole = await app.run(program(tree, world))
    for count in range(len(whole.records) - 1):
        other = machine.fresh()
        after = World()
        async with other.app() as app:
            store = spy(app)
            store.fail_after, store.failure = count, LeaseLost
            with contextlib.suppress(LeaseLost):
                await asyncio.wait_for(app.run(program(tree, after)), 10)
            store.fail_after = None
            [row] = await app.runs()
            result = await asyncio.wait_for(app.resume(row.id, program(tree, after)), 10)
        assert result.output == whole.output, count
        assert list(after.done.values()) == [1] * len(world.done), count
