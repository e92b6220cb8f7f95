"""The journal of a run that tells a plan which records are handed to the store, and which are durable."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from podium.core.records import Record, decode_frame, frame
from podium.ports import Attachment, Reservation, Transition, Writer

from .plan import FaultPlan, Point


def decoded(data: bytes) -> Record:
    """A record from its bytes."""
    return decode_frame(frame([data]))[0]


class FaultyWriter:
    """A `Writer` that tells a plan where the run is. Made by `FaultyStore.writer`."""

    def __init__(self, plan: FaultPlan, run: str, seq: int, told: Callable[[int], None] | None) -> None:
        self._plan, self._run, self._seq, self._told = plan, run, seq, told
        self._handed: list[tuple[int, Record, int, Reservation | None]] = []
        """What is appended and not durable: number in the run, record, number in the plan, what it depends on."""
        self.inner: Writer | None = None

    def _writer(self) -> Writer:
        assert self.inner is not None  # noqa: S101 - set by the store before anybody has this writer
        return self.inner

    def append(self, record: bytes, reservation: Reservation | None = None) -> None:
        """Add a record to the group."""
        value = decoded(record)
        number = self._plan.count()
        self._plan.reach(Point("before", type(value).__name__, self._run, key_of(value), value, number))
        self._writer().append(record, reservation)
        self._seq += 1
        self._handed.append((self._seq, value, number, reservation))

    def committed(self, seq: int) -> None:
        """A group is durable up to record `seq`."""
        done = [entry for entry in self._handed if entry[0] <= seq]
        del self._handed[: len(done)]
        for _, wanted, number, reservation in done:
            refusal = None if reservation is None else reservation.refusal
            value = wanted if refusal is None or reservation is None else decoded(reservation.otherwise(refusal))
            self._plan.reach(Point("after", type(value).__name__, self._run, key_of(value), value, number))
        self._plan.reach(Point("after", "commit", self._run))
        if self._told is not None:
            self._told(seq)

    def attach(self, item: Attachment) -> None:
        """Store something beside the records."""
        self._writer().attach(item)

    def barrier(self, *, sync: bool = False) -> Awaitable[None] | None:
        """As of the wrapped writer."""
        self._plan.reach(Point("before", "commit", self._run))
        return self._writer().barrier(sync=sync)

    def transition(self, change: Transition) -> Awaitable[bool]:
        """As of the wrapped writer."""
        self._plan.reach(Point("before", "transition", self._run))
        return self._transition(self._writer().transition(change))

    async def _transition(self, working: Awaitable[bool]) -> bool:
        done = await working
        if not done:
            self._seq -= len(self._handed)
            self._handed.clear()
        self._plan.reach(Point("after", "transition", self._run))
        return done

    @property
    def failed(self) -> BaseException | None:
        """Why appends are no longer accepted."""
        return self._writer().failed


def key_of(record: Record) -> str:
    """The key of a record's step, where there is one."""
    return str(getattr(record, "key", ""))
