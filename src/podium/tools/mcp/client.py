"""`MCPTools`: the tools, resources and prompts of one MCP server, for agents.

It keeps what the server offers and decides what of it is offered on; the connection below keeps itself up, and the
tools it makes are `DescribedTool`s, which the runtime performs behind its gate like any other. A tool is bound to the
definition it was made from: when the server changes that, the tool refuses to be called, and `tools` has its successor.
"""

from __future__ import annotations

import asyncio
import difflib
import importlib
import importlib.util
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar, cast

from typing_extensions import Unpack

from podium.core.errors import ConfigurationError, MissingExtra, StepFailed, ToolError, ToolValidationError
from podium.core.labels import untrusted
from podium.core.messages import Message
from podium.core.redaction import without
from podium.ports import ToolContext

from .catalog import Prompt, Resource, address, found, prompt_of, resource_of
from .connection import Connection
from .content import contents_of, cut, error_text, message_of, result_of
from .names import public_name, table
from .options import Http, MCPOptions, Stdio, Target, checked
from .wording import clean, line

if TYPE_CHECKING:
    from mcp import Client

    from podium.tools.described import DescribedTool

    from .definitions import Definition

T = TypeVar("T")
PAGES: Final = 100
"""Pages of one list; a server whose list never ends is cut off here."""
MOST_TOOLS: Final = 1000
"""Tools (resources, prompts) of one server."""
_log = logging.getLogger("podium")


class MCPTools:
    """An MCP server, entered with `async with`; its `tools` go into `Agent(tools=[*server.tools])`.

    Args:
        url: the address of a server (streamable HTTP). For a program use `MCPTools.stdio`.
        headers: sent with every request, to this address only.
        auth: a bearer token, a function that gives one (async or not), or an `httpx2.Auth`, such as the SDK's
            `mcp.client.auth.OAuthClientProvider`.
        transport: `http`; `sse` for servers that only have the transport of 2024.
        options: see `MCPOptions`.

    Every result is labelled untrusted, from `mcp:NAME`. Every tool is a `write` that reaches `external` things until
    `effects` and `reach` say otherwise. Raises ConfigurationError for options that cannot be, and when the server
    cannot be started or reached; MissingExtra without the extra `mcp`.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: Any = None,
        transport: Literal["http", "sse"] = "http",
        **options: Unpack[MCPOptions],
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError(
                f"MCP server {url!r}: give an http(s) address, or start a program with MCPTools.stdio"
            )
        self._set_up(Http(url=url, headers=dict(headers or {}), auth=auth, transport=transport), options)

    @classmethod
    def stdio(
        cls,
        command: str,
        args: Sequence[str] = (),
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | Path | None = None,
        **options: Unpack[MCPOptions],
    ) -> Self:
        """A server that is a program, started when it is entered and ended with its process group when it is left.

        It sees `PATH`, `HOME`, `LANG` and the like of our environment, and `env`; no other variable, so no secret that
        was not given. `cwd` is its working folder; ours by default. There is no shell.
        """
        if isinstance(args, str):
            raise ConfigurationError(f"MCP server {command!r}: args= takes a list of texts, not one text")
        server = cls.__new__(cls)
        target = Stdio(command=command, args=tuple(args), env=dict(env or {}), cwd=None if cwd is None else str(cwd))
        server._set_up(target, options)
        return server

    def _set_up(self, target: Target, options: MCPOptions) -> None:
        self.options = checked(target, options)
        self._connection = Connection(target, self.options, on_connected=self._connected, on_changed=self._changed)
        self._entered = False
        self._changes = self._seen = 0
        self._refreshing: asyncio.Task[None] | None = None
        self._listing = asyncio.Lock()
        self._definitions: dict[str, Definition] = {}
        self._offered: dict[str, DescribedTool] = {}
        self._skipped: dict[str, str] = {}
        self.on_tools: Callable[[], None] | None = None
        """Called on its loop each time its list of tools was asked for."""

    def __repr__(self) -> str:
        return f"<MCPTools {self.options.name} {self._connection.target}>"

    async def __aenter__(self) -> Self:
        if importlib.util.find_spec("mcp") is None:
            raise MissingExtra(f"the MCP server {self.options.name!r}", "mcp")
        if self._entered:
            raise ConfigurationError(f"MCP server {self.options.name!r} is entered already: enter it once and share it")
        self._entered = True
        self._listing = asyncio.Lock()
        try:
            await asyncio.to_thread(importlib.import_module, "mcp")  # half a second in which the loop would stand still
            await self._connection.open()
        except BaseException:
            self._entered = False
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered = False
        if self._refreshing is not None:
            self._refreshing.cancel()
        await self._connection.close()

    # ------------------------------------------------------------------------------------------------ what there is

    @property
    def name(self) -> str:
        """What the server is called in labels, tags and messages."""
        return self.options.name

    @property
    def where(self) -> str:
        """The command, or the address without what may be secret in it."""
        return str(self._connection.target)

    @property
    def tools(self) -> tuple[DescribedTool, ...]:
        """The tools it offers now, in its order. Raises ConfigurationError when it is not entered."""
        if not self._entered:
            raise ConfigurationError(
                f"MCP server {self.options.name!r} is not connected: write `async with {self.options.name} as server:` "
                "around its use"
            )
        return tuple(self._offered.values())

    @property
    def definitions(self) -> dict[str, str]:
        """The digest of each tool's definition, by the server's name of the tool: what `pins` takes."""
        return {definition.original: definition.digest for definition in self._definitions.values()}

    @property
    def skipped(self) -> dict[str, str]:
        """Tools that are not offered although nobody excluded them, and why (a schema that is none, a pin)."""
        return dict(self._skipped)

    @property
    def protocol_version(self) -> str | None:
        """The protocol revision of the present connection; None when there is none."""
        client = self._connection.client
        return None if client is None else client.protocol_version

    @property
    def instructions(self) -> str:
        """What the server says about its use, cleaned. Untrusted; put it into a prompt only if you would paste it."""
        client = self._connection.client
        return "" if client is None else clean(client.instructions or "", 10_000)

    @property
    def stderr(self) -> str:
        """The end of what a server program wrote to standard error (8 KiB)."""
        process = self._connection.process
        return "" if process is None else process.stderr

    @property
    def pid(self) -> int | None:
        """The process of a server program, which is also its process group; None for a server at an address."""
        process = self._connection.process
        return None if process is None else process.pid

    def hide(self, secrets: Sequence[str]) -> None:
        """Keep these out of whatever the server says, as is done with what it was given under a name that tells."""
        self._connection.hide(secrets)

    def original(self, name: str) -> str:
        """The server's own name of a tool. Raises ConfigurationError for a tool it does not offer."""
        definition = self._definitions.get(name)
        if definition is None:
            raise ConfigurationError(f"MCP server {self.name!r} offers no tool {name!r}")
        return definition.original

    async def refresh(self) -> tuple[DescribedTool, ...]:
        """Ask for the list of tools again; the tools as they are now. Agents made from earlier ones keep those."""
        await self._ask("the list of tools", self._list)
        return self.tools

    async def ping(self) -> None:
        """Return if the server answers; raises like a call. Reconnects if the connection is gone."""

        async def request(client: Client) -> None:
            from mcp_types.version import MODERN_PROTOCOL_VERSIONS

            if client.protocol_version in MODERN_PROTOCOL_VERSIONS:
                await client.session.send_discover(client.protocol_version)  # it has no ping any more
            else:
                await client.session.send_ping()

        await self._ask("ping", request)

    # -------------------------------------------------------------------------------------------- resources, prompts

    async def resources(self) -> tuple[Resource, ...]:
        """The resources and, behind them, the resource templates; none when the server has none."""

        async def request(client: Client) -> tuple[Resource, ...]:
            if client.server_capabilities.resources is None:
                return ()
            plain = await _all(lambda cursor: client.list_resources(cursor=cursor), "resources")
            templates = await _all(lambda cursor: client.list_resource_templates(cursor=cursor), "resource_templates")
            return tuple(resource_of(item) for item in [*plain, *templates])

        return await self._ask("the list of resources", request)

    async def read_resource(self, uri: str) -> list[dict[str, Any]]:
        """The contents at an address: each a `uri`, perhaps a `mime_type`, and `text`, or `data` as base64.

        All together at most `output_limit` characters. Raises ToolValidationError for an address it does not know.
        """
        result = await self._ask(f"the resource {line(uri, 200)}", lambda client: client.read_resource(uri))
        left, contents = self.options.output_limit, list[dict[str, Any]]()
        for item in result.contents[:MOST_TOOLS]:
            contents.append(contents_of(item, left))
            left = max(0, left - len(contents[-1].get("text") or contents[-1].get("data") or ""))
        return without(self._connection.secrets, contents)

    async def prompts(self) -> tuple[Prompt, ...]:
        """The prompts it offers; none when it has none."""

        async def request(client: Client) -> tuple[Prompt, ...]:
            if client.server_capabilities.prompts is None:
                return ()
            listed = await _all(lambda cursor: client.list_prompts(cursor=cursor), "prompts")
            return tuple(prompt_of(item) for item in listed)

        return await self._ask("the list of prompts", request)

    async def get_prompt(self, name: str, args: Mapping[str, str] | None = None) -> tuple[Message, ...]:
        """A prompt with its arguments filled in, as messages. Their text is the server's: untrusted."""
        given = dict(args or {})
        result = await self._ask(f"the prompt {line(name, 100)!r}", lambda client: client.get_prompt(name, given))
        return tuple(message_of(message, self.options.output_limit) for message in result.messages[:MOST_TOOLS])

    def resource_tool(self, name: str = "query_external_resource") -> DescribedTool:
        """A `read` tool by which a model finds and reads the resources: `query_external_resource(type, query)`.

        `type` is `search` (then `query` is words, and the result a list of what there is), `resource` (an address or
        a name), the name of a resource template (what to fill in), or a scheme of the server's addresses.
        """
        from podium.tools.described import DescribedTool

        async def call(args: dict[str, Any], _ctx: ToolContext) -> Any:
            known = await self.resources()
            uri = address(known, args["type"], args["query"])
            return found(known, args["query"]) if uri is None else await self.read_resource(uri)

        return DescribedTool(
            public_name(name, self.options.prefix),
            description=(
                f"Find and read resources of the external source {self.name}. With type 'search' the query is words, "
                "and the result lists resources with their uri; with type 'resource' the query is such a uri or a "
                "name, and the result is its contents; with the name of a template as type, the query fills it in."
            ),
            parameters={
                "type": "object",
                "properties": {
                    "type": {"type": "string", "description": "search, resource, a template's name, or a uri scheme"},
                    "query": {"type": "string", "description": "words, a uri, a name, or a template's values"},
                },
                "required": ["type", "query"],
                "additionalProperties": False,
            },
            call=call,
            effect="read",
            label=untrusted(f"mcp:{self.name}"),
            roles=tuple(self.options.roles),
            timeout=self.options.timeout,
            tags=("mcp", f"mcp:{self.name}", *self.options.tags),
        )

    # ---------------------------------------------------------------------------------------------------- the tools

    async def _ask(self, what: str, request: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        return await self._connection.ask(f"{self.name}: {what}", request, self.options.request_timeout)

    async def _connected(self, client: Client) -> None:
        await self._list(client)

    def _changed(self) -> None:
        """The server says that its tools changed: no call before the list was asked for again; do that now."""
        self._changes += 1
        if self._entered and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.ensure_future(self._catch_up())

    async def _catch_up(self) -> None:
        try:
            while self._seen != self._changes:
                await self.refresh()
                await asyncio.sleep(0.1)  # a server that announces without end gets no more than this
        except (StepFailed, ConfigurationError) as error:
            _log.warning("MCP server %r said that its tools changed, and then: %s", self.name, error)

    async def _list(self, client: Client) -> None:
        async with self._listing:
            changes = self._changes  # one that is announced while we ask may not be in the answer
            listed = []
            if client.server_capabilities.tools is not None:
                listed = await _all(lambda cursor: client.list_tools(cursor=cursor), "tools")
            self._take(listed)
            self._seen = changes

    def _take(self, listed: Sequence[Any]) -> None:
        """Make of the server's list what is offered; tools whose definition is as before stay the objects they are."""
        from .definitions import define, offered

        options = self.options
        names = {tool.name for tool in listed}
        for field in ("include", "effects", "reach", "doubtful", "pins"):
            self._all_known(field, getattr(options, field), names)
        if isinstance(options.approval, Mapping):
            self._all_known("approval", cast("Mapping[str, Any]", options.approval), names)
        wanted = [tool for tool in listed if self._wanted(tool.name)]
        definitions: dict[str, Definition] = {}
        tools: dict[str, DescribedTool] = {}
        skipped: dict[str, str] = {}
        for name, original in table(self.name, [tool.name for tool in wanted], options.prefix).items():
            try:
                definition = define(next(tool for tool in wanted if tool.name == original))
                self._pinned(definition)
                before = self._definitions.get(name)
                same = before is not None and before.digest == definition.digest
                tools[name] = (
                    self._offered[name] if same else offered(name, definition, options, self._caller(definition))
                )
            except MissingExtra:
                raise
            except (ValueError, ConfigurationError) as error:
                skipped[original] = str(error)
                _log.warning("MCP server %r: the tool %r is left out: %s", self.name, line(original, 80), error)
            else:
                definitions[name] = definition
        self._definitions, self._offered, self._skipped = definitions, tools, skipped
        if self.on_tools is not None:
            self.on_tools()

    def _pinned(self, definition: Definition) -> None:
        pinned = None if self.options.pins is None else self.options.pins.get(definition.original)
        if pinned is not None and pinned != definition.digest:
            raise ValueError(f"its definition ({definition.digest}) is not the one pinned ({pinned})")

    def _wanted(self, original: str) -> bool:
        include, pins = self.options.include, self.options.pins
        return (
            (include is None or original in include)
            and original not in self.options.exclude
            and (pins is None or original in pins)
        )

    def _all_known(self, field: str, given: Any, names: set[str]) -> None:
        """Refuse options that name a tool the server does not have: a typing error in `effects` must not stay unseen.

        Only at the first list. Later the server may withdraw a tool, which is no mistake of the user's.
        """
        if self._definitions:
            return
        for name in given or ():
            if name not in names:
                near = list[str](difflib.get_close_matches(str(name), names, 1)) or sorted(names)[:20]
                raise ConfigurationError(
                    f"MCP server {self.name!r}: {field}= names {name!r}, which it does not offer; did you mean "
                    f"{', '.join(near) or 'another server'}?"
                )

    def _caller(self, definition: Definition) -> Callable[[dict[str, Any], ToolContext], Coroutine[Any, Any, Any]]:
        async def call(args: dict[str, Any], ctx: ToolContext) -> Any:
            return await self._call(definition, args, ctx)

        return call

    async def _call(self, definition: Definition, args: dict[str, Any], ctx: ToolContext) -> Any:
        original = definition.original
        what = f"{self.name}: {line(original, 80)}"

        async def heard(progress: float, total: float | None, message: str | None) -> None:
            ctx.report(
                line(without(self._connection.secrets, message or "")),
                min(1.0, max(0.0, progress / total)) if total else None,
            )

        async def request(client: Client) -> Any:
            # Here, not before: the connection may be another than a moment ago, and so may what it offers.
            if self._seen != self._changes:
                await self._list(client)
            self._still(definition)
            return await client.call_tool(original, args, progress_callback=heard)

        result = await self._connection.ask(what, request, None)
        limit, secrets = self.options.output_limit, self._connection.secrets
        if result.is_error:
            told = without(secrets, error_text(result, limit))
            said = clean(cut(told, limit), limit + 100) or "it gives no reason"
            if original in self.options.doubtful:
                raise ToolError(f"{what} answered with an error: {said}")
            # The server has answered, so what came of the call is known; a failure that is known is not in doubt.
            raise ToolValidationError(f"{what} answered with an error: {said}", where="server")
        return without(secrets, result_of(result, limit))

    def _still(self, definition: Definition) -> None:
        """Raise if the server no longer offers the tool as it was when the agent was given it."""
        original = definition.original
        now = self._definitions.get(public_name(original, self.options.prefix))
        if now is None:
            why = self._skipped.get(original)
            raise ToolValidationError(
                f"{self.name} no longer offers {original}{f': {why}' if why else ''}; do without it"
            )
        if now.digest != definition.digest:
            raise ToolValidationError(
                f"{self.name} changed the definition of {original} since this agent was given it, so it is not called; "
                "do without it, and have the developer read the new one and build the agent anew from server.tools"
            )


def together(*servers: MCPTools) -> tuple[DescribedTool, ...]:
    """The tools of several servers, for one agent. Raises ConfigurationError when two of them share a name."""
    owners: dict[str, MCPTools] = {}
    for server in servers:
        for tool in server.tools:
            other = owners.setdefault(tool.name, server)
            if other is not server:
                raise ConfigurationError(
                    f"the MCP servers {other.name!r} and {server.name!r} both offer {tool.name!r}: give one of them a "
                    "prefix=, or leave the tool out with exclude="
                )
    return tuple(tool for server in servers for tool in server.tools)


async def _all(ask: Callable[[str | None], Coroutine[Any, Any, Any]], field: str) -> list[Any]:
    """All pages of a list, within bounds."""
    items: list[Any] = []
    cursor: str | None = None
    for _ in range(PAGES):
        page = await ask(cursor)
        items += getattr(page, field)
        cursor = page.next_cursor
        if cursor is None or len(items) >= MOST_TOOLS:
            break
    return items[:MOST_TOOLS]
