"""Replay: a resumed member gets its receipts back, and may not ask for something else than was recorded."""

from __future__ import annotations

from typing import Any

import pytest
from harness import Machine, cut, records_of, spy

from podium import Agent, ReplayMismatch, ScriptedModel, ToolCall, member, tool

DONE: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    DONE.clear()


@tool(effect="read")
async def look(what: str) -> str:
    """Look."""
    DONE.append(what)
    return what.upper()


@tool(effect="write")
async def refund(amount: int) -> str:
    """Refund."""
    DONE.append(f"refund {amount}")
    return "refunded"


def program(body: Any, name: str = "prog") -> Any:
    return member(name=name)(body)


async def suspended_then(machine: Machine, first: Any, then: Any, **options: Any) -> Any:
    """Run `first` until it waits, then resume with `then` in a new process."""
    async with machine.app() as app:
        result = await app.run(first)
        assert result.status == "suspended"
    async with machine.app() as app:
        return await app.resume(result.run_id, then, **options)


async def test_a_resumed_run_repeats_no_finished_step(any_machine: Machine) -> None:
    async def body(ctx: Any, _: Any) -> Any:
        one = await ctx.tool(look, what="a")
        answer = await ctx.ask("go on?")
        return [one, answer, await ctx.tool(look, what="b")]

    async with any_machine.app() as app:
        result = await app.run(program(body))
        assert result.status == "suspended"
    async with any_machine.app() as app:
        handle = app.handle(result.run_id)
        await handle.answer(value="yes")
        result = await app.resume(result.run_id, program(body))
    assert result.output == ["A", "yes", "B"]
    assert DONE == ["a", "b"]


async def test_a_step_inserted_before_a_recorded_position_is_a_mismatch_and_does_not_run(machine: Machine) -> None:
    async def before(ctx: Any, _: Any) -> Any:
        await ctx.tool(look, what="a")
        await ctx.ask("go on?")

    async def after(ctx: Any, _: Any) -> Any:
        await ctx.tool(refund, amount=5)
        await ctx.tool(look, what="a")
        await ctx.ask("go on?")

    with pytest.raises(ReplayMismatch) as caught:
        await suspended_then(machine, program(before), program(after))
    assert DONE == ["a"]
    assert caught.value.key == "prog.1/refund.1"
    assert "ctx.version" in str(caught.value)
    assert "podium fork RUN --at prog.1/refund.1" in str(caught.value)


async def test_a_step_inserted_between_recorded_ones_is_a_mismatch(machine: Machine) -> None:
    async def before(ctx: Any, _: Any) -> Any:
        await ctx.tool(look, what="a")
        await ctx.tool(look, what="b")
        await ctx.ask("go on?")

    async def after(ctx: Any, _: Any) -> Any:
        await ctx.tool(look, what="a")
        await ctx.tool(refund, amount=5)
        await ctx.tool(look, what="b")
        await ctx.ask("go on?")

    with pytest.raises(ReplayMismatch, match="inserted"):
        await suspended_then(machine, program(before), program(after))
    assert DONE == ["a", "b"]


async def test_a_recorded_step_that_is_not_asked_for_any_more_is_a_mismatch(machine: Machine) -> None:
    async def before(ctx: Any, _: Any) -> Any:
        await ctx.tool(look, what="a")
        await ctx.tool(refund, amount=1)
        await ctx.ask("go on?")

    async def after(ctx: Any, _: Any) -> Any:
        await ctx.tool(look, what="a")
        await ctx.ask("go on?")

    with pytest.raises(ReplayMismatch):
        await suspended_then(machine, program(before), program(after))


async def test_a_member_that_returns_without_asking_for_a_recorded_step_is_a_mismatch(machine: Machine) -> None:
    async def before(ctx: Any, _: Any) -> Any:
        await ctx.tool(look, what="a")
        await ctx.tool(look, what="b")
        await ctx.ask("go on?")

    async def after(ctx: Any, _: Any) -> Any:
        return await ctx.tool(look, what="a")

    with pytest.raises(ReplayMismatch, match="never requested"):
        await suspended_then(machine, program(before), program(after))
    async with machine.app() as app:
        [row] = await app.runs()
        assert not row.status.over


async def test_a_changed_request_is_a_mismatch_that_shows_both(machine: Machine) -> None:
    async def before(ctx: Any, _: Any) -> Any:
        await ctx.tool(look, what="a")
        await ctx.ask("go on?")

    async def after(ctx: Any, _: Any) -> Any:
        await ctx.tool(look, what="other")
        await ctx.ask("go on?")

    with pytest.raises(ReplayMismatch, match="request changed") as caught:
        await suspended_then(machine, program(before), program(after))
    assert caught.value.key == "prog.1/look.1"
    assert caught.value.recorded != caught.value.requested
    assert DONE == ["a"]


async def test_another_question_in_place_of_the_one_waited_for_is_a_mismatch(machine: Machine) -> None:
    async def before(ctx: Any, _: Any) -> Any:
        await ctx.ask("may I?")

    async def after(ctx: Any, _: Any) -> Any:
        await ctx.ask("must I?")

    with pytest.raises(ReplayMismatch, match="request changed"):
        await suspended_then(machine, program(before), program(after))


async def test_another_kind_of_step_at_a_recorded_key_is_a_mismatch(machine: Machine) -> None:
    async def before(ctx: Any, _: Any) -> Any:
        await ctx.emit("look", 1)
        await ctx.ask("go on?")

    async def after(ctx: Any, _: Any) -> Any:
        await ctx.tool(look, what="a")
        await ctx.ask("go on?")

    with pytest.raises(ReplayMismatch, match="another action"):
        await suspended_then(machine, program(before), program(after))


async def test_a_mismatch_records_nothing_and_the_right_code_can_still_resume(machine: Machine) -> None:
    async def right(ctx: Any, _: Any) -> Any:
        await ctx.tool(look, what="a")
        return await ctx.ask("go on?")

    async def wrong(ctx: Any, _: Any) -> Any:
        await ctx.tool(look, what="z")
        return await ctx.ask("go on?")

    async with machine.app() as app:
        result = await app.run(program(right))
    async with machine.app() as app:
        with pytest.raises(ReplayMismatch):
            await app.resume(result.run_id, program(wrong))
        handle = app.handle(result.run_id)
        await handle.answer(value="yes")
    async with machine.app() as app:
        assert (await app.resume(result.run_id, program(right))).output == "yes"


async def test_a_mismatch_inside_a_branch_stops_the_drive_even_if_the_member_catches_everything(
    machine: Machine,
) -> None:
    async def before(ctx: Any, _: Any) -> Any:
        async def branch(ctx: Any) -> Any:
            await ctx.tool(look, what="a")
            await ctx.ask("go on?")

        await ctx.gather(branch)

    async def after(ctx: Any, _: Any) -> Any:
        async def branch(ctx: Any) -> Any:
            await ctx.tool(look, what="b")

        try:
            await ctx.gather(branch)
        except Exception:  # noqa: BLE001
            return "swallowed"

    with pytest.raises(ReplayMismatch):
        await suspended_then(machine, program(before), program(after))


async def test_a_finished_call_is_one_memo_and_its_inside_may_have_changed(machine: Machine) -> None:
    entered: list[str] = []

    def inner(extra: bool) -> Any:
        async def body(ctx: Any, value: str) -> str:
            entered.append(value)
            if extra:
                await ctx.tool(refund, amount=1)
            return await ctx.tool(look, what=value)

        return program(body, "inner")

    def outer(extra: bool) -> Any:
        async def body(ctx: Any, _: Any) -> Any:
            one = await ctx.call(inner(extra), "a")
            return [one, await ctx.ask("go on?")]

        return program(body)

    async with machine.app() as app:
        result = await app.run(outer(False))
        assert entered == ["a"]
    async with machine.app() as app:
        await app.handle(result.run_id).answer(value="yes")
        result = await app.resume(result.run_id, outer(True))
    assert result.output == ["A", "yes"]
    assert entered == ["a"]
    assert DONE == ["a"]


async def test_a_call_that_was_not_finished_is_entered_again(machine: Machine) -> None:
    entered: list[str] = []

    async def inner(ctx: Any, _: Any) -> Any:
        entered.append("inner")
        await ctx.tool(look, what="a")
        return await ctx.ask("go on?")

    async def outer(ctx: Any, _: Any) -> Any:
        return await ctx.call(program(inner, "inner"))

    async with machine.app() as app:
        result = await app.run(program(outer))
    async with machine.app() as app:
        await app.handle(result.run_id).answer(value="yes")
        assert (await app.resume(result.run_id, program(outer))).output == "yes"
    assert entered == ["inner", "inner"]
    assert DONE == ["a"]


async def test_a_recorded_failure_is_raised_again_as_the_same_error(machine: Machine) -> None:
    class Boom(Exception):
        pass

    @tool(effect="read", retries=0)
    async def bad() -> str:
        """Bad."""
        raise Boom("out of order")

    seen: list[str] = []

    async def body(ctx: Any, _: Any) -> Any:
        try:
            await ctx.tool(bad)
        except Exception as error:  # noqa: BLE001
            seen.append(f"{type(error).__name__}: {error}")
        return await ctx.ask("go on?")

    async with machine.app() as app:
        result = await app.run(program(body))
    async with machine.app() as app:
        await app.handle(result.run_id).answer(value=1)
        await app.resume(result.run_id, program(body))
    assert len(seen) == 2
    assert seen[0] == seen[1]
    assert "out of order" in seen[0]


# -------------------------------------------------------------------------------------------------------- what differs


async def test_time_and_chance_are_read_once(machine: Machine) -> None:
    seen: list[tuple[float, float]] = []

    async def body(ctx: Any, _: Any) -> Any:
        seen.append((await ctx.now(), await ctx.random()))
        return await ctx.ask("go on?")

    async with machine.app() as app:
        result = await app.run(program(body))
    machine.clock.now += 500
    async with machine.app() as app:
        await app.handle(result.run_id).answer(value=1)
        await app.resume(result.run_id, program(body))
    assert seen[0] == seen[1]
    assert 0 <= seen[0][1] < 1


async def test_a_member_gets_live_what_decoding_the_record_gives(machine: Machine) -> None:
    seen: list[Any] = []

    @member
    async def pair(ctx: Any) -> Any:
        return ("a", ("b", 1))

    async def body(ctx: Any, _: Any) -> Any:
        seen.append(await ctx.call(pair))
        seen.append(await ctx.read("pair", lambda: (1, (2, 3))))
        return await ctx.ask("go on?")

    async with machine.app() as app:
        result = await app.run(program(body))
    assert seen == [["a", ["b", 1]], [1, [2, 3]]]
    async with machine.app() as app:
        await app.handle(result.run_id).answer(value=1)
        await app.resume(result.run_id, program(body))
    assert seen[:2] == seen[2:]


async def test_changing_a_received_value_does_not_change_what_a_resume_gives(machine: Machine) -> None:
    given: list[list[int]] = []

    async def body(ctx: Any, _: Any) -> Any:
        value = await ctx.read("list", lambda: [1, 2])
        given.append(list(value))
        value.append(3)
        return await ctx.ask("go on?")

    async with machine.app() as app:
        result = await app.run(program(body))
    async with machine.app() as app:
        await app.handle(result.run_id).answer(value=1)
        await app.resume(result.run_id, program(body))
    assert given == [[1, 2], [1, 2]]


async def test_a_value_too_large_for_a_record_comes_back_the_same(any_machine: Machine) -> None:
    big = "x" * 200_000
    seen: list[Any] = []

    async def body(ctx: Any, _: Any) -> Any:
        seen.append(await ctx.read("big", lambda: {"text": big}))
        return [await ctx.ask("go on?"), big]

    async with any_machine.app() as app:
        result = await app.run(program(body))
    async with any_machine.app() as app:
        await app.handle(result.run_id).answer(value=1)
        result = await app.resume(result.run_id, program(body))
        assert result.output == [1, big]
        assert (await app.resume(result.run_id, program(body))).output == [1, big]
    assert seen == [{"text": big}] * 2
    assert all(len(bytes(getattr(record, "value", b""))) < 100_000 for record in result.records)


# ------------------------------------------------------------------------------------------------------------- version


async def test_a_version_is_true_for_new_runs_and_false_for_runs_that_passed_before(machine: Machine) -> None:
    async def old(ctx: Any, _: Any) -> Any:
        await ctx.tool(look, what="a")
        return await ctx.ask("go on?")

    async def new(ctx: Any, _: Any) -> Any:
        changed = await ctx.version("check first")
        if changed:
            await ctx.tool(look, what="check")
        await ctx.tool(look, what="a")
        return [changed, await ctx.ask("go on?")]

    async with machine.app() as app:
        before = await app.run(program(old))
    async with machine.app() as app:
        await app.handle(before.run_id).answer(value=1)
        assert (await app.resume(before.run_id, program(new))).output == [False, 1]
        fresh = await app.run(program(new))
    async with machine.app() as app:
        await app.handle(fresh.run_id).answer(value=2)
        assert (await app.resume(fresh.run_id, program(new))).output == [True, 2]


async def test_a_version_answers_the_same_again_after_another_resume(machine: Machine) -> None:
    answers: list[bool] = []

    async def old(ctx: Any, _: Any) -> Any:
        await ctx.tool(look, what="a")
        await ctx.ask("one?")
        await ctx.ask("two?")

    async def new(ctx: Any, _: Any) -> Any:
        answers.append(await ctx.version("v2"))
        await ctx.tool(look, what="a")
        await ctx.ask("one?")
        await ctx.ask("two?")

    async with machine.app() as app:
        run_id = (await app.run(program(old))).run_id
    result: Any = None
    for _ in range(2):
        async with machine.app() as app:
            await app.handle(run_id).answer(value=1)
            result = await app.resume(run_id, program(new))
    assert result.status == "succeeded"
    assert answers == [False, False]


# ----------------------------------------------------------------------------------------------- pinned configuration


def shop(prompt: str, model: Any) -> Agent[Any, Any]:
    @tool(effect="read", approval="always")
    async def search(query: str) -> str:
        """Search."""
        return query

    return Agent("shop", model=model, tools=[search], system_prompt=prompt)


def script() -> ScriptedModel:
    return ScriptedModel([ToolCall("search", {"query": "tents"}), "done"])


async def test_a_resumed_agent_keeps_the_prompt_it_was_started_with(any_machine: Machine) -> None:
    async with any_machine.app() as app:
        result = await app.run(shop("Be kind.", script()), "tents?")
        assert result.status == "suspended"
    model = script()
    async with any_machine.app() as app:
        await app.handle(result.run_id).approve()
        result = await app.resume(result.run_id, shop("Be rude.", model))
    assert result.output == "done"
    assert [request.messages[0].text for request in model.requests] == ["Be kind."]


async def test_a_resume_that_upgrades_uses_the_present_prompt_for_new_agents_calls(machine: Machine) -> None:
    def outer(prompt: str, model: Any) -> Any:
        agent = Agent("shop", model=model, system_prompt=prompt)

        async def body(ctx: Any, _: Any) -> Any:
            one = await ctx.call(agent, "1")
            await ctx.ask("go on?")
            return [one, await ctx.call(agent, "2")]

        return program(body)

    def two() -> ScriptedModel:
        return ScriptedModel(["one", "two"])

    outcomes: list[str] = []
    for upgrade in (False, True):
        box = Machine()
        async with box.app() as app:
            result = await app.run(outer("old", two()))
        model = two()
        async with box.app() as app:
            await app.handle(result.run_id).answer(value=1)
            # Whoever takes the run up first decides; wait for nobody else to have done so.
            result = await app.resume(result.run_id, outer("new", model), upgrade=upgrade)
        assert result.output == ["one", "two"]
        outcomes.append(model.requests[-1].messages[0].text)
    assert outcomes == ["old", "new"]


# ---------------------------------------------------------------------------------------------------- a cut journal


async def test_a_run_that_is_over_is_not_driven_again(machine: Machine) -> None:
    async def body(ctx: Any, _: Any) -> Any:
        return await ctx.tool(look, what="a")

    async with machine.app() as app:
        result = await app.run(program(body))
        again = await app.resume(result.run_id, program(body))
    assert again.output == result.output == "A"
    assert DONE == ["a"]
    assert len(again.records) == len(result.records)


async def test_a_run_can_be_resumed_from_every_length_of_its_journal(any_machine: Machine) -> None:
    async def body(ctx: Any, _: Any) -> Any:
        one = await ctx.tool(look, what="a")
        two = await ctx.gather(lambda c: c.tool(look, what="b"), lambda c: c.tool(look, what="c"))
        return [one, *two, await ctx.read("n", lambda: 7)]

    async with any_machine.app() as app:
        whole = await app.run(program(body))
        seen = spy(app)
    for count in range(1, len(whole.records) + 1):
        other = any_machine.fresh()
        async with other.app() as app:
            await cut(seen, whole.run_id, count, spy(app))
            result = await app.resume(whole.run_id, program(body))
        assert result.output == whole.output, count
        assert set(result.history.steps) == set(whole.history.steps)


async def test_a_resume_is_recorded_with_its_epoch(machine: Machine) -> None:
    from podium.core.records import Resumed

    async def body(ctx: Any, _: Any) -> Any:
        return await ctx.ask("go on?")

    async with machine.app() as app:
        result = await app.run(program(body))
        assert records_of(result, Resumed) == []
    async with machine.app() as app:
        await app.handle(result.run_id).answer(value=1)
        result = await app.resume(result.run_id, program(body))
    assert [record.epoch for record in records_of(result, Resumed)] == [2]
