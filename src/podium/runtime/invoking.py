"""Calling a tool: what it is told of its call, how it runs in a thread, and which version goes on with a call.

Whether it may be called, and what its outcome means, is decided elsewhere (`tools`).
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from podium.core.actions import CallTool
from podium.core.codec import digest_of
from podium.core.deltas import Progress
from podium.core.errors import ConfigurationError, NotDone, StepFailed, ToolValidationError
from podium.core.records import Began
from podium.core.redaction import redact_text
from podium.ports import Tool, ToolContext

from .bounded import Expired, bounded
from .run import Run
from .sealing import echoed
from .services import Unreachable
from .step import Step

MOST_KEY = 200
"""Characters of an idempotency key."""
_REGISTER = "give the tool to its agent or register it (Podium(tools=[...])), then resume the run"


def idempotency_key(run_id: str, key: str) -> str:
    """The key a tool passes on: the same for every attempt of a step, another for every other step and fork."""
    whole = f"{run_id}:{key}"
    return whole if len(whole) <= MOST_KEY else f"{run_id}:{digest_of(key).hex()}"


def context_of(run: Run, step: Step, attempt: int, secret: dict[str, Any] | None) -> ToolContext:
    """What a tool may know of one attempt of its call. `secret` are its arguments when they hold secrets."""
    frame = step.scope.frame
    return ToolContext(
        run_id=run.id,
        key=step.key,
        agent=frame.subject,
        attempt=attempt,
        deadline=frame.deadline,
        idempotency_key=idempotency_key(run.id, step.key),
        deps=run.deps,
        report=_reporter(run, step.key, secret) if run.heard else None,
    )


async def in_thread(run: Run, tool: Tool, args: dict[str, Any], context: ToolContext, timeout: float) -> Any:
    """Call a tool that works in a thread. It cannot be interrupted: it is told, and given a grace period."""
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


def _reporter(run: Run, key: str, secret: dict[str, Any] | None) -> Any:
    def report(message: str, fraction: float | None) -> None:
        message = run.services.vault.mask_text(redact_text(message))
        if secret is not None:
            message = echoed(run, secret, message)
        run.loop.call_soon_threadsafe(run.transient, Progress(key, message, fraction))

    return report


async def named(run: Run, step: Step, action: CallTool) -> tuple[Tool | None, StepFailed | None]:
    """The tool that a call names, brought here if need be, or why there is none.

    Nothing is brought for a name that a model made up: who has no grant for it learns that from the gate.
    """
    tools, version = run.services.tools, action.version or None
    tool = tools.get(action.name, version)
    if tool is not None:
        return tool, None
    why: StepFailed | None = None
    grants = step.scope.frame.grants
    if grants is None or action.name in grants:
        try:
            await tools.bring((action.name,))
        except Unreachable as error:
            why = NotDone(str(error))
        except ConfigurationError as error:
            why = ToolValidationError(str(error))
        tool = tools.get(action.name, version)
    other = None if tool is not None or version is None else tools.get(action.name)
    if other is None:
        return tool, why
    if step.past is not None and step.past.began is not None:
        return other, None  # It may have acted: what came of that is settled first, under the name.
    return None, not_given(action, other)


def not_given(action: CallTool, tool: Tool) -> StepFailed | None:
    """Why a tool is not the one that a call means, which may have no other version; None when it is."""
    if action.version in ("", tool.version):
        return None
    return ToolValidationError(
        f"{action.name} is not what this run was given, so it is not called: it was version {action.version}, and is "
        f"version {tool.version} now; do without it, and have the developer read the new one: a new run is given that"
    )


def begun_with(run: Run, tool: Tool | None, began: Began, lack: StepFailed | None = None) -> Tool | None:
    """The tool that a call began with: in that version, if it is known; else in the one that goes by its name now.

    Raises ConfigurationError when nobody knows the tool of a call that may have acted on the world: the run waits for a
    process that does. `lack` is what is known of why.
    """
    if tool is not None and (tool.version == began.version or run.upgrade):
        return tool
    same = run.services.tools.get(began.name, began.version)
    if same is None and tool is None and began.effect != "read":
        remedy = f"{lack}; resume the run when it is" if isinstance(lack, NotDone) else _REGISTER
        raise ConfigurationError(
            f"run {run.id} was interrupted in a call of {began.name} (version {began.version}), which is not known "
            f"here: {remedy}"
        )
    return same or tool


def changed(run: Run, tool: Tool, began: Began) -> str:
    """What to tell a person when a call that may have acted cannot go on with the tool it began with; else empty."""
    if tool.version == began.version or began.effect == "read" or run.upgrade:
        return ""
    return f"it was version {began.version}, which is not registered here (version {tool.version} is)"
