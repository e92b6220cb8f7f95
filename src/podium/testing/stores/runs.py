"""What a store promises about runs: their rows, and what is left when they or the store are gone.

It does not look into leases, records or mail for their own sake: see the modules beside it.
"""

# ruff: noqa: S101, D102 - these are tests: they assert, and their names are sentences

from __future__ import annotations

from typing import Any

import pytest

from podium.core.errors import RunNotFound, StoreError
from podium.core.records import Status
from podium.ports import Store, Transition

from .moves import TTL, driven, keys, mail, new_run, step, take, write


class RunPromises:
    """Rows of runs, and the end of the store."""

    async def test_a_created_run_has_its_row_and_first_records(self, store: Store) -> None:
        run = new_run(session="s", parent="p", digest=b"d", title="t", target="m:a", created=7.0)
        row = await store.create(run)
        assert row is not None
        assert row == await store.row("r")
        assert (row.member, row.target, row.session, row.parent, row.digest, row.title) == (
            *("agent", "m:a", "s", "p", b"d", "t"),
        )
        assert (row.status, row.epoch, row.owner, row.lease_until, row.wake_seq, row.wake_at) == (
            *(Status.PENDING, 0, "", 0.0, 0, None),
        )
        assert (row.seq, row.created, row.cost) == (1, 7.0, "0")
        assert await keys(store) == ["Started"]

    async def test_creating_an_existing_run_changes_nothing(self, store: Store) -> None:
        await store.create(new_run(title="first"))
        assert await store.create(new_run(title="second", records=(step("x"),))) is None
        row = await store.row("r")
        assert row is not None
        assert row.title == "first"
        assert await keys(store) == ["Started"]

    async def test_a_run_nobody_created_has_no_row_and_cannot_be_read_or_driven(self, store: Store) -> None:
        assert await store.row("r") is None
        with pytest.raises(RunNotFound):
            await store.read("r")
        with pytest.raises(RunNotFound):
            await store.acquire("r", "me", TTL)
        with pytest.raises(RunNotFound):
            await store.post(mail("m"))

    async def test_rows_come_newest_first_and_are_filtered(self, store: Store) -> None:
        await store.create(new_run("a1"))
        await store.create(new_run("a2", parent="a1", session="s"))
        await store.create(new_run("b1", session="s"))
        writer = store.writer(await take(store, "b1"), 1)
        await writer.transition(Transition(Status.SUCCEEDED, release=True))

        async def ids(**conditions: Any) -> list[str]:
            return [row.id for row in await store.rows(**conditions)]

        assert await ids() == ["b1", "a2", "a1"]
        assert await ids(limit=2) == ["b1", "a2"]
        assert await ids(status=[Status.PENDING]) == ["a2", "a1"]
        assert await ids(status=[Status.SUCCEEDED, Status.PENDING]) == ["b1", "a2", "a1"]
        assert await ids(parent="a1") == ["a2"]
        assert await ids(parent="") == ["b1", "a1"]
        assert await ids(session="s") == ["b1", "a2"]
        assert await ids(session="") == ["a1"]
        assert await ids(prefix="a") == ["a2", "a1"]
        assert await ids(prefix="a", session="s", status=[Status.PENDING]) == ["a2"]
        assert await ids(prefix="%") == []

    async def test_closing_twice_is_harmless_and_nothing_is_written_afterwards(self, store: Store) -> None:
        _, writer = await driven(store)
        await store.close()
        await store.close()
        with pytest.raises(StoreError):
            await write(writer, step("late"))
        with pytest.raises(StoreError):
            await store.create(new_run("x"))
