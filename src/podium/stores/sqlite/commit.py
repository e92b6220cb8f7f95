"""What is written together: units of runs, in one transaction, each behind its own fence.

Used in line by the loop's thread and by the writer thread alike; when and where is `group`'s decision. Nothing here
knows of event loops beyond carrying the futures of those who wait.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from podium.core.chain import GENESIS, commitment, frame_salt, link
from podium.core.codec import encode
from podium.core.errors import PodiumError, StoreError
from podium.core.records import frame
from podium.ports import (
    Attachment,
    Blob,
    CacheEntry,
    CacheUse,
    Reservation,
    SessionEntry,
    Settlement,
    Transition,
)
from podium.stores.refusals import lease_lost

from . import ledger, runs, sessions, sql
from .errors import translate
from .files import PAGE_SIZE, Database

T = TypeVar("T")

UNFIT = (ValueError, TypeError, OverflowError)
"""What Python raises for a value that SQLite cannot hold, such as a text with half a surrogate pair."""


class Position:
    """Where a writer stands in its run's journal, and why it may not go on."""

    __slots__ = ("epoch", "failed", "head", "last", "number", "owner", "run", "secret")

    def __init__(self, run: str, number: int, epoch: int, owner: str, last: int, head: bytes, secret: bytes) -> None:
        self.run, self.number, self.epoch, self.owner = run, number, epoch, owner
        self.last = last
        """The number of the last record; moved by whoever is writing, one at a time."""
        self.head = head
        """The head of the last frame; moved with `last`."""
        self.secret = secret
        """What the salts of this run's frames are made of."""
        self.failed: PodiumError | None = None


class Unit:
    """What one run commits at once. Lives on the loop's thread until it is sealed, and there again when finished."""

    __slots__ = (
        "answer", "at", "change", "failure", "finish", "items", "last", "position", "records", "refused",
        "reservations", "sealed", "sync", "waiters",
    )  # fmt: skip

    def __init__(self, position: Position, finish: Callable[[Unit, int], None]) -> None:
        self.position = position
        self.finish = finish
        """Called on the loop's thread with the unit and the number of the commit it was part of."""
        self.records: list[bytes] = []
        self.reservations: list[tuple[int, bytes, int, Reservation]] | None = None
        """Which of the records depend on a reservation, and how many items were attached before it."""
        self.items: list[Attachment] | None = None
        self.change: Transition | None = None
        self.at = 0.0
        self.sync = False
        self.sealed = False
        """Nothing is added any more."""
        self.waiters: list[asyncio.Future[None]] | None = None
        self.answer: asyncio.Future[bool] | None = None
        self.failure: PodiumError | None = None
        self.refused = False
        self.last = 0

    @property
    def waiting(self) -> int:
        """How many wait for it."""
        return (0 if self.waiters is None else len(self.waiters)) + (self.answer is not None)


class Job:
    """Any other write, in a transaction of its own unless it is `bare`."""

    __slots__ = ("bare", "failure", "future", "result", "work")

    def __init__(self, work: Callable[[Database], Any], future: asyncio.Future[Any] | None, *, bare: bool) -> None:
        self.work, self.future, self.bare = work, future, bare
        self.result: Any = None
        self.failure: PodiumError | None = None


def commit_units(db: Database, units: list[Unit]) -> int:
    """Write units in order, in one transaction; about how many bytes were logged.

    A unit whose lease is gone gets a `failure`, one that unread mail refused is `refused`; the others are written all
    the same. Raises sqlite3.Error when nothing was written.
    """
    before = [(unit.position.last, unit.position.head) for unit in units]
    unit = units[0]
    try:
        if len(units) == 1 and unit.items is None and unit.change is None and unit.reservations is None:
            return _write(db, unit)  # one statement, a transaction by itself: a third of the cost saved
        db.execute(sql.BEGIN)
        size = 0
        for unit in units:
            size += _write_or_refuse(db, unit) if _may_be_refused(unit) else _write(db, unit)
        db.execute(sql.COMMIT)
    except UNFIT as error:
        _undo(db, units, before)
        unit.failure = _unfit(error)
        others = [other for other in units if other is not unit]
        return commit_units(db, others) if others else 0
    except BaseException:
        _undo(db, units, before)
        raise
    return size


def transact(db: Database, work: Callable[[Database], T]) -> T:
    """`work` in a transaction. Raises sqlite3.Error and whatever `work` raises, with nothing written."""
    db.execute(sql.BEGIN)
    try:
        result = work(db)
        db.execute(sql.COMMIT)
    except BaseException:
        db.rollback()
        raise
    return result


def execute(db: Database, batch: list[Unit | Job]) -> int:
    """Write a batch in order, as few transactions as there can be; failures are left in its members."""
    size = 0
    units: list[Unit] = []
    for item in [*batch, None]:
        if isinstance(item, Unit):
            units.append(item)
            continue
        if units:
            try:
                size += commit_units(db, units)
            except sqlite3.Error as error:
                fail(units, translate(error, db.path))
            units = []
        if item is not None:
            try:
                item.result = item.work(db) if item.bare else transact(db, item.work)
                size += 2 * PAGE_SIZE
            except sqlite3.Error as error:
                item.failure = translate(error, db.path)
            except PodiumError as error:
                item.failure = error
            except UNFIT as error:
                item.failure = _unfit(error)
    return size


def fail(items: list[Unit] | list[Unit | Job], failure: PodiumError) -> None:
    """Mark all as not written."""
    for item in items:
        item.failure = failure


def checkpoint(db: Database) -> None:
    """Move the log into the file and begin the log anew.

    The first write to a new log syncs its header, whatever `synchronous` says: it is done here, not on the loop.
    """
    _, logged, moved = db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    if logged == moved:
        db.execute(sql.BEGIN)
        number = int(db.execute("PRAGMA user_version").fetchone()[0])
        db.execute(f"PRAGMA user_version = {number}")
        db.execute(sql.COMMIT)


def _undo(db: Database, units: list[Unit], before: list[tuple[int, bytes]]) -> None:
    db.rollback()
    for unit, (last, head) in zip(reversed(units), reversed(before), strict=True):
        unit.position.last, unit.position.head, unit.failure, unit.refused = last, head, None, False


def _unfit(error: Exception) -> StoreError:
    return StoreError(f"what was given cannot be stored: {error}")


def _may_be_refused(unit: Unit) -> bool:
    """Whether a unit may have to be undone after it was begun."""
    return unit.reservations is not None or _unless_mail(unit)


def _unless_mail(unit: Unit) -> bool:
    return unit.change is not None and unit.change.unless_mail


def _write_or_refuse(db: Database, unit: Unit) -> int:
    """Write a unit unless mail is left unread; mail that the unit itself marks as read does not count.

    What was reserved for a unit whose lease is gone is undone with it.
    """
    last, head = unit.position.last, unit.position.head
    db.execute(sql.SAVE)
    number = unit.position.number
    items = unit.items or []
    settled = 0
    for index, record, before, reservation in unit.reservations or ():
        _settle(db, number, items[settled:before])  # what was let go before the reservation was made is free for it
        settled = before
        ledger.reserve(db, number, reservation)
        refusal = reservation.refusal  # may be another than the last time, when the file was locked
        unit.records[index] = record if refusal is None else reservation.otherwise(refusal)
    _settle(db, number, items[settled:])
    size = _write(db, unit, settled=True)
    if unit.failure is not None:
        db.execute(sql.UNDO)
    elif _unless_mail(unit) and db.has("mail") and db.execute(sql.HAS_UNREAD, (number,)).fetchone()[0]:
        db.execute(sql.UNDO)
        unit.position.last, unit.position.head, unit.refused = last, head, True
    db.execute(sql.RELEASE)
    return size


def _settle(db: Database, number: int, items: list[Attachment]) -> None:
    for item in items:
        if isinstance(item, Settlement):
            ledger.settle(db, number, item)


def _write(db: Database, unit: Unit, *, settled: bool = False) -> int:
    """Write a unit behind its fence. `settled` tells that its settlements are done."""
    position = unit.position
    number, epoch, owner = position.number, position.epoch, position.owner
    records = unit.records
    head = position.head
    size = PAGE_SIZE
    if records:
        body, first = frame(records), position.last + 1
        committed = commitment(frame_salt(position.secret, first), body)
        head = link(head, position.run, first, len(records), committed)
        size += len(body)
        try:
            fence = db.execute(sql.APPEND, ((number << 32) | first, len(records), body, head, number, epoch, owner))
        except sqlite3.IntegrityError:
            unit.failure = StoreError(
                f"run {position.run}: record {position.last + 1} exists already; two writers share one lease"
            )
            return size
    else:
        fence = db.execute(sql.TOUCH, (number, epoch, owner))
    if fence.rowcount != 1:
        unit.failure = lease_lost(position.run, epoch)
        return size
    position.last += len(records)
    position.head = head
    unit.last = position.last
    if unit.items is not None:
        for item in unit.items:
            size += PAGE_SIZE if settled and isinstance(item, Settlement) else _attach(db, number, item)
    if unit.change is not None:
        _change(db, unit, unit.change)
    return size


def _attach(db: Database, number: int, item: Attachment) -> int:
    if isinstance(item, str):
        if db.has("mail"):
            db.execute(sql.MARK_READ, (number, item))
        return 0
    if isinstance(item, Settlement):
        ledger.settle(db, number, item)
        return PAGE_SIZE
    if isinstance(item, CacheEntry):
        return ledger.put(db, item)
    if isinstance(item, CacheUse):
        if db.has("cache"):
            db.execute(sql.CACHE_USED, (item.at, item.key))
        return PAGE_SIZE
    if isinstance(item, Blob):
        db.need("blobs")
        db.execute(sql.KEEP_BLOB, (item.address, item.data))
        return len(item.data)
    if isinstance(item, SessionEntry):
        return sessions.extend(db, item)
    runs.accept(db, item)
    return sum(map(len, item.records))


def _change(db: Database, unit: Unit, change: Transition) -> None:
    number = unit.position.number
    statement = sql.LEAVE if change.release else sql.TRANSITION
    costs = encode(change.costs) if change.costs else None
    head = unit.position.head
    kept = None if head is GENESIS else head  # nothing of this run is chained: it began before there was a chain
    db.execute(statement, (change.status.value, change.wake_at, change.cost, costs, unit.at, kept, number))
    if change.status.over:
        ledger.over(db, number)
