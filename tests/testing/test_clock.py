"""`FakeClock`: time that tests move."""

import asyncio

import pytest

from podium.testing import FakeClock


async def test_time_stands_still_until_it_is_moved():
    clock = FakeClock(100.0)
    await asyncio.sleep(0)
    assert (clock.time(), clock.monotonic()) == (100.0, 0.0)
    await clock.advance(2.5)
    assert (clock.time(), clock.monotonic()) == (102.5, 2.5)


async def test_timers_fire_in_the_order_of_their_due_time_then_of_their_making():
    clock, fired = FakeClock(0.0), []
    clock.call_later(2, lambda: fired.append(("late", clock.time())))
    clock.call_later(1, lambda: fired.append(("first", clock.time())))
    clock.call_later(1, lambda: fired.append(("second", clock.time())))
    await clock.advance(5)
    assert fired == [("first", 1.0), ("second", 1.0), ("late", 2.0)]
    assert clock.time() == 5.0


async def test_what_a_timer_wakes_runs_before_the_next_timer_fires():
    clock, heard = FakeClock(0.0), []

    async def sleeper(name: str) -> None:
        await clock.sleep(1)
        heard.append((name, clock.time()))
        await clock.sleep(1)
        heard.append((name, clock.time()))

    task = asyncio.ensure_future(sleeper("a"))
    await clock.advance(10)
    await task
    assert heard == [("a", 1.0), ("a", 2.0)]


async def test_a_cancelled_timer_does_not_fire_and_a_cancelled_sleeper_leaves_none():
    clock, fired = FakeClock(), []
    clock.call_later(1, lambda: fired.append(1)).cancel()
    task = asyncio.ensure_future(clock.sleep(3))
    await asyncio.sleep(0)
    assert clock.next_due == clock.time() + 3
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert clock.next_due is None
    await clock.advance(5)
    assert fired == []


async def test_time_does_not_go_back():
    with pytest.raises(ValueError, match="does not go back"):
        await FakeClock().advance(-1)


async def test_with_autojump_an_idle_loop_moves_time_by_itself():
    clock = FakeClock(0.0, autojump=0.001)
    await asyncio.wait_for(clock.sleep(86_400), 5)
    assert clock.time() == 86_400
    await asyncio.wait_for(clock.sleep(60), 5)
    assert clock.time() == 86_460


async def test_a_run_that_sleeps_for_a_day_is_over_when_the_clock_says_so(podium_app, fake_clock):
    from podium import member

    @member
    async def napping(ctx):
        await ctx.sleep(86_400)
        return await ctx.now()

    began = fake_clock.time()
    handle = await podium_app.start(napping)
    assert (await handle.settled()).pending[0].why == "sleep"
    await fake_clock.advance(86_400)
    assert (await handle.result()).output == began + 86_400
