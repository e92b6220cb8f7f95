"""The baselines: the least that does the same work with a bare asyncio loop and raw SQLite. No framework, no Podium."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

Told = dict[str, Any]

TABLE = "create table if not exists log(run integer, seq integer, body text, primary key(run, seq)) without rowid"


async def add(a: int, b: int) -> str:
    """The tool."""
    return str(a + b)


async def model(messages: list[Told], turns: int) -> Told:
    """The model: a tool call with JSON arguments, `turns` times, then an answer."""
    done = len(messages) // 2
    if done >= turns:
        return {"role": "assistant", "content": "done"}
    call = {"id": f"c{done}", "name": "add", "arguments": json.dumps({"a": done, "b": 1})}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


async def agent(turns: int, on_turn: Callable[[list[Told]], None] | None = None) -> list[Told]:
    """The smallest honest agent loop."""
    tools = {"add": add}
    messages: list[Told] = [{"role": "user", "content": "go"}]
    while True:
        reply = await model(messages, turns)
        messages.append(reply)
        if not reply.get("tool_calls"):
            return messages
        for call in reply["tool_calls"]:
            out = await tools[call["name"]](**json.loads(call["arguments"]))
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": out})
        if on_turn is not None:
            on_turn(messages[-2:])


def database(path: Path, *, table: str = TABLE) -> sqlite3.Connection:
    """A raw database in WAL mode that does not sync at each commit."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode=wal")
    connection.execute("pragma synchronous=normal")
    connection.execute(table)
    return connection


async def durable_agent(connection: sqlite3.Connection, turns: int) -> None:
    """The loop, with one commit a turn."""
    seq = 0

    def write(messages: list[Told]) -> None:
        nonlocal seq
        connection.execute("insert into log values(1, ?, ?)", (seq, json.dumps(messages)))
        seq += 1

    await agent(turns, write)


def read_back(path: Path) -> int:
    """A cold resume of that: open the file, read the conversation."""
    connection = database(path)
    rows = [json.loads(body) for (body,) in connection.execute("select body from log where run=1 order by seq")]
    connection.close()
    return len(rows)


async def leaf(value: int) -> int:
    """A node that does nothing."""
    return value


async def fan(width: int) -> int:
    """1 -> width -> 1."""
    return sum(await asyncio.gather(*(leaf(index) for index in range(width))))


async def chain(length: int) -> int:
    """A task for each node, one after the other."""
    value = 0
    for _ in range(length):
        value = await asyncio.create_task(leaf(value + 1))
    return value


async def queues(messages: int) -> None:
    """Two tasks that send each other one message after the other."""
    there: asyncio.Queue[Told | None] = asyncio.Queue()
    back: asyncio.Queue[Told | None] = asyncio.Queue()

    async def side(inbox: asyncio.Queue[Told | None], outbox: asyncio.Queue[Told | None]) -> None:
        while (message := await inbox.get()) is not None and message["n"] < messages:
            await outbox.put({"n": message["n"] + 1, "text": "hello"})
        await outbox.put(None)

    await there.put({"n": 0, "text": "hello"})
    await asyncio.gather(side(there, back), side(back, there))
