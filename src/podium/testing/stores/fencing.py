"""What a store promises about a driver that lost its lease: it records nothing, and disturbs nobody."""

# ruff: noqa: S101, D102 - these are tests: they assert, and their names are sentences

from __future__ import annotations

import pytest

from podium.core.errors import Erased, LeaseLost
from podium.core.records import Status
from podium.ports import Blob, Store, Transition

from .moves import driven, keys, mail, new_run, settled, step, take, write


class FencingPromises:
    """Writers without their lease."""

    async def test_a_driver_whose_lease_was_stolen_records_nothing_more(self, store: Store) -> None:
        _, writer = await driven(store)
        await write(writer, step("a"))
        thief = store.writer(await take(store, owner="thief", steal=True), 2)
        with pytest.raises(LeaseLost):
            await write(writer, step("late"))
        await write(thief, step("b"))
        assert await keys(store) == ["Started", "a", "b"]

    async def test_a_fenced_writer_stays_failed(self, store: Store) -> None:
        _, writer = await driven(store)
        await take(store, owner="thief", steal=True)
        with pytest.raises(LeaseLost):
            await write(writer, step("late"))
        assert isinstance(writer.failed, LeaseLost)
        with pytest.raises(LeaseLost):
            await write(writer, step("later"))
        with pytest.raises(LeaseLost):
            await writer.transition(Transition(Status.SUCCEEDED))

    async def test_a_fenced_transition_changes_nothing(self, store: Store) -> None:
        _, writer = await driven(store)
        await take(store, owner="thief", steal=True)
        for unless_mail in (False, True):
            with pytest.raises(LeaseLost):
                await writer.transition(Transition(Status.SUCCEEDED, unless_mail=unless_mail))
        row = await store.row("r")
        assert row is not None
        assert row.status is Status.RUNNING

    async def test_nothing_is_recorded_after_the_lease_was_given_back(self, store: Store) -> None:
        lease, writer = await driven(store)
        await store.release(lease)
        with pytest.raises(LeaseLost):
            await write(writer, step("late"))
        assert await keys(store) == ["Started"]

    async def test_what_was_appended_before_a_release_is_kept(self, store: Store) -> None:
        lease, writer = await driven(store)
        writer.append(step("a"))
        await store.release(lease)
        await settled(writer)
        assert await keys(store) == ["Started", "a"]

    async def test_a_fenced_run_does_not_disturb_the_others_of_its_group(self, store: Store) -> None:
        _, fenced = await driven(store, new_run("a"))
        _, other = await driven(store, new_run("b"))
        await take(store, "a", "thief", steal=True)
        fenced.append(step("late"))
        other.append(step("x"))
        await settled(other)
        with pytest.raises(LeaseLost):
            await settled(fenced)
        assert await keys(store, "a") == ["Started"]
        assert await keys(store, "b") == ["Started", "x"]

    async def test_a_fenced_group_stores_none_of_its_attachments(self, store: Store) -> None:
        _, writer = await driven(store)
        await store.post(mail("m"))
        await take(store, owner="thief", steal=True)
        writer.attach(Blob("address", b"content"))
        writer.attach(new_run("child"))
        writer.attach("m")
        with pytest.raises(LeaseLost):
            await write(writer, step("late"))
        with pytest.raises(Erased):
            await store.blob("address")
        assert await store.row("child") is None
        assert len(await store.unread("r")) == 1
