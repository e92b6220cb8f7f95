"""Journal records: the only thing a run leaves behind, and everything a resumed run knows.

Encoded by position with a one-letter tag. The format is frozen: a field may be added at the end with a default, a
record type may be added, and nothing else may change; golden journals of every release are read in the tests. A
reader that meets a tag it does not know refuses the run (`SchemaTooNew`), since it cannot know what it would miss.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

from .actions import Kind
from .budgets import Charge
from .codec import encode
from .errors import ConfigurationError, Failure, SchemaTooNew, StoreCorrupt
from .labels import Label
from .messages import Message
from .transcript import Origin
from .usage import Usage

FORMAT = 1
"""The format this version writes. `Started.reads` names the lowest format a reader must know."""

NIL = msgspec.Raw(encode(None))


class Status(StrEnum):
    """The states of a run."""

    PENDING = "pending"
    RUNNING = "running"
    SUSPENDED = "suspended"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXHAUSTED = "exhausted"

    @property
    def over(self) -> bool:
        """Whether a run in this state has ended for good."""
        return self in _OVER


_OVER = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.EXHAUSTED})


class Outcome(StrEnum):
    """How a step ended."""

    OK = "ok"
    ERROR = "error"
    EXHAUSTED = "exhausted"
    UNKNOWN = "unknown"
    """A write whose run was cancelled or aborted before anybody could say whether it happened."""


class Principal(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The person or service behind a run, or behind a decision."""

    id: str = "local"
    roles: tuple[str, ...] = ()
    tenant: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.roles, str):  # else each letter would be a role, and a rule about the whole would not fit
            raise ConfigurationError(f"the roles of {self.id!r} are a list of names: write roles=({self.roles!r},)")


class Started(msgspec.Struct, tag="S", frozen=True, gc=False, array_like=True):
    """A run was accepted. Always the first record."""

    run: str
    member: str
    at: float
    input: msgspec.Raw = NIL
    reads: int = FORMAT
    target: str = ""
    """How a new process finds the member: `module:attribute`, `file.py:attribute` or a team file."""
    principal: Principal = Principal()
    session: str = ""
    deadline: float | None = None
    """Wall time (epoch seconds) after which nothing more starts."""
    parent: str = ""
    forked_from: str = ""
    forked_at: str = ""
    effects: str = "allow"
    """After a fork: whether idempotent and write actions run (`allow`) or are held for a person (`hold`)."""
    label: Label | None = None
    history: tuple[Message, ...] = ()
    """A conversation the run was given to continue."""
    charges: tuple[Charge, ...] = ()
    """The budgets of this run and of those above it."""
    billed: str = ""
    """The session that a child run's costs belong to, although it takes no part in the conversation."""
    policy: str = ""
    """The version of the gate's policy when the run was accepted."""


class Resumed(msgspec.Struct, tag="R", frozen=True, gc=False, array_like=True):
    """A driver took the run up (again)."""

    epoch: int
    owner: str
    at: float
    stolen_until: float | None = None
    """When the lease was taken from a driver that may live: the time its lease would have ended."""
    policy: str = ""
    """The version of the gate's policy that judges from here on."""


class Hold(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a step waits for. `request` is what an outsider names; it is used once."""

    request: str
    why: str
    """`ask`, `approval`, `review`, `in_doubt`, `signal`, `sleep` or `child`."""
    prompt: str = ""
    due: float | None = None
    """Epoch seconds at which the wait ends by itself."""
    choices: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    digest: bytes = b""
    """What a decision is bound to: tool, resolved arguments, label, run, policy version and who may decide."""
    detail: msgspec.Raw = NIL
    apart: bool = False
    """Whether the principal behind the run may not decide this: separation of duties."""


class Began(msgspec.Struct, tag="B", frozen=True, gc=False, array_like=True):
    """A step was started: what was asked, under which verdict, by which driver."""

    key: str
    pos: int
    """Position among the steps of its scope, from 1, in the order they were requested."""
    kind: Kind
    name: str
    digest: bytes
    at: float
    attempt: int = 1
    epoch: int = 1
    effect: str = ""
    version: str = ""
    rule: str = ""
    args: msgspec.Raw = NIL
    """The arguments, redacted; None when the digest is all that is kept."""
    previous: int = 0
    added: tuple[Origin, ...] = ()
    hold: Hold | None = None
    reserved: str | None = None
    """US dollars reserved for the attempt; of a call that the cache answers, what it would have cost."""
    waiting: tuple[int, ...] = ()
    """Earlier positions of the scope that were requested but not started yet."""
    agent: str = ""
    deadline: float | None = None
    rewritten: tuple[str, ...] = ()
    """Rules of the gate that changed the arguments, in order."""
    refused: tuple[tuple[str, str], ...] = ()
    """Models of a chain that the gate does not let the member ask, each with the rule that says so."""


class Held(msgspec.Struct, tag="H", frozen=True, gc=False, array_like=True):
    """The gate (or an unknown outcome) stopped a step until somebody decides."""

    key: str
    pos: int
    kind: Kind
    name: str
    digest: bytes
    at: float
    hold: Hold
    rule: str = ""
    args: msgspec.Raw = NIL
    waiting: tuple[int, ...] = ()


class Retried(msgspec.Struct, tag="T", frozen=True, gc=False, array_like=True):
    """An attempt failed in a way that may be tried again, not before `until`."""

    key: str
    attempt: int
    at: float
    until: float
    error: Failure
    cost: str | None = "0"
    uncertain: str | None = None


class Ended(msgspec.Struct, tag="E", frozen=True, gc=False, array_like=True):
    """A step is over. A resumed member gets this instead of a new performance."""

    key: str
    at: float
    outcome: Outcome = Outcome.OK
    value: msgspec.Raw = NIL
    error: Failure | None = None
    usage: Usage | None = None
    cost: str | None = "0"
    label: Label | None = None
    """None is the common case: trusted, readable by anybody."""
    attempt: int = 1
    cached: bool = False
    blob: str = ""
    """Address of the value when it is too large to stand here."""
    pos: int = 0
    kind: Kind | None = None
    name: str = ""
    digest: bytes = b""
    """`pos`, `kind`, `name` and `digest` are given for steps that have no `Began` (Read, Emit, Remember)."""
    waiting: tuple[int, ...] = ()
    rule: str = ""


class Signalled(msgspec.Struct, tag="M", frozen=True, gc=False, array_like=True):
    """Mail from outside, taken into the journal by the driver."""

    mail: str
    kind: str
    """`approve`, `reject`, `answer`, `resolve`, `signal`, `cancel`, `child`."""
    request: str
    at: float
    data: msgspec.Raw = NIL
    by: Principal = Principal()


class Suspended(msgspec.Struct, tag="W", frozen=True, gc=False, array_like=True):
    """The run was unloaded; it waits for what its holds name."""

    at: float
    wake_at: float | None = None


class Finished(msgspec.Struct, tag="F", frozen=True, gc=False, array_like=True):
    """The run is over."""

    status: Status
    at: float
    value: msgspec.Raw = NIL
    error: Failure | None = None
    blob: str = ""
    rule: str = ""
    """The rule of the gate that let the answer out."""


Record: TypeAlias = Started | Resumed | Began | Held | Retried | Ended | Signalled | Suspended | Finished

RECORDS = (Started, Resumed, Began, Held, Retried, Ended, Signalled, Suspended, Finished)
"""All record types, for `isinstance`."""

_decoder: msgspec.msgpack.Decoder[list[Any]] = msgspec.msgpack.Decoder(list[Record])


def encode_record(record: Record) -> bytes:
    """One record's bytes. Concatenate them with `frame` to store several."""
    return encode(record)


def frame(records: list[bytes]) -> bytes:
    """Encoded records as one stored unit (a MessagePack array)."""
    count = len(records)
    if count < 16:
        head = bytes((0x90 | count,))
    elif count < 65536:
        head = b"\xdc" + count.to_bytes(2, "big")
    else:
        head = b"\xdd" + count.to_bytes(4, "big")
    return head + b"".join(records)


def decode_frame(data: bytes) -> list[Record]:
    """The records of a stored unit.

    Raises SchemaTooNew for a record type this version does not know, StoreCorrupt for anything unreadable.
    """
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError as error:
        if ("Invalid value" in str(error) and "tag" in str(error).lower()) or "Invalid value '" in str(error):
            raise SchemaTooNew(
                f"the journal holds a record this Podium does not know ({error}): upgrade podium, then resume"
            ) from error
        raise StoreCorrupt(f"a journal record cannot be read: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StoreCorrupt(f"a journal record cannot be read: {error}") from error
