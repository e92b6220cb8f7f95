"""The exact response cache: an equal request may be answered with the reply it had before, at no cost.

Equal means everything that a provider is sent and everything that decides who is asked: model and server, messages,
tools, settings, the form of the answer, and the tenant. Only whole answers are kept; a reply is put there in the
commit of the record that holds it.
"""

from __future__ import annotations

import msgspec

from podium.core.actions import CallModel
from podium.core.codec import digest_of, encode
from podium.core.messages import Reply
from podium.ports import CacheEntry, CacheUse, Model

from .run import Run

_WHOLE = frozenset({"stop", "tool_calls"})
_decoder = msgspec.msgpack.Decoder(Reply)


def key_of(run: Run, action: CallModel, model: Model) -> bytes:
    """Where the reply to a request is kept."""
    request = action.request
    return digest_of(
        (
            "reply",
            model.name,
            str(getattr(model, "server", "")),
            run.principal.tenant,
            list(request.messages),
            request.tools,
            request.settings,
            request.output,
        )
    )


async def found(run: Run, key: bytes) -> Reply | None:
    """The reply kept under `key`, which is then the last to be forgotten."""
    data = await taken(run, key)
    return None if data is None else _decoder.decode(data)


def keep(run: Run, key: bytes, reply: Reply, seconds: float) -> None:
    """Keep a reply for so long, beside the record that is journaled next."""
    if reply.finish in _WHOLE:
        put(run, key, encode(reply), seconds)


async def taken(run: Run, key: bytes) -> bytes | None:
    """What is kept under `key`, of whatever kind; it is then the last to be forgotten."""
    now = run.services.clock.time()
    data = await run.services.store.cached(key, now)
    if data is not None:
        run.writer.attach(CacheUse(key, now))
    return data


def put(run: Run, key: bytes, data: bytes, seconds: float) -> None:
    """Keep something for so long, within what all that is kept may have."""
    now = run.services.clock.time()
    run.writer.attach(CacheEntry(key, data, now, now + seconds, run.limits.cache))
