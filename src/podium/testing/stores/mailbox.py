"""What a store promises about mail: delivered once, and no wake-up is lost."""

# ruff: noqa: S101, D102 - these are tests: they assert, and their names are sentences

from __future__ import annotations

from podium.core.records import Status
from podium.ports import Store, Transition

from .moves import driven, mail, new_run, step, suspend, take, write


class MailPromises:
    """Mail, read and unread."""

    async def test_mail_is_unread_until_its_record_is_written(self, store: Store) -> None:
        _, writer = await driven(store)
        first, second = mail("z", at=5.0), mail("a", at=5.0)
        await store.post(first)
        await store.post(second)
        assert await store.unread("r") == [first, second]
        writer.attach("z")
        await write(writer, step("took"))
        assert await store.unread("r") == [second]

    async def test_posting_the_same_mail_twice_delivers_it_once(self, store: Store) -> None:
        _, writer = await driven(store)
        await store.post(mail("m"))
        await store.post(mail("m"))
        assert len(await store.unread("r")) == 1
        writer.attach("m")
        await write(writer, step("took"))
        await store.post(mail("m"))
        assert await store.unread("r") == []

    async def test_mail_wakes_a_suspended_run(self, store: Store) -> None:
        _, writer = await driven(store)
        assert await suspend(store, writer) is True
        row = await store.post(mail("m"))
        assert (row.status, row.wake_seq) == (Status.PENDING, 1)
        assert row == await store.row("r")
        assert (await take(store)).wake_seq == 1

    async def test_mail_read_before_does_not_wake_the_run_again(self, store: Store) -> None:
        _, writer = await driven(store)
        await store.post(mail("m"))
        writer.attach("m")
        await write(writer, step("took"))
        assert await suspend(store, writer) is True
        row = await store.post(mail("m"))
        assert (row.status, row.wake_seq) == (Status.SUSPENDED, 0)

    async def test_no_wake_up_is_lost_whichever_comes_first(self, store: Store) -> None:
        for first in ("mail", "suspension"):
            _, writer = await driven(store, new_run(first))
            if first == "mail":
                await store.post(mail("m", first))
                assert await suspend(store, writer) is False
            else:
                assert await suspend(store, writer) is True
                await store.post(mail("m", first))
            row = await store.row(first)
            assert row is not None
            assert row.status is not Status.SUSPENDED
            assert len(await store.unread(first)) == 1

    async def test_mail_to_a_finished_run_is_stored_and_wakes_nobody(self, store: Store) -> None:
        _, writer = await driven(store)
        await writer.transition(Transition(Status.SUCCEEDED, release=True))
        row = await store.post(mail("m"))
        assert (row.status, row.wake_seq) == (Status.SUCCEEDED, 0)

    async def test_runs_with_unread_mail_are_named(self, store: Store) -> None:
        for run_id in "abc":
            await store.create(new_run(run_id))
        assert await store.unread_runs(["a", "b", "c"]) == []
        await store.post(mail("m", "a"))
        await store.post(mail("m", "c"))
        assert sorted(await store.unread_runs(["a", "b", "c", "nobody"])) == ["a", "c"]
        assert await store.unread("b") == []
        assert await store.unread("nobody") == []

    async def test_a_post_shows_as_a_change_once(self, store: Store) -> None:
        await store.create(new_run())
        store.changed()
        await store.post(mail("m"))
        assert store.changed() is True
        assert store.changed() is False
