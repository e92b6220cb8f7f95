"""Waiting for a person, a signal, a time or a child run: durable before it starts, never in doubt.

The absolute time at which a wait ends is in its `Began`, so a resumed run waits for the same moment. While nothing but
such waits is outstanding, the run needs no memory (see `driver`).
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from podium.core.actions import Ask, Sleep, Spawn, Wait
from podium.core.codec import decode, digest_of, encode
from podium.core.errors import DeadlineExceeded, Failure, MemberFailed, Rejected, StepFailed, rebuild
from podium.core.labels import TRUSTED, Label
from podium.core.records import NIL, Began, Hold, Principal, Signalled, Started, Status, encode_record
from podium.core.state import fold
from podium.ports import Mail, Member, NewRun, RunRow

from .holds import request_id
from .run import Run
from .step import Step

PERSON = TRUSTED
"""Answers of people who may decide carry the label of the run's own principal."""


def _begin(run: Run, step: Step, hold: Hold, *, version: str = "") -> Began:
    """The step's `Began`: the one an earlier drive wrote, or a new one."""
    past = step.past
    if past is not None and past.began is not None:
        return past.began
    action = step.action
    began = Began(
        step.key,
        step.pos,
        action.kind,
        action.name,
        step.digest,
        run.services.clock.time(),
        1,
        run.lease.epoch,
        "",
        version,
        hold=hold,
        waiting=step.waiting,
        agent=step.scope.frame.subject,
    )
    run.began(began)
    return began


async def _waited(run: Run, began: Began) -> Signalled | None:
    barrier = run.writer.barrier()
    if barrier is not None:
        await barrier
    hold = cast("Hold", began.hold)
    return await run.wait(hold)


def _due(run: Run, seconds: float | None) -> float | None:
    return None if seconds is None else run.services.clock.time() + seconds


def _answer(decision: Signalled) -> Any:
    value = decode(decision.data)
    return cast("dict[str, Any]", value).get("value") if isinstance(value, dict) else value


class _Plain:
    """What the waiting kinds share: their value is plain data."""

    def receive(self, run: Run, action: Any, raw: msgspec.Raw) -> Any:
        """The value as plain data."""
        return decode(raw)


class AskPerformer(_Plain):
    """Asks a person."""

    def digest(self, run: Run, action: Ask) -> bytes:
        """The question and its choices; of a review, also the result that it is about."""
        asked = (action.question, action.choices)
        return digest_of(asked if action.detail is None else (*asked, action.why, action.detail))

    async def perform(self, run: Run, step: Step) -> None:
        """Wait for the answer."""
        action = cast("Ask", step.action)
        hold = Hold(
            request_id(run, step, step.digest),
            action.why,
            action.question,
            _due(run, action.expires),
            action.choices,
            action.roles,
            step.digest,
            NIL if action.detail is None else msgspec.Raw(encode(action.detail)),
            action.apart or (action.why == "review" and run.services.apart),
        )
        began = _begin(run, step, hold)
        decision = await _waited(run, began)
        if decision is None:
            step.finish(error=Rejected(f"nobody answered in time: {action.question}", expired=True), began=began)
        elif decision.kind == "reject":
            message = cast("dict[str, Any]", decode(decision.data) or {}).get("message") or "no reason was given"
            what = "rejected the answer" if action.why == "review" else "declined to answer"
            step.finish(error=Rejected(f"{decision.by.id} {what}: {message}", by=decision.by.id), began=began)
        else:
            step.finish(_answer(decision), began=began, label=step.label.join(PERSON))


class SignalPerformer(_Plain):
    """Waits for a signal."""

    def digest(self, run: Run, action: Wait) -> bytes:
        """The signal's name."""
        return digest_of(action.name)

    async def perform(self, run: Run, step: Step) -> None:
        """Take the oldest arrival nobody took, or wait for the next."""
        action = cast("Wait", step.action)
        hold = Hold(
            request_id(run, step, step.digest),
            "signal",
            f"signal {action.name!r}",
            _due(run, action.timeout),
            detail=msgspec.Raw(encode(action.name)),
        )
        began = _begin(run, step, hold)
        arrival = run.next_signal(action.name) or await _waited(run, began)
        if arrival is None:
            step.finish(error=DeadlineExceeded(f"the signal {action.name!r} did not come in time"), began=began)
        else:
            step.finish(_answer(arrival), began=began, label=step.label.join(_outside(arrival)))


def _outside(arrival: Signalled) -> Label:
    """A signal's payload comes from whoever may send one: not from the run's own principal."""
    return Label(sources=frozenset((f"signal:{arrival.request}",)), readers=None)


class SleepPerformer(_Plain):
    """Waits for a time."""

    def digest(self, run: Run, action: Sleep) -> bytes:
        """The length."""
        return digest_of(float(action.seconds))

    async def perform(self, run: Run, step: Step) -> None:
        """Wait until the recorded moment."""
        action = cast("Sleep", step.action)
        hold = Hold(request_id(run, step, step.digest), "sleep", due=_due(run, max(0.0, action.seconds)))
        began = _begin(run, step, hold)
        await _waited(run, began)
        step.finish(began=began)


class SpawnPerformer:
    """Starts a child run and waits for it."""

    def digest(self, run: Run, action: Spawn) -> bytes:
        """Member and input."""
        return digest_of((action.name, run.services.dump(action.input)))

    def receive(self, run: Run, action: Spawn, raw: msgspec.Raw) -> Any:
        """The child's output, as the member's declared type."""
        value = decode(raw)
        load = getattr(action.member, "load_output", None)
        return value if load is None else load(value)

    async def perform(self, run: Run, step: Step) -> None:
        """Create the child with this step's `Began`, wake it, and wait for its word."""
        action = cast("Spawn", step.action)
        child = child_id(run.id, step.key)
        hold = Hold(child, "child", f"child run {child}", _due(run, action.timeout))
        target = run.services.new_run(action.member)
        if step.past is None or step.past.began is None:
            run.writer.attach(_child(run, step, action, child, target))
        began = _begin(run, step, hold)
        barrier = run.writer.barrier()
        if barrier is not None:
            await barrier
        row = await run.services.store.row(child)
        if row is not None and row.status.over and child not in run.decisions:
            # It ended, and its process died before it could say so.
            await run.services.store.post(await _word_of(run, row))
            await run.take_mail()
        elif row is not None and not row.status.over:
            run.services.woken(row)
        decision = await run.wait(hold)
        if decision is None:
            step.finish(error=DeadlineExceeded(f"the child run {child} took too long"), began=began)
            return
        outcome = cast("dict[str, Any]", decode(decision.data))
        label = step.label
        if outcome.get("label") is not None:
            label = label.join(msgspec.convert(outcome["label"], Label))
        failure = outcome.get("error")
        error: StepFailed | None = None
        if failure is not None:
            error = rebuild(msgspec.convert(failure, Failure), MemberFailed)
        cost = outcome.get("cost", "0")
        step.finish(outcome.get("value"), error=error, began=began, cost=cost, label=label)


def child_id(run_id: str, key: str) -> str:
    """The id of the child run a step spawns: the same however often the step is begun."""
    return f"{run_id}-{digest_of((run_id, key)).hex()[:10]}"


def _child(run: Run, step: Step, action: Spawn, child: str, target: str) -> NewRun:
    member: Member = action.member
    now = run.services.clock.time()
    plain = run.services.dump(action.input)
    frame = step.scope.frame
    started = Started(
        child,
        member.name,
        now,
        NIL if plain is None else msgspec.Raw(encode(plain)),
        target=target,
        principal=run.principal,
        deadline=frame.deadline,
        parent=run.id,
        label=run.label_of(frame.label),
        effects=run.started.effects,
        charges=run.started.charges,
        billed=run.billed,
        policy=run.services.gate.version,
    )
    return NewRun(
        child,
        member.name,
        target,
        (run.masked(encode_record(started)),),
        now,
        run.id,
        run.billed,
        digest_of((member.name, plain)),
    )


async def _word_of(run: Run, child: RunRow) -> Mail:
    """What a child that is over had to tell, from its journal."""
    store = run.services.store
    history = fold(await store.read(child.id))
    finished = history.finished
    root = next(iter(history.steps.values()), None)
    value: Any = None
    label: Label | None = None
    if root is not None and root.ended is not None:
        ended = root.ended
        label = ended.label
        value = decode(await store.blob(ended.blob) if ended.blob else ended.value)
    error = None if finished is None else finished.error
    outcome = outcome_of(child.status, None if error else value, error, str(history.facts.cost), label)
    return child_mail(child, run.id, outcome, run.services.clock.time())


def child_mail(child: RunRow, parent: str, outcome: dict[str, Any], now: float) -> Mail:
    """What a finished child tells its parent."""
    return Mail(f"child:{child.id}", parent, "child", child.id, encode(outcome), Principal(id=f"run:{child.id}"), now)


def outcome_of(
    status: Status, value: Any, error: Failure | None, cost: str | None, label: Label | None
) -> dict[str, Any]:
    """A child's end as plain data."""
    if status is not Status.SUCCEEDED and error is None:
        error = Failure("MemberFailed", f"the child run was {status}")
    return {
        "status": str(status),
        "value": value,
        "error": None if error is None else [error.type, error.message, error.data],
        "cost": cost,
        "label": None if label is None else msgspec.to_builtins(label),
    }
