# pyright: basic, reportMissingImports=false
"""agent-framework-core: its agent in memory and with its file history, and its workflows. Public API only."""

import itertools
import logging
from contextlib import asynccontextmanager

from agent_framework import (
    Agent,
    AgentSession,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    Content,
    Executor,
    FileHistoryProvider,
    FunctionInvocationLayer,
    Message,
    WorkflowBuilder,
    WorkflowContext,
    handler,
    tool,
)
from agent_framework.observability import ChatTelemetryLayer
from timing import TURNS, chain, concurrent, durable, fanout, main, turns

logging.disable(logging.WARNING)


class Scripted(FunctionInvocationLayer, ChatMiddlewareLayer, ChatTelemetryLayer, BaseChatClient):
    """An instant model in the layers that its own clients have."""

    def __init__(self, turns):
        super().__init__(function_invocation_configuration={"max_iterations": turns + 5})
        self.turns = turns

    def _inner_get_response(self, *, messages, stream, options, **kwargs):
        async def answer():
            done = len(messages) // 2
            content = (
                Content.from_text("done")
                if done >= self.turns
                else Content.from_function_call(f"c{done}", "add", arguments={"a": done, "b": 1})
            )
            return ChatResponse(messages=[Message(role="assistant", contents=[content])])

        return answer()


@tool(approval_mode="never_require")
async def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


async def turn():
    agent = Agent(Scripted(TURNS), tools=[add])

    async def many():
        for _ in range(10):
            assert (await agent.run("go")).text.endswith("done")

    await turns("agent_run", many, 10 * TURNS)


async def kept():
    @asynccontextmanager
    async def history(folder):
        provider = FileHistoryProvider(folder)

        async def run(count):
            agent = Agent(
                Scripted(count),
                tools=[add],
                context_providers=[provider],
                require_per_service_call_history_persistence=True,
            )
            assert (await agent.run("go", session=AgentSession(session_id="s1"))).text.endswith("done")

        yield run

    # It reads its whole file again at each call: a thousand turns take minutes.
    await durable("file_history", history, most=200)


class Leaf(Executor):
    @handler
    async def go(self, value: int, ctx: WorkflowContext[int]) -> None:
        await ctx.send_message(value + 1)


class Join(Executor):
    @handler
    async def go(self, values: list[int], ctx: WorkflowContext[int, int]) -> None:
        await ctx.yield_output(len(values))


class Last(Executor):
    @handler
    async def go(self, value: int, ctx: WorkflowContext[int, int]) -> None:
        await ctx.yield_output(value)


async def graphs():
    source, join = Leaf(id="source"), Join(id="join")
    leaves = [Leaf(id=f"n{index}") for index in range(100)]
    wide = WorkflowBuilder(start_executor=source).add_fan_out_edges(source, leaves).add_fan_in_edges(leaves, join)
    fan = wide.build()

    async def fanned():
        assert (await fan.run(1)).get_outputs() == [100]

    await fanout(fanned)
    nodes = [*[Leaf(id=f"n{index}") for index in range(999)], Last(id="last")]
    builder = WorkflowBuilder(start_executor=nodes[0], max_iterations=1100)
    for first, second in itertools.pairwise(nodes):
        builder.add_edge(first, second)
    long = builder.build()

    async def chained():
        assert (await long.run(0)).get_outputs() == [999]

    await chain(chained)


async def many():
    agent = Agent(Scripted(5), tools=[add])
    await concurrent("agent_run", lambda: agent.run("go"))


main({"B": turn, "C": kept, "D": graphs, "E": many})
