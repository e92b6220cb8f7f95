"""Calls: a member runs as a scope of this run; a finished Call is one memo on replay.

The configuration of an agent is pinned at its first Call in a run: later Calls, and resumes, use what is pinned, so a
prompt edited meanwhile does not change a run half-way.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from podium.core.actions import Call, Kind
from podium.core.codec import content_digest, decode, digest_of, encode
from podium.core.errors import ConfigurationError, DeadlineExceeded, Exhausted, MemberFailed, StepFailed
from podium.core.labels import Label
from podium.core.records import NIL, Began, Outcome
from podium.ports import Blob, Tool

from .bounded import Expired, bounded
from .run import Run, as_step_error
from .scope import Frame, Scope
from .step import FATAL, Step


class CallPerformer:
    """Runs members inline."""

    def digest(self, run: Run, action: Call) -> bytes:
        """The digest of the input."""
        return _digest(run, action.input)

    def receive(self, run: Run, action: Call, raw: msgspec.Raw) -> Any:
        """The output, as the member's declared type if it has one."""
        value = decode(raw)
        load = getattr(action.member, "load_output", None)
        return value if load is None else load(value)

    async def perform(self, run: Run, step: Step) -> None:
        """Open the scope, run the member, journal what it returned."""
        action: Call = step.action  # pyright: ignore[reportAssignmentType]  (the table of performers is keyed by kind)
        member = action.member
        pinned, address = await _pin(run, step, member)
        outer = step.scope.frame
        past = step.past
        if past is not None and past.began is not None:
            began = past.began
        else:
            data = NIL
            if action.input is not None:
                encoded = _encode(run, action.input)
                if len(encoded) <= run.limits.kept_input:
                    data = msgspec.Raw(encoded)
            began = Began(
                step.key,
                step.pos,
                Kind.CALL,
                action.name,
                step.digest,
                run.services.clock.time(),
                1,
                run.lease.epoch,
                "",
                address,
                "",
                data,
                waiting=step.waiting,
            )
            run.began(began)
        frame = Frame(
            member.name,
            grants=member.granted(pinned) if getattr(member, "named", ()) else getattr(member, "grants", None),
            label=outer.label,
            pinned=pinned,
            deadline=outer.deadline,
            approvals=getattr(member, "approvals", ()),
        )
        scope = Scope(step.key, frame, asyncio.current_task(run.loop))
        await self._run(run, step, began, run.context(run, scope), scope)

    async def _run(self, run: Run, step: Step, began: Began, ctx: Any, scope: Scope) -> None:
        action: Call = step.action  # pyright: ignore[reportAssignmentType]
        timeout = action.timeout if action.timeout is not None else getattr(action.member, "timeout", None)
        value: Any = None
        error = None
        outcome = Outcome.OK
        try:
            working = action.member(ctx, action.input)
            value = await (working if timeout is None else bounded(working, timeout, run.services.clock))
            run.replay.closing(step.key)
            value = _output(run, action.member, value)
        except Expired:
            error = DeadlineExceeded(f"{action.name} took longer than {timeout:g} s")
            run.replay.abandon(step.key)
        except asyncio.CancelledError:
            run.replay.abandon(step.key)
            _parked(run, step)
            raise
        except FATAL as caught:
            run.fail(caught)
            _parked(run, step)
            raise
        except Exhausted as caught:
            error, outcome = caught, Outcome.EXHAUSTED
            value = _partial(run, action.member, caught.partial)
        except Exception as caught:  # noqa: BLE001  (whatever a member raises is its outcome)
            error = as_step_error(caught, MemberFailed)
        if error is not None and outcome is Outcome.OK:
            outcome = Outcome.ERROR
        try:
            if run.closed:
                raise asyncio.CancelledError
            _finish(run, step, value, error, outcome, scope.frame.label, began)
        finally:
            _parked(run, step)


def _parked(run: Run, step: Step) -> None:
    """A member that had a task of its own to count has ended."""
    if step.counted:
        run.pump.park()


def _finish(
    run: Run, step: Step, value: Any, error: StepFailed | None, outcome: Outcome, label: Label, began: Began
) -> None:
    try:
        step.finish(value, error=error, outcome=outcome, label=label, began=began)
    except (TypeError, ValueError, OverflowError) as unfit:
        failed = MemberFailed(f"{step.action.name} returned a value that cannot be stored: {unfit}")
        step.finish(error=failed, outcome=Outcome.ERROR, label=label, began=began)


def _encode(run: Run, value: Any) -> bytes:
    try:
        return encode(value)
    except TypeError:
        return encode(run.services.dump(value))


def _digest(run: Run, value: Any) -> bytes:
    try:
        return digest_of(value)
    except TypeError:
        return digest_of(run.services.dump(value))


def _plain(run: Run, member: Any, value: Any) -> Any:
    if value is None or type(value) is str:
        return value
    dump = getattr(member, "dump_output", None)
    return run.services.dump(value) if dump is None else dump(value)


def _output(run: Run, member: Any, value: Any) -> Any:
    """A member's return value as plain data. Raises MemberFailed for what is none."""
    try:
        return _plain(run, member, value)
    except StepFailed as error:
        raise MemberFailed(f"{member.name} returned what cannot be stored: {error}") from error


def _partial(run: Run, member: Any, value: Any) -> Any:
    try:
        return _plain(run, member, value)
    except Exception:  # noqa: BLE001  (the outcome is "exhausted" already; what was reached is shown as well as it can be)
        return repr(value)


async def _pin(run: Run, step: Step, member: Any) -> tuple[bytes | None, str]:
    """The configuration the member must use, and its address."""
    pin = getattr(member, "pin", None)
    if pin is None:
        return None, ""
    past = step.past
    known = run.facts.pins.get(member.name)
    if past is not None and past.began is not None and past.began.version:
        known = past.began.version
    named: tuple[str, ...] = getattr(member, "named", ())
    if named and known is not None and not run.upgrade:
        # What its tools are is pinned: where they come from is not needed before one of them is called.
        return await run.services.store.blob(known), known
    choice = run.services.choices(member.name)
    address, content = pin(choice, await _brought(run, member, named)) if named else pin(choice) if choice else pin()
    masked = run.masked(content)
    if masked is not content:
        address, content = content_digest(masked), masked
    if known is not None and known != address and not run.upgrade:
        return await run.services.store.blob(known), known
    if address not in run.attached:
        run.attached[address] = None
        run.writer.attach(Blob(address, content))
    return content, address


async def _brought(run: Run, member: Any, named: tuple[str, ...]) -> tuple[Tool, ...]:
    """The tools that a member names. Raises ConfigurationError: without them it cannot begin, and the run waits."""
    try:
        return await run.services.tools.bring(named)
    except ConfigurationError as error:
        raise type(error)(f"{member.name} cannot begin: {error}") from None
