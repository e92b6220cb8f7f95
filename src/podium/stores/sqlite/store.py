"""The store in one SQLite file: the whole `Store` port, spelled in terms of its rooms and written through `group`.

Reads run in line: they are quick, and a log lets them pass beside any writer. One `SqliteStore` belongs to one thread
and one event loop at a time; several processes may open the same file.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from podium.core.budgets import Amount, Balance, Charge, Crossing
from podium.core.chain import GENESIS, HEAD, Anchor, ErasedFrame
from podium.core.labels import Label
from podium.core.messages import Message
from podium.core.records import Record, Status
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
from podium.stores.owner import is_dead
from podium.stores.refusals import no_content, no_run, not_read

from . import anchors, ledger, mailbox, runs, sessions, sql
from .commit import Position
from .errors import translate
from .evidence import SqliteEvidence
from .files import Database, connect, connect_readonly, empty_log, prepare, writable
from .group import Committer
from .schema import Schema
from .writer import SqliteWriter


class SqliteStore:
    """A `Store` in one SQLite file. Made by `SqliteStore.open`."""

    def __init__(self, db: Database, committer: Committer, clock: Clock, *, readonly: bool) -> None:
        self._db, self._committer, self._clock = db, committer, clock
        self._closed = False
        self._posted = False
        self._touched: set[int] = set()
        """Numbers of the runs driven here since the last anchor, and of those that go on since then."""
        self._anchored = 0
        """Runs above this number are looked at for the next anchor, whoever made them; 0 for all, as at first."""
        self._version: int = self._data_version()
        self.readonly = readonly
        """Whether only reading is possible, as asked or because the file cannot be written."""

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        clock: Clock,
        readonly: bool = False,
        busy_timeout: float = 10.0,
        max_bytes: int | None = None,
    ) -> SqliteStore:
        """Open the store at `path`, making or migrating it as needed. Synchronous; takes milliseconds.

        A missing folder is made with mode 0700, the file with 0600. A file that this process cannot write is opened
        for reading. `busy_timeout` is for how many seconds a write waits for another process; `max_bytes` limits the
        size of the file. Raises StoreCorrupt, SchemaTooNew, StoreReadOnly, StoreLocked, StoreError.
        """
        file = Path(path)
        only_read = readonly or (file.exists() and not writable(file))
        schema = Schema()
        try:
            if only_read:
                connection = connect_readonly(file, busy_timeout=busy_timeout)
            else:
                prepare(file)
                connection = connect(file, busy_timeout=busy_timeout, full_sync=False, max_bytes=max_bytes)
            try:
                if only_read:
                    schema.require(connection, str(file))
                else:
                    now = clock.time()
                    schema.prepare(connection, str(file), now=now, dead=is_dead, wait=busy_timeout)
                connection.execute("PRAGMA busy_timeout = 0")
                db = Database(connection, schema, str(file))
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise translate(error, str(file)) from error

        def for_thread() -> Database:
            waiting = connect(file, busy_timeout=busy_timeout, full_sync=True, max_bytes=max_bytes)
            return Database(waiting, Schema(), str(file))

        return cls(db, Committer(db, for_thread, readonly=only_read), clock, readonly=only_read)

    @property
    def shared(self) -> bool:
        """Another process may open the same file."""
        return True

    async def close(self) -> None:
        """Write what is pending and let the file go. Harmless when repeated; other calls then fail."""
        if not self._closed:
            self._closed = True
            await self._committer.close()

    # ---------------------------------------------------------------------------------------------- journal

    async def create(self, run: NewRun) -> RunRow | None:
        """Accept a run durably; None (and no change) when the id exists."""
        if not await self._committer.write(lambda db: runs.accept(db, run)):
            return None
        at = float(run.created)
        return RunRow(
            run.id, run.member, run.target, Status.PENDING, 0, "", 0.0, 0, None, len(run.records), at, at,
            run.parent, run.session, run.digest, "0", run.title,
        )  # fmt: skip

    async def acquire(self, run_id: str, owner: str, ttl: float, *, steal: bool = False) -> Lease | Busy:
        """Take the lease for `ttl` seconds, raising the epoch, if it is free, expired, its owner is proven dead, or
        `steal`. Raises RunNotFound, StoreError.
        """
        now = self._clock.time()
        return await self._committer.write(lambda db: runs.acquire(db, run_id, owner, now, ttl, steal=steal))

    async def renew(self, leases: Sequence[Lease], ttl: float) -> list[Lease]:
        """Extend leases that are still ours to `ttl` seconds from now, moving their `until`; returns those that are
        not. An expired lease that nobody took is still ours.
        """
        until = self._clock.time() + ttl
        kept = await self._committer.write(lambda db: runs.renew(db, leases, until))
        lost: list[Lease] = []
        for lease, ours in zip(leases, kept, strict=True):
            if ours:
                lease.until = until
            else:
                lost.append(lease)
        return lost

    async def release(self, lease: Lease) -> None:
        """Give the lease back, if it is still ours."""
        row = (lease.run, lease.epoch, lease.owner)
        await self._committer.write(lambda db: db.execute(sql.GIVE_BACK, row).rowcount)

    def writer(self, lease: Lease, seq: int, on_commit: Callable[[int], None] | None = None) -> SqliteWriter:
        """The run's journal, whose next record is number `seq + 1`. `on_commit(seq)` follows each committed group.

        Raises RunNotFound, and ValueError when `seq` is not the number of the run's last record.
        """
        if type(lease) is runs.NumberedLease:
            number, secret = lease.number, lease.secret
        else:
            number = runs.number_of(self._db, lease.run)
            secret = self._db.query(sql.SALTS, (number,))[0][0] or b""
        base = number << 32
        tail = self._db.query(sql.TAIL, (base, base + sql.LAST))
        last, head = tail[0] if tail else (0, None)
        if last != seq:  # of the thief's records a writer without its lease need not know; it is refused when it writes
            found = self._db.query(sql.EPOCH, (lease.run,))
            if not found:
                raise no_run(lease.run)
            if found[0][0] == lease.epoch:
                raise not_read(lease.run, last, seq)
        self._touched.add(number)
        head = GENESIS if head is None else head[:HEAD]
        position = Position(lease.run, number, lease.epoch, lease.owner, seq, head, secret)
        return SqliteWriter(self._committer, position, self._clock, on_commit)

    async def read(self, run_id: str, after: int = 0) -> list[Record]:
        """The run's committed records after number `after`, in order.

        Raises RunNotFound, StoreCorrupt, SchemaTooNew.
        """
        units = runs.units(self._db, run_id) if after <= 0 else runs.units_after(self._db, run_id, after)
        return records_after(run_id, after, units)

    async def frames(self, run_id: str) -> list[bytes]:
        """The run's committed records as they are stored, for `core.records.decode_frame`. Raises RunNotFound."""
        return [body for _, _, body in runs.units(self._db, run_id)]

    async def forget(self, run_id: str, *, key: bytes | None = None) -> None:
        """Delete a run that is over, with its mail, and anchor that. Its blobs and session messages stay.

        Raises RunNotFound, and RunConflict for a run that is not over.
        """
        now = self._clock.time()
        await self._committer.write(lambda db: runs.forget(db, run_id, now, key))
        self._anchored = 0  # its number may be given to another

    async def row(self, run_id: str) -> RunRow | None:
        """The run's row."""
        return runs.row(self._db, run_id)

    async def rows(
        self,
        *,
        status: Sequence[Status] = (),
        parent: str | None = None,
        session: str | None = None,
        prefix: str = "",
        limit: int = 100,
    ) -> list[RunRow]:
        """Rows that meet all conditions, newest first."""
        return runs.rows(self._db, status=status, parent=parent, session=session, prefix=prefix, limit=limit)

    async def due(self, now: float, limit: int = 100) -> list[RunRow]:
        """Runs that nobody drives and that could go on, oldest first: pending, running under a lease that ended, or
        suspended with a `wake_at` that is past.
        """
        return runs.due(self._db, now, limit)

    async def next_wake(self) -> float | None:
        """The earliest `wake_at` of a suspended run."""
        return self._db.query(sql.NEXT_WAKE)[0][0]

    async def blob(self, address: str) -> bytes:
        """A blob's content. Raises Erased."""
        found = self._db.query(sql.BLOB, (address,)) if self._db.has("blobs") else []
        if not found:
            raise no_content(address)
        return found[0][0]

    # ---------------------------------------------------------------------------------------------- mailbox

    async def post(self, mail: Mail) -> RunRow:
        """Store mail (once per run and id) and, if the run is suspended, make it pending in the same transaction.

        Returns the row after that. Raises RunNotFound, StoreError.
        """
        now = self._clock.time()
        row = await self._committer.write(lambda db: mailbox.post(db, mail, now))
        self._posted = True
        return row

    async def unread(self, run_id: str) -> list[Mail]:
        """Mail the run's driver has not taken into the journal, oldest first."""
        return mailbox.unread(self._db, run_id)

    async def unread_runs(self, run_ids: Sequence[str]) -> list[str]:
        """Which of these runs have unread mail."""
        return mailbox.unread_runs(self._db, run_ids)

    def changed(self) -> bool:
        """Whether mail was posted here, or another process (or the writer thread) wrote, since the last question."""
        version = self._data_version()
        changed = self._posted or version != self._version
        self._posted, self._version = False, version
        return changed

    # --------------------------------------------------------------------------------------------- sessions

    async def session(self, session: str) -> SessionRow | None:
        """The session's row."""
        return sessions.row(self._db, session)

    async def history(self, session: str, start: int, stop: int) -> list[Message]:
        """Messages `start` to `stop` (exclusive); none of a session that does not exist."""
        return sessions.history(self._db, session, start, stop)

    async def turns(self, session: str) -> list[SessionTurn]:
        """Everything in a session, by the run that added it; nothing for a session that does not exist."""
        return sessions.turns(self._db, session)

    async def session_label(self, session: str, start: int, stop: int) -> Label:
        """The join of the labels of messages `start` to `stop` (exclusive); trusted when there are none."""
        return sessions.label(self._db, session, start, stop)

    async def branch_session(self, session: str, upto: int, new: str) -> None:
        """A new session that begins with the first `upto` messages of another; nothing is copied.

        Doing it twice is harmless as long as nothing was added. Raises ConfigurationError for a session that does not
        exist, one that is shorter, or a name already taken.
        """
        now = self._clock.time()
        await self._committer.write(lambda db: sessions.branch(db, session, upto, new, now))

    async def session_rows(self, limit: int = 100) -> list[SessionRow]:
        """Sessions, most recently used first."""
        return sessions.rows(self._db, limit)

    # ----------------------------------------------------------------------------- ledger, cache, versions

    async def balances(self, prefix: str = "") -> list[Balance]:
        """The accounts whose name begins with `prefix`, by name."""
        return ledger.balances(self._db, prefix)

    async def spend(self, spending: Spending, amount: Amount, charges: Sequence[Charge]) -> list[Crossing]:
        """Keep a report of spending, and add it to accounts, whatever their limits; the limits it passed."""
        return await self._committer.write(lambda db: ledger.report(db, spending, amount, tuple(charges)))

    async def costs(self, since: float = 0.0) -> list[RunCosts]:
        """What runs used that were suspended or ended at `since` (epoch seconds) or later, oldest first."""
        return ledger.costs(self._db, since)

    async def spendings(self, since: float = 0.0) -> list[Spending]:
        """What was reported at `since` or later, oldest first."""
        return ledger.spendings(self._db, since)

    async def cached(self, key: bytes, now: float) -> bytes | None:
        """The value under `key`, unless it expired or was forgotten."""
        return ledger.cached(self._db, key, now)

    async def clear_cache(self) -> CacheSize:
        """Forget every cached value; how much it was."""
        return await self._committer.write(ledger.clear)

    async def cache_size(self) -> CacheSize:
        """How much is cached, expired entries included."""
        return ledger.cache_size(self._db)

    async def add_version(self, subject: str, data: bytes, *, at: float, by: str, note: str = "") -> Version:
        """Add the next version of `subject`, in force from now on."""
        return await self._committer.write(lambda db: ledger.add_version(db, subject, data, at, by, note))

    async def versions(self, subject: str = "") -> list[Version]:
        """All versions of a subject (of all, without one), oldest first."""
        return ledger.versions(self._db, subject)

    # ------------------------------------------------------------------------------------------------- proofs

    async def evidence(self) -> SqliteEvidence:
        """Everything committed so far, at one instant. Raises a StoreError."""
        if not self.readonly:
            await self._committer.write(lambda _: None)
        return SqliteEvidence(Path(self._db.path), busy_timeout=10.0)

    async def anchor(self, at: float, key: bytes | None) -> Anchor | None:
        """Anchor the runs that changed; the newest anchor, None when none changed. Raises StoreCorrupt."""
        numbers, above = self._touched, self._anchored
        self._touched, self._anchored = set(), -1
        try:
            done = await self._committer.write(lambda db: anchors.anchor(db, at, key, numbers, max(above, 0)))
        except BaseException:
            self._anchored = 0
            raise
        self._touched |= done.going
        if self._anchored:  # else a run was deleted meanwhile
            self._anchored = done.highest
        return done.newest

    async def erased(self, run_id: str) -> dict[int, ErasedFrame]:
        """The frames of a run whose payloads were erased, by their first record."""
        return anchors.erased(self._db, run_id)

    async def erase(self, run_id: str, removal: Removal) -> Anchor:
        """Replace frames of a run that is over and delete content, with the anchor that says so.

        What was replaced is overwritten with zeros, and the log, which holds it still, is emptied into the file.
        Raises RunNotFound, RunConflict, and StoreLocked when another process keeps the log from being emptied.
        """
        done = await self._committer.write(lambda db: anchors.erase(db, run_id, removal))
        await asyncio.to_thread(empty_log, Path(self._db.path))
        return done

    def _data_version(self) -> int:
        return int(self._db.query("PRAGMA data_version")[0][0])
