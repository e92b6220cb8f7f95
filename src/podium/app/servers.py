"""`app.mcp`: the MCP servers of an app: reached when one of their tools is first needed, let go of when the app closes.

Most of what is done with an app (listing runs, approving one, a team without such tools) needs no server, and a server
that is dead must harm nobody who does not use it. So nothing is connected when the app opens: whoever names a tool that
is not in the registry yet has those servers asked that may have it, all at once. What they offer is kept in the
registry, with its permissions, as their lists change. A name is never taken from a tool of the app, and one that two
servers offer is nobody's. Above it is the runtime, which knows its `bring`; it knows `MCPTools`, and no wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, cast

import msgspec

from podium.core.errors import ConfigurationError, PodiumError, RunError
from podium.ports import Tool
from podium.ports.selectors import named, wild
from podium.runtime.services import Unreachable
from podium.tools.registry import ToolRegistry

if TYPE_CHECKING:
    from podium.tools.mcp import MCPServer, MCPTools

_MOST_NAMED = 50
"""Tools that are listed when none is called as somebody expected."""


class ServerState(msgspec.Struct, frozen=True):
    """What came of reaching a server."""

    name: str
    where: str
    """The command, or the address."""
    protocol: str | None = None
    """The revision that was agreed on; None when it was not reached."""
    tools: tuple[str, ...] = ()
    """The names of its tools in the registry."""
    skipped: dict[str, str] = {}
    """Tools that are not there although nobody excluded them, and why."""
    error: str = ""
    """Why it could not be reached, in one line."""


class _Server:
    """One server, and what is known of it."""

    def __init__(self, given: MCPTools | MCPServer) -> None:
        from podium.tools.mcp import MCPServer, MCPTools

        if not isinstance(cast("object", given), MCPTools | MCPServer):
            raise ConfigurationError(f"{given!r} in mcp= is no server: give MCPTools(url) or MCPTools.stdio(command)")
        self.given = given
        self.name = given.name
        self.live: MCPTools | None = None
        self.opening: asyncio.Task[None] | None = None
        self.error = ""
        self.extra: tuple[Tool, ...] = ()
        """What it offers beside its tools."""

    def may_offer(self, pattern: str) -> bool:
        """Whether it may have a tool that is so called, as far as that can be said without asking it."""
        from podium.tools.mcp import MCPServer
        from podium.tools.mcp.names import may_be

        if isinstance(self.given, MCPServer):
            return self.given.may_offer(pattern)
        options = self.given.options
        return may_be(pattern, options.prefix, options.include if options.pins is None else [*options.pins])

    def made(self, know: Callable[[Iterable[str]], None]) -> MCPTools:
        """The server, to be entered. Raises ConfigurationError for a secret that is missing."""
        from podium.tools.mcp import MCPServer

        given = self.given
        if not isinstance(given, MCPServer):
            return given
        tools = given.make(know)
        self.extra = (tools.resource_tool(),) if given.table.resources else ()
        return tools

    @property
    def where(self) -> str:
        """The command, or the address."""
        if self.live is not None:
            return self.live.where
        return self.given.where

    @property
    def offered(self) -> tuple[Tool, ...]:
        """What it offers now."""
        return () if self.live is None else (*self.live.tools, *self.extra)


class Servers:
    """The servers of one app, and the `Tools` of its runtime: the registry, and what servers add to it."""

    def __init__(self, registry: ToolRegistry, given: Sequence[MCPTools | MCPServer] = ()) -> None:
        self._registry = registry
        self._servers = [_Server(each) for each in given]
        names = [server.name for server in self._servers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigurationError(f"two MCP servers are named {twice[0]!r}: give one another name=")
        self._know: Callable[[Iterable[str]], None] | None = None
        """Told the secrets that servers are given; None while the app is not open."""
        self._ours: dict[str, Tool] = {}
        """What stands in the registry because a server offers it."""
        self._refused: dict[str, dict[str, str]] = {}
        """Names that a server's tools do not get, by server, and why."""
        self.get = registry.get
        self.called = registry.called

    def __len__(self) -> int:
        return len(self._servers)

    def opened(self, know: Callable[[Iterable[str]], None]) -> None:
        """The app is open: servers may be reached. `know` is told the secrets that they are given."""
        self._know = know

    async def bring(self, names: Sequence[str]) -> tuple[Tool, ...]:
        """The tools of names and patterns, in order, each once. See `podium.runtime.services.Tools`."""
        unknown = [name for name in names if wild(name) or name not in self._registry]
        asked = [server for server in self._servers if any(server.may_offer(name) for name in unknown)]
        if asked:
            await asyncio.gather(*[self._reach(server) for server in asked])
        found: dict[str, Tool] = {}
        for name in names:
            missing = [server for server in asked if server.live is None and server.may_offer(name)]
            tools = self._registry.find(name) if wild(name) else [self._registry.get(name)]
            if (wild(name) and missing) or not any(tools):
                raise self._missing(name, missing)
            found |= {tool.name: tool for tool in tools if tool is not None}
        return tuple(found.values())

    async def connect(self, timeout: float | None = None) -> tuple[ServerState, ...]:
        """Reach all servers now, and tell what came of it. Nothing is raised for one that cannot be reached, but
        RunError when the app is not open.

        `timeout` is in seconds: whoever has not answered by then is said not to have; its attempt goes on.
        """
        self._opened()
        if self._servers:
            waiting = [asyncio.ensure_future(self._reach(server)) for server in self._servers]
            _, late = await asyncio.wait(waiting, timeout=timeout)
            for task in late:
                task.cancel()
        return tuple([self._state(server, timeout) for server in self._servers])

    async def close(self) -> None:
        """Let go of all servers, and take their tools out of the registry. None is reached any more."""
        self._know = None
        await asyncio.gather(*[self._leave(server) for server in self._servers])
        self._offer()

    # ------------------------------------------------------------------------------------------------- connections

    def _opened(self) -> Callable[[Iterable[str]], None]:
        """Who is told secrets. Raises RunError when nobody would let go of a server that is reached now."""
        if self._know is None:
            raise RunError("the app is not open: use `async with Podium(...) as app:`")
        return self._know

    async def _reach(self, server: _Server) -> None:
        """Connect, unless that is done; all who want it wait for one attempt, and none of them can cancel it."""
        know = self._opened()
        if server.live is not None:
            return
        if server.opening is None or server.opening.done():
            opening = self._open(server, know)
            # A context of its own: what the server asks in the middle of a call does not belong to this run.
            server.opening = asyncio.get_running_loop().create_task(opening, context=contextvars.Context())
        await asyncio.shield(server.opening)

    async def _open(self, server: _Server, know: Callable[[Iterable[str]], None]) -> None:
        try:
            tools = server.made(know)
            tools.on_tools = self._offer
            await tools.__aenter__()
        except PodiumError as error:
            said = str(error)
            server.error = said if repr(server.name) in said else f"MCP server {server.name!r}: {said}"
        except Exception as error:  # noqa: BLE001  (a server, or the SDK, that fails in any way harms only its users)
            server.error = f"MCP server {server.name!r} cannot be used: {type(error).__name__}: {error}"
        else:
            server.live, server.error = tools, ""
            self._offer()

    async def _leave(self, server: _Server) -> None:
        if server.opening is not None:
            server.opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await server.opening
        live, server.live, server.opening, server.error = server.live, None, None, ""
        if live is not None:
            live.on_tools = None
            await live.__aexit__(None, None, None)

    # -------------------------------------------------------------------------------------------------------- names

    def _offer(self) -> None:
        """Let the registry hold what the servers offer now."""
        offers: dict[str, list[tuple[_Server, Tool]]] = {}
        for server in self._servers:
            for tool in server.offered:
                offers.setdefault(tool.name, []).append((server, tool))
        for name, tool in list(self._ours.items()):
            if [each for _, each in offers.get(name, ())] != [tool]:
                del self._ours[name]
                if self._registry.get(name, tool.version) is tool:
                    self._registry.unregister(name, tool.version)
        self._refused = {server.name: {} for server in self._servers}
        for name, offered in offers.items():
            if len(offered) > 1:
                who = " and ".join([repr(server.name) for server, _ in offered])
                why = f"the MCP servers {who} both offer {name!r}: give one of them a prefix, or exclude it"
            elif name in self._ours:
                continue
            elif name in self._registry:
                why = f"the app has a tool {name!r} of its own: give the server a prefix"
            else:
                self._ours[name] = self._registry.register(offered[0][1])
                continue
            for server, _ in offered:
                self._refused[server.name][name] = why

    def _missing(self, name: str, missing: Sequence[_Server]) -> ConfigurationError:
        """Why there is no tool that is so called."""
        if missing:
            return Unreachable(f"the tool {name!r} is not there, because {missing[0].error}")
        for server in self._servers:
            for skipped, why in self._skipped(server).items():
                if named((name,), skipped):
                    return ConfigurationError(f"there is no tool named {name!r}: {why}")
        if wild(name):
            return ConfigurationError(f"there is no tool whose name is like {name!r}")
        known = list(self._registry)
        if close := get_close_matches(name, known, 1, 0.6):
            return ConfigurationError(f"there is no tool named {name!r}: did you mean {close[0]!r}?")
        there = ", ".join(known[:_MOST_NAMED]) or "none"
        return ConfigurationError(f"there is no tool named {name!r}; the tools of the app are: {there}")

    def _skipped(self, server: _Server) -> dict[str, str]:
        """Names of a server's tools that are not to be had, and why."""
        from podium.tools.mcp.names import public_name

        if server.live is None:
            return {}
        prefix = server.live.options.prefix
        own = {public_name(original, prefix): why for original, why in server.live.skipped.items()}
        return {**own, **self._refused.get(server.name, {})}

    def _state(self, server: _Server, timeout: float | None) -> ServerState:
        if server.live is None:
            late = f"MCP server {server.name!r} ({server.where}) has not answered within {timeout or 0:g} s"
            return ServerState(server.name, server.where, error=server.error or late)
        ours: dict[str, Any] = self._ours
        names = tuple([tool.name for tool in server.offered if ours.get(tool.name) is tool])
        return ServerState(
            server.name, server.where, server.live.protocol_version, names, self._skipped(server), server.error
        )
