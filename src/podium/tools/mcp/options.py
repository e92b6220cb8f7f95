"""What a user may say about an MCP server, as frozen values, checked when they are made.

Here is no connection and no SDK: a server can be described (in a module, in a team's file) where the extra is missing.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast, get_args
from urllib.parse import urlsplit

import msgspec
from typing_extensions import TypedDict

from podium.core.errors import ConfigurationError
from podium.core.redaction import SHORTEST_TOLD, secrets_in, spellings
from podium.ports import Effect, Reach

Approval: TypeAlias = Literal["always", "never"] | Callable[[dict[str, Any]], bool]
Protocol: TypeAlias = Literal["auto", "legacy"] | str

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,32}")
_EFFECTS: Final = get_args(Effect)
_REACHES: Final = get_args(Reach)


class Elicitation(msgspec.Struct, frozen=True, kw_only=True):
    """A server's question to the person behind the client, in the middle of a call. Its text is untrusted."""

    message: str
    schema: dict[str, Any] = {}
    """The JSON schema of the answer: a flat object. Empty when the person is to open `url` instead."""
    url: str | None = None


Elicit: TypeAlias = Callable[[Elicitation], Awaitable[dict[str, Any] | None]]
"""Answers an `Elicitation`: the content, `{}` for "I opened the address", or None to decline."""
Sample: TypeAlias = Callable[[dict[str, Any]], Awaitable[str]]
"""Answers `sampling/createMessage` (its parameters, as JSON) with a model's text."""


class MCPOptions(TypedDict, total=False):
    """The options of `MCPTools` that do not depend on the transport. All are keyword-only and may be left out."""

    name: str
    """What the server is called in labels, tags and messages (letters, digits, `_`, `-`; at most 32). From the
    command or host by default."""
    prefix: str | None
    """Put before the name of each tool: `github` gives `github_search`. None."""
    include: Sequence[str] | None
    """Names of the tools to offer, as the server spells them; None is all. One that does not exist is an error."""
    exclude: Sequence[str]
    """Names of tools never to offer."""
    effects: Mapping[str, Effect]
    """How calls may be repeated, by the server's name of the tool; `write` for all others."""
    reach: Mapping[str, Reach]
    """What harm calls can do, by the server's name of the tool; `external` for all others."""
    trust_hints: bool
    """Whether the server's hints (`readOnlyHint`, ...) may relax effects and reach. False: they only raise them."""
    approval: Approval | Mapping[str, Approval]
    """Whether a person is asked before a call: for all tools, or by the server's name of the tool. `never`."""
    doubtful: Sequence[str]
    """`write` tools whose error answers leave open whether the effect happened: a person is asked then."""
    pins: Mapping[str, str] | None
    """Digests of definitions that somebody has read (`MCPTools.definitions`): only these tools are offered, and one
    that differs is refused. None."""
    roles: Sequence[str]
    tags: Sequence[str]
    timeout: float | None
    """Seconds one call of a tool may take. The runtime's default."""
    connect_timeout: float
    """Seconds for starting or reaching the server and agreeing on a protocol. 30."""
    request_timeout: float
    """Seconds for everything that is not a tool call: lists, resources, prompts. 60."""
    output_limit: int
    """Characters of one result or resource; what is beyond is cut and said to be. 200,000."""
    message_limit: int
    """Bytes of one message from the server; more ends the connection or the call. 8 MiB."""
    protocol: Protocol
    """`auto` asks for the newest revision and falls back; `legacy` begins with the handshake that servers before
    2026 know; or a revision to insist on (`2026-07-28`)."""
    elicit: Elicit | None
    """Answers questions of the server in the middle of a call. None declines them all."""
    sample: Sample | None
    """Lets the server use a model of yours. None declines."""
    roots: Sequence[str | Path]
    """Folders (or `file:` URIs) the server is told it may work in. None of them."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`MCPOptions`, complete."""

    name: str
    prefix: str | None = None
    include: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    effects: Mapping[str, Effect] = {}
    reach: Mapping[str, Reach] = {}
    trust_hints: bool = False
    approval: Any = "never"
    doubtful: Sequence[str] = ()
    pins: Mapping[str, str] | None = None
    roles: Sequence[str] = ()
    tags: Sequence[str] = ()
    timeout: float | None = None
    connect_timeout: float = 30.0
    request_timeout: float = 60.0
    output_limit: int = 200_000
    message_limit: int = 8 * 1024 * 1024
    protocol: Protocol = "auto"
    elicit: Elicit | None = None
    sample: Sample | None = None
    roots: Sequence[str | Path] = ()


class Stdio(msgspec.Struct, frozen=True, kw_only=True):
    """A server that is a program of ours, spoken to over its standard input and output."""

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = {}
    cwd: str | None = None
    secrets: tuple[str, ...] = ()
    """Those among them that nothing but whoever read them can tell."""

    def __str__(self) -> str:
        return self.command

    def __repr__(self) -> str:
        return f"<{self}>"  # arguments and variables may hold secrets


class Http(msgspec.Struct, frozen=True, kw_only=True):
    """A server at an address. `auth` is a bearer token, a function that gives one, or an `httpx2.Auth`."""

    url: str
    headers: Mapping[str, str] = {}
    auth: Any = None
    transport: Literal["http", "sse"] = "http"
    secrets: tuple[str, ...] = ()
    """As in `Stdio`."""

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"

    def __repr__(self) -> str:
        return f"<{self}>"  # headers, token and query may hold secrets


Target: TypeAlias = Stdio | Http


def secrets_of(target: Target) -> tuple[str, ...]:
    """What a server was given that nobody else is to see, should it repeat it: in every spelling, the longest first.

    Of variables and headers it is those whose names say so, and what is known to be one; what a function or an
    `httpx2.Auth` gives is not known.
    """
    if isinstance(target, Stdio):
        given = secrets_in([dict(target.env), *target.args])
    else:
        auth = [target.auth] if isinstance(target.auth, str) else []
        given = [*secrets_in([dict(target.headers), target.url]), *auth]
        given += [value.partition(" ")[2] for value in given]  # `Bearer ...`: what is behind the scheme
    found = {way for value in (*given, *target.secrets) if len(value) >= SHORTEST_TOLD for way in spellings(value)}
    return tuple(sorted(found, key=lambda way: (-len(way), way)))


def checked(target: Target, given: MCPOptions) -> Options:
    """`given` completed. Raises ConfigurationError for a name, an effect or a number that cannot be."""
    name = given.get("name") or _named(target)
    try:
        options = Options(**cast("dict[str, Any]", {**given, "name": name}))
    except TypeError as error:
        raise ConfigurationError(f"MCP server {name!r}: {error}") from None
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"MCP server {name!r}: give a name= of at most 32 letters, digits, '_' and '-'")
    if options.prefix is not None and not _NAME.fullmatch(options.prefix):
        raise ConfigurationError(f"MCP server {name!r}: give a prefix= of at most 32 letters, digits, '_' and '-'")
    _of_kind(name, "effects", options.effects, _EFFECTS)
    _of_kind(name, "reach", options.reach, _REACHES)
    for field in ("timeout", "connect_timeout", "request_timeout", "output_limit", "message_limit"):
        value = getattr(options, field)
        if value is not None and not value > 0:
            raise ConfigurationError(f"MCP server {name!r}: {field}={value!r}: give a number above 0")
    for field in ("include", "exclude", "doubtful", "roles", "tags", "roots"):
        if isinstance(getattr(options, field), str):
            raise ConfigurationError(f"MCP server {name!r}: {field}= takes a list of names, not one text")
    return options


def _of_kind(server: str, field: str, given: Mapping[str, str], known: Sequence[str]) -> None:
    for tool, value in given.items():
        if value not in known:
            raise ConfigurationError(
                f"MCP server {server!r}: {field}[{tool!r}] = {value!r}: choose from {', '.join(known)}"
            )


def _named(target: Target) -> str:
    """A short name for a server nobody named: its program, or its host."""
    raw = Path(target.command).stem if isinstance(target, Stdio) else urlsplit(target.url).hostname or ""
    return re.sub(r"[^a-zA-Z0-9_-]+", "-", raw).strip("-")[:32] or "mcp"
