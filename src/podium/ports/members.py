"""The port of members: what they are, the context they are given, and the receipts they get."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import msgspec

from podium.core.actions import Action
from podium.core.labels import Label
from podium.core.messages import Message, ModelRequest, Reply
from podium.core.records import Principal

from .models import Model
from .tools import Tool

T = TypeVar("T")


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
