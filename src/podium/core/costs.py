"""What a run's calls used, by day, agent, and model or tool: a fold over its records, small however long the run.

The lines are stored with the run's row whenever it is suspended or over, so that nobody must read journals to know
where money went. Prices are not known here: records carry what was paid.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TypeVar, cast

import msgspec

from . import durations
from .codec import is_erased
from .messages import Reply
from .usage import FREE, NO_USAGE, Usage

DAY = 86400
"""Seconds. Days are UTC."""

_reply = msgspec.msgpack.Decoder(Reply)


class Executions(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """How often a tool was executed, and how that went. Calls that the gate refused are none."""

    count: int = 0
    """Calls that are over, however many attempts they took; what was cancelled or came from the cache is not one."""
    failures: int = 0
    """Those that ended with an error."""
    times: tuple[int, ...] = ()
    """How long they took, as `durations` stores it. Not of those whose end was noticed late: by a restart, a person."""


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
    """Replies, or results of a tool, that came from a cache."""
    saved: str = "0"
    """US dollars that those replies had cost when they were first given, or the calls of the tool would have cost."""
    executions: Executions | None = None
    """Of tools only, also of those that cost nothing."""

    @property
    def free(self) -> bool:
        """Whether nothing was paid or saved: the row only tells of executions."""
        return not (self.calls or self.hits or self.unpriced)


L = TypeVar("L", bound="Line")


class Tally:
    """The rows of one run while it goes on."""

    __slots__ = ("_first", "_more", "_tool")

    def __init__(self) -> None:
        # Most runs have one line, or one of a model and one of a tool, and there are many runs: no index for those.
        self._first: Line | None = None
        self._tool: ToolLine | None = None
        self._more: dict[tuple[int, str, str, str], Line] | None = None

    def model(self, at: float, agent: str, name: str) -> Line:
        """The line that a model's call at `at` (epoch seconds) belongs to."""
        day = int(at // DAY)
        first = self._first
        if first is None:
            first = self._first = Line(day, agent, "model", name)
            return first
        if first.name == name and first.agent == agent and first.day == day:
            return first
        return self._indexed((day, agent, "model", name), Line)

    def tool(self, at: float, agent: str, name: str) -> ToolLine:
        """The line of a tool."""
        day = int(at // DAY)
        first = self._tool
        if first is None:
            first = self._tool = ToolLine(day, agent, "tool", name)
            return first
        if first.name == name and first.agent == agent and first.day == day:
            return first
        return self._indexed((day, agent, "tool", name), ToolLine)

    def _indexed(self, key: tuple[int, str, str, str], make: type[L]) -> L:
        if self._more is None:
            self._more = {}
        line = self._more.get(key)
        if line is None:
            line = self._more[key] = make(*key)
        return cast("L", line)

    def rows(self) -> tuple[CostRow, ...]:
        """The lines, oldest day first."""
        lines: list[Line] = [line for line in (self._first, self._tool) if line is not None]
        if self._more is not None:
            lines += self._more.values()
        rows = [line.row() for line in lines]
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
        return self._row(None)

    def _row(self, executions: Executions | None) -> CostRow:
        return CostRow(
            self.day, self.agent, self.kind, self.name, self.calls, str(self.cost), self.usage, str(self.uncertain),
            self.unpriced, self.hits, str(self.saved), executions,
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
        if not blob and not is_erased(reply):
            self.saved += Decimal(_reply.decode(reply).cost or "0")


class ToolLine(Line):
    """One row of a tool in the making."""

    __slots__ = ("counts", "executions", "failures", "intervals")

    def __init__(self, day: int, agent: str, kind: str, name: str) -> None:
        super().__init__(day, agent, kind, name)
        self.executions = 0
        self.failures = 0
        # The sketch of durations; a dictionary of the few intervals that there are would be larger than all else here.
        self.intervals = b""
        self.counts: list[int] = []

    def row(self) -> CostRow:
        """The line as it is now."""
        times = durations.packed(dict(zip(self.intervals, self.counts, strict=True)))
        return self._row(Executions(self.executions, self.failures, times))

    def executed(self, seconds: float | None, failed: bool) -> None:
        """A call is over. `seconds` is how long its last attempt took; None when nobody knows."""
        self.executions += 1
        if failed:
            self.failures += 1
        if seconds is None:
            return
        number = durations.interval(seconds)
        at = self.intervals.find(number)
        if at < 0:
            self.intervals += bytes((number,))
            self.counts.append(1)
        else:
            self.counts[at] += 1

    def reused(self, price: str | None) -> None:
        """A result came from the cache; `price` is what the call would have cost."""
        self.hits += 1
        if price is not None:
            self.saved += Decimal(price)
