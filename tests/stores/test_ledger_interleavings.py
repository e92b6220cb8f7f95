"""Any interleaving of reservations, settlements, crashes and ends of runs, against a ledger kept with plain sums."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hand_clock import HandClock
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.core.budgets import Amount, Charge, merged
from podium.core.errors import LeaseLost
from podium.core.records import Status
from podium.ports import Reservation, Settlement, Store, Transition, Writer
from podium.stores.memory import MemoryStore
from podium.stores.sqlite import SqliteStore
from podium.testing.stores import driven, new_run, settled, step, take

SCOPES = ("agent:a", "all", "run:r0", "tenant:t")
LIMITS = {
    "agent:a": Charge("agent:a", usd=40),
    "all": Charge("all", usd=60, calls=6),
    "run:r0": Charge("run:r0", tokens=9),
}
"""Of `tenant:t` only the use is counted."""
RUNS = 3
AMOUNTS = st.builds(Amount, st.integers(0, 30), st.integers(0, 5), st.integers(0, 1))


class Reserve(msgspec.Struct, frozen=True):
    run: int
    amount: Amount
    scopes: frozenset[str]


class Settle(msgspec.Struct, frozen=True):
    run: int
    which: int
    """Among those that are held, counted round and round."""
    part: float | None
    """How much of the reservation was used; None is not known."""


class Crash(msgspec.Struct, frozen=True):
    run: int


class End(msgspec.Struct, frozen=True):
    run: int


class Commit(msgspec.Struct, frozen=True):
    pass


WHICH = st.integers(0, RUNS - 1)
MOVES = st.one_of(
    st.builds(Reserve, WHICH, AMOUNTS, st.frozensets(st.sampled_from(SCOPES), min_size=1)),
    st.builds(Reserve, WHICH, AMOUNTS, st.frozensets(st.sampled_from(SCOPES), min_size=1)),
    st.builds(Settle, WHICH, st.integers(0, 9), st.none() | st.floats(0, 1)),
    st.builds(Commit),
    st.builds(Crash, WHICH),
    st.builds(End, WHICH),
)


class Books:
    """What should be: sums by account and unit, and what each run holds."""

    def __init__(self) -> None:
        self.spent = {scope: [0, 0, 0] for scope in SCOPES}
        self.held: list[dict[str, tuple[Amount, tuple[str, ...]]]] = [{} for _ in range(RUNS)]

    def holding(self, scope: str) -> list[int]:
        amounts = [amount for run in self.held for amount, scopes in run.values() if scope in scopes]
        return [sum(getattr(amount, unit) for amount in amounts) for unit in ("usd", "tokens", "calls")]

    def fits(self, asked: Amount, charges: tuple[Charge, ...]) -> bool:
        for charge in charges:
            limits = (charge.usd, charge.tokens, charge.calls)
            sums = zip(limits, self.spent[charge.scope], self.holding(charge.scope), _units(asked), strict=True)
            if any(limit is not None and spent + held + more > limit for limit, spent, held, more in sums):
                return False
        return True

    def settle(self, run: int, key: str, used: Amount | None) -> None:
        amount, scopes = self.held[run].pop(key)
        for scope in scopes:
            for place, value in enumerate(_units(amount if used is None else used)):
                self.spent[scope][place] += value


def _units(amount: Amount) -> tuple[int, int, int]:
    return amount.usd, amount.tokens, amount.calls


class World:
    """A store and the books beside it. Moves are made at once; what they came to is seen at the next commit."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.books = Books()
        self.writers: list[Writer | None] = []
        self.asked: list[tuple[Reservation, bool]] = []
        self.records = [1] * RUNS
        self.number = 0

    async def begin(self) -> None:
        for run in range(RUNS):
            self.writers.append((await driven(self.store, new_run(f"r{run}", parent="r0" if run else "")))[1])

    async def do(self, move: Any) -> None:
        if isinstance(move, Commit):
            await self.commit()
            return
        writer = self.writers[move.run]
        if writer is None:
            return
        if isinstance(move, Reserve):
            # Runs of one group are written run by run: here each run's moves are a group of their own.
            await self.commit_others(move.run)
            self.reserve(move, writer)
        elif isinstance(move, Settle):
            await self.commit()
            held = sorted(self.books.held[move.run])
            if held:
                key = held[move.which % len(held)]
                amount = self.books.held[move.run][key][0]
                used = None if move.part is None else Amount(*(int(value * move.part) for value in _units(amount)))
                writer.attach(Settlement(key, 1, used))
                self.append(move.run, writer)
                self.books.settle(move.run, key, used)
        elif isinstance(move, Crash):
            await self.commit()
            await take(self.store, f"r{move.run}", "next", steal=True)
            writer.append(step("late"), Reservation("late", 1, Amount(1), (Charge("all"),), lambda _: step("no")))
            with pytest.raises(LeaseLost):
                await settled(writer)
            lease = await take(self.store, f"r{move.run}", "after", steal=True)
            self.writers[move.run] = self.store.writer(lease, self.records[move.run])
        else:
            await self.commit()
            await writer.transition(Transition(Status.SUCCEEDED, release=True))
            for key in list(self.books.held[move.run]):
                self.books.settle(move.run, key, None)
            self.writers[move.run] = None

    def append(self, run: int, writer: Writer, reservation: Reservation | None = None) -> None:
        self.records[run] += 1
        writer.append(step(f"s{self.number}"), reservation)

    def reserve(self, move: Reserve, writer: Writer) -> None:
        self.number += 1
        key = f"s{self.number:04}"
        charges = merged(LIMITS.get(scope, Charge(scope)) for scope in move.scopes)
        granted = self.books.fits(move.amount, charges)
        reservation = Reservation(key, 1, move.amount, charges, lambda refusal: step(f"no {refusal.unit}"))
        self.append(move.run, writer, reservation)
        self.asked.append((reservation, granted))
        if granted:
            self.books.held[move.run][key] = (move.amount, tuple(charge.scope for charge in charges))

    async def commit_others(self, run: int) -> None:
        for number, writer in enumerate(self.writers):
            if number != run and writer is not None:
                await settled(writer)

    async def commit(self) -> None:
        await self.commit_others(-1)
        for reservation, granted in self.asked:
            assert (reservation.refusal is None) == granted, "refused exactly when it would pass a limit"
        self.asked.clear()
        await self.check()

    async def check(self) -> None:
        found = {balance.scope: balance for balance in await self.store.balances()}
        open_ = any(writer is not None for writer in self.writers)  # the others are children of the first
        for scope in SCOPES:
            spent, held = self.books.spent[scope], self.books.holding(scope)
            if scope in found:
                assert (list(_units(found[scope].spent)), list(_units(found[scope].held))) == (spent, held)
            elif scope != "run:r0" or open_:
                assert not any(spent + held), scope
            charge = LIMITS.get(scope, Charge(scope))
            for limit, used, more in zip((charge.usd, charge.tokens, charge.calls), spent, held, strict=True):
                assert limit is None or used + more <= limit

    async def end(self) -> None:
        for run in range(RUNS):
            await self.do(End(run))
        assert all(not any(_units(balance.held)) for balance in await self.store.balances())
        for run in range(RUNS):
            assert len(await self.store.read(f"r{run}")) == self.records[run]


async def _play(store: Store, moves: list[Any]) -> None:
    world = World(store)
    await world.begin()
    for move in moves:
        await world.do(move)
    await world.commit()
    await world.end()
    await store.close()


@given(st.lists(MOVES, max_size=40))
@settings(max_examples=60, deadline=None)
def test_accounts_in_memory_are_what_plain_sums_say(moves: list[Any]) -> None:
    asyncio.run(_play(MemoryStore(HandClock()), moves))


@given(st.lists(MOVES, max_size=40))
@settings(max_examples=25, deadline=None)
def test_accounts_in_a_file_are_what_plain_sums_say(moves: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_play(SqliteStore.open(Path(folder) / "podium.db", clock=HandClock()), moves))
