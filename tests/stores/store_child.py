"""Other processes of the store tests: `python store_child.py ROLE PATH [PREFIX]`. They speak in lines on stdout."""

from __future__ import annotations

import asyncio
import os
import sys
import time

from hand_clock import HandClock

from podium.core.errors import PodiumError
from podium.core.records import Ended, encode_record
from podium.ports import Lease, NewRun
from podium.stores.owner import this_owner
from podium.stores.sqlite import SqliteStore
from podium.testing.stores import driven, new_run, settled, step, write


def say(*words: object) -> None:
    """One line, at once."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


async def acquire(path: str) -> None:
    """Try for the lease when told to, and hold it until told to end."""
    store = SqliteStore.open(path, clock=HandClock())
    say("ready")
    sys.stdin.readline()
    lease = await store.acquire("r", this_owner(), 30)
    say("got" if isinstance(lease, Lease) else "busy")
    sys.stdin.readline()
    await store.close()


async def drive(path: str) -> None:
    """Take the lease, record one step, wait for a line, record another, and say what came of it."""
    store = SqliteStore.open(path, clock=HandClock())
    lease = await store.acquire("r", this_owner(), 30)
    assert isinstance(lease, Lease)
    writer = store.writer(lease, 1)
    await write(writer, step("mine"))
    say("recorded")
    sys.stdin.readline()
    try:
        await write(writer, step("late"))
    except PodiumError as error:
        say(type(error).__name__)
    await store.close()


async def storm(path: str, prefix: str) -> None:
    """Fifty runs that record for as long as they live, and say each step once it is acknowledged."""
    store = SqliteStore.open(path, clock=HandClock())

    async def run(name: str, *, sync: bool) -> None:
        await store.create(NewRun(name, "agent", "", (step("first"),), time.time()))
        lease = await store.acquire(name, this_owner(), 30)
        assert isinstance(lease, Lease)
        writer = store.writer(lease, 1)
        number = 0
        while True:
            for _ in range(3):
                number += 1
                writer.append(encode_record(Ended(f"{number}", 1.0)))
            await settled(writer, sync=sync)
            say(name, number)

    await asyncio.gather(*(run(f"{prefix}{number}", sync=number % 10 == 0) for number in range(50)))


async def syncs(path: str) -> None:
    """Groups without and with a sync, framed by writes to stdout that a trace can see."""
    store = SqliteStore.open(path, clock=HandClock())
    _, writer = await driven(store, new_run())
    await write(writer, step("warm"))
    await settled(writer, sync=True)
    for phase in ("normal", "synced", "synced-after-normal", "checkpoint", "end"):
        say(phase)
        if phase == "normal":
            for number in range(20):
                await write(writer, step(f"s{number}"))
        elif phase == "synced":
            writer.append(step("a"))
            await settled(writer, sync=True)
        elif phase == "synced-after-normal":
            await write(writer, step("b"))
            await settled(writer, sync=True)
        elif phase == "checkpoint":
            for number in range(60):
                await write(writer, step(f"large{number}".ljust(100_000, "x")))
    os._exit(0)  # closing would sync


if __name__ == "__main__":
    roles = {"acquire": acquire, "drive": drive, "storm": storm, "syncs": syncs}
    asyncio.run(roles[sys.argv[1]](*sys.argv[2:]))
