"""What a call may cost, before it is made, and what it did cost, afterwards.

Before: the worst case (every byte of the request a token, every token of output used, at the dearest rate) is reserved
on every account in force, in one commit with the step's `Began`; what would pass a limit is refused, and the step ends.
After: the reservation is settled with what was used, in one commit with the `Ended` (or `Retried`). A call whose
outcome nobody knows is settled with all that was reserved, and recorded as uncertain.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec

from podium.core.actions import CallModel
from podium.core.budgets import Amount, Charge, Refusal
from podium.core.codec import encode
from podium.core.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    ContextTooLong,
    PermissionDenied,
    RateLimited,
    StepFailed,
    UnexpectedCall,
)
from podium.core.messages import Media, ModelRequest, Reply
from podium.core.money import pico
from podium.core.records import NIL, Began, Ended, Outcome
from podium.core.usage import NO_USAGE
from podium.ports import Model

from .reserving import Paid

if TYPE_CHECKING:
    from podium.core.prices import Price

    from .run import Run
    from .step import Step

OUTPUT = 8192
"""Tokens of output that a request under a budget may have when it sets no limit of its own: at most,"""
LEAST = 256
"""and at least, however small the budget is;"""
SHARE = 4
"""between the two, so many that this number of calls fits."""
USUAL = 512
"""Tokens of output that a request is thought to have when it sets no limit."""
OVERHEAD = 1024
"""Tokens that providers add for tools and roles, which are no bytes of ours."""
MEDIA = 16_384
"""Tokens that an image or a file may have whatever its size in bytes."""

_UNBILLED = (
    RateLimited,
    AuthenticationFailed,
    BadRequest,
    ContextTooLong,
    ContentFiltered,
    UnexpectedCall,
    PermissionDenied,
)


def charges_of(run: Run, step: Step) -> tuple[Charge, ...]:
    """The accounts that a step of this member is charged to, in the order in which they are locked."""
    own = run.started.charges
    budgets = run.services.budgets
    if budgets is None:
        return own
    return budgets.charges(
        own,
        agent=step.scope.frame.subject,
        session=run.billed,
        tenant=run.principal.tenant,
        at=run.services.clock.time(),
    )


class Bound(msgspec.Struct, frozen=True, gc=False):
    """The most that a call may use, and how many tokens of output that allows."""

    amount: Amount
    output: int


def bound(run: Run, action: CallModel, model: Model, charges: tuple[Charge, ...]) -> Bound | PermissionDenied:
    """The most that a call may use. Refused when only its price would tell, and nobody knows it."""
    tokens = bytes_of(action) + OVERHEAD
    price = run.services.prices.price(model, None, action.request.settings.extra)
    if price is None:
        limited = next((charge for charge in charges if charge.usd is not None), None)
        if limited is not None:
            return PermissionDenied(
                f"the price of {model.name} is not known, so it cannot be kept in the budget {limited.scope!r}: give "
                f'it one (Podium(prices={{"{model.name}": Price(input=…, output=…)}}), or [prices] in podium.toml), '
                "or set a budget of tokens instead",
                rule="budget:price",
            )
    output = action.request.settings.max_output_tokens
    if output is None:
        output = _affordable(charges, tokens, price, run.services.prices.max_output(model))
    usd = 0 if price is None else pico(price.worst(tokens, output))
    return Bound(Amount(usd, tokens + output, 1), output)


def _affordable(charges: tuple[Charge, ...], tokens: int, price: Price | None, most: int | None) -> int:
    """Tokens of output for a request that sets no limit: `OUTPUT`, or so many that four such calls fit the budgets."""
    output = min(OUTPUT, most or OUTPUT)
    for charge in charges:
        if charge.tokens is not None:
            output = min(output, charge.tokens // SHARE - tokens)
        if charge.usd is not None and price is not None:
            each = pico(price.worst(tokens, 1000) - price.worst(tokens, 0)) / 1000
            if each:
                output = min(output, int((charge.usd / SHARE - pico(price.worst(tokens, 0))) / each))
    return max(output, LEAST)


def bytes_of(action: CallModel) -> int:
    """The size of a request: at least as many bytes as its text can have tokens."""
    request = action.request
    size = action.transcript.size(_size)
    return size + len(encode((request.tools, request.output))) + 2 * len(request.tools)


def estimate(action: CallModel) -> int:
    """About how many tokens a call will use: a quarter of its bytes, and as much output as it asks for, or little."""
    return bytes_of(action) // 4 + (action.request.settings.max_output_tokens or USUAL)


def _size(part: object) -> int:
    """The bytes of a message, and more for media, whose tokens are not their bytes."""
    size = len(encode(part))
    return size + MEDIA * sum(1 for one in getattr(part, "parts", ()) if type(one) is Media)


def limited(request: ModelRequest, limit: int) -> ModelRequest:
    """The request with a limit to its output, if it has none."""
    if request.settings.max_output_tokens is not None:
        return request
    return msgspec.structs.replace(request, settings=msgspec.structs.replace(request.settings, max_output_tokens=limit))


async def begin(run: Run, step: Step, began: Began, amount: Amount, charges: tuple[Charge, ...]) -> int:
    """Journal a `Began` with its reservation; its number, or 0 when it was refused (the step is over then)."""

    def refused(refusal: Refusal) -> Ended:
        return Ended(
            step.key,
            began.at,
            Outcome.EXHAUSTED,
            NIL,
            refusal.error().failure,
            attempt=began.attempt,
            pos=step.pos,
            kind=began.kind,
            name=began.name,
            digest=step.digest,
            waiting=step.waiting,
            rule="budget",
        )

    paid = Paid(began, amount, charges, refused)
    seq = run.reserve(paid)
    try:
        await run.decided(step, paid, seq)
    except asyncio.CancelledError:
        if paid.refusal is not None:
            step.ended(refused(paid.refusal), seq)
        elif not run.closed:
            step.attempt = began
            step.cancelled(made=False)
        raise
    if paid.refusal is not None:
        step.ended(refused(paid.refusal), seq)
        return 0
    step.attempt = began
    return seq


def priced(run: Run, action: CallModel, model: Model, reply: Reply) -> Reply:
    """The reply with what it cost, if that can be known."""
    if reply.cost is not None:
        return reply
    price: Price | None = run.services.prices.price(model, reply.model, action.request.settings.extra)
    if price is None or (reply.usage == NO_USAGE and not _free(price)):
        return reply  # a server that does not count has not told what it will bill
    return Reply(reply.message, reply.usage, reply.finish, reply.model, str(price.cost(reply.usage)))


def cost_of_failure(run: Run, model: Model, error: StepFailed) -> str | None:
    """What a failed attempt cost: `"0"` when it certainly was not billed, None when nobody knows."""
    known = error.data.get("cost")
    if known is not None:
        return str(known)
    status = error.data.get("status")
    answered = isinstance(status, int) and status >= 400
    if answered or error.data.get("sent") is False or isinstance(error, _UNBILLED):
        return "0"
    price = run.services.prices.price(model)
    return "0" if price is not None and _free(price) else None


def _free(price: Price) -> bool:
    return price.worst(1, 1) == Decimal(0)
