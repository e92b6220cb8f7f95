"""The moves that tests of stores are made of: a run, a lease, records written and read back.

They speak to the port alone, and assert only what every test needs to go on.
"""

# ruff: noqa: S101 - these serve tests: they assert

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeAlias

import msgspec

from podium.core.codec import encode
from podium.core.records import Ended, Principal, Started, Status, Suspended, encode_record
from podium.ports import Clock, Lease, Mail, NewRun, Store, Transition, Writer

TTL = 30.0
"""Seconds: the lease the kit takes."""


class SettableClock(Clock, Protocol):
    """A clock that tests move by hand."""

    def advance(self, seconds: float) -> None:
        """Move time forward."""
        ...


MakeStore: TypeAlias = Callable[[], Store | Awaitable[Store]]


def new_run(run_id: str = "r", **fields: Any) -> NewRun:
    """A run with its `Started` record; `fields` replace those of `NewRun`."""
    started = encode_record(Started(run_id, "agent", 1.0))
    return msgspec.structs.replace(NewRun(run_id, "agent", "", (started,), 1.0), **fields)


def step(name: str) -> bytes:
    """An encoded record of a step that ended."""
    return encode_record(Ended(name, 2.0))


def suspended() -> bytes:
    """An encoded record of a suspension."""
    return encode_record(Suspended(3.0))


def mail(mail_id: str, run: str = "r", *, at: float = 5.0) -> Mail:
    """A signal to a run."""
    return Mail(mail_id, run, "signal", "go", encode({"n": mail_id}), Principal("ann", ("ops",)), at)


async def take(store: Store, run: str = "r", owner: str = "me", *, steal: bool = False) -> Lease:
    """The lease of a run, which must be there to be had."""
    lease = await store.acquire(run, owner, TTL, steal=steal)
    assert isinstance(lease, Lease), f"the lease should have been free, but: {lease}"
    return lease


async def settled(writer: Writer, *, sync: bool = False) -> None:
    """Wait until everything appended is durable. Raises what the writer fails with."""
    waiting = writer.barrier(sync=sync)
    if waiting is not None:
        await waiting


async def write(writer: Writer, *records: bytes) -> None:
    """Append and wait."""
    for record in records:
        writer.append(record)
    await settled(writer)


async def keys(store: Store, run: str = "r", after: int = 0) -> list[str]:
    """The run's records: the keys of ended steps, the type of others."""
    records = await store.read(run, after)
    return [record.key if isinstance(record, Ended) else type(record).__name__ for record in records]


async def driven(store: Store, run: NewRun | None = None) -> tuple[Lease, Writer]:
    """A new run under a lease, with its writer."""
    run = run or new_run()
    assert await store.create(run) is not None
    lease = await take(store, run.id)
    return lease, store.writer(lease, len(run.records))


async def suspend(store: Store, writer: Writer, wake_at: float | None = None) -> bool:
    """Suspend and give the lease back, unless there is mail; as the runtime does it."""
    await settled(writer)
    writer.append(suspended())
    return await writer.transition(Transition(Status.SUSPENDED, wake_at=wake_at, release=True, unless_mail=True))
