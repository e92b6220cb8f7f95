"""Resources and prompts of a server, as values; and how a model's question becomes the address of a resource.

Nothing here talks to a server. All texts are the server's: cleaned, bounded, and untrusted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final, cast
from urllib.parse import quote

import msgspec

from podium.core.errors import ToolValidationError

from .wording import clean, line

_VARIABLE: Final = re.compile(r"\{([+#./;?&]?)([^{}]*)\}")
MOST_FOUND: Final = 50
"""Resources that a search gives."""


class Resource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A resource, or with `template` a family of them, whose `uri` has variables in braces (RFC 6570)."""

    uri: str
    name: str
    description: str = ""
    mime_type: str | None = None
    size: int | None = None
    """Bytes, when the server says."""
    template: bool = False

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of a template's variables."""
        return tuple(name for _, names in _VARIABLE.findall(self.uri) for name in _names(names))

    def fill(self, values: dict[str, str]) -> str:
        """The address with the variables' values, percent-encoded. Raises ToolValidationError when one is missing."""
        if missing := [name for name in self.variables if name not in values]:
            raise ToolValidationError(f"the resource {self.name!r} also needs {', '.join(missing)}")
        return _VARIABLE.sub(lambda match: _expanded(match[1], _names(match[2]), values), self.uri)


class PromptArgument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One argument of a prompt. All are texts."""

    name: str
    description: str = ""
    required: bool = False


class Prompt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A prompt that a server offers."""

    name: str
    description: str = ""
    arguments: tuple[PromptArgument, ...] = ()


def resource_of(item: Any) -> Resource:
    """An SDK `Resource` or `ResourceTemplate` as ours."""
    template = getattr(item, "uri_template", None)
    return Resource(
        uri=template if template is not None else item.uri,
        name=line(item.title or item.name),
        description=clean(item.description or "", 1000),
        mime_type=item.mime_type,
        size=getattr(item, "size", None),
        template=template is not None,
    )


def prompt_of(item: Any) -> Prompt:
    """An SDK `Prompt` as ours."""
    return Prompt(
        name=item.name,
        description=clean(item.description or item.title or "", 1000),
        arguments=tuple(
            PromptArgument(
                name=argument.name, description=clean(argument.description or "", 500), required=bool(argument.required)
            )
            for argument in item.arguments or ()
        ),
    )


def found(resources: Sequence[Resource], query: str) -> list[dict[str, Any]]:
    """Resources in whose address, name or description every word of `query` occurs; all for an empty one."""
    words = query.lower().split()
    hits = [item for item in resources if all(word in _text(item) for word in words)]
    return cast("list[dict[str, Any]]", msgspec.to_builtins(hits[:MOST_FOUND]))


def address(resources: Sequence[Resource], type: str, query: str) -> str | None:
    """The address that a question names; None when it is a search.

    `search`: none. `resource` (or `uri`): `query` is an address or the exact name of a listed resource. The name of a
    template: `query` fills its variables, as text for one, as a JSON object for several. A scheme that the server's
    addresses use (`file`, `docs`): `query` is the rest of the address. Raises ToolValidationError, with what there is,
    for another type or an unknown name.
    """
    if type == "search":
        return None
    if type in {"resource", "uri"}:
        return _named(resources, query)
    for item in resources:
        if item.template and type in {item.name, item.uri}:
            return item.fill(_values(item, query))
    schemes = _schemes(resources)
    if type in schemes:
        return query if query.startswith(f"{type}:") else f"{type}://{query.lstrip('/') if type != 'file' else query}"
    templates = [item.name for item in resources if item.template]
    raise ToolValidationError(
        f"there is no type {line(type, 60)!r}; the types are: {', '.join(['search', 'resource', *templates, *schemes])}"
    )


def _named(resources: Sequence[Resource], query: str) -> str:
    for item in resources:
        if not item.template and query in {item.uri, item.name}:
            return item.uri
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", query):
        return query
    raise ToolValidationError(f"no resource is called {line(query, 80)!r}: find one with the type 'search'")


def _values(item: Resource, query: str) -> dict[str, str]:
    names = item.variables
    try:
        given = json.loads(query)
    except ValueError:
        given = None
    if isinstance(given, dict) and set(names) <= set(cast("dict[str, Any]", given)):
        return {name: str(cast("dict[str, Any]", given)[name]) for name in names}
    if len(names) <= 1:
        return dict.fromkeys(names, query)
    raise ToolValidationError(f"the resource {item.name!r} takes a JSON object with {', '.join(names)} as its query")


def _schemes(resources: Sequence[Resource]) -> list[str]:
    return list(dict.fromkeys(item.uri.split(":", 1)[0] for item in resources if ":" in item.uri))


def _text(item: Resource) -> str:
    return f"{item.uri} {item.name} {item.description}".lower()


def _names(inner: str) -> list[str]:
    return [re.split(r"[:*]", name, maxsplit=1)[0].strip() for name in inner.split(",") if name.strip()]


def _expanded(operator: str, names: list[str], values: dict[str, str]) -> str:
    """One expression of a URI template, for values that are texts (RFC 6570, levels 1 to 3)."""
    safe = ":/?#[]@!$&'()*+,;=-._~" if operator in {"+", "#"} else "-._~"
    texts = [quote(values[name], safe=safe) for name in names]
    if operator in {"?", "&", ";"}:
        pairs = [f"{name}={text}" for name, text in zip(names, texts, strict=True)]
        return operator + ("&" if operator != ";" else ";").join(pairs)
    if operator in {".", "/"}:
        return operator + operator.join(texts)
    return ("#" if operator == "#" else "") + ",".join(texts)
