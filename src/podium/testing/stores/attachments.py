"""What a store promises about what comes with records: blobs and child runs, all together or not at all."""

# ruff: noqa: S101, D102 - these are tests: they assert, and their names are sentences

from __future__ import annotations

import pytest

from podium.core.errors import Erased
from podium.core.records import Status
from podium.ports import Blob, Store, Transition

from .moves import driven, keys, mail, new_run, settled, step, suspended, write


class AttachmentPromises:
    """Blobs and child runs."""

    async def test_a_blob_is_stored_with_its_record_once(self, store: Store) -> None:
        _, writer = await driven(store)
        content = bytes(range(256)) * 400
        for name in ("a", "b"):
            writer.attach(Blob("address", content))
            await write(writer, step(name))
        assert await store.blob("address") == content

    async def test_content_that_is_not_there_is_erased(self, store: Store) -> None:
        with pytest.raises(Erased, match="nowhere"):
            await store.blob("nowhere")

    async def test_a_child_run_is_created_with_its_parents_record(self, store: Store) -> None:
        _, writer = await driven(store)
        writer.attach(new_run("child", parent="r"))
        await write(writer, step("spawned"))
        assert [row.id for row in await store.rows(parent="r")] == ["child"]
        assert await keys(store, "child") == ["Started"]

    async def test_a_child_run_that_exists_is_left_alone(self, store: Store) -> None:
        _, writer = await driven(store)
        await store.create(new_run("child", title="first"))
        writer.attach(new_run("child", title="second", records=(step("x"),)))
        await write(writer, step("spawned"))
        row = await store.row("child")
        assert row is not None
        assert row.title == "first"
        assert await keys(store) == ["Started", "spawned"]

    async def test_a_refused_suspension_drops_what_was_attached(self, store: Store) -> None:
        _, writer = await driven(store)
        await store.post(mail("m"))
        await settled(writer)
        writer.append(suspended())
        writer.attach(Blob("one", b"content"))
        writer.attach(Blob("two", b"content"))
        assert await writer.transition(Transition(Status.SUSPENDED, unless_mail=True)) is False
        for address in ("one", "two"):
            with pytest.raises(Erased):
                await store.blob(address)
        writer.attach(Blob("one", b"content"))
        await write(writer, step("a"))
        assert await store.blob("one") == b"content"
