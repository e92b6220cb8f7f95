"""What a store promises about leases: one driver at a time, and runs that nobody drives are found.

What a driver without its lease may not do is in `fencing`.
"""

# ruff: noqa: S101, D102 - these are tests: they assert, and their names are sentences

from __future__ import annotations

import pytest

from podium.core.records import Status
from podium.ports import Busy, Store, Transition

from .moves import TTL, SettableClock, mail, new_run, suspend, take


class LeasePromises:
    """Leases, and which runs are due."""

    async def test_every_acquisition_raises_the_epoch(self, store: Store) -> None:
        await store.create(new_run())
        first = await take(store)
        await store.release(first)
        second = await take(store)
        assert (first.epoch, second.epoch) == (1, 2)

    async def test_a_run_that_is_taken_is_running(self, store: Store) -> None:
        async def status() -> Status | None:
            row = await store.row("r")
            return row and row.status

        await store.create(new_run())
        assert await status() is Status.PENDING
        writer = store.writer(await take(store), 1)
        assert await status() is Status.RUNNING
        assert await suspend(store, writer, wake_at=99.0)
        assert await status() is Status.SUSPENDED
        await take(store)
        assert await status() is Status.RUNNING

    @pytest.mark.parametrize("over", [Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.EXHAUSTED])
    async def test_a_run_that_is_over_stays_so_when_it_is_taken(self, store: Store, over: Status) -> None:
        await store.create(new_run())
        writer = store.writer(await take(store), 1)
        assert await writer.transition(Transition(over, release=True))
        assert (await take(store)).epoch == 2
        row = await store.row("r")
        assert row is not None
        assert row.status is over

    async def test_a_live_lease_keeps_others_out_and_says_who_holds_it(
        self, store: Store, clock: SettableClock
    ) -> None:
        await store.create(new_run())
        lease = await take(store, owner="first")
        assert lease.until == clock.time() + TTL
        assert await store.acquire("r", "second", TTL) == Busy("first", lease.until)
        row = await store.row("r")
        assert row is not None
        assert (row.owner, row.epoch, row.lease_until) == ("first", 1, lease.until)

    async def test_an_expired_lease_is_free(self, store: Store, clock: SettableClock) -> None:
        await store.create(new_run())
        await take(store, owner="first")
        clock.advance(TTL + 1)
        lease = await take(store, owner="second")
        assert (lease.epoch, lease.stolen_until) == (2, None)

    async def test_a_stolen_lease_says_when_the_old_one_would_have_ended(
        self, store: Store, clock: SettableClock
    ) -> None:
        await store.create(new_run())
        old = await take(store, owner="first")
        new = await take(store, owner="second", steal=True)
        assert (new.epoch, new.stolen_until) == (2, old.until)

    async def test_stealing_what_is_free_steals_from_nobody(self, store: Store) -> None:
        await store.create(new_run())
        assert (await take(store, steal=True)).stolen_until is None

    async def test_renewing_moves_the_end_of_leases_that_are_ours(self, store: Store, clock: SettableClock) -> None:
        await store.create(new_run("a"))
        await store.create(new_run("b"))
        kept, lost = await take(store, "a"), await take(store, "b")
        await take(store, "b", "thief", steal=True)
        clock.advance(10)
        before = lost.until
        assert await store.renew([kept, lost], TTL) == [lost]
        assert kept.until == clock.time() + TTL
        assert lost.until == before
        row = await store.row("a")
        assert row is not None
        assert row.lease_until == kept.until

    async def test_an_expired_lease_that_nobody_took_can_be_renewed(self, store: Store, clock: SettableClock) -> None:
        await store.create(new_run())
        lease = await take(store)
        clock.advance(TTL + 1)
        assert await store.renew([lease], TTL) == []
        assert isinstance(await store.acquire("r", "other", TTL), Busy)

    async def test_releasing_a_lease_that_is_not_ours_any_more_changes_nothing(self, store: Store) -> None:
        await store.create(new_run())
        old = await take(store, owner="first")
        await take(store, owner="second", steal=True)
        await store.release(old)
        assert isinstance(await store.acquire("r", "third", TTL), Busy)

    async def test_runs_nobody_drives_are_due(self, store: Store, clock: SettableClock) -> None:
        now = clock.time()
        for run_id in ("pending", "driven", "left", "asleep", "woken", "waiting", "over"):
            await store.create(new_run(run_id))
        await take(store, "driven")
        left = store.writer(await take(store, "left"), 1)
        await left.transition(Transition(Status.RUNNING))
        for run_id, wake_at in (("asleep", now + 100), ("woken", now + 10), ("waiting", None)):
            assert await suspend(store, store.writer(await take(store, run_id), 1), wake_at)
        over = store.writer(await take(store, "over"), 1)
        await over.transition(Transition(Status.SUCCEEDED, release=True))

        async def due() -> list[str]:
            return [row.id for row in await store.due(clock.time())]

        assert await due() == ["pending"]
        clock.advance(11)
        assert await due() == ["pending", "woken"]
        clock.advance(TTL)
        assert await due() == ["pending", "driven", "left", "woken"]
        assert [row.id for row in await store.due(clock.time(), limit=2)] == ["pending", "driven"]

    async def test_the_next_wake_is_the_earliest_of_suspended_runs(self, store: Store, clock: SettableClock) -> None:
        assert await store.next_wake() is None
        for run_id, wake_at in (("a", None), ("b", 500.5), ("c", 400.25)):
            await store.create(new_run(run_id))
            assert await suspend(store, store.writer(await take(store, run_id), 1), wake_at)
        assert await store.next_wake() == 400.25
        await store.post(mail("m", "c"))
        assert await store.next_wake() == 500.5
