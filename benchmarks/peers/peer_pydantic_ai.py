# pyright: basic, reportMissingImports=false
"""pydantic-ai-slim: its agent in memory, and its graph library. Public API only.

Its durable runs need one of several other products (DBOS, Temporal, …) and are not measured here.
"""

import itertools

from pydantic_ai import Agent, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.usage import UsageLimits
from pydantic_graph import GraphBuilder, StepContext, reduce_list_append
from timing import TURNS, chain, concurrent, fanout, main, turns

LIMITS = UsageLimits(request_limit=None)


def scripted(turns):
    async def answer(messages, info):
        done = len(messages) // 2
        if done >= turns:
            return ModelResponse(parts=[TextPart("done")])
        return ModelResponse(parts=[ToolCallPart("add", {"a": done, "b": 1}, tool_call_id=f"c{done}")])

    return FunctionModel(answer, model_name="scripted")


async def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


async def turn():
    agent = Agent(scripted(TURNS), tools=[add])

    async def many():
        for _ in range(10):
            assert (await agent.run("go", usage_limits=LIMITS)).output == "done"

    await turns("agent_run", many, 10 * TURNS)


async def graphs():
    builder = GraphBuilder(input_type=int, output_type=list[int])

    @builder.step
    async def split(ctx: StepContext[None, None, int]) -> list[int]:
        return list(range(100))

    @builder.step
    async def leaf(ctx: StepContext[None, None, int]) -> int:
        return ctx.inputs

    join = builder.join(reduce_list_append, initial_factory=list[int])
    builder.add(
        builder.edge_from(builder.start_node).to(split),
        builder.edge_from(split).map().to(leaf),
        builder.edge_from(leaf).to(join),
        builder.edge_from(join).to(builder.end_node),
    )
    fan = builder.build()

    async def fanned():
        assert len(await fan.run(inputs=0)) == 100

    await fanout(fanned)
    builder = GraphBuilder(input_type=int, output_type=int)

    async def plus_one(ctx: StepContext[None, None, int]) -> int:
        return ctx.inputs + 1

    steps = [builder.step(plus_one, node_id=f"n{index}") for index in range(1000)]
    builder.add(
        builder.edge_from(builder.start_node).to(steps[0]),
        *(builder.edge_from(first).to(second) for first, second in itertools.pairwise(steps)),
        builder.edge_from(steps[-1]).to(builder.end_node),
    )
    long = builder.build()

    async def chained():
        assert await long.run(inputs=0) == 1000

    await chain(chained)


async def many():
    agent = Agent(scripted(5), tools=[add])
    await concurrent("agent_run", lambda: agent.run("go", usage_limits=LIMITS))


main({"B": turn, "D": graphs, "E": many})
