"""Tool calls: through the gate, and at most once where once is what was promised.

The effect a tool declares decides what must be durable before it runs and what a crash, a timeout or an unknown error
means. Whenever the outcome of a `write` is unknown, the step is in doubt: the tool's `reconcile` settles it, or a
person; it is never silently repeated. Whatever a tool raises becomes its result; no tool can break a run.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from podium.core.actions import CallTool, Kind
from podium.core.budgets import Amount
from podium.core.codec import decode, digest_of, encode
from podium.core.errors import (
    Aborted,
    NotDone,
    StepFailed,
    ToolError,
    ToolTimeoutError,
    ToolValidationError,
)
from podium.core.labels import Label
from podium.core.money import pico
from podium.core.records import NIL, Began, Outcome, Retried
from podium.ports import Tool

from . import approving, clearing, paying, tool_cache
from .bounded import Blocked, Expired, at_once, bounded, rest
from .clearing import Cleared
from .holds import hold_for, said, was_asked
from .invoking import begun_with, changed, context_of, idempotency_key, in_thread, named, not_given
from .run import Run, as_step_error
from .sealing import discreet, echoed, fetched, seal
from .step import Step

RECONCILED = "act-once:reconciled"
"""The rule of an outcome that a tool's `reconcile` told."""
MOST_ASKED = 300.0
"""Seconds a tool's failure may ask to wait before another attempt."""
_FREE = frozenset({"", "0"})


class ToolPerformer:
    """Calls tools."""

    def digest(self, run: Run, action: CallTool) -> bytes:
        """The digest of the name and the arguments as they were asked for.

        Raises ToolValidationError for arguments that no journal could hold.
        """
        try:
            return digest_of((action.name, action.args))
        except (TypeError, ValueError, OverflowError) as error:
            raise ToolValidationError(f"the arguments of {action.name} cannot be stored: {error}") from error

    def receive(self, run: Run, action: CallTool, raw: msgspec.Raw) -> Any:
        """The result as plain data."""
        return decode(raw)

    async def perform(self, run: Run, step: Step) -> None:
        """Pass the gate, then act, then journal what came of it."""
        action: CallTool = step.action  # pyright: ignore[reportAssignmentType]  (the table of performers is keyed by kind)
        tool: Tool | None = action.tool
        lack: StepFailed | None = None
        if tool is None:
            tool, lack = await named(run, step, action)
        past = step.past
        if past is not None and past.began is not None:
            tool = begun_with(run, tool, past.began, lack)
            if tool is not None:
                # It passed the gate and began. What was allowed then was these arguments, after any edit.
                await self._after_crash(run, step, tool, past.began)
                return
            _lost(run, step, past.began, "the process ended while it ran, and the tool is not known any more")
        cleared = clearing.at_once(run, step, action, tool)
        if cleared is None:
            cleared = await clearing.clear(run, step, action, tool, action.args, lack=lack)
        if isinstance(cleared, StepFailed):
            _refused(run, step, action.args, cleared)
            return
        if tool is None:
            return
        key = None
        if tool.cache is not None:
            key = tool_cache.key_of(run, tool, cleared.args)
            kept = None if key is None else await tool_cache.found(run, key)
            if kept is not None:
                _reuse(run, step, tool, cleared, kept)
                return
        await self._attempts(run, step, tool, cleared, 1, key)

    async def _attempts(
        self, run: Run, step: Step, tool: Tool, cleared: Cleared, attempt: int, key: bytes | None = None
    ) -> None:
        """Call the tool until it is over. `key` is where its result is kept for equal calls."""
        action: CallTool = step.action  # pyright: ignore[reportAssignmentType]
        effect = tool.effect
        timeout = action.timeout or tool.timeout or run.limits.tool_timeout
        run.services.tools.called(tool)
        slots = run.slots
        while True:
            if run.cancelled or not slots.take():
                await _turn(run, step)
            try:
                began = _begun(run, step, tool, cleared, attempt)
                if tool.cost in _FREE:
                    run.began(began)
                    step.attempt = began
                else:
                    paid = await _paid(run, step, tool, began)
                    if paid is None:
                        return
                    began = paid
                barrier = None if effect == "read" else run.writer.barrier(sync=effect == "write")
                if barrier is not None:
                    await step.durable(barrier)
                    run.check()
                context = context_of(run, step, attempt, cleared.args if cleared.hides else None)
                try:
                    if tool.blocking:
                        value = await in_thread(run, tool, cleared.args, context, timeout)
                    else:
                        value = at_once(tool.invoke(cleared.args, context))
                        if type(value) is Blocked:
                            value = await rest(value, timeout, run.services.clock)
                except asyncio.CancelledError:
                    if not run.closed:
                        step.cancelled()
                    raise
                except Exception as error:  # noqa: BLE001  (no exception of a tool may break a run, whatever its class)
                    raised = error
                else:
                    _end(run, step, tool, began, _told(run, cleared, value), key=key)
                    if effect == "write":
                        await _synced(run)
                    return
            finally:
                # Not held while it is decided how to go on: a person, or a pause, would keep other calls waiting.
                slots.leave()
            if not await self._failed(run, step, tool, cleared, began, raised, timeout):
                return
            attempt += 1

    async def _failed(
        self,
        run: Run,
        step: Step,
        tool: Tool,
        cleared: Cleared,
        began: Began,
        raised: Exception,
        timeout: float,
    ) -> bool:
        """Deal with what an attempt raised; True when another attempt is to follow."""
        write = tool.effect == "write"
        # What a tool says itself is certain; what merely happened to it (a lost connection, a bug) may pass.
        certain = isinstance(raised, StepFailed) and not (raised.transient or isinstance(raised, NotDone))
        if cleared.hides and not isinstance(raised, Expired):
            raised = discreet(run, cleared.args, as_step_error(raised, ToolError))
        if isinstance(raised, NotDone):
            error: StepFailed = raised
        elif isinstance(raised, ToolValidationError):
            error = raised
            if write and raised.data.get("where") == "result":
                error = ToolValidationError(f"{tool.name} did happen, but: {raised}", **raised.data)
        elif isinstance(raised, Expired):
            error = ToolTimeoutError(f"{tool.name} took longer than {timeout:g} s")
            if write:
                return await self._settle(run, step, tool, cleared, began, str(error))
        else:
            error = as_step_error(raised, ToolError)
            if write:
                return await self._settle(run, step, tool, cleared, began, f"{tool.name} raised {error}")
        if not certain and await self._again(run, step, tool, began, error):
            return True
        await _finish(run, step, tool, began, error=error)
        return False

    async def _again(self, run: Run, step: Step, tool: Tool, began: Began, error: StepFailed) -> bool:
        """Whether a failed attempt is followed by another, after the pause that journaling it announces."""
        known = error.worth_retrying if isinstance(error, NotDone) else tool.effect != "write"
        if not known or isinstance(error, ToolValidationError) or began.attempt > tool.retries:
            return False
        delay = min(30.0, 0.2 * 2 ** (began.attempt - 1)) * (0.5 + 0.5 * run.services.random())
        asked = error.data.get("retry_after")  # seconds, as the service behind the tool said
        if isinstance(asked, int | float):
            delay = max(delay, min(float(asked), MOST_ASKED))
        now = run.services.clock.time()
        step.retried(Retried(step.key, began.attempt, now, now + delay, error.failure, _cost(tool, error)))
        await run.services.clock.sleep(delay)
        return True

    # --------------------------------------------------------------------------------------------------- in doubt

    async def _after_crash(self, run: Run, step: Step, tool: Tool, began: Began) -> None:
        action: CallTool = step.action  # pyright: ignore[reportAssignmentType]
        # What happened can be settled with a tool that changed since, and without a secret that was forgotten; what is
        # done now is done with neither.
        lack = not_given(action, tool)
        try:
            args = await approving.begun_args(run, step, tool, await fetched(run, action.args))
        except ToolValidationError as error:
            args, lack = action.args, lack or error
        cleared = Cleared(args, began.rule)
        past = step.past
        why = "the process ended while it ran"
        other = changed(run, tool, began)
        if past is not None and past.retried is not None and past.retried.attempt == began.attempt:
            again = True
        elif other:
            again = await self._ask(run, step, tool, cleared, began, f"{why}, and {other}")
        elif began.effect == "write":
            again = await self._settle(run, step, tool, cleared, began, why)
        else:
            _lost(run, step, began, why)
            again = True
        if not again:
            return
        # Another process, and maybe another policy: what may not be done any more is not done again.
        now = lack or await clearing.clear(run, step, action, tool, args, approving.lifted(run, step))
        if isinstance(now, StepFailed):
            _refused(run, step, args, now, began.attempt)
        else:
            await self._attempts(run, step, tool, now, began.attempt + 1)

    async def _settle(self, run: Run, step: Step, tool: Tool, cleared: Cleared, began: Began, why: str) -> bool:
        """Find out what came of a write. True when it did not happen and is to be done now."""
        if tool.reconcile is not None and not was_asked(run, step, _doubt(step, began)):
            try:
                value = await bounded(
                    tool.settle(idempotency_key(run.id, step.key), cleared.args),
                    run.limits.reconcile_timeout,
                    run.services.clock,
                )
            except NotDone as error:
                now = run.services.clock.time()
                step.retried(Retried(step.key, began.attempt, now, now, error.failure))
                return True
            except Exception as error:  # noqa: BLE001  (a reconcile that fails has settled nothing; a person must)
                failed = discreet(run, cleared.args, as_step_error(error, ToolError))
                why = f"{why}, and its reconcile failed ({failed})"
            else:
                await _finish(run, step, tool, began, _told(run, cleared, value), rule=RECONCILED)
                return False
        return await self._ask(run, step, tool, cleared, began, why)

    async def _ask(self, run: Run, step: Step, tool: Tool, cleared: Cleared, began: Began, why: str) -> bool:
        # The hold is journaled under the step's own digest: that is what marks this exact call as doubtful.
        decision = await hold_for(
            run,
            step,
            why="in_doubt",
            prompt=f"Did {tool.name} happen? {why}; its outcome is unknown.",
            binding=_doubt(step, began),
            choices=("happened", "not_happened", "abort"),
            detail={
                "tool": tool.name,
                "args": cleared.shown,
                "idempotency_key": idempotency_key(run.id, step.key),
            },
        )
        answer = said(decision)
        choice = answer.get("choice")
        if choice == "happened":
            await _finish(run, step, tool, began, answer.get("result"))
            return False
        if choice == "not_happened":
            now = run.services.clock.time()
            step.retried(Retried(step.key, began.attempt, now, now, NotDone("it did not happen").failure))
            return True
        step.finish(
            error=Aborted(f"nobody could say whether {tool.name} happened, and the run was ended"),
            outcome=Outcome.UNKNOWN,
            began=began,
            cost="0" if began.reserved is None else None,
        )
        return False


def _doubt(step: Step, began: Began) -> bytes:
    """What the question is bound to whether an attempt happened."""
    return encode(("in_doubt", began.attempt, step.digest))


def _cost(tool: Tool, error: StepFailed | None) -> str:
    """What an attempt cost: the tool's price, also when it failed, unless it says that it did nothing."""
    return "0" if isinstance(error, NotDone) else tool.cost or "0"


def _lost(run: Run, step: Step, began: Began, why: str) -> None:
    """End the reservation of an attempt that nobody knows the end of. Without one there is nothing to say."""
    if began.reserved is not None:
        now = run.services.clock.time()
        step.retried(Retried(began.key, began.attempt, now, now, ToolError(why).failure, None, began.reserved))


# ---------------------------------------------------------------------------------------------------------- the call


def _refused(run: Run, step: Step, args: dict[str, Any], why: StepFailed, attempt: int = 1) -> None:
    """Journal that the gate, or whoever it asked, did not let the call pass: not again, if it was under way."""
    rule = str(why.data.get("rule", ""))
    step.finish(error=discreet(run, args, why), rule=rule, began=step.attempt, attempt=attempt)


async def _paid(run: Run, step: Step, tool: Tool, began: Began) -> Began | None:
    """Journal the beginning of a tool call that costs something, within the budgets; None when they refuse."""
    charges = paying.charges_of(run, step)
    if not charges:
        run.began(began)
        step.attempt = began
        return began
    began = msgspec.structs.replace(began, reserved=tool.cost)
    return began if await paying.begin(run, step, began, Amount(pico(tool.cost)), charges) else None


def _begun(run: Run, step: Step, tool: Tool, cleared: Cleared, attempt: int) -> Began:
    return Began(
        step.key,
        step.pos,
        Kind.TOOL,
        tool.name,
        step.digest,
        run.services.clock.time(),
        attempt,
        run.lease.epoch,
        tool.effect,
        tool.version,
        cleared.rule,
        msgspec.Raw(encode(cleared.shown)) if cleared.args else NIL,
        waiting=step.waiting,
        agent=step.scope.frame.subject,
        rewritten=cleared.rewritten,
    )


async def _finish(
    run: Run,
    step: Step,
    tool: Tool,
    began: Began,
    value: Any = None,
    *,
    error: StepFailed | None = None,
    rule: str = "",
) -> None:
    """Journal the outcome; that of a write is synced before the member learns of it."""
    _end(run, step, tool, began, value, error, rule=rule)
    if tool.effect == "write":
        await _synced(run)


async def _turn(run: Run, step: Step) -> None:
    """Stand in line for a slot. When its turn comes, the run may be ending, or its lease over: it never begins."""
    if run.cancelled and not step.scope.frame.cleaning:
        # A person's word, or the time for another attempt, came behind the cancellation, which is on its way to whoever
        # waits for this step.
        await run.loop.create_future()
    if run.slots.take():
        return
    await run.slots.wait()
    try:
        run.refuse(step.scope.frame)
        run.check()
    except BaseException as error:
        run.slots.leave()
        if isinstance(error, StepFailed):
            raise asyncio.CancelledError from None
        raise


def _reuse(run: Run, step: Step, tool: Tool, cleared: Cleared, kept: tool_cache.Kept) -> None:
    """Journal a call that the cache answers: it costs nothing, and says what it would have."""
    began = _begun(run, step, tool, cleared, 1)
    if tool.cost not in _FREE:
        began = msgspec.structs.replace(began, reserved=tool.cost)
    run.began(began)
    step.finish(kept.value, began=began, label=_label(step, tool).join(kept.label), cached=True)


def _told(run: Run, cleared: Cleared, value: Any) -> Any:
    """What a tool returned, without the secrets it was given."""
    return echoed(run, cleared.args, value) if cleared.hides else value


def _label(step: Step, tool: Tool) -> Label:
    """What a result of the tool carries, for a caller that has seen what this one has."""
    return step.scope.frame.joined(step.label, tool.label)


def _end(
    run: Run,
    step: Step,
    tool: Tool,
    began: Began,
    value: Any = None,
    error: StepFailed | None = None,
    key: bytes | None = None,
    rule: str = "",
) -> None:
    """Journal the outcome, and keep a result under its key for equal calls."""
    cost = _cost(tool, error)
    label = _label(step, tool)
    step.finish(
        value if value is None else seal(run, value),
        error=error,
        began=began,
        cost=cost,
        label=label,
        rule=rule,
        sync=tool.effect == "write",
    )
    if key is not None:
        tool_cache.keep(run, tool, key, value, label)
    if run.services.paid is not None and cost != "0":
        run.services.paid(step.scope.frame.subject, cost)


async def _synced(run: Run) -> None:
    barrier = run.writer.barrier(sync=True)
    if barrier is not None:
        await barrier
