"""Sessions as the app shows them: messages with role, text, time and run; tool calls; nothing lost over restarts."""

from __future__ import annotations

from harness import Machine

from podium import Agent, ScriptedModel, ToolCall, tool


@tool(effect="read")
async def look(what: str) -> str:
    """Look."""
    return f"{what} seen"


async def test_a_session_shows_who_said_what_when_and_in_which_run(any_machine: Machine) -> None:
    model = ScriptedModel([ToolCall("look", {"what": "tent"}), "It is red."])
    agent = Agent("shop", model=model, tools=[look])
    async with any_machine.app() as app:
        one = await agent.run("which colour?", app=app, session="ann")
        await any_machine.clock.advance(60)
        # A script begins anew with each run.
        two = await agent.replace(model=ScriptedModel(["Still red."])).run("and now?", app=app, session="ann")
    async with any_machine.app() as app:
        session = await app.session("ann")
        rows = await app.sessions()
    said = [(message.role, message.content, message.metadata["run"]) for message in session.messages]
    assert said == [
        ("user", "which colour?", one.run_id),
        ("assistant", "look(…)", one.run_id),
        ("tool", "tent seen", one.run_id),
        ("assistant", "It is red.", one.run_id),
        ("user", "and now?", two.run_id),
        ("assistant", "Still red.", two.run_id),
    ]
    assert session.messages[4].timestamp - session.messages[0].timestamp == 60
    assert (session.created, session.updated) == (session.messages[0].timestamp, session.messages[-1].timestamp)
    assert [call.args for call in session.tool_calls] == [{"what": "tent"}]
    assert session.runs == (one.run_id, two.run_id)
    assert [row.id for row in rows] == ["ann"]


async def test_a_session_nobody_used_is_empty(machine: Machine) -> None:
    async with machine.app() as app:
        session = await app.session("nobody")
    assert (session.id, session.messages, session.created) == ("nobody", (), 0.0)
