"""The MCP servers of `podium.toml`, reached for a moment: what they offer, for commands that list, check and explain.

No app is opened and no store is made; what was started is ended before the command goes on.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from .checks import Check

if TYPE_CHECKING:
    from podium.app import ServerState
    from podium.config import Config
    from podium.ports import Tool
    from podium.tools.mcp import MCPServer

GROUP = "MCP servers"
PATIENCE = 15.0
"""Seconds that all servers together have for their answer."""


class Reached(msgspec.Struct, frozen=True):
    """What came of reaching servers, and their tools by name."""

    states: tuple[ServerState, ...]
    tools: Mapping[str, Tool]


def reached(servers: Sequence[MCPServer]) -> Reached:
    """Reach servers, all at once, and let go of them. Nothing is raised for one that does not answer."""
    return asyncio.run(_reached(servers))


async def _reached(servers: Sequence[MCPServer]) -> Reached:
    from podium.app import Servers
    from podium.tools.registry import ToolRegistry

    registry = ToolRegistry()
    held = Servers(registry, servers)
    held.opened(lambda _: None)  # nothing is journaled; what a server says hides what it was given
    try:
        states = await held.connect(PATIENCE)
        return Reached(states, {name: registry[name] for name in registry})
    finally:
        await held.close()


def add_named(agents: dict[str, dict[str, Tool]], names: Mapping[str, tuple[str, ...]], config: Config) -> None:
    """Give agents the tools of servers that they name, for show. Says on stderr what is not there, and why."""
    from podium.ports.selectors import named

    wanted = [name for own in names.values() for name in own]
    asked = [server for server in config.mcp if any(server.may_offer(name) for name in wanted)]
    found = reached(asked) if asked else Reached((), {})
    for state in found.states:
        if state.error:
            sys.stderr.write(f"{state.error}\n")
    for agent, own in names.items():
        for name in own:
            tools = {tool.name: tool for tool in found.tools.values() if named((name,), tool.name)}
            agents.setdefault(agent, {}).update(tools)
            if not tools:
                why = "".join([f": {why}" for state in found.states if (why := state.skipped.get(name))])
                sys.stderr.write(f"{agent} names the tool {name!r}, which no server of podium.toml offers{why}\n")


def server_of(tool: Tool) -> str:
    """The MCP server that a tool is of; empty for another."""
    return next((tag.removeprefix("mcp:") for tag in tool.tags if tag.startswith("mcp:")), "")


# ------------------------------------------------------------------------------------------------------------- doctor


def checks(config: Config | None, *, online: bool = False) -> list[Check]:
    """The section of `podium doctor`: whether each server answers. One elsewhere is asked only if `online`."""
    servers: Sequence[MCPServer] = () if config is None else config.mcp
    asked = [server for server in servers if online or _here(server)]
    states = {state.name: state for state in (reached(asked).states if asked else ())}
    return [_check(server, states.get(server.name)) for server in servers]


def _here(server: MCPServer) -> bool:
    from podium.models.transport import is_loopback

    return server.table.command is not None or is_loopback(urlsplit(server.where).hostname or "")


def _check(server: MCPServer, state: ServerState | None) -> Check:
    from .words import count

    if state is None:
        return Check(GROUP, server.name, True, f"{server.where}: not asked", "podium doctor --online", configured=True)
    if state.error:
        remedy = "correct [mcp.servers] in podium.toml, or start the server"
        return Check(GROUP, server.name, False, state.error, remedy, configured=True, online=False)
    left_out = "".join([f"; {name} is left out: {why}" for name, why in state.skipped.items()])
    detail = f"{server.where}: protocol {state.protocol}, {count(len(state.tools), 'tool')}{left_out}"
    return Check(GROUP, server.name, True, detail, configured=True, online=True)


def document(found: Reached, told: Any) -> list[dict[str, Any]]:
    """What servers offer, as JSON. `told` gives a tool's own."""
    return [
        {**msgspec.to_builtins(state), "tools": [told(found.tools[name]) for name in state.tools]}
        for state in found.states
    ]
