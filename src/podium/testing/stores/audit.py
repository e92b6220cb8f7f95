"""What a store promises about proof: chains that hold, anchors that cover what changed, payloads that can be erased."""

# ruff: noqa: S101, D102 - these are tests: they assert, and their names are sentences

from __future__ import annotations

import hashlib

import pytest

from podium.core.chain import Link, Seal
from podium.core.codec import TOMBSTONE, content_digest, encode
from podium.core.errors import Erased, RunConflict, RunNotFound
from podium.core.proof import AnchorProof, Findings, JournalProof
from podium.core.records import Finished, Principal, Status, encode_record, frame
from podium.ports import Blob, CacheEntry, CacheSize, Mail, Removal, Replacement, Store, Transition

from .moves import driven, new_run, settled, step, suspend, take, write

KEY = b"k" * 32


async def proven(store: Store, key: bytes | None = KEY) -> Findings:
    """What a proof of the whole store finds."""
    findings = Findings()
    anchors = AnchorProof(findings, key)
    journals = JournalProof(findings, anchors)
    evidence = await store.evidence()
    async for anchor in evidence.anchors():
        anchors.feed(anchor)
    anchors.end(await evidence.tip())
    async for item in evidence.chains():
        if isinstance(item, Seal):
            journals.begin(item)
        else:
            journals.feed(item)
    journals.end()
    await evidence.close()
    return findings


async def anchored(store: Store) -> dict[str, int]:
    """How many records of each run the anchors cover."""
    anchors = AnchorProof(Findings(), KEY)
    evidence = await store.evidence()
    async for anchor in evidence.anchors():
        anchors.feed(anchor)
    await evidence.close()
    return {run: records for run, (records, _) in anchors.heads.items()}


async def links(store: Store, run: str = "r") -> list[Link]:
    """The frames of a run."""
    evidence = await store.evidence()
    found = [item async for item in evidence.chains(run) if isinstance(item, Link)]
    await evidence.close()
    return found


async def finished(store: Store, *names: str, run: str = "r") -> None:
    """A run with these steps that is over."""
    await store.create(new_run(run))
    writer = store.writer(await take(store, run), 1)
    for name in names:
        await write(writer, step(name))
    writer.append(encode_record(Finished(Status.SUCCEEDED, 9.0)))
    await writer.transition(Transition(Status.SUCCEEDED, release=True))


async def erase(store: Store, blobs: tuple[str, ...] = (), cached: tuple[bytes, ...] = ()) -> None:
    """Replace the payload of the second record by a tombstone."""
    body = next(item for item in await links(store) if item.first == 2).body
    gone = frame([step("gone")])
    there = Replacement(2, hashlib.sha256(body).digest(), gone)
    await store.erase("r", Removal([there], 1, "ada", 10.0, KEY, blobs, cached))


class AuditPromises:
    """Chains, anchors and erasures."""

    async def test_everything_that_was_written_is_in_a_chain_that_holds(self, store: Store) -> None:
        await finished(store, "a", "b", "c")
        await finished(store, "a", run="other")
        assert (await proven(store)).told == []
        found = await links(store)
        assert [item.first for item in found] == [1, 2, 3, 4, 5]
        assert len({item.head for item in found}) == 5

    async def test_the_chain_goes_on_under_the_next_driver(self, store: Store) -> None:
        lease, writer = await driven(store)
        await write(writer, step("a"), step("b"))
        await suspend(store, writer)
        await store.release(lease)
        row = await store.row("r")
        assert row is not None
        again = store.writer(await take(store), row.seq)
        await write(again, step("c"))
        assert (await proven(store)).told == []

    async def test_what_was_refused_leaves_no_trace_in_the_chain(self, store: Store) -> None:
        _, writer = await driven(store)
        await write(writer, step("a"))
        late = store.writer(await take(store, owner="winner", steal=True), 2)
        with pytest.raises(Exception, match="no longer drives"):
            await write(writer, step("late"))
        await write(late, step("b"))
        assert (await proven(store)).told == []

    async def test_runs_are_anchored_when_they_have_changed_and_not_again(self, store: Store) -> None:
        await finished(store, "a")
        first = await store.anchor(5.0, KEY)
        assert first is not None
        assert first.number == 1
        assert await store.anchor(6.0, KEY) is None
        await finished(store, "a", run="other")
        second = await store.anchor(7.0, KEY)
        assert second is not None
        assert second.number == 2
        assert (await proven(store)).told == []

    async def test_an_anchored_run_that_is_deleted_says_so_in_the_anchors(self, store: Store) -> None:
        await finished(store, "a")
        await store.anchor(5.0, KEY)
        await store.forget("r", key=KEY)
        assert (await proven(store)).told == []
        await finished(store, "b")
        assert (await proven(store)).told == []

    async def test_a_deletion_that_nobody_with_the_key_made_is_found(self, store: Store) -> None:
        await finished(store, "a")
        await store.anchor(5.0, KEY)
        await store.forget("r")
        assert [finding.what for finding in (await proven(store)).told] == ["signature"]

    async def test_another_key_is_found(self, store: Store) -> None:
        await finished(store, "a")
        await store.anchor(5.0, KEY)
        assert [each.what for each in (await proven(store, b"another key")).told] == ["signature"]
        assert (await proven(store, None)).told == []

    async def test_an_erased_payload_is_gone_and_the_chain_holds(self, store: Store) -> None:
        await finished(store, "a", "b")
        await store.anchor(5.0, KEY)
        await erase(store)
        assert (await proven(store)).told == []
        assert [item.first for item in await links(store) if item.erased] == [2]
        assert await store.erased("r")
        await erase(store)
        assert (await proven(store)).told == []

    async def test_erased_content_is_gone(self, store: Store) -> None:
        await store.create(new_run())
        writer = store.writer(await take(store), 1)
        content = b"x" * 100
        writer.attach(Blob(content_digest(content), content))
        await write(writer, step("a"))
        writer.append(encode_record(Finished(Status.SUCCEEDED, 9.0)))
        await writer.transition(Transition(Status.SUCCEEDED, release=True))
        await erase(store, (content_digest(content),))
        with pytest.raises(Erased):
            await store.blob(content_digest(content))

    async def test_mail_that_nobody_read_is_erased_too(self, store: Store) -> None:
        await finished(store, "a")
        await store.post(Mail("m", "r", "signal", "late", b"private", Principal(), 9.5))
        await erase(store)
        assert [(mail.id, mail.data) for mail in await store.unread("r")] == [("m", b"")]

    async def test_cached_values_that_are_named_go_with_it_and_others_stay(self, store: Store) -> None:
        await store.create(new_run())
        writer = store.writer(await take(store), 1)
        for key in (b"gone", b"left"):
            writer.attach(CacheEntry(key, b"value", 1.0, 1e12, 1000))
        await write(writer, step("a"))
        writer.append(encode_record(Finished(Status.SUCCEEDED, 9.0)))
        await writer.transition(Transition(Status.SUCCEEDED, release=True))
        await erase(store, cached=(b"gone", b"never there"))
        assert await store.cached(b"gone", 2.0) is None
        assert await store.cached(b"left", 2.0) == b"value"
        assert await store.cache_size() == CacheSize(1, len(b"value"))

    async def test_a_run_that_is_not_over_or_was_changed_meanwhile_is_not_erased(self, store: Store) -> None:
        _, writer = await driven(store)
        await write(writer, step("a"))
        with pytest.raises(RunConflict, match="not over"):
            await erase(store)
        await settled(writer)
        writer.append(encode_record(Finished(Status.SUCCEEDED, 9.0)))
        await writer.transition(Transition(Status.SUCCEEDED, release=True))
        stale = Replacement(2, b"another digest", encode([TOMBSTONE]))
        with pytest.raises(RunConflict, match="try again"):
            await store.erase("r", Removal([stale], 1, "ada", 10.0, KEY))
        with pytest.raises(RunNotFound):
            await store.erase("nobody", Removal([], 0, "ada", 10.0, KEY))
        assert (await proven(store)).told == []

    async def test_a_run_that_goes_on_is_anchored_again_and_again(self, store: Store) -> None:
        _, writer = await driven(store)
        numbers: list[int] = []
        for name in "abc":
            await write(writer, step(name))
            made = await store.anchor(5.0, KEY)
            assert made is not None
            numbers.append(made.number)
        writer.append(encode_record(Finished(Status.SUCCEEDED, 9.0)))
        await writer.transition(Transition(Status.SUCCEEDED, release=True))
        await store.create(new_run("accepted"))
        made = await store.anchor(6.0, KEY)
        assert made is not None
        assert numbers == [1, 2, 3]
        assert made.number == 4
        assert await anchored(store) == {"r": 5, "accepted": 1}

    async def test_a_run_under_the_number_of_a_deleted_one_is_anchored(self, store: Store) -> None:
        await finished(store, "a")
        await store.anchor(5.0, KEY)
        await store.forget("r")
        await store.create(new_run("next"))
        await store.anchor(6.0, KEY)
        assert await anchored(store) == {"next": 1}
