"""What only accounts in a file promise: two processes see one account, and a store whose tables are not made yet."""

from __future__ import annotations

from pathlib import Path

import pytest
from hand_clock import HandClock

from podium.core.budgets import NOTHING, Amount, Charge
from podium.core.errors import LeaseLost
from podium.ports import Reservation, Settlement, Writer
from podium.stores.sqlite import SqliteStore
from podium.testing.stores import driven, keys, new_run, settled, step, take, write

ALL = Charge("all", usd=100)


def ask(writer: Writer, key: str, usd: int) -> Reservation:
    reservation = Reservation(key, 1, Amount(usd), (ALL,), lambda _: step(f"no {key}"))
    writer.append(step(key), reservation)
    return reservation


async def test_two_openings_of_one_file_share_an_account(path: Path) -> None:
    one, two = SqliteStore.open(path, clock=HandClock()), SqliteStore.open(path, clock=HandClock())
    _, first = await driven(one, new_run("a"))
    _, second = await driven(two, new_run("b"))
    mine = ask(first, "s", 60)
    await settled(first)
    theirs = ask(second, "s", 60)
    await settled(second)
    assert (mine.refusal is None, theirs.refusal is None) == (True, False)
    first.attach(Settlement("s", 1, Amount(10)))
    await write(first, step("ended"))
    again = ask(second, "t", 60)
    await settled(second)
    assert again.refusal is None
    for store in (one, two):
        [balance] = await store.balances()
        assert (balance.spent.usd, balance.held.usd) == (10, 60)
        await store.close()


async def test_a_refusal_is_decided_anew_when_the_file_was_locked(path: Path) -> None:
    """A group that found the file locked is written by the thread, later: what others reserved meanwhile counts."""
    one, two = SqliteStore.open(path, clock=HandClock()), SqliteStore.open(path, clock=HandClock())
    _, first = await driven(one, new_run("a"))
    _, second = await driven(two, new_run("b"))
    mine = ask(first, "s", 60)
    await settled(first)
    waiting = ask(second, "s", 60)
    second.append(step("after"))
    first.attach(Settlement("s", 1, Amount(10)))
    barrier = second.barrier(sync=True)
    await write(first, step("ended"))
    assert barrier is not None
    await barrier
    assert mine.refusal is None
    expected = ["Started", "s" if waiting.refusal is None else "no s", "after"]
    assert await keys(two, "b") == expected
    [balance] = await two.balances()
    assert (balance.spent.usd, balance.held.usd) == (10, 60 if waiting.refusal is None else 0)
    await one.close()
    await two.close()


async def test_the_first_reservation_of_all_may_be_one_that_is_undone(path: Path) -> None:
    store = SqliteStore.open(path, clock=HandClock())
    _, fenced = await driven(store)
    await take(store, owner="thief", steal=True)
    ask(fenced, "late", 10)
    with pytest.raises(LeaseLost):
        await settled(fenced)
    assert await store.balances() == []
    _, writer = await driven(store, new_run("b"))
    assert ask(writer, "s", 10).refusal is None
    await settled(writer)
    [balance] = await store.balances()
    assert (balance.spent, balance.held.usd) == (NOTHING, 10)
    await store.close()


async def test_a_store_that_never_had_a_budget_has_no_table_for_one(path: Path) -> None:
    store = SqliteStore.open(path, clock=HandClock())
    _, writer = await driven(store)
    writer.attach(Settlement("s", 1, None))
    await write(writer, step("a"))
    assert await store.balances() == await store.spendings() == await store.versions() == []
    await store.close()
    import sqlite3

    with sqlite3.connect(path) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    connection.close()
    assert not names & {"budgets", "holds", "spendings", "cache", "versions"}


async def test_accounts_outlive_the_process(path: Path) -> None:
    store = SqliteStore.open(path, clock=HandClock())
    _, writer = await driven(store)
    ask(writer, "s", 30)
    await settled(writer)
    await store.close()
    store = SqliteStore.open(path, clock=HandClock(2000.0))
    writer = store.writer(await take(store, owner="next"), 2)
    writer.attach(Settlement("s", 1, None))
    await write(writer, step("lost"))
    [balance] = await store.balances()
    assert (balance.spent.usd, balance.held) == (30, NOTHING)
    await store.close()
