"""The ledger and the shelf in memory: accounts, costs, cached values and versions, as plain dictionaries.

What is asked of it is done at once and in one piece; who may ask, and when, is the store's concern.
"""

from __future__ import annotations

from collections.abc import Sequence

from podium.core.budgets import NOTHING, Amount, Balance, Charge, Crossing, crossings, refused
from podium.ports import CacheEntry, CacheSize, Reservation, Settlement, Spending, Version


class Accounts:
    """Accounts and what is held on them."""

    def __init__(self) -> None:
        self.spendings: list[Spending] = []
        self._spent: dict[str, Amount] = {}
        self._held: dict[str, Amount] = {}
        self._holds: dict[str, dict[tuple[str, int], tuple[Amount, tuple[Charge, ...]]]] = {}
        """By run: step and attempt to what is held for it, and where."""

    def reserve(self, run: str, reservation: Reservation) -> None:
        """Hold what is asked on every account, or say which refuses."""
        asked = reservation.amount
        for charge in reservation.charges:
            scope = charge.scope
            refusal = refused(charge, self._spent.get(scope, NOTHING), self._held.get(scope, NOTHING), asked)
            if refusal is not None:
                reservation.refusal = refusal
                return
        reservation.refusal = None
        for charge in reservation.charges:
            self._held[charge.scope] = plus(self._held.get(charge.scope, NOTHING), asked)
            self._spent.setdefault(charge.scope, NOTHING)
        self._holds.setdefault(run, {})[reservation.key, reservation.attempt] = (asked, reservation.charges)

    def settle(self, run: str, settlement: Settlement) -> None:
        """Let go what a call held, and spend what it used."""
        held = self._holds.get(run, {}).pop((settlement.key, settlement.attempt), None)
        settlement.crossed = []
        if held is not None:
            amount, charges = held
            for charge in charges:
                if charge.scope in self._held:
                    self._held[charge.scope] = minus(self._held[charge.scope], amount)
            settlement.crossed = self._spend(charges, amount if settlement.amount is None else settlement.amount)

    def over(self, run: str) -> None:
        """A run has ended: what it still holds may have been used."""
        for key, attempt in list(self._holds.get(run, {})):
            self.settle(run, Settlement(key, attempt, None))
        self._holds.pop(run, None)

    def close(self, run: str) -> None:
        """Nobody is charged to a run's own account any more."""
        self._spent.pop(f"run:{run}", None)
        self._held.pop(f"run:{run}", None)

    def spend(self, spending: Spending, amount: Amount, charges: Sequence[Charge]) -> list[Crossing]:
        """Keep a report of spending outside runs, and add it to accounts."""
        self.spendings.append(spending)
        return self._spend(charges, amount)

    def kept(self, run: str) -> bool:
        """Whether a run has an account of its own."""
        return f"run:{run}" in self._spent

    def balances(self, prefix: str) -> list[Balance]:
        """Accounts by name."""
        return [
            Balance(scope, spent, self._held.get(scope, NOTHING))
            for scope, spent in sorted(self._spent.items())
            if scope.startswith(prefix)
        ]

    def _spend(self, charges: Sequence[Charge], amount: Amount) -> list[Crossing]:
        found: list[Crossing] = []
        for charge in charges:
            before = self._spent.get(charge.scope, NOTHING)
            after = self._spent[charge.scope] = plus(before, amount)
            found += crossings(charge, before, after)
        return found


class Shelf:
    """Cached values, least recently used first, and versions."""

    def __init__(self) -> None:
        self._entries: dict[bytes, CacheEntry] = {}
        self._bytes = 0
        self._versions: dict[str, list[Version]] = {}

    def put(self, entry: CacheEntry) -> None:
        """Keep a value, in the room of those longest unused."""
        self.forget(entry.key)
        if len(entry.data) > entry.limit:
            return
        while self._bytes + len(entry.data) > entry.limit:
            self.forget(next(iter(self._entries)))
        self._entries[entry.key] = entry
        self._bytes += len(entry.data)

    def get(self, key: bytes, now: float) -> bytes | None:
        """A value that has not expired."""
        entry = self._entries.get(key)
        return entry.data if entry is not None and entry.expires > now else None

    def used(self, key: bytes) -> None:
        """A value is the last to be forgotten."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._entries[key] = entry

    def size(self) -> CacheSize:
        """How much there is."""
        return CacheSize(len(self._entries), self._bytes)

    def clear(self) -> CacheSize:
        """Forget every cached value."""
        size = self.size()
        self._entries.clear()
        self._bytes = 0
        return size

    def add_version(self, subject: str, data: bytes, at: float, by: str, note: str) -> Version:
        """Add the next version of a subject."""
        known = self._versions.setdefault(subject, [])
        version = Version(subject, len(known) + 1, data, at, by, note)
        known.append(version)
        return version

    def versions(self, subject: str) -> list[Version]:
        """All versions of a subject (of all, for an empty one), oldest first."""
        chosen = [subject] if subject else sorted(self._versions)
        return [version for each in chosen for version in self._versions.get(each, [])]

    def forget(self, key: bytes) -> None:
        """Forget one value, if it is there."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry.data)


def plus(a: Amount, b: Amount) -> Amount:
    """The sum of two amounts."""
    return Amount(a.usd + b.usd, a.tokens + b.tokens, a.calls + b.calls)


def minus(a: Amount, b: Amount) -> Amount:
    """The difference of two amounts."""
    return Amount(a.usd - b.usd, a.tokens - b.tokens, a.calls - b.calls)
