"""What a run gives back, and what may be watched while it works."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from harness import Machine, settle, shape

import podium
from podium import (
    Agent,
    Message,
    PodiumError,
    Reset,
    RunFailed,
    ScriptedModel,
    TextDelta,
    ToolCall,
    ToolContext,
    member,
    tool,
)
from podium.core.errors import Overloaded
from podium.core.messages import assistant, user
from podium.core.records import RECORDS, Ended, Finished, Started, Suspended


@tool(effect="read")
async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


def calc(*script: Any, **options: Any) -> Agent[Any, Any]:
    return Agent(
        "calc", model=ScriptedModel(script or [ToolCall("add", {"a": 1, "b": 2}), "3"]), tools=[add], **options
    )


async def test_a_result_has_everything_about_the_run(any_machine: Machine) -> None:
    async with any_machine.app() as app:
        result = await calc(system_prompt="Count.").run("1+2?", app=app, run_id="r1")
    assert (result.output, result.status, result.error, result.run_id) == ("3", "succeeded", None, "r1")
    assert result.cost == result.total_cost == result.uncertain_cost == Decimal(0)
    assert result.usage.output_tokens > 0
    assert result.agents_invoked == ["calc"]
    assert result.pending == ()
    assert result.duration >= 0
    assert result.unwrap() == "3"
    assert [message.role for message in result.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert result.messages[0].text == "Count."
    assert [(step.key, step.status) for step in result.steps] == [
        ("calc.1", "ok"),
        ("calc.1/turn.1/model.1", "ok"),
        ("calc.1/turn.1/add.1", "ok"),
        ("calc.1/turn.2/model.1", "ok"),
    ]
    assert "r1" in repr(result)


async def test_a_result_read_from_the_journal_equals_the_live_one(any_machine: Machine) -> None:
    async with any_machine.app() as app:
        live = await calc(system_prompt="Count.").run("1+2?", app=app, run_id="r1")
    async with any_machine.app() as app:
        read = await app.handle("r1").result()
    for name in ("output", "status", "error", "cost", "usage", "agents_invoked", "messages", "steps", "records"):
        assert getattr(read, name) == getattr(live, name), name


async def test_unwrapping_a_failed_run_raises_with_its_error(machine: Machine) -> None:
    @member
    async def bad(ctx: Any) -> None:
        raise ValueError("broken")

    async with machine.app() as app:
        result = await app.run(bad)
        assert result.status == "failed"
        assert result.output is None
        with pytest.raises(RunFailed, match="broken") as caught:
            result.unwrap()
    assert isinstance(caught.value, PodiumError)
    assert caught.value.run_id == result.run_id


async def test_unwrapping_a_suspended_run_says_what_it_waits_for(machine: Machine) -> None:
    @member
    async def asks(ctx: Any) -> Any:
        return await ctx.ask("which colour?")

    async with machine.app() as app:
        with pytest.raises(RunFailed, match="which colour"):
            (await app.run(asks)).unwrap()


async def test_a_value_no_journal_can_hold_is_a_failure_of_its_member(machine: Machine) -> None:
    @member
    async def strange(ctx: Any) -> Any:
        return object()

    @member
    async def huge(ctx: Any) -> Any:
        return 2**70

    @member
    async def outer(ctx: Any, inner: str) -> Any:
        try:
            return await ctx.call(strange if inner == "strange" else huge)
        except podium.StepFailed as error:
            return f"caught {type(error).__name__}"

    async with machine.app() as app:
        for inner in ("strange", "huge"):
            result = await asyncio.wait_for(app.run(outer, inner), 5)
            assert result.status == "succeeded", result.error
            # A number beyond 64 bits is kept as text, as tools' results are; an object is nobody's data.
            assert result.output == ("caught MemberFailed" if inner == "strange" else str(2**70))


async def test_dependencies_reach_tools_and_members_and_are_never_stored(any_machine: Machine) -> None:
    class Database:
        secret = "s3cret-database"

    seen: list[Any] = []

    @tool(effect="read")
    async def query(ctx: ToolContext) -> str:
        """Query."""
        seen.append(ctx.deps)
        return "row"

    @member
    async def body(ctx: Any) -> Any:
        seen.append(ctx.deps)
        return await ctx.tool(query)

    deps = Database()
    async with any_machine.app() as app:
        result = await body.run(app=app, deps=deps)
        assert seen == [deps, deps]
        assert b"s3cret" not in b"".join(await app.store.frames(result.run_id))


async def test_a_given_history_is_shown_to_the_agent_before_the_input(machine: Machine) -> None:
    model = ScriptedModel(["fine"])
    history = [user("I am Ada"), assistant("Hello Ada")]
    async with machine.app() as app:
        result = await Agent("shop", model=model).run("who am I?", app=app, message_history=history)
    assert [message.text for message in model.requests[0].messages] == ["I am Ada", "Hello Ada", "who am I?"]
    assert [message.text for message in result.messages] == ["I am Ada", "Hello Ada", "who am I?", "fine"]


async def test_messages_of_one_result_continue_in_the_next_run(machine: Machine) -> None:
    model = ScriptedModel(lambda request: f"{len(request.messages)} messages")
    agent = Agent("shop", model=model)
    async with machine.app() as app:
        one = await agent.run("a", app=app)
        two = await agent.run("b", app=app, message_history=one.messages)
    assert two.output == "3 messages"


# ------------------------------------------------------------------------------------------------------- streaming


async def collect(stream: Any) -> list[Any]:
    return [event async for event in stream]


async def test_a_stream_gives_every_record_in_order_and_ends_with_the_run(any_machine: Machine) -> None:
    async with any_machine.app() as app:
        events = await collect(calc().stream("1+2?", app=app, run_id="r1"))
        result = await app.handle("r1").result()
    assert [event for event in events if isinstance(event, RECORDS)] == result.records
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)


async def test_deltas_come_before_the_record_that_holds_the_whole(machine: Machine) -> None:
    async with machine.app() as app:
        events = await collect(Agent("shop", model=ScriptedModel(["hello world"])).stream("hi", app=app))
    deltas = [event for event in events if isinstance(event, TextDelta)]
    assert "".join(delta.text for delta in deltas) == "hello world"
    assert {delta.key for delta in deltas} == {"shop.1/turn.1/model.1"}
    assert {delta.attempt for delta in deltas} == {1}
    ended = next(i for i, event in enumerate(events) if isinstance(event, Ended) and event.key.endswith("model.1"))
    assert max(i for i, event in enumerate(events) if isinstance(event, TextDelta)) < ended
    offset = 0
    for delta in deltas:
        assert delta.offset == offset
        offset += len(delta.text)


async def test_a_new_attempt_resets_what_was_streamed(machine: Machine) -> None:
    script = iter([Overloaded("busy"), "hello"])
    agent = Agent("shop", model=ScriptedModel(lambda _: next(script)))
    async with machine.app() as app:
        collecting = asyncio.create_task(collect(agent.stream("hi", app=app)))
        await machine.clock.advance(60)
        events = await collecting
    [reset] = [event for event in events if isinstance(event, Reset)]
    assert (reset.key, reset.attempt) == ("shop.1/turn.1/model.1", 2)
    assert {event.attempt for event in events if isinstance(event, TextDelta)} == {2}
    first = next(i for i, event in enumerate(events) if isinstance(event, TextDelta))
    assert events.index(reset) < first


async def test_a_late_subscriber_gets_the_records_first_and_then_what_is_live(any_machine: Machine) -> None:
    gate, entered = asyncio.Event(), asyncio.Event()

    @tool(effect="read")
    async def waits() -> str:
        """Wait."""
        entered.set()
        await gate.wait()
        return "x"

    agent = Agent("shop", model=ScriptedModel([ToolCall("waits"), "the answer"]), tools=[waits])
    async with any_machine.app() as app:
        handle = await app.start(agent, "go")
        await entered.wait()
        events: list[Any] = []

        async def follow() -> None:
            events.extend([event async for event in handle.events()])

        following = asyncio.create_task(follow())
        await asyncio.sleep(0.05)
        gate.set()
        result = await handle.result()
        await following
    assert [event for event in events if isinstance(event, RECORDS)] == result.records
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "the answer"


async def test_several_subscribers_each_get_all_records_once(machine: Machine) -> None:
    async with machine.app() as app:
        handle = await app.start(calc(), "1+2?")

        async def follow() -> list[Any]:
            return [record async for record in handle.records()]

        one, two = await asyncio.gather(follow(), follow())
        result = await handle.result()
        three = await follow()
    assert shape(one) == shape(two) == shape(three) == shape(result.records)


async def test_a_stream_of_a_suspended_run_ends_and_can_be_taken_up_again(machine: Machine) -> None:
    @member
    async def asks(ctx: Any) -> Any:
        return await ctx.ask("go on?")

    async with machine.app() as app:
        events = await collect(asks.stream(app=app, run_id="r1"))
        assert isinstance(events[-1], Suspended)
        await app.handle("r1").answer(value="yes")
        assert (await app.handle("r1").result()).output == "yes"


async def test_leaving_a_stream_early_leaves_the_run_alone(machine: Machine) -> None:
    async with machine.app() as app:
        stream: Any = calc().stream("1+2?", app=app, run_id="r1")
        async for _ in stream:
            break
        await stream.aclose()
        assert (await app.handle("r1").result()).output == "3"
        await settle()


async def test_progress_of_a_tool_reaches_subscribers_and_is_not_journaled(machine: Machine) -> None:
    @tool(effect="read")
    async def long(ctx: ToolContext) -> str:
        """Long."""
        ctx.report("half", 0.5)
        await settle(5)
        return "x"

    @member
    async def body(ctx: Any) -> Any:
        return await ctx.tool(long)

    async with machine.app() as app:
        events = await collect(body.stream(app=app))
    [progress] = [event for event in events if isinstance(event, podium.Progress)]
    assert (progress.key, progress.message, progress.fraction) == ("body.1/long.1", "half", 0.5)


async def test_an_emitted_event_is_a_record(machine: Machine) -> None:
    @member
    async def body(ctx: Any) -> None:
        await ctx.emit("found", {"n": 3})

    async with machine.app() as app:
        events = await collect(body.stream(app=app))
    [event] = [event for event in events if isinstance(event, Ended) and event.name == "found"]
    assert podium.core.codec.decode(event.value) == {"n": 3}


# ---------------------------------------------------------------------------------------------------------- sessions


async def test_a_session_keeps_what_was_said_across_runs_and_processes(any_machine: Machine) -> None:
    model = ScriptedModel(lambda request: f"{len(request.messages)}")
    agent = Agent("shop", model=model)
    async with any_machine.app() as app:
        assert (await agent.run("one", app=app, session="s")).output == "1"
        assert (await agent.run("two", app=app, session="s")).output == "3"
    async with any_machine.app() as app:
        assert (await agent.run("three", app=app, session="s")).output == "5"
        assert (await agent.run("other", app=app, session="t")).output == "1"
    texts = [message.text for message in model.requests[2].messages]
    assert texts == ["one", "1", "two", "3", "three"]


async def test_an_agent_responds_in_its_own_session(machine: Machine) -> None:
    agent = Agent("shop", model=ScriptedModel(lambda request: f"{len(request.messages)}"))
    async with machine.app() as app:
        await agent.respond_to_message("a", app=app)
        assert (await agent.respond_to_message("b", app=app)).output == "3"


async def test_the_history_shown_is_bounded_and_never_parts_a_call_from_its_result(machine: Machine) -> None:
    seen: list[list[Message]] = []

    def answer(request: Any) -> Any:
        seen.append(list(request.messages))
        return ToolCall("add", {"a": 1, "b": 2}) if request.messages[-1].role == "user" else "3"

    for limit in range(1, 12):
        agent = Agent("calc", model=ScriptedModel(answer), tools=[add], history=limit)
        async with machine.fresh().app() as app:
            for n in range(5):
                seen.clear()
                await agent.run(f"question {n}", app=app, session="s")
                messages = seen[0]
                assert len(messages) <= limit + 1
                assert messages[0].role == "user"
                open_calls: set[Any] = set()
                for message in messages:
                    for part in message.parts:
                        if isinstance(part, ToolCall):
                            open_calls.add(part.id)
                        elif isinstance(part, podium.ToolResult):
                            assert part.call_id in open_calls
                            open_calls.discard(part.call_id)
                assert not open_calls
