"""What the tests of the runtime are made of: a clock moved by hand, a store that tells what it saw, and crashes.

A crash is simulated within one process: `Machine` keeps the store while apps come and go (closing an app records
nothing, so whatever it was doing is lost as in a crash), and `cut` makes a store that holds exactly the first records
of a run that was observed.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from podium import Limits, Podium, testing
from podium.core.records import Record, decode_frame, encode_record, frame
from podium.ports import Attachment, Clock, Lease, NewRun, Reservation, Transition, Writer
from podium.stores.memory import MemoryStore

QUICK = Limits(lease=1e9, idle=0.002, poll=0.02, grace=0.5)
"""Leases that no movement of the clock ends, and no idling in real time."""

START = 1_800_000_000.0


class FakeClock(testing.FakeClock):
    """The kit's clock, with a memory of what was slept and a hand to turn it without waking anybody."""

    def __init__(self, start: float = START) -> None:
        super().__init__(start)
        self.slept: list[float] = []
        """Every `sleep` that was asked for."""

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().sleep(seconds)

    @property
    def now(self) -> float:
        """Epoch seconds; setting it passes time while no process is there to see it."""
        return self._now

    @now.setter
    def now(self, value: float) -> None:
        self._now = value


async def settle(turns: int = 60) -> None:
    """Let everything that can happen without time passing happen."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def until(question: Callable[[], bool | Awaitable[bool]], what: str = "it") -> None:
    """Wait (bounded) for something to become true."""
    for _ in range(2000):
        answer = question()
        if answer if isinstance(answer, bool) else await answer:
            return
        await asyncio.sleep(0.002)
    raise AssertionError(f"{what} never happened")


class Event(msgspec.Struct, frozen=True):
    """Something that reached the store."""

    what: str
    """`append`, `attach`, `barrier`, `transition`, or a word of the test itself."""
    run: str = ""
    record: Any = None
    item: Any = None
    sync: bool = False


class SpyWriter:
    def __init__(self, store: SpyStore, inner: Writer, run: str) -> None:
        self._store, self._inner, self._run = store, inner, run

    def append(self, record: bytes, reservation: Reservation | None = None) -> None:
        self._store.before_append(self._run)
        self._inner.append(record, reservation)
        self._store.events.append(Event("append", self._run, decode_frame(frame([record]))[0], record))

    def attach(self, item: Attachment) -> None:
        self._inner.attach(item)
        self._store.events.append(Event("attach", self._run, None, item))

    def barrier(self, *, sync: bool = False) -> Awaitable[None] | None:
        self._store.events.append(Event("barrier", self._run, sync=sync))
        return self._inner.barrier(sync=sync)

    def transition(self, change: Transition) -> Awaitable[bool]:
        self._store.events.append(Event("transition", self._run, change))
        return self._inner.transition(change)

    @property
    def failed(self) -> BaseException | None:
        return self._inner.failed


class SpyStore:
    """A store that notes what passes. `close` is left to `really_close`, so that the next app finds everything."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.events: list[Event] = []
        self.created: dict[str, NewRun] = {}
        self.fail_after: int | None = None
        """Refuse appends (as a lost lease does) once so many were made."""
        self.failure: type[Exception] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def create(self, run: NewRun) -> Any:
        row = await self.inner.create(run)
        if row is not None:
            self.created[run.id] = run
        return row

    def writer(self, lease: Lease, seq: int, on_commit: Callable[[int], None] | None = None) -> SpyWriter:
        return SpyWriter(self, self.inner.writer(lease, seq, on_commit), lease.run)

    def before_append(self, run: str) -> None:
        if self.fail_after is not None and self.failure is not None:
            if self.fail_after == 0:
                raise self.failure("the test ends this drive here")
            self.fail_after -= 1

    def mark(self, what: str, **fields: Any) -> None:
        """Note something the test saw, in its place among the store's events."""
        self.events.append(Event(what, **fields))

    def appended(self, run: str) -> list[Record]:
        """All records of a run, in order, those it was created with first."""
        return [decode_frame(frame([data]))[0] for data in self.encoded(run)]

    def encoded(self, run: str) -> list[bytes]:
        first = list(self.created[run].records) if run in self.created else []
        return first + [event.item for event in self.events if event.what == "append" and event.run == run]

    async def close(self) -> None:
        """Left open: see `really_close`."""

    async def really_close(self) -> None:
        await self.inner.close()


class Machine:
    """Where apps live and die while the store stays: memory that outlives its app, or a file."""

    def __init__(self, kind: str = "memory", folder: Path | None = None, clock: Any = None) -> None:
        self.kind = kind
        self.clock: Any = clock or FakeClock()
        self._folder = folder
        self._memory = SpyStore(MemoryStore(self.clock))
        self.stores: list[SpyStore] = []

    def store(self) -> SpyStore:
        """The store as a new process finds it."""
        if self.kind == "memory":
            return self._memory
        from podium.stores.sqlite import SqliteStore

        assert self._folder is not None
        return SpyStore(SqliteStore.open(str(self._folder / "runs.db"), clock=self.clock))

    def fresh(self) -> Machine:
        """Another machine of the same kind, with nothing in its store."""
        folder = None
        if self._folder is not None:
            folder = self._folder / f"m{next(_folders)}"
            folder.mkdir()
        return Machine(self.kind, folder, FakeClock(self.clock.now) if isinstance(self.clock, FakeClock) else None)

    @asynccontextmanager
    async def app(self, store: SpyStore | None = None, **options: Any) -> AsyncGenerator[Podium, None]:
        """An app on this machine; leaving the block stops it without recording anything."""
        kept = store or self.store()
        options.setdefault("limits", QUICK)
        app = Podium(store=kept, clock=self.clock, **options)  # pyright: ignore[reportArgumentType]
        try:
            async with app:
                yield app
        finally:
            if self.kind != "memory":
                await kept.really_close()


_folders = itertools.count(1)


def spy(app: Podium) -> SpyStore:
    """The store of an app made by a Machine."""
    store: Any = app.store
    assert isinstance(store, SpyStore)
    return store


async def cut(seen: SpyStore, run: str, count: int, into: SpyStore) -> None:
    """Put into a fresh store what was durable when the first `count` records of `run` were: a crash right there."""
    new = seen.created[run]
    await into.create(msgspec.structs.replace(new, records=tuple(seen.encoded(run)[:count])))
    lease = await into.inner.acquire(run, "the one that crashed", 1.0)
    assert isinstance(lease, Lease)
    writer = into.inner.writer(lease, count)
    done = len(new.records)
    for event in seen.events:
        if event.run != run:
            continue
        if event.what == "append":
            done += 1
        elif event.what == "attach" and not isinstance(event.item, str) and done < count:
            writer.attach(event.item)
    barrier = writer.barrier()
    if barrier is not None:
        await barrier
    await into.inner.release(lease)


def records_of(result: Any, kind: type[Any]) -> list[Any]:
    """The records of one type in a result."""
    return [record for record in result.records if isinstance(record, kind)]


def shape(records: Sequence[Record]) -> list[tuple[str, Any]]:
    """Records as (type, key): what happened, without when."""
    return [(type(record).__name__, getattr(record, "key", None)) for record in records]


__all__ = [
    "QUICK",
    "START",
    "Clock",
    "Event",
    "FakeClock",
    "Machine",
    "SpyStore",
    "cut",
    "encode_record",
    "records_of",
    "settle",
    "shape",
    "spy",
    "until",
]
