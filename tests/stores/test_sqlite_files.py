"""The SQLite store and its file: making, refusing, migrating, filling up, reading only."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from podium.core.errors import (
    Erased,
    RunNotFound,
    SchemaTooNew,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
)
from podium.core.records import Status
from podium.ports import Blob, Transition
from podium.stores.sqlite import SqliteStore
from podium.stores.sqlite.schema import MIGRATIONS, Schema
from podium.testing.stores import SettableClock, driven, keys, mail, new_run, settled, step, take, write


@pytest.fixture
def ordinary_user(tmp_path: Path) -> Iterator[None]:
    """For root, file modes mean nothing: become nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    for folder in [tmp_path, *tmp_path.parents]:
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(0o755)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


async def filled(path: Path, clock: SettableClock) -> None:
    """A store with one run of two records, closed."""
    store = SqliteStore.open(path, clock=clock)
    lease, writer = await driven(store)
    await write(writer, step("a"))
    await store.release(lease)
    await store.close()


async def test_a_missing_folder_and_file_are_made_for_the_owner_alone(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)
    await store.create(new_run())
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
    await store.close()


async def test_one_file_is_left_after_closing_and_it_is_small(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)
    _, writer = await driven(store)
    for turn in range(20):
        await write(writer, *[step(f"agent.1/turn.{turn}/{name}".ljust(36, "x")) for name in "abcd"])
    await store.close()
    sizes = {file.name: file.stat().st_size for file in path.parent.iterdir()}
    assert sizes.keys() == {"podium.db"}
    assert sizes["podium.db"] <= 700 * 20, "20 turns of 280 bytes: 700 each, everything included"


async def test_everything_is_there_when_opened_again(path: Path, clock: SettableClock) -> None:
    await filled(path, clock)
    store = SqliteStore.open(path, clock=clock)
    assert await keys(store) == ["Started", "a"]
    await write(store.writer(await take(store), 2), step("b"))
    assert await keys(store) == ["Started", "a", "b"]
    await store.close()


async def test_a_large_log_is_moved_into_the_file_while_runs_go_on(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)
    _, writer = await driven(store)
    log = path.with_name("podium.db-wal")
    for number in range(40):
        writer.attach(Blob(f"b{number}", os.urandom(300_000)))
        await write(writer, step(str(number)))
    assert log.stat().st_size < 9_000_000, "12 MB were logged"
    assert len(await keys(store)) == 41
    await store.close()


# ---------------------------------------------------------------------------------------------------- refusals


def test_a_file_that_is_no_database_is_refused(path: Path, clock: SettableClock) -> None:
    path.parent.mkdir()
    path.write_text("This is a shopping list, not a database. " * 100)
    with pytest.raises(StoreCorrupt, match="not a SQLite file"):
        SqliteStore.open(path, clock=clock)


def test_somebody_elses_database_is_refused_and_untouched(path: Path, clock: SettableClock) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE birds (name)")
    before = path.read_bytes()
    with pytest.raises(StoreCorrupt, match="is a SQLite file but not a Podium store"):
        SqliteStore.open(path, clock=clock)
    assert path.read_bytes() == before


def test_a_folder_is_refused(tmp_path: Path, clock: SettableClock) -> None:
    with pytest.raises(StoreError, match="directory"):
        SqliteStore.open(tmp_path, clock=clock)


async def test_a_store_of_a_newer_version_asks_for_an_upgrade(path: Path, clock: SettableClock) -> None:
    await filled(path, clock)
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 99")
    for readonly in (False, True):
        with pytest.raises(SchemaTooNew, match="upgrade podium"):
            SqliteStore.open(path, clock=clock, readonly=readonly)


async def test_damaged_pages_are_named_as_damage(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)
    _, writer = await driven(store)
    for number in range(300):
        await write(writer, step(f"step-{number}".ljust(100, "x")))
    await store.close()
    with path.open("r+b") as file:
        file.seek(5 * 1024)
        file.write(b"\xa5" * 20 * 1024)
    store = SqliteStore.open(path, clock=clock)
    with pytest.raises(StoreCorrupt):
        await store.read("r")
    await store.close()


async def test_a_missing_record_is_named_as_damage(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)
    _, writer = await driven(store)
    for name in "abc":
        await write(writer, step(name))
    await store.close()
    with closing(sqlite3.connect(path)) as other:
        other.execute("DELETE FROM journal WHERE id & 4294967295 = 3")
        other.commit()
    store = SqliteStore.open(path, clock=clock)
    with pytest.raises(StoreCorrupt, match="gap before record 4"):
        await store.read("r")
    await store.close()


# ---------------------------------------------------------------------------------------------------- migrations


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """The migrations of a later release: one for every store, one for stores with mail."""
    folder = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, folder)
    (folder / "0003_core.sql").write_text("-- Colours.\nALTER TABLE runs ADD COLUMN colour TEXT;\n")
    (folder / "0003_mail.sql").write_text(
        "ALTER TABLE mail ADD COLUMN urgent INT;\nCREATE INDEX urgent ON mail (urgent);"
    )
    return folder


def migrate(path: Path, folder: Path, *, now: float = 1000.0, dead: bool = False) -> list[str]:
    """Open with other migrations; the statements of the schema after that."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        Schema(folder).prepare(connection, str(path), now=now, dead=lambda _: dead, wait=0)
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
        return [str(text) for (text,) in connection.execute("SELECT sql FROM sqlite_schema WHERE sql <> ''")]


async def test_an_older_store_is_migrated_in_the_parts_it_has(path: Path, clock: SettableClock, newer: Path) -> None:
    await filled(path, clock)
    schema = "\n".join(migrate(path, newer))
    assert "colour" in schema
    assert "mail" not in schema
    with pytest.raises(SchemaTooNew):
        SqliteStore.open(path, clock=clock)


async def test_a_part_that_exists_is_migrated_with_its_content(path: Path, clock: SettableClock, newer: Path) -> None:
    await filled(path, clock)
    store = SqliteStore.open(path, clock=clock)
    await store.post(mail("m"))
    await store.close()
    assert "urgent INT" in "\n".join(migrate(path, newer))
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT id, urgent FROM mail").fetchall() == [("m", None)]


def test_a_new_store_is_made_by_all_migrations(path: Path, newer: Path) -> None:
    path.parent.mkdir()
    assert "colour" in "\n".join(migrate(path, newer))


async def test_a_store_is_not_migrated_under_a_driver(path: Path, clock: SettableClock, newer: Path) -> None:
    store = SqliteStore.open(path, clock=clock)
    await store.create(new_run())
    lease = await take(store, owner="somebody")
    await store.close()
    with pytest.raises(StoreLocked, match="somebody drives run r for 30 s more"):
        migrate(path, newer)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
    migrate(path, newer, now=lease.until)


async def test_a_dead_driver_does_not_stop_a_migration(path: Path, clock: SettableClock, newer: Path) -> None:
    store = SqliteStore.open(path, clock=clock)
    await store.create(new_run())
    await take(store)
    await store.close()
    migrate(path, newer, dead=True)


async def test_a_migration_that_fails_leaves_the_store_as_it_was(path: Path, clock: SettableClock, newer: Path) -> None:
    await filled(path, clock)
    (newer / "0004_core.sql").write_text("CREATE TABLE extra (x);\nCREATE TABLE runs (x);")
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(path, newer)
    store = SqliteStore.open(path, clock=clock)
    assert await keys(store) == ["Started", "a"]
    await store.close()


async def test_tables_are_made_when_first_needed(path: Path, clock: SettableClock) -> None:
    await filled(path, clock)

    def tables() -> set[str]:
        with closing(sqlite3.connect(path)) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}

    assert tables() == {"runs", "journal", "blobs"}
    store = SqliteStore.open(path, clock=clock)
    await store.post(mail("m"))
    assert tables() == {"runs", "journal", "blobs", "mail"}
    await store.close()


async def test_a_store_made_without_a_table_for_blobs_gets_one(path: Path, clock: SettableClock) -> None:
    await filled(path, clock)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE blobs")
    store = SqliteStore.open(path, clock=clock)
    with pytest.raises(Erased):
        await store.blob("address")
    writer = store.writer(await take(store), 2)
    writer.attach(Blob("address", b"x"))
    await write(writer, step("b"))
    assert await store.blob("address") == b"x"
    await store.close()


async def test_runs_that_are_due_are_found_among_few_and_among_many(path: Path, clock: SettableClock) -> None:
    def indexed() -> bool:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'runs_due'").fetchone() is not None

    store = SqliteStore.open(path, clock=clock)
    for count, expected in ((10, False), (100, True)):
        for number in range(count):
            await store.create(new_run(f"{count}-{number}"))
            if number % 3:
                await take(store, f"{count}-{number}")
        assert indexed() is expected
        due = [row.id for row in await store.due(clock.time(), limit=1000) if row.id.startswith(f"{count}-")]
        assert due == [f"{count}-{number}" for number in range(0, count, 3)]
    await store.close()


# ---------------------------------------------------------------------------------------------------- reading only


async def test_a_store_opened_for_reading_answers_and_refuses_writes(path: Path, clock: SettableClock) -> None:
    await filled(path, clock)
    store = SqliteStore.open(path, clock=clock, readonly=True)
    assert store.readonly
    assert await keys(store) == ["Started", "a"]
    assert [row.id for row in await store.rows()] == ["r"]
    with pytest.raises(StoreReadOnly):
        await store.create(new_run("x"))
    with pytest.raises(StoreReadOnly):
        await store.acquire("r", "me", 30)
    await store.close()


async def test_a_reader_sees_what_a_living_writer_commits(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)
    reader = SqliteStore.open(path, clock=clock, readonly=True)
    _, writer = await driven(store)
    assert reader.changed()
    await write(writer, step("a"))
    assert await keys(reader) == ["Started", "a"]
    assert reader.changed()
    assert not reader.changed()
    await reader.close()
    await store.close()


def test_a_store_that_does_not_exist_cannot_be_opened_for_reading(path: Path, clock: SettableClock) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteStore.open(path, clock=clock, readonly=True)


def own_folder(tmp_path: Path) -> Path:
    """A folder of the user the test has become."""
    folder = tmp_path / "own"
    if os.geteuid() != os.getuid():
        os.seteuid(0)
        folder.mkdir()
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    else:
        folder.mkdir()
    return folder


async def test_a_file_we_may_not_write_is_opened_for_reading(
    tmp_path: Path, clock: SettableClock, ordinary_user: None
) -> None:
    folder = own_folder(tmp_path)
    path = folder / "podium.db"
    await filled(path, clock)
    path.chmod(0o400)
    for mode in (0o700, 0o500):
        folder.chmod(mode)
        store = SqliteStore.open(path, clock=clock)
        assert store.readonly
        assert await keys(store) == ["Started", "a"]
        with pytest.raises(StoreReadOnly, match="write access"):
            await store.create(new_run("x"))
        await store.close()
    with pytest.raises(StoreReadOnly):
        SqliteStore.open(folder / "new" / "podium.db", clock=clock)
    folder.chmod(0o700)


async def test_a_log_that_cannot_be_read_is_not_left_out_silently(
    path: Path, tmp_path: Path, clock: SettableClock, ordinary_user: None
) -> None:
    folder = own_folder(tmp_path)
    store = SqliteStore.open(folder / "live.db", clock=clock)
    await driven(store)
    for suffix in ("", "-wal"):
        shutil.copy(folder / f"live.db{suffix}", folder / f"left.db{suffix}")
    await store.close()
    folder.chmod(0o500)
    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteStore.open(folder / "left.db", clock=clock)
    folder.chmod(0o700)


# ---------------------------------------------------------------------------------------------------- full


async def test_a_full_store_fails_all_of_the_group_and_lives_on_when_there_is_room(
    path: Path, clock: SettableClock
) -> None:
    store = SqliteStore.open(path, clock=clock, max_bytes=64 * 1024)
    _, first = await driven(store, new_run("a"))
    _, second = await driven(store, new_run("b"))
    first.append(step("x" * 100_000))
    second.append(step("small"))
    for writer in (first, second):
        with pytest.raises(StoreFull, match="Free space"):
            await settled(writer)
        assert isinstance(writer.failed, StoreFull)
        with pytest.raises(StoreFull):
            writer.append(step("more"))
    assert await keys(store, "a") == ["Started"]
    assert await keys(store, "b") == ["Started"]
    again = store.writer(await take(store, "b", "again", steal=True), 1)
    await write(again, step("small"))
    assert await keys(store, "b") == ["Started", "small"]
    await store.close()


async def test_a_full_store_fails_synced_groups_the_same_way(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock, max_bytes=64 * 1024)
    _, writer = await driven(store)
    writer.append(step("x" * 100_000))
    with pytest.raises(StoreFull):
        await settled(writer, sync=True)
    again = store.writer(await take(store, steal=True), 1)
    again.append(step("small"))
    await settled(again, sync=True)
    assert await keys(store) == ["Started", "small"]
    await store.close()


async def test_a_full_disk_loses_nothing_acknowledged(tmp_path: Path, clock: SettableClock) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if not shell("mount", "-t", "tmpfs", "-o", "size=600k", "none", str(disk)):
        pytest.skip("may not mount a small disk here")
    try:
        store = SqliteStore.open(disk / "podium.db", clock=clock)
        _, writer = await driven(store)
        acknowledged = 0
        while writer.failed is None:
            with contextlib.suppress(StoreFull):
                await write(writer, step(str(acknowledged).ljust(5000, "x")))
                acknowledged += 1
        assert acknowledged > 10
        assert len(await keys(store)) == 1 + acknowledged
        assert shell("mount", "-o", "remount,size=4m", str(disk))
        again = store.writer(await take(store, steal=True), 1 + acknowledged)
        await write(again, step("after"))
        assert await again.transition(Transition(Status.SUCCEEDED, release=True))
        assert (await keys(store))[-1] == "after"
        await store.close()
    finally:
        shell("umount", "--lazy", str(disk))


def shell(*command: str) -> bool:
    """Whether a command could be run and succeeded."""
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


# ---------------------------------------------------------------------------------------------------- locked


async def test_a_store_locked_for_too_long_says_so(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock, busy_timeout=0.05)
    _, writer = await driven(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writer.append(step("late"))
        with pytest.raises(StoreLocked, match="another process"):
            await settled(writer)
        with pytest.raises(StoreLocked):
            await store.create(new_run("x"))
        assert await keys(store) == ["Started"], "reading goes on"
        other.execute("ROLLBACK")
    again = store.writer(await take(store, steal=True), 1)
    await write(again, step("a"))
    await store.close()


async def test_groups_wait_in_order_for_a_lock_held_for_a_moment(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)
    _, writer = await driven(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waits = []
        for name in "abc":
            writer.append(step(name))
            waits.append(writer.barrier())
            await settled_soon()
        posted = store.post(mail("m"))
        assert all(wait is not None and not wait.done() for wait in waits)
        other.execute("ROLLBACK")
    for wait in waits:
        await wait
    await posted
    await write(writer, step("d"))
    assert await keys(store) == ["Started", "a", "b", "c", "d"]
    await store.close()


async def settled_soon() -> None:
    """Let the loop's tick end, and with it the group."""
    import asyncio

    for _ in range(3):
        await asyncio.sleep(0)


async def test_reading_an_unknown_run_of_a_closed_store_does_not_crash_the_interpreter(
    path: Path, clock: SettableClock
) -> None:
    store = SqliteStore.open(path, clock=clock)
    with pytest.raises(RunNotFound):
        await store.read("nobody")
    await store.close()
    with pytest.raises(StoreError):
        await store.read("nobody")
