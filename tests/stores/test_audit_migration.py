"""A store from before there was a chain: it is migrated, goes on under the chain, and says what was before."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from podium.app.audit import Audit
from podium.core.records import Finished, Started, Status, encode_record, frame
from podium.ports import Transition
from podium.stores.sqlite import SqliteStore
from podium.stores.sqlite.schema import MIGRATIONS, Schema
from podium.testing.stores import SettableClock, keys, step, take, write


@pytest.fixture
def old(path: Path, tmp_path: Path) -> Path:
    """A store as the first release made it: a run that is under way, with three records."""
    folder = tmp_path / "first"
    folder.mkdir()
    for file in MIGRATIONS.glob("0001_*.sql"):
        shutil.copy(file, folder)
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        Schema(folder).prepare(connection, str(path), now=1.0, dead=lambda _: False, wait=0)
        connection.execute(
            "INSERT INTO runs (n, id, member, target, status, epoch, owner, lease_until, wake_seq, created, updated,"
            " parent, session, digest, cost, title, tick)"
            " VALUES (1, 'r', 'agent', '', 'running', 1, '', 0, 0, 1.0, 1.0, '', '', x'', '0', '', 0)"
        )
        started = encode_record(Started("r", "agent", 1.0))
        connection.execute("INSERT INTO journal VALUES (?, 1, ?)", ((1 << 32) + 1, frame([started])))
        connection.execute("INSERT INTO journal VALUES (?, 2, ?)", ((1 << 32) + 2, frame([step("a"), step("b")])))
    return path


async def test_a_run_from_before_goes_on_in_the_chain(old: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(old, clock=clock)
    audit = Audit(lambda: store, clock, old)
    assert (await audit.verify()).unchained == 3
    writer = store.writer(await take(store), 3)
    await write(writer, step("c"))
    writer.append(encode_record(Finished(Status.SUCCEEDED, 9.0)))
    await writer.transition(Transition(Status.SUCCEEDED, release=True))
    await audit.anchor()
    report = await audit.verify()
    assert report.ok
    assert (report.unchained, report.entries, report.anchors) == (3, 5, 1)
    assert await keys(store) == ["Started", "a", "b", "c", "Finished"]
    await store.close()


async def test_a_chained_frame_cannot_pass_for_one_from_before(old: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(old, clock=clock)
    await write(store.writer(await take(store), 3), step("c"))
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("UPDATE journal SET head = NULL")
        connection.commit()
    report = await Audit(lambda: store, clock, old).verify()
    assert [(each.what, each.first) for each in report.findings] == [("changed", 4)]
    await store.close()


async def test_what_was_before_cannot_be_taken_out_unnoticed(old: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(old, clock=clock)
    await write(store.writer(await take(store), 3), step("c"))
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("DELETE FROM journal WHERE id = ?", ((1 << 32) + 2,))
        connection.commit()
    report = await Audit(lambda: store, clock, old).verify()
    assert ("missing", 2, 3) in [(each.what, each.first, each.last) for each in report.findings]
    await store.close()
