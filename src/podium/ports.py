"""The Protocols through which the parts of Podium meet.

Everything that could have a second implementation is named here: a model, a tool, a store, a clock, a gate. The
runtime speaks only to these; `podium.app` decides which implementation stands behind each. Every port with more than
one implementation has a conformance kit in `podium.testing`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

import msgspec

from .core.actions import Action, Kind
from .core.deltas import Delta
from .core.labels import Label
from .core.messages import Message, ModelRequest, Reply, ToolSpec
from .core.records import Principal, Record, Status

T = TypeVar("T")

# --------------------------------------------------------------------------------------------------------- members


class Receipt(msgspec.Struct, frozen=True):
    """The outcome of a step, as its member receives it: live and on replay the same."""

    key: str
    value: Any = None
    error: Any = None
    """A `StepFailed`, or None."""
    seq: int = 0
    """Sequence number of the step's `Ended` record."""
    usage: Any = None
    cost: str | None = "0"
    duration: float = 0.0
    """Seconds from `Began` to `Ended`."""
    label: Label | None = None
    attempt: int = 1
    cached: bool = False

    def unwrap(self) -> Any:
        """The value; raises the error of a step that has one."""
        if self.error is not None:
            raise self.error
        return self.value


class Step(Protocol):
    """A requested step. Its key is taken; it runs when awaited, or at once in the background after `start()`."""

    @property
    def key(self) -> str:
        """The step's key."""
        ...

    def start(self) -> Step:
        """Begin now, beside whatever the caller does next. Returns itself."""
        ...

    def __await__(self) -> Any: ...


class Context(Protocol):
    """The only door out of a member. Every method takes its step's key at once and returns an awaitable."""

    @property
    def run_id(self) -> str:
        """The id of the run."""
        ...

    @property
    def key(self) -> str:
        """The scope this context speaks for."""
        ...

    @property
    def principal(self) -> Principal:
        """The person or service behind the run."""
        ...

    @property
    def session(self) -> str:
        """The session the run belongs to; empty for none."""
        ...

    @property
    def deps(self) -> Any:
        """The typed dependencies given to `run`; never journaled."""
        ...

    @property
    def deadline(self) -> float | None:
        """Epoch seconds after which nothing more starts."""
        ...

    @property
    def pinned(self) -> bytes | None:
        """The configuration this member had when the run first called it."""
        ...

    @property
    def label(self) -> Label:
        """The join of everything this scope has seen."""
        ...

    def perform(self, action: Action) -> Step:
        """The one primitive: perform an action as a step of this scope. Awaiting it gives a `Receipt`."""
        ...

    def scope(self, name: str) -> Context:
        """A context for a numbered part of this scope (`turn.3`), owned by the same task."""
        ...

    def call(self, member: Member, input: Any = None, *, timeout: float | None = None) -> Step:
        """Run a member inline; awaiting it gives its output."""
        ...

    def tool(self, tool: Tool | str, args: Mapping[str, Any] | None = None, **kwargs: Any) -> Awaitable[Any]:
        """Call a tool; the value is its result."""
        ...

    def model(self, request: ModelRequest | Sequence[Message] | str, *, model: Model | str) -> Awaitable[Reply]:
        """Ask a model; the value is its reply."""
        ...

    def ask(
        self,
        question: str,
        *,
        choices: Sequence[str] = (),
        roles: Sequence[str] = (),
        expires: float | None = None,
    ) -> Awaitable[Any]:
        """Ask a person; the value is the answer."""
        ...

    def wait(self, signal: str, *, timeout: float | None = None) -> Awaitable[Any]:
        """Wait for a signal; the value is its payload."""
        ...

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait, across restarts."""
        ...

    def now(self) -> Awaitable[float]:
        """Epoch seconds, the same on replay."""
        ...

    def random(self) -> Awaitable[float]:
        """A number in [0, 1), the same on replay."""
        ...

    def read(self, name: str, source: Callable[[], Any | Awaitable[Any]]) -> Awaitable[Any]:
        """Take a value that may differ from time to time, and keep it for replay."""
        ...

    def emit(self, name: str, data: Any = None) -> Awaitable[None]:
        """Journal an application event."""
        ...

    def remember(self, messages: Sequence[Message], *, session: str | None = None) -> Awaitable[None]:
        """Append messages to a session."""
        ...

    def history(self, limit: int, *, session: str | None = None) -> Awaitable[History]:
        """The last `limit` messages of a session (the run's), cut so that no tool call loses its result."""
        ...

    @property
    def given(self) -> Sequence[Message]:
        """The conversation the run was given to continue (`run(..., message_history=...)`)."""
        ...

    def spawn(self, member: Member, input: Any = None, *, queue: str | None = None) -> Awaitable[Any]:
        """Run a member as a child run of its own; the value is its output."""
        ...

    def gather(self, *thunks: Callable[[Context], Awaitable[T]]) -> Awaitable[list[T]]:
        """Run branches side by side, each in a scope of its own; results in the order given."""
        ...

    def race(self, *thunks: Callable[[Context], Awaitable[T]]) -> Awaitable[T]:
        """Run branches side by side; the first to finish wins (journaled), the others are cancelled."""
        ...

    def timeout(self, seconds: float, thunk: Callable[[Context], Awaitable[T]]) -> Awaitable[T]:
        """Run a branch for at most `seconds`; who won is journaled. Raises DeadlineExceeded."""
        ...

    def group(self) -> Any:
        """`async with ctx.group() as g: g.start(thunk)`: branches that are all over when the block ends."""
        ...

    def version(self, name: str) -> Awaitable[bool]:
        """Whether this run is new enough for a changed piece of member code."""
        ...

    def cleanup(self) -> Any:
        """`async with ctx.cleanup():` a block in which steps may still run while the run is being cancelled."""
        ...

    def absorb(self, label: Label) -> None:
        """Join a label into what this scope has seen."""
        ...


class History(msgspec.Struct, frozen=True):
    """A stretch of a session: messages `start` to `start + len(messages)`."""

    session: str
    start: int
    messages: Sequence[Message]


@runtime_checkable
class Member(Protocol):
    """Anything that turns an input into an output inside a run: agents, teams, functions."""

    name: str
    description: str
    capabilities: tuple[str, ...]

    def __call__(self, ctx: Context, input: Any) -> Awaitable[Any]:
        """Do the member's work (an `async def`). Deterministic between steps."""
        ...


# ---------------------------------------------------------------------------------------------------------- models

Emitter: TypeAlias = Callable[[Delta], None]


class Model(Protocol):
    """A language model, or something that answers like one."""

    name: str
    """`provider:model`, or the name of a scripted one."""

    async def request(self, request: ModelRequest, emit: Emitter | None = None) -> Reply:
        """Answer once, without retries of its own. With `emit`, pieces are passed on as they come.

        Raises a ModelError.
        """
        ...


# ----------------------------------------------------------------------------------------------------------- tools

Effect: TypeAlias = Literal["read", "idempotent", "write"]
Reach: TypeAlias = Literal["none", "local_undoable", "local", "external", "destructive", "spend"]


class ToolContext:
    """What a tool may know of the call it serves. Injected into a parameter named `ctx`; not part of the schema."""

    __slots__ = ("_cancelled", "_report", "agent", "attempt", "deadline", "deps", "idempotency_key", "key", "run_id")

    def __init__(
        self,
        *,
        run_id: str,
        key: str,
        agent: str = "",
        attempt: int = 1,
        deadline: float | None = None,
        idempotency_key: str = "",
        deps: Any = None,
        report: Callable[[str, float | None], None] | None = None,
    ) -> None:
        self.run_id = run_id
        self.key = key
        self.agent = agent
        self.attempt = attempt
        self.deadline = deadline
        """Epoch seconds by which the result is due."""
        self.idempotency_key = idempotency_key
        """The same over retries, resumes and workers; new after a fork."""
        self.deps = deps
        self._report = report
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled: a synchronous tool should stop and return."""
        return self._cancelled

    def cancel(self) -> None:
        """Tell the tool to stop. Called by the runtime."""
        self._cancelled = True

    def report(self, message: str, fraction: float | None = None) -> None:
        """Show progress (0 to 1) to live subscribers; never journaled. Safe from any thread."""
        if self._report is not None:
            self._report(message, fraction)


class Tool(Protocol):
    """A tool as the runtime meets it. `podium.tools.tool` makes one from a function."""

    name: str
    description: str
    version: str
    effect: Effect
    declared: bool
    """Whether the effect was declared; an undeclared one is `write`, with a hint."""
    reach: Reach
    deterministic: bool
    blocking: bool
    """Whether it runs in a worker thread, where it cannot be interrupted."""
    timeout: float | None
    """Seconds; None is the runtime's default."""
    retries: int
    network: bool
    approval: Literal["always", "never"] | Callable[[dict[str, Any]], bool]
    cost: str
    """US dollars per execution, as a decimal string."""
    roles: tuple[str, ...]
    """Roles of the principal that may use it; empty is anybody."""
    label: Label
    """The label of its results."""
    reconcile: Callable[..., Any] | None

    @property
    def spec(self) -> ToolSpec:
        """The tool as a model sees it."""
        ...

    def resolve(self, args: dict[str, Any]) -> dict[str, Any]:
        """`args` checked and completed with defaults, as plain JSON values.

        Raises ToolValidationError with a message a model can act on.
        """
        ...

    async def invoke(self, args: dict[str, Any], ctx: ToolContext) -> Any:
        """Run with resolved arguments; the value is plain JSON. Whatever it raises, the runtime catches.

        Raises ToolValidationError when the result does not fit the declared return type.
        """
        ...

    async def settle(self, key: str, args: dict[str, Any]) -> Any:
        """Ask `reconcile` what came of a call whose outcome is unknown: the result, or raises NotDone."""
        ...


# ------------------------------------------------------------------------------------------------------------ gate


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """What the gate judges: an action, who wants it, and for whom."""

    kind: Kind
    name: str
    args: Any
    digest: bytes
    subject: str
    """The member that asks."""
    grants: frozenset[str] | None
    """Names of the tools it was given; None for a plain member, whose own code chose the tool."""
    principal: Principal
    label: Label
    tool: Tool | None = None
    key: str = ""
    run_id: str = ""
    approved: frozenset[str] = frozenset()
    """Rules whose hold on this very call a person has lifted."""


class Allow(msgspec.Struct, frozen=True, gc=False):
    """Go on."""

    rule: str = ""


class Deny(msgspec.Struct, frozen=True):
    """Refuse; `message` goes to the member (and so to its model)."""

    rule: str
    message: str


class Rewrite(msgspec.Struct, frozen=True):
    """Go on with other arguments, which pass the whole gate again (at most three times)."""

    rule: str
    args: dict[str, Any]


class HoldFor(msgspec.Struct, frozen=True):
    """Wait for a person. `expires` is in seconds; silence is a refusal."""

    rule: str
    prompt: str
    roles: tuple[str, ...] = ()
    expires: float | None = None


Verdict: TypeAlias = Allow | Deny | Rewrite | HoldFor


class Check(Protocol):
    """One member of the gate. It sees values only, performs nothing, and must be quick."""

    name: str
    kinds: frozenset[Kind]

    def __call__(self, proposal: Proposal) -> Verdict | None:
        """A verdict, or None when this check has nothing to say."""
        ...


class Gate(Protocol):
    """The chain every action passes."""

    version: str

    def judge(self, proposal: Proposal) -> Verdict:
        """The first verdict that is not Allow, else Allow."""
        ...

    def concerns(self, kind: Kind) -> bool:
        """Whether any check looks at actions of this kind."""
        ...


# ----------------------------------------------------------------------------------------------------------- clock


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Do not call."""
        ...


class Clock(Protocol):
    """Time. The real one reads the machine's; tests move a fake one by hand."""

    def time(self) -> float:
        """Wall time, epoch seconds (UTC)."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for margins and durations."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` on the running loop after `seconds`."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


# ----------------------------------------------------------------------------------------------------------- store


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


class Transition(msgspec.Struct, frozen=True):
    """A change of a run's row, in the same transaction as the records before it."""

    status: Status
    wake_at: float | None = None
    release: bool = False
    unless_mail: bool = False
    """Refuse (nothing is written) if unread mail is waiting."""
    cost: str | None = None


class Writer(Protocol):
    """The journal of one driven run. Appends are ordered; each is refused once the epoch is old."""

    def append(self, record: bytes) -> None:
        """Add a record to the group that is committed at the end of this tick."""
        ...

    def attach(self, item: Blob | SessionEntry | NewRun | str) -> None:
        """Store beside the records of this group: a blob, session messages, a child run, or a mail id now read."""
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

    async def forget(self, run_id: str) -> None:
        """Delete a run that is over, with its mail. Its blobs and session messages stay."""
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


class Store(Journal, Mailbox, Sessions, Protocol):
    """One place that keeps runs, mail and sessions, so that one transaction can cover them."""

    async def close(self) -> None:
        """Write what is pending and let go."""
        ...

    @property
    def shared(self) -> bool:
        """Whether another process may use it at the same time."""
        ...


# ------------------------------------------------------------------------------------------------------- assembly


class Dispatcher(Protocol):
    """Spreads the word that a run may go on. A hint: the run's row is the truth."""

    def wake(self, run_id: str, wake_seq: int, *, at: float | None = None) -> None:
        """The run is due at `at` (epoch seconds), or now."""
        ...


class Runner(Protocol):
    """What `member.run(…)` needs of an app. `podium.app` fills `default_runner`; nobody imports upwards."""

    def run(self, member: Member, input: Any = None, *, options: Any = None) -> Coroutine[Any, Any, Any]:
        """Run to the end or to a suspension; a RunResult."""
        ...

    def run_sync(self, member: Member, input: Any = None, *, options: Any = None) -> Any:
        """The same from synchronous code."""
        ...

    def stream(self, member: Member, input: Any = None, *, options: Any = None) -> Any:
        """An async iterator of records and deltas."""
        ...


_runner: list[Runner] = []


def default_runner() -> Runner:
    """The runner of members that were given no app; the assembly is imported on first use."""
    if not _runner:
        import importlib

        importlib.import_module("podium.app")
    return _runner[0]


def set_default_runner(runner: Runner) -> None:
    """Called once by the assembly."""
    _runner[:] = [runner]
