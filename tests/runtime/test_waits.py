"""Waiting: for people, signals and times. A waiting run costs nothing, loses no word, and uses each decision once."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
from harness import START, Machine, records_of, settle, spy

from podium import Agent, Principal, Rejected, ScriptedModel, ToolCall, member, tool
from podium.core.codec import encode
from podium.core.errors import DeadlineExceeded, RequestError
from podium.core.records import Began, Held, Signalled, Suspended
from podium.ports import Mail

DONE: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    DONE.clear()


@tool(effect="write", approval="always")
async def refund(amount: int) -> str:
    """Refund."""
    DONE.append(amount)
    return f"refunded {amount}"


@tool(effect="read")
async def look(what: str = "x") -> str:
    """Look."""
    DONE.append(what)
    return what


@member
async def asks(ctx: Any) -> Any:
    return await ctx.ask("colour?", choices=["red", "blue"])


@member
async def refunds(ctx: Any, amount: int = 5) -> Any:
    return await ctx.tool(refund, amount=amount)


# ------------------------------------------------------------------------------------------------------- asking


async def test_a_question_suspends_the_run_and_its_answer_is_the_value(any_machine: Machine) -> None:
    async with any_machine.app() as app:
        result = await app.run(asks)
        assert result.status == "suspended"
        [item] = result.pending
        assert (item.why, item.prompt, item.choices, item.key) == ("ask", "colour?", ("red", "blue"), "asks.1/ask.1")
        await app.handle(result.run_id).answer(item.request, "red")
        assert (await app.handle(result.run_id).result()).output == "red"


async def test_an_answer_outside_the_choices_is_refused_and_the_question_stays_open(machine: Machine) -> None:
    async with machine.app() as app:
        handle = await app.start(asks)
        await handle.settled()
        with pytest.raises(RequestError, match="red, blue"):
            await handle.answer(value="green")
        assert len(await handle.pending()) == 1


async def test_a_decision_is_used_once(machine: Machine) -> None:
    async with machine.app() as app:
        handle = await app.start(asks)
        [item] = (await handle.settled()).pending
        await handle.answer(item.request, "red")
        with pytest.raises(RequestError):
            await handle.answer(item.request, "blue")
        result = await handle.result()
        assert result.output == "red"
        with pytest.raises(RequestError):
            await handle.answer(item.request, "blue")


async def test_a_rejected_question_is_an_error_of_the_step(machine: Machine) -> None:
    async with machine.app() as app:
        handle = await app.start(asks)
        await handle.settled()
        await handle.reject(message="ask somebody else")
        result = await handle.result()
    assert result.status == "failed"
    assert "ask somebody else" in str(result.error)


async def test_a_question_that_expires_is_rejected(machine: Machine) -> None:
    @member
    async def hurried(ctx: Any) -> Any:
        try:
            return await ctx.ask("now?", expires=3600)
        except Rejected as error:
            return f"rejected: {error}"

    async with machine.app() as app:
        handle = await app.start(hurried)
        assert (await handle.settled()).pending[0].due == START + 3600
        await machine.clock.advance(3601)
        result = await handle.result()
    assert result.output.startswith("rejected")


async def test_a_question_for_a_role_takes_answers_only_from_those_who_hold_it(machine: Machine) -> None:
    @member
    async def guarded(ctx: Any) -> Any:
        return await ctx.ask("sign?", roles=["manager"])

    async with machine.app() as app:
        handle = await app.start(guarded)
        await handle.settled()
        with pytest.raises(RequestError, match="manager"):
            await handle.answer(value="yes")
        with pytest.raises(RequestError, match="manager"):
            await handle.answer(value="yes", by=Principal("bob", ("clerk",)))
        await handle.answer(value="yes", by=Principal("ann", ("manager",)))
        result = await handle.result()
    assert result.output == "yes"
    assert records_of(result, Signalled)[0].by.id == "ann"


async def test_an_unknown_request_is_refused_with_what_is_waited_for(machine: Machine) -> None:
    async with machine.app() as app:
        handle = await app.start(asks)
        [item] = (await handle.settled()).pending
        with pytest.raises(RequestError, match=item.request):
            await handle.answer("0000000000", "red")
        with pytest.raises(RequestError, match="answer"):
            await handle.approve(item.request)


# ---------------------------------------------------------------------------------------------------- approval


async def test_a_held_call_runs_only_after_approval(any_machine: Machine) -> None:
    async with any_machine.app() as app:
        handle = await app.start(refunds, 5)
        [item] = (await handle.settled()).pending
        assert (item.why, item.tool, item.args) == ("approval", "refund", {"amount": 5})
        assert DONE == []
        await handle.approve(item.request)
        assert (await handle.result()).output == "refunded 5"
    assert DONE == [5]


async def test_edited_arguments_are_used_and_pass_the_gate_again(machine: Machine) -> None:
    from podium.core.actions import Kind
    from podium.policy import default_gate
    from podium.ports import Deny

    class Limit:
        name = "limit"
        kinds = frozenset({Kind.TOOL})

        def __call__(self, proposal: Any) -> Any:
            return Deny("limit", "too much") if proposal.args["amount"] > 100 else None

    async with machine.app(gate=default_gate().with_checks(Limit())) as app:
        one = await app.start(refunds, 5)
        await one.settled()
        await one.approve(args={"amount": 7})
        assert (await one.result()).output == "refunded 7"
        two = await app.start(refunds, 6)
        await two.settled()
        with pytest.raises(RequestError, match="too much"):
            await two.approve(args={"amount": 1000})
    async with machine.app() as app:  # without that gate: whoever decides is not told
        await app.handle(two.run_id).approve(args={"amount": 1000})
    async with machine.app(gate=default_gate().with_checks(Limit())) as app:
        result = await app.resume(two.run_id, refunds)
        three = await app.start(refunds, 8)
        await three.settled()
        await three.approve(args={"amount": "many"})
        broken = await three.result()
    assert result.status == broken.status == "failed"
    assert "too much" in str(result.error)
    assert "amount" in str(broken.error)
    assert DONE == [7]


async def test_an_edit_survives_a_crash_after_the_approval(machine: Machine) -> None:
    async with machine.app() as app:
        handle = await app.start(refunds, 5)
        await handle.settled()
        row = await app.row(handle.run_id)
        assert row is not None
        [item] = await handle.pending()
        mail = Mail(f"{row.id}:decide:{item.request}", row.id, "approve", item.request, encode({"args": {"amount": 7}}),
                    Principal(), START)  # fmt: skip
        await app.store.post(mail)
    async with machine.app() as app:
        result = await app.resume(handle.run_id, refunds)
    assert result.output == "refunded 7"
    assert DONE == [7]


async def test_a_rejection_reaches_the_model_with_its_message(machine: Machine) -> None:
    model = ScriptedModel([ToolCall("refund", {"amount": 5}), "sorry"])
    async with machine.app() as app:
        handle = await app.start(Agent("shop", model=model, tools=[refund]), "refund 5")
        await handle.settled()
        await handle.reject(message="not without a receipt")
        assert (await handle.result()).output == "sorry"
    [part] = model.requests[-1].messages[-1].parts
    assert part.is_error  # pyright: ignore[reportAttributeAccessIssue]
    assert "not without a receipt" in part.content  # pyright: ignore[reportAttributeAccessIssue]
    assert DONE == []


async def test_silence_is_a_refusal_after_a_week(machine: Machine) -> None:
    async with machine.app() as app:
        handle = await app.start(refunds, 5)
        await handle.settled()
        await machine.clock.advance(7 * 24 * 3600 + 1)
        result = await handle.result()
    assert result.status == "failed"
    assert "nobody approved" in str(result.error)
    assert DONE == []


async def test_a_tool_with_a_predicate_asks_only_for_the_calls_it_names(machine: Machine) -> None:
    @tool(effect="write", approval=lambda args: args["amount"] > 10)
    async def pay(amount: int) -> int:
        """Pay."""
        return amount

    @member
    async def pays(ctx: Any, amount: int) -> Any:
        return await ctx.tool(pay, amount=amount)

    async with machine.app() as app:
        assert (await app.run(pays, 5)).status == "succeeded"
        assert (await app.run(pays, 50)).status == "suspended"


async def test_an_approval_covers_one_call_and_not_the_next_of_the_same_arguments(machine: Machine) -> None:
    @member
    async def twice(ctx: Any) -> Any:
        return [await ctx.tool(refund, amount=5), await ctx.tool(refund, amount=5)]

    async with machine.app() as app:
        handle = await app.start(twice)
        first = (await handle.settled()).pending[0].request
        await handle.approve()
        result = await handle.settled()
        assert result.status == "suspended"
        assert result.pending[0].request != first
        await handle.approve()
        assert (await handle.result()).status == "succeeded"
    assert DONE == [5, 5]


async def test_siblings_go_on_while_one_call_is_held(machine: Machine) -> None:
    @member
    async def both(ctx: Any) -> Any:
        async def busy(ctx: Any) -> Any:
            return [await ctx.tool(look, what=f"{n}") for n in range(5)]

        return await ctx.gather(lambda c: c.tool(refund, amount=1), busy)

    async with machine.app() as app:
        handle = await app.start(both)
        result = await handle.settled()
        assert result.status == "suspended"
        assert DONE == ["0", "1", "2", "3", "4"]
        await handle.approve()
        assert (await handle.result()).output == ["refunded 1", ["0", "1", "2", "3", "4"]]
    assert DONE == ["0", "1", "2", "3", "4", 1]


async def test_several_held_calls_each_have_their_own_request(machine: Machine) -> None:
    model = ScriptedModel([[ToolCall("refund", {"amount": n}) for n in (1, 2, 3)], "done"])
    async with machine.app() as app:
        handle = await app.start(Agent("shop", model=model, tools=[refund]), "go")
        pending = (await handle.settled()).pending
        assert len({item.request for item in pending}) == 3
        with pytest.raises(RequestError, match="name one"):
            await handle.approve()
        for item in pending:
            await handle.approve(item.request)
        assert (await handle.result()).output == "done"
    assert sorted(DONE) == [1, 2, 3]


# ------------------------------------------------------------------------------------------------------ signals


async def test_signals_are_taken_in_the_order_they_came(any_machine: Machine) -> None:
    @member
    async def three(ctx: Any) -> Any:
        return [await ctx.wait("tick") for _ in range(3)]

    async with any_machine.app() as app:
        handle = await app.start(three)
        await handle.settled()
        for n in range(3):
            await handle.signal("tick", n)
        assert (await handle.result()).output == [0, 1, 2]


async def test_a_signal_sent_before_it_is_waited_for_is_kept(machine: Machine) -> None:
    @member
    async def later(ctx: Any) -> Any:
        await ctx.ask("ready?")
        return await ctx.wait("news")

    async with machine.app() as app:
        handle = await app.start(later)
        await handle.settled()
        await handle.signal("news", "early")
        await handle.answer(value=1)
        assert (await handle.result()).output == "early"


async def test_a_signal_sent_twice_under_one_id_arrives_once(any_machine: Machine) -> None:
    @member
    async def two(ctx: Any) -> Any:
        return [await ctx.wait("tick"), await ctx.wait("tick")]

    async with any_machine.app() as app:
        handle = await app.start(two)
        await handle.settled()
        for value in ("a", "a"):
            await handle.signal("tick", value, mail_id="same")
        await handle.signal("tick", "b", mail_id="other")
        assert (await handle.result()).output == ["a", "b"]


async def test_a_signal_that_does_not_come_in_time_is_a_deadline_exceeded(machine: Machine) -> None:
    @member
    async def waits(ctx: Any) -> Any:
        with pytest.raises(DeadlineExceeded):
            await ctx.wait("never", timeout=100)
        return "gave up"

    async with machine.app() as app:
        handle = await app.start(waits)
        await handle.settled()
        await machine.clock.advance(101)
        assert (await handle.result()).unwrap() == "gave up"


# ------------------------------------------------------------------------------------------------------- sleeping


async def test_a_short_sleep_stays_in_memory(machine: Machine) -> None:
    @member
    async def naps(ctx: Any) -> str:
        await ctx.sleep(20)
        return "awake"

    async with machine.app() as app:
        handle = await app.start(naps)
        await machine.clock.advance(19)
        assert handle.run_id in app._driver.active  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
        await machine.clock.advance(2)
        result = await handle.result()
    assert result.output == "awake"
    assert records_of(result, Suspended) == []


async def test_a_long_sleep_unloads_the_run_until_it_is_due(machine: Machine) -> None:
    @member
    async def sleeps(ctx: Any) -> float:
        before = await ctx.now()
        await ctx.sleep(3 * 24 * 3600)
        return await ctx.now() - before

    async with machine.app() as app:
        handle = await app.start(sleeps)
        assert (await handle.settled()).status == "suspended"
        await machine.clock.advance(3 * 24 * 3600 - 1)
        assert handle.status == "suspended"
        await machine.clock.advance(2)
        result = await handle.result()
    assert result.output == pytest.approx(3 * 24 * 3600, abs=2)
    assert len(records_of(result, Suspended)) == 1


async def test_a_sleep_goes_on_across_restarts_and_is_not_begun_anew(any_machine: Machine) -> None:
    @member
    async def sleeps(ctx: Any) -> str:
        await ctx.sleep(1000)
        return "awake"

    async with any_machine.app() as app:
        handle = await app.start(sleeps)
        await handle.settled()
    any_machine.clock.now += 1500
    async with any_machine.app(members=[sleeps]) as app:
        result = await app.handle(handle.run_id).result()
    assert result.output == "awake"
    assert len(records_of(result, Began)) == 2


# ----------------------------------------------------------------------------------------------------- unloading


async def test_a_suspended_run_keeps_nothing_in_memory(machine: Machine) -> None:
    class Big:
        pass

    alive: list[weakref.ref[Any]] = []

    @member
    async def heavy(ctx: Any) -> Any:
        big = Big()
        alive.append(weakref.ref(big))
        alive.append(weakref.ref(asyncio.current_task()))
        answer = await ctx.ask("go on?")
        return [answer, repr(big) != ""]

    async with machine.app() as app:
        handle = await app.start(heavy)
        assert (await handle.settled()).status == "suspended"
        await settle()
        gc.collect()
        assert [one() for one in alive] == [None, None]
        await handle.answer(value="yes")
        assert (await handle.result()).output == ["yes", True]


async def test_a_step_after_the_unloading_raises_and_records_nothing(machine: Machine) -> None:
    from podium.core.errors import Unloaded

    seen: list[BaseException] = []

    @member
    async def clingy(ctx: Any) -> Any:
        try:
            return await ctx.ask("go on?")
        except asyncio.CancelledError:
            try:
                await ctx.tool(look, what="late")
            except BaseException as error:  # noqa: BLE001
                seen.append(error)
            raise

    async with machine.app() as app:
        handle = await app.start(clingy)
        result = await handle.settled()
        assert result.status == "suspended"
        assert isinstance(result.records[-1], Suspended)
        await settle()
        assert isinstance(seen[0], Unloaded)
        await handle.answer(value="yes")
        assert (await handle.result()).output == "yes"
    assert DONE == []


async def test_many_suspended_runs_can_each_be_woken(any_machine: Machine) -> None:
    many = 500 if any_machine.kind == "memory" else 60

    @member
    async def one(ctx: Any, n: int) -> Any:
        return [n, await ctx.ask("go on?")]

    async with any_machine.app() as app:
        handles = [await app.start(one, n) for n in range(many)]
        for handle in handles:
            assert (await handle.settled()).status == "suspended"
    async with any_machine.app(members=[one]) as app:
        handles = [app.handle(handle.run_id) for handle in handles]
        for n, handle in enumerate(handles):
            await handle.answer(value=n)
        outputs = [(await handle.result()).output for handle in handles]
    assert outputs == [[n, n] for n in range(many)]


# ------------------------------------------------------------------------------------------------- no lost wake-up


@pytest.mark.parametrize("turns", range(0, 40, 2))
async def test_a_decision_that_races_with_the_suspension_is_never_lost(any_machine: Machine, turns: int) -> None:
    async with any_machine.app() as app:
        handle = await app.start(refunds, 5)
        for _ in range(10_000):
            if spy(app).events and any(isinstance(event.record, Held) for event in spy(app).events):
                break
            await asyncio.sleep(0)
        held = next(event.record for event in spy(app).events if isinstance(event.record, Held))
        for _ in range(turns):
            await asyncio.sleep(0)
        request = held.hold.request
        mail = Mail(
            f"{handle.run_id}:decide:{request}", handle.run_id, "approve", request, encode({}), Principal(), START
        )
        row = await app.store.post(mail)
        await app._posted(row)  # pyright: ignore[reportPrivateUsage]
        result = await handle.result()
    assert result.output == "refunded 5"
    assert DONE == [5]


async def test_the_same_mail_posted_twice_is_one_decision(any_machine: Machine) -> None:
    async with any_machine.app() as app:
        handle = await app.start(refunds, 5)
        [item] = (await handle.settled()).pending
        for data in ({}, {"args": {"amount": 99}}):
            await app.store.post(
                Mail(f"{handle.run_id}:decide:{item.request}", handle.run_id, "approve", item.request, encode(data),
                     Principal(), START)
            )  # fmt: skip
    async with any_machine.app() as app:
        result = await app.resume(handle.run_id, refunds)
    assert result.output == "refunded 5"
    assert len(records_of(result, Signalled)) == 1
    assert DONE == [5]
