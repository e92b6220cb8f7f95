# pyright: basic, reportMissingImports=false
"""langgraph: the usual two-node loop in memory and with its SQLite checkpointer, and its graphs. Public API only."""

import operator
from contextlib import asynccontextmanager
from typing import Annotated, TypedDict

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode
from timing import TURNS, chain, concurrent, durable, fanout, main, turns


class Scripted(BaseChatModel):
    """An instant model."""

    turns: int = TURNS

    @property
    def _llm_type(self):
        return "scripted"

    def bind_tools(self, tools, **kwargs):
        return self

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        done = len(messages) // 2
        calls = [] if done >= self.turns else [{"name": "add", "args": {"a": done, "b": 1}, "id": f"c{done}"}]
        message = AIMessage("" if calls else "done", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(self, *arguments, **kwargs):
        return self._generate(*arguments)


@tool
async def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


class State(TypedDict):
    messages: Annotated[list, add_messages]


def loop(turns, saver=None):
    model = Scripted(turns=turns)

    async def ask(state):
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(State)
    graph.add_node("model", ask)
    graph.add_node("tools", ToolNode([add]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", lambda state: "tools" if state["messages"][-1].tool_calls else END)
    graph.add_edge("tools", "model")
    return graph.compile(checkpointer=saver)


async def converse(graph, turns):
    config = {"recursion_limit": 2 * turns + 10, "configurable": {"thread_id": "1"}}
    state = await graph.ainvoke({"messages": [HumanMessage("go")]}, config)
    assert state["messages"][-1].content == "done"


async def turn():
    graph = loop(TURNS)

    async def many():
        for _ in range(10):
            await converse(graph, TURNS)

    await turns("state_graph", many, 10 * TURNS)


async def kept():
    @asynccontextmanager
    async def sqlite(folder):
        async with AsyncSqliteSaver.from_conn_string(f"{folder}/x.db") as saver:
            await saver.setup()
            yield lambda count: converse(loop(count, saver), count)

    # It keeps every message again at each step: a thousand turns are half a gigabyte.
    await durable("sqlite_saver", sqlite, most=200)


class Numbers(TypedDict):
    values: Annotated[list, operator.add]


class Number(TypedDict):
    value: int


async def graphs():
    def leaf(state):
        return {"values": [1]}

    async def leaf_async(state):
        return leaf(state)

    graph = StateGraph(Numbers)
    graph.add_node("source", leaf_async)
    graph.add_node("join", leaf_async)
    graph.add_edge(START, "source")
    for index in range(100):
        graph.add_node(f"n{index}", leaf_async)
        graph.add_edge("source", f"n{index}")
    graph.add_edge([f"n{index}" for index in range(100)], "join")
    fan = graph.compile()

    async def fanned():
        assert len((await fan.ainvoke({"values": []}))["values"]) == 102

    await fanout(fanned)

    async def plus_one(state):
        return {"value": state["value"] + 1}

    graph = StateGraph(Number)
    before = START
    for index in range(1000):
        graph.add_node(f"n{index}", plus_one)
        graph.add_edge(before, f"n{index}")
        before = f"n{index}"
    long = graph.compile()

    async def chained():
        assert (await long.ainvoke({"value": 0}, {"recursion_limit": 1100}))["value"] == 1000

    await chain(chained)


async def many():
    graph = loop(5)
    await concurrent("state_graph", lambda: converse(graph, 5))


main({"B": turn, "C": kept, "D": graphs, "E": many})
