"""What a server on the official SDK offers, over every transport and at its newest revision and an older one."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from podium.core.errors import ConfigurationError, ToolError, ToolValidationError
from podium.core.labels import untrusted
from podium.core.messages import user
from podium.ports import ToolContext
from podium.tools.mcp import Elicitation, MCPTools

SERVER = Path(__file__).parent / "sdk_server.py"
NEWEST = "2026-07-28"
Entered = Callable[..., AbstractAsyncContextManager[MCPTools]]


@asynccontextmanager
async def listening(kind: str) -> AsyncGenerator[str]:
    """The server at an address, once it can be reached."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SERVER), kind, str(port), stderr=asyncio.subprocess.DEVNULL, env=dict(os.environ)
    )
    try:
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{port}/{'mcp' if kind == 'http' else 'sse'}"
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def over(transport: str, **options: Any) -> AsyncGenerator[MCPTools]:
    options = {"name": "sdk", **options}
    if transport == "stdio":
        async with MCPTools.stdio(sys.executable, [str(SERVER), "stdio"], **options) as server:
            yield server
        return
    kind = "sse" if transport == "sse" else "http"
    async with listening(transport) as url, MCPTools(url, transport=kind, **options) as server:
        yield server


async def call(server: MCPTools, name: str, ctx: ToolContext | None = None, **args: Any) -> Any:
    tool = {tool.name: tool for tool in server.tools}[name]
    return await tool.invoke(tool.resolve(args), ctx or ToolContext(run_id="r", key="k"))


TRANSPORTS = [
    ("stdio", "auto", NEWEST),
    ("http", "auto", NEWEST),
    ("http", "legacy", "2025-11-25"),
    pytest.param("sse", "legacy", "2025-11-25", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("transport", "protocol", "revision"), TRANSPORTS)
async def test_tools_resources_and_prompts_come_over_every_transport(transport: str, protocol: str, revision: str):
    async with over(transport, protocol=protocol) as server:
        assert server.protocol_version == revision
        assert server.instructions == "Ask for one thing at a time."
        assert await call(server, "weather", city="Oslo") == {"celsius": 21.5, "wind": "calm in Oslo"}
        words, dot = await call(server, "picture")
        assert words == {"type": "text", "text": "a dot"}
        assert (dot["mime_type"], base64.b64decode(dot["data"])) == ("image/png", b"\x89PNG dot")
        assert {item.name: item.template for item in await server.resources()} == {
            "catalogue": False,
            "logo": False,
            "item": True,
        }
        assert (await server.read_resource("shop://catalogue"))[0]["text"] == "yarn, needles"
        assert base64.b64decode((await server.read_resource("shop://logo"))[0]["data"]) == b"\x89PNG"
        assert [(prompt.name, prompt.arguments[0].name) for prompt in await server.prompts()] == [("haggle", "thing")]
        assert await server.get_prompt("haggle", {"thing": "yarn"}) == (user("Ask for a better price of yarn."),)
        await server.ping()


@pytest.mark.parametrize(("transport", "protocol", "revision"), TRANSPORTS)
async def test_a_tool_that_appears_is_announced_and_offered(transport: str, protocol: str, revision: str):
    async with over(transport, protocol=protocol) as server:
        assert "grown" not in {tool.name for tool in server.tools}
        await call(server, "grow")
        async with asyncio.timeout(30):
            while "grown" not in {tool.name for tool in server.tools}:  # noqa: ASYNC110  (an announcement, on its way)
                await asyncio.sleep(0.01)
        assert await call(server, "grown") == "grown"


async def test_a_servers_question_is_answered_by_the_handler_and_progress_is_reported():
    asked: list[Elicitation] = []
    seen: list[tuple[str, float | None]] = []

    async def answer(question: Elicitation) -> dict[str, Any]:
        asked.append(question)
        return {"size": "XL"}

    ctx = ToolContext(run_id="r", key="k", report=lambda message, fraction: seen.append((message, fraction)))
    async with over("stdio", elicit=answer, protocol="legacy") as server:
        assert await call(server, "knit", ctx) == {"result": "accept XL"}
    assert asked[0].message == "Which size?"
    assert asked[0].schema["properties"]["size"]["default"] == "M"
    assert seen == [("yarn found", 0.25)]


async def test_a_servers_question_is_declined_when_the_handler_declines_or_fails():
    async def decline(_question: Elicitation) -> None:
        return None

    async def fail(_question: Elicitation) -> dict[str, Any]:
        raise RuntimeError("the person has left")

    for handler in (decline, fail):
        async with over("stdio", elicit=handler, protocol="legacy") as server:
            assert await call(server, "knit") == {"result": "decline -"}


@pytest.mark.parametrize("protocol", ["auto", "legacy"])
async def test_a_person_a_model_and_folders_are_given_to_a_server_at_every_revision(protocol: str, tmp_path: Path):
    requests: list[dict[str, Any]] = []

    async def answer(_question: Elicitation) -> dict[str, Any]:
        return {"size": "S"}

    async def write(request: dict[str, Any]) -> str:
        requests.append(request)
        return "Yarn, o yarn"

    async with over("stdio", elicit=answer, sample=write, roots=[tmp_path], protocol=protocol) as server:
        assert await call(server, "fit") == {"result": "accept S"}
        assert await call(server, "poem") == {"result": "Yarn, o yarn"}
        assert await call(server, "folders") == {"result": tmp_path.as_uri()}
    assert (requests[0]["maxTokens"], requests[0]["messages"][0]["content"]["text"]) == (50, "Write of yarn.")


async def test_without_a_handler_a_server_cannot_ask_at_all():
    async with over("stdio", protocol="legacy") as server:
        with pytest.raises(ToolError, match="Elicitation not supported"):
            await call(server, "knit")
    async with over("stdio") as server:
        for name in ("fit", "poem", "folders"):
            with pytest.raises(ToolValidationError, match="was refused by the server"):
                await call(server, name)


async def test_a_model_finds_reads_and_fills_in_resources_with_one_tool():
    async with over("stdio", prefix="shop") as server:
        tool = server.resource_tool()

        async def query(type: str, query: str) -> Any:
            return await tool.invoke(tool.resolve({"type": type, "query": query}), ToolContext(run_id="r", key="k"))

        assert (tool.name, tool.effect, tool.label) == ("shop_query_external_resource", "read", untrusted("mcp:sdk"))
        assert [found["uri"] for found in await query("search", "all THINGS")] == ["shop://catalogue"]
        assert (await query("resource", "catalogue"))[0]["text"] == "yarn, needles"
        assert (await query("resource", "shop://item/yarn/7"))[0]["text"] == "yarn number 7"
        assert (await query("item", '{"kind": "yarn", "number": 8}'))[0]["text"] == "yarn number 8"
        assert (await query("shop", "catalogue"))[0]["text"] == "yarn, needles"
        with pytest.raises(ToolValidationError, match="takes a JSON object with kind, number as its query"):
            await query("item", "8")
        with pytest.raises(ToolValidationError, match="the types are: search, resource, item, shop"):
            await query("database", "8")
        with pytest.raises(ToolValidationError, match="no resource is called 'nothing'"):
            await query("resource", "nothing")


async def test_a_revision_that_is_no_revision_is_said():
    with pytest.raises(ConfigurationError, match=r"cannot be reached: mode must be 'legacy', 'auto'"):
        async with over("stdio", protocol="1999-01-01"):
            pass
