"""The ports of stores: runs and their journals, mail, sessions, and the writer of one driven run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeAlias

import msgspec

from podium.core.costs import CostRow
from podium.core.labels import Label
from podium.core.messages import Message
from podium.core.records import Principal, Record, Status

from .audit import Proofs
from .ledger import Ledger, Reservation, Settlement
from .shelf import Cache, CacheEntry, CacheUse, Versions


class RunRow(msgspec.Struct, frozen=True):
    """The truth about a run: its state and who drives it."""

    id: str
    member: str
    target: str
    status: Status
    epoch: int
    owner: str
    lease_until: float
    """Epoch seconds on the store's clock; 0 when nobody drives."""
    wake_seq: int
    wake_at: float | None
    seq: int
    """Records written so far."""
    created: float
    updated: float
    parent: str = ""
    session: str = ""
    digest: bytes = b""
    """Digest of member and input: what makes `start` with the same id an attach or a conflict."""
    cost: str = "0"
    title: str = ""


class NewRun(msgspec.Struct, frozen=True):
    """A run to be accepted with its first records (a `Started`; for a fork also the copied prefix)."""

    id: str
    member: str
    target: str
    records: tuple[bytes, ...]
    created: float
    parent: str = ""
    session: str = ""
    digest: bytes = b""
    title: str = ""


class Mail(msgspec.Struct, frozen=True):
    """A message from outside to a run. `id` makes posting it twice harmless."""

    id: str
    run: str
    kind: str
    request: str
    data: bytes
    by: Principal
    at: float


class Lease(msgspec.Struct):
    """The right to drive a run. `until` moves forward while it is renewed."""

    run: str
    epoch: int
    owner: str
    until: float
    """Epoch seconds on the store's clock."""
    wake_seq: int = 0
    stolen_until: float | None = None
    """When the lease was taken from a driver that may still live: the end of that driver's lease."""


class Busy(msgspec.Struct, frozen=True):
    """Somebody else holds the lease."""

    owner: str
    until: float


class Blob(msgspec.Struct, frozen=True):
    """Content too large for a record, stored once under its address."""

    address: str
    data: bytes


class SessionEntry(msgspec.Struct, frozen=True):
    """Messages a run adds to a session, stored with the record that says so."""

    session: str
    run: str
    messages: tuple[bytes, ...]
    at: float
    label: Label | None = None


Attachment: TypeAlias = Blob | SessionEntry | NewRun | Settlement | CacheEntry | CacheUse | str
"""A blob, session messages, a child run, the end of a reservation, a value to cache or one that was
found, or a mail id now read."""


class Transition(msgspec.Struct, frozen=True):
    """A change of a run's row, in the same transaction as the records before it."""

    status: Status
    wake_at: float | None = None
    release: bool = False
    unless_mail: bool = False
    """Refuse (nothing is written) if unread mail is waiting."""
    cost: str | None = None
    costs: tuple[CostRow, ...] = ()
    """What the run has used so far; kept in place of what was stored before."""


class Writer(Protocol):
    """The journal of one driven run. Appends are ordered; each is refused once the epoch is old."""

    def append(self, record: bytes, reservation: Reservation | None = None) -> None:
        """Add a record to the group that is committed at the end of this tick.

        With a reservation it is written only if that is granted, and its `otherwise` in its place if it is refused.
        """
        ...

    def attach(self, item: Attachment) -> None:
        """Store beside the records of this group: see `Attachment`."""
        ...

    def barrier(self, *, sync: bool = False) -> Awaitable[None] | None:
        """None when everything appended is durable (and synced, with `sync`); else an awaitable for that.

        Raises LeaseLost, or a StoreError.
        """
        ...

    def transition(self, change: Transition) -> Awaitable[bool]:
        """Write what is appended and change the row; False when refused because of unread mail."""
        ...

    @property
    def failed(self) -> BaseException | None:
        """Why appends are no longer accepted, if they are not."""
        ...


class Journal(Protocol):
    """Runs, their records and blobs."""

    async def create(self, run: NewRun) -> RunRow | None:
        """Accept a run durably; None (and no change) when the id exists."""
        ...

    async def acquire(self, run_id: str, owner: str, ttl: float, *, steal: bool = False) -> Lease | Busy:
        """Take the lease, raising the epoch, if it is free, expired, its owner is known dead, or `steal`.

        A run that is not over is `running` from then on.

        Raises RunNotFound.
        """
        ...

    async def renew(self, leases: Sequence[Lease], ttl: float) -> list[Lease]:
        """Extend leases that are still ours, moving their `until`; returns those that are not."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give the lease back, if it is still ours."""
        ...

    def writer(self, lease: Lease, seq: int, on_commit: Callable[[int], None] | None = None) -> Writer:
        """The run's journal, whose next record is number `seq + 1`. `on_commit(seq)` follows each durable group."""
        ...

    async def frames(self, run_id: str) -> list[bytes]:
        """The run's records as they are stored, for `core.records.decode_frame`. Raises RunNotFound."""
        ...

    async def forget(self, run_id: str, *, key: bytes | None = None) -> None:
        """Delete a run that is over, with its mail, and anchor that, signed with `key`. Its blobs and session messages
        stay."""
        ...

    async def read(self, run_id: str, after: int = 0) -> list[Record]:
        """The run's records after number `after`, in order. Raises RunNotFound, StoreCorrupt, SchemaTooNew."""
        ...

    async def row(self, run_id: str) -> RunRow | None:
        """The run's row."""
        ...

    async def rows(
        self,
        *,
        status: Sequence[Status] = (),
        parent: str | None = None,
        session: str | None = None,
        prefix: str = "",
        limit: int = 100,
    ) -> list[RunRow]:
        """Rows, newest first."""
        ...

    async def due(self, now: float, limit: int = 100) -> list[RunRow]:
        """Runs that nobody drives and that could go on: pending ones, and suspended ones whose `wake_at` is past."""
        ...

    async def next_wake(self) -> float | None:
        """The earliest `wake_at` of a suspended run."""
        ...

    async def blob(self, address: str) -> bytes:
        """A blob's content. Raises Erased."""
        ...


class Mailbox(Protocol):
    """Mail from outsiders to runs."""

    async def post(self, mail: Mail) -> RunRow:
        """Store mail (once per id) and, if the run is suspended, make it pending in the same transaction.

        Returns the row after that. Raises RunNotFound.
        """
        ...

    async def unread(self, run_id: str) -> list[Mail]:
        """Mail the run's driver has not taken into the journal, oldest first."""
        ...

    async def unread_runs(self, run_ids: Sequence[str]) -> list[str]:
        """Which of these runs have unread mail."""
        ...

    def changed(self) -> bool:
        """Whether another process may have written since the last question. Cheap."""
        ...


class SessionRow(msgspec.Struct, frozen=True):
    """A conversation that outlives runs."""

    id: str
    created: float
    updated: float
    messages: int
    schema: int = 1
    parent: str = ""


class SessionTurn(msgspec.Struct, frozen=True):
    """What one run added to a session, from message number `start` (0 is the first)."""

    run: str
    at: float
    """Epoch seconds."""
    start: int
    messages: tuple[Message, ...]
    label: Label | None = None
    """None is trusted."""


class Sessions(Protocol):
    """Append-only conversations."""

    async def session(self, session: str) -> SessionRow | None:
        """The session's row."""
        ...

    async def history(self, session: str, start: int, stop: int) -> list[Message]:
        """Messages `start` to `stop` (exclusive)."""
        ...

    async def turns(self, session: str) -> list[SessionTurn]:
        """Everything in a session, by the run that added it, in order; nothing for a session that does not exist."""
        ...

    async def session_label(self, session: str, start: int, stop: int) -> Label:
        """The join of the labels of messages `start` to `stop` (exclusive); trusted when there are none."""
        ...

    async def branch_session(self, session: str, upto: int, new: str) -> None:
        """A new session that begins with the first `upto` messages of another."""
        ...

    async def session_rows(self, limit: int = 100) -> list[SessionRow]:
        """Sessions, most recently used first."""
        ...


class Store(Journal, Mailbox, Sessions, Ledger, Cache, Versions, Proofs, Protocol):
    """One place that keeps runs, mail and sessions, so that one transaction can cover them."""

    async def close(self) -> None:
        """Write what is pending and let go."""
        ...

    @property
    def shared(self) -> bool:
        """Whether another process may use it at the same time."""
        ...
