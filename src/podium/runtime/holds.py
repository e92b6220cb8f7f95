"""Holds: a step that waits for a person, in the one way all of them do.

A hold is journaled and durable before anybody can answer it. Its request id is derived from the run, the step and what
is asked, so a resumed run finds the decision that was taken for exactly this, and no other step can use it.
"""

from __future__ import annotations

import hashlib
from typing import Any, cast

import msgspec

from podium.core.codec import decode, encode
from podium.core.records import NIL, Held, Hold, Signalled
from podium.core.redaction import redact_text

from .run import Run
from .step import Step


def request_id(run: Run, step: Step, binding: bytes) -> str:
    """The id an outsider names to decide this, and only this."""
    data = encode((run.id, step.key, binding))
    return hashlib.blake2b(data, digest_size=8).hexdigest()


async def hold_for(
    run: Run,
    step: Step,
    *,
    why: str,
    prompt: str,
    binding: bytes,
    rule: str = "",
    choices: tuple[str, ...] = (),
    roles: tuple[str, ...] = (),
    expires: float | None = None,
    detail: object = None,
    apart: bool = False,
) -> Signalled | None:
    """Journal a hold (once) and wait for its decision; None when nobody decided in time."""
    request = request_id(run, step, binding)
    past = step.past.held if step.past is not None else None
    if past is not None and past.hold.request == request:
        hold = past.hold
    elif request in run.decisions:
        return run.decisions[request]
    else:
        now = run.services.clock.time()
        hold = Hold(
            request,
            why,
            run.services.vault.mask_text(redact_text(prompt)),
            None if expires is None else now + expires,
            choices,
            roles,
            binding,
            NIL if detail is None else msgspec.Raw(encode(detail)),
            apart or (why == "approval" and run.services.apart),
        )
        run.held(
            Held(
                step.key, step.pos, step.action.kind, step.action.name, step.digest, now, hold, rule, NIL, step.waiting
            ),
            step.attempt,
        )
        barrier = run.writer.barrier()
        if barrier is not None:
            await barrier
    return await run.wait(hold)


def was_asked(run: Run, step: Step, binding: bytes) -> bool:
    """Whether an earlier drive asked exactly this."""
    request = request_id(run, step, binding)
    return step.past is not None and any(held.hold.request == request for held in step.past.holds)


def said(decision: Signalled | None) -> dict[str, Any]:
    """What came with a decision; nothing of none."""
    value = None if decision is None else decode(decision.data)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
