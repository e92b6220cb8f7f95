"""What a difference means, and what to do about it. Pure: two lives in, differences out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from .job import Change, Life, Step
from .report import Boundary, Difference, Finding, Row
from .subject import canonical

OUTSIDE = "do it in a tool called through ctx, so that it is journaled"
DETERMINISTIC = "a member must be deterministic between steps: take time, chance and outside data through ctx"
MOST_SHOWN = 120


class Verdict(msgspec.Struct, frozen=True):
    """What the uninterrupted runs say, for judging the others by."""

    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    results: dict[str, Any]
    """What each tool call returned, by `run key`."""
    by_chance: bool
    """Whether the outcome depends on `ctx.random`, so that only statuses can be compared."""
    unsteady: bool
    """Whether two runs without a kill differ already: nothing finer can be told from the others."""


def baseline(base: Life, again: Life, *, reads_the_world: bool) -> Verdict:
    """Judge two runs that nobody killed, in processes of their own."""
    found: list[Difference] = []
    notes: list[str] = []
    by_chance = False
    if _outcome(base) != _outcome(again):
        by_chance = any(line.type == "Ended" and line.name == "random" for line in base.lines)
        if by_chance:
            notes.append("the outcome depends on ctx.random, so only the status of each run was compared")
        else:
            found.append(
                Difference(
                    "outcome", f"two runs without any kill end differently: {_two(base, again)}; {DETERMINISTIC}"
                )
            )
    key = None if by_chance else _other_step(base, again)
    if key is not None:
        found.append(
            Difference("replay", f"{key}: two runs without any kill ask for something else here; {DETERMINISTIC}", key)
        )
    if base.effects != again.effects and not found and not by_chance:
        one = next(iter(Counter(base.effects) - Counter(again.effects) or Counter(again.effects)))
        found.append(
            Difference(
                "effects",
                f"effects() differs between two runs without any kill ({_short(one)}): leave out what varies by itself",
            )
        )
    found += _broken_rules(base.changes)
    if not base.effects:
        what = "effects() found nothing" if reads_the_world else "TARGET supplies no effects(), and the world is empty"
        notes.append(f"{what}: only outcomes and money were compared, and steps in doubt were taken as having happened")
    elif not reads_the_world:
        notes.append("TARGET supplies no effects(): the files in its working directory were taken for the world")
    results = {f"{line.run} {line.key}": line.value for line in base.lines if line.type == "Ended"}
    return Verdict(tuple(found), tuple(notes), results, by_chance, key is not None)


def _broken_rules(changes: Iterable[Change]) -> list[Difference]:
    """Effects that no step accounts for."""
    found: dict[tuple[str, str], Difference] = {}
    for change in changes:
        if not change.during:
            message = (
                f"{_short(change.effect)} was done outside ctx, after {change.after}: a resume does it again; {OUTSIDE}"
            )
            found.setdefault(("outside", change.after), Difference("target", message, _key(change.after)))
        elif all(step.effect == "read" for step in change.during):
            step = change.during[0]
            found.setdefault(("read", step.name), _read_that_writes(step, change.effect))
    return list(found.values())


def _key(record: str) -> str:
    return record.partition(" ")[2]


def _read_that_writes(step: Step, effect: str) -> Difference:
    return Difference(
        "target",
        f"tool {step.name} is declared read but changed the world ({_short(effect)}, {step.key}): "
        'declare effect="write"',
        step.key,
    )


def _steps(life: Life) -> dict[tuple[str, str], str]:
    """What each step was asked for."""
    return {(line.run, line.key): line.digest for line in life.lines if line.type == "Began"}


def _other_step(base: Life, other: Life) -> str | None:
    """The first step that one run took, or asked for, otherwise than the other."""
    one, two = _steps(base), _steps(other)
    differing = [step for step in [*one, *two] if one.get(step) != two.get(step)]
    return differing[0][1] if differing else None


# ---------------------------------------------------------------------------------------------------- one killed run


def row(boundary: Boundary, life: Life, base: Life, verdict: Verdict, *, killed: bool, seconds: float) -> Row:
    """Compare a run that was killed and resumed with the one that was not."""
    found: list[Difference] = []
    if life.failure:
        found.append(_stopped(boundary, life))
    outcome = life.status == base.status if verdict.by_chance else _outcome(life) == _outcome(base)
    if not outcome and not life.failure and not verdict.unsteady:
        found.append(
            Difference(
                "outcome", f"a resumed run ends differently: {_two(base, life)}; {DETERMINISTIC}, or an effect is lost"
            )
        )
    extra = Counter(life.effects) - Counter(base.effects)
    missing = Counter(base.effects) - Counter(life.effects)
    if not life.failure and not verdict.unsteady:
        other = _other_step(base, life) if extra or missing or not outcome else None
        if other is not None and not verdict.by_chance:
            message = f"{other}: after a resume the member asks for something else here; {DETERMINISTIC}"
            found = [Difference("replay", message, other)]
        else:
            found += [_repeated(effect, life, base) for effect in extra]
            found += [_lost(effect, life, base) for effect in missing]
    money = Decimal(life.cost) == Decimal(base.cost)
    if not money and not life.failure:
        found.append(Difference("money", f"the settled cost is ${life.cost}, not ${base.cost}: report this to Podium"))
    return Row(
        boundary,
        killed,
        life.status or "stopped",
        outcome and not life.failure,
        not extra and not missing,
        money,
        len(life.asked),
        extra.total(),
        missing.total(),
        _lost_attempts(life),
        life.uncertain,
        seconds,
        tuple(found),
    )


def _stopped(boundary: Boundary, life: Life) -> Difference:
    if life.failure == "ReplayMismatch":
        key = life.message.partition(":")[0]
        return Difference("replay", f"{life.message} ({DETERMINISTIC})", key)
    if life.failure == "Stuck":
        return Difference("stuck", f"after a kill and a resume, {life.message}")
    return Difference("replay", f"the run could not be resumed: {life.message}", boundary.key)


def _repeated(effect: str, life: Life, base: Life) -> Difference:
    """An effect too many: whose is it?"""
    makers = _makers(effect, base)
    again = _begun_again(life)
    for step in makers:
        if (step.run, step.key) not in again and len(makers) > 1:
            continue
        if step.effect == "read":
            return _read_that_writes(step, effect)
        if (step.run, step.key) not in again:
            break
        if step.effect == "idempotent":
            return Difference(
                "effects",
                f"tool {step.name} is declared idempotent but acted twice with one key ({_short(effect)}, {step.key}): "
                'pass ctx.idempotency_key on, or declare effect="write"',
                step.key,
            )
        if step.effect == "write" and f"{step.run} {step.key}" not in life.asked:
            return Difference(
                "effects",
                f"the reconcile of tool {step.name} said that it had not happened, but it had: {_short(effect)} was "
                f"done twice ({step.key}); let it look before it says NotDone",
                step.key,
            )
        return Difference("effects", f"{_short(effect)} was done twice ({step.key})", step.key)
    if not makers:
        repeated = [step for step in _tools(life) if (step.run, step.key) in again and step.effect == "read"]
        if len(repeated) == 1 and effect not in base.effects:
            return _read_that_writes(repeated[0], effect)
    return Difference(
        "effects", f"{_short(effect)} was done again though no step was: it was done outside ctx; {OUTSIDE}"
    )


def _lost(effect: str, life: Life, base: Life) -> Difference:
    """An effect that did not happen."""
    makers = _makers(effect, base)
    if not makers:
        return Difference("effects", f"{_short(effect)} did not happen: it was done outside ctx; {OUTSIDE}")
    step = makers[0]
    if f"{step.run} {step.key}" in life.asked:
        return Difference(
            "effects", f"{_short(effect)} did not happen ({step.key}), though a person was asked", step.key
        )
    if _reconciled(life, step):
        return Difference(
            "effects",
            f"the reconcile of tool {step.name} said that it had happened, but it had not: {_short(effect)} is missing "
            f"({step.key}); let it raise NotDone when it finds nothing",
            step.key,
        )
    return Difference("effects", f"{_short(effect)} is missing ({step.key}), and nobody knows why", step.key)


def _reconciled(life: Life, step: Step) -> bool:
    """Whether a step was begun in one life and ended in a later one, without having been begun there."""
    begun, now = 0, 0
    for line in life.lines:
        if line.run != step.run:
            continue
        now = max(now, line.epoch)
        if line.key == step.key and line.type == "Began":
            begun = line.epoch
        elif line.key == step.key and line.type == "Ended":
            return 0 < begun < now
    return False


def _makers(effect: str, base: Life) -> list[Step]:
    """The steps of the uninterrupted run that may have made an effect, the likeliest first."""
    found: list[Step] = []
    for change in base.changes:
        if change.effect == effect:
            named = [step for step in change.during if f"{step.run}:{step.key}" in effect]
            order = {"write": 0, "idempotent": 1, "read": 2, "": 3}
            found += named or sorted(change.during, key=lambda step: order.get(step.effect, 3))
    return found


def _begun_again(life: Life) -> set[tuple[str, str]]:
    """Steps that were begun more than once."""
    begun = Counter((line.run, line.key) for line in life.lines if line.type == "Began" and line.kind == "tool")
    return {step for step, times in begun.items() if times > 1}


def _tools(life: Life) -> list[Step]:
    seen: dict[tuple[str, str], Step] = {}
    for line in life.lines:
        if line.type == "Began" and line.kind == "tool":
            seen[line.run, line.key] = Step(line.key, line.name, line.kind, line.effect, line.run)
    return list(seen.values())


def _lost_attempts(life: Life) -> int:
    """Attempts that began in a life that ended before they did, whatever was found out about them later."""
    running: set[tuple[str, str]] = set()
    suspended: set[str] = set()
    lost = 0
    for line in life.lines:
        step = (line.run, line.key)
        if line.type == "Began" and line.kind in ("tool", "model"):
            running.add(step)
        elif line.type in ("Ended", "Retried"):
            running.discard(step)
        elif line.type == "Suspended":
            suspended.add(line.run)
        elif line.type == "Resumed" and line.run not in suspended:
            cut = {each for each in running if each[0] == line.run}
            lost += len(cut)
            running -= cut
        if line.type == "Resumed":
            suspended.discard(line.run)
    return lost


# ------------------------------------------------------------------------------------------------------------ findings


def findings(without_kill: Sequence[Difference], rows: Sequence[Row]) -> tuple[Finding, ...]:
    """All differences, the same ones together."""
    found: dict[tuple[str, str], Finding] = {}
    for difference in without_kill:
        found[_identity(difference)] = Finding(difference.what, difference.message, difference.key, 0)
    for one in rows:
        for identity, difference in {_identity(entry): entry for entry in one.differences}.items():
            known = found.get(identity)
            if known is None:
                found[identity] = Finding(difference.what, difference.message, difference.key, 1, str(one.boundary))
            else:
                first = known.first or str(one.boundary)
                found[identity] = msgspec.structs.replace(known, count=known.count + 1, first=first)
    return tuple(found.values())


def _identity(difference: Difference) -> tuple[str, str]:
    """What makes two differences one: their text up to the example, or their key."""
    if difference.message.startswith("tool "):
        return "tool", difference.message.partition("(")[0]
    if "outside ctx" in difference.message:
        return "outside", ""
    return difference.what, difference.key or difference.message.partition(";")[0]


def _outcome(life: Life) -> tuple[str, str, str]:
    return life.status, canonical(life.output), life.error


def _two(base: Life, other: Life) -> str:
    return f"{_ended(base)} there, {_ended(other)} here"


def _ended(life: Life) -> str:
    return f"{life.status} with {_short(life.error or canonical(life.output))}"


def _short(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 1] + "…"
