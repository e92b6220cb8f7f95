"""A run's state as a fold over its records.

`Facts` are the few aggregates a driver needs while it runs; their size does not grow with the run's length. `History`
adds the index of steps, which replay, `show` and a fork need. Both are pure: the same records always give the same
state, and nothing here reads a clock or a store.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from . import keys
from .actions import Kind
from .costs import Line, Tally
from .errors import StoreCorrupt
from .records import (
    NIL,
    Began,
    Ended,
    Finished,
    Held,
    Hold,
    Outcome,
    Record,
    Resumed,
    Retried,
    Signalled,
    Started,
    Status,
    Suspended,
)
from .usage import FREE, NO_USAGE, Usage

_PAID = frozenset({Kind.MODEL, Kind.TOOL})
"""What has a line among the costs. That of a child run is among its own."""


class Facts:
    """What a driver must know of its own run besides the steps at hand."""

    __slots__ = (
        "agents",
        "calls",
        "cancelled",
        "cost",
        "costs",
        "doubts",
        "epoch",
        "models",
        "pins",
        "seq",
        "started",
        "status",
        "uncertain",
        "unpriced",
        "usage",
    )

    def __init__(self) -> None:
        self.started: Started | None = None
        self.status = Status.PENDING
        self.seq = 0
        """Records so far."""
        self.epoch = 0
        self.usage: Usage = NO_USAGE
        self.cost = FREE
        """US dollars settled."""
        self.uncertain = FREE
        """US dollars reserved by attempts whose outcome nobody knows."""
        self.unpriced = 0
        """Steps whose price is not known; they are not in `cost`."""
        self.costs = Tally()
        """The same by day, agent and model or tool."""
        self.agents: dict[str, None] = {}
        """Agents in the order they were first called."""
        self.pins: dict[str, str] = {}
        """Agent name to the address of its configuration at its first call."""
        self.calls: dict[str, dict[str, int]] = {}
        """Finished calls by model name and agent."""
        self.models: dict[str, None] = {}
        """Models called, in order."""
        self.doubts: set[tuple[str, bytes]] = set()
        """Tool and digest of calls whose outcome a person had to settle, or nobody could; and tool and arguments as
        they are journaled, since a call may be edited, or asked for in other words, and do the same."""
        self.cancelled: Signalled | None = None

    def began(self, record: Began) -> None:
        """Fold in a `Began`."""
        self.seq += 1
        if record.kind is Kind.CALL and record.version:
            self.agents[record.name] = None
            self.pins.setdefault(record.name, record.version)
        elif record.kind is Kind.MODEL:
            self.models[record.version] = None

    def ended(self, record: Ended, began: Began | None) -> None:
        """Fold in an `Ended`, given the `Began` of the attempt it ends (None when it ends none)."""
        self.seq += 1
        if record.usage is not None:
            self.usage += record.usage
        if began is None:
            self._paid(record.cost, None)
            return
        uncertain = began.reserved if record.cost is None else None
        self._paid(record.cost, uncertain)
        if began.kind is Kind.TOOL and record.outcome is Outcome.UNKNOWN:
            self._doubt(began.name, began.digest, began)
        if began.kind is Kind.MODEL and not record.cached:
            self._called(began)
        if self._copied or began.kind not in _PAID:
            return
        if began.kind is Kind.TOOL:
            self._used(record, began)
        elif record.cached:
            self._line(began).hit(record.value, record.blob)
            return
        if record.cost != "0" or (began.kind is Kind.MODEL and record.error is None):
            self._line(began).called(record.cost, record.usage, uncertain)

    def retried(self, record: Retried, began: Began | None) -> None:
        """Fold in a failed attempt."""
        self.seq += 1
        self._paid(record.cost, record.uncertain)
        if began is None:
            return
        if began.kind is Kind.MODEL and began.epoch >= self.epoch:
            self._called(began)  # one that a crash left open is not: the model is asked the same again
        if record.cost != "0" and not self._copied and began.kind in _PAID:
            self._line(began).called(record.cost, None, record.uncertain)

    @property
    def _copied(self) -> bool:
        """Whether the records at hand are another run's, which a fork begins with: that run paid for them."""
        return self.started is not None and bool(self.started.forked_from) and self.epoch == 0

    def _paid(self, cost: str | None, uncertain: str | None) -> None:
        """Add to what was paid, or may have been: what was reserved for a call whose cost nobody knows."""
        if cost is not None and cost != "0":
            self.cost += Decimal(cost)
        if uncertain is not None and uncertain != "0":
            self.uncertain += Decimal(uncertain)
        elif cost is None:
            self.unpriced += 1

    def _line(self, began: Began) -> Line:
        if began.kind is Kind.MODEL:
            return self.costs.model(began.at, began.agent, began.version)
        return self.costs.tool(began.at, began.agent, began.name)

    def _used(self, record: Ended, began: Began) -> None:
        """A call of a tool is over: an execution, unless it was cancelled or answered from the cache."""
        error = record.error
        if error is not None and error.type == "Cancelled":
            return
        line = self.costs.tool(began.at, began.agent, began.name)
        if record.cached:
            line.reused(began.reserved)
            return
        # When a restart or a person had to settle it, the time between the records is not that of the tool.
        late = began.epoch < self.epoch or (self.doubts and (began.name, began.digest) in self.doubts)
        line.executed(None if late else record.at - began.at, error is not None)

    def _called(self, began: Began) -> None:
        by_agent = self.calls.setdefault(began.version, {})
        by_agent[began.agent] = by_agent.get(began.agent, 0) + 1

    def held(self, record: Held, began: Began | None = None) -> None:
        """Fold in a hold, given the `Began` of the attempt it is about (None when there is none)."""
        self.seq += 1
        if record.hold.why == "in_doubt":
            self._doubt(record.name, record.digest, began)

    def _doubt(self, name: str, digest: bytes, began: Began | None) -> None:
        self.doubts.add((name, digest))
        if began is not None and began.args != NIL:
            self.doubts.add((name, bytes(began.args)))

    def other(self, record: Record) -> None:
        """Fold in a record that concerns the run as a whole."""
        self.seq += 1
        if isinstance(record, Signalled):
            if record.kind == "cancel" and self.cancelled is None:
                self.cancelled = record
        elif isinstance(record, Started):
            self.started = record
        elif isinstance(record, Resumed):
            self.status = Status.RUNNING
            self.epoch = record.epoch
        elif isinstance(record, Suspended):
            self.status = Status.SUSPENDED
        elif isinstance(record, Finished):
            self.status = record.status


class StepState:
    """All that is recorded of one step."""

    __slots__ = (
        "began",
        "began_seq",
        "digest",
        "ended",
        "ended_seq",
        "held",
        "held_seq",
        "holds",
        "key",
        "kind",
        "name",
        "pos",
        "retried",
    )

    def __init__(self, key: str, pos: int, kind: Kind, name: str, digest: bytes) -> None:
        self.key = key
        self.pos = pos
        self.kind = kind
        self.name = name
        self.digest = digest
        self.began: Began | None = None
        """The latest attempt's."""
        self.began_seq = 0
        self.held: Held | None = None
        """The latest hold by the gate or by a doubt."""
        self.held_seq = 0
        self.holds: tuple[Held, ...] = ()
        """All of them, in order."""
        self.retried: Retried | None = None
        self.ended: Ended | None = None
        self.ended_seq = 0

    @property
    def attempt(self) -> Began | None:
        """The attempt that is under way: begun, and not known to have failed."""
        if self.ended is not None or self.began is None:
            return None
        failed = self.retried is not None and self.retried.attempt == self.began.attempt
        return None if failed else self.began

    @property
    def hold(self) -> Hold | None:
        """What the step waits for, if it has begun to wait and has not ended."""
        if self.ended is not None:
            return None
        if self.began is not None and self.began.hold is not None:
            return self.began.hold
        # A hold comes before an attempt, or after one that a crash or a doubt has ended.
        return self.held.hold if self.held is not None and self.held_seq > self.began_seq else None


class History:
    """The steps of a run, by key, beside its facts."""

    __slots__ = ("decisions", "facts", "finished", "mail", "signals", "steps")

    def __init__(self) -> None:
        self.facts = Facts()
        self.steps: dict[str, StepState] = {}
        """In the order of their first record."""
        self.decisions: dict[str, Signalled] = {}
        """Request id to the first decision taken for it."""
        self.signals: dict[str, list[Signalled]] = {}
        """Signal name to its arrivals, in order."""
        self.mail: set[str] = set()
        self.finished: Finished | None = None

    def apply(self, record: Record) -> None:
        """Fold in the next record."""
        facts = self.facts
        kind = type(record)
        if kind is Ended:
            self._ended(record)  # pyright: ignore[reportArgumentType]  (narrowed by identity: hot loop)
        elif kind is Began:
            self._began(record)  # pyright: ignore[reportArgumentType]
        elif isinstance(record, Held):
            step = self._step(record.key, record.pos, record.kind, record.name, record.digest)
            facts.held(record, step.attempt)
            step.held = record
            step.held_seq = facts.seq
            step.holds = (*step.holds, record)
        elif isinstance(record, Retried):
            step = self.steps.get(record.key)
            facts.retried(record, step.attempt if step else None)
            if step is not None:
                step.retried = record
        else:
            facts.other(record)
            if isinstance(record, Signalled):
                self._signalled(record)
            elif isinstance(record, Finished):
                self.finished = record

    def _step(self, key: str, pos: int, kind: Kind, name: str, digest: bytes) -> StepState:
        step = self.steps.get(key)
        if step is None:
            step = self.steps[key] = StepState(key, pos, kind, name, digest)
        return step

    def _began(self, record: Began) -> None:
        self.facts.began(record)
        step = self.steps.get(record.key)
        if step is None:
            step = self.steps[record.key] = StepState(record.key, record.pos, record.kind, record.name, record.digest)
        step.began = record
        step.began_seq = self.facts.seq

    def _ended(self, record: Ended) -> None:
        step = self.steps.get(record.key)
        if step is None:
            if record.kind is None:
                raise StoreCorrupt(f"the journal ends a step it never began: {record.key}")
            step = self._step(record.key, record.pos, record.kind, record.name, record.digest)
        self.facts.ended(record, step.attempt)
        step.ended = record
        step.ended_seq = self.facts.seq

    def _signalled(self, record: Signalled) -> None:
        self.mail.add(record.mail)
        if record.kind == "signal":
            self.signals.setdefault(record.request, []).append(record)
        elif record.kind != "cancel":
            self.decisions.setdefault(record.request, record)

    def pending(self) -> list[tuple[StepState, Hold]]:
        """Steps that wait for somebody or something, with what they wait for, in order."""
        if self.facts.status.over:
            return []
        found: list[tuple[StepState, Hold]] = []
        for step in self.steps.values():
            hold = step.hold
            if hold is not None and hold.request not in self.decisions:
                found.append((step, hold))
        return found

    def in_doubt(self) -> list[StepState]:
        """Writes that began and whose outcome is not recorded."""
        return [
            step
            for step in self.steps.values()
            if step.ended is None and step.began is not None and step.began.effect == "write"
        ]

    def live_steps(self) -> dict[str, StepState]:
        """The steps a replay will meet: all but those inside a finished Call, which replays as one memo."""
        closed: dict[str, bool] = {"": False}
        steps = self.steps

        def is_closed(scope: str) -> bool:
            known = closed.get(scope)
            if known is None:
                step = steps.get(scope)
                known = (step is not None and step.ended is not None and step.kind is Kind.CALL) or is_closed(
                    keys.parent(scope)
                )
                closed[scope] = known
            return known

        return {key: step for key, step in steps.items() if not is_closed(keys.parent(key))}


def fold(records: Iterable[Record]) -> History:
    """The state that a run's records, in order, amount to."""
    history = History()
    for record in records:
        history.apply(record)
    return history
