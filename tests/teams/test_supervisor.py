"""Supervisors: delegation is a Call, side by side where asked, and told to the model when it fails."""

from __future__ import annotations

from typing import Any

import pytest
from harness import Machine

from podium import (
    Agent,
    ConfigurationError,
    Message,
    ModelRequest,
    ScriptedModel,
    Supervisor,
    ToolCall,
    member,
    tool,
)


def worker(name: str, answer: Any) -> Agent[Any, Any]:
    return Agent(name, model=ScriptedModel([answer]), description=f"Knows {name}.")


async def test_workers_are_offered_called_side_by_side_and_their_answers_shown(machine: Machine) -> None:
    model = ScriptedModel([[ToolCall("facts", {"task": "find"}), ToolCall("words", {"task": "write"})], "both done"])
    lead = Supervisor([worker("facts", "42"), worker("words", "a poem")], model)
    async with machine.app() as app:
        result = await app.run(lead, "tell me about 42")
    assert result.output == "both done"
    assert result.agents_invoked == ["supervisor", "facts", "words"]
    assert [spec.name for spec in model.requests[0].tools] == ["facts", "words"]
    shown = model.requests[1].messages[-1].parts
    assert [part.content for part in shown] == ["42", "a poem"]  # pyright: ignore[reportAttributeAccessIssue]
    keys = [step.key for step in result.steps if step.kind == "call"]
    assert keys == ["supervisor.1", "supervisor.1/turn.1/facts.1", "supervisor.1/turn.1/words.1"]


async def test_a_worker_that_fails_or_is_called_wrongly_is_told_to_the_model(machine: Machine) -> None:
    @member
    async def broken(ctx: Any, task: str) -> str:
        raise RuntimeError("out of paper")

    calls = [ToolCall("broken", {"task": "x"}), ToolCall("broken", {"job": "x"}), ToolCall("ghost", {"task": "x"})]
    model = ScriptedModel([calls, "gave up"])
    async with machine.app() as app:
        result = await app.run(Supervisor([broken], model), "go")
    assert result.output == "gave up"
    told = [part.content for part in model.requests[1].messages[-1].parts]  # pyright: ignore[reportAttributeAccessIssue]
    assert "out of paper" in told[0]
    assert "task: a text" in told[1]
    assert "no tool named 'ghost'; its tools are: broken" in told[2]


async def test_a_supervisor_can_be_a_worker_and_have_tools_of_its_own(machine: Machine) -> None:
    @tool(effect="read")
    async def look() -> str:
        """Look."""
        return "seen"

    inner = Supervisor(
        [worker("facts", "42")], ScriptedModel([ToolCall("facts", {"task": "?"}), "it is 42"]), name="in"
    )
    outer = Supervisor(
        [inner], ScriptedModel([[ToolCall("in", {"task": "?"}), ToolCall("look")], "done"]), tools=[look]
    )
    async with machine.app() as app:
        result = await app.run(outer, "go")
    assert result.output == "done"
    assert "supervisor.1/turn.1/in.1/turn.1/facts.1" in [step.key for step in result.steps]


async def test_a_supervised_run_goes_on_after_a_person_answered_a_worker(any_machine: Machine) -> None:
    @member
    async def asks(ctx: Any, task: str) -> str:
        return f"{task}: {await ctx.ask('really?')}"

    async def lead(request: ModelRequest) -> Any:
        last: Message = request.messages[-1]
        if last.role == "tool":
            return f"answer {last.parts[0].content}"  # pyright: ignore[reportAttributeAccessIssue]
        return ToolCall("asks", {"task": "t"})

    async with any_machine.app() as app:
        handle = await app.start(Supervisor([asks], ScriptedModel(lead)), "go", run_id="r")
        await handle.settled()
        await handle.answer(value="yes")
        assert (await handle.result()).output == "answer t: yes"


def test_names_that_clash_or_no_workers_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no workers"):
        Supervisor([], "offline")
    with pytest.raises(ConfigurationError, match="share a name"):
        Supervisor([worker("a", "x"), worker("a", "y")], "offline")
