"""Runs in the file: how one is accepted, leased, found and deleted. What it writes while it is driven is `commit`'s."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from podium.core.chain import GENESIS, SALT, Forgetting, commitment, frame_salt, link
from podium.core.records import Status, frame
from podium.ports import Busy, Lease, NewRun, RunRow
from podium.stores.owner import is_dead
from podium.stores.refusals import no_run, not_over

from . import anchors, sql
from .files import Database

FEW = 64
"""So many runs are looked through one by one for those that are due; an index for them would take a page more."""

_RUNNABLE = frozenset({Status.PENDING, Status.RUNNING})


class NumberedLease(Lease):
    """A lease that remembers the number of its run and what its salts are made of, which a writer needs."""

    number: int = 0
    secret: bytes = b""


# ------------------------------------------------------------------------------------------------- in a transaction


def accept(db: Database, run: NewRun) -> bool:
    """Store a new run with its first records; False when the id exists."""
    if run.parent or run.session:
        db.need("family")
    body, secret = frame(list(run.records)), os.urandom(SALT)
    committed = commitment(frame_salt(secret, 1), body)
    head = link(GENESIS, run.id, 1, len(run.records), committed) if run.records else None
    values = (
        run.id, run.member, run.target, run.created, run.created, run.parent, run.session, run.digest, run.title, head,
        secret,
    )  # fmt: skip
    if db.execute(sql.CREATE, values).rowcount != 1:
        return False
    number = int(db.cursor.lastrowid or 0)
    if head is not None:
        db.execute(sql.FIRST, (number << 32 | 1, len(run.records), body, head))
    if number % FEW == 0:
        db.need("due")
    return True


def acquire(db: Database, run_id: str, owner: str, now: float, ttl: float, *, steal: bool) -> Lease | Busy:
    """Take the lease, unless somebody holds it and it is not to be stolen. Raises RunNotFound."""
    found = db.execute(sql.LEASE, (run_id,)).fetchone()
    if found is None:
        raise no_run(run_id)
    number, epoch, holder, until, wake_seq, secret = found
    held = bool(holder) and until > now and not is_dead(holder)
    if held and not steal:
        return Busy(holder, until)
    db.execute(sql.ACQUIRE, (owner, now + ttl, number))
    stolen = until if held else None
    return NumberedLease(run_id, epoch + 1, owner, now + ttl, wake_seq, stolen, number=number, secret=secret or b"")


def renew(db: Database, leases: Sequence[Lease], until: float) -> list[bool]:
    """Extend leases; for each whether it was still its holder's."""
    return [db.execute(sql.RENEW, (until, each.run, each.epoch, each.owner)).rowcount == 1 for each in leases]


def forget(db: Database, run_id: str, at: float, key: bytes | None = None) -> None:
    """Delete a run that is over, and anchor that, signed. Raises RunNotFound, RunConflict."""
    found = db.execute(sql.ADDRESSEE, (run_id,)).fetchone()
    if found is None:
        raise no_run(run_id)
    number, status = found[0], Status(found[1])
    if not status.over:
        raise not_over(run_id, status, "delete")
    records, head = anchors.tail(db, number)
    db.execute(sql.FORGET_RECORDS, (number << 32, (number << 32) + sql.LAST))
    if db.has("unchained"):
        db.execute(sql.FORGET_UNCHAINED, (number,))
    if db.has("mail"):
        db.execute(sql.FORGET_MAIL, (number,))
    db.execute(sql.FORGET, (number,))
    anchors.add(db, at, "forget", Forgetting(run_id, records, head or b""), key)


# ---------------------------------------------------------------------------------------------------------- reading


def to_row(values: tuple[Any, ...]) -> RunRow:
    """The values of one of the statements that ask for rows."""
    columns = list(values)
    columns[3] = Status(columns[3])
    return RunRow(*columns)


def row(db: Database, run_id: str) -> RunRow | None:
    """A run's row."""
    found = db.query(sql.ROW, (run_id,))
    return to_row(found[0]) if found else None


def rows(
    db: Database, *, status: Sequence[Status], parent: str | None, session: str | None, prefix: str, limit: int
) -> list[RunRow]:
    """Rows that meet all conditions, newest first."""
    conditions: list[str] = []
    values: list[object] = []
    if status:
        conditions.append(sql.BY_STATUS.format(", ".join("?" * len(status))))
        values += [one.value for one in status]
        if _RUNNABLE.issuperset(status):
            conditions.append(sql.RUNNABLE)
    if parent is not None:
        conditions.append(sql.BY_PARENT if parent else sql.BY_NO_PARENT)
        values += [parent] if parent else []
    if session is not None:
        conditions.append(sql.BY_SESSION if session else sql.BY_NO_SESSION)
        values += [session] if session else []
    if prefix:
        conditions.append(sql.BY_PREFIX)
        values += [prefix, prefix + "\U0010ffff"]
    statement = sql.ROWS.format(" AND ".join(conditions) or "1")
    return [to_row(found) for found in db.query(statement, (*values, limit))]


def due(db: Database, now: float, limit: int) -> list[RunRow]:
    """Runs that nobody drives and that could go on, oldest first."""
    dead = [owner for (owner,) in db.query(sql.DRIVERS, (now, now)) if is_dead(owner)]
    statement = sql.DUE.format(", ".join("?" * len(dead)))
    return [to_row(values) for values in db.query(statement, (now, now, *dead, limit))]


def number_of(db: Database, run_id: str) -> int:
    """A run's number. Raises RunNotFound."""
    found = db.query(sql.NUMBER, (run_id,))
    if not found:
        raise no_run(run_id)
    return int(found[0][0])


def units(db: Database, run_id: str) -> list[tuple[int, int, bytes]]:
    """A run's units: the number of their first record, how many they hold, the records. Raises RunNotFound."""
    found = db.query(sql.UNITS, (run_id,))
    if not found:
        number_of(db, run_id)
    return found


def units_after(db: Database, run_id: str, after: int) -> list[tuple[int, int, bytes]]:
    """A run's units from the one that holds record `after + 1`. Raises RunNotFound."""
    base = number_of(db, run_id) << 32
    return db.query(sql.READ, (base, min(base + after + 1, base + sql.LAST), base, base + sql.LAST))
