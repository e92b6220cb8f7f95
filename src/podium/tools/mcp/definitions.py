"""A server's definition of a tool: read within bounds, named by its digest, and made into a tool of ours.

The digest is over what the model is shown and the arguments are checked by (name, description, schemas, hints), so a
server that changes any of it later ("rug pull") offers another version. Hints of a server that is not trusted are
believed only where they make us more careful.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

import msgspec

from podium.core.errors import ConfigurationError
from podium.core.labels import untrusted
from podium.ports import Effect, Reach, ToolContext
from podium.tools.described import DescribedTool

from .options import Approval, Options
from .wording import clean, clean_schema, line

LARGEST: Final = 64 * 1024
"""Bytes of one definition, as JSON. Every request to a model repeats it."""


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says a tool is, cleaned."""

    original: str
    """Its name, as the server spells it."""
    description: str
    parameters: dict[str, Any]
    returns: dict[str, Any] | None
    read_only: bool | None
    destructive: bool | None
    idempotent: bool | None
    closed_world: bool
    digest: str
    """Of the definition as the server sent it, before cleaning: 16 hexadecimal digits."""


def define(tool: Any) -> Definition:
    """The definition in an SDK `Tool`. Raises ValueError for one that is too large or too deep."""
    hints = tool.annotations
    raw = tool.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"icons", "meta", "execution"})
    plain = json.dumps(raw, sort_keys=True, ensure_ascii=True)
    if len(plain) > LARGEST:
        raise ValueError(f"its definition has {len(plain)} bytes, more than {LARGEST}")
    title = tool.title or (hints.title if hints is not None else None)
    description = clean(tool.description or title or "")
    parameters = cast("dict[str, Any]", clean_schema(tool.input_schema))
    returns = cast("dict[str, Any] | None", clean_schema(tool.output_schema))
    return Definition(
        original=tool.name,
        description=description,
        parameters=parameters,
        returns=returns,
        read_only=hints.read_only_hint if hints is not None else None,
        destructive=hints.destructive_hint if hints is not None else None,
        idempotent=hints.idempotent_hint if hints is not None else None,
        closed_world=hints is not None and hints.open_world_hint is False,
        digest=hashlib.sha256(plain.encode()).hexdigest()[:16],
    )


def effect_of(definition: Definition, options: Options) -> tuple[Effect, bool]:
    """How calls may be repeated, and whether anybody said so."""
    said = options.effects.get(definition.original)
    if said is not None:
        return said, True
    if options.trust_hints and definition.read_only:
        return "read", True
    if options.trust_hints and definition.idempotent:
        return "idempotent", True
    return "write", True  # decided here, so there is nobody to hint at


def reach_of(definition: Definition, options: Options) -> Reach:
    """What harm calls can do: what the user says, else what a cautious reading of the hints gives."""
    said = options.reach.get(definition.original)
    if said is not None:
        return said
    reach: Reach = "local" if options.trust_hints and definition.closed_world else "external"
    # `destructiveHint` says nothing of a tool that is said to be read-only, if what is said is believed.
    if definition.destructive and not (options.trust_hints and definition.read_only):
        return "destructive"
    return reach


def offered(
    name: str,
    definition: Definition,
    options: Options,
    call: Callable[[dict[str, Any], ToolContext], Awaitable[Any]],
) -> DescribedTool:
    """The tool. Raises ConfigurationError for a schema that is none."""
    effect, declared = effect_of(definition, options)
    try:
        return DescribedTool(
            name,
            description=definition.description,
            parameters=definition.parameters,
            returns=definition.returns,
            call=call,
            effect=effect,
            reach=reach_of(definition, options),
            version=definition.digest,
            timeout=options.timeout,
            approval=_approval(definition, options),
            roles=tuple(options.roles),
            label=untrusted(f"mcp:{options.name}"),
            tags=("mcp", f"mcp:{options.name}", *options.tags),
            declared=declared,
        )
    except ConfigurationError as error:
        raise ConfigurationError(line(str(error), 500)) from None


def _approval(definition: Definition, options: Options) -> Approval:
    given = options.approval
    if isinstance(given, dict):
        return cast("dict[str, Approval]", given).get(definition.original, "never")
    return cast("Approval", given)
