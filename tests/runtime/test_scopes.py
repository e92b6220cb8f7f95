"""Keys and scopes: who may request a step, and what it is called."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from harness import Machine
from hypothesis import given, settings
from hypothesis import strategies as st

from podium import ScopeError, member, tool
from podium.core import keys


@tool(effect="read")
async def look(what: str = "x") -> str:
    """Look."""
    return what


@tool(name="a-b_c", effect="read")
async def odd() -> str:
    """Odd."""
    return "odd"


def step_keys(result: Any) -> list[str]:
    return [step.key for step in result.steps]


async def test_the_ordinal_counts_calls_of_one_name_in_one_scope(machine: Machine) -> None:
    @member
    async def two(ctx: Any) -> None:
        await ctx.now()
        await ctx.tool(look)
        await ctx.now()

    async with machine.app() as app:
        result = await app.run(two)
    assert step_keys(result) == ["two.1", "two.1/now.1", "two.1/look.1", "two.1/now.2"]


async def test_a_called_member_opens_a_scope_of_its_own(machine: Machine) -> None:
    @member
    async def inner(ctx: Any, n: int) -> int:
        await ctx.now()
        return n

    @member
    async def outer(ctx: Any) -> list[int]:
        return [await ctx.call(inner, 1), await ctx.call(inner, 2)]

    async with machine.app() as app:
        result = await app.run(outer)
    assert result.output == [1, 2]
    assert step_keys(result) == [
        "outer.1", "outer.1/inner.1", "outer.1/inner.1/now.1", "outer.1/inner.2", "outer.1/inner.2/now.1",
    ]  # fmt: skip


async def test_a_numbered_part_of_a_scope_has_its_own_keys(machine: Machine) -> None:
    @member
    async def turns(ctx: Any) -> None:
        for _ in range(2):
            turn = ctx.scope("turn")
            await turn.now()

    async with machine.app() as app:
        assert step_keys(await app.run(turns))[1:] == ["turns.1/turn.1/now.1", "turns.1/turn.2/now.1"]


async def test_branches_of_a_gather_have_scopes_in_the_order_given(machine: Machine) -> None:
    async def branch(ctx: Any) -> str:
        await ctx.now()
        return ctx.key

    @member
    async def wide(ctx: Any) -> Any:
        first = await ctx.gather(branch, branch)
        return first + await ctx.gather(branch)

    async with machine.app() as app:
        result = await app.run(wide)
    assert result.output == ["wide.1/branch.1", "wide.1/branch.2", "wide.1/branch.3"]


async def test_branches_of_a_group_have_scopes_in_the_order_started(machine: Machine) -> None:
    async def branch(ctx: Any) -> str:
        await ctx.tool(look)
        return ctx.key

    @member
    async def grouped(ctx: Any) -> Any:
        async with ctx.group() as group:
            tasks = [group.start(branch) for _ in range(3)]
        return [task.result() for task in tasks]

    async with machine.app() as app:
        assert (await app.run(grouped)).output == [f"grouped.1/branch.{n}" for n in (1, 2, 3)]


async def test_the_key_is_taken_when_the_call_is_made_not_when_it_is_awaited(machine: Machine) -> None:
    @member
    async def backwards(ctx: Any) -> Any:
        first = ctx.tool(look, what="first")
        second = ctx.tool(look, what="second")
        return [await second, await first]

    async with machine.app() as app:
        result = await app.run(backwards)
    assert result.output == ["second", "first"]
    ends = {step.key: step for step in result.steps}
    assert set(ends) == {"backwards.1", "backwards.1/look.1", "backwards.1/look.2"}
    assert result.history.steps["backwards.1/look.1"].pos == 1
    assert result.history.steps["backwards.1/look.2"].pos == 2


async def test_a_step_from_a_plain_task_group_is_a_scope_error_that_names_the_remedy(machine: Machine) -> None:
    @member
    async def wrong(ctx: Any) -> None:
        async def branch() -> None:
            await ctx.now()

        async with asyncio.TaskGroup() as group:
            group.create_task(branch())

    async with machine.app() as app:
        result = await app.run(wrong)
    assert result.status == "failed"
    assert result.error is not None
    assert "ctx.gather" in str(result.error.message) or "ScopeError" in str(result.error)


async def test_the_scope_error_itself_says_gather_or_group(machine: Machine) -> None:
    seen: list[BaseException] = []

    @member
    async def wrong(ctx: Any) -> None:
        async def branch() -> None:
            try:
                await ctx.now()
            except ScopeError as error:
                seen.append(error)

        await asyncio.create_task(branch())

    async with machine.app() as app:
        result = await app.run(wrong)
    assert result.status == "succeeded"
    assert "ctx.gather" in str(seen[0])
    assert "ctx.group" in str(seen[0])
    assert step_keys(result) == ["wrong.1"]


async def test_a_branch_cannot_use_the_context_of_its_parent(machine: Machine) -> None:
    @member
    async def wrong(ctx: Any) -> Any:
        async def branch(_: Any) -> Any:
            return await ctx.now()

        return await ctx.gather(branch)

    async with machine.app() as app:
        result = await app.run(wrong)
    assert result.status == "failed"
    assert "does not own it" in str(result.error)


async def test_a_group_takes_branches_only_inside_its_block_and_from_its_own_task(machine: Machine) -> None:
    async def branch(ctx: Any) -> None:
        await ctx.now()

    @member
    async def late(ctx: Any) -> str:
        group = ctx.group()
        with pytest.raises(ScopeError, match="inside the block"):
            group.start(branch)
        async with group:
            group.start(branch)
        with pytest.raises(ScopeError, match="inside the block"):
            group.start(branch)
        return "ok"

    async with machine.app() as app:
        assert (await app.run(late)).unwrap() == "ok"


async def test_a_failing_branch_cancels_its_siblings_and_the_first_failure_is_raised(machine: Machine) -> None:
    cancelled: list[str] = []

    async def fails(ctx: Any) -> None:
        await ctx.now()
        raise ValueError("first")

    async def waits(ctx: Any) -> None:
        try:
            await ctx.ask("never answered?")
        except asyncio.CancelledError:
            cancelled.append(ctx.key)
            raise

    @member
    async def team(ctx: Any) -> str:
        with pytest.raises(ValueError, match="first"):
            await ctx.gather(waits, fails, waits)
        return "caught"

    async with machine.app() as app:
        assert (await app.run(team)).unwrap() == "caught"
    assert sorted(cancelled) == ["team.1/branch.1", "team.1/branch.3"]


@given(st.text(min_size=1, max_size=10))
@settings(max_examples=25, deadline=None)
def test_any_name_of_a_member_gives_a_key_that_can_be_taken_apart(name: str) -> None:
    async def run() -> Any:
        @member(name=name)
        async def named(ctx: Any) -> None:
            await ctx.emit(name, 1)

        async with Machine().app() as app:
            return await app.run(named)

    result = asyncio.run(run())
    assert result.status == "succeeded"
    assert [keys.split(key) for key in step_keys(result)] == [((name, 1),), ((name, 1), (name, 1))]
