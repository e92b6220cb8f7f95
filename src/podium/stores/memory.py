"""The store that lives and dies with its process: for tests, notebooks and runs nobody wants to keep.

It makes the same promises as a store on disk (fencing, order, one transaction per group), so that a program meets no
surprise when it changes to one. What is appended is committed at the end of the loop's tick, or by `barrier`, at once.
Records are kept as the bytes they were encoded to, so that what is read back has been through the codec.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence

import msgspec

from podium.core.budgets import Amount, Balance, Charge, Crossing
from podium.core.chain import (
    MOST_RUNS,
    Anchor,
    AnchorData,
    Anchored,
    Anchoring,
    AnchorKind,
    ErasedFrame,
    Erasing,
    Forgetting,
    Link,
    Seal,
    commitment,
    key_id,
    next_anchor,
)
from podium.core.costs import CostRow
from podium.core.errors import ConfigurationError, Erased, LeaseLost, PodiumError, RunConflict, RunNotFound, StoreError
from podium.core.labels import TRUSTED, Label
from podium.core.messages import Message
from podium.core.records import Record, Status, frame
from podium.ports import (
    Attachment,
    Blob,
    Busy,
    CacheEntry,
    CacheSize,
    CacheUse,
    Clock,
    Lease,
    Mail,
    NewRun,
    Replacement,
    Reservation,
    RunCosts,
    RunRow,
    SessionEntry,
    SessionRow,
    SessionTurn,
    Settlement,
    Spending,
    Transition,
    Version,
)

from .accounts import Accounts, Shelf
from .announce import announce
from .frames import records_after
from .owner import is_dead
from .proofs import MemoryEvidence, links

_message: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class _Run:
    """A run's row, records and mail."""

    __slots__ = (
        "cost", "costs", "epoch", "erased", "lease_until", "mail", "new", "owner", "records", "status", "updated",
        "wake_at", "wake_seq",
    )  # fmt: skip

    def __init__(self, new: NewRun) -> None:
        self.records = list(new.records)
        self.new = msgspec.structs.replace(new, records=())
        self.status = Status.PENDING
        self.epoch = 0
        self.owner = ""
        self.lease_until = 0.0
        self.wake_seq = 0
        self.wake_at: float | None = None
        self.updated = new.created
        self.cost = "0"
        self.costs: tuple[CostRow, ...] = ()
        self.erased: dict[int, ErasedFrame] | None = None
        """Records whose payloads were erased, by number."""
        self.mail: dict[str, Mail | None] | None = None
        """Mail by id in order of arrival; None for what was read."""

    @property
    def unread(self) -> list[Mail]:
        return [mail for mail in self.mail.values() if mail is not None] if self.mail else []

    def held(self, now: float) -> bool:
        return bool(self.owner) and self.lease_until > now and not is_dead(self.owner)

    def row(self) -> RunRow:
        new = self.new
        return RunRow(
            id=new.id,
            member=new.member,
            target=new.target,
            status=self.status,
            epoch=self.epoch,
            owner=self.owner,
            lease_until=self.lease_until,
            wake_seq=self.wake_seq,
            wake_at=self.wake_at,
            seq=len(self.records),
            created=new.created,
            updated=self.updated,
            parent=new.parent,
            session=new.session,
            digest=new.digest,
            cost=self.cost,
            title=new.title,
        )

    def links(self) -> list[Link]:
        return links(self.new.id, self.records, self.erased)

    def seal(self) -> Seal:
        found = self.links()
        return Seal(self.new.id, self.new.member, self.status.value, found[-1].head if found else None, 0, self.updated)


class _Session:
    """A conversation: encoded messages, the label each came with, and when they came."""

    __slots__ = ("added", "created", "id", "labels", "messages", "parent", "updated")

    def __init__(self, session: str, at: float, parent: str = "") -> None:
        self.id, self.created, self.updated, self.parent = session, at, at, parent
        self.messages: list[bytes] = []
        self.labels: list[Label | None] = []
        self.added: list[tuple[int, str, float]] = []
        """Where what each run added begins, the run, and when."""

    def row(self) -> SessionRow:
        return SessionRow(self.id, self.created, self.updated, len(self.messages), parent=self.parent)


class MemoryWriter:
    """The journal of one driven run. Made by `MemoryStore.writer`."""

    __slots__ = (
        "_epoch",
        "_failed",
        "_items",
        "_on_commit",
        "_owner",
        "_records",
        "_reservations",
        "_run",
        "_store",
        "queued",
    )

    def __init__(self, store: MemoryStore, run: _Run, lease: Lease, on_commit: Callable[[int], None] | None) -> None:
        self._store, self._run, self._on_commit = store, run, on_commit
        self._epoch, self._owner = lease.epoch, lease.owner
        self._records: list[bytes] = []
        self._reservations: list[tuple[int, int, Reservation]] = []
        """Which of the records depend on a reservation, and how many items were attached before it."""
        self._items: list[Attachment] = []
        self._failed: PodiumError | None = None
        self.queued = False
        """Whether the store will commit this writer at the end of the tick."""

    @property
    def failed(self) -> BaseException | None:
        """Why appends are no longer accepted, if they are not."""
        return self._failed

    def append(self, record: bytes, reservation: Reservation | None = None) -> None:
        """Add a record to the group that is committed at the end of this tick; with a reservation, if it is granted."""
        if self._failed is not None:
            raise self._failed
        if reservation is not None:
            self._reservations.append((len(self._records), len(self._items), reservation))
        self._records.append(record)
        if not self.queued:
            self._store.enqueue(self)

    def attach(self, item: Attachment) -> None:
        """Store beside the records of this group: see `Attachment`."""
        if self._failed is not None:
            raise self._failed
        self._items.append(item)
        if not self.queued:
            self._store.enqueue(self)

    def barrier(self, *, sync: bool = False) -> Awaitable[None] | None:
        """Commit what is appended now; always None, since memory has nothing slower to wait for."""
        if self._records or self._items:
            self.commit()
        if self._failed is not None:
            raise self._failed
        return None

    def transition(self, change: Transition) -> Awaitable[bool]:
        """Write what is pending together with a change of the run's row, at once.

        False when refused because of unread mail: the records and attachments that were pending are then dropped, as if
        they had never been appended. Raises LeaseLost, StoreError.
        """
        if self._failed is not None or not self._fence():
            raise self._failed or StoreError("the store is closed")
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        run = self._run
        if change.unless_mail:
            read = {item for item in self._items if isinstance(item, str)}
            if any(mail.id not in read for mail in run.unread):
                self._records, self._items, self._reservations = [], [], []
                answer.set_result(False)
                return answer
        self.commit()
        run.status, run.wake_at, run.updated = change.status, change.wake_at, self._store.clock.time()
        if change.cost is not None:
            run.cost = change.cost
        if change.costs:
            run.costs = change.costs
        if change.status.over:
            self._store.over(run)
        if change.release:
            run.owner, run.lease_until = "", 0.0
        self._store.track(run)
        answer.set_result(True)
        return answer

    def commit(self) -> None:
        """Write what is pending, or fail. Called by the store; never raises."""
        records, items, reservations = self._records, self._items, self._reservations
        if not records and not items:
            return
        self._records, self._items, self._reservations = [], [], []
        if not self._fence():
            return
        run = self._run
        kept = 0
        for index, before, reservation in reservations:
            for item in items[kept:before]:
                self._store.keep(run, item)  # what was let go before the reservation was made is free for it
            kept = before
            self._store.accounts.reserve(run.new.id, reservation)
            if reservation.refusal is not None:
                records[index] = reservation.otherwise(reservation.refusal)
        run.records += records
        for item in items[kept:]:
            self._store.keep(run, item)
        if records and self._on_commit is not None:
            announce(self._on_commit, len(run.records))

    def _fence(self) -> bool:
        run = self._run
        if self._store.closed:
            self._failed = StoreError("the store is closed")
        elif run.epoch != self._epoch or run.owner != self._owner:
            self._failed = LeaseLost(
                f"run {run.new.id}: this process no longer drives it (its epoch {self._epoch} is over); "
                f"nothing more was recorded"
            )
        return self._failed is None


class MemoryStore:
    """A `Store` in this process's memory. Belongs to one event loop at a time."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.closed = False
        self._runs: dict[str, _Run] = {}
        self._open: dict[str, _Run] = {}
        """Runs that are not over, so that `due` does not look at all that ever ran."""
        self._sessions: dict[str, _Session] = {}
        self._blobs: dict[str, bytes] = {}
        self.accounts = Accounts()
        self._shelf = Shelf()
        self._dirty: list[MemoryWriter] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._posted = False
        self._anchors: list[Anchor] = []
        self._anchored: dict[str, int] = {}
        """How many records of a run the anchors cover."""

    # ------------------------------------------------------------------------------------------ for writers

    def enqueue(self, writer: MemoryWriter) -> None:
        """Commit `writer` at the end of this tick."""
        writer.queued = True
        self._dirty.append(writer)
        loop = asyncio.get_running_loop()
        if len(self._dirty) == 1 or loop is not self._loop:
            self._loop = loop
            loop.call_soon(self._flush)

    def keep(self, run: _Run, item: Attachment) -> None:
        """Store what a writer attached."""
        if isinstance(item, str):
            if run.mail is not None and item in run.mail:
                run.mail[item] = None
        elif isinstance(item, Settlement):
            self.accounts.settle(run.new.id, item)
        elif isinstance(item, CacheEntry):
            self._shelf.put(item)
        elif isinstance(item, CacheUse):
            self._shelf.used(item.key)
        elif isinstance(item, Blob):
            self._blobs.setdefault(item.address, item.data)
        elif isinstance(item, SessionEntry):
            session = self._sessions.get(item.session)
            if session is None:
                session = self._sessions[item.session] = _Session(item.session, item.at)
            session.added.append((len(session.messages), item.run, item.at))
            session.messages += item.messages
            session.labels += [item.label] * len(item.messages)
            session.updated = item.at
        else:
            self._accept(item)

    def track(self, run: _Run) -> None:
        """Follow a change of status."""
        if run.status.over:
            self._open.pop(run.new.id, None)
        else:
            self._open[run.new.id] = run

    def over(self, run: _Run) -> None:
        """A run has ended: its account is closed, and those of the runs above it, once no run below may be charged."""
        self.accounts.over(run.new.id)
        ended = [above for above in self._above(run) if self.accounts.kept(above)]
        if not ended:
            return
        charged = {above for each in self._open.values() if not each.status.over for above in self._above(each)}
        for above in ended:
            if above not in charged:
                self.accounts.close(above)

    def _above(self, run: _Run | None) -> Iterator[str]:
        """A run and those above it, nearest first."""
        while run is not None:
            yield run.new.id
            parent = run.new.parent
            run = self._runs.get(parent)
            if run is None and parent:
                yield parent

    def _flush(self) -> None:
        writers, self._dirty = self._dirty, []
        for writer in writers:
            writer.queued = False
            writer.commit()

    def _accept(self, new: NewRun) -> RunRow | None:
        if new.id in self._runs:
            return None
        run = self._runs[new.id] = self._open[new.id] = _Run(new)
        return run.row()

    def _change(self) -> None:
        if self.closed:
            raise StoreError("the store is closed")
        self._flush()

    def _get(self, run_id: str) -> _Run:
        run = self._runs.get(run_id)
        if run is None:
            raise RunNotFound(f"no run {run_id!r} in this store: `podium runs` lists those there are")
        return run

    # ---------------------------------------------------------------------------------------------- journal

    async def create(self, run: NewRun) -> RunRow | None:
        """Accept a run; None (and no change) when the id exists."""
        self._change()
        return self._accept(run)

    async def acquire(self, run_id: str, owner: str, ttl: float, *, steal: bool = False) -> Lease | Busy:
        """Take the lease, raising the epoch. Raises RunNotFound."""
        self._change()
        run, now = self._get(run_id), self.clock.time()
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
        self._change()
        lost: list[Lease] = []
        until = self.clock.time() + ttl
        for lease in leases:
            run = self._runs.get(lease.run)
            if run is None or run.epoch != lease.epoch or run.owner != lease.owner:
                lost.append(lease)
            else:
                run.lease_until = lease.until = until
        return lost

    async def release(self, lease: Lease) -> None:
        """Give the lease back, if it is still ours."""
        self._change()
        run = self._runs.get(lease.run)
        if run is not None and run.epoch == lease.epoch and run.owner == lease.owner:
            run.owner, run.lease_until = "", 0.0

    def writer(self, lease: Lease, seq: int, on_commit: Callable[[int], None] | None = None) -> MemoryWriter:
        """The run's journal, whose next record is number `seq + 1`. Raises RunNotFound, ValueError."""
        run = self._get(lease.run)
        if run.epoch == lease.epoch and len(run.records) != seq:
            raise ValueError(f"run {lease.run} has {len(run.records)} records, not {seq}: read the journal first")
        return MemoryWriter(self, run, lease, on_commit)

    async def read(self, run_id: str, after: int = 0) -> list[Record]:
        """The run's records after number `after`, in order."""
        records = self._get(run_id).records[after:]
        return records_after(run_id, after, [(after + 1, len(records), frame(records))]) if records else []

    async def frames(self, run_id: str) -> list[bytes]:
        """The run's records as one unit, for `core.records.decode_frame`. Raises RunNotFound."""
        records = self._get(run_id).records
        return [frame(records)] if records else []

    async def forget(self, run_id: str, *, key: bytes | None = None) -> None:
        """Delete a run that is over, with its mail. Its blobs and session messages stay.

        Raises RunNotFound, and RunConflict for a run that is not over.
        """
        self._change()
        run = self._get(run_id)
        if not run.status.over:
            raise RunConflict(f"run {run_id} is {run.status.value}, not over: cancel it before you delete it")
        run.owner = ""  # a writer that is left over fails
        del self._runs[run_id]
        if self._anchored.pop(run_id, 0):  # of a run that no anchor knows nothing need be told
            found = run.links()
            self._anchor(self.clock.time(), "forget", Forgetting(run_id, len(found), found[-1].head or b""), key)

    async def row(self, run_id: str) -> RunRow | None:
        """The run's row."""
        run = self._runs.get(run_id)
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
        for run in reversed(self._runs.values()):
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
        for run in self._open.values():
            if len(found) >= limit:
                break
            waits = run.status is Status.SUSPENDED and (run.wake_at is None or run.wake_at > now)
            if not waits and not run.held(now):
                found.append(run.row())
        return found

    async def next_wake(self) -> float | None:
        """The earliest `wake_at` of a suspended run."""
        times = [run.wake_at for run in self._open.values() if run.status is Status.SUSPENDED]
        return min((at for at in times if at is not None), default=None)

    async def blob(self, address: str) -> bytes:
        """A blob's content. Raises Erased."""
        data = self._blobs.get(address)
        if data is None:
            raise Erased(f"the content {address} was erased, or never stored here; only its digest is left")
        return data

    # ---------------------------------------------------------------------------------------------- mailbox

    async def post(self, mail: Mail) -> RunRow:
        """Store mail (once per run and id); a suspended run becomes pending. Raises RunNotFound."""
        self._change()
        run = self._get(mail.run)
        box = run.mail = {} if run.mail is None else run.mail
        box.setdefault(mail.id, mail)
        if run.status is Status.SUSPENDED and box[mail.id] is not None:
            run.status, run.wake_at, run.updated = Status.PENDING, None, self.clock.time()
            run.wake_seq += 1
        self._posted = True
        return run.row()

    async def unread(self, run_id: str) -> list[Mail]:
        """Mail the run's driver has not taken into the journal, oldest first."""
        run = self._runs.get(run_id)
        return [] if run is None else run.unread

    async def unread_runs(self, run_ids: Sequence[str]) -> list[str]:
        """Which of these runs have unread mail."""
        return [run_id for run_id in run_ids if (run := self._runs.get(run_id)) is not None and run.unread]

    def changed(self) -> bool:
        """Whether mail was posted since the last question; no other process can write here."""
        posted, self._posted = self._posted, False
        return posted

    # --------------------------------------------------------------------------------------------- sessions

    async def session(self, session: str) -> SessionRow | None:
        """The session's row."""
        found = self._sessions.get(session)
        return None if found is None else found.row()

    async def history(self, session: str, start: int, stop: int) -> list[Message]:
        """Messages `start` to `stop` (exclusive); none of a session that does not exist."""
        found = self._sessions.get(session)
        return [] if found is None else [_message.decode(data) for data in found.messages[max(start, 0) : max(stop, 0)]]

    async def turns(self, session: str) -> list[SessionTurn]:
        """Everything in a session, by the run that added it; nothing for a session that does not exist."""
        found = self._sessions.get(session)
        if found is None:
            return []
        stops = [start for start, _, _ in found.added[1:]] + [len(found.messages)]
        return [
            SessionTurn(
                run,
                at,
                start,
                tuple(_message.decode(data) for data in found.messages[start:stop]),
                found.labels[start] if start < stop else None,
            )
            for (start, run, at), stop in zip(found.added, stops, strict=True)
        ]

    async def session_label(self, session: str, start: int, stop: int) -> Label:
        """The join of the labels of messages `start` to `stop` (exclusive); trusted when there are none."""
        found, label = self._sessions.get(session), TRUSTED
        for one in [] if found is None else found.labels[max(start, 0) : max(stop, 0)]:
            label = label if one is None else label.join(one)
        return label

    async def branch_session(self, session: str, upto: int, new: str) -> None:
        """A new session that begins with the first `upto` messages of another.

        Doing it twice is harmless as long as nothing was added. Raises ConfigurationError for a session that does not
        exist, one that is shorter, or a name already taken.
        """
        self._change()
        source, taken = self._sessions.get(session), self._sessions.get(new)
        if taken is not None:
            if taken.parent == session and len(taken.messages) == upto:
                return
            raise ConfigurationError(f"a session {new!r} exists already: choose another name for the branch")
        if source is None:
            raise ConfigurationError(f"no session {session!r} to branch from")
        if not 0 <= upto <= len(source.messages):
            raise ConfigurationError(f"session {session!r} has {len(source.messages)} messages, not {upto}")
        branch = _Session(new, self.clock.time(), session)
        branch.messages, branch.labels = source.messages[:upto], source.labels[:upto]
        branch.added = [added for added in source.added if added[0] < upto]
        self._sessions[new] = branch

    async def session_rows(self, limit: int = 100) -> list[SessionRow]:
        """Sessions, most recently used first."""
        found = sorted(self._sessions.values(), key=lambda session: session.updated, reverse=True)
        return [session.row() for session in found[:limit]]

    # ---------------------------------------------------------------------------------- ledger, cache, versions

    async def balances(self, prefix: str = "") -> list[Balance]:
        """The accounts whose name begins with `prefix`, by name."""
        self._change()
        return self.accounts.balances(prefix)

    async def spend(self, spending: Spending, amount: Amount, charges: Sequence[Charge]) -> list[Crossing]:
        """Keep a report of spending, and add it to accounts, whatever their limits; the limits it passed."""
        self._change()
        return self.accounts.spend(spending, amount, charges)

    async def costs(self, since: float = 0.0) -> list[RunCosts]:
        """What runs used that were suspended or ended at `since` or later, oldest first."""
        self._change()
        found = [run for run in self._runs.values() if run.costs and run.updated >= since]
        found.sort(key=lambda run: run.updated)
        return [RunCosts(run.new.id, run.new.member, run.new.session, run.updated, run.costs) for run in found]

    async def spendings(self, since: float = 0.0) -> list[Spending]:
        """What was reported at `since` or later, oldest first."""
        return sorted((one for one in self.accounts.spendings if one.at >= since), key=lambda one: one.at)

    async def cached(self, key: bytes, now: float) -> bytes | None:
        """The value under `key`, unless it expired or was forgotten."""
        self._change()
        return self._shelf.get(key, now)

    async def clear_cache(self) -> CacheSize:
        """Forget every cached value; how much it was."""
        self._change()
        return self._shelf.clear()

    async def cache_size(self) -> CacheSize:
        """How much is cached."""
        self._change()
        return self._shelf.size()

    async def add_version(self, subject: str, data: bytes, *, at: float, by: str, note: str = "") -> Version:
        """Add the next version of `subject`, in force from now on."""
        self._change()
        known = self._shelf.versions.setdefault(subject, [])
        version = Version(subject, len(known) + 1, data, at, by, note)
        known.append(version)
        return version

    async def versions(self, subject: str = "") -> list[Version]:
        """All versions of a subject (of all, without one), oldest first."""
        versions = self._shelf.versions
        chosen = [versions.get(subject, [])] if subject else [versions[each] for each in sorted(versions)]
        return [version for each in chosen for version in each]

    # ------------------------------------------------------------------------------------------------- proofs

    async def evidence(self) -> MemoryEvidence:
        """Everything committed so far."""
        self._change()
        runs = [(run.seal(), run.links()) for run in self._runs.values()]
        return MemoryEvidence(list(self._anchors), runs, dict(self._blobs))

    async def anchor(self, at: float, key: bytes | None) -> Anchor | None:
        """Anchor the runs that changed since they were last anchored; None when none did."""
        self._change()
        changed = [
            Anchored(run.new.id, len(run.records), run.links()[-1].head or b"")
            for run in self._runs.values()
            if run.records and self._anchored.get(run.new.id) != len(run.records)
        ]
        newest = None
        for start in range(0, len(changed), MOST_RUNS):
            part = tuple(changed[start : start + MOST_RUNS])
            newest = self._anchor(at, "anchor", Anchoring(part, len(self._runs), key_id(key)), key)
            self._anchored.update((one.run, one.records) for one in part)
        return newest

    async def erased(self, run_id: str) -> dict[int, ErasedFrame]:
        """The records of a run whose payloads were erased, by number."""
        run = self._runs.get(run_id)
        return {} if run is None else dict(run.erased or {})

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
        """Replace records of a run that is over and delete content. Raises RunNotFound, RunConflict."""
        self._change()
        run = self._get(run_id)
        if not run.status.over:
            raise RunConflict(f"run {run_id} is {run.status.value}, not over: cancel it before you erase it")
        present = {each.first: each for each in run.links()}
        known = run.erased or {}
        done: list[ErasedFrame] = []
        for each in frames:
            now = present.get(each.first)
            if now is None or hashlib.sha256(now.body).digest() != each.before:
                raise RunConflict(f"run {run_id} was changed while it was erased: try again")
            original = known[each.first].original if each.first in known else commitment(b"", now.body)
            done.append(ErasedFrame(each.first, original, hashlib.sha256(each.body).digest()))
        for each in frames:
            run.records[each.first - 1] = each.body[1:]  # without the array of one that a frame is
        run.erased = {**known, **{each.first: each for each in done}}
        for address in blobs:
            self._blobs.pop(address, None)
        for each in forget:
            self._shelf.forget(each)
        return self._anchor(at, "erase", Erasing(run_id, tuple(done), tuple(blobs), values, by, key_id(key)), key)

    def _anchor(self, at: float, kind: AnchorKind, data: AnchorData, key: bytes | None) -> Anchor:
        last = self._anchors[-1] if self._anchors else None
        anchor = next_anchor(None if last is None else (last.number, last.hash), at, kind, data, key)
        self._anchors.append(anchor)
        return anchor

    @property
    def shared(self) -> bool:
        """No other process can see it."""
        return False

    async def close(self) -> None:
        """Commit what is pending; nothing is written afterwards. Harmless when repeated."""
        if not self.closed:
            self._flush()
            self.closed = True
