"""Taking a proposed tool call through the gate, in the order of runtime.md: what comes out may begin.

It resolves arguments, asks the gate, waits for people, and asks again with what they made of the call. What a call that
may begin then does, and what its outcome means, is not known here (`tools`).
"""

from __future__ import annotations

from typing import Any, cast

from podium.core.actions import CallTool, Kind
from podium.core.errors import PermissionDenied, Rejected, StepFailed, ToolValidationError
from podium.core.redaction import redact
from podium.ports import Allow, Deny, HoldFor, Proposal, Rewrite, Tool

from . import approving
from .holds import hold_for, said
from .run import Run
from .sealing import fetched, opened
from .step import Step

MOST_REWRITES = 3
_NOTHING: frozenset[str] = frozenset()


class Cleared:
    """A call the gate let pass: the arguments to use, the rule that allowed it, and those that changed them."""

    __slots__ = ("_shown", "args", "rewritten", "rule")

    def __init__(self, args: dict[str, Any], rule: str, rewritten: tuple[str, ...] = ()) -> None:
        self.args = args
        self.rule = rule
        self.rewritten = rewritten
        self._shown: dict[str, Any] | None = None

    @property
    def shown(self) -> dict[str, Any]:
        """The arguments without secrets."""
        if self._shown is None:
            self._shown = redact(self.args)
        return cast("dict[str, Any]", self._shown)

    @property
    def hides(self) -> bool:
        """Whether they hold secrets, which the tool may repeat in what it returns or raises."""
        return self.shown is not self.args


def at_once(run: Run, step: Step, action: CallTool, tool: Tool | None) -> Cleared | StepFailed | None:
    """The common case, without a coroutine: no caution, no rewrite and no hold. None when it takes more."""
    if tool is None or action.invalid is not None or (tool.effect != "read" and (run.facts.doubts or run.fork_cut)):
        return None
    try:
        args = tool.resolve(opened(run, action.args))
    except ToolValidationError:
        return None
    verdict = run.services.gate.judge(_proposal(run, step, action, tool, args, _NOTHING))
    return Cleared(args, verdict.rule) if type(verdict) is Allow else None


async def clear(
    run: Run,
    step: Step,
    action: CallTool,
    tool: Tool | None,
    args: dict[str, Any],
    approved: frozenset[str] = _NOTHING,
    lack: StepFailed | None = None,
) -> Cleared | StepFailed:
    """Take a proposed call through the gate, in the order of runtime.md.

    `approved` are rules that ask no more; `lack` is why there is no tool.
    """
    if action.invalid is not None:
        return ToolValidationError(f"the arguments of {action.name} cannot be read: {action.invalid}")
    rewrites: tuple[str, ...] = ()
    used: set[bytes] = set()
    while True:
        verdict: Any = None
        if tool is not None:
            try:
                args = tool.resolve(await fetched(run, args))
            except ToolValidationError as error:
                return error
            verdict = approving.caution(run, tool, step, args, approved)
        if verdict is None:
            verdict = run.services.gate.judge(_proposal(run, step, action, tool, args, approved))
        if type(verdict) is Allow:
            if tool is None:
                return lack or ToolValidationError(f"there is no tool named {action.name!r}")
            return Cleared(args, verdict.rule, rewrites)
        if isinstance(verdict, Deny):
            return PermissionDenied(verdict.message, rule=verdict.rule)
        if isinstance(verdict, Rewrite):
            rewrites = (*rewrites, verdict.rule)
            if len(rewrites) > MOST_REWRITES:
                return PermissionDenied(f"the gate keeps rewriting {action.name}", rule=verdict.rule)
            args = verdict.args
            approved = _NOTHING  # What was approved was another call.
            continue
        hold: HoldFor = verdict
        decided = await _approval(run, step, approving.binding(run, step, tool, args, hold, used), args, hold)
        if isinstance(decided, StepFailed):
            return decided
        if decided is None or decided == args:
            approved |= {hold.rule}
        else:
            # Whoever changed the call has approved what it is now; those who decided before have not.
            args, approved = decided, frozenset((hold.rule,))


async def _approval(
    run: Run, step: Step, binding: bytes, args: dict[str, Any], hold: HoldFor
) -> dict[str, Any] | StepFailed | None:
    """Wait for a person's word on this exact call: edited arguments, None for "as it is", or the refusal."""
    decision = await hold_for(
        run,
        step,
        why="approval",
        prompt=hold.prompt,
        binding=binding,
        rule=hold.rule,
        choices=("approve", "edit", "reject"),
        roles=hold.roles,
        expires=hold.expires,
        detail=approving.detail(step, args),
        apart=not hold.self_approval,
    )
    if decision is None:
        return Rejected(f"nobody approved {step.action.name} in time", rule=hold.rule, expired=True)
    if decision.kind == "approve":
        return approving.edited(decision, args)
    message = said(decision).get("message") or "no reason was given"
    return Rejected(f"{decision.by.id} refused {step.action.name}: {message}", rule=hold.rule, by=decision.by.id)


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
        frame.approvals,
    )
