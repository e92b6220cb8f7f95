"""Leases: one recorder of a run at a time, and everybody else is told who it is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from harness import QUICK, Machine, records_of, settle, spy, until

from podium import Limits, NestedRun, Podium, RunBusy, RunConflict, RunNotFound, member, tool
from podium.core.errors import LeaseLost, RequestError, RunError
from podium.core.records import Ended, Resumed

SHORT = Limits(lease=30, margin=5, idle=0.002, poll=0.02)


class Gate:
    """A tool body that a test opens."""

    def __init__(self, effect: str = "write") -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.calls = 0
        gate = self

        @tool(effect=effect)  # pyright: ignore[reportArgumentType]
        async def act() -> str:
            """Act."""
            gate.calls += 1
            gate.entered.set()
            await gate.open.wait()
            return f"acted {gate.calls}"

        @member(name="acts")
        async def acts(ctx: Any) -> Any:
            one = await ctx.tool(act)
            await ctx.emit("after")
            return one

        self.member = acts


async def test_a_run_that_another_app_drives_is_busy_and_the_error_says_who_and_how_to_take_it(
    machine: Machine,
) -> None:
    gate = Gate()
    async with machine.app(limits=SHORT) as one, machine.app(limits=SHORT) as two:
        handle = await one.start(gate.member)
        await gate.entered.wait()
        row = await one.row(handle.run_id)
        assert row is not None
        with pytest.raises(RunBusy, match="--steal") as caught:
            await two.resume(handle.run_id, gate.member)
        assert row.owner in str(caught.value)
        assert "30 s" in str(caught.value)
        gate.open.set()
        assert (await handle.result()).output == "acted 1"


async def test_a_free_lease_is_taken_and_the_epoch_rises(any_machine: Machine) -> None:
    gate = Gate("idempotent")
    async with any_machine.app() as app:
        handle = await app.start(gate.member)
        await gate.entered.wait()
        assert (await app.row(handle.run_id)).epoch == 1  # pyright: ignore[reportOptionalMemberAccess]
    gate.open.set()
    async with any_machine.app() as app:
        await app.resume(handle.run_id, gate.member)
        assert (await app.row(handle.run_id)).epoch == 2  # pyright: ignore[reportOptionalMemberAccess]


async def test_a_driver_whose_lease_was_stolen_records_nothing_more(any_machine: Machine) -> None:
    gate = Gate("idempotent")
    async with any_machine.app() as one, any_machine.app() as two:
        handle = await one.start(gate.member)
        await gate.entered.wait()
        gate.entered.clear()
        taking = asyncio.create_task(two.resume(handle.run_id, gate.member, steal=True))
        await gate.entered.wait()
        gate.open.set()
        result = await taking
        assert result.status == "succeeded"
        await settle()
        records = await two.store.read(handle.run_id)
    assert len([record for record in records if isinstance(record, Ended) and record.key == "acts.1/act.1"]) == 1
    assert [record.epoch for record in records if isinstance(record, Resumed)] == [2]
    [resumed] = records_of(result, Resumed)
    assert resumed.stolen_until is not None


async def test_did_not_happen_is_refused_until_the_old_lease_has_expired(machine: Machine) -> None:
    gate = Gate()
    async with machine.app(limits=SHORT) as one, machine.app(limits=SHORT) as two:
        handle = await one.start(gate.member)
        await gate.entered.wait()
        result = await two.resume(handle.run_id, gate.member, steal=True)
        assert result.pending[0].why == "in_doubt"
        with pytest.raises(RequestError, match="may still act"):
            await two.handle(handle.run_id).answer(value="not_happened")
        machine.clock.now += 31
        gate.open.set()
        await two.handle(handle.run_id).answer(value="not_happened")
        assert (await two.handle(handle.run_id).result()).output == "acted 2"


async def test_happened_may_be_said_at_once_after_a_steal(machine: Machine) -> None:
    gate = Gate()
    async with machine.app(limits=SHORT) as one, machine.app(limits=SHORT) as two:
        handle = await one.start(gate.member)
        await gate.entered.wait()
        await two.resume(handle.run_id, gate.member, steal=True)
        await two.handle(handle.run_id).answer(value="happened", result="seen at the bank")
        assert (await two.handle(handle.run_id).result()).output == "seen at the bank"
    assert gate.calls == 1


async def test_an_action_starts_only_while_the_lease_has_margin(machine: Machine) -> None:
    calls: list[int] = []

    @tool(effect="write")
    async def act(n: int) -> int:
        """Act."""
        calls.append(n)
        if n == 1:
            machine.clock.now += 26  # the process was frozen: nobody renewed
        return n

    @member
    async def body(ctx: Any) -> Any:
        return [await ctx.tool(act, n=1), await ctx.tool(act, n=2)]

    async with machine.app(limits=SHORT) as app:
        with pytest.raises(LeaseLost):
            await app.run(body)
    assert calls == [1]


async def test_a_lease_is_renewed_while_the_run_is_driven(machine: Machine) -> None:
    gate = Gate()
    async with machine.app(limits=SHORT) as app:
        handle = await app.start(gate.member)
        await gate.entered.wait()
        await machine.clock.advance(55)
        row = await app.row(handle.run_id)
        assert row is not None
        assert row.lease_until > machine.clock.now
        gate.open.set()
        assert (await handle.result()).status == "succeeded"


async def test_a_run_whose_records_are_refused_stops_and_can_be_resumed(machine: Machine) -> None:
    gate = Gate("idempotent")
    gate.open.set()
    async with machine.app() as app:
        store = spy(app)
        store.fail_after, store.failure = 3, LeaseLost
        with pytest.raises(LeaseLost):
            await app.run(gate.member)
        store.fail_after = None
        [row] = await app.runs()
        assert not row.status.over
        assert (await app.resume(row.id, gate.member)).status == "succeeded"


# ------------------------------------------------------------------------------------------- starting what exists


async def test_starting_the_same_run_again_attaches_to_it(any_machine: Machine) -> None:
    gate = Gate()
    async with any_machine.app() as app:
        one = await app.start(gate.member, run_id="r1")
        await gate.entered.wait()
        two = await app.start(gate.member, run_id="r1")
        gate.open.set()
        assert (await one.result()).output == (await two.result()).output == "acted 1"
        three = await app.start(gate.member, run_id="r1")
        assert (await three.result()).output == "acted 1"
    assert gate.calls == 1


async def test_running_the_same_run_again_gives_its_outcome_without_doing_it_again(any_machine: Machine) -> None:
    gate = Gate()
    gate.open.set()
    async with any_machine.app() as app:
        one = await gate.member.run(app=app, run_id="r1")
    async with any_machine.app() as app:
        two = await gate.member.run(app=app, run_id="r1")
    assert one.output == two.output == "acted 1"
    assert gate.calls == 1


async def test_running_an_interrupted_run_again_resumes_it(any_machine: Machine) -> None:
    gate = Gate("idempotent")
    async with any_machine.app() as app:
        await app.start(gate.member, run_id="r1")
        await gate.entered.wait()
    gate.open.set()
    async with any_machine.app() as app:
        assert (await gate.member.run(app=app, run_id="r1")).output == "acted 2"


async def test_the_same_id_with_another_input_or_member_is_a_conflict(any_machine: Machine) -> None:
    @member
    async def echo(ctx: Any, value: Any) -> Any:
        return value

    @member
    async def other(ctx: Any, value: Any) -> Any:
        return value

    async with any_machine.app() as app:
        await app.run(echo, 1)
        await echo.run(1, app=app, run_id="r1")
        with pytest.raises(RunConflict, match="r1"):
            await echo.run(2, app=app, run_id="r1")
        with pytest.raises(RunConflict):
            await other.run(1, app=app, run_id="r1")
        with pytest.raises(RunConflict):
            await app.start(echo, 2, run_id="r1")
        with pytest.raises(RunConflict):
            await app.resume("r1", other)


async def test_an_idempotency_key_of_start_makes_one_run(any_machine: Machine) -> None:
    gate = Gate()
    gate.open.set()
    async with any_machine.app() as app:
        one = await app.start(gate.member, idempotency_key="order 7")
        two = await app.start(gate.member, idempotency_key="order 7")
        three = await app.start(gate.member, idempotency_key="order 8")
        assert one.run_id == two.run_id != three.run_id
        await one.result()
        await three.result()
    assert gate.calls == 2


async def test_a_run_nobody_knows_is_not_found(machine: Machine) -> None:
    async with machine.app() as app:
        with pytest.raises(RunNotFound, match="nope"):
            await app.resume("nope")
        with pytest.raises(RunNotFound):
            await app.handle("nope").result()
        with pytest.raises(RunNotFound):
            await app.handle("nope").cancel()


async def test_a_run_that_is_being_driven_is_running(any_machine: Machine) -> None:
    gate = Gate()
    async with any_machine.app() as app:
        handle = await app.start(gate.member)
        await gate.entered.wait()
        assert handle.status == "running"
        gate.open.set()
        await handle.result()
        assert handle.status == "succeeded"


# ------------------------------------------------------------------------------------------- cancelling and deadlines


async def test_cancelling_a_suspended_run_ends_it(any_machine: Machine) -> None:
    @member
    async def asks(ctx: Any) -> Any:
        return await ctx.ask("go on?")

    async with any_machine.app() as app:
        handle = await app.start(asks)
        await handle.settled()
        await handle.cancel()
        assert (await handle.result()).status == "cancelled"


async def test_a_run_past_its_time_is_exhausted_and_nothing_more_starts(machine: Machine) -> None:
    gate = Gate("read")
    async with machine.app() as app:
        handle = await app.start(gate.member, timeout=60)
        await gate.entered.wait()
        await machine.clock.advance(61)
        result = await handle.result()
    assert result.status == "exhausted"
    assert result.error is not None
    assert result.error.type == "DeadlineExceeded"


async def test_the_deadline_of_a_run_binds_members_tools_and_children(machine: Machine) -> None:
    from podium import ToolContext

    seen: list[Any] = []

    @tool(effect="read")
    async def look(ctx: ToolContext) -> str:
        """Look."""
        seen.append(ctx.deadline)
        return "x"

    @member
    async def child(ctx: Any) -> None:
        seen.append(ctx.deadline)

    @member
    async def parent(ctx: Any) -> None:
        seen.append(ctx.deadline)
        await ctx.tool(look)
        await ctx.call(child)
        await ctx.spawn(child)

    async with machine.app() as app:
        handle = await app.start(parent, timeout=60)
        await handle.result()
    # The parent's own code runs again when it wakes for its child's word.
    assert len(seen) >= 4
    assert set(seen) == {machine.clock.now + 60}


async def test_a_suspended_run_past_its_time_ends_by_itself(machine: Machine) -> None:
    @member
    async def asks(ctx: Any) -> Any:
        return await ctx.ask("go on?")

    async with machine.app() as app:
        handle = await app.start(asks, timeout=3600)
        await handle.settled()
        await machine.clock.advance(3601)
        assert (await handle.result()).status == "exhausted"


async def test_a_member_that_takes_too_long_fails_and_its_caller_goes_on(machine: Machine) -> None:
    gate = Gate("read")

    @member
    async def caller(ctx: Any) -> str:
        try:
            await ctx.call(gate.member, timeout=10)
        except Exception as error:  # noqa: BLE001
            return type(error).__name__
        return "in time"

    async with machine.app() as app:
        handle = await app.start(caller)
        await gate.entered.wait()
        await machine.clock.advance(11)
        assert (await handle.result()).output == "DeadlineExceeded"


# ---------------------------------------------------------------------------------------------- threads and loops


def test_run_sync_works_from_a_script() -> None:
    @member
    async def echo(ctx: Any, value: Any) -> Any:
        return [value, await ctx.read("n", lambda: 2)]

    assert echo.run_sync(1).unwrap() == [1, 2]


async def test_run_sync_works_from_another_thread_on_the_apps_loop(machine: Machine) -> None:
    @member
    async def echo(ctx: Any, value: Any) -> Any:
        return value

    async with machine.app() as app:
        result = await asyncio.to_thread(lambda: echo.run_sync(5, app=app))
    assert result.output == 5


async def test_run_sync_works_inside_a_running_loop_as_in_a_notebook() -> None:
    @member
    async def echo(ctx: Any, value: Any) -> Any:
        return value

    assert echo.run_sync(7).output == 7


async def test_run_sync_on_the_apps_own_loop_says_to_await(machine: Machine) -> None:
    @member
    async def echo(ctx: Any, value: Any) -> Any:
        return value

    async with machine.app() as app:
        with pytest.raises(RunError, match=r"await member\.run"):
            echo.run_sync(5, app=app)


@pytest.mark.parametrize("how", ["run", "run_sync", "stream"])
async def test_running_inside_a_running_member_names_the_remedy(machine: Machine, how: str) -> None:
    @member
    async def inner(ctx: Any) -> str:
        return "inner"

    @member
    async def outer(ctx: Any) -> Any:
        try:
            if how == "run":
                await inner.run()
            elif how == "run_sync":
                inner.run_sync()
            else:
                async for _ in inner.stream():
                    pass
        except NestedRun as error:
            return str(error)

    async with machine.app() as app:
        result = await app.run(outer)
    assert result.output is not None
    assert "ctx.call" in result.output


async def test_an_app_belongs_to_one_loop(machine: Machine) -> None:
    @member
    async def echo(ctx: Any, value: Any) -> Any:
        return value

    async with machine.app() as app:

        def elsewhere() -> None:
            with pytest.raises(RunError, match="another event loop"):
                asyncio.run(app.run(echo, 1))

        await asyncio.to_thread(elsewhere)


async def test_an_app_that_is_not_open_says_how_to_open_it() -> None:
    with pytest.raises(RunError, match="async with"):
        _ = Podium().store


async def test_a_crashed_run_of_a_named_member_is_taken_up_by_itself(any_machine: Machine) -> None:
    gate = Gate("idempotent")
    async with any_machine.app() as app:
        handle = await app.start(gate.member)
        await gate.entered.wait()
    gate.open.set()
    async with any_machine.app(members=[gate.member]) as app:
        await until(lambda: app.handle(handle.run_id).status == "succeeded", "the run")
    assert gate.calls == 2
    assert QUICK.poll < 1
