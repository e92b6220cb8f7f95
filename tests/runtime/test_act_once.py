"""Act once: what is durable before a tool runs, what a crash means for it, and who settles what nobody knows."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from harness import QUICK, Machine, cut, records_of, settle, spy, until

from podium import Agent, NotDone, PodiumError, ScriptedModel, ToolCall, ToolContext, member, tool
from podium.core.errors import RequestError, ToolError
from podium.core.records import Began, Ended, Held, Outcome, Retried


class Bank:
    """The outside world: what really happened, by idempotency key."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.behave: Any = None
        self.entered = asyncio.Event()

    async def act(self, ctx: ToolContext, amount: int) -> str:
        self.calls.append((ctx.idempotency_key, amount))
        self.entered.set()
        if self.behave is not None:
            return await self.behave(ctx, amount)
        return f"did {amount}"

    def tool(self, effect: str, **options: Any) -> Any:
        bank = self

        @tool(name="act", effect=effect, **options)  # pyright: ignore[reportArgumentType]
        async def act(ctx: ToolContext, amount: int) -> str:
            """Act on the world."""
            return await bank.act(ctx, amount)

        return act


async def hangs(*_: Any) -> str:
    await asyncio.Event().wait()
    return "never"


def once(act: Any) -> Any:
    @member(name="once")
    async def body(ctx: Any) -> Any:
        return await ctx.tool(act, amount=5)

    return body


async def crash_inside(machine: Machine, bank: Bank, act: Any) -> str:
    """Let a process end while the tool runs; the run's id."""
    bank.behave = hangs
    async with machine.app() as app:
        handle = await app.start(once(act))
        await asyncio.wait_for(bank.entered.wait(), 5)
    bank.behave = None
    return handle.run_id


# ------------------------------------------------------------------------------------------ durable before what


@pytest.mark.parametrize(
    ("effect", "before", "synced"), [("read", False, False), ("idempotent", True, False), ("write", True, True)]
)
async def test_a_tools_beginning_is_durable_before_it_runs_as_its_effect_asks(
    any_machine: Machine, effect: str, before: bool, synced: bool
) -> None:
    bank = Bank()
    async with any_machine.app() as app:
        store = spy(app)

        async def looks(*_: Any) -> str:
            store.mark("tool body")
            return "done"

        bank.behave = looks
        result = await app.run(once(bank.tool(effect)))
    events = store.events
    body = next(index for index, event in enumerate(events) if event.what == "tool body")
    began = next(
        index
        for index, event in enumerate(events)
        if isinstance(event.record, Began) and event.record.key == "once.1/act.1"
    )
    assert began < body
    barriers = [event for event in events[began:body] if event.what == "barrier"]
    assert bool(barriers) == before
    assert any(event.sync for event in barriers) == synced
    ended = [index for index, event in enumerate(events) if getattr(event.record, "key", "") == "once.1/act.1"][-1]
    after = [event for event in events[ended : ended + 3] if event.what == "barrier" and event.sync]
    assert bool(after) == synced
    assert result.output == "done"


async def test_a_write_is_readable_in_the_journal_by_another_process_before_it_runs(any_machine: Machine) -> None:
    bank = Bank()
    async with any_machine.app() as app:

        async def reads(*_: Any) -> str:
            other = any_machine.store()
            try:
                [run] = await other.rows()
                records = await other.read(run.id)
            finally:
                if any_machine.kind != "memory":
                    await other.really_close()
            assert any(isinstance(record, Began) and record.key == "once.1/act.1" for record in records)
            return "seen"

        bank.behave = reads
        assert (await app.run(once(bank.tool("write")))).output == "seen"


async def test_a_model_calls_beginning_is_durable_before_the_model_is_asked(machine: Machine) -> None:
    async with machine.app() as app:
        store = spy(app)

        def answer(request: Any) -> str:
            store.mark("model")
            return "hello"

        await app.run(Agent("shop", model=ScriptedModel(answer)), "hi")
    words = [event.what if event.record is None else type(event.record).__name__ for event in store.events]
    asked = words.index("model")
    assert words[asked - 2 : asked] == ["Began", "barrier"]


async def test_a_beginning_holds_attempt_epoch_version_effect_and_redacted_arguments(machine: Machine) -> None:
    @tool(effect="idempotent", version="7")
    async def login(user: str, password: str) -> str:
        """Log in."""
        return "in"

    @member
    async def body(ctx: Any) -> Any:
        return await ctx.tool(login, user="ada", password="hunter2-very-secret")

    async with machine.app() as app:
        result = await app.run(body)
    [began] = [record for record in records_of(result, Began) if record.name == "login"]
    assert (began.attempt, began.epoch, began.version, began.effect, began.agent) == (1, 1, "7", "idempotent", "body")
    assert b"ada" in bytes(began.args)
    assert b"hunter2" not in bytes(began.args)


# ------------------------------------------------------------------------------------------------- after a crash


async def test_a_read_repeats_after_a_crash(any_machine: Machine) -> None:
    bank = Bank()
    act = bank.tool("read")
    run_id = await crash_inside(any_machine, bank, act)
    async with any_machine.app() as app:
        result = await app.resume(run_id, once(act))
    assert result.output == "did 5"
    assert len(bank.calls) == 2


async def test_an_idempotent_call_repeats_with_the_same_key_after_a_crash(any_machine: Machine) -> None:
    bank = Bank()
    act = bank.tool("idempotent")
    run_id = await crash_inside(any_machine, bank, act)
    async with any_machine.app() as app:
        result = await app.resume(run_id, once(act))
    assert result.output == "did 5"
    assert len(bank.calls) == 2
    assert bank.calls[0] == bank.calls[1]


async def test_a_write_is_in_doubt_after_a_crash_and_not_repeated(any_machine: Machine) -> None:
    bank = Bank()
    act = bank.tool("write")
    run_id = await crash_inside(any_machine, bank, act)
    async with any_machine.app() as app:
        result = await app.resume(run_id, once(act))
        assert result.status == "suspended"
        [item] = result.pending
        assert (item.why, item.tool, item.args, item.key) == ("in_doubt", "act", {"amount": 5}, "once.1/act.1")
        assert item.choices == ("happened", "not_happened", "abort")
        assert len(bank.calls) == 1
        with pytest.raises(RequestError, match="happened, not_happened, abort"):
            await app.handle(run_id).answer(value="perhaps")


async def test_happened_ends_the_step_with_the_result_given(any_machine: Machine) -> None:
    bank = Bank()
    act = bank.tool("write")
    run_id = await crash_inside(any_machine, bank, act)
    async with any_machine.app() as app:
        await app.resume(run_id, once(act))
        await app.handle(run_id).answer(value="happened", result="receipt 7")
        result = await app.handle(run_id).result()
    assert result.output == "receipt 7"
    assert len(bank.calls) == 1


async def test_not_happened_does_it_now_with_the_same_key(any_machine: Machine) -> None:
    bank = Bank()
    act = bank.tool("write")
    run_id = await crash_inside(any_machine, bank, act)
    async with any_machine.app() as app:
        await app.resume(run_id, once(act))
        await app.handle(run_id).answer(value="not_happened")
        result = await app.handle(run_id).result()
    assert result.output == "did 5"
    assert len(bank.calls) == 2
    assert bank.calls[0][0] == bank.calls[1][0]


async def test_abort_ends_the_run_even_if_the_member_catches_everything(machine: Machine) -> None:
    bank = Bank()
    act = bank.tool("write")

    @member(name="once")
    async def catches(ctx: Any) -> Any:
        try:
            return await ctx.tool(act, amount=5)
        except Exception:  # noqa: BLE001
            return await ctx.tool(act, amount=6)

    bank.behave = hangs
    async with machine.app() as app:
        handle = await app.start(catches)
        await bank.entered.wait()
    bank.behave = None
    async with machine.app() as app:
        await app.resume(handle.run_id, catches)
        await app.handle(handle.run_id).answer(value="abort")
        result = await app.handle(handle.run_id).result()
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.type == "Aborted"
    assert [step.outcome for step in records_of(result, Ended) if step.key == "once.1/act.1"] == [Outcome.UNKNOWN]
    assert len(bank.calls) == 1


async def test_reconcile_gives_the_result_without_asking_anybody(any_machine: Machine) -> None:
    bank = Bank()
    asked: list[Any] = []

    async def reconcile(key: str, args: dict[str, Any]) -> str:
        asked.append((key, args))
        return "found it"

    act = bank.tool("write", reconcile=reconcile)
    run_id = await crash_inside(any_machine, bank, act)
    async with any_machine.app() as app:
        result = await app.resume(run_id, once(act))
    assert result.output == "found it"
    assert asked == [(bank.calls[0][0], {"amount": 5})]
    assert len(bank.calls) == 1


async def test_reconcile_is_asked_about_a_call_that_a_person_had_approved_too(any_machine: Machine) -> None:
    bank = Bank()
    act = bank.tool("write", approval="always", reconcile=lambda key: "found it")
    bank.behave = hangs
    async with any_machine.app() as app:
        handle = await app.start(once(act))
        await handle.settled()
        await handle.approve()
        await asyncio.wait_for(bank.entered.wait(), 5)
    async with any_machine.app() as app:
        result = await app.resume(handle.run_id, once(act))
    assert (result.status, result.output, len(bank.calls)) == ("succeeded", "found it", 1)


async def test_reconcile_is_not_asked_again_once_a_person_is(machine: Machine) -> None:
    bank = Bank()
    asked: list[str] = []

    async def reconcile(key: str) -> str:
        asked.append(key)
        raise ConnectionError("the bank does not answer")

    act = bank.tool("write", reconcile=reconcile)
    run_id = await crash_inside(machine, bank, act)
    for _ in range(2):
        async with machine.app() as app:
            assert [item.why for item in (await app.resume(run_id, once(act))).pending] == ["in_doubt"]
    assert len(asked) == 1


async def test_reconcile_that_says_not_done_does_it_now(any_machine: Machine) -> None:
    bank = Bank()

    async def reconcile(key: str, args: dict[str, Any]) -> str:
        raise NotDone("no such payment")

    act = bank.tool("write", reconcile=reconcile)
    run_id = await crash_inside(any_machine, bank, act)
    async with any_machine.app() as app:
        result = await app.resume(run_id, once(act))
    assert result.output == "did 5"
    assert [key for key, _ in bank.calls] == [bank.calls[0][0]] * 2


async def test_reconcile_that_fails_leaves_the_doubt_to_a_person(machine: Machine) -> None:
    bank = Bank()

    async def reconcile(key: str, args: dict[str, Any]) -> str:
        raise ConnectionError("the bank does not answer")

    act = bank.tool("write", reconcile=reconcile)
    run_id = await crash_inside(machine, bank, act)
    async with machine.app() as app:
        result = await app.resume(run_id, once(act))
        assert result.status == "suspended"
        assert "the bank does not answer" in result.pending[0].prompt
        await app.handle(run_id).answer(value="happened", result="yes")
        assert (await app.handle(run_id).result()).output == "yes"
    assert len(bank.calls) == 1


async def test_a_crash_after_the_doubt_was_asked_asks_the_same_question_again(machine: Machine) -> None:
    bank = Bank()
    act = bank.tool("write")
    run_id = await crash_inside(machine, bank, act)
    requests: list[str] = []
    result: Any = None
    for _ in range(2):
        async with machine.app() as app:
            result = await app.resume(run_id, once(act))
            requests.append(result.pending[0].request)
    assert requests[0] == requests[1]
    assert len(records_of(result, Held)) == 1
    assert len(bank.calls) == 1


# ---------------------------------------------------------------------------------------------------- live failures


async def test_a_timeout_of_a_write_is_as_unknown_as_a_crash(machine: Machine) -> None:
    bank = Bank()
    bank.behave = hangs
    act = bank.tool("write", timeout=3)
    async with machine.app() as app:
        handle = await app.start(once(act))
        await asyncio.wait_for(bank.entered.wait(), 5)
        await machine.clock.advance(5)
        result = await handle.settled()
        assert result.pending[0].why == "in_doubt"
        assert "longer than 3 s" in result.pending[0].prompt
    assert len(bank.calls) == 1


async def test_an_unknown_exception_of_a_write_is_as_unknown_as_a_crash(machine: Machine) -> None:
    bank = Bank()

    async def resets(*_: Any) -> str:
        raise ConnectionResetError("gone")

    bank.behave = resets
    async with machine.app() as app:
        result = await app.run(once(bank.tool("write")))
        assert result.pending[0].why == "in_doubt"
        assert "gone" in result.pending[0].prompt
        bank.behave = None
        await app.handle(result.run_id).answer(value="not_happened")
        assert (await app.handle(result.run_id).result()).output == "did 5"
    assert len(bank.calls) == 2


async def test_a_write_that_says_not_done_is_retried(machine: Machine) -> None:
    bank = Bank()

    async def twice(ctx: ToolContext, amount: int) -> str:
        if ctx.attempt < 3:
            raise NotDone("busy")
        return "done"

    bank.behave = twice
    async with machine.app() as app:
        handle = await app.start(once(bank.tool("write", retries=2)))
        await machine.clock.advance(60)
        result = await handle.result()
    assert result.output == "done"
    assert len({key for key, _ in bank.calls}) == 1
    assert [record.attempt for record in records_of(result, Began) if record.name == "act"] == [1, 2, 3]
    assert [record.attempt for record in records_of(result, Retried)] == [1, 2]


async def test_a_write_that_keeps_saying_not_done_fails_without_doubt(machine: Machine) -> None:
    bank = Bank()

    async def never(*_: Any) -> str:
        raise NotDone("closed today")

    bank.behave = never
    async with machine.app() as app:
        handle = await app.start(once(bank.tool("write", retries=1)))
        await machine.clock.advance(60)
        result = await handle.result()
    assert result.status == "failed"
    assert "closed today" in str(result.error)
    assert len(bank.calls) == 2


@pytest.mark.parametrize("effect", ["read", "idempotent", "write"])
async def test_what_was_not_done_and_would_not_be_is_not_tried_again(effect: Any, machine: Machine) -> None:
    bank = Bank()

    async def closed(*_: Any) -> str:
        raise NotDone("the account is closed", retry=False)

    bank.behave = closed
    async with machine.app() as app:
        result = await app.run(once(bank.tool(effect, retries=2)))
    assert (result.status, len(bank.calls)) == ("failed", 1)
    assert records_of(result, Retried) == []


async def test_what_a_read_says_itself_is_certain_and_not_asked_again(machine: Machine) -> None:
    bank = Bank()

    async def refuses(*_: Any) -> str:
        raise ToolError("there is no such account")

    bank.behave = refuses
    async with machine.app() as app:
        result = await app.run(once(bank.tool("read", retries=2)))
    assert "no such account" in str(result.error)
    assert len(bank.calls) == 1


async def test_a_failing_read_is_retried_and_its_last_error_given(machine: Machine) -> None:
    bank = Bank()

    async def breaks(*_: Any) -> str:
        raise ValueError("no luck")

    bank.behave = breaks
    async with machine.app() as app:
        handle = await app.start(once(bank.tool("read", retries=2)))
        await machine.clock.advance(60)
        result = await handle.result()
    assert result.status == "failed"
    assert "no luck" in str(result.error)
    assert len(bank.calls) == 3


async def test_the_same_call_after_an_unknown_outcome_is_held_for_a_person(machine: Machine) -> None:
    bank = Bank()

    async def resets(*_: Any) -> str:
        raise ConnectionResetError("gone")

    act = bank.tool("write")

    @member(name="twice")
    async def twice(ctx: Any) -> Any:
        first = await ctx.tool(act, amount=5)
        other = await ctx.tool(act, amount=6)
        return [first, other, await ctx.tool(act, amount=5)]

    bank.behave = resets
    async with machine.app() as app:
        result = await app.run(twice)
        bank.behave = None
        handle = app.handle(result.run_id)
        await handle.answer(value="happened", result="first")
        result = await handle.settled()
        assert result.status == "suspended"
        [item] = result.pending
        assert (item.why, item.key) == ("approval", "twice.1/act.3")
        assert [amount for _, amount in bank.calls] == [5, 6]
        await handle.approve()
        assert (await handle.result()).output == ["first", "did 6", "did 5"]


async def test_a_model_that_asks_again_after_an_unknown_outcome_does_not_pay_twice(machine: Machine) -> None:
    bank = Bank()

    async def resets(*_: Any) -> str:
        raise ConnectionResetError("gone")

    bank.behave = resets
    model = ScriptedModel([ToolCall("act", {"amount": 5}), ToolCall("act", {"amount": 5}), "ok"])
    async with machine.app() as app:
        result = await app.run(Agent("payer", model=model, tools=[bank.tool("write")]), "pay 5")
        handle = app.handle(result.run_id)
        await handle.answer(value="happened", result="paid")
        result = await handle.settled()
        assert result.pending[0].why == "approval"
        await handle.reject(message="it was paid")
        result = await handle.result()
    assert result.output == "ok"
    assert len(bank.calls) == 1
    assert "it was paid" in model.requests[-1].messages[-1].parts[0].content  # pyright: ignore[reportAttributeAccessIssue]


async def test_a_cancelled_write_is_recorded_as_unknown(machine: Machine) -> None:
    bank = Bank()
    bank.behave = hangs
    async with machine.app() as app:
        handle = await app.start(once(bank.tool("write")))
        await bank.entered.wait()
        await handle.cancel()
        result = await handle.result()
    assert result.status == "cancelled"
    [ended] = [record for record in records_of(result, Ended) if record.key == "once.1/act.1"]
    assert ended.outcome is Outcome.UNKNOWN


# --------------------------------------------------------------------------------------------------- idempotency keys


async def test_the_idempotency_key_differs_between_steps_and_runs(machine: Machine) -> None:
    bank = Bank()
    act = bank.tool("idempotent")

    @member(name="two")
    async def two(ctx: Any) -> None:
        await ctx.tool(act, amount=1)
        await ctx.tool(act, amount=1)

    async with machine.app() as app:
        await app.run(two)
        await app.run(two)
    assert len({key for key, _ in bank.calls}) == 4


async def test_the_idempotency_key_is_new_after_a_fork(machine: Machine) -> None:
    bank = Bank()
    act = bank.tool("idempotent")
    async with machine.app() as app:
        result = await app.run(once(act))
        forked = await app.fork(result.run_id, at="once.1/act.1", member=once(act), effects="allow")
        assert (await forked.result()).output == "did 5"
    assert len(bank.calls) == 2
    assert bank.calls[0][0] != bank.calls[1][0]


async def test_an_idempotency_key_is_never_longer_than_a_header_may_be(machine: Machine) -> None:
    bank = Bank()

    @member(name="x" * 500)
    async def long(ctx: Any) -> Any:
        return await ctx.tool(bank.tool("idempotent"), amount=1)

    async with machine.app() as app:
        await app.run(long)
    assert len(bank.calls[0][0]) <= 255


# ----------------------------------------------------------------------------------------- cancellation and clean-up


async def test_a_cancelled_synchronous_tool_sees_it_and_is_given_time(machine: Machine) -> None:
    seen: list[str] = []
    entered = threading.Event()

    @tool(effect="read")
    def slow(ctx: ToolContext) -> str:
        """Slow."""
        entered.set()
        for _ in range(2000):
            if ctx.cancelled:
                seen.append("told")
                return "stopped"
            threading.Event().wait(0.002)
        seen.append("never told")
        return "done"

    @member
    async def body(ctx: Any) -> Any:
        return await ctx.tool(slow)

    async with machine.app() as app:
        handle = await app.start(body)
        await until(entered.is_set)
        await handle.cancel()
        result = await handle.result()
        assert seen == ["told"], "the run was over before its tool was"
    assert result.status == "cancelled"


async def test_a_synchronous_tool_that_does_not_stop_is_abandoned_after_the_grace_period(machine: Machine) -> None:
    entered, release = threading.Event(), threading.Event()

    @tool(effect="read")
    def deaf() -> str:
        """Deaf."""
        entered.set()
        release.wait(10)
        return "done"

    @member
    async def body(ctx: Any) -> Any:
        return await ctx.tool(deaf)

    limits = QUICK.__class__(lease=1e9, idle=0.002, poll=0.02, grace=0.05)
    async with machine.app(limits=limits) as app:
        handle = await app.start(body)
        await until(entered.is_set)
        await handle.cancel()
        result = await asyncio.wait_for(handle.result(), 5)
        assert result.status == "cancelled"
        release.set()


async def test_clean_up_actions_run_only_inside_cleanup(machine: Machine) -> None:
    done: list[str] = []
    refused: list[BaseException] = []

    @tool(effect="write")
    async def undo(what: str) -> str:
        """Undo."""
        done.append(what)
        return "undone"

    @member
    async def body(ctx: Any) -> None:
        try:
            await ctx.ask("never answered?")
        except asyncio.CancelledError:
            try:
                await ctx.tool(undo, what="outside")
            except BaseException as error:  # noqa: BLE001
                refused.append(error)
            async with ctx.cleanup():
                await ctx.tool(undo, what="inside")
            raise

    async with machine.app() as app:
        handle = await app.start(body)
        await handle.settled()
        await handle.cancel()
        result = await handle.result()
    assert result.status == "cancelled"
    assert done == ["inside"]
    # Once when the run was unloaded, once when it was cancelled.
    assert [type(error).__name__ for error in refused] == ["Unloaded", "Cancelled"]


async def test_a_run_that_is_over_cannot_be_cancelled(machine: Machine) -> None:
    async with machine.app() as app:
        result = await app.run(once(Bank().tool("read")))
        with pytest.raises(PodiumError, match="over already"):
            await app.handle(result.run_id).cancel()


# ------------------------------------------------------------------------------------------ tools cannot break runs


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("k"), RuntimeError(), SystemError("s"), OSError(5, "io"), AssertionError()]
)
async def test_whatever_a_tool_raises_is_its_result(machine: Machine, error: Exception) -> None:
    @tool(effect="read", retries=0)
    async def breaks() -> str:
        """Break."""
        raise error

    model = ScriptedModel([ToolCall("breaks"), "went on"])
    async with machine.app() as app:
        result = await app.run(Agent("shop", model=model, tools=[breaks]), "go")
    assert result.output == "went on"
    [part] = model.requests[-1].messages[-1].parts
    assert part.is_error  # pyright: ignore[reportAttributeAccessIssue]
    assert type(error).__name__ in part.content  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("value", [2**70, float("nan"), object(), {1: 2}, b"\xff", {"deep": [set()]}])
async def test_a_result_no_journal_can_hold_does_not_break_the_run(machine: Machine, value: Any) -> None:
    @tool(effect="read", retries=0)
    async def strange() -> Any:
        """Strange."""
        return value

    model = ScriptedModel([ToolCall("strange"), "went on"])
    async with machine.app() as app:
        result = await asyncio.wait_for(app.run(Agent("shop", model=model, tools=[strange]), "go"), 5)
    assert result.output == "went on"


@pytest.mark.parametrize("amount", [2**70, -(2**70), 1e400, "\ud800"])
async def test_arguments_no_journal_can_hold_are_an_error_for_the_model(machine: Machine, amount: Any) -> None:
    @tool(effect="read", retries=0)
    async def take(amount: Any) -> str:
        """Take."""
        return "took"

    answers = iter([ToolCall("take", {"amount": amount}), "went on"])
    async with machine.app() as app:
        agent = Agent("shop", model=ScriptedModel(lambda _: next(answers)), tools=[take])
        result = await asyncio.wait_for(app.run(agent, "go"), 5)
    assert result.status == "succeeded", result.error
    assert result.output == "went on"


async def test_a_write_under_way_when_records_stop_is_in_doubt_at_that_record(any_machine: Machine) -> None:
    bank = Bank()
    act = bank.tool("write")
    async with any_machine.app() as app:
        whole = await app.run(once(act))
        seen = spy(app)
    began = next(
        number for number, record in enumerate(whole.records, 1) if isinstance(record, Began) and record.name == "act"
    )
    for count, status in ((began - 1, "succeeded"), (began, "suspended"), (began + 1, "succeeded")):
        other = any_machine.fresh()
        async with other.app() as app:
            await cut(seen, whole.run_id, count, spy(app))
            assert (await app.resume(whole.run_id, once(act))).status == status
    assert len(bank.calls) == 2  # once live, once where nothing had begun
    await settle()
