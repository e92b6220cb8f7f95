"""An OpenAPI document: read from a mapping, a file or an address, bounded, and its local references followed.

YAML is read with the safe loader, in the scalars of YAML 1.2, without merge keys; documents made of nested aliases are
refused by the number of nodes they stand for. It knows no operation. References to other documents are refused: what a
tool may do must be in the text that was given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import unquote

import msgspec

from podium.core.errors import ConfigurationError, MissingExtra

MAX_DOCUMENT: Final = 16 * 1024 * 1024
"""Most bytes of a document."""
MAX_NODES: Final = 1_000_000
"""Most values in a document, aliases counted each time."""
MAX_DEPTH: Final = 128
_VERSION: Final = re.compile(r"(3\.[01])(\.\d+)?(-[\w.]+)?")
_DIALECTS: Final = ("https://spec.openapis.org/oas/3.1/dialect/", "https://json-schema.org/draft/2020-12/schema")


class Unusable(Exception):
    """An operation cannot become a tool; the message says why."""


class Document:
    """A checked document. `address` is the URL it came from, if it came from one."""

    def __init__(self, data: Mapping[str, Any], address: str | None = None) -> None:
        self.data: dict[str, Any] = cast("dict[str, Any]", _plain(data))
        self.address = address
        self.version = _version(self.data)
        """`3.0` or `3.1`."""
        info = self.data.get("info")
        self.info: dict[str, Any] = cast("dict[str, Any]", info) if isinstance(info, dict) else {}
        if not isinstance(self.data.get("paths", {}), dict):
            raise ConfigurationError("the OpenAPI document's `paths` is not an object: check the document")

    def resolve(self, node: object) -> dict[str, Any]:
        """`node`, or what its `$ref` leads to; an empty object for nothing. Raises Unusable for a bad reference."""
        seen: set[str] = set()
        while isinstance(node, dict) and isinstance(reference := cast("dict[str, Any]", node).get("$ref"), str):
            if reference in seen:
                raise Unusable(f"the reference {reference[:200]!r} leads back to itself")
            seen.add(reference)
            node = self.at(reference)
        if node is None:
            return {}
        if not isinstance(node, dict):
            raise Unusable(f"an object is missing: {str(node)[:80]!r} stands in its place")
        return cast("dict[str, Any]", node)

    def at(self, reference: str) -> Any:
        """What a local reference (`#/components/schemas/Pet`) names. Raises Unusable for any other."""
        if reference != "#" and not reference.startswith("#/"):
            raise Unusable(
                f"the reference {reference[:200]!r} leads out of the document, and nothing is fetched from elsewhere: "
                "bundle the document into one file"
            )
        node: Any = self.data
        for part in reference[2:].split("/") if len(reference) > 1 else ():
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            try:
                node = cast("list[Any]", node)[int(key)] if isinstance(node, list) else node[key]
            except (KeyError, IndexError, ValueError, TypeError):
                raise Unusable(f"the reference {reference[:200]!r} leads nowhere") from None
        return node


def read_document(source: object, *, fetch: Any) -> Document:
    """A document from a mapping, the path of a JSON or YAML file, or an http(s) address, which `fetch(url)` reads.

    Raises ConfigurationError for a source that cannot be read or is no OpenAPI 3.0 or 3.1; MissingExtra when YAML
    comes and PyYAML is not installed.
    """
    if isinstance(source, Mapping):
        return Document(cast("Mapping[str, Any]", source))
    if isinstance(source, str) and source.lower().startswith(("http://", "https://")):
        return Document(_parsed(fetch(source), source), source)
    if not isinstance(source, str | Path):
        raise ConfigurationError(
            f"an OpenAPI source is a mapping, a path or an http(s) address, not {type(source).__name__}"
        )
    path = Path(source)
    try:
        if path.stat().st_size > MAX_DOCUMENT:
            raise ConfigurationError(f"{path} has more than {MAX_DOCUMENT} bytes: split the document")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "no path"
        raise ConfigurationError(f"the OpenAPI document {str(source)[:200]!r} cannot be read: {said}") from None
    return Document(_parsed(data, str(path)))


def _parsed(data: bytes, where: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(data) if data.lstrip()[:1] in (b"{", b"[") else _yaml(data, where)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{where} is not JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where} is not an OpenAPI document: an object was expected")
    return cast("dict[str, Any]", value)


def _yaml(data: bytes, where: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise MissingExtra("reading an OpenAPI document in YAML", "openapi") from None
    loader = _loader(yaml)
    try:
        return yaml.load(data, Loader=loader)  # noqa: S506 - a subclass of SafeLoader
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{where} is not YAML: {' '.join(str(error).split())[:300]}") from None


def _loader(yaml: Any) -> Any:
    """The safe loader with the scalars of YAML 1.2: `on` and dates stay text, merge keys mean nothing."""

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        pass

    odd = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge", "tag:yaml.org,2002:bool"}
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in odd]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), "tTfF")
    return Loader


def _plain(data: object) -> Any:
    """A copy in plain JSON with text keys, within bounds. Raises ConfigurationError beyond them."""
    count = 0

    def copy(node: Any, depth: int) -> Any:
        nonlocal count
        count += 1
        if count > MAX_NODES or depth > MAX_DEPTH:
            raise ConfigurationError(
                f"the OpenAPI document holds more than {MAX_NODES} values, or more than {MAX_DEPTH} levels: make it "
                "smaller (nested YAML aliases count each time)"
            )
        if isinstance(node, Mapping):
            entries = cast("Mapping[object, Any]", node)
            if "<<" in entries:
                raise ConfigurationError("the OpenAPI document uses YAML merge keys (<<): write the entries out")
            return {_key(key): copy(item, depth + 1) for key, item in entries.items()}
        if isinstance(node, list | tuple):
            return [copy(item, depth + 1) for item in cast("list[Any]", node)]
        if node is None or isinstance(node, str | int | float | bool):
            return node
        raise ConfigurationError(f"the OpenAPI document holds {type(node).__name__}, which is not JSON")

    return copy(data, 0)


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def _version(data: dict[str, Any]) -> str:
    if "swagger" in data:
        raise ConfigurationError(
            f"this is a Swagger {str(data['swagger'])[:20]} document, which is not read: convert it to OpenAPI 3 first "
            "(swagger2openapi and editor.swagger.io do that)"
        )
    said = data.get("openapi")
    found = _VERSION.fullmatch(said) if isinstance(said, str) else None
    if found is None:
        raise ConfigurationError(
            "the document does not say `openapi: 3.0.x` or `3.1.x`"
            + (f" but {str(said)[:20]!r}" if said is not None else "")
            + ": give an OpenAPI 3.0 or 3.1 document"
        )
    dialect = data.get("jsonSchemaDialect", _DIALECTS[1])
    if not (isinstance(dialect, str) and dialect.startswith(_DIALECTS)):
        raise ConfigurationError(f"jsonSchemaDialect {str(dialect)[:200]!r} is not supported: use {_DIALECTS[1]}")
    return found[1]
