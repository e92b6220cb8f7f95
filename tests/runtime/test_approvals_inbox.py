"""The inbox: everything that waits for a person over all runs, for whom, since when, and in pages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from harness import FakeClock, Machine, until

from podium import Approval, Pending, Podium, Principal, member, tool


@tool(effect="write")
async def send(text: str, api_key: str = "") -> str:
    """Send a text."""
    return text


@member
async def sends(ctx: Any, text: str) -> Any:
    return await ctx.tool(send, text=text)


@member
async def asks(ctx: Any, question: str) -> Any:
    return await ctx.ask(question, roles=["editor"])


APPROVALS = [Approval(tools="send", roles="sender", self_approval=False)]


async def filled(app: Podium, clock: FakeClock, count: int) -> list[str]:
    """Runs that wait, one a second; their ids, oldest first."""
    ids: list[str] = []
    for number in range(count):
        ids.append((await sends.run(f"text {number}", app=app, principal=Principal("ann"))).run_id)
        clock.now += 1
    return ids


async def test_it_holds_what_waits_with_all_that_is_needed_to_decide(machine: Machine, clock: FakeClock) -> None:
    @tool(name="send", effect="write")
    async def secretly(text: str, api_key: str) -> str:
        """Send with a key."""
        return text

    @member
    async def tells(ctx: Any) -> Any:
        return await ctx.tool(secretly, text="hi", api_key="sk-live-0123456789abcdef")

    async with machine.app(approvals=APPROVALS) as app:
        result = await tells.run(app=app, principal=Principal("ann"))
        [item] = await app.inbox()
    assert (item.run, item.member, item.agent, item.tool) == (result.run_id, "tells", "tells", "send")
    assert (item.rule, item.roles, item.why) == (APPROVALS[0].name, ("sender",), "approval")
    assert (item.principal, item.apart, item.untrusted) == ("ann", True, False)
    assert (item.since, item.due) == (clock.now, clock.now + 7 * 24 * 3600)
    assert item.args == {"text": "hi", "api_key": "[redacted]"}


async def test_the_longest_waiting_comes_first_unless_the_newest_is_asked_for(
    any_machine: Machine, clock: FakeClock
) -> None:
    async with any_machine.app(approvals=APPROVALS) as app:
        ids = await filled(app, any_machine.clock, 3)
        assert [item.run for item in await app.inbox()] == ids
        assert [item.run for item in await app.inbox(newest_first=True)] == ids[::-1]


@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_meet_although_what_stood_between_them_was_decided(
    newest_first: bool, machine: Machine, clock: FakeClock
) -> None:
    async with machine.app(approvals=APPROVALS) as app:
        ids = await filled(app, clock, 5)
        first = await app.inbox(limit=2, newest_first=newest_first)
        await app.desk.reject(first[1].run, by=Principal("bob", ("sender",)))
        rest: list[Pending] = []
        while page := await app.inbox(limit=2, newest_first=newest_first, after=(rest or first)[-1]):
            rest += page
    assert [item.run for item in [*first, *rest]] == (ids[::-1] if newest_first else ids)


async def test_it_is_filtered_by_what_one_may_decide(machine: Machine) -> None:
    async with machine.app(approvals=APPROVALS) as app:
        mine = await sends.run("text", app=app, principal=Principal("ann"))
        question = await asks.run("Which?", app=app)

        async def runs(**options: Any) -> set[str]:
            return {item.run for item in await app.inbox(**options)}

        assert await runs() == {mine.run_id, question.run_id}
        assert await runs(roles=["editor"]) == {question.run_id}
        assert await runs(roles=[]) == set()
        assert await runs(principal=Principal("bob", ("sender",))) == {mine.run_id}
        assert await runs(principal=Principal("ann", ("sender",))) == set(), "it is her own"
        assert await runs(why=["ask"]) == {question.run_id}
        assert await runs(untrusted=True) == set()
        assert await runs(prefix=mine.run_id) == {mine.run_id}


async def test_what_is_decided_is_gone_also_when_its_run_has_not_taken_it_up(any_machine: Machine) -> None:
    async with any_machine.app(approvals=APPROVALS) as app:
        await sends.run("text", app=app)
    async with any_machine.app() as other:  # it cannot drive the run
        [item] = await other.inbox()
        await other.desk.approve(item.run, item.request, by=Principal("bob", ("sender",)))
        assert await other.inbox() == []


async def test_what_one_branch_waits_for_is_seen_while_another_works(machine: Machine) -> None:
    go = asyncio.Event()

    @tool(effect="read")
    async def work() -> str:
        """Work until told."""
        await go.wait()
        return "worked"

    @member
    async def both(ctx: Any) -> Any:
        return await ctx.gather(lambda ctx: ctx.tool(work), lambda ctx: ctx.tool(send, text="x"))

    async with machine.app(approvals=APPROVALS) as app:
        handle = await app.start(both)
        await until(_waits(app), "the hold")
        waiting = await app.inbox()
        assert handle.status == "running"
        await handle.approve(waiting[0].request, by=Principal("bob", ("sender",)))
        go.set()
        assert (await handle.result()).output == ["worked", "x"]
        assert await app.inbox() == []


def _waits(app: Podium) -> Callable[[], Awaitable[bool]]:
    async def something() -> bool:
        return bool(await app.inbox())

    return something


async def test_timers_and_signals_wait_for_no_person(machine: Machine) -> None:
    @member
    async def waits(ctx: Any) -> Any:
        await ctx.gather(lambda ctx: ctx.sleep(3600), lambda ctx: ctx.wait("paid"))

    async with machine.app() as app:
        await waits.run(app=app)
        assert await app.inbox() == []
