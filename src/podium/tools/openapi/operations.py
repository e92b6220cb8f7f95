"""What one operation of a document takes: its arguments as one JSON schema, and where each goes in the request.

Parameters of all places and the properties of an object body become arguments side by side; where that cannot be (names
meet, or the body is not a plain object) the body is one argument, `body`. It knows no credential's value and sends
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, cast
from urllib.parse import urljoin, urlsplit

import msgspec

from podium.core.errors import ConfigurationError
from podium.ports import Effect, Reach

from .document import Document, Unusable
from .schemas import Schemas
from .styles import STYLES, Parameter, Place

METHODS: Final = ("get", "head", "options", "put", "delete", "post", "patch", "trace")
_READS: Final = frozenset(("get", "head", "options", "trace"))
_IGNORED: Final = frozenset(("accept", "content-type", "authorization"))
"""Header parameters that the specification tells to ignore: the body and the credentials decide them."""
_OURS: Final = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "cookie", "upgrade", "te", "trailer", "expect")
)
"""Headers that belong to the connection: no argument sets them."""
_ONCE: Final = frozenset(("idempotency-key", "x-idempotency-key"))
_ARGUMENT: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_TEMPLATE: Final = re.compile(r"\{([^{}/]+)\}")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DESCRIPTION: Final = 1024


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """The body of an operation's requests."""

    media: str
    """Its media type, without parameters."""
    argument: str | None
    """The argument that is the body; None when `properties` are arguments of their own."""
    properties: tuple[str, ...] = ()
    schema: Any = True
    """The document's own schema of the body, for the parts of a form."""
    encoding: dict[str, Any] = {}


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One operation, ready to be called."""

    id: str
    """The document's `operationId`, or the method and path."""
    method: str
    path: str
    server: str
    """The address that `path` is appended to."""
    description: str
    tags: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    body: Body | None
    once: str | None
    """The header that takes the idempotency key, if the operation has one."""
    arguments: dict[str, Any]
    """The JSON schema of the arguments."""
    responses: dict[str, Any]
    """The document's own schemas of answers by status: `200`, `2XX`, `DEFAULT`."""
    security: tuple[tuple[str, ...], ...]
    """Alternatives, each the schemes it needs together; one without any is for everybody."""

    @property
    def effect(self) -> Effect:
        """What the method promises: of POST and PATCH nothing, unless they take an idempotency key."""
        if self.method in _READS:
            return "read"
        return "idempotent" if self.method in {"put", "delete"} or self.once else "write"

    @property
    def reach(self) -> Reach:
        """DELETE destroys; anything else is merely outside."""
        return "destructive" if self.method == "delete" else "external"


class Servers(msgspec.Struct, frozen=True):
    """How an operation's address is found: what the user says goes before what the document says."""

    base_url: str | None = None
    variables: dict[str, str] = {}

    def address(self, document: Document, *nodes: dict[str, Any]) -> str:
        """The first server of the first node that has servers, without a final slash. Raises Unusable."""
        if self.base_url is not None:
            return self.base_url.rstrip("/")
        found: Any = None
        for node in (*nodes, document.data):
            found = node.get("servers")
            if found:
                break
        server = document.resolve(cast("list[Any]", found)[0]) if isinstance(found, list) and found else {"url": "/"}
        address = self._filled(str(server.get("url", "/")), server.get("variables"))
        if document.address is not None:
            address = urljoin(document.address, address)
        parts = _split(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Unusable(f"its server {address[:200]!r} is no http address: give base_url=")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise Unusable(f"its server at {parts.hostname} has credentials or a query in its address: give base_url=")
        return address.rstrip("/")

    def _filled(self, url: str, variables: object) -> str:
        known = cast("dict[str, Any]", variables) if isinstance(variables, dict) else {}

        def value(found: re.Match[str]) -> str:
            name = found[1]
            said = known.get(name)
            described = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
            chosen = self.variables.get(name, described.get("default"))
            choices = described.get("enum")
            if chosen is None:
                raise Unusable(f"its server {url[:200]!r} needs {name!r}: give variables={{{name!r}: …}} or base_url=")
            if isinstance(choices, list) and chosen not in choices:
                raise Unusable(f"the server variable {name!r} is one of {choices}, not {chosen!r}")
            return str(chosen)

        return _TEMPLATE.sub(value, url)


def _split(address: str) -> Any:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        raise Unusable(f"its server {address[:200]!r} is no address: give base_url=") from None
    return parts


def operations(document: Document, servers: Servers) -> Iterator[tuple[str, str, Operation | Unusable]]:
    """Every operation as (name, `METHOD /path`, operation), or why it cannot be one."""
    for path, item in cast("dict[str, Any]", document.data.get("paths") or {}).items():
        if path.startswith("x-"):
            continue
        try:
            shared = document.resolve(item)
        except Unusable as error:
            yield path, path, error
            continue
        for method in METHODS:
            if method not in shared:
                continue
            where = f"{method.upper()} {path}"
            try:
                operation = document.resolve(shared[method])
                made = _Reader(document, servers, path, method, shared, operation).read()
            except Unusable as error:
                yield where, where, error
            except (AttributeError, KeyError, TypeError, ValueError, ConfigurationError) as error:
                # The document is somebody else's: whatever shape it has, it costs one operation, not the import.
                yield where, where, Unusable(f"its description is malformed ({str(error)[:200]})")
            else:
                yield made.id, where, made


class _Reader:
    """Reads one operation."""

    def __init__(
        self, document: Document, servers: Servers, path: str, method: str, shared: Any, operation: Any
    ) -> None:
        self.document, self.servers = document, servers
        self.path, self.method = path, method
        self.shared: dict[str, Any] = shared
        self.operation: dict[str, Any] = operation
        self.schemas = Schemas(document, "in")
        self.properties: dict[str, Any] = {}
        self.required: list[str] = []
        self.once: str | None = None

    def read(self) -> Operation:
        if not self.path.startswith("/"):
            raise Unusable(f"its path {self.path[:80]!r} does not begin with a slash")
        parameters = self._parameters()
        body = self._body()
        arguments: dict[str, Any] = {"type": "object", "properties": self.properties}
        if self.required:
            arguments["required"] = self.required
        arguments["additionalProperties"] = False
        if self.schemas.defs:
            arguments["$defs"] = self.schemas.defs
        identity = self.operation.get("operationId")
        tags = self.operation.get("tags")
        return Operation(
            id=identity if isinstance(identity, str) and identity else f"{self.method}_{self.path.strip('/')}",
            method=self.method,
            path=self.path,
            server=self.servers.address(self.document, self.operation, self.shared),
            description=self._description(),
            tags=tuple(str(tag) for tag in cast("list[Any]", tags)) if isinstance(tags, list) else (),
            parameters=parameters,
            body=body,
            once=self.once,
            arguments=arguments,
            responses=self._responses(),
            security=self._security(),
        )

    def _description(self) -> str:
        parts = [self.operation.get("summary"), self.operation.get("description") or self.shared.get("description")]
        texts = [part.strip() for part in parts if isinstance(part, str) and part.strip()]
        if len(texts) == 2 and texts[1].startswith(texts[0]):
            texts = texts[1:]
        text = "\n".join(texts) or f"{self.method.upper()} {self.path}"
        if self.operation.get("deprecated") is True:
            text = f"(deprecated) {text}"
        return text if len(text) <= _DESCRIPTION else text[: _DESCRIPTION - 1] + "…"

    # ------------------------------------------------------------------------------------------------- parameters

    def _parameters(self) -> tuple[Parameter, ...]:
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for owner in (self.shared, self.operation):
            for node in cast("list[Any]", owner.get("parameters") or []):
                parameter = self.document.resolve(node)
                found[str(parameter["name"]), str(parameter["in"])] = parameter
        templated = set(_TEMPLATE.findall(self.path))
        for name in templated:
            if (name, "path") not in found:
                raise Unusable(f"its path names {name!r}, which no parameter describes")
        used = [item for item in found.items() if self._concerns(*item[0], item[1], templated)]
        names = [_argument(name) for (name, _), _ in used]
        made: list[Parameter] = []
        for (name, place), parameter in used:
            argument = _argument(name)
            if names.count(argument) > 1 and place != "path":
                argument = f"{argument}_{place}"
            while argument in self.properties:
                argument += "_"
            made.append(self._parameter(name, cast("Place", place), argument, parameter))
        return tuple(made)

    def _concerns(self, name: str, place: str, parameter: dict[str, Any], templated: set[str]) -> bool:
        """Whether a parameter is an argument. Raises Unusable for a required one that cannot be."""
        if place not in STYLES:
            raise Unusable(f"its parameter {name[:80]!r} is in {place[:20]!r}, which is no place")
        if place == "path":
            return name in templated
        if place != "header":
            return True
        lower = name.lower()
        if lower in _IGNORED:
            return False
        if lower in _ONCE:
            self.once = name
            return False
        if lower in _OURS or not _HEADER.fullmatch(name):
            if parameter.get("required") is True:
                raise Unusable(f"it requires the header {name[:80]!r}, which no argument may set")
            return False
        return True

    def _parameter(self, name: str, place: Place, argument: str, node: dict[str, Any]) -> Parameter:
        content = node.get("content")
        schema: Any = node.get("schema", {})
        if isinstance(content, dict) and content:
            schema = cast("dict[str, Any]", next(iter(cast("dict[str, Any]", content).values()))).get("schema", {})
        style = node.get("style", STYLES[place][0])
        if style not in STYLES[place]:
            raise Unusable(
                f"its parameter {name[:80]!r} has the style {str(style)[:40]!r}, which is none for a {place}"
            )
        explode = node.get("explode", style == "form")
        described = self.schemas.convert(schema)
        self.properties[argument] = _with_note(described, node.get("description"))
        if node.get("required") is True or place == "path":
            self.required.append(argument)
        return Parameter(
            name=name,
            argument=argument,
            place=place,
            style=style,
            explode=explode is True,
            reserved=node.get("allowReserved") is True,
            json="content" in node,
        )

    # ------------------------------------------------------------------------------------------------------- body

    def _body(self) -> Body | None:
        if "requestBody" not in self.operation:
            return None
        node = self.document.resolve(self.operation["requestBody"])
        content = cast("dict[str, Any]", node.get("content") or {})
        media, described = _preferred(content)
        described = self.document.resolve(described)
        needed = node.get("required") is True
        encoding = cast("dict[str, Any]", described.get("encoding") or {})
        schema: Any = described.get("schema", {} if "json" in media or media == "*/*" else {"type": "string"})
        flat = None if _raw(media) else self._flat(schema, needed=needed)
        if flat is not None:
            properties, required = flat
            self.properties.update(properties)
            self.required += required
            return Body(media=media, argument=None, properties=tuple(properties), schema=schema, encoding=encoding)
        argument = "body"
        while argument in self.properties:
            argument = f"request_{argument}"
        converted = {"type": "string"} if _raw(media) else self.schemas.convert(schema)
        note = node.get("description") or (
            "The body, base64-encoded." if _raw(media) and not media.startswith("text/") else None
        )
        self.properties[argument] = _with_note(converted, note)
        if needed:
            self.required.append(argument)
        return Body(media=media, argument=argument, schema=schema, encoding=encoding)

    def _flat(self, schema: Any, *, needed: bool) -> tuple[dict[str, Any], list[str]] | None:
        """The properties of a body that is a plain object, as arguments; None when it must be one argument."""
        try:
            top = self.document.resolve(schema)
        except Unusable:
            return None
        if set(top) & {"allOf", "anyOf", "oneOf", "not", "if", "patternProperties", "nullable", "minProperties"}:
            return None
        if top.get("type") != "object" or top.get("additionalProperties", False) is not False:
            return None
        converted = self.schemas.convert(top)
        properties: dict[str, Any] = converted.get("properties", {})
        required: list[str] = converted.get("required", [])
        clean = all(_argument(name) == name and name not in self.properties for name in properties)
        if not properties or not clean or (required and not needed) or not set(required) <= properties.keys():
            return None
        return properties, required

    # -------------------------------------------------------------------------------------------------- the rest

    def _responses(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for status, node in cast("dict[str, Any]", self.operation.get("responses") or {}).items():
            if status.startswith("x-") or not (status[:1] == "2" or status == "default"):
                continue
            try:
                content = cast("dict[str, Any]", self.document.resolve(node).get("content") or {})
                for media, described in content.items():
                    if is_json(media) and "schema" in (inner := self.document.resolve(described)):
                        found[status.upper()] = inner["schema"]
                        break
            except Unusable:
                continue  # an answer nobody can describe is still an answer
        return found

    def _security(self) -> tuple[tuple[str, ...], ...]:
        said = self.operation.get("security", self.document.data.get("security"))
        if not isinstance(said, list):
            return ((),)
        found = tuple(tuple(cast("dict[str, Any]", item)) for item in cast("list[Any]", said))
        return found or ((),)


def is_json(media: str) -> bool:
    """Whether a media type is JSON (or says that anything goes)."""
    kind = media.partition(";")[0].strip().lower()
    return kind in {"application/json", "*/*", "application/*"} or kind.endswith("+json")


def _raw(media: str) -> bool:
    """Whether a body of this type is sent as it is: text, or bytes given as base64."""
    return not (is_json(media) or media in {"application/x-www-form-urlencoded", "multipart/form-data"})


def _preferred(content: dict[str, Any]) -> tuple[str, Any]:
    """The media type to send, the most exact first."""
    kinds = {media.partition(";")[0].strip().lower(): described for media, described in content.items()}
    for wanted in ("application/json", None, "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"):
        for media, described in kinds.items():
            if media == wanted or (wanted is None and is_json(media)):
                return ("application/json" if "*" in media else media), described
    for media, described in kinds.items():
        if "*" not in media and re.fullmatch(r"[\w.+-]+/[\w.+-]+", media):
            return media, described
    raise Unusable("its body has no media type that can be sent")


def _argument(name: str) -> str:
    """A parameter's name as models may give it."""
    return _ARGUMENT.sub("_", name).strip("_")[:64] or "value"


def _with_note(schema: Any, note: object) -> Any:
    """A schema with the description that stands beside it, unless it has its own."""
    if not isinstance(note, str) or not note.strip():
        return schema
    if schema is True:
        return {"description": note.strip()[:_DESCRIPTION]}
    if not isinstance(schema, dict):
        return schema
    return {"description": note.strip()[:_DESCRIPTION], **cast("dict[str, Any]", schema)}
