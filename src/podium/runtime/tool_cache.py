"""Results of tools that may be given again: for equal arguments, of the same version, within one tenant.

The entry is looked for only after the whole gate has let the call pass, approvals included: what a person was to allow,
or a policy forbids, is not given away because somebody else was allowed it before. Results are kept beside the replies
of models (`caching`), in the same room; a `write` is never kept, nor an error, nor what holds a secret. Whether the
answer depends on who asks, or on an object that the tool is a method of, is not known here: such a tool must not
declare `cache=`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from podium.core.codec import content_digest, encode
from podium.core.labels import Label
from podium.core.redaction import redact
from podium.ports import Tool

from . import caching
from .run import Run

LARGEST = 16
"""A result may have this part of the room for all that is kept: one must not drive out everything else."""


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A result as it is kept."""

    value: Any
    label: Label
    """What it carried where it was first given."""


_decoder = msgspec.msgpack.Decoder(Kept)


def key_of(run: Run, tool: Tool, args: dict[str, Any]) -> bytes | None:
    """Where the result of a call with these resolved arguments is kept; None when it must not be."""
    if tool.effect == "write" or redact(args) is not args:
        return None
    # Two agents may have different tools of one name and version: where they are from, and what they say of themselves,
    # tells them apart; tools of servers, which nobody wrote here, by their label and tags.
    written = getattr(tool, "__qualname__", "")
    where = (getattr(tool, "__module__", ""), written, () if written else (tool.label, tool.tags))
    call = ("tool", tool.name, tool.version, where, tool.spec, run.principal.tenant, args)
    # The full digest: arguments come from models, and whoever steers one must not find two calls with the same key.
    return bytes.fromhex(content_digest(encode(call)))


async def found(run: Run, key: bytes) -> Kept | None:
    """The result kept under `key`."""
    data = await caching.taken(run, key)
    return None if data is None else _decoder.decode(data)


def keep(run: Run, tool: Tool, key: bytes, value: Any, label: Label) -> None:
    """Keep a result for as long as its tool says, unless it is too large or holds a secret."""
    if tool.cache is None or redact(value) is not value:
        return
    data = encode(Kept(value, label))
    if len(data) <= run.limits.cache // LARGEST and run.services.vault.mask(data) is data:
        caching.put(run, key, data, tool.cache)
