"""How the SQLite store groups its commits: order, quiet failures, loops that come and go."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hand_clock import HandClock
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.core.errors import LeaseLost
from podium.core.records import Status
from podium.ports import Blob, SessionEntry, Store, Transition, Writer
from podium.stores.memory import MemoryStore
from podium.stores.sqlite import SqliteStore
from podium.testing.stores import SettableClock, driven, keys, mail, new_run, settled, step, take, write


async def test_one_group_holds_the_appends_of_all_runs_of_a_tick(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)
    reader = SqliteStore.open(path, clock=clock, readonly=True)
    writers = [(await driven(store, new_run(f"r{number}")))[1] for number in range(10)]
    reader.changed()
    for writer in writers:
        writer.append(step("a"))
    assert not reader.changed(), "nothing is written before the tick ends"
    await settled(writers[0])
    assert reader.changed()
    assert [await keys(reader, f"r{number}") for number in range(10)] == [["Started", "a"]] * 10
    assert all(writer.barrier() is None for writer in writers)
    await reader.close()
    await store.close()


async def test_a_failure_nobody_waits_for_is_quiet_and_kept(path: Path, clock: SettableClock) -> None:
    heard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    store = SqliteStore.open(path, clock=clock)
    _, writer = await driven(store)
    await take(store, owner="thief", steal=True)
    writer.append(step("late"))
    unheard = [writer.barrier(), writer.barrier(sync=True), writer.transition(Transition(Status.FAILED))]
    await store.close()
    del unheard
    gc.collect()
    await asyncio.sleep(0)
    assert isinstance(writer.failed, LeaseLost)
    assert heard == []


async def test_one_waiter_that_gives_up_does_not_take_the_others_along(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)
    _, writer = await driven(store)
    writer.append(step("a"))
    impatient = asyncio.ensure_future(settled(writer, sync=True))
    patient = asyncio.ensure_future(settled(writer, sync=True))
    await asyncio.sleep(0)
    impatient.cancel()
    await patient
    assert impatient.cancelled()
    assert await keys(store) == ["Started", "a"]
    await store.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_listener_that_raises_does_not_stop_the_group(path: Path, clock: SettableClock, kind: str) -> None:
    heard: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context["exception"]))
    store: Store = MemoryStore(clock) if kind == "memory" else SqliteStore.open(path, clock=clock)
    problem = ValueError("listener")

    def listener(_: int) -> None:
        raise problem

    await store.create(new_run("a"))
    loud = store.writer(await take(store, "a"), 1, listener)
    _, quiet = await driven(store, new_run("b"))
    loud.append(step("x"))
    quiet.append(step("y"))
    await settled(loud, sync=True)
    await settled(quiet, sync=True)
    assert heard == [problem]
    assert await keys(store, "b") == ["Started", "y"]
    await store.close()


async def test_a_sync_asked_for_after_a_transition_of_the_same_tick_is_done(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)
    _, writer = await driven(store)
    writer.append(step("a"))
    changed = writer.transition(Transition(Status.RUNNING))
    await settled(writer, sync=True)
    assert await changed
    assert writer.barrier(sync=True) is None
    await store.close()


async def test_closing_writes_what_is_pending(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)
    _, first = await driven(store, new_run("a"))
    _, second = await driven(store, new_run("b"))
    first.append(step("x"))
    syncing = first.barrier(sync=True)
    await asyncio.sleep(0)
    second.append(step("y"))
    await store.close()
    assert syncing is not None
    await syncing
    store = SqliteStore.open(path, clock=clock)
    assert (await keys(store, "a"), await keys(store, "b")) == (["Started", "x"], ["Started", "y"])
    await store.close()


def test_a_store_survives_the_loop_it_was_used_on(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)

    async def begin() -> Writer:
        _, writer = await driven(store)
        await write(writer, step("a"))
        writer.append(step("b"))
        writer.barrier(sync=True)
        await asyncio.sleep(0)
        writer.append(step("c"))
        return writer

    async def go_on(writer: Writer) -> None:
        await write(writer, step("d"))
        await store.close()

    writer = asyncio.run(begin())
    asyncio.run(go_on(writer))

    async def look() -> list[str]:
        again = SqliteStore.open(path, clock=clock)
        found = await keys(again)
        await again.close()
        return found

    assert asyncio.run(look()) == ["Started", "a", "b", "c", "d"]


async def test_two_writers_of_one_lease_are_told_and_disturb_nobody_else(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)
    lease, first = await driven(store, new_run("a"))
    second = store.writer(lease, 1)
    _, other = await driven(store, new_run("b"))
    await write(first, step("x"))
    second.append(step("y"))
    other.append(step("z"))
    await settled(other)
    assert "two writers share one lease" in str(second.failed)
    assert await keys(store, "a") == ["Started", "x"]
    assert await keys(store, "b") == ["Started", "z"]
    await store.close()


@pytest.mark.parametrize("sync", [False, True])
async def test_what_cannot_be_stored_fails_its_own_run_only(path: Path, clock: SettableClock, *, sync: bool) -> None:
    store = SqliteStore.open(path, clock=clock)
    writers = [(await driven(store, new_run(run)))[1] for run in "abc"]
    for writer in writers:
        writer.append(step("x"))
    writers[1].attach(SessionEntry("\ud800", "b", (), 1.0))
    await settled(writers[0], sync=sync)
    await settled(writers[2])
    assert "cannot be stored" in str(writers[1].failed)
    assert [await keys(store, run) for run in "abc"] == [["Started", "x"], ["Started"], ["Started", "x"]]
    await store.close()


# ------------------------------------------------------------------------------------------------ a task by itself


async def alone(store: Store, on_commit: Any = None) -> Writer:
    """The writer of a new run, once the store knows that nobody else writes."""
    await store.create(new_run())
    writer = store.writer(await take(store), 1, on_commit)
    await write(writer, step("first"))
    return writer


async def test_a_task_that_writes_alone_need_not_wait(path: Path, clock: SettableClock) -> None:
    groups: list[int] = []
    store = SqliteStore.open(path, clock=clock)
    reader = SqliteStore.open(path, clock=clock, readonly=True)
    writer = await alone(store, groups.append)
    for name in "abc":
        writer.append(step(name))
        assert writer.barrier() is None
    assert await keys(reader) == ["Started", "first", "a", "b", "c"]
    assert groups == [2, 3, 4, 5]
    writer.append(step("d"))
    ending = asyncio.ensure_future(writer.transition(Transition(Status.SUCCEEDED, release=True)))
    assert ending.done()
    assert ending.result()
    row = await reader.row("r")
    assert row is not None
    assert (row.status, row.owner, row.seq) == (Status.SUCCEEDED, "", 6)
    await reader.close()
    await store.close()


async def test_branches_share_a_group_although_their_run_wrote_alone_before(path: Path, clock: SettableClock) -> None:
    groups: list[int] = []
    store = SqliteStore.open(path, clock=clock)
    writer = await alone(store, groups.append)
    groups.clear()

    async def branch(number: int) -> None:
        for turn in range(3):
            await write(writer, step(f"{number}.{turn}"))

    await asyncio.gather(*(branch(number) for number in range(50)))
    assert groups == [3, 4, 5, 54, 103, 152], "the first branch is alone until the second comes; the others share"
    assert len(await keys(store)) == 152
    await store.close()


async def test_runs_at_work_side_by_side_share_groups_until_one_is_left(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)
    first = await alone(store)
    _, second = await driven(store, new_run("b"))

    async def short() -> None:
        await write(second, step("x"))

    async def long() -> bool:
        for turn in range(4):
            await write(first, step(f"{turn}"))
        first.append(step("last"))
        return first.barrier() is None

    *_, at_once = await asyncio.gather(short(), long())
    assert at_once
    assert await keys(store, "b") == ["Started", "x"]
    assert await keys(store) == ["Started", "first", "0", "1", "2", "3", "last"]
    await store.close()


async def test_a_task_that_never_waits_lets_the_others_have_their_turn(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)
    writer = await alone(store)
    turns = 0

    def count() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(count)

    count()
    for number in range(500):
        await write(writer, step(f"s{number}"))
    assert 10 < turns < 100
    await store.close()


async def test_a_task_that_writes_alone_waits_for_another_process(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)
    writer = await alone(store)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writer.append(step("a"))
    waiting = writer.barrier()
    assert waiting is not None
    writer.append(step("b"))
    later = writer.barrier()
    assert later is not None
    other.execute("ROLLBACK")
    other.close()
    await waiting
    await later
    assert await keys(store) == ["Started", "first", "a", "b"]
    await store.close()


async def test_a_task_that_writes_alone_hears_at_once_that_its_lease_is_gone(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)
    writer = await alone(store)
    await take(store, owner="thief", steal=True)
    writer.append(step("late"))
    with pytest.raises(LeaseLost):
        writer.barrier()
    assert isinstance(writer.failed, LeaseLost)
    assert await keys(store) == ["Started", "first"]
    await store.close()


# ---------------------------------------------------------------------------------------------------- properties

RUNS = 3
KINDS = ["append", "append", "barrier", "sync", "wait", "tick", "blob", "running", "mail", "suspend", "steal"]
ACTIONS = st.lists(st.tuples(st.integers(0, RUNS - 1), st.sampled_from(KINDS)), max_size=40)


class Driven:
    """A run in the property test: its writer, what must be in its journal, and what may be asked of it."""

    def __init__(self, run: str, writer: Writer) -> None:
        self.run, self.writer = run, writer
        self.expected = ["Started"]
        self.waits: list[Any] = []
        self.mail = 0


async def act(store: Store, it: Driven, action: str, number: int) -> None:
    """One action of the property test."""
    writer = it.writer
    match action:
        case "append" | "blob":
            if action == "blob":
                writer.attach(Blob(f"address-{number}", b"x" * number))
            writer.append(step(f"s{number}"))
            it.expected.append(f"s{number}")
        case "barrier" | "sync":
            it.waits.append(writer.barrier(sync=action == "sync"))
        case "wait":
            await settled(writer)
        case "tick":
            await asyncio.sleep(0)
        case "running":
            it.waits.append(writer.transition(Transition(Status.RUNNING)))
        case "mail":
            await store.post(mail(f"m{number}", it.run))
            it.mail += 1
        case "suspend":
            await settled(writer)
            writer.append(step(f"s{number}"))
            if await writer.transition(Transition(Status.SUSPENDED, unless_mail=True)):
                it.expected.append(f"s{number}")
                assert it.mail == 0
            else:
                assert it.mail > 0
        case _:
            await settled(writer)
            it.writer = store.writer(await take(store, it.run, "next", steal=True), len(it.expected))


async def play(store: Store, actions: list[tuple[int, str]]) -> None:
    """Play a schedule, then compare the journals with what was asked for."""
    runs = [Driven(f"r{number}", (await driven(store, new_run(f"r{number}")))[1]) for number in range(RUNS)]
    for number, (which, action) in enumerate(actions):
        await act(store, runs[which], action, number)
    for it in runs:
        for wait in it.waits:
            if wait is not None:
                await wait
        await settled(it.writer)
        assert await keys(store, it.run) == it.expected
        row = await store.row(it.run)
        assert row is not None
        assert row.seq == len(it.expected)
    await store.close()


@settings(max_examples=60, deadline=None)
@given(actions=ACTIONS)
def test_any_schedule_over_several_runs_reads_back_in_each_runs_order(actions: list[tuple[int, str]]) -> None:
    asyncio.run(play(MemoryStore(HandClock()), actions))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "podium.db"
        asyncio.run(play(SqliteStore.open(path, clock=HandClock()), actions))

        async def reread() -> list[int]:
            store = SqliteStore.open(path, clock=HandClock())
            lengths = [len(await store.read(f"r{number}")) for number in range(RUNS)]
            rows = [await store.row(f"r{number}") for number in range(RUNS)]
            await store.close()
            assert lengths == [row.seq for row in rows if row is not None]
            return lengths

        asyncio.run(reread())
