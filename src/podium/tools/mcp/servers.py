"""A server as data: what `[mcp.servers.NAME]` says of one, checked as far as can be without it, and made into MCPTools.

Values only, until `make`: nothing is connected, no secret is read, and a server may be described where the extra is
missing. What names its tools may have follows from these values, so that whoever looks for a tool need not ask every
server. It knows no app and no file format.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast
from urllib.parse import parse_qsl, urlsplit

import msgspec

from podium.core.errors import ConfigurationError
from podium.core.redaction import is_sensitive
from podium.policy.file import entry
from podium.ports import Effect, Reach

from .client import MCPTools
from .names import may_be
from .options import Http, MCPOptions, Stdio, checked

Know: TypeAlias = Callable[[list[str]], object]
"""Told of secrets that were read, before anything is sent, so that they are kept out of what is written."""
RESOURCES: Final = "query_external_resource"
_MOST_SECRET: Final = 64 << 10
"""Bytes of a file that holds a secret."""
_WRITE: Final = 'write { env = "NAME" } (an environment variable) or { file = "PATH" }'
_PROGRAM: Final = ("args", "env", "cwd")
_ADDRESS: Final = ("headers", "auth", "transport")
_OWN: Final = frozenset({"command", "url", "prefix", "resources", "roots", *_PROGRAM, *_ADDRESS})


class Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`{ env = "NAME" }` or `{ file = "PATH" }`: where a value is kept that must not stand in a configuration."""

    env: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        return f"the environment variable {self.env}" if self.env else f"the file {self.file}"


Value: TypeAlias = str | Secret


class ServerTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of `[mcp.servers.NAME]`: `command` and what goes with it, or `url`, and options in the words of
    `MCPOptions`."""

    command: str | None = None
    args: tuple[Value, ...] = ()
    env: dict[str, Value] = {}
    cwd: str | None = None
    """Relative to the folder of the configuration, which it is by default."""
    url: Value | None = None
    transport: Literal["http", "sse"] | None = None
    headers: dict[str, Value] = {}
    auth: Secret | None = None
    """A bearer token, read for each request."""
    prefix: str | None = None
    """The server's name by default, so that no two servers have a tool of one name; empty for none."""
    resources: bool = False
    """Whether agents may also find and read its resources, with `PREFIX_query_external_resource`."""
    include: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    effects: dict[str, Effect] = {}
    reach: dict[str, Reach] = {}
    trust_hints: bool = False
    approval: Literal["always", "never"] | dict[str, Literal["always", "never"]] = "never"
    doubtful: tuple[str, ...] = ()
    pins: dict[str, str] | None = None
    roles: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    timeout: float | None = None
    connect_timeout: float = 30.0
    request_timeout: float = 60.0
    output_limit: int = 200_000
    message_limit: int = 8 * 1024 * 1024
    protocol: str = "auto"
    roots: tuple[str, ...] = ()


class MCPServer(msgspec.Struct, frozen=True):
    """One server of a configuration."""

    name: str
    table: ServerTable
    folder: str
    """What relative paths are relative to."""

    @classmethod
    def parse(cls, name: str, value: object, where: str, folder: str | Path) -> MCPServer:
        """A server from plain values. Raises ConfigurationError, one line that begins with `where`."""
        server = cls(name, entry(value, ServerTable, where), str(Path(folder).absolute()))
        try:
            server.check()
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error}") from None
        return server

    def check(self) -> None:
        """That the values go together. Raises ConfigurationError."""
        table = self.table
        if (table.command is None) == (table.url is None):
            raise ConfigurationError("give command (a program) or url (an address), one of them")
        kind, other, keys = ("url", "command", _PROGRAM) if table.command is None else ("command", "url", _ADDRESS)
        for key in keys:
            if getattr(table, key):
                raise ConfigurationError(f"{key} goes with {other}, not with {kind}: leave it out")
        values: dict[str, Value | None] = {"url": table.url, "auth": table.auth}
        values |= {f"args[{position}]": value for position, value in enumerate(table.args)}
        for field, given in (("env", table.env), ("headers", table.headers)):
            for key, value in given.items():
                values[f"{field}.{key}"] = value
                if isinstance(value, str) and is_sensitive(key):
                    raise ConfigurationError(f"{field}.{key} is a secret, which has no place here: {_WRITE}")
        for where, value in values.items():
            if isinstance(value, Secret) and (value.env is None) == (value.file is None):
                raise ConfigurationError(f"{where}: {_WRITE}")
        if isinstance(table.url, str):
            _address(table.url)
        checked(Stdio(command=table.command or "url"), self.options)

    @property
    def where(self) -> str:
        """The command, or the address without what may be secret in it."""
        table = self.table
        if table.command is not None:
            return table.command
        return str(table.url) if isinstance(table.url, Secret) else str(Http(url=table.url or ""))

    @property
    def prefix(self) -> str | None:
        """What its tools' names begin with, before `_`."""
        given = self.table.prefix
        return (self.name if given is None else given) or None

    @property
    def options(self) -> MCPOptions:
        """The options of `MCPTools`."""
        table = self.table
        given = {name: getattr(table, name) for name in table.__struct_fields__ if name not in _OWN}
        roots = [root if ":" in root else str(Path(self.folder) / Path(root).expanduser()) for root in table.roots]
        return cast("MCPOptions", {**given, "name": self.name, "prefix": self.prefix, "roots": roots})

    def may_offer(self, pattern: str) -> bool:
        """Whether it may have a tool that this name or pattern means. It is not asked."""
        table = self.table
        only = table.include if table.pins is None else [*table.pins]
        if only is not None and table.resources:
            only = [*only, RESOURCES]
        return may_be(pattern, self.prefix, only)

    def make(self, know: Know) -> MCPTools:
        """The server, ready to be entered. Raises ConfigurationError for a secret that is not there."""
        table = self.table
        secrets: list[str] = []

        def note(found: list[str]) -> None:
            know(found)
            secrets.extend(found)

        if table.command is not None:
            cwd = Path(self.folder) / Path(table.cwd or "").expanduser()
            args = [self._read(f"args[{position}]", value, note) for position, value in enumerate(table.args)]
            env = self._all("env", table.env, note)
            tools = MCPTools.stdio(table.command, args, env=env, cwd=cwd, **self.options)
        else:
            tools = self._at(self._read("url", table.url or "", note), self._all("headers", table.headers, note), know)
        tools.hide(secrets)
        return tools

    def _at(self, url: str, headers: Mapping[str, str], know: Know) -> MCPTools:
        """The server at an address."""
        table = self.table
        _address(url, given=isinstance(table.url, str))

        def token(secret: Secret) -> str:
            return self._read("auth", secret, lambda found: (know(found), tools.hide(found)))

        auth = table.auth
        tools = MCPTools(
            url,
            headers=headers,
            auth=None if auth is None else lambda: token(auth),
            transport=table.transport or "http",
            **self.options,
        )
        return tools

    def _all(self, field: str, given: Mapping[str, Value], know: Know) -> dict[str, str]:
        return {key: self._read(f"{field}.{key}", value, know) for key, value in given.items()}

    def _read(self, key: str, value: Value, know: Know) -> str:
        if isinstance(value, str):
            return value
        found = os.environ.get(value.env, "").strip() if value.env else self._content(key, value.file or "")
        if not found:
            what = "is not set" if value.env else "is empty"
            raise ConfigurationError(f"MCP server {self.name!r}: {value}, which {key} names, {what}")
        if not found.isprintable():
            raise ConfigurationError(
                f"MCP server {self.name!r}: {value}, which {key} names, holds line ends or controls"
            )
        know([found])
        return found

    def _content(self, key: str, file: str) -> str:
        try:
            with (Path(self.folder) / Path(file).expanduser()).open("rb") as opened:
                return opened.read(_MOST_SECRET).decode("utf-8", "replace").strip()
        except OSError as error:
            raise ConfigurationError(
                f"MCP server {self.name!r}: the file {file}, which {key} names, cannot be read "
                f"({error.strerror or error})"
            ) from None


def _address(url: str, *, given: bool = True) -> None:
    """That a URL is one, and one that was written into a configuration holds no secret. It is not repeated."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        raise ConfigurationError("url is no http(s) address") from None
    if not whole:
        raise ConfigurationError("url is no http(s) address")
    if given and (parts.password or any(is_sensitive(name) for name, _ in parse_qsl(parts.query))):
        raise ConfigurationError('url holds a secret, which has no place here: write url = { env = "NAME" }')
