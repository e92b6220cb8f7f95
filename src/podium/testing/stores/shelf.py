"""What a store promises about cached values, which may be forgotten, and versions, which may not."""

# ruff: noqa: S101, D102 - these are tests: they assert, and their names are sentences

from __future__ import annotations

import asyncio

import pytest

from podium.core.errors import LeaseLost
from podium.ports import CacheEntry, CacheSize, CacheUse, Store, Writer

from .moves import driven, step, take, write

MUCH = 1_000_000


async def put(
    writer: Writer, key: bytes, data: bytes, *, at: float = 0.0, expires: float = 1e9, limit: int = MUCH
) -> None:
    """Cache a value beside a record."""
    writer.attach(CacheEntry(key, data, at, expires, limit))
    await write(writer, step(f"put {key.decode()}"))


class ShelfPromises:
    """Cached values and versions."""

    async def test_a_cached_value_is_found_until_it_expires(self, store: Store) -> None:
        _, writer = await driven(store)
        assert await store.cached(b"k", 0.0) is None
        await put(writer, b"k", b"value", at=10.0, expires=20.0)
        assert await store.cached(b"k", 10.0) == b"value"
        assert await store.cached(b"k", 19.9) == b"value"
        assert await store.cached(b"k", 20.0) is None
        assert await store.cached(b"other", 10.0) is None

    async def test_a_value_is_cached_only_with_the_record_beside_it(self, store: Store) -> None:
        _, writer = await driven(store)
        await take(store, owner="thief", steal=True)
        with pytest.raises(LeaseLost):
            await put(writer, b"k", b"value")
        assert await store.cached(b"k", 0.0) is None

    async def test_a_value_put_again_replaces_the_other(self, store: Store) -> None:
        _, writer = await driven(store)
        await put(writer, b"k", b"old value", expires=20.0)
        await put(writer, b"k", b"new", expires=40.0)
        assert await store.cached(b"k", 30.0) == b"new"
        assert await store.cache_size() == CacheSize(1, 3)

    async def test_values_longest_unused_make_room(self, store: Store) -> None:
        _, writer = await driven(store)
        for at, key in enumerate((b"a", b"b", b"c")):
            await put(writer, key, b"1234", at=float(at), limit=12)
        writer.attach(CacheUse(b"a", 3.0))
        await write(writer, step("used"))
        await put(writer, b"d", b"12345678", at=4.0, limit=12)
        left = [key for key in (b"a", b"b", b"c", b"d") if await store.cached(key, 5.0) is not None]
        assert left == [b"a", b"d"], "it was used after the two that are gone"
        assert await store.cache_size() == CacheSize(2, 12)

    async def test_a_value_larger_than_the_cache_is_not_kept_and_drops_no_other(self, store: Store) -> None:
        _, writer = await driven(store)
        await put(writer, b"a", b"1234", limit=8)
        await put(writer, b"big", b"123456789", limit=8)
        assert await store.cached(b"big", 0.0) is None
        assert await store.cached(b"a", 0.0) == b"1234"
        assert await store.cache_size() == CacheSize(1, 4)

    async def test_a_value_too_large_to_replace_another_still_removes_it(self, store: Store) -> None:
        _, writer = await driven(store)
        await put(writer, b"a", b"1234", limit=8)
        await put(writer, b"a", b"123456789", limit=8)
        assert await store.cached(b"a", 0.0) is None
        assert await store.cache_size() == CacheSize(0, 0)

    async def test_using_what_was_forgotten_is_harmless(self, store: Store) -> None:
        _, writer = await driven(store)
        await put(writer, b"a", b"1234")
        await store.clear_cache()
        writer.attach(CacheUse(b"a", 3.0))
        await write(writer, step("used"))
        assert await store.cached(b"a", 0.0) is None

    async def test_using_what_was_never_cached_is_harmless(self, store: Store) -> None:
        _, writer = await driven(store)
        writer.attach(CacheUse(b"a", 3.0))
        await write(writer, step("used"))
        assert await store.cache_size() == CacheSize(0, 0)

    async def test_clearing_says_how_much_it_was(self, store: Store) -> None:
        assert await store.cache_size() == await store.clear_cache() == CacheSize(0, 0)
        _, writer = await driven(store)
        await put(writer, b"a", b"12")
        await put(writer, b"b", b"345", expires=1.0)
        assert await store.cache_size() == CacheSize(2, 5), "expired values take room too"
        assert await store.clear_cache() == CacheSize(2, 5)
        assert await store.clear_cache() == await store.cache_size() == CacheSize(0, 0)
        await put(writer, b"c", b"1")
        assert await store.cache_size() == CacheSize(1, 1)

    # ---------------------------------------------------------------------------------------------------- versions

    async def test_versions_of_a_subject_are_numbered_from_one(self, store: Store) -> None:
        assert await store.versions("agent:a") == []
        first = await store.add_version("agent:a", b"one", at=1.0, by="ann")
        second = await store.add_version("agent:a", b"two", at=2.0, by="bob", note="better")
        assert [(each.number, each.data, each.at, each.by, each.note) for each in (first, second)] == [
            (1, b"one", 1.0, "ann", ""),
            (2, b"two", 2.0, "bob", "better"),
        ]
        assert await store.versions("agent:a") == [first, second]

    async def test_subjects_are_numbered_apart_and_listed_by_name(self, store: Store) -> None:
        for subject, data in (("b", b"1"), ("a", b"2"), ("b", b"3")):
            await store.add_version(subject, data, at=1.0, by="ann")
        assert [(each.subject, each.number, each.data) for each in await store.versions()] == [
            ("a", 1, b"2"),
            ("b", 1, b"1"),
            ("b", 2, b"3"),
        ]
        assert await store.versions("c") == []

    async def test_versions_added_side_by_side_get_numbers_of_their_own(self, store: Store) -> None:
        added = await asyncio.gather(*(store.add_version("a", b"%d" % n, at=1.0, by="ann") for n in range(10)))
        assert sorted(each.number for each in added) == list(range(1, 11))
        assert sorted(each.data for each in await store.versions("a")) == sorted(each.data for each in added)
