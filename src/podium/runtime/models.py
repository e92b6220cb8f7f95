"""Model calls: journaled before they are made, retried when the failure may pass, and settled once.

What is stored of a request is its digest, the previous call of the same conversation, and where the messages added
since then come from. Attempts that failed are records of their own, so that what they cost is not lost.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from podium.core.actions import CallModel, Kind
from podium.core.codec import digest, encode
from podium.core.deltas import Delta, Reset, TextDelta, ThinkingDelta, ToolCallDelta
from podium.core.errors import ConfigurationError, ModelError, ModelTimeout, PermissionDenied, StepFailed
from podium.core.messages import AnyPart, Message, ModelRequest, Reply, Text, ToolCall
from podium.core.records import Began, Outcome, Retried
from podium.ports import Deny, HoldFor, Model, Proposal

from .bounded import Blocked, Expired, at_once, rest
from .run import Run, as_step_error, usage_or_none
from .step import FATAL, Step

_decoder = msgspec.msgpack.Decoder(Reply)


class ModelPerformer:
    """Calls models."""

    def digest(self, run: Run, action: CallModel) -> bytes:
        """The digest of the conversation so far and of everything else in the request."""
        return digest(action.form + action.transcript.digest)

    def receive(self, run: Run, action: CallModel, raw: msgspec.Raw) -> Reply:
        """The reply."""
        return _decoder.decode(raw)

    async def perform(self, run: Run, step: Step) -> None:
        """Make the call, again where that may help, and journal the reply."""
        action: CallModel = step.action  # pyright: ignore[reportAssignmentType]  (the table of performers is keyed by kind)
        model: Model = run.services.model(action.model) if isinstance(action.model, str) else action.model
        denied = _judge(run, step, model) if run.services.gate.concerns(Kind.MODEL) else None
        if denied is not None:
            step.finish(error=denied, rule=str(denied.data.get("rule", "")))
            return
        attempt = 1 if step.past is None else await _settle_earlier(run, step)
        retry = action.retry
        timeout = action.timeout or run.limits.model_timeout
        while True:
            began = _begin(run, step, model, attempt)
            barrier = run.writer.barrier()
            if barrier is not None:
                await barrier
            try:
                reply = at_once(model.request(_request(run, action, model), _emitter(run, step.key, attempt)))
                if type(reply) is Blocked:
                    reply = await rest(reply, timeout, run.services.clock)
            except asyncio.CancelledError:
                if not run.closed:
                    step.finish(error=_cancelled(model), outcome=Outcome.UNKNOWN, began=began, cost=None)
                raise
            except FATAL:
                raise
            except Expired:
                error: StepFailed = ModelTimeout(f"{model.name} did not answer within {timeout:g} s")
            except Exception as raised:  # noqa: BLE001  (a provider's or a script's own error is this attempt's outcome)
                error = as_step_error(raised, ModelError)
            else:
                _settled(run, step, began, reply)
                return
            if not error.transient or attempt >= retry.attempts:
                step.finish(
                    error=error, began=began, attempt=attempt, cost=error.data.get("cost", "0"), label=step.label
                )
                return
            delay = _delay(run, retry.first, retry.most, attempt, error)
            now = run.services.clock.time()
            run.retried(Retried(step.key, attempt, now, now + delay, error.failure), began)
            await _pause(run, delay)
            attempt += 1
            if run.heard:
                run.transient(Reset(step.key, attempt))


def _request(run: Run, action: CallModel, model: Model) -> ModelRequest:
    calls = run.facts.calls.get(model.name)
    request = action.request
    if not calls:
        return request
    return ModelRequest(request.messages, request.tools, request.settings, request.output, request.agent, calls)


def _cancelled(model: Model) -> StepFailed:
    return ModelError(f"the call of {model.name} was cancelled")


def _judge(run: Run, step: Step, model: Model) -> StepFailed | None:
    gate = run.services.gate
    frame = step.scope.frame
    verdict = gate.judge(
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
    if isinstance(verdict, Deny):
        return PermissionDenied(verdict.message, rule=verdict.rule)
    if isinstance(verdict, HoldFor):
        raise ConfigurationError(f"the check {verdict.rule} holds a model call; only tools can be held")
    return None


def _begin(run: Run, step: Step, model: Model, attempt: int) -> Began:
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
        previous=transcript.previous,
        added=transcript.pending if attempt == 1 else (),
        waiting=step.waiting,
        agent=step.scope.frame.subject,
    )
    seq = run.began(began)
    if attempt == 1:
        transcript.called(seq)
    return began


async def _settle_earlier(run: Run, step: Step) -> int:
    """The number of the attempt to make, after settling one that a crash left open."""
    past = step.past
    if past is None or past.began is None:
        return 1
    action: CallModel = step.action  # pyright: ignore[reportAssignmentType]
    action.transcript.called(past.began_seq)
    began = past.began
    retried = past.retried
    now = run.services.clock.time()
    if retried is not None and retried.attempt == began.attempt:
        if retried.until > now:
            await _pause(run, min(retried.until - now, action.retry.most))
        return began.attempt + 1
    lost = ModelError("the process ended before the reply was recorded")
    run.retried(
        Retried(step.key, began.attempt, now, now, lost.failure, None, uncertain=began.reserved or "0"),
        began,
    )
    return began.attempt + 1


async def _pause(run: Run, seconds: float) -> None:
    await run.services.clock.sleep(seconds)


def _delay(run: Run, first: float, most: float, attempt: int, error: StepFailed) -> float:
    """Exponential backoff with full jitter on its upper half; what the provider asks for is a lower bound."""
    base = min(most, first * 2 ** (attempt - 1))
    delay = base * (0.5 + 0.5 * run.services.random())
    asked = error.data.get("retry_after")
    return max(delay, float(asked)) if isinstance(asked, int | float) else delay


def _with_ids(reply: Reply, seq: int) -> Reply:
    """The reply with an id for each tool call that has none; derived from the journal, so the same on every machine."""
    parts = reply.message.parts
    for part in parts:
        if type(part) is ToolCall and part.id is None:
            break
    else:
        return reply
    numbered = tuple(
        [
            ToolCall(part.name, part.args, f"call_{seq}_{index}", part.invalid, part.signature)
            if type(part) is ToolCall and part.id is None
            else part
            for index, part in enumerate(parts)
        ]
    )
    message = reply.message
    return Reply(Message(message.role, numbered, message.name), reply.usage, reply.finish, reply.model, reply.cost)


def _settled(run: Run, step: Step, began: Began, reply: Reply) -> None:
    """Journal a reply. What no journal can hold (a lone surrogate, a number beyond 64 bits) is replaced or refused."""
    reply = _with_ids(reply, run.facts.seq + 1)
    usage = usage_or_none(reply.usage)
    label = step.label
    try:
        step.finish(reply, usage=usage, cost=reply.cost, began=began, attempt=began.attempt, label=label)
    except (TypeError, ValueError, OverflowError):
        message = reply.message
        parts = tuple([_storable_part(part) for part in message.parts])
        sound = Reply(Message(message.role, parts), reply.usage, reply.finish, reply.model, reply.cost)
        step.finish(sound, usage=usage, cost=reply.cost, began=began, attempt=began.attempt, label=label)


def _storable_part(part: AnyPart) -> AnyPart:
    try:
        encode(part)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(part, ToolCall):
            why = part.invalid or f"they hold a value that cannot be stored ({error})"
            return ToolCall(_sound(part.name), {}, part.id, _sound(why))
        return Text(_sound(getattr(part, "text", "") or "[a part that cannot be stored]"))
    return part


def _sound(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _emitter(run: Run, key: str, attempt: int) -> Any:
    if not run.heard:
        return None

    def emit(delta: Delta) -> None:
        if isinstance(delta, TextDelta):
            run.transient(TextDelta(delta.text, key, attempt, delta.offset))
        elif isinstance(delta, ThinkingDelta):
            run.transient(ThinkingDelta(delta.text, key, attempt, delta.offset))
        else:
            run.transient(ToolCallDelta(delta.index, delta.name, delta.arguments, key, attempt, delta.offset))

    return emit
