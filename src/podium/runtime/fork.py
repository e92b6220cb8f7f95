"""Forking: a new run that shares another's history up to a step.

The prefix is the records before the cut, and the `Ended`s of steps that began before it: a step that was under way at
the cut is not done twice. Copied receipts are free; what people decided is not copied.
"""

from __future__ import annotations

from typing import cast

import msgspec

from podium.core import keys
from podium.core.budgets import Charge
from podium.core.codec import decode
from podium.core.errors import ConfigurationError
from podium.core.records import Began, Ended, Held, Record, Retried, Started, encode_record
from podium.core.state import History, fold
from podium.core.transcript import FromSteps, Origin
from podium.ports import NewRun, RunRow, Store


async def fork(
    store: Store,
    row: RunRow,
    at: str,
    new_id: str,
    effects: str,
    now: float,
    charges: tuple[Charge, ...] | None = None,
    seconds: float | None = None,
) -> str:
    """Create the fork of a run at the step `at`; its id. `charges` are its budgets and `seconds` its time: None is
    what the run had, anew.

    Raises ConfigurationError for an unknown step.
    """
    if effects not in {"hold", "allow"}:
        raise ConfigurationError(f"effects must be 'hold' or 'allow', not {effects!r}")
    records = await store.read(row.id)
    history = fold(records)
    if at not in history.steps:
        near = [key for key in history.steps if keys.parent(key) == keys.parent(at)] or list(history.steps)
        raise ConfigurationError(f"run {row.id} has no step {at!r}; steps beside it: {', '.join(near[:8])}")
    prefix = _prefix(records, at)
    started = prefix[0]
    if not isinstance(started, Started):
        raise ConfigurationError(f"run {row.id} has no beginning in its journal")
    source = started.session
    session = f"{source}~{new_id}" if source else ""
    prefix[0] = msgspec.structs.replace(
        started,
        run=new_id,
        at=now,
        forked_from=row.id,
        forked_at=at,
        effects=effects,
        session=session,
        parent="",
        charges=_own(started, new_id) if charges is None else charges,
        deadline=_deadline(started, now, seconds),
    )
    known = await store.session(source) if source else None
    if known is not None:
        await store.branch_session(source, min(known.messages, _session_length(history)), session)
    new = NewRun(
        new_id,
        row.member,
        row.target,
        tuple(encode_record(record) for record in prefix),
        now,
        "",
        session or started.billed,
        row.digest,
        row.title,
    )
    if await store.create(new) is None:
        raise ConfigurationError(f"a run {new_id} exists already: choose another id")
    return new_id


def _deadline(started: Started, now: float, seconds: float | None) -> float | None:
    """When the time of a fork is over."""
    if seconds is not None:
        return now + seconds
    return None if started.deadline is None else now + (started.deadline - started.at)


def _own(started: Started, new_id: str) -> tuple[Charge, ...]:
    """A run's own budget for another run. That of a run above it is not for a fork, which has none above it."""
    own = f"run:{started.run}"
    return tuple(
        msgspec.structs.replace(charge, scope=f"run:{new_id}") for charge in started.charges if charge.scope == own
    )


def _prefix(records: list[Record], at: str) -> list[Record]:
    """The records that happened before the step `at` was requested, renumbered."""
    cut = next(
        index
        for index, record in enumerate(records)
        if isinstance(record, Began | Held | Ended) and (record.key == at or keys.within(record.key, at))
    )
    ended = {record.key for record in records[:cut] if isinstance(record, Ended)}
    begun: set[str] = set()
    kept: list[Record] = []
    numbers: dict[int, int] = {0: 0}
    for seq, record in enumerate(records, 1):
        copied: Record | None = None
        if isinstance(record, Began) and seq <= cut:
            if record.hold is None or record.key in ended:
                begun.add(record.key)
                copied = _renumbered(record, numbers)
        elif isinstance(record, Started) and seq <= cut:
            copied = record
        elif isinstance(record, Retried) and seq <= cut:
            copied = msgspec.structs.replace(record, cost="0", uncertain=None)
        elif isinstance(record, Ended) and (seq <= cut or (record.key in begun and not keys.within(at, record.key))):
            copied = _free(record)
        if copied is not None:
            kept.append(copied)
            numbers[seq] = len(kept)
    return kept


def _renumbered(record: Began, numbers: dict[int, int]) -> Began:
    """A `Began` whose references name the copies. Nothing is reserved for it: it costs nothing."""
    if record.reserved is not None:
        record = msgspec.structs.replace(record, reserved=None)
    if not record.added and not record.previous:
        return record
    added: list[Origin] = []
    for origin in record.added:
        if isinstance(origin, FromSteps):
            added.append(FromSteps(tuple(numbers.get(seq, 0) for seq in origin.seqs)))
        else:
            added.append(origin)
    return msgspec.structs.replace(record, previous=numbers.get(record.previous, 0), added=tuple(added))


def _free(record: Ended) -> Ended:
    return msgspec.structs.replace(record, cost="0", usage=None)


def _session_length(history: History) -> int:
    """How long the session was when the run began to read it; everything, if it never did."""
    for step in history.steps.values():
        if step.name == "history" and step.ended is not None:
            window = decode(step.ended.value)
            if isinstance(window, list):
                return int(cast("list[int]", window)[1])
    return 1 << 60
