"""What the attempts of steps cost that failed, and what is reserved. Pure: a fold over records, beside that of a run.

A step shows its last attempt; those before it, perhaps of other models, were paid too.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from podium.core.records import Began, Record, Retried
from podium.core.state import StepState
from podium.core.usage import FREE

_NOTHING = frozenset({None, "0"})


class Attempt(msgspec.Struct, frozen=True):
    """An attempt that failed and was followed by another."""

    number: int
    name: str
    """The model that was asked, or the tool."""
    error: str
    cost: str | None
    """US dollars; None when nobody knows."""
    uncertain: str | None
    """US dollars that it may have cost: what was reserved for it."""


class Attempts:
    """The failed attempts of each step, by its key."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._began: dict[str, Began] = {}
        self._failed: dict[str, list[Attempt]] = {}
        for record in records:
            self.apply(record)

    def apply(self, record: Record) -> None:
        """Take note of the next record."""
        if isinstance(record, Began):
            self._began[record.key] = record
        elif isinstance(record, Retried):
            began = self._began.get(record.key)
            name = "" if began is None else began.version if began.kind == "model" else began.name
            attempt = Attempt(record.attempt, name, str(record.error), record.cost, record.uncertain)
            self._failed.setdefault(record.key, []).append(attempt)

    def of(self, key: str) -> tuple[Attempt, ...]:
        """The failed attempts of a step, in order."""
        return tuple(self._failed.get(key, ()))


class Payment(msgspec.Struct, frozen=True):
    """What one step cost, its failed attempts included."""

    cost: Decimal = FREE
    """US dollars paid."""
    uncertain: Decimal = FREE
    """US dollars that attempts may have cost whose outcome nobody knows."""
    reserved: Decimal = FREE
    """US dollars held while the step is under way."""
    unpriced: int = 0
    """Attempts whose cost nobody knows at all."""


def payment(step: StepState, failed: Iterable[Attempt] = ()) -> Payment:
    """What a step cost."""
    paid = [(attempt.cost, attempt.uncertain) for attempt in failed]
    began, ended, open_ = step.began, step.ended, FREE
    again = step.retried is not None and began is not None and step.retried.attempt == began.attempt
    held = None if began is None or again else began.reserved
    if ended is not None:
        paid.append((ended.cost, held if ended.cost is None else None))
    elif held is not None:
        open_ = Decimal(held)
    return Payment(
        sum((Decimal(cost) for cost, _ in paid if cost is not None), FREE),
        sum((Decimal(uncertain) for _, uncertain in paid if uncertain is not None), FREE),
        open_,
        sum(1 for cost, uncertain in paid if cost is None and uncertain in _NOTHING),
    )


def document(step: StepState, failed: tuple[Attempt, ...]) -> dict[str, Any]:
    """The fields that `podium show --json` adds to a step."""
    paid = payment(step, failed)
    return {
        "cached": step.ended is not None and step.ended.cached,
        "reserved": str(paid.reserved),
        "uncertain": str(paid.uncertain),
        "attempts": [msgspec.to_builtins(attempt) for attempt in failed],
    }
