"""The same shapes in Podium: an agent with one tool and a scripted model, and members that do nothing."""

from __future__ import annotations

from typing import Any

from podium import Agent, Context, ModelRequest, ScriptedModel, ToolCall, member, tool


@tool(effect="read")
async def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


def scripted(turns: int, name: str = "add") -> ScriptedModel:
    """A model that makes each call when it is asked, as those of the baseline and of the peers do.

    It counts turns by the length of the conversation, and forgets the requests it saw: they are not the library's cost.
    """

    def answer(request: ModelRequest) -> str | ToolCall:
        model.requests.clear()
        done = len(request.messages) // 2
        return "done" if done >= turns else ToolCall(name, {"a": done, "b": 1})

    model = ScriptedModel(answer)
    return model


def adder(turns: int) -> Agent[Any, str]:
    """The agent of the baseline's loop."""
    return Agent("adder", scripted(turns), [add], max_iterations=turns + 5)


def checked(result: Any, output: object = "done") -> Any:
    """The result, if it is the right one: a benchmark of failures would be quick."""
    if result.output != output:
        raise AssertionError(f"{result.status}: {result.output!r} instead of {output!r} ({result.error})")
    return result


@member
async def nothing(ctx: Context, input: Any) -> Any:
    """A node that does nothing."""
    return input


@member
async def plus_one(ctx: Context, input: int) -> int:
    """A node that adds one."""
    return input + 1
