"""What a store promises about transitions: the row changes with the records before it, or neither does."""

# ruff: noqa: S101, D102 - these are tests: they assert, and their names are sentences

from __future__ import annotations

from podium.core.records import Status
from podium.ports import Store, Transition

from .moves import SettableClock, driven, keys, mail, step, suspend, take, write


class TransitionPromises:
    """Changes of a run's status."""

    async def test_a_transition_changes_the_row_with_the_records_before_it(
        self, store: Store, clock: SettableClock
    ) -> None:
        lease, writer = await driven(store)
        clock.advance(3)
        writer.append(step("a"))
        assert await writer.transition(Transition(Status.RUNNING, cost="0.25")) is True
        row = await store.row("r")
        assert row is not None
        assert (row.status, row.cost, row.seq, row.updated) == (Status.RUNNING, "0.25", 2, clock.time())
        assert (row.owner, row.lease_until) == (lease.owner, lease.until)

    async def test_a_released_suspension_leaves_the_lease_free(self, store: Store) -> None:
        _, writer = await driven(store)
        assert await suspend(store, writer, wake_at=99.0) is True
        row = await store.row("r")
        assert row is not None
        assert (row.status, row.wake_at, row.owner, row.lease_until) == (Status.SUSPENDED, 99.0, "", 0.0)
        assert await keys(store) == ["Started", "Suspended"]
        await take(store)

    async def test_unread_mail_refuses_a_suspension_and_drops_its_records(self, store: Store) -> None:
        _, writer = await driven(store)
        await write(writer, step("a"))
        await store.post(mail("m"))
        assert await suspend(store, writer) is False
        row = await store.row("r")
        assert row is not None
        assert (row.status, row.owner, row.seq) == (Status.RUNNING, "me", 2)
        assert await keys(store) == ["Started", "a"]

    async def test_a_writer_goes_on_after_a_refused_suspension(self, store: Store) -> None:
        _, writer = await driven(store)
        await store.post(mail("m"))
        assert await suspend(store, writer) is False
        writer.attach("m")
        await write(writer, step("a"))
        assert await suspend(store, writer) is True
        assert await keys(store) == ["Started", "a", "Suspended"]

    async def test_mail_read_in_the_same_group_does_not_refuse_its_suspension(self, store: Store) -> None:
        _, writer = await driven(store)
        await store.post(mail("m"))
        writer.append(step("a"))
        writer.attach("m")
        assert await writer.transition(Transition(Status.SUSPENDED, release=True, unless_mail=True)) is True

    async def test_a_transition_without_the_condition_ignores_mail(self, store: Store) -> None:
        _, writer = await driven(store)
        await store.post(mail("m"))
        assert await writer.transition(Transition(Status.SUCCEEDED, release=True)) is True

    async def test_a_finished_run_keeps_its_row_and_records(self, store: Store) -> None:
        _, writer = await driven(store)
        writer.append(step("a"))
        await writer.transition(Transition(Status.FAILED, release=True))
        row = await store.row("r")
        assert row is not None
        assert row.status is Status.FAILED
        assert await keys(store) == ["Started", "a"]
