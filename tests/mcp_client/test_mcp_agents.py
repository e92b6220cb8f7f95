"""Agents with the tools of MCP servers: third-party ones over their transports, and one that fails in a call."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from podium import Agent, Podium, ScriptedModel, ToolCall
from podium.core.messages import ToolResult
from podium.tools.mcp import MCPTools

sys.path.insert(0, str(Path(__file__).parent))
from peers import command, missing

RAW = Path(__file__).parent / "raw_server.py"
peer = pytest.mark.skipif(bool(missing()), reason=missing())


def raw(log: Path, **options: Any) -> MCPTools:
    given: dict[str, Any] = {"name": "raw", "protocol": "legacy", "prefix": "raw", **options}
    return MCPTools.stdio(sys.executable, [str(RAW), str(log)], **given)


def told(model: ScriptedModel) -> list[str]:
    """The results of tools that the model was shown, in order."""
    parts = [part for message in model.requests[-1].messages for part in message.parts]
    return [part.content for part in parts if isinstance(part, ToolResult)]


async def run(model: ScriptedModel, server: MCPTools, *more: Any) -> Any:
    async with Podium() as app:
        return await (await app.start(Agent("asker", model, [*server.tools, *more]), "Please")).settled()


SCRIPT = [
    ToolCall("all_echo", {"message": "hello"}),
    ToolCall("all_get-sum", {"a": 2, "b": 40}),
    ToolCall("all_get-structured-content", {"location": "Chicago"}),
    ToolCall("all_query_external_resource", {"type": "Dynamic Text Resource", "query": "7"}),
    ToolCall("all_get-sum", {"a": "two", "b": 40}),
    "Done.",
]


async def ask_everything(server: MCPTools) -> None:
    model = ScriptedModel(SCRIPT)
    result = await run(model, server, server.resource_tool())
    assert (result.status, result.output) == ("succeeded", "Done.")
    echo, total, weather, resource, wrong = told(model)
    assert (echo, total) == ("Echo: hello", "The sum of 2 and 40 is 42.")
    assert '"temperature"' in weather
    assert "Resource 7: This is a plaintext resource" in resource
    assert "a" in wrong
    assert "number" in wrong


@peer
async def test_an_agent_uses_a_third_party_server_over_its_standard_input():
    node, program = command("everything")
    async with MCPTools.stdio(node, [program, "stdio"], name="everything", prefix="all") as server:
        await ask_everything(server)


@asynccontextmanager
async def everything(port: int) -> AsyncGenerator[None]:
    """The third-party server, at a port of loopback."""
    node, program = command("everything")
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        node, program, "streamableHttp", env={**os.environ, "PORT": str(port)}, stdout=quiet, stderr=quiet
    )
    try:
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.05)
        yield
    finally:
        process.kill()
        await process.wait()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@peer
async def test_an_agent_uses_a_third_party_server_over_http_and_again_when_it_was_restarted():
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        async with everything(port):
            server = MCPTools(f"http://127.0.0.1:{port}/mcp", name="everything", prefix="all")
            await stack.enter_async_context(server)
            await ask_everything(server)
        async with everything(port):
            await ask_everything(server)  # it has forgotten the session


async def test_a_write_in_flight_when_its_server_dies_is_in_doubt_and_a_person_settles_it(tmp_path: Path):
    model = ScriptedModel([ToolCall("raw_die", {"text": "pay"}), "Over."])
    async with raw(tmp_path / "log") as server, Podium() as app:
        handle = await app.start(Agent("payer", model, [*server.tools]), "Pay")
        held = await handle.settled()
        assert (held.status, [item.why for item in held.pending]) == ("suspended", ["in_doubt"])
        assert "the connection was lost while the call was in flight" in held.pending[0].prompt
        await handle.answer(value="happened", result="paid")
        assert (await handle.result()).output == "Over."
    assert told(model) == ["paid"]


async def test_an_error_that_a_write_answers_with_is_told_to_the_model_and_asks_nobody(tmp_path: Path):
    model = ScriptedModel([ToolCall("raw_fail", {}), ToolCall("raw_refuse", {}), "I see."])
    async with raw(tmp_path / "log") as server:
        result = await run(model, server)
    assert (result.status, result.output) == ("succeeded", "I see.")
    fail, refuse = told(model)
    assert "fail answered with an error: out of stock" in fail
    assert "text must be short" in refuse
    log = (tmp_path / "log").read_text()
    assert log.count('"tools/call"') == 2  # neither was tried again


async def test_a_read_whose_server_dies_is_called_again_at_a_new_one(tmp_path: Path):
    model = ScriptedModel([ToolCall("raw_die", {}), "Too bad."])
    async with raw(tmp_path / "log", effects={"die": "read"}) as server:
        result = await run(model, server)
    assert result.output == "Too bad."
    assert (tmp_path / "log").read_text().count('"initialize"') >= 3


async def test_approval_of_a_tool_is_asked_before_the_server_sees_the_call(tmp_path: Path):
    model = ScriptedModel([ToolCall("raw_echo", {"text": "a"}), "Done."])
    log = tmp_path / "log"
    async with raw(log, approval={"echo": "always"}) as server, Podium() as app:
        handle = await app.start(Agent("asker", model, [*server.tools]), "Go")
        held = await handle.settled()
        assert held.status == "suspended"
        assert '"tools/call"' not in log.read_text()
        await handle.approve()
        assert (await handle.result()).output == "Done."
    assert log.read_text().count('"tools/call"') == 1
