"""Several real processes on one file: one driver, no record after a theft, nothing acknowledged lost, syncs counted."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from podium.core.records import Ended
from podium.stores.owner import this_owner
from podium.stores.sqlite import SqliteStore
from podium.testing.stores import SettableClock, keys, new_run, step, take, write

CHILD = str(Path(__file__).with_name("store_child.py"))


class Child:
    """Another process, spoken to in lines."""

    def __init__(self, *words: str, before: tuple[str, ...] = ()) -> None:
        command = [*before, sys.executable, CHILD, *words]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> str:
        """Close its input, wait, and give what else it said."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        said = self.process.stdout.read()
        self.process.stdout.close()
        self.process.wait(timeout=20)
        return said

    def kill(self) -> str:
        self.process.kill()
        return self.end()


async def created(path: Path, clock: SettableClock) -> None:
    store = SqliteStore.open(path, clock=clock)
    await store.create(new_run())
    await store.close()


async def test_of_two_processes_one_gets_the_lease(path: Path, clock: SettableClock) -> None:
    await created(path, clock)
    children = [Child("acquire", str(path)) for _ in range(2)]
    assert [child.heard() for child in children] == ["ready", "ready"]
    for child in children:
        child.tell()
    assert sorted(child.heard() for child in children) == ["busy", "got"]
    for child in children:
        child.end()


async def test_the_lease_of_a_killed_process_is_free_at_once(path: Path, clock: SettableClock) -> None:
    await created(path, clock)
    child = Child("drive", str(path))
    assert child.heard() == "recorded"
    store = SqliteStore.open(path, clock=clock)
    assert await store.due(clock.time()) == []
    child.kill()
    if not this_owner().startswith("linux/"):
        clock.advance(31)
    assert [row.id for row in await store.due(clock.time())] == ["r"]
    lease = await take(store)
    assert (lease.epoch, lease.stolen_until) == (2, None)
    await store.close()


async def test_a_frozen_driver_records_nothing_after_its_lease_was_stolen(path: Path, clock: SettableClock) -> None:
    await created(path, clock)
    child = Child("drive", str(path))
    assert child.heard() == "recorded"
    child.process.send_signal(signal.SIGSTOP)
    store = SqliteStore.open(path, clock=clock)
    clock.advance(29)
    thief = store.writer(await take(store, owner="thief", steal=True), 2)
    await write(thief, step("theirs"))
    child.process.send_signal(signal.SIGCONT)
    child.tell()
    assert child.heard() == "LeaseLost"
    child.end()
    await write(thief, step("more"))
    assert await keys(store) == ["Started", "mine", "theirs", "more"]
    await store.close()


async def test_processes_killed_while_fifty_runs_each_record_lose_nothing_acknowledged(
    path: Path, clock: SettableClock
) -> None:
    for attempt in range(3):
        path = path.with_name(f"podium-{attempt}.db")
        children = [Child("storm", str(path), prefix) for prefix in "ab"]
        lines = [child.heard() for _ in range(300) for child in children]
        for child in children:
            lines += child.kill().splitlines()
        acknowledged = {name: int(number) for name, number in (line.split() for line in lines if line)}
        assert len(acknowledged) == 100
        store = SqliteStore.open(path, clock=clock)
        for name, number in acknowledged.items():
            records = await store.read(name)
            found = [record.key for record in records if isinstance(record, Ended)]
            assert found == ["first", *(str(n + 1) for n in range(len(found) - 1))]
            assert len(found) - 1 >= number
            assert (len(found) - 1) % 3 == 0, "a group is there whole or not at all"
        await store.close()


def test_a_group_syncs_only_when_asked_to_and_never_on_the_loops_thread(path: Path, tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    child = Child("syncs", str(path), before=("strace", "-f", "-o", str(trace), "-e", "trace=fsync,fdatasync,write"))
    child.end()
    if child.process.returncode != 0:
        pytest.skip("strace may not trace here")
    loop: dict[str, int] = {}
    thread: dict[str, int] = {}
    phase, main = "before", trace.read_text().split(maxsplit=1)[0]
    for line in trace.read_text().splitlines():
        if said := re.search(r'write\(1, "([a-z-]+)\\n"', line):
            phase = said[1]
        elif "sync(" in line:
            counts = loop if line.split(maxsplit=1)[0] == main else thread
            counts[phase] = counts.get(phase, 0) + 1
    assert loop.keys() == {"before"}, "the loop's thread syncs when it opens the store and never again"
    assert thread.keys() == {"before", "synced", "synced-after-normal", "checkpoint"}
