"""What tools were used for, added up: executions, failures, times, hits of the cache, money.

Pure functions from the rows that runs leave behind (`podium.core.costs`) to values for people. Who reads the rows, and
from where, is the app's concern.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import msgspec

from podium.core import durations
from podium.core.costs import CostRow
from podium.core.usage import FREE


class ToolCost(msgspec.Struct, frozen=True):
    """What a tool cost. Money is US dollars."""

    executions: int
    """Calls that are over, failed ones included; not those that the cache answered."""
    total_cost: Decimal
    avg_cost: Decimal
    """`total_cost / executions`; 0 without executions."""
    hits: int = 0
    """Calls that the cache answered, at no cost."""
    saved: Decimal = FREE
    """What those would have cost."""
    uncertain: Decimal = FREE
    """Reserved by calls whose outcome nobody knows, and so perhaps paid; not in `total_cost`."""


class ToolStats(msgspec.Struct, frozen=True):
    """How a tool does."""

    executions: int
    """Calls that are over, however many attempts they took; not those that the cache answered."""
    failures: int
    success_rate: float | None
    """The part of the executions that did not fail (0 to 1); None without executions."""
    p50_ms: float | None
    """Half of the executions took at most so many milliseconds, within 10 %; None when no time was measured."""
    p95_ms: float | None
    hits: int
    hit_rate: float | None
    """The part of all calls that the cache answered (0 to 1); None without calls."""
    total_cost: Decimal
    avg_cost: Decimal


def costs_of(rows: Iterable[CostRow]) -> dict[str, ToolCost]:
    """The costs of each tool, dearest first."""
    sums = _sums(rows)
    found = {
        name: ToolCost(one.count, one.cost, one.average, one.hits, one.saved, one.uncertain)
        for name, one in sums.items()
    }
    return dict(sorted(found.items(), key=lambda item: (-item[1].total_cost, item[0])))


def stats_of(rows: Iterable[CostRow]) -> dict[str, ToolStats]:
    """The statistics of each tool, by name."""
    return {name: one.stats() for name, one in sorted(_sums(rows).items())}


class _Sum:
    __slots__ = ("cost", "count", "failures", "hits", "saved", "sketches", "uncertain")

    def __init__(self) -> None:
        self.count = self.failures = self.hits = 0
        self.cost = self.saved = self.uncertain = FREE
        self.sketches: list[tuple[int, ...]] = []

    def add(self, row: CostRow) -> None:
        done = row.executions
        if done is None:
            # A report from outside runs, or a row of a release that counted paid calls alone.
            self.count += row.calls
        else:
            self.count += done.count
            self.failures += done.failures
            self.sketches.append(done.times)
        self.hits += row.hits
        self.cost += Decimal(row.cost)
        self.saved += Decimal(row.saved)
        self.uncertain += Decimal(row.uncertain)

    @property
    def average(self) -> Decimal:
        return self.cost / self.count if self.count else FREE

    def stats(self) -> ToolStats:
        counts = durations.merged(self.sketches)
        asked = self.count + self.hits
        return ToolStats(
            self.count,
            self.failures,
            1 - self.failures / self.count if self.count else None,
            _milliseconds(durations.quantile(counts, 0.5)),
            _milliseconds(durations.quantile(counts, 0.95)),
            self.hits,
            self.hits / asked if asked else None,
            self.cost,
            self.average,
        )


def _sums(rows: Iterable[CostRow]) -> dict[str, _Sum]:
    sums: dict[str, _Sum] = {}
    for row in rows:
        if row.kind == "tool":
            sums.setdefault(row.name, _Sum()).add(row)
    return sums


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
