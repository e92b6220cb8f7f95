"""What a store promises about money: reserved with the record that says so or not at all, settled once, never lost."""

# ruff: noqa: S101, D102 - these are tests: they assert, and their names are sentences

from __future__ import annotations

import asyncio

import pytest

from podium.core.budgets import NOTHING, Amount, Balance, Charge, Crossing
from podium.core.costs import CostRow
from podium.core.errors import LeaseLost
from podium.core.records import Status
from podium.core.usage import Usage
from podium.ports import Reservation, RunCosts, Settlement, Spending, Store, Transition, Writer

from .moves import SettableClock, driven, keys, new_run, settled, step, suspend, take, write

ALL = Charge("all", usd=100)
ALONE = Charge("agent:a", usd=100)


def usd(picodollars: int) -> Amount:
    """An amount of money alone."""
    return Amount(picodollars)


def ask(writer: Writer, key: str, amount: Amount, *charges: Charge, attempt: int = 1) -> Reservation:
    """Append the record `key`, which needs a reservation; `no key` stands in its place if that is refused."""
    reservation = Reservation(key, attempt, amount, charges, lambda refusal: step(f"no {key} ({refusal.scope})"))
    writer.append(step(key), reservation)
    return reservation


async def asked(writer: Writer, key: str, amount: Amount, *charges: Charge, attempt: int = 1) -> Reservation:
    """`ask`, and wait for what came of it."""
    reservation = ask(writer, key, amount, *charges, attempt=attempt)
    await settled(writer)
    return reservation


async def settle(writer: Writer, key: str, amount: Amount | None, attempt: int = 1) -> list[Crossing]:
    """Settle a reservation beside a record, and wait; what it crossed."""
    settlement = Settlement(key, attempt, amount)
    writer.attach(settlement)
    await write(writer, step(f"{key} ended"))
    assert settlement.crossed is not None
    return settlement.crossed


async def account(store: Store, scope: str) -> tuple[Amount, Amount]:
    """What was spent on an account and what is held on it; nothing for one that does not exist."""
    found = [balance for balance in await store.balances(scope) if balance.scope == scope]
    return (found[0].spent, found[0].held) if found else (NOTHING, NOTHING)


class LedgerPromises:
    """Accounts, reservations, settlements and costs."""

    # --------------------------------------------------------------------------------------------------- reserving

    async def test_a_granted_reservation_is_held_on_every_account(self, store: Store) -> None:
        _, writer = await driven(store)
        amount = Amount(30, 7, 1)
        reservation = await asked(writer, "a", amount, ALONE, ALL)
        assert reservation.refusal is None
        assert await store.balances() == [Balance("agent:a", NOTHING, amount), Balance("all", NOTHING, amount)]
        assert await keys(store) == ["Started", "a"]

    async def test_one_account_that_refuses_leaves_all_the_others_as_they_were(self, store: Store) -> None:
        _, writer = await driven(store)
        reservation = await asked(writer, "a", usd(30), Charge("agent:a", usd=1000), Charge("all", usd=29))
        refusal = reservation.refusal
        assert refusal is not None
        assert (refusal.scope, refusal.unit, refusal.limit, refusal.asked) == ("all", "usd", 29, 30)
        assert await account(store, "agent:a") == (NOTHING, NOTHING)
        assert await account(store, "all") == (NOTHING, NOTHING)

    async def test_what_fits_exactly_is_granted(self, store: Store) -> None:
        _, writer = await driven(store)
        assert (await asked(writer, "a", usd(60), ALL)).refusal is None
        assert (await asked(writer, "b", usd(40), ALL)).refusal is None
        assert (await asked(writer, "c", usd(1), ALL)).refusal is not None
        assert (await asked(writer, "d", usd(0), ALL)).refusal is None

    @pytest.mark.parametrize("unit", ["usd", "tokens", "calls"])
    async def test_each_unit_has_a_limit_of_its_own(self, store: Store, unit: str) -> None:
        _, writer = await driven(store)
        charge = Charge("all", **{unit: 5})
        assert (await asked(writer, "a", Amount(5, 5, 5), charge)).refusal is None
        refusal = (await asked(writer, "b", Amount(1, 1, 1), charge)).refusal
        assert refusal is not None
        assert (refusal.unit, refusal.limit, refusal.held, refusal.asked) == (unit, 5, 5, 1)

    async def test_a_refusal_writes_the_other_record_in_the_same_place(self, store: Store) -> None:
        _, writer = await driven(store)
        writer.append(step("before"))
        ask(writer, "a", usd(101), ALL)
        writer.append(step("after"))
        ask(writer, "b", usd(1), ALL)
        await settled(writer)
        assert await keys(store) == ["Started", "before", "no a (all)", "after", "b"]
        row = await store.row("r")
        assert row is not None
        assert row.seq == 5

    async def test_reservations_of_one_group_are_decided_in_their_order(self, store: Store) -> None:
        _, writer = await driven(store)
        granted = [ask(writer, f"s{n}", usd(40), ALL) for n in range(4)]
        await settled(writer)
        assert [each.refusal is None for each in granted] == [True, True, False, False]
        assert await account(store, "all") == (NOTHING, usd(80))

    async def test_what_was_let_go_before_a_reservation_is_free_for_it(self, store: Store) -> None:
        _, writer = await driven(store)
        await asked(writer, "a", usd(90), ALL)
        writer.attach(Settlement("a", 1, usd(10)))
        writer.append(step("a ended"))
        second = ask(writer, "b", usd(90), ALL)
        await settled(writer)
        assert second.refusal is None, "one group: the end of a call, then the beginning of the next"
        assert await account(store, "all") == (usd(10), usd(90))

    async def test_what_is_let_go_after_a_reservation_is_not_free_for_it(self, store: Store) -> None:
        _, writer = await driven(store)
        await asked(writer, "a", usd(90), ALL)
        second = ask(writer, "b", usd(90), ALL)
        writer.attach(Settlement("a", 1, usd(10)))
        writer.append(step("a ended"))
        await settled(writer)
        assert second.refusal is not None
        assert await account(store, "all") == (usd(10), NOTHING)
        assert await keys(store) == ["Started", "a", "no b (all)", "a ended"]

    async def test_limits_are_those_of_the_charge_at_hand(self, store: Store) -> None:
        _, writer = await driven(store)
        await asked(writer, "a", usd(60), ALL)
        assert (await asked(writer, "b", usd(60), Charge("all", usd=120))).refusal is None
        assert (await asked(writer, "c", usd(1), Charge("all", usd=50))).refusal is not None
        assert (await asked(writer, "d", usd(1000), Charge("all"))).refusal is None

    # ---------------------------------------------------------------------------------------------------- fencing

    async def test_a_writer_without_its_lease_reserves_nothing(self, store: Store) -> None:
        _, writer = await driven(store)
        await asked(writer, "a", usd(10), ALL)
        await take(store, owner="thief", steal=True)
        ask(writer, "late", usd(20), ALL)
        writer.attach(Settlement("a", 1, usd(1)))
        with pytest.raises(LeaseLost):
            await settled(writer)
        assert await account(store, "all") == (NOTHING, usd(10))
        assert await keys(store) == ["Started", "a"]

    async def test_a_writer_without_its_lease_disturbs_no_reservation_of_its_group(self, store: Store) -> None:
        _, fenced = await driven(store, new_run("a"))
        _, other = await driven(store, new_run("b"))
        await take(store, "a", "thief", steal=True)
        ask(fenced, "late", usd(80), ALL)
        mine = ask(other, "mine", usd(80), ALL)
        await settled(other)
        with pytest.raises(LeaseLost):
            await settled(fenced)
        assert mine.refusal is None
        assert await account(store, "all") == (NOTHING, usd(80))

    async def test_the_next_driver_settles_what_the_last_one_reserved(self, store: Store) -> None:
        _, writer = await driven(store)
        await asked(writer, "a", usd(10), ALL)
        thief = store.writer(await take(store, owner="thief", steal=True), 2)
        await settle(thief, "a", None)
        assert await account(store, "all") == (usd(10), NOTHING)

    # ---------------------------------------------------------------------------------------------------- settling

    async def test_settling_lets_go_what_was_held_and_spends_what_was_used(self, store: Store) -> None:
        _, writer = await driven(store)
        await asked(writer, "a", Amount(30, 1000, 1), ALONE, ALL)
        await settle(writer, "a", Amount(12, 345, 1))
        for scope in ("agent:a", "all"):
            assert await account(store, scope) == (Amount(12, 345, 1), NOTHING)

    async def test_settling_twice_changes_nothing(self, store: Store) -> None:
        _, writer = await driven(store)
        await asked(writer, "a", usd(30), ALL)
        await asked(writer, "b", usd(5), ALL)
        await settle(writer, "a", usd(12))
        assert await settle(writer, "a", usd(12)) == []
        assert await settle(writer, "a", None) == []
        assert await account(store, "all") == (usd(12), usd(5))

    async def test_settling_what_was_never_held_changes_nothing(self, store: Store) -> None:
        _, writer = await driven(store)
        assert await settle(writer, "a", usd(12)) == []
        assert await store.balances() == []
        await asked(writer, "a", usd(30), ALL, attempt=2)
        assert await settle(writer, "a", usd(12), attempt=1) == []
        assert await account(store, "all") == (NOTHING, usd(30))

    async def test_settling_a_refused_call_changes_nothing(self, store: Store) -> None:
        _, writer = await driven(store)
        await asked(writer, "a", usd(130), ALL)
        assert await settle(writer, "a", usd(12)) == []
        assert await account(store, "all") == (NOTHING, NOTHING)

    async def test_settling_without_an_amount_spends_all_that_was_held(self, store: Store) -> None:
        _, writer = await driven(store)
        await asked(writer, "a", Amount(30, 1000, 1), ALL)
        await settle(writer, "a", None)
        assert await account(store, "all") == (Amount(30, 1000, 1), NOTHING)

    async def test_a_call_may_turn_out_dearer_than_its_reservation(self, store: Store) -> None:
        _, writer = await driven(store)
        await asked(writer, "a", usd(30), ALL)
        await settle(writer, "a", usd(130))
        assert await account(store, "all") == (usd(130), NOTHING)
        assert (await asked(writer, "b", usd(0), ALL)).refusal is not None

    async def test_attempts_of_a_step_are_held_apart(self, store: Store) -> None:
        _, writer = await driven(store)
        await asked(writer, "a", usd(30), ALL)
        await settle(writer, "a", None)
        await asked(writer, "a", usd(40), ALL, attempt=2)
        assert await account(store, "all") == (usd(30), usd(40))
        await settle(writer, "a", usd(1), attempt=2)
        assert await account(store, "all") == (usd(31), NOTHING)

    async def test_runs_with_steps_of_one_name_are_held_apart(self, store: Store) -> None:
        _, one = await driven(store, new_run("a"))
        _, two = await driven(store, new_run("b"))
        await asked(one, "s", usd(30), ALL)
        await asked(two, "s", usd(40), ALL)
        await settle(one, "s", usd(1))
        assert await account(store, "all") == (usd(1), usd(40))

    async def test_two_runs_never_hold_more_than_the_limit_together(self, store: Store) -> None:
        writers = [(await driven(store, new_run(name)))[1] for name in ("a", "b")]

        async def spends(writer: Writer) -> int:
            granted = 0
            for number in range(20):
                reservation = await asked(writer, f"s{number}", usd(30), ALL)
                spent, held = await account(store, "all")
                assert spent.usd + held.usd <= 100
                if reservation.refusal is None:
                    granted += 1
                    await asyncio.sleep(0)
                    await settle(writer, f"s{number}", usd(7))
            return granted

        granted = await asyncio.gather(*(spends(writer) for writer in writers))
        assert await account(store, "all") == (usd(7 * sum(granted)), NOTHING)
        assert 100 - 7 * sum(granted) < 30, "refused only once it could not be afforded"

    # ---------------------------------------------------------------------------------------------------- crossings

    async def test_a_limit_that_is_nearly_used_up_is_reported_once(self, store: Store) -> None:
        _, writer = await driven(store)
        charge = Charge("all", usd=100, alert=0.5)
        found: list[Crossing] = []
        for number in range(10):
            await asked(writer, f"s{number}", usd(10), charge)
            found += await settle(writer, f"s{number}", None)
        assert found == [Crossing("all", "usd", 100, 50, 0.5)]

    async def test_a_call_that_takes_an_account_past_its_end_is_reported_too(self, store: Store) -> None:
        _, writer = await driven(store)
        await asked(writer, "a", usd(90), ALL)
        assert await settle(writer, "a", None) == [Crossing("all", "usd", 100, 90, 0.8)]
        await asked(writer, "b", usd(10), ALL)
        assert await settle(writer, "b", usd(20)) == [Crossing("all", "usd", 100, 110, 0.8)]

    async def test_every_limit_that_is_passed_is_reported(self, store: Store) -> None:
        _, writer = await driven(store)
        await asked(writer, "a", Amount(9, 9, 1), Charge("agent:a", tokens=10), Charge("all", usd=10, calls=1))
        found = await settle(writer, "a", None)
        assert sorted((each.scope, each.unit) for each in found) == [
            ("agent:a", "tokens"),
            ("all", "calls"),
            ("all", "usd"),
        ]

    # ------------------------------------------------------------------------------------------------- runs that end

    async def test_a_run_that_ends_leaves_nothing_held(self, store: Store) -> None:
        _, writer = await driven(store)
        await asked(writer, "a", usd(30), ALL)
        await asked(writer, "b", usd(40), ALL)
        await settle(writer, "b", usd(1))
        await writer.transition(Transition(Status.FAILED, release=True))
        assert await account(store, "all") == (usd(31), NOTHING), "what nobody settled may have been used"

    async def test_a_suspended_run_keeps_what_it_spent(self, store: Store) -> None:
        _, writer = await driven(store)
        own = Charge("run:r", usd=100)
        await asked(writer, "a", usd(30), own)
        await settle(writer, "a", usd(3))
        assert await suspend(store, writer)
        assert await account(store, "run:r") == (usd(3), NOTHING)

    async def test_the_account_of_a_run_is_closed_with_it(self, store: Store) -> None:
        _, writer = await driven(store)
        await asked(writer, "a", usd(30), ALL, Charge("run:r", usd=100))
        await settle(writer, "a", usd(3))
        await writer.transition(Transition(Status.SUCCEEDED, release=True))
        assert [balance.scope for balance in await store.balances()] == ["all"]

    async def test_the_account_of_a_run_stays_while_a_run_below_it_is_charged(self, store: Store) -> None:
        own = Charge("run:r", usd=100)
        _, parent = await driven(store)
        _, middle = await driven(store, new_run("m", parent="r"))
        _, child = await driven(store, new_run("c", parent="m"))
        await asked(parent, "a", usd(60), own)
        await settle(parent, "a", None)
        await asked(child, "b", usd(30), own)
        await parent.transition(Transition(Status.CANCELLED, release=True))
        await middle.transition(Transition(Status.SUCCEEDED, release=True))
        assert await account(store, "run:r") == (usd(60), usd(30))
        assert (await asked(child, "c", usd(11), own)).refusal is not None
        await settle(child, "b", usd(5))
        assert await account(store, "run:r") == (usd(65), NOTHING)
        await child.transition(Transition(Status.SUCCEEDED, release=True))
        assert await store.balances("run:") == []

    # --------------------------------------------------------------------------------------------------- balances

    async def test_balances_are_found_by_the_beginning_of_their_name(self, store: Store) -> None:
        _, writer = await driven(store)
        names = ["agent:a/2026-11-20", "agent:a/2026-11-21", "agent:é", "all", "session:s"]
        for number, name in enumerate(names):
            await asked(writer, f"s{number}", usd(1), Charge(name))
        assert [balance.scope for balance in await store.balances()] == names
        assert [balance.scope for balance in await store.balances("agent:")] == names[:3]
        assert [balance.scope for balance in await store.balances("agent:a/2026-11-21")] == names[1:2]
        assert await store.balances("tenant:") == []

    async def test_large_amounts_are_exact(self, store: Store) -> None:
        _, writer = await driven(store)
        much = 2**62 - 1
        await asked(writer, "a", Amount(much, much, 1), Charge("all"))
        await settle(writer, "a", Amount(much - 1, much, 1))
        assert await account(store, "all") == (Amount(much - 1, much, 1), NOTHING)

    # ------------------------------------------------------------------------------------ spending outside of runs

    async def test_reported_spending_counts_whatever_the_limits(self, store: Store) -> None:
        spending = Spending("s", 5.0, CostRow(0, "agent", "model", "m", 1, "0.5", Usage(1, 2)))
        crossed = await store.spend(spending, Amount(150, 3, 1), (ALONE, ALL))
        assert [(each.scope, each.spent) for each in crossed] == [("agent:a", 150), ("all", 150)]
        assert await store.spend(spending, Amount(1, 3, 1), (ALL,)) == []
        assert await account(store, "all") == (Amount(151, 6, 2), NOTHING)
        _, writer = await driven(store)
        assert (await asked(writer, "a", usd(1), ALL)).refusal is not None
        assert await store.spendings() == [spending, spending]

    async def test_reported_spending_is_listed_from_a_time_on(self, store: Store) -> None:
        row = CostRow(0, "agent", "tool", "t", 1, "0.5")
        for at in (3.0, 1.0, 2.0):
            await store.spend(Spending("", at, row), NOTHING, ())
        assert [each.at for each in await store.spendings()] == [1.0, 2.0, 3.0]
        assert [each.at for each in await store.spendings(2.0)] == [2.0, 3.0]

    # ------------------------------------------------------------------------------------------------------- costs

    async def test_the_costs_of_a_run_are_stored_with_its_row_and_replaced(
        self, store: Store, clock: SettableClock
    ) -> None:
        _, writer = await driven(store, new_run(session="s"))
        early = (CostRow(1, "agent", "model", "m", 1, "0.5"),)
        late = (
            CostRow(1, "agent", "model", "m", 2, "0.75", Usage(3, 4), "0.1", 1, 1, "0.2"),
            CostRow(2, "b", "tool", "t"),
        )
        assert await store.costs() == []
        await writer.transition(Transition(Status.RUNNING, costs=early))
        [found] = await store.costs()
        assert (found.rows, found.run, found.member, found.session) == (early, "r", "agent", "s")
        clock.advance(5)
        await writer.transition(Transition(Status.SUCCEEDED, release=True, costs=late))
        assert await store.costs() == [RunCosts("r", "agent", "s", clock.time(), late)]

    async def test_costs_are_listed_from_a_time_on(self, store: Store, clock: SettableClock) -> None:
        times: list[float] = []
        for name in ("b", "a", "c"):
            _, writer = await driven(store, new_run(name))
            await writer.transition(Transition(Status.SUCCEEDED, costs=(CostRow(1, name, "model", "m", 1),)))
            times.append(clock.time())
            clock.advance(5)
        assert [each.run for each in await store.costs()] == ["b", "a", "c"]
        assert [each.run for each in await store.costs(times[1])] == ["a", "c"]
        assert await store.costs(times[2] + 1) == []

    async def test_a_run_without_costs_is_not_listed(self, store: Store) -> None:
        _, writer = await driven(store)
        await writer.transition(Transition(Status.SUCCEEDED, release=True))
        assert await store.costs() == []
