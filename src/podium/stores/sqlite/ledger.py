"""Accounts, costs, cached values and versions in the file: what is done inside a transaction, and what is asked later.

Every write to an account goes through here, so the order in which transactions commit is the order in which money
moves. What only reads needs no transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from podium.core.budgets import Amount, Balance, Charge, Crossing, Refusal, crossings, refused
from podium.core.codec import encode
from podium.core.costs import CostRow
from podium.ports import CacheEntry, CacheSize, Reservation, RunCosts, Settlement, Spending, Version

from . import sql
from .files import Database

_charges: msgspec.msgpack.Decoder[tuple[Charge, ...]] = msgspec.msgpack.Decoder(tuple[Charge, ...])
_row: msgspec.msgpack.Decoder[CostRow] = msgspec.msgpack.Decoder(CostRow)
_rows: msgspec.msgpack.Decoder[tuple[CostRow, ...]] = msgspec.msgpack.Decoder(tuple[CostRow, ...])


def reserve(db: Database, number: int, reservation: Reservation) -> None:
    """Hold what is asked on every account, or leave in the reservation which refuses."""
    db.need("ledger")
    asked = reservation.amount
    reservation.refusal = _refusal(db, reservation)
    if reservation.refusal is not None:
        return
    for charge in reservation.charges:
        db.execute(sql.HOLD, (charge.scope, asked.usd, asked.tokens, asked.calls))
    row = (number, reservation.key, reservation.attempt, asked.usd, asked.tokens, asked.calls)
    db.execute(sql.KEEP_HOLD, (*row, encode(reservation.charges)))


def settle(db: Database, number: int, settlement: Settlement) -> None:
    """Let go what a call held, and spend what it used."""
    name = (number, settlement.key, settlement.attempt)
    found = db.execute(sql.FIND_HOLD, name).fetchone() if db.has("ledger") else None
    settlement.crossed = []
    if found is None:
        return
    held = Amount(*found[:3])
    charges = _charges.decode(found[3])
    for charge in charges:
        db.execute(sql.LET_GO, (charge.scope, held.usd, held.tokens, held.calls))
    db.execute(sql.DROP_HOLD, name)
    settlement.crossed = spend(db, charges, held if settlement.amount is None else settlement.amount)


def over(db: Database, number: int) -> None:
    """A run has ended: what it still holds may have been used.

    Its own account is closed, and those of the runs above it, once no run below may be charged to them.
    """
    if not db.has("ledger"):
        return
    for key, attempt in db.execute(sql.HOLDS, (number,)).fetchall():
        settle(db, number, Settlement(key, attempt, None))
    if not db.has("family"):
        db.execute(sql.CLOSE_ACCOUNT, (number,))
        return
    for (run,) in db.execute(sql.ABOVE, (number,)).fetchall():
        if db.execute(sql.GOES_ON, (run,)).fetchone()[0]:
            return
        db.execute(sql.CLOSE_ACCOUNT_OF, (run,))


def spend(db: Database, charges: tuple[Charge, ...], amount: Amount) -> list[Crossing]:
    """Add to accounts; the limits that were passed."""
    found: list[Crossing] = []
    for charge in charges:
        row = db.execute(sql.ACCOUNT, (charge.scope,)).fetchone()
        before = Amount(*row[:3]) if row else Amount()
        db.execute(sql.SPEND, (charge.scope, amount.usd, amount.tokens, amount.calls))
        after = Amount(before.usd + amount.usd, before.tokens + amount.tokens, before.calls + amount.calls)
        found += crossings(charge, before, after)
    return found


def report(db: Database, spending: Spending, amount: Amount, charges: tuple[Charge, ...]) -> list[Crossing]:
    """Keep a report of spending outside runs, and add it to accounts."""
    db.need("ledger")
    db.execute(sql.REPORT, (spending.at, spending.session, encode(spending.row)))
    return spend(db, charges, amount)


def balances(db: Database, prefix: str) -> list[Balance]:
    """The accounts whose name begins with `prefix`, by name."""
    found = db.query(sql.BALANCES, (prefix, prefix + "\U0010ffff")) if db.has("ledger") else []
    return [Balance(row[0], Amount(*row[1:4]), Amount(*row[4:7])) for row in found]


def costs(db: Database, since: float) -> list[RunCosts]:
    """What runs used that were suspended or ended at `since` or later, oldest first."""
    found = db.query(sql.COSTS, (since,))
    return [
        RunCosts(run, member, session, updated, _rows.decode(rows)) for run, member, session, updated, rows in found
    ]


def spendings(db: Database, since: float) -> list[Spending]:
    """What was reported at `since` or later, oldest first."""
    found = db.query(sql.SPENDINGS, (since,)) if db.has("ledger") else []
    return [Spending(session, at, _row.decode(row)) for session, at, row in found]


def _refusal(db: Database, reservation: Reservation) -> Refusal | None:
    for charge in reservation.charges:
        row = db.execute(sql.ACCOUNT, (charge.scope,)).fetchone() or (0,) * 6
        found = refused(charge, Amount(*row[:3]), Amount(*row[3:]), reservation.amount)
        if found is not None:
            return found
    return None


# ------------------------------------------------------------------------------------------------------------- cache


def put(db: Database, entry: CacheEntry) -> int:
    """Keep a value, in the room of those longest unused; about how many bytes were written."""
    db.need("cache")
    total = _without(db, entry.key, int(db.execute(sql.CACHE_TOTAL).fetchone()[0]))
    if len(entry.data) <= entry.limit:
        while total + len(entry.data) > entry.limit:
            key, length = db.execute(sql.CACHE_OLDEST).fetchone()
            db.execute(sql.CACHE_DROP, (key,))
            total -= length
        db.execute(sql.CACHE_PUT, (entry.key, entry.data, entry.expires, entry.at))
        total += len(entry.data)
    db.execute(sql.CACHE_COUNT, (total,))
    return len(entry.data)


def forget(db: Database, keys: Sequence[bytes]) -> None:
    """Forget the values under these keys."""
    if keys and db.has("cache"):
        total = int(db.execute(sql.CACHE_TOTAL).fetchone()[0])
        for key in keys:
            total = _without(db, key, total)
        db.execute(sql.CACHE_COUNT, (total,))


def _without(db: Database, key: bytes, total: int) -> int:
    """Drop the value under a key, if there is one; how many bytes of `total` are left."""
    known = db.execute(sql.CACHE_LENGTH, (key,)).fetchone()
    if known is None:
        return total
    db.execute(sql.CACHE_DROP, (key,))
    return total - int(known[0])


def cached(db: Database, key: bytes, now: float) -> bytes | None:
    """The value under `key`, unless it expired."""
    found = db.query(sql.CACHED, (key, now)) if db.has("cache") else []
    return found[0][0] if found else None


def cache_size(db: Database) -> CacheSize:
    """How much is cached, expired entries included."""
    return CacheSize(*db.query(sql.CACHE_SIZE)[0]) if db.has("cache") else CacheSize(0, 0)


def clear(db: Database) -> CacheSize:
    """Forget every cached value; how much it was."""
    size = cache_size(db)
    if db.has("cache"):
        db.execute(sql.CACHE_CLEAR)
        db.execute(sql.CACHE_COUNT, (0,))
    return size


# ---------------------------------------------------------------------------------------------------------- versions


def add_version(db: Database, subject: str, data: bytes, at: float, by: str, note: str) -> Version:
    """Add the next version of a subject."""
    db.need("versions")
    number = int(db.execute(sql.NEXT_VERSION, (subject,)).fetchone()[0])
    db.execute(sql.ADD_VERSION, (subject, number, data, at, by, note))
    return Version(subject, number, data, at, by, note)


def versions(db: Database, subject: str) -> list[Version]:
    """All versions of a subject (of all, for an empty one), oldest first."""
    found = db.query(sql.VERSIONS, (subject,)) if db.has("versions") else []
    return [Version(*values) for values in found]
