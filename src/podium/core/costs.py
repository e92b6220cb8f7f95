"""What a run's calls used, by day, agent, and model or tool: a fold over its records, small however long the run.

The lines are stored with the run's row whenever it is suspended or over, so that nobody must read journals to know
where money went. Prices are not known here: records carry what was paid.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from .messages import Reply
from .usage import FREE, NO_USAGE, Usage

DAY = 86400
"""Seconds. Days are UTC."""

_reply = msgspec.msgpack.Decoder(Reply)


class CostRow(msgspec.Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """What one agent used of one model or tool on one day."""

    day: int
    """Days since 1970-01-01 (UTC)."""
    agent: str
    kind: str
    """`model` or `tool`."""
    name: str
    """The model or tool."""
    calls: int = 0
    """Calls that were answered, failed attempts that may have cost something included."""
    cost: str = "0"
    """US dollars paid."""
    usage: Usage = NO_USAGE
    uncertain: str = "0"
    """US dollars reserved by calls whose outcome nobody knows."""
    unpriced: int = 0
    """Calls whose price is not known; they are not in `cost`."""
    hits: int = 0
    """Replies that came from the response cache."""
    saved: str = "0"
    """US dollars that those replies had cost when they were first given."""


class Tally:
    """The rows of one run while it goes on."""

    __slots__ = ("_first", "_more")

    def __init__(self) -> None:
        # Most runs have one line, and there are many runs: no index for the only one.
        self._first: Line | None = None
        self._more: dict[tuple[int, str, str, str], Line] | None = None

    def line(self, at: float, agent: str, kind: str, name: str) -> Line:
        """The line that a call at `at` (epoch seconds) belongs to."""
        day = int(at // DAY)
        first = self._first
        if first is None:
            first = self._first = Line(day, agent, kind, name)
            return first
        if first.name == name and first.agent == agent and first.day == day and first.kind == kind:
            return first
        if self._more is None:
            self._more = {}
        key = (day, agent, kind, name)
        line = self._more.get(key)
        if line is None:
            line = self._more[key] = Line(*key)
        return line

    def rows(self) -> tuple[CostRow, ...]:
        """The lines, oldest day first."""
        if self._first is None:
            return ()
        if self._more is None:
            return (self._first.row(),)
        rows = [line.row() for line in (self._first, *self._more.values())]
        return tuple(sorted(rows, key=lambda row: (row.day, row.agent, row.kind, row.name)))


class Line:
    """One row in the making."""

    __slots__ = (
        "agent", "calls", "cost", "day", "hits", "kind", "name", "saved", "uncertain", "unpriced", "usage",
    )  # fmt: skip

    def __init__(self, day: int, agent: str, kind: str, name: str) -> None:
        self.day, self.agent, self.kind, self.name = day, agent, kind, name
        self.calls = 0
        self.hits = 0
        self.unpriced = 0
        self.cost = self.uncertain = self.saved = FREE
        self.usage = NO_USAGE

    def row(self) -> CostRow:
        """The line as it is now."""
        return CostRow(
            self.day, self.agent, self.kind, self.name, self.calls, str(self.cost), self.usage, str(self.uncertain),
            self.unpriced, self.hits, str(self.saved),
        )  # fmt: skip

    def called(self, cost: str | None, usage: Usage | None, uncertain: str | None) -> None:
        """A call was answered, or failed after it may have cost something: `uncertain`, if only that is known."""
        self.calls += 1
        if usage is not None:
            self.usage += usage
        if cost is not None and cost != "0":
            self.cost += Decimal(cost)
        if uncertain is not None and uncertain != "0":
            self.uncertain += Decimal(uncertain)
        elif cost is None:
            self.unpriced += 1

    def hit(self, reply: msgspec.Raw, blob: str) -> None:
        """A reply came from the cache. It still tells what it cost when it was first given, unless it is in a blob."""
        self.hits += 1
        if not blob:
            self.saved += Decimal(_reply.decode(reply).cost or "0")
