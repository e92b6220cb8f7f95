"""Model calls: journaled before they are made, retried when the failure may pass, and settled once.

What is stored of a request is its digest, the previous call of the same conversation, and where the messages added
since then come from. Attempts that failed are records of their own, so that what they cost is not lost. A model may be
a chain of several (`FallbackModel`): each attempt then names the one it asks, and an error of a kind the chain answers
for makes the next attempt ask the next.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec

from podium.core.actions import CallModel, Kind, Retry
from podium.core.budgets import Charge
from podium.core.codec import digest, is_erased
from podium.core.deltas import Reset
from podium.core.errors import (
    ConfigurationError,
    Erased,
    ModelError,
    ModelTimeout,
    PermissionDenied,
    RateLimited,
    StepFailed,
    rebuild,
)
from podium.core.messages import ModelRequest, Reply
from podium.core.money import dollars
from podium.core.pieces import deltas_of
from podium.core.records import Began, Outcome, Retried
from podium.ports import Allow, Deny, Fallback, HoldFor, Model, Proposal

from . import caching, paying
from .bounded import Blocked, Expired, at_once, rest
from .replies import emitter, storable, with_ids
from .run import Run, as_step_error, usage_or_none
from .sealing import sealed_reply
from .services import Rates
from .step import FATAL, Step

_decoder = msgspec.msgpack.Decoder(Reply)


class ModelPerformer:
    """Calls models."""

    def digest(self, run: Run, action: CallModel) -> bytes:
        """The digest of the conversation so far and of everything else in the request."""
        return digest(action.form + action.transcript.digest)

    def receive(self, run: Run, action: CallModel, raw: msgspec.Raw) -> Reply:
        """The reply."""
        if is_erased(raw):
            raise Erased("this reply was erased, so the run cannot be taken up or forked behind it: start a new one")
        return _decoder.decode(raw)

    async def perform(self, run: Run, step: Step) -> None:
        """Make the call, again where that may help, and journal the reply."""
        action: CallModel = step.action  # pyright: ignore[reportAssignmentType]  (the table of performers is keyed by kind)
        route, policy = _route(run, action.model)
        judged = _UNJUDGED
        if run.services.gate.concerns(Kind.MODEL):
            judged = _judged(run, step, route)
            if judged.denied is not None:
                step.finish(error=judged.denied, rule=str(judged.denied.data.get("rule", "")))
                return
            route = judged.route
        key = None
        if action.cache is not None:
            key = caching.key_of(run, action, route[0])
            if step.past is None and await _recalled(run, step, route[0], key, judged):
                return
        place, attempt = (0, 1) if step.past is None else await _settle_earlier(run, step, route, policy)
        tries = 0
        while True:
            model = route[place]
            tries += 1
            charges = paying.charges_of(run, step)
            rates = run.services.rates
            ticket = None if rates is None else await _entered(rates, run, action, model)
            try:
                bound = paying.bound(run, action, model, charges) if charges else None
                if isinstance(bound, StepFailed):
                    step.finish(error=bound, attempt=attempt, rule=str(bound.data.get("rule", "")))
                    return
                began = await _begin(run, step, model, attempt, charges, bound, judged=judged)
                if began is None:
                    return
                reply = await self._attempt(run, step, began, model, bound)
                if rates is not None:
                    _left(rates, ticket, model, reply)
                    ticket = None
            finally:
                if ticket is not None and rates is not None:
                    rates.withdraw(ticket)
            if isinstance(reply, Reply):
                _settled(run, step, began, model, reply, key if place == 0 else None)
                return
            following = _following(action.retry, policy, place, len(route), reply, tries)
            cost = paying.cost_of_failure(run, model, reply)
            if following is None:
                step.finish(error=reply, began=began, attempt=attempt, cost=cost, label=step.label)
                return
            await _paused(run, step, began, reply, cost, tries if following == place else 0)
            if following != place:
                place, tries = following, 0
            attempt += 1
            if run.heard:
                run.transient(Reset(step.key, attempt))

    async def _attempt(
        self, run: Run, step: Step, began: Began, model: Model, bound: paying.Bound | None
    ) -> Reply | StepFailed:
        """Ask once: the reply, or why there is none."""
        action: CallModel = step.action  # pyright: ignore[reportAssignmentType]
        timeout = action.timeout or run.limits.model_timeout
        try:
            request = _request(run, action, model)
            if bound is not None:
                request = paying.limited(request, bound.output)
            reply = at_once(model.request(request, emitter(run, step.key, began.attempt, withheld=action.withheld)))
            if type(reply) is Blocked:
                reply = await rest(reply, timeout, run.services.clock)
        except asyncio.CancelledError:
            if not run.closed:
                error = ModelError(f"the call of {model.name} was cancelled")
                cost = paying.cost_of_failure(run, model, error)
                step.finish(error=error, outcome=Outcome.UNKNOWN, began=began, cost=cost)
            raise
        except FATAL:
            raise
        except Expired:
            return ModelTimeout(f"{model.name} did not answer within {timeout:g} s")
        except Exception as raised:  # noqa: BLE001  (a provider's or a script's own error is this attempt's outcome)
            return as_step_error(raised, ModelError)
        return cast("Reply", reply)


# --------------------------------------------------------------------------------------------------------- who is asked


def _route(run: Run, model: Model | str) -> tuple[tuple[Model, ...], Fallback | None]:
    """The models to ask, in order, and when the next is asked: one, or those of a chain."""
    found: Model = run.services.model(model) if isinstance(model, str) else model
    fallback: Fallback | None = getattr(found, "fallback", None)
    if fallback is None:
        return (found,), None
    return tuple([run.services.model(each) if isinstance(each, str) else each for each in fallback.chain]), fallback


def _following(
    retry: Retry, policy: Fallback | None, place: int, models: int, error: StepFailed, tries: int
) -> int | None:
    """The place of the model to ask after a failure: the same again, the next of the chain, or none."""
    attempts = retry.attempts if policy is None or policy.attempts is None else policy.attempts
    if error.transient and tries < attempts:
        return place
    if policy is not None and place + 1 < models and isinstance(error, policy.on):
        return place + 1
    return None


class _Judged:
    """What the gate says of the models of a call: which may be asked, under which rules, and which may not."""

    __slots__ = ("denied", "refused", "route", "rules")

    def __init__(self) -> None:
        self.route: tuple[Model, ...] = ()
        self.rules: dict[str, str] = {}
        self.refused: tuple[tuple[str, str], ...] = ()
        self.denied: StepFailed | None = None
        """Why none may be asked."""


_UNJUDGED = _Judged()


def _judged(run: Run, step: Step, route: tuple[Model, ...]) -> _Judged:
    judged = _Judged()
    for model in route:
        verdict = _verdict(run, step, model)
        if isinstance(verdict, str):
            judged.route = (*judged.route, model)
            judged.rules[model.name] = verdict
        else:
            judged.refused = (*judged.refused, (model.name, str(verdict.data.get("rule", ""))))
            judged.denied = judged.denied or verdict
    if judged.route:
        judged.denied = None
    return judged


def _verdict(run: Run, step: Step, model: Model) -> str | StepFailed:
    """The rule that lets the member ask a model, or why it may not."""
    frame = step.scope.frame
    verdict = run.services.gate.judge(
        Proposal(
            kind=Kind.MODEL,
            name=model.name,
            args=None,
            digest=step.digest,
            subject=frame.subject,
            grants=frame.grants,
            principal=run.principal,
            label=step.label,
            key=step.key,
            run_id=run.id,
        )
    )
    if type(verdict) is Allow:
        return verdict.rule
    if isinstance(verdict, Deny):
        return PermissionDenied(verdict.message, rule=verdict.rule)
    if isinstance(verdict, HoldFor):
        raise ConfigurationError(f"the check {verdict.rule} holds a model call; only tools can be held")
    raise ConfigurationError(f"the check {verdict.rule} rewrites a model call; only calls of tools can be rewritten")


# --------------------------------------------------------------------------------------------------------- the attempt


async def _entered(rates: Rates, run: Run, action: CallModel, model: Model) -> Any:
    """Wait for one's turn to call a model; nothing is journaled or reserved before that."""
    ticket = rates.enter(model.name, run.id, paying.estimate(action))
    if ticket is not None and ticket.waiting:
        await rates.wait(ticket)
    return ticket


def _left(rates: Rates, ticket: Any, model: Model, reply: Reply | StepFailed) -> None:
    if isinstance(reply, Reply):
        if ticket is not None:
            rates.settle(ticket, reply.usage.total_tokens or None)
        return
    if isinstance(reply, RateLimited):
        asked = reply.data.get("retry_after")
        rates.refused(model.name, float(asked) if isinstance(asked, int | float) else None)
    if ticket is not None:
        rates.settle(ticket, 0 if isinstance(reply, RateLimited) else None)


def _request(run: Run, action: CallModel, model: Model) -> ModelRequest:
    calls = run.facts.calls.get(model.name)
    request = action.request
    if not calls:
        return request
    return ModelRequest(request.messages, request.tools, request.settings, request.output, request.agent, calls)


async def _begin(
    run: Run,
    step: Step,
    model: Model,
    attempt: int,
    charges: tuple[Charge, ...] = (),
    bound: paying.Bound | None = None,
    *,
    judged: _Judged = _UNJUDGED,
    durable: bool = True,
) -> Began | None:
    """Journal that an attempt begins, with its worst case reserved; None when it must not, and the step is over."""
    action: CallModel = step.action  # pyright: ignore[reportAssignmentType]
    transcript = action.transcript
    began = Began(
        step.key,
        step.pos,
        Kind.MODEL,
        action.name,
        step.digest,
        run.services.clock.time(),
        attempt,
        run.lease.epoch,
        "",
        model.name,
        judged.rules.get(model.name, ""),
        previous=transcript.previous,
        added=transcript.pending if attempt == 1 else (),
        reserved=None if bound is None else str(dollars(bound.amount.usd)),
        waiting=step.waiting,
        agent=step.scope.frame.subject,
        refused=judged.refused if attempt == 1 else (),
    )
    if bound is None:
        seq = run.began(began)
        step.attempt = began
        barrier = run.writer.barrier() if durable else None
        if barrier is not None:
            await step.durable(barrier)
    else:
        seq = await paying.begin(run, step, began, bound.amount, charges)
        if not seq:
            return None
    if attempt == 1:
        transcript.called(seq)
    return began


async def _recalled(run: Run, step: Step, model: Model, key: bytes, judged: _Judged) -> bool:
    """Answer from the cache, if it can; journaled as any call, and as a hit."""
    reply = await caching.found(run, key)
    if reply is None:
        return False
    began = await _begin(run, step, model, 1, judged=judged, durable=False)
    if began is not None:
        reply = with_ids(reply, run.facts.seq + 1)
        action = cast("CallModel", step.action)
        emit = emitter(run, step.key, 1, withheld=action.withheld)
        if emit is not None:
            for delta in deltas_of(reply):
                emit(delta)
        step.finish(reply, began=began, label=step.label, cached=True)
    return True


async def _settle_earlier(run: Run, step: Step, route: tuple[Model, ...], policy: Fallback | None) -> tuple[int, int]:
    """Whom to ask and the number of the attempt, after settling one that a crash left open."""
    past = step.past
    if past is None or past.began is None:
        return 0, 1
    action: CallModel = step.action  # pyright: ignore[reportAssignmentType]
    action.transcript.called(past.began_seq)
    began = past.began
    place = next((index for index, model in enumerate(route) if model.name == began.version), 0)
    retried = past.retried
    now = run.services.clock.time()
    if retried is not None and retried.attempt == began.attempt:
        if retried.until > now:
            await run.services.clock.sleep(min(retried.until - now, action.retry.most))
        following = _following(action.retry, policy, place, len(route), rebuild(retried.error), 1)
        return place if following is None else following, began.attempt + 1
    lost = ModelError("the process ended before the reply was recorded")
    step.retried(Retried(step.key, began.attempt, now, now, lost.failure, None, uncertain=began.reserved or "0"))
    return place, began.attempt + 1


async def _paused(run: Run, step: Step, began: Began, error: StepFailed, cost: str | None, tries: int) -> None:
    """Journal a failed attempt that is followed by another, and wait as long as that says. 0 tries: not at all."""
    retry = cast("CallModel", step.action).retry
    delay = _delay(run, retry.first, retry.most, tries, error) if tries else 0.0
    now = run.services.clock.time()
    uncertain = None if cost is not None or began.reserved is None else began.reserved
    step.retried(Retried(began.key, began.attempt, now, now + delay, error.failure, cost, uncertain))
    if delay:
        await run.services.clock.sleep(delay)


def _delay(run: Run, first: float, most: float, tries: int, error: StepFailed) -> float:
    """Exponential backoff with full jitter on its upper half; what the provider asks for is a lower bound."""
    base = min(most, first * 2 ** (tries - 1))
    delay = base * (0.5 + 0.5 * run.services.random())
    asked = error.data.get("retry_after")
    return max(delay, float(asked)) if isinstance(asked, int | float) else delay


def _settled(run: Run, step: Step, began: Began, model: Model, reply: Reply, key: bytes | None) -> None:
    """Journal a reply, with what it used and cost."""
    action: CallModel = step.action  # pyright: ignore[reportAssignmentType]
    priced = paying.priced(run, action, model, reply)
    plain = sealed_reply(run, priced)
    reply = with_ids(plain, run.facts.seq + 1)
    usage = usage_or_none(reply.usage)
    label = step.label
    try:
        step.finish(reply, usage=usage, cost=reply.cost, began=began, attempt=began.attempt, label=label)
    except (TypeError, ValueError, OverflowError):
        reply, key = storable(reply), None
        step.finish(reply, usage=usage, cost=reply.cost, began=began, attempt=began.attempt, label=label)
    if key is not None and action.cache is not None and plain is priced:  # nobody else could open what was sealed
        caching.keep(run, key, plain, action.cache)  # its calls are named anew in each run that it answers
    if run.services.paid is not None and reply.cost is not None:
        run.services.paid(step.scope.frame.subject, reply.cost)
