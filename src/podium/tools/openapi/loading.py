"""`OpenAPITools`: a document, its address and the user's credentials become tools.

Everything that can be wrong with a document is said when it is loaded. A call then is: the arguments, checked, are
written into a request; credentials are added; it is sent once; the answer is read.
"""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from podium.core.errors import ConfigurationError, MissingExtra, NotDone, ToolValidationError
from podium.ports import Effect, ToolContext
from podium.tools.described import DescribedTool
from podium.tools.options import EFFECTS

from .answers import Reader
from .bodies import encode_body
from .credentials import Carried, Credential, Credentials
from .document import MAX_DOCUMENT, Document, Unusable, read_document
from .operations import Operation, Servers, operations
from .styles import in_cookie, in_header, in_path, in_query
from .wire import Request, Wire, endpoint, fetch

_BAD: Final = re.compile(r"[^A-Za-z0-9_-]+")
_CAMEL: Final = 64
_KEY: Final = re.compile(r"[\x21-\x7e]{1,200}")


class OpenAPITools(Sequence[DescribedTool]):
    """The tools of one API, in the document's order. Make it with `load`; give it, or some of it, to an agent.

    `api["get_pet"]` is one by name. `skipped` says why operations could not become tools; `notes` what was changed
    (names that met).
    """

    def __init__(
        self, tools: Sequence[DescribedTool], *, skipped: Mapping[str, str] | None = None, notes: Sequence[str] = ()
    ) -> None:
        if isinstance(cast("object", tools), str | Path | Mapping):
            raise ConfigurationError(f"OpenAPITools.load({str(tools)[:80]!r}) reads a document")
        self._tools = tuple(tools)
        self._by_name = {tool.name: tool for tool in self._tools}
        self.skipped = dict(skipped or {})
        """`METHOD /path` to why it is no tool."""
        self.notes = tuple(notes)

    @classmethod
    def load(
        cls,
        source: Mapping[str, Any] | str | Path,
        *,
        base_url: str | None = None,
        auth: Mapping[str, Credential] | None = None,
        include: str | Sequence[str] = (),
        exclude: str | Sequence[str] = (),
        prefix: str = "",
        effects: Mapping[str, Effect] | None = None,
        variables: Mapping[str, str] | None = None,
        allow: Sequence[str] = (),
        strict: bool = False,
        timeout: float = 30.0,
        retries: int = 2,
        tags: str | Sequence[str] = (),
    ) -> OpenAPITools:
        """Read a document and make a tool of each of its operations.

        Args:
            source: a mapping, the path of a JSON or YAML file, or an http(s) address (read now, blocking: in a running
                loop use `asyncio.to_thread`). OpenAPI 3.0 or 3.1.
            base_url: where the API is, instead of the document's servers. Its host may be a private one.
            auth: credentials by the document's names of its security schemes: each the name of an environment variable,
                or a function that gives the secret. For `http` `basic` it is `user:password`.
            include: patterns of the operations wanted: of tool names or operation ids (`pets_*`), of method and path
                (`GET /pets*`), or of tags (`tag:store`). All.
            exclude: patterns of those not wanted.
            prefix: stands before every name.
            effects: by operation id or tool name, where the method does not tell the truth (`{"search": "read"}` for a
                search by POST).
            variables: values of the servers' variables.
            allow: further hosts (`"10.0.0.5:8080"`, `"files.example.com"`) the document's servers may name: private
                addresses, and other hosts than the first server's that are given credentials.
            strict: refuse answers that do not fit the document's schema. They are given on, with one line in the log.
            timeout: seconds one attempt may take.
            retries: further attempts after a failure; never of a write whose outcome is unknown.
            tags: further tags of every tool, beside `openapi` and the operation's own.

        Raises ConfigurationError for a document that cannot be read, a pattern or name that fits nothing, an operation
        without its credentials; MissingExtra when a library is missing.
        """
        if not 0 < timeout < float("inf"):
            raise ConfigurationError(f"timeout={timeout!r}: give seconds above 0")
        document = read_document(source, fetch=functools.partial(fetch, timeout=timeout, limit=MAX_DOCUMENT))
        trusted = [_endpoint(each) for each in (base_url, document.address) if each is not None]
        api = _Api(
            document,
            Wire(trusted=trusted, allow=allow),
            Credentials(document, auth or {}),
            timeout=timeout,
            strict=strict,
            servers=Servers(base_url, dict(variables or {})),
        )
        chosen, skipped, notes = _chosen(api, include, exclude, prefix)
        wanted: dict[str, Effect] = dict(effects or {})
        for named, effect in wanted.items():
            if effect not in EFFECTS:
                raise ConfigurationError(f"effects[{named!r}] = {effect!r}: say one of {', '.join(EFFECTS)}")
        version = str(document.info.get("version", "1"))[:40] or "1"
        tools: list[DescribedTool] = []
        for name, where, operation in chosen:
            said = wanted.pop(operation.id, operation.effect)
            effect = wanted.pop(name, said)
            try:
                schemes = _schemes(api, where, operation)
            except NotDone as error:
                skipped[where] = f"its server {operation.server[:200]!r} cannot be used: {error}"
                continue
            try:
                tools.append(
                    DescribedTool(
                        name,
                        description=operation.description,
                        parameters=operation.arguments,
                        call=_Call(api, name, operation, schemes),
                        effect=effect,
                        reach=operation.reach,
                        version=version,
                        timeout=timeout + 5,  # ours ends first, and says what it waited for
                        retries=retries,
                        tags=("openapi", *operation.tags, *((tags,) if isinstance(tags, str) else tags)),
                    )
                )
            except MissingExtra:
                raise
            except ConfigurationError as error:
                skipped[where] = str(error)
        if wanted:
            raise ConfigurationError(
                f"effects= names {', '.join(map(repr, wanted))}, which is no operation: check names"
            )
        return cls(tools, skipped=skipped, notes=notes)

    def __len__(self) -> int:
        return len(self._tools)

    def __iter__(self) -> Iterator[DescribedTool]:
        return iter(self._tools)

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, str):
            return cast("Any", self._tools[key])
        tool = self._by_name.get(key)
        if tool is None:
            raise KeyError(f"{key!r}: the tools are {', '.join(list(self._by_name)[:40]) or 'none'}")
        return tool

    def __repr__(self) -> str:
        return f"<OpenAPITools: {len(self)} tools, {len(self.skipped)} operations skipped>"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tools."""
        return tuple(self._by_name)


class _Api:
    """What all tools of a document share."""

    def __init__(
        self,
        document: Document,
        wire: Wire,
        credentials: Credentials,
        *,
        timeout: float,
        strict: bool,
        servers: Servers,
    ) -> None:
        self.document, self.wire, self.credentials = document, wire, credentials
        self.timeout, self.strict = timeout, strict
        self.servers = servers

    @functools.cached_property
    def home(self) -> str:
        """`host:port` of the document's first server; empty when it has none that can be used."""
        try:
            return endpoint(self.servers.address(self.document))
        except (Unusable, NotDone):
            return ""


class _Call:
    """One operation, called: the `call` of a `DescribedTool`."""

    def __init__(self, api: _Api, name: str, operation: Operation, schemes: tuple[str, ...]) -> None:
        self._api, self._operation, self._schemes = api, operation, schemes
        self._reader = Reader(name, api.document, operation, strict=api.strict)

    async def __call__(self, args: dict[str, Any], ctx: ToolContext) -> Any:
        request = build(self._api.document, self._operation, args, ctx.idempotency_key)
        carried = await self._api.credentials.carried(self._schemes)
        response = await self._api.wire.send(
            with_credentials(request, carried), timeout=self._api.timeout, hide=carried.hide
        )
        return self._reader.value(response, carried)


def build(document: Document, operation: Operation, args: dict[str, Any], key: str) -> Request:
    """The request of a call, without credentials. Raises ToolValidationError for a value that cannot be placed."""
    path = operation.path
    query: list[tuple[str, str]] = []
    headers: dict[str, str] = {"Accept": "application/json, */*;q=0.5"}
    cookies: list[tuple[str, str]] = []
    for parameter in operation.parameters:
        if parameter.argument not in args:
            continue
        value = args[parameter.argument]
        if parameter.place == "path":
            path = path.replace("{" + parameter.name + "}", in_path(parameter, value).replace("{", "%7B"))
        elif parameter.place == "query":
            query += in_query(parameter, value)
        elif parameter.place == "header":
            headers[parameter.name] = in_header(parameter, value)
        else:
            cookies += in_cookie(parameter, value)
    if any(segment in (".", "..") for segment in path.split("/")):
        raise ToolValidationError("the arguments make a path that climbs ('..'): give other values")
    encoded = None if operation.body is None else encode_body(document, operation.body, args)
    if encoded is not None:
        headers["Content-Type"] = encoded[1]
    if operation.once:
        headers[operation.once] = _once(key)
    if cookies:
        headers["Cookie"] = _joined(cookies, "; ")
    url = operation.server + path + ("?" + _joined(query, "&") if query else "")
    return Request(
        method=operation.method.upper(), url=url, headers=headers, body=None if encoded is None else encoded[0]
    )


def with_credentials(request: Request, carried: Carried) -> Request:
    """The request with what the credentials add."""
    headers = {name: value for name, value in request.headers.items() if name.lower() not in _lower(carried.headers)}
    headers.update(carried.headers)
    if carried.cookies:
        before = headers.get("Cookie")
        headers["Cookie"] = (f"{before}; " if before else "") + _joined(carried.cookies, "; ")
    url = request.url
    if carried.query:
        url += ("&" if "?" in url else "?") + _joined(carried.query, "&")
    return msgspec.structs.replace(request, headers=headers, url=url)


def _lower(headers: Mapping[str, str]) -> frozenset[str]:
    return frozenset(name.lower() for name in headers)


def _joined(pairs: Sequence[tuple[str, str]], between: str) -> str:
    return between.join(f"{name}={value}" for name, value in pairs)


def _once(key: str) -> str:
    """The idempotency key as a header can hold it: the same for the same call."""
    if not key:
        return uuid.uuid4().hex
    return key if _KEY.fullmatch(key) else hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


# ------------------------------------------------------------------------------------------------------- choosing


def _endpoint(url: str) -> str:
    try:
        return endpoint(url)
    except NotDone as error:
        raise ConfigurationError(f"{url[:200]!r} cannot be used: {error}") from None


def _schemes(api: _Api, where: str, operation: Operation) -> tuple[str, ...]:
    """The credentials of an operation. Raises ConfigurationError when it must not, or cannot, have them; NotDone when
    its server is no address."""
    try:
        schemes = api.credentials.chosen(operation)
    except Unusable as error:
        raise ConfigurationError(
            f"{where}: {error}: give auth={{NAME: environment variable}}, or leave it out with exclude="
        ) from None
    there = endpoint(operation.server)
    if schemes and there != api.home and not api.wire.knows(operation.server):
        raise ConfigurationError(
            f"{where} is served by {there}, not by {api.home or 'the first server'} as the rest: its credentials would "
            f"go there; allow={[there]!r} permits it, exclude= leaves it out"
        )
    return schemes


def _chosen(
    api: _Api, include: str | Sequence[str], exclude: str | Sequence[str], prefix: str
) -> tuple[list[tuple[str, str, Operation]], dict[str, str], list[str]]:
    """The operations that were asked for, under their names."""
    wanted = (include,) if isinstance(include, str) else tuple(include)
    unwanted = (exclude,) if isinstance(exclude, str) else tuple(exclude)
    unused = {*wanted, *unwanted}
    chosen: list[tuple[str, str, Operation]] = []
    skipped: dict[str, str] = {}
    notes: list[str] = []
    taken: dict[str, str] = {}
    for identity, where, operation in operations(api.document, api.servers):
        name = _name(prefix + identity)
        tags = () if isinstance(operation, Unusable) else operation.tags
        hit = [pattern for pattern in unused | {*wanted, *unwanted} if _fits(pattern, (identity, name), where, tags)]
        unused.difference_update(hit)
        if (wanted and not set(wanted) & set(hit)) or set(unwanted) & set(hit):
            continue
        if isinstance(operation, Unusable):
            skipped[where] = str(operation)
            continue
        unique, number = name, 2
        while unique in taken:
            unique, number = f"{name[:60]}_{number}", number + 1
        if unique != name:
            notes.append(f"{where} is named {unique!r}, because {taken[name]} is {name!r} already")
        taken[unique] = where
        chosen.append((unique, where, operation))
    if unused:
        raise ConfigurationError(
            f"no operation fits {', '.join(repr(pattern) for pattern in sorted(unused))}: write a name (`pets_*`), "
            "`GET /path*` or `tag:NAME`"
        )
    return chosen, skipped, notes


def _fits(pattern: str, names: tuple[str, str], where: str, tags: Sequence[str]) -> bool:
    if pattern.startswith("tag:"):
        return any(fnmatch.fnmatchcase(tag, pattern[4:]) for tag in tags)
    return any(fnmatch.fnmatchcase(each, pattern) for each in (*names, where))


def _name(identity: str) -> str:
    return _BAD.sub("_", identity).strip("_")[:_CAMEL] or "operation"
