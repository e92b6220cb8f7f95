"""What a new run begins with: its first record, and the row that is accepted with it. Values in, values out."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from podium.agents.member import RunOptions
from podium.core.budgets import Budget, Charge
from podium.core.codec import digest_of, encode
from podium.core.errors import ConfigurationError
from podium.core.messages import Message
from podium.core.records import NIL, Principal, Started, decode_frame, encode_record, frame
from podium.ports import Member, NewRun
from podium.schema import dump

MOST_ID = 200
"""Characters of a run's name."""


def accepted(
    member: Member,
    input: Any,
    options: RunOptions,
    *,
    target: str,
    now: float,
    budget: Budget | None,
    policy: str,
    mask: Callable[[bytes], bytes],
) -> tuple[NewRun, Started]:
    """A new run, and its first record as whoever resumes it will read it: without the secrets that `mask` takes out.

    `now` is epoch seconds, `policy` the version of the gate's.
    """
    run_id = _valid(options.run_id) if options.run_id else new_run_id()
    input, history = _conversation(input, options.message_history)
    plain = dump(input)
    started = Started(
        run_id,
        member.name,
        now,
        NIL if plain is None else msgspec.Raw(encode(plain)),
        target=target,
        principal=options.principal or Principal(),
        session=options.session or "",
        deadline=_deadline(now, options.timeout, budget),
        history=history,
        charges=charges_of(run_id, budget),
        policy=policy,
    )
    data = encode_record(started)
    masked = mask(data)
    if masked is not data:
        started = cast("Started", decode_frame(frame([masked]))[0])
    digest = digest_of((member.name, plain, history))
    return NewRun(run_id, member.name, target, (masked,), now, "", started.session, digest), started


def _valid(run_id: str) -> str:
    """A run's name as its caller chose it. Raises ConfigurationError for one that no terminal or log could show."""
    if not run_id.isprintable() or run_id != run_id.strip() or len(run_id) > MOST_ID:
        raise ConfigurationError(
            f"{run_id[:80]!r} cannot name a run: give 1 to {MOST_ID} printable characters, without spaces at the ends"
        )
    return run_id


def new_run_id() -> str:
    """A fresh run id: sorts by time (milliseconds), then chance."""
    return f"run-{int(time.time() * 1000):011x}{secrets.token_hex(4)}"


def charges_of(run_id: str, limit: Budget | None) -> tuple[Charge, ...]:
    """The charge of a run's own budget; none without one."""
    charge = None if limit is None else limit.charge(f"run:{run_id}")
    return () if charge is None else (charge,)


def _deadline(now: float, timeout: float | None, limit: Budget | None) -> float | None:
    """When a run's time is over: after its timeout or the seconds of its budget, whatever is sooner."""
    given = [seconds for seconds in (timeout, None if limit is None else limit.seconds) if seconds is not None]
    return now + min(given) if given else None


def _conversation(input: Any, history: Sequence[Message]) -> tuple[Any, tuple[Message, ...]]:
    """Messages given as the input are part of the conversation the run was given."""
    if isinstance(input, Message):
        return None, (*history, input)
    items = cast("Sequence[object]", input) if isinstance(input, list | tuple) else ()
    if items:
        messages = [item for item in items if isinstance(item, Message)]
        if len(messages) == len(items):
            return None, (*history, *messages)
    return cast("Any", input), tuple(history)
