"""Faults on purpose: fail, kill, delay or call a function at a named point of a run.

A `FaultPlan` says what happens where; `FaultyStore` and `FaultyTool` wrap any store and any tool and tell the plan
where a run is. The runtime has no test hooks: whatever must be durable passes its store, so there a run can be met.

Points are named `before X` and `after X`. `X` is a record (`Started, Resumed, Began, Held, Retried, Ended, Signalled,
Suspended, Finished`): *before* is just before it is handed to the store's group, *after* is when it is durable. Or `X`
is `commit` (a barrier, and a group that became durable), `transition` (of the run's row), `post` (mail from outside)
or `tool` (the call of a `FaultyTool`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from podium.core.budgets import Amount, Balance, Charge, Crossing
from podium.core.chain import Anchor, ErasedFrame
from podium.core.errors import ConfigurationError
from podium.core.labels import Label
from podium.core.messages import Message, ToolSpec
from podium.core.records import RECORDS, Record, Status, decode_frame, frame
from podium.ports import (
    Attachment,
    Busy,
    CacheSize,
    Effect,
    Evidence,
    Lease,
    Mail,
    NewRun,
    Reach,
    Replacement,
    Reservation,
    RunCosts,
    RunRow,
    SessionRow,
    SessionTurn,
    Spending,
    Store,
    Tool,
    ToolContext,
    Transition,
    Version,
    Writer,
)

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


def _decoded(data: bytes) -> Record:
    return decode_frame(frame([data]))[0]


class FaultyWriter:
    """A `Writer` that tells a plan where the run is. Made by `FaultyStore.writer`."""

    def __init__(self, plan: FaultPlan, run: str, seq: int, told: Callable[[int], None] | None) -> None:
        self._plan, self._run, self._seq, self._told = plan, run, seq, told
        self._handed: list[tuple[int, Record, int, Reservation | None]] = []
        """What is appended and not durable: number in the run, record, number in the plan, what it depends on."""
        self.inner: Writer | None = None

    def _writer(self) -> Writer:
        assert self.inner is not None  # noqa: S101 - set by the store before anybody has this writer
        return self.inner

    def append(self, record: bytes, reservation: Reservation | None = None) -> None:
        """Add a record to the group."""
        value = _decoded(record)
        number = self._plan.count()
        self._plan.reach(Point("before", type(value).__name__, self._run, _key(value), value, number))
        self._writer().append(record, reservation)
        self._seq += 1
        self._handed.append((self._seq, value, number, reservation))

    def committed(self, seq: int) -> None:
        """A group is durable up to record `seq`."""
        done = [entry for entry in self._handed if entry[0] <= seq]
        del self._handed[: len(done)]
        for _, wanted, number, reservation in done:
            refusal = None if reservation is None else reservation.refusal
            value = wanted if refusal is None or reservation is None else _decoded(reservation.otherwise(refusal))
            self._plan.reach(Point("after", type(value).__name__, self._run, _key(value), value, number))
        self._plan.reach(Point("after", "commit", self._run))
        if self._told is not None:
            self._told(seq)

    def attach(self, item: Attachment) -> None:
        """Store something beside the records."""
        self._writer().attach(item)

    def barrier(self, *, sync: bool = False) -> Awaitable[None] | None:
        """As of the wrapped writer."""
        self._plan.reach(Point("before", "commit", self._run))
        return self._writer().barrier(sync=sync)

    def transition(self, change: Transition) -> Awaitable[bool]:
        """As of the wrapped writer."""
        self._plan.reach(Point("before", "transition", self._run))
        return self._transition(self._writer().transition(change))

    async def _transition(self, working: Awaitable[bool]) -> bool:
        done = await working
        if not done:
            self._seq -= len(self._handed)
            self._handed.clear()
        self._plan.reach(Point("after", "transition", self._run))
        return done

    @property
    def failed(self) -> BaseException | None:
        """Why appends are no longer accepted."""
        return self._writer().failed


def _key(record: Record) -> str:
    return str(getattr(record, "key", ""))


class FaultyStore:
    """A `Store` around another, whose runs meet what `plan` has for them."""

    def __init__(self, store: Store, plan: FaultPlan) -> None:
        self.inner = store
        self.plan = plan

    def writer(self, lease: Lease, seq: int, on_commit: Callable[[int], None] | None = None) -> Writer:
        """The run's journal, watched by the plan."""
        faulty = FaultyWriter(self.plan, lease.run, seq, on_commit)
        faulty.inner = self.inner.writer(lease, seq, faulty.committed)
        return faulty

    async def create(self, run: NewRun) -> RunRow | None:
        """Accept a run: the points of its first records."""
        records = [(_decoded(data), self.plan.count()) for data in run.records]
        for value, number in records:
            self.plan.reach(Point("before", type(value).__name__, run.id, _key(value), value, number))
        row = await self.inner.create(run)
        if row is not None:
            for value, number in records:
                self.plan.reach(Point("after", type(value).__name__, run.id, _key(value), value, number))
        return row

    async def post(self, mail: Mail) -> RunRow:
        """Store mail."""
        self.plan.reach(Point("before", "post", mail.run))
        row = await self.inner.post(mail)
        self.plan.reach(Point("after", "post", mail.run))
        return row

    # -------------------------------------------------------------------------------------- passed on without a point

    @property
    def shared(self) -> bool:
        """As of the wrapped store."""
        return self.inner.shared

    async def balances(self, prefix: str = "") -> list[Balance]:
        """As of the wrapped store."""
        return await self.inner.balances(prefix)

    async def spend(self, spending: Spending, amount: Amount, charges: Sequence[Charge]) -> list[Crossing]:
        """As of the wrapped store."""
        return await self.inner.spend(spending, amount, charges)

    async def costs(self, since: float = 0.0) -> list[RunCosts]:
        """As of the wrapped store."""
        return await self.inner.costs(since)

    async def spendings(self, since: float = 0.0) -> list[Spending]:
        """As of the wrapped store."""
        return await self.inner.spendings(since)

    async def cached(self, key: bytes, now: float) -> bytes | None:
        """As of the wrapped store."""
        return await self.inner.cached(key, now)

    async def clear_cache(self) -> CacheSize:
        """As of the wrapped store."""
        return await self.inner.clear_cache()

    async def cache_size(self) -> CacheSize:
        """As of the wrapped store."""
        return await self.inner.cache_size()

    async def add_version(self, subject: str, data: bytes, *, at: float, by: str, note: str = "") -> Version:
        """As of the wrapped store."""
        return await self.inner.add_version(subject, data, at=at, by=by, note=note)

    async def versions(self, subject: str = "") -> list[Version]:
        """As of the wrapped store."""
        return await self.inner.versions(subject)

    async def acquire(self, run_id: str, owner: str, ttl: float, *, steal: bool = False) -> Lease | Busy:
        """As of the wrapped store."""
        return await self.inner.acquire(run_id, owner, ttl, steal=steal)

    async def renew(self, leases: Sequence[Lease], ttl: float) -> list[Lease]:
        """As of the wrapped store."""
        return await self.inner.renew(leases, ttl)

    async def release(self, lease: Lease) -> None:
        """As of the wrapped store."""
        await self.inner.release(lease)

    async def frames(self, run_id: str) -> list[bytes]:
        """As of the wrapped store."""
        return await self.inner.frames(run_id)

    async def forget(self, run_id: str, *, key: bytes | None = None) -> None:
        """As of the wrapped store."""
        await self.inner.forget(run_id, key=key)

    async def read(self, run_id: str, after: int = 0) -> list[Record]:
        """As of the wrapped store."""
        return await self.inner.read(run_id, after)

    async def row(self, run_id: str) -> RunRow | None:
        """As of the wrapped store."""
        return await self.inner.row(run_id)

    async def rows(
        self,
        *,
        status: Sequence[Status] = (),
        parent: str | None = None,
        session: str | None = None,
        prefix: str = "",
        limit: int = 100,
    ) -> list[RunRow]:
        """As of the wrapped store."""
        return await self.inner.rows(status=status, parent=parent, session=session, prefix=prefix, limit=limit)

    async def due(self, now: float, limit: int = 100) -> list[RunRow]:
        """As of the wrapped store."""
        return await self.inner.due(now, limit)

    async def next_wake(self) -> float | None:
        """As of the wrapped store."""
        return await self.inner.next_wake()

    async def blob(self, address: str) -> bytes:
        """As of the wrapped store."""
        return await self.inner.blob(address)

    async def unread(self, run_id: str) -> list[Mail]:
        """As of the wrapped store."""
        return await self.inner.unread(run_id)

    async def unread_runs(self, run_ids: Sequence[str]) -> list[str]:
        """As of the wrapped store."""
        return await self.inner.unread_runs(run_ids)

    def changed(self) -> bool:
        """As of the wrapped store."""
        return self.inner.changed()

    async def session(self, session: str) -> SessionRow | None:
        """As of the wrapped store."""
        return await self.inner.session(session)

    async def history(self, session: str, start: int, stop: int) -> list[Message]:
        """As of the wrapped store."""
        return await self.inner.history(session, start, stop)

    async def turns(self, session: str) -> list[SessionTurn]:
        """As of the wrapped store."""
        return await self.inner.turns(session)

    async def session_label(self, session: str, start: int, stop: int) -> Label:
        """As of the wrapped store."""
        return await self.inner.session_label(session, start, stop)

    async def branch_session(self, session: str, upto: int, new: str) -> None:
        """As of the wrapped store."""
        await self.inner.branch_session(session, upto, new)

    async def session_rows(self, limit: int = 100) -> list[SessionRow]:
        """As of the wrapped store."""
        return await self.inner.session_rows(limit)

    async def evidence(self) -> Evidence:
        """As of the wrapped store."""
        return await self.inner.evidence()

    async def anchor(self, at: float, key: bytes | None) -> Anchor | None:
        """As of the wrapped store."""
        return await self.inner.anchor(at, key)

    async def erased(self, run_id: str) -> dict[int, ErasedFrame]:
        """As of the wrapped store."""
        return await self.inner.erased(run_id)

    async def erase(
        self,
        run_id: str,
        frames: Sequence[Replacement],
        blobs: Sequence[str],
        *,
        forget: Sequence[bytes] = (),
        values: int,
        by: str,
        at: float,
        key: bytes | None,
    ) -> Anchor:
        """As of the wrapped store."""
        return await self.inner.erase(run_id, frames, blobs, forget=forget, values=values, by=by, at=at, key=key)

    async def close(self) -> None:
        """As of the wrapped store."""
        await self.inner.close()


class FaultyTool:
    """A `Tool` around another: the points `before tool` (it has not acted) and `after tool` (it has)."""

    def __init__(self, tool: Tool, plan: FaultPlan) -> None:
        self.inner = tool
        self.plan = plan
        self.name: str = tool.name
        self.description: str = tool.description
        self.version: str = tool.version
        self.effect: Effect = tool.effect
        self.declared: bool = tool.declared
        self.reach: Reach = tool.reach
        self.deterministic: bool = tool.deterministic
        self.blocking: bool = tool.blocking
        self.timeout: float | None = tool.timeout
        self.retries: int = tool.retries
        self.network: bool = tool.network
        self.approval: Literal["always", "never"] | Callable[[dict[str, Any]], bool] = tool.approval
        self.cost: str = tool.cost
        self.roles: tuple[str, ...] = tool.roles
        self.label: Label = tool.label
        self.reconcile: Callable[..., Any] | None = tool.reconcile
        self.tags: tuple[str, ...] = tool.tags
        self.capabilities: tuple[str, ...] = tool.capabilities
        self.cache: float | None = tool.cache

    @property
    def spec(self) -> ToolSpec:
        """As of the wrapped tool."""
        return self.inner.spec

    def resolve(self, args: dict[str, Any]) -> dict[str, Any]:
        """As of the wrapped tool."""
        return self.inner.resolve(args)

    async def invoke(self, args: dict[str, Any], ctx: ToolContext) -> Any:
        """Call the wrapped tool between the two points."""
        await self.plan.arrive(Point("before", "tool", ctx.run_id, ctx.key))
        value = await self.inner.invoke(args, ctx)
        await self.plan.arrive(Point("after", "tool", ctx.run_id, ctx.key))
        return value

    async def settle(self, key: str, args: dict[str, Any]) -> Any:
        """As of the wrapped tool."""
        return await self.inner.settle(key, args)
