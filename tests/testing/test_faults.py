"""`FaultPlan`, `FaultyStore`, `FaultyTool`: what is planned happens, where it is planned, once."""

import signal
import subprocess
import sys

import pytest

from podium import ConfigurationError, Podium, StoreError, member, tool
from podium.runtime.clock import SystemClock
from podium.stores.memory import MemoryStore
from podium.testing import Delay, Do, Fail, FaultPlan, FaultyStore, FaultyTool, Kill

done: list[str] = []


@tool(effect="write")
async def act(what: str) -> str:
    """Do something."""
    done.append(what)
    return what


@member
async def twice(ctx):
    return [await ctx.tool(act, what="one"), await ctx.tool(act, what="two")]


@pytest.fixture(autouse=True)
def _nothing_done():
    done.clear()


def app(plan: FaultPlan) -> Podium:
    return Podium(store=FaultyStore(MemoryStore(SystemClock()), plan), members=[twice])


async def test_a_run_passes_before_and_after_every_record_in_order():
    plan = FaultPlan(trace=True)
    async with app(plan) as podium:
        assert (await podium.run(twice)).unwrap() == ["one", "two"]
    records = [point for point in plan.passed if point.number]
    assert [point.name for point in records if point.key == "twice.1/act.1"] == [
        "before Began",
        "after Began",
        "before Ended",
        "after Ended",
    ]
    assert [point.name for point in records][:2] == ["before Started", "after Started"]
    assert [point.name for point in records][-2:] == ["before Finished", "after Finished"]
    assert {point.number for point in records} == set(range(1, 9))
    assert any(point.name == "before commit" for point in plan.passed)
    assert any(point.name == "after transition" for point in plan.passed)


async def test_a_store_that_fails_before_a_write_begins_stops_the_run_before_the_effect():
    plan = FaultPlan().on("before Began", Fail(StoreError("the disk is gone")), key="twice.1/act.2")
    async with app(plan) as podium:
        with pytest.raises(StoreError, match="the disk is gone"):
            await podium.run(twice)
        assert done == ["one"]
        run = (await podium.runs())[0].id
        assert (await podium.resume(run)).unwrap() == ["one", "two"]
    assert done == ["one", "two"]


async def test_a_store_that_fails_after_a_write_acted_leaves_it_in_doubt():
    plan = FaultPlan().on("before Ended", Fail(StoreError("the disk is gone")), key="twice.1/act.1")
    async with app(plan) as podium:
        with pytest.raises(StoreError):
            await podium.run(twice)
        run = (await podium.runs())[0].id
        waiting = (await podium.resume(run)).pending
        assert [item.why for item in waiting] == ["in_doubt"]
    assert done == ["one"]


async def test_each_fault_happens_once_at_the_nth_point_that_fits():
    seen: list[str] = []
    plan = FaultPlan().on("after Ended", Do(lambda point: seen.append(point.key)), nth=2)
    async with app(plan) as podium:
        await podium.run(twice)
        await podium.run(twice)
    assert seen == ["twice.1/act.2"]


async def test_a_faulty_tool_fails_before_or_after_it_acted():
    plan = FaultPlan().on("before tool", Fail(RuntimeError("no"))).on("after tool", Fail(RuntimeError("lost")), nth=1)
    wrapped = FaultyTool(act, plan)

    @member
    async def once(ctx):
        return await ctx.tool(wrapped, what="x")

    async with Podium() as podium:
        first = await podium.run(once)
        assert (first.pending[0].why, done) == ("in_doubt", [])
        second = await podium.run(once)
        assert (second.pending[0].why, done) == ("in_doubt", ["x"])


async def test_a_delay_holds_the_run_up_and_changes_nothing():
    plan = FaultPlan().on("before Ended", Delay(0.001)).on("after Finished", Delay(0.001))
    async with app(plan) as podium:
        assert (await podium.run(twice)).unwrap() == ["one", "two"]


@pytest.mark.parametrize("point", ["before Nonsense", "Began", "during Began", "after "])
def test_a_point_that_does_not_exist_is_refused(point):
    with pytest.raises(ConfigurationError, match="there is no point"):
        FaultPlan().on(point, Kill())


def test_what_is_durable_cannot_be_made_to_fail():
    with pytest.raises(ConfigurationError, match="it has happened by then"):
        FaultPlan().on("after Ended", Fail(StoreError("x")))


def test_kill_is_a_real_sigkill():
    code = (
        "from podium.testing import *; p = FaultPlan().on('before post', Kill()); p.reach(Point('before', 'post', 'r'))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == -signal.SIGKILL
