"""Tool calls: through the gate, and at most once where once is what was promised.

The effect a tool declares decides what must be durable before it runs and what a crash, a timeout or an unknown error
means. Whenever the outcome of a `write` is unknown, the step is in doubt: the tool's `reconcile` settles it, or a
person; it is never silently repeated. Whatever a tool raises becomes its result; no tool can break a run.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec

from podium.core.actions import CallTool, Kind
from podium.core.budgets import Amount
from podium.core.codec import decode, digest_of, encode
from podium.core.deltas import Progress
from podium.core.errors import (
    Aborted,
    NotDone,
    PermissionDenied,
    Rejected,
    StepFailed,
    ToolError,
    ToolTimeoutError,
    ToolValidationError,
)
from podium.core.money import pico
from podium.core.records import NIL, Began, Outcome, Retried, Signalled
from podium.core.redaction import redact
from podium.ports import Allow, Deny, HoldFor, Proposal, Rewrite, Tool, ToolContext

from . import paying
from .bounded import Blocked, Expired, at_once, bounded, rest
from .holds import hold_for
from .run import Run, as_step_error
from .step import Step

MOST_REWRITES = 3
_NOTHING: frozenset[str] = frozenset()
MOST_KEY = 200
_FREE = frozenset({"", "0"})


class _Cleared:
    """A call the gate let pass: the arguments to use, and the rule that allowed it."""

    __slots__ = ("args", "rule")

    def __init__(self, args: dict[str, Any], rule: str) -> None:
        self.args = args
        self.rule = rule


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
        tool: Tool | None = action.tool if action.tool is not None else run.services.tools.get(action.name)
        past = step.past
        if past is not None and past.began is not None and tool is not None:
            # It passed the gate and began. What was allowed then was these arguments, after any edit.
            await self._after_crash(run, step, tool, past.began)
            return
        cleared = _at_once(run, step, action, tool)
        if cleared is None:
            cleared = await _clear(run, step, action, tool)
        if isinstance(cleared, StepFailed):
            step.finish(error=cleared, rule=str(cleared.data.get("rule", "")))
        elif tool is not None:
            await self._attempts(run, step, tool, cleared, 1)

    async def _attempts(self, run: Run, step: Step, tool: Tool, cleared: _Cleared, attempt: int) -> None:
        action: CallTool = step.action  # pyright: ignore[reportAssignmentType]
        effect = tool.effect
        timeout = action.timeout or tool.timeout or run.limits.tool_timeout
        while True:
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
            context = _context(run, step, attempt)
            try:
                if tool.blocking:
                    value = await _blocking(run, tool, cleared.args, context, timeout)
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
                _end(run, step, tool, began, value)
                if effect == "write":
                    await _synced(run)
                return
            if not await self._failed(run, step, tool, cleared, began, raised, timeout):
                return
            attempt += 1

    async def _failed(
        self,
        run: Run,
        step: Step,
        tool: Tool,
        cleared: _Cleared,
        began: Began,
        raised: Exception,
        timeout: float,
    ) -> bool:
        """Deal with what an attempt raised; True when another attempt is to follow."""
        write = tool.effect == "write"
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
        if await self._again(run, step, tool, began, error):
            return True
        await _finish(run, step, tool, began, error=error)
        return False

    async def _again(self, run: Run, step: Step, tool: Tool, began: Began, error: StepFailed) -> bool:
        """Whether a failed attempt is followed by another, after the pause that journaling it announces."""
        known = isinstance(error, NotDone) or tool.effect != "write"
        if not known or isinstance(error, ToolValidationError) or began.attempt > tool.retries:
            return False
        delay = min(30.0, 0.2 * 2 ** (began.attempt - 1)) * (0.5 + 0.5 * run.services.random())
        now = run.services.clock.time()
        step.retried(Retried(step.key, began.attempt, now, now + delay, error.failure, _cost(tool, error)))
        await run.services.clock.sleep(delay)
        return True

    # --------------------------------------------------------------------------------------------------- in doubt

    async def _after_crash(self, run: Run, step: Step, tool: Tool, began: Began) -> None:
        cleared = _Cleared(_began_with(run, step, tool), began.rule)
        past = step.past
        if past is not None and past.retried is not None and past.retried.attempt == began.attempt:
            await self._attempts(run, step, tool, cleared, began.attempt + 1)
        elif began.effect == "write":
            if await self._settle(run, step, tool, cleared, began, "the process ended while it ran"):
                await self._attempts(run, step, tool, cleared, began.attempt + 1)
        else:
            _lost(run, step, began, "the process ended while it ran", None)
            await self._attempts(run, step, tool, cleared, began.attempt + 1)

    async def _settle(self, run: Run, step: Step, tool: Tool, cleared: _Cleared, began: Began, why: str) -> bool:
        """Find out what came of a write. True when it did not happen and is to be done now."""
        if tool.reconcile is not None and (step.past is None or step.past.held is None):
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
                why = f"{why}, and its reconcile failed ({as_step_error(error, ToolError)})"
            else:
                await _finish(run, step, tool, began, value)
                return False
        return await self._ask(run, step, tool, cleared, began, why)

    async def _ask(self, run: Run, step: Step, tool: Tool, cleared: _Cleared, began: Began, why: str) -> bool:
        # The hold is journaled under the step's own digest: that is what marks this exact call as doubtful.
        decision = await hold_for(
            run,
            step,
            why="in_doubt",
            prompt=f"Did {tool.name} happen? {why}; its outcome is unknown.",
            binding=encode(("in_doubt", began.attempt, step.digest)),
            choices=("happened", "not_happened", "abort"),
            detail={
                "tool": tool.name,
                "args": redact(cleared.args),
                "idempotency_key": idempotency_key(run.id, step.key),
            },
        )
        answer = _data(decision)
        choice = answer.get("choice")
        if choice == "happened":
            await _finish(run, step, tool, began, answer.get("result"))
            return False
        if choice == "not_happened":
            _lost(run, step, began, "it did not happen", "0")
            return True
        step.finish(
            error=Aborted(f"nobody could say whether {tool.name} happened, and the run was ended"),
            outcome=Outcome.UNKNOWN,
            began=began,
            cost="0" if began.reserved is None else None,
        )
        return False


def _cost(tool: Tool, error: StepFailed | None) -> str:
    """What an attempt cost: the tool's price, also when it failed, unless it says that it did nothing."""
    return "0" if isinstance(error, NotDone) else tool.cost or "0"


def _lost(run: Run, step: Step, began: Began, why: str, cost: str | None) -> None:
    """End the reservation of an attempt that is followed by another. Without one there is nothing to say."""
    if began.reserved is not None:
        now = run.services.clock.time()
        uncertain = began.reserved if cost is None else None
        step.retried(Retried(began.key, began.attempt, now, now, ToolError(why).failure, cost, uncertain))


# ----------------------------------------------------------------------------------------------------------- the gate


def _at_once(run: Run, step: Step, action: CallTool, tool: Tool | None) -> _Cleared | StepFailed | None:
    """The common case, without a coroutine: no caution, no rewrite and no hold. None when it takes more."""
    if tool is None or action.invalid is not None or (tool.effect != "read" and _caution(run, tool, step) is not None):
        return None
    try:
        args = tool.resolve(action.args)
    except ToolValidationError:
        return None
    verdict = run.services.gate.judge(_proposal(run, step, action, tool, args, _NOTHING))
    return _Cleared(args, verdict.rule) if type(verdict) is Allow else None


async def _clear(run: Run, step: Step, action: CallTool, tool: Tool | None) -> _Cleared | StepFailed:
    """Take a proposed call through the gate, in the order of runtime.md."""
    if action.invalid is not None:
        return ToolValidationError(f"the arguments of {action.name} cannot be read: {action.invalid}")
    args = action.args
    rewrites = 0
    approved = _NOTHING
    caution = None if tool is None or tool.effect == "read" else _caution(run, tool, step)
    while True:
        if tool is not None:
            try:
                args = tool.resolve(args)
            except ToolValidationError as error:
                return error
        verdict: Any = None
        if caution is not None and caution.rule not in approved:
            verdict = caution
        if verdict is None:
            verdict = run.services.gate.judge(_proposal(run, step, action, tool, args, approved))
        if type(verdict) is Allow:
            if tool is None:
                return ToolValidationError(f"there is no tool named {action.name!r}")
            return _Cleared(args, verdict.rule)
        if isinstance(verdict, Deny):
            return PermissionDenied(verdict.message, rule=verdict.rule)
        if isinstance(verdict, Rewrite):
            rewrites += 1
            if rewrites > MOST_REWRITES:
                return PermissionDenied(f"the gate keeps rewriting {action.name}", rule=verdict.rule)
            args = verdict.args
            continue
        decided = await _approval(run, step, action, args, verdict)
        if isinstance(decided, StepFailed):
            return decided
        approved |= {verdict.rule}
        if decided is not None:
            args = decided


async def _approval(
    run: Run, step: Step, action: CallTool, args: dict[str, Any], hold: HoldFor
) -> dict[str, Any] | StepFailed | None:
    """Wait for a person's word on this exact call: edited arguments, None for "as it is", or the refusal."""
    binding = encode((action.name, args, step.label, run.id, run.services.gate.version, hold.rule))
    decision = await hold_for(
        run,
        step,
        why="approval",
        prompt=hold.prompt,
        binding=digest_of(binding),
        rule=hold.rule,
        choices=("approve", "edit", "reject"),
        roles=hold.roles,
        expires=hold.expires,
        detail={"tool": action.name, "args": redact(args)},
    )
    if decision is None:
        return Rejected(f"nobody approved {action.name} in time", rule=hold.rule)
    answer = _data(decision)
    if decision.kind == "approve":
        edited = answer.get("args")
        return cast("dict[str, Any]", edited) if isinstance(edited, dict) else None
    message = answer.get("message") or "no reason was given"
    return Rejected(f"{decision.by.id} refused {action.name}: {message}", rule=hold.rule, by=decision.by.id)


def _caution(run: Run, tool: Tool, step: Step) -> HoldFor | None:
    """Holds that no gate may leave out: they keep "act once" true."""
    if (tool.name, step.digest) in run.facts.doubts:
        return HoldFor(
            "act-once:repeat",
            f"{tool.name} was called with these arguments before, and nobody knows whether it happened. Call it again?",
        )
    if run.fork_cut:
        return HoldFor("act-once:fork", f"this run is a fork: let {tool.name} act on the world?")
    return None


def _proposal(
    run: Run, step: Step, action: CallTool, tool: Tool | None, args: dict[str, Any], approved: frozenset[str]
) -> Proposal:
    frame = step.scope.frame
    return Proposal(
        Kind.TOOL,
        action.name,
        args,
        step.digest,
        frame.subject,
        frame.grants,
        run.principal,
        step.label,
        tool,
        step.key,
        run.id,
        approved,
    )


def _data(decision: Signalled | None) -> dict[str, Any]:
    value = None if decision is None else decode(decision.data)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


# ---------------------------------------------------------------------------------------------------------- the call


def idempotency_key(run_id: str, key: str) -> str:
    """The key a tool passes on: the same for every attempt of a step, another for every other step and fork."""
    whole = f"{run_id}:{key}"
    return whole if len(whole) <= MOST_KEY else f"{run_id}:{digest_of(key).hex()}"


def _context(run: Run, step: Step, attempt: int) -> ToolContext:
    frame = step.scope.frame
    return ToolContext(
        run_id=run.id,
        key=step.key,
        agent=frame.subject,
        attempt=attempt,
        deadline=frame.deadline,
        idempotency_key=idempotency_key(run.id, step.key),
        deps=run.deps,
        report=_reporter(run, step.key) if run.heard else None,
    )


async def _paid(run: Run, step: Step, tool: Tool, began: Began) -> Began | None:
    """Journal the beginning of a tool call that costs something, within the budgets; None when they refuse."""
    charges = paying.charges_of(run, step)
    if not charges:
        run.began(began)
        step.attempt = began
        return began
    began = msgspec.structs.replace(began, reserved=tool.cost)
    return began if await paying.begin(run, step, began, Amount(pico(tool.cost)), charges) else None


def _begun(run: Run, step: Step, tool: Tool, cleared: _Cleared, attempt: int) -> Began:
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
        msgspec.Raw(encode(redact(cleared.args))) if cleared.args else NIL,
        waiting=step.waiting,
        agent=step.scope.frame.subject,
    )


def _began_with(run: Run, step: Step, tool: Tool) -> dict[str, Any]:
    """The arguments a begun step was called with: those asked for, or those a person put in their place."""
    action = cast("CallTool", step.action)
    args = action.args
    past = step.past
    if past is not None and past.held is not None and past.held.hold.why == "approval":
        decision = run.decisions.get(past.held.hold.request)
        edited = _data(decision).get("args")
        if isinstance(edited, dict):
            args = cast("dict[str, Any]", edited)
    return tool.resolve(args)


async def _finish(
    run: Run, step: Step, tool: Tool, began: Began, value: Any = None, *, error: StepFailed | None = None
) -> None:
    """Journal the outcome; that of a write is synced before the member learns of it."""
    _end(run, step, tool, began, value, error)
    if tool.effect == "write":
        await _synced(run)


def _end(run: Run, step: Step, tool: Tool, began: Began, value: Any = None, error: StepFailed | None = None) -> None:
    cost = _cost(tool, error)
    step.finish(
        value,
        error=error,
        began=began,
        cost=cost,
        label=step.scope.frame.joined(step.label, tool.label),
        sync=tool.effect == "write",
    )
    if run.services.paid is not None and cost != "0":
        run.services.paid(step.scope.frame.subject, cost)


async def _synced(run: Run) -> None:
    barrier = run.writer.barrier(sync=True)
    if barrier is not None:
        await barrier


async def _blocking(run: Run, tool: Tool, args: dict[str, Any], context: ToolContext, timeout: float) -> Any:
    """Run a tool that works in a thread. It cannot be interrupted: it is told, and given a grace period."""
    working = run.loop.create_task(cast("Any", tool.invoke(args, context)))
    try:
        return await bounded(asyncio.shield(working), timeout, run.services.clock)
    except (Expired, asyncio.CancelledError):
        context.cancel()
        done, _ = await asyncio.wait({working}, timeout=run.limits.grace)
        if done and not working.cancelled() and working.exception() is None:
            # It finished after all, so its outcome is known; only a cancelled branch has no use for it.
            if asyncio.current_task() is not None and cast("Any", asyncio.current_task()).cancelling():
                raise
            return working.result()
        working.add_done_callback(_retrieve)
        raise


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Look at an abandoned tool's error, so that the loop does not complain that nobody did."""
    if not task.cancelled():
        task.exception()


def _reporter(run: Run, key: str) -> Any:
    def report(message: str, fraction: float | None) -> None:
        run.loop.call_soon_threadsafe(run.transient, Progress(key, message, fraction))

    return report
