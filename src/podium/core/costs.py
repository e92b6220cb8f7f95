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

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[tuple[int, str, str, str], Line] = {}

    def line(self, at: float, agent: str, kind: str, name: str) -> Line:
        """The line that a call at `at` (epoch seconds) belongs to."""
        key = (int(at // DAY), agent, kind, name)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = Line()
        return line

    def rows(self) -> tuple[CostRow, ...]:
        """The lines, oldest day first."""
        return tuple(
            CostRow(
                *key, line.calls, str(line.cost), line.usage, str(line.uncertain), line.unpriced, line.hits,
                str(line.saved),
            )
            for key, line in sorted(self._lines.items())
        )  # fmt: skip


class Line:
    """One row in the making."""

    __slots__ = ("calls", "cost", "hits", "saved", "uncertain", "unpriced", "usage")

    def __init__(self) -> None:
        self.calls = 0
        self.hits = 0
        self.unpriced = 0
        self.cost = self.uncertain = self.saved = FREE
        self.usage = NO_USAGE

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
