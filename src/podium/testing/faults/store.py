"""A store around another, which tells a plan where its runs are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from podium.core.budgets import Amount, Balance, Charge, Crossing
from podium.core.chain import Anchor, ErasedFrame
from podium.core.labels import Label
from podium.core.messages import Message
from podium.core.records import Record, Status
from podium.ports import (
    Busy,
    CacheSize,
    Evidence,
    Lease,
    Mail,
    NewRun,
    Removal,
    RunCosts,
    RunRow,
    SessionRow,
    SessionTurn,
    Spending,
    Store,
    Version,
    Writer,
)

from .plan import FaultPlan, Point
from .writer import FaultyWriter, decoded, key_of


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
        records = [(decoded(data), self.plan.count()) for data in run.records]
        for value, number in records:
            self.plan.reach(Point("before", type(value).__name__, run.id, key_of(value), value, number))
        row = await self.inner.create(run)
        if row is not None:
            for value, number in records:
                self.plan.reach(Point("after", type(value).__name__, run.id, key_of(value), value, number))
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

    async def erase(self, run_id: str, removal: Removal) -> Anchor:
        """As of the wrapped store."""
        return await self.inner.erase(run_id, removal)

    async def close(self) -> None:
        """As of the wrapped store."""
        await self.inner.close()
