"""Whatever is changed, taken out, put in, exchanged or cut off in a store's file: a proof finds it."""

# ruff: noqa: S608 - tables and columns are named by the tests themselves

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from podium.app.audit import Audit, AuditReport
from podium.core.chain import Anchor, Forgetting, anchor_data, next_anchor
from podium.core.codec import content_digest, encode
from podium.core.records import Ended, Finished, Status, encode_record
from podium.ports import Blob, Transition
from podium.stores.sqlite import SqliteStore
from podium.testing.stores import SettableClock, new_run, take, write

Tamper = Callable[[sqlite3.Connection, random.Random], bool]
"""Changes something; False when there was nothing to change in this way."""


class Kept:
    """A store on disk, its key and the line of its last anchor."""

    def __init__(self, path: Path, clock: SettableClock, line: str) -> None:
        self.path, self.clock, self.line = path, clock, line

    async def proven(self, *, anchor: str | None = None) -> AuditReport:
        store = SqliteStore.open(self.path, clock=self.clock, readonly=True)
        try:
            return await Audit(lambda: store, self.clock, self.path).verify(anchor=anchor)
        finally:
            await store.close()


async def _run(store: SqliteStore, run: str, steps: int, content: bytes = b"") -> None:
    await store.create(new_run(run))
    writer = store.writer(await take(store, run), 1)
    for number in range(steps):
        value = msgspec.Raw(encode({"amount": number, "of": run}))
        await write(
            writer,
            *[encode_record(Ended(f"{run}.{number}/{name}", 2.0, value=value)) for name in "ab"[: 1 + number % 2]],
        )
    if content:
        writer.attach(Blob(content_digest(content), content))
        writer.append(encode_record(Ended("large", 3.0, blob=content_digest(content))))
    writer.append(encode_record(Finished(Status.SUCCEEDED, 9.0)))
    await writer.transition(Transition(Status.SUCCEEDED, release=True))


@pytest_asyncio.fixture
async def kept(path: Path, clock: SettableClock) -> Kept:
    """Six runs, of which one is deleted and one erased in part, and anchors between."""
    store = SqliteStore.open(path, clock=clock)
    audit = Audit(lambda: store, clock, path)
    await _run(store, "gone", 2)
    await _run(store, "first", 5)
    await audit.anchor()
    await _run(store, "large", 2, b"content" * 40)
    await _run(store, "spare", 1, b"another" * 40)
    await audit.anchor()
    await store.forget("gone", key=audit.key.made())
    await _run(store, "second", 9)
    await store.create(new_run("waiting"))
    last = await audit.anchor()
    assert last is not None
    await audit.erase("large")
    last = await audit.anchor()
    assert last is not None
    await store.close()
    made = Kept(path, clock, last.line)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    report = await made.proven(anchor=made.line)
    assert report.findings == ()
    assert report.ok
    return made


# ------------------------------------------------------------------------------------------------------- tampering


def _pick(connection: sqlite3.Connection, chance: random.Random, table: str, what: str = "*", where: str = "1") -> Any:
    rows = connection.execute(f"SELECT {what} FROM {table} WHERE {where}").fetchall()
    return chance.choice(rows) if rows else None


def _flipped(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + bytes((data[place] ^ (1 << chance.randrange(8)),)) + data[place + 1 :]


def _shorter(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start + chance.randint(1, 8) :]


def edit(table: str, key: str, column: str, where: str = "1") -> Tamper:
    """A bit flipped, or bytes taken out, in a value."""

    def tamper(connection: sqlite3.Connection, chance: random.Random) -> bool:
        row = _pick(connection, chance, table, f"{key}, {column}", f"{where} AND length({column}) > 0")
        if row is None:
            return False
        changed = chance.choice((_flipped, _shorter))(row[1], chance)
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (changed, row[0]))
        return True

    return tamper


def swap(table: str, key: str, columns: str, where: str = "1") -> Tamper:
    """Two rows exchanged, in these columns."""

    def tamper(connection: sqlite3.Connection, chance: random.Random) -> bool:
        rows = connection.execute(f"SELECT {key}, {columns} FROM {table} WHERE {where}").fetchall()
        one, other = chance.sample(rows, 2)
        if one[1:] == other[1:]:
            return False
        names = [name.strip() for name in columns.split(",")]
        change = ", ".join(f"{name} = ?" for name in names)
        connection.execute(f"UPDATE {table} SET {change} WHERE {key} = ?", (*other[1:], one[0]))
        connection.execute(f"UPDATE {table} SET {change} WHERE {key} = ?", (*one[1:], other[0]))
        return True

    return tamper


def delete(table: str, key: str, where: str = "1") -> Tamper:
    """A row deleted."""

    def tamper(connection: sqlite3.Connection, chance: random.Random) -> bool:
        connection.execute(f"DELETE FROM {table} WHERE {key} = ?", _pick(connection, chance, table, key, where))
        return True

    return tamper


def put(table: str, key: str, column: str, *values: object, where: str = "1") -> Tamper:
    """A value replaced by another, of any type."""

    def tamper(connection: sqlite3.Connection, chance: random.Random) -> bool:
        row = _pick(connection, chance, table, f"{key}, {column}", where)
        value = chance.choice(values)
        if row[1] == value:
            return False
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (value, row[0]))
        return True

    return tamper


def cut_run(connection: sqlite3.Connection, chance: random.Random) -> bool:
    """The end of a run cut off, its row made to fit."""
    number = _pick(connection, chance, "runs", "n")[0]
    ids = [each for (each,) in connection.execute("SELECT id FROM journal WHERE id >> 32 = ? ORDER BY id", (number,))]
    first = chance.randrange(len(ids))
    connection.execute("DELETE FROM journal WHERE id >> 32 = ? AND id >= ?", (number, ids[first]))
    head = connection.execute("SELECT head FROM journal WHERE id = ?", (ids[first - 1],)).fetchone() if first else None
    connection.execute(
        "UPDATE runs SET head = ?, status = 'running' WHERE n = ?", (None if head is None else head[0][:32], number)
    )
    return True


def remove_run(connection: sqlite3.Connection, chance: random.Random) -> bool:
    """A run taken out without a trace."""
    number = _pick(connection, chance, "runs", "n")[0]
    connection.execute("DELETE FROM journal WHERE id >> 32 = ?", (number,))
    connection.execute("DELETE FROM runs WHERE n = ?", (number,))
    return True


def move_frame(connection: sqlite3.Connection, chance: random.Random) -> bool:
    """A frame put elsewhere: under another number, into another run or into none."""
    place = _pick(connection, chance, "journal", "id")[0]
    to = place + chance.choice((-1, 1, 2, 100, 1 << 32, -1 << 32, 50 << 32, -100 << 32))
    if connection.execute("SELECT 1 FROM journal WHERE id = ?", (to,)).fetchone():
        return False
    connection.execute("UPDATE journal SET id = ? WHERE id = ?", (to, place))
    return True


def copy_frame(connection: sqlite3.Connection, chance: random.Random) -> bool:
    """A frame put in again after the last of its run, or of another."""
    _, count, body, head = _pick(connection, chance, "journal")
    number = _pick(connection, chance, "runs", "n")[0]
    last = connection.execute("SELECT max(id), count FROM journal WHERE id >> 32 = ?", (number,)).fetchone()
    connection.execute("INSERT INTO journal VALUES (?, ?, ?, ?)", (last[0] + last[1], count, body, head))
    return True


def cut_anchors(connection: sqlite3.Connection, chance: random.Random) -> bool:
    """The last anchors cut off."""
    last = connection.execute("SELECT max(n) FROM anchors").fetchone()[0]
    connection.execute("DELETE FROM anchors WHERE n >= ?", (chance.randint(1, last),))
    return True


def add_anchor(connection: sqlite3.Connection, chance: random.Random) -> bool:
    """An anchor put in after the last."""
    row = _pick(connection, chance, "anchors", "at, kind, data, hash, mac", "n > 0")
    last = connection.execute("SELECT max(n) FROM anchors").fetchone()[0]
    connection.execute("INSERT INTO anchors VALUES (?, ?, ?, ?, ?, ?)", (last + 1, *row))
    if chance.random() < 0.5:
        connection.execute("UPDATE anchors SET data = ?, hash = ? WHERE n = 0", (last + 1, row[3]))
    return True


NO_TYPE = (None, "", "text", 7, 1.5, b"", b"\xff" * 32)
TAMPERINGS: dict[str, Tamper] = {
    "a frame's bytes": edit("journal", "id", "body"),
    "a frame's head": edit("journal", "id", "head"),
    "a frame's bytes of another type": put("journal", "id", "body", *NO_TYPE),
    "a frame's head of another type": put("journal", "id", "head", *NO_TYPE),
    "a frame's count": put("journal", "id", "count", 0, 1, 2, 3, -1, 1 << 40, None, "two"),
    "a frame deleted": delete("journal", "id"),
    "a frame moved": move_frame,
    "a frame put in again": copy_frame,
    "two frames exchanged": swap("journal", "id", "count, body, head"),
    "two frames' bytes exchanged": swap("journal", "id", "body"),
    "two frames' heads exchanged": swap("journal", "id", "head"),
    "the end of a run": cut_run,
    "a whole run": remove_run,
    "a run's row": delete("runs", "n"),
    "a run's name": put("runs", "n", "id", "another", "", 7),
    "a run's member": put("runs", "n", "member", "another", "", None),
    "a run's end": put("runs", "n", "status", "failed", "running", "suspended", "cancelled", where="id <> 'waiting'"),
    "a run's head": put("runs", "n", "head", *NO_TYPE, where="id <> 'waiting'"),
    "a run's secret": edit("runs", "n", "secret", "secret IS NOT NULL"),
    "an anchor's data": edit("anchors", "n", "data", "n > 0"),
    "an anchor's hash": edit("anchors", "n", "hash", "n > 0"),
    "an anchor's signature": edit("anchors", "n", "mac", "n > 0"),
    "an anchor's time": put("anchors", "n", "at", 1.0, 1e300, None, "now", where="n > 0"),
    "an anchor's kind": put("anchors", "n", "kind", "anchor", "forget", "erase", "", None, where="n > 0"),
    "an anchor deleted": delete("anchors", "n"),
    "two anchors exchanged": swap("anchors", "n", "at, kind, data, hash, mac", "n > 0"),
    "the last anchors": cut_anchors,
    "an anchor put in": add_anchor,
    "the name of the last anchor": put("anchors", "n", "data", 0, 1, 2, 99, None, "x", where="n = 0"),
    "the hash of the last anchor": edit("anchors", "n", "hash", "n = 0"),
    "content": edit("blobs", "address", "data"),
    "content of another type": put("blobs", "address", "data", *NO_TYPE),
    "content deleted": delete("blobs", "address"),
}


async def tampered(kept: Kept, times: int, seed: int) -> int:
    """Tamper so often, each time with the untouched store; how often it was done."""
    chance = random.Random(seed)
    clean = kept.path.with_name("clean.db")
    shutil.copyfile(kept.path, clean)
    names = list(TAMPERINGS)
    done = 0
    while done < times:
        shutil.copyfile(clean, kept.path)
        name = names[done % len(names)]
        with closing(sqlite3.connect(kept.path)) as connection:
            changed = TAMPERINGS[name](connection, chance)
            connection.commit()
        if not changed:
            continue
        report = await kept.proven()
        assert not report.ok, f"{name} (seed {seed}, number {done}) was not found"
        done += 1
    return done


@pytest.mark.parametrize("name", TAMPERINGS)
async def test_every_kind_of_tampering_is_found_and_named(kept: Kept, name: str) -> None:
    chance = random.Random(name)
    with closing(sqlite3.connect(kept.path)) as connection:
        while not TAMPERINGS[name](connection, chance):
            pass
        connection.commit()
    report = await kept.proven()
    assert not report.ok
    assert all(finding.what and finding.where and finding.detail for finding in report.findings)


async def test_three_hundred_random_tamperings_are_found(kept: Kept) -> None:
    assert await tampered(kept, 300, seed=1) == 300


@pytest.mark.slow
async def test_ten_thousand_random_tamperings_are_found(kept: Kept) -> None:
    assert await tampered(kept, 10_000, seed=2) == 10_000


# -------------------------------------------------------------------------------------------------- what is named


async def _whats(
    kept: Kept, *statements: str, anchor: str | None = None
) -> list[tuple[str, str, int | None, int | None]]:
    with closing(sqlite3.connect(kept.path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    report = await kept.proven(anchor=anchor)
    return [(each.what, each.run, each.first, each.last) for each in report.findings]


SECOND = "(SELECT n FROM runs WHERE id = 'second')"


async def test_a_changed_frame_is_named_with_its_records(kept: Kept) -> None:
    changed = f"UPDATE journal SET body = CAST(body || x'00' AS BLOB) WHERE id = ({SECOND} << 32) + 3"
    assert await _whats(kept, changed) == [("changed", "second", 3, 4)]


async def test_a_missing_frame_is_named_with_its_records(kept: Kept) -> None:
    found = await _whats(kept, f"DELETE FROM journal WHERE id = ({SECOND} << 32) + 3")
    assert ("missing", "second", 3, 4) in found


async def test_exchanged_frames_are_named_together(kept: Kept) -> None:
    place = f"({SECOND} << 32)"
    found = await _whats(
        kept,
        f"UPDATE journal SET id = 1 WHERE id = {place} + 2",
        f"UPDATE journal SET id = {place} + 2 WHERE id = {place} + 5",
        f"UPDATE journal SET id = {place} + 5 WHERE id = 1",
    )
    assert ("swapped", "second", 2, 5) in found


async def test_a_run_cut_short_is_named_with_what_is_missing(kept: Kept) -> None:
    found = await _whats(kept, f"DELETE FROM journal WHERE id > ({SECOND} << 32) + 10 AND id >> 32 = {SECOND}")
    assert [(what, run) for what, run, _, _ in found] == [("truncated", "second")]


async def test_a_store_set_back_to_an_earlier_state_is_found_by_whoever_kept_the_line(kept: Kept) -> None:
    """Whoever may write the store and put its last anchor right leaves nothing to be found in it."""
    back = (
        "DELETE FROM anchors WHERE n > 4",
        "UPDATE anchors SET data = 4, hash = (SELECT hash FROM anchors WHERE n = 4) WHERE n = 0",
    )
    with closing(sqlite3.connect(kept.path)) as connection:
        last = connection.execute("SELECT data FROM anchors WHERE n = 0").fetchone()[0]
    assert last == 5
    await _whats(kept, *back)
    assert [each.what for each in (await kept.proven(anchor=kept.line)).findings if each.where == "anchors"] == [
        "truncated"
    ]


async def test_without_the_key_chains_are_checked_and_signatures_are_not(kept: Kept) -> None:
    (kept.path.parent / ".podium" / "audit.key").unlink()
    report = await kept.proven()
    assert report.ok
    assert not report.signed


async def test_anchors_that_were_made_anew_without_a_signature_are_found_with_the_key(kept: Kept) -> None:
    connection = sqlite3.connect(kept.path)
    last: tuple[int, bytes] | None = None
    for number, at, kind, data in connection.execute("SELECT n, at, kind, data FROM anchors WHERE n > 0").fetchall():
        said = anchor_data(Anchor(number, at, kind, data, b""))
        fields = {} if isinstance(said, Forgetting) else {"key": ""}
        made = next_anchor(last, at, kind, msgspec.structs.replace(said, **fields), None)
        last = (made.number, made.hash)
        changed = (made.data, made.hash, b"", number)
        connection.execute("UPDATE anchors SET data = ?, hash = ?, mac = ? WHERE n = ?", changed)
    assert last is not None
    connection.execute("UPDATE anchors SET data = ?, hash = ? WHERE n = 0", last)
    connection.commit()
    connection.close()
    assert {each.what for each in (await kept.proven()).findings} == {"signature"}


async def test_a_file_that_cannot_be_read_is_a_finding(kept: Kept) -> None:
    data = bytearray(kept.path.read_bytes())
    store = SqliteStore.open(kept.path, clock=kept.clock, readonly=True)
    data[1024:] = b"\xa5" * (len(data) - 1024)
    kept.path.write_bytes(bytes(data))
    report = await Audit(lambda: store, kept.clock, kept.path).verify()
    await store.close()
    assert {finding.what for finding in report.findings} == {"unreadable"}
