"""What goes wrong, and at which point of a run. It does not know what it is that runs: the wrappers tell it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import msgspec

from podium.core.errors import ConfigurationError
from podium.core.records import RECORDS

RECORD_NAMES = frozenset(kind.__name__ for kind in RECORDS)
PLACES = RECORD_NAMES | {"commit", "transition", "post", "tool"}


class Fail(msgspec.Struct, frozen=True):
    """Raise `error`. Only at `before` points and at `after tool`: what is durable cannot be made not to be."""

    error: BaseException


class Kill(msgspec.Struct, frozen=True):
    """SIGKILL this very process. Nothing runs after it."""


class Delay(msgspec.Struct, frozen=True):
    """Wait for `seconds` of real time, holding up the loop as a slow disk does (at `tool` points, only the tool)."""

    seconds: float


class Do(msgspec.Struct, frozen=True):
    """Call `function` with the `Point`."""

    function: Callable[[Point], object]


Fault: TypeAlias = Fail | Kill | Delay | Do


class Point(msgspec.Struct, frozen=True):
    """Where a run is."""

    when: Literal["before", "after"]
    place: str
    """A record's name, `commit`, `transition`, `post` or `tool`."""
    run: str
    key: str = ""
    """The step's key, where there is one."""
    record: Any = None
    """The `Record`, at a record's points."""
    number: int = 0
    """The record's place (from 1) among all records this plan has seen, of all runs; 0 elsewhere."""

    @property
    def name(self) -> str:
        """`before Began`, `after commit`, …"""
        return f"{self.when} {self.place}"


class _Rule:
    __slots__ = ("fault", "key", "left", "name", "run", "where")

    def __init__(
        self, name: str, fault: Fault, key: str | None, run: str | None, nth: int, where: Callable[[Point], bool] | None
    ) -> None:
        self.name, self.fault, self.key, self.run, self.left, self.where = name, fault, key, run, nth, where

    def meets(self, point: Point) -> bool:
        """Whether this is the point; counts towards `nth`."""
        if point.name != self.name or (self.key is not None and point.key != self.key):
            return False
        if (self.run is not None and point.run != self.run) or (self.where is not None and not self.where(point)):
            return False
        self.left -= 1
        return self.left == 0


class FaultPlan:
    """What goes wrong where. Each `on` happens once, at the `nth` point that fits.

        plan = FaultPlan().on("before Ended", Kill(), key="team.1/refund.1")
        app = Podium(store=FaultyStore(store, plan))

    With `trace=True` every point passed is kept in `.passed`.
    """

    def __init__(self, *, trace: bool = False) -> None:
        self.passed: list[Point] = []
        self._trace = trace
        self._rules: list[_Rule] = []
        self._watchers: list[Callable[[Point], object]] = []
        self._records = 0

    def on(
        self,
        point: str,
        fault: Fault,
        *,
        key: str | None = None,
        run: str | None = None,
        nth: int = 1,
        where: Callable[[Point], bool] | None = None,
    ) -> FaultPlan:
        """Let `fault` happen at the `nth` point of this name (of this step, this run, for which `where` holds).

        Returns itself. Raises ConfigurationError for a point that does not exist, or one where the fault cannot happen.
        """
        when, _, place = point.partition(" ")
        if when not in ("before", "after") or place not in PLACES:
            raise ConfigurationError(
                f"there is no point {point!r}: write 'before X' or 'after X' with one of {', '.join(sorted(PLACES))}"
            )
        if nth < 1:
            raise ConfigurationError(f"nth={nth!r}: points are counted from 1")
        if isinstance(fault, Fail) and when == "after" and place != "tool":
            raise ConfigurationError(f"{point!r}: it has happened by then; let it fail at 'before {place}'")
        self._rules.append(_Rule(point, fault, key, run, nth, where))
        return self

    def watch(self, function: Callable[[Point], object]) -> FaultPlan:
        """Call `function` at every point. Returns itself."""
        self._watchers.append(function)
        return self

    def count(self) -> int:
        """The number of the next record."""
        self._records += 1
        return self._records

    def reach(self, point: Point) -> None:
        """A run is at `point`: do what is planned. Called by the wrappers, where the loop cannot wait."""
        for delay in self._strike(point):
            time.sleep(delay)

    async def arrive(self, point: Point) -> None:
        """`reach` where the loop can wait."""
        for delay in self._strike(point):
            await asyncio.sleep(delay)

    def _strike(self, point: Point) -> list[float]:
        if self._trace:
            self.passed.append(point)
        for function in self._watchers:
            function(point)
        delays: list[float] = []
        for fault in [rule.fault for rule in self._rules if rule.meets(point)]:
            if isinstance(fault, Kill):
                os.kill(os.getpid(), signal.SIGKILL)
            elif isinstance(fault, Delay):
                delays.append(fault.seconds)
            elif isinstance(fault, Do):
                fault.function(point)
            else:
                raise fault.error
        return delays
