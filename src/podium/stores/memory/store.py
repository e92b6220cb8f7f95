"""The store that lives and dies with its process: the whole `Store` port, over what `contents` holds.

It makes the same promises as a store on disk (fencing, order, one transaction per group), so that a program meets no
surprise when it changes to one. What is appended is committed at the end of the loop's tick, or by `barrier`, at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from podium.core.budgets import Amount, Balance, Charge, Crossing
from podium.core.chain import Anchor, ErasedFrame
from podium.core.labels import Label
from podium.core.messages import Message
from podium.core.records import Record, Status, frame
from podium.ports import (
    Busy,
    CacheSize,
    Clock,
    Lease,
    Mail,
    NewRun,
    Removal,
    RunCosts,
    RunRow,
    SessionRow,
    SessionTurn,
    Spending,
    Version,
)
from podium.stores.frames import records_after
from podium.stores.refusals import no_content, not_read

from .contents import Contents
from .evidence import MemoryEvidence
from .group import Group
from .mailbox import Mailbox
from .writer import MemoryWriter


class MemoryStore:
    """A `Store` in this process's memory. Belongs to one event loop at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._group = Group()
        self._contents = Contents()
        self._posted = False

    @property
    def shared(self) -> bool:
        """No other process can see it."""
        return False

    async def close(self) -> None:
        """Commit what is pending; nothing is written afterwards. Harmless when repeated."""
        self._group.close()

    # ---------------------------------------------------------------------------------------------- journal

    async def create(self, run: NewRun) -> RunRow | None:
        """Accept a run; None (and no change) when the id exists."""
        self._group.flush()
        return self._contents.accept(run)

    async def acquire(self, run_id: str, owner: str, ttl: float, *, steal: bool = False) -> Lease | Busy:
        """Take the lease, raising the epoch. Raises RunNotFound."""
        self._group.flush()
        run, now = self._contents.get(run_id), self._clock.time()
        held = run.held(now)
        if held and not steal:
            return Busy(run.owner, run.lease_until)
        stolen = run.lease_until if held else None
        run.epoch += 1
        run.owner, run.lease_until = owner, now + ttl
        if not run.status.over:
            run.status = Status.RUNNING
        return Lease(run_id, run.epoch, owner, run.lease_until, run.wake_seq, stolen_until=stolen)

    async def renew(self, leases: Sequence[Lease], ttl: float) -> list[Lease]:
        """Extend leases that are still ours, moving their `until`; returns those that are not."""
        self._group.flush()
        lost: list[Lease] = []
        until = self._clock.time() + ttl
        for lease in leases:
            run = self._contents.runs.get(lease.run)
            if run is not None and run.is_held_by(lease):
                run.lease_until = lease.until = until
            else:
                lost.append(lease)
        return lost

    async def release(self, lease: Lease) -> None:
        """Give the lease back, if it is still ours."""
        self._group.flush()
        run = self._contents.runs.get(lease.run)
        if run is not None and run.is_held_by(lease):
            run.let_go()

    def writer(self, lease: Lease, seq: int, on_commit: Callable[[int], None] | None = None) -> MemoryWriter:
        """The run's journal, whose next record is number `seq + 1`. Raises RunNotFound, ValueError."""
        run = self._contents.get(lease.run)
        if run.epoch == lease.epoch and len(run.records) != seq:
            raise not_read(lease.run, len(run.records), seq)
        return MemoryWriter(self._group, self._contents, run, lease, self._clock, on_commit)

    async def read(self, run_id: str, after: int = 0) -> list[Record]:
        """The run's records after number `after`, in order."""
        records = self._contents.get(run_id).records[after:]
        return records_after(run_id, after, [(after + 1, len(records), frame(records))]) if records else []

    async def frames(self, run_id: str) -> list[bytes]:
        """The run's records as one unit, for `core.records.decode_frame`. Raises RunNotFound."""
        records = self._contents.get(run_id).records
        return [frame(records)] if records else []

    async def forget(self, run_id: str, *, key: bytes | None = None) -> None:
        """Delete a run that is over, with its mail. Its blobs and session messages stay.

        Raises RunNotFound, and RunConflict for a run that is not over.
        """
        self._group.flush()
        run = self._contents.get_over(run_id, "delete")
        run.let_go()  # a writer that is left over fails
        del self._contents.runs[run_id]
        self._contents.anchors.forget(run, self._clock.time(), key)

    async def row(self, run_id: str) -> RunRow | None:
        """The run's row."""
        run = self._contents.runs.get(run_id)
        return None if run is None else run.row()

    async def rows(
        self,
        *,
        status: Sequence[Status] = (),
        parent: str | None = None,
        session: str | None = None,
        prefix: str = "",
        limit: int = 100,
    ) -> list[RunRow]:
        """Rows, newest first."""
        found: list[RunRow] = []
        for run in reversed(self._contents.runs.values()):
            new = run.new
            if len(found) >= limit:
                break
            if (
                (not status or run.status in status)
                and (parent is None or new.parent == parent)
                and (session is None or new.session == session)
                and new.id.startswith(prefix)
            ):
                found.append(run.row())
        return found

    async def due(self, now: float, limit: int = 100) -> list[RunRow]:
        """Runs that nobody drives and that could go on, oldest first."""
        found: list[RunRow] = []
        for run in self._contents.open.values():
            if len(found) >= limit:
                break
            waits = run.status is Status.SUSPENDED and (run.wake_at is None or run.wake_at > now)
            if not waits and not run.held(now):
                found.append(run.row())
        return found

    async def next_wake(self) -> float | None:
        """The earliest `wake_at` of a suspended run."""
        times = [run.wake_at for run in self._contents.open.values() if run.status is Status.SUSPENDED]
        return min((at for at in times if at is not None), default=None)

    async def blob(self, address: str) -> bytes:
        """A blob's content. Raises Erased."""
        data = self._contents.blobs.get(address)
        if data is None:
            raise no_content(address)
        return data

    # ---------------------------------------------------------------------------------------------- mailbox

    async def post(self, mail: Mail) -> RunRow:
        """Store mail (once per run and id); a suspended run becomes pending. Raises RunNotFound."""
        self._group.flush()
        run = self._contents.get(mail.run)
        box = run.mailbox = run.mailbox or Mailbox()
        if box.post(mail) and run.status is Status.SUSPENDED:
            run.wake(self._clock.time())
        self._posted = True
        return run.row()

    async def unread(self, run_id: str) -> list[Mail]:
        """Mail the run's driver has not taken into the journal, oldest first."""
        run = self._contents.runs.get(run_id)
        return [] if run is None else run.unread

    async def unread_runs(self, run_ids: Sequence[str]) -> list[str]:
        """Which of these runs have unread mail."""
        return [run_id for run_id in run_ids if (run := self._contents.runs.get(run_id)) is not None and run.unread]

    def changed(self) -> bool:
        """Whether mail was posted since the last question; no other process can write here."""
        posted, self._posted = self._posted, False
        return posted

    # --------------------------------------------------------------------------------------------- sessions

    async def session(self, session: str) -> SessionRow | None:
        """The session's row."""
        return self._contents.sessions.row(session)

    async def history(self, session: str, start: int, stop: int) -> list[Message]:
        """Messages `start` to `stop` (exclusive); none of a session that does not exist."""
        return self._contents.sessions.history(session, start, stop)

    async def turns(self, session: str) -> list[SessionTurn]:
        """Everything in a session, by the run that added it; nothing for a session that does not exist."""
        return self._contents.sessions.turns(session)

    async def session_label(self, session: str, start: int, stop: int) -> Label:
        """The join of the labels of messages `start` to `stop` (exclusive); trusted when there are none."""
        return self._contents.sessions.label(session, start, stop)

    async def branch_session(self, session: str, upto: int, new: str) -> None:
        """A new session that begins with the first `upto` messages of another.

        Doing it twice is harmless as long as nothing was added. Raises ConfigurationError for a session that does not
        exist, one that is shorter, or a name already taken.
        """
        self._group.flush()
        self._contents.sessions.branch(session, upto, new, self._clock.time())

    async def session_rows(self, limit: int = 100) -> list[SessionRow]:
        """Sessions, most recently used first."""
        return self._contents.sessions.rows(limit)

    # ---------------------------------------------------------------------------------- ledger, cache, versions

    async def balances(self, prefix: str = "") -> list[Balance]:
        """The accounts whose name begins with `prefix`, by name."""
        self._group.flush()
        return self._contents.accounts.balances(prefix)

    async def spend(self, spending: Spending, amount: Amount, charges: Sequence[Charge]) -> list[Crossing]:
        """Keep a report of spending, and add it to accounts, whatever their limits; the limits it passed."""
        self._group.flush()
        return self._contents.accounts.spend(spending, amount, charges)

    async def costs(self, since: float = 0.0) -> list[RunCosts]:
        """What runs used that were suspended or ended at `since` or later, oldest first."""
        self._group.flush()
        found = [run for run in self._contents.runs.values() if run.costs and run.updated >= since]
        found.sort(key=lambda run: run.updated)
        return [RunCosts(run.new.id, run.new.member, run.new.session, run.updated, run.costs) for run in found]

    async def spendings(self, since: float = 0.0) -> list[Spending]:
        """What was reported at `since` or later, oldest first."""
        return sorted((one for one in self._contents.accounts.spendings if one.at >= since), key=lambda one: one.at)

    async def cached(self, key: bytes, now: float) -> bytes | None:
        """The value under `key`, unless it expired or was forgotten."""
        self._group.flush()
        return self._contents.shelf.get(key, now)

    async def clear_cache(self) -> CacheSize:
        """Forget every cached value; how much it was."""
        self._group.flush()
        return self._contents.shelf.clear()

    async def cache_size(self) -> CacheSize:
        """How much is cached."""
        self._group.flush()
        return self._contents.shelf.size()

    async def add_version(self, subject: str, data: bytes, *, at: float, by: str, note: str = "") -> Version:
        """Add the next version of `subject`, in force from now on."""
        self._group.flush()
        return self._contents.shelf.add_version(subject, data, at, by, note)

    async def versions(self, subject: str = "") -> list[Version]:
        """All versions of a subject (of all, without one), oldest first."""
        return self._contents.shelf.versions(subject)

    # ------------------------------------------------------------------------------------------------- proofs

    async def evidence(self) -> MemoryEvidence:
        """Everything committed so far."""
        self._group.flush()
        runs = [(run.seal(), run.links()) for run in self._contents.runs.values()]
        return MemoryEvidence(self._contents.anchors.all(), runs, dict(self._contents.blobs))

    async def anchor(self, at: float, key: bytes | None) -> Anchor | None:
        """Anchor the runs that changed since they were last anchored; None when none did."""
        self._group.flush()
        return self._contents.anchors.anchor(self._contents.runs.values(), at, key)

    async def erased(self, run_id: str) -> dict[int, ErasedFrame]:
        """The records of a run whose payloads were erased, by number."""
        run = self._contents.runs.get(run_id)
        return {} if run is None else dict(run.erased or {})

    async def erase(self, run_id: str, removal: Removal) -> Anchor:
        """Replace records of a run that is over and delete content. Raises RunNotFound, RunConflict."""
        self._group.flush()
        run = self._contents.get_over(run_id, "erase")
        done = self._contents.anchors.erase(run, removal)
        for address in removal.blobs:
            self._contents.blobs.pop(address, None)
        for each in removal.cached:
            self._contents.shelf.forget(each)
        if run.mailbox is not None:
            run.mailbox.erase()
        return done
