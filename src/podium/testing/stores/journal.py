"""What a store promises about records: read back in order, complete, once a barrier was passed."""

# ruff: noqa: S101, D102 - these are tests: they assert, and their names are sentences

from __future__ import annotations

import pytest

from podium.core.codec import encode
from podium.core.errors import LeaseLost, RunConflict, RunNotFound, SchemaTooNew
from podium.core.records import Started, Status, decode_frame, encode_record
from podium.ports import Blob, Store, Transition

from .moves import driven, keys, mail, new_run, settled, step, take, write


class JournalPromises:
    """Records and their writer."""

    async def test_records_are_read_back_in_order(self, store: Store) -> None:
        _, writer = await driven(store)
        await write(writer, step("a"), step("b"))
        await write(writer, step("c"))
        assert await keys(store) == ["Started", "a", "b", "c"]
        row = await store.row("r")
        assert row is not None
        assert row.seq == 4

    async def test_reading_after_a_number_begins_at_the_next_record(self, store: Store) -> None:
        _, writer = await driven(store)
        await write(writer, step("a"), step("b"))
        await write(writer, step("c"))
        everything = ["Started", "a", "b", "c"]
        for after in range(6):
            assert await keys(store, after=after) == everything[after:]

    async def test_a_record_of_another_type_than_we_know_refuses_the_run(self, store: Store) -> None:
        await store.create(new_run(records=(encode(["Z", 1]),)))
        with pytest.raises(SchemaTooNew):
            await store.read("r")

    async def test_a_run_that_needs_a_newer_reader_is_refused(self, store: Store) -> None:
        await store.create(new_run(records=(encode_record(Started("r", "agent", 1.0, reads=10_000)),)))
        with pytest.raises(SchemaTooNew):
            await store.read("r")

    async def test_a_barrier_with_nothing_appended_asks_nobody_to_wait(self, store: Store) -> None:
        _, writer = await driven(store)
        assert writer.barrier() is None
        await write(writer, step("a"))
        assert writer.barrier() is None

    async def test_a_synced_barrier_holds_with_and_without_new_records(self, store: Store) -> None:
        _, writer = await driven(store)
        await write(writer, step("a"))
        await settled(writer, sync=True)
        assert writer.barrier(sync=True) is None
        writer.append(step("b"))
        await settled(writer, sync=True)
        assert await keys(store) == ["Started", "a", "b"]

    async def test_records_appended_while_a_barrier_is_waited_for_follow_in_order(self, store: Store) -> None:
        _, writer = await driven(store)
        writer.append(step("a"))
        first = writer.barrier(sync=True)
        writer.append(step("b"))
        second = writer.barrier()
        for waiting in (first, second):
            if waiting is not None:
                await waiting
        await write(writer, step("c"))
        assert await keys(store) == ["Started", "a", "b", "c"]

    async def test_each_commit_is_announced_with_its_last_number(self, store: Store) -> None:
        await store.create(new_run())
        heard: list[int] = []
        writer = store.writer(await take(store), 1, heard.append)
        await write(writer, step("a"), step("b"))
        await write(writer, step("c"))
        assert heard[-1] == 4
        assert heard == sorted(set(heard))
        assert 3 in heard

    async def test_a_new_driver_goes_on_where_the_last_one_stopped(self, store: Store) -> None:
        lease, writer = await driven(store)
        await write(writer, step("a"))
        await store.release(lease)
        again = store.writer(await take(store), 2)
        await write(again, step("b"))
        assert await keys(store) == ["Started", "a", "b"]

    async def test_a_writer_that_begins_at_the_wrong_number_is_refused(self, store: Store) -> None:
        await store.create(new_run())
        lease = await take(store)
        with pytest.raises(ValueError, match="1 records, not 5"):
            store.writer(lease, 5)

    async def test_frames_hold_the_same_records_as_reading_gives(self, store: Store) -> None:
        _, writer = await driven(store)
        await write(writer, step("a"), step("b"))
        await write(writer, step("c"))
        found = [record for data in await store.frames("r") for record in decode_frame(data)]
        assert found == await store.read("r")
        with pytest.raises(RunNotFound):
            await store.frames("nobody")

    async def test_a_forgotten_run_is_gone_with_its_records_and_mail(self, store: Store) -> None:
        _, writer = await driven(store)
        writer.attach(Blob("address", b"content"))
        writer.append(step("a"))
        await writer.transition(Transition(Status.SUCCEEDED, release=True))
        await store.post(mail("m"))
        await store.forget("r")
        assert await store.row("r") is None
        assert await store.rows() == []
        assert await store.unread("r") == []
        assert await store.blob("address") == b"content"
        with pytest.raises(RunNotFound):
            await store.read("r")
        with pytest.raises(RunNotFound):
            await store.forget("r")

    async def test_a_run_that_is_not_over_is_not_forgotten(self, store: Store) -> None:
        _, writer = await driven(store)
        for change in (Transition(Status.RUNNING), Transition(Status.SUSPENDED, release=True)):
            with pytest.raises(RunConflict):
                await store.forget("r")
            await writer.transition(change)
        with pytest.raises(RunConflict):
            await store.forget("r")

    async def test_a_driver_of_a_forgotten_run_cannot_write_into_its_successor(self, store: Store) -> None:
        _, old = await driven(store)
        winner = store.writer(await take(store, owner="winner", steal=True), 1)
        await winner.transition(Transition(Status.SUCCEEDED, release=True))
        await store.forget("r")
        assert await store.create(new_run()) is not None
        await take(store, owner="successor")
        with pytest.raises(LeaseLost):
            await write(old, step("late"))
        assert await keys(store) == ["Started"]

    async def test_a_store_says_whether_it_is_shared(self, store: Store) -> None:
        assert isinstance(store.shared, bool)
