"""Actions: frozen values that say what a member wants of the world. `ctx.perform(action)` is how it asks.

An action holds live objects (a tool, a model, a member); its record holds names and digests only. `kind` selects how
the runtime treats it; `name` is the step's name in its key.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import msgspec

from .messages import ModelRequest
from .transcript import Transcript

if TYPE_CHECKING:
    from collections.abc import Awaitable


class Kind(StrEnum):
    """What sort of action a step performs. The values are part of the journal's format."""

    MODEL = "model"
    TOOL = "tool"
    CALL = "call"
    SPAWN = "spawn"
    ASK = "ask"
    WAIT = "wait"
    SLEEP = "sleep"
    READ = "read"
    REMEMBER = "remember"
    EMIT = "emit"
    ANSWER = "answer"


class Retry(msgspec.Struct, frozen=True):
    """How transient failures are retried: `attempts` in all, `first * 2**n` seconds apart up to `most`, with jitter."""

    attempts: int = 3
    first: float = 0.5
    most: float = 30.0


class CallModel(msgspec.Struct, frozen=True, gc=False):
    """Ask a model. `model` is a Model; `request.messages` must be a view of `transcript`."""

    kind: ClassVar[Kind] = Kind.MODEL
    name: ClassVar[str] = "model"
    model: Any
    request: ModelRequest
    transcript: Transcript
    form: bytes = b""
    """Digest of everything in the request but its messages, so that it need not be hashed again each turn."""
    retry: Retry = Retry()
    timeout: float | None = None
    cache: float | None = None
    """For how many seconds an equal request may be answered with the same reply; None is not at all."""
    withheld: bool = False
    """Whether its text is kept from live subscribers, because somebody decides first whether it is given out."""


class CallTool(msgspec.Struct, frozen=True, gc=False):
    """Call a tool by name. `tool` is the object when the caller holds it; the gate still decides."""

    kind: ClassVar[Kind] = Kind.TOOL
    name: str
    args: dict[str, Any]
    tool: Any = None
    timeout: float | None = None
    invalid: str | None = None
    """Why a model's arguments could not be read; the step then fails with it, and nothing is called."""
    version: str = ""
    """The version of a tool that is called by name, when only that one will do; empty takes what the name means."""


class Call(msgspec.Struct, frozen=True):
    """Run a member inline, as a scope of this run."""

    kind: ClassVar[Kind] = Kind.CALL
    name: str
    member: Any
    input: Any = None
    timeout: float | None = None


class Spawn(msgspec.Struct, frozen=True):
    """Start a child run and wait for its outcome. The child's id derives from this run and the step's key."""

    kind: ClassVar[Kind] = Kind.SPAWN
    name: str
    member: Any
    input: Any = None
    timeout: float | None = None


class Ask(msgspec.Struct, frozen=True):
    """Ask a person. The value is the answer. `expires` is in seconds; without an answer the step is `Rejected`."""

    kind: ClassVar[Kind] = Kind.ASK
    name: ClassVar[str] = "ask"
    question: str
    choices: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    expires: float | None = None
    why: str = "ask"
    """What sort of answer is wanted: `ask`, or `review` of a result."""
    detail: Any = None
    """Plain data for whoever answers; it is journaled as it is, so it must be redacted."""
    apart: bool = False
    """Whether the principal behind the run may not answer."""


class Wait(msgspec.Struct, frozen=True):
    """Wait for a signal by name. The value is the signal's payload."""

    kind: ClassVar[Kind] = Kind.WAIT
    name: str
    timeout: float | None = None


class Sleep(msgspec.Struct, frozen=True):
    """Wait until `seconds` from now, across restarts."""

    kind: ClassVar[Kind] = Kind.SLEEP
    name: ClassVar[str] = "sleep"
    seconds: float


class Read(msgspec.Struct, frozen=True):
    """Take a value that differs from time to time (clock, random, memory, routing) and keep it."""

    kind: ClassVar[Kind] = Kind.READ
    name: str
    source: Callable[[], Any | Awaitable[Any]]


class Remember(msgspec.Struct, frozen=True):
    """Append messages to a session."""

    kind: ClassVar[Kind] = Kind.REMEMBER
    name: ClassVar[str] = "remember"
    session: str
    messages: tuple[Any, ...]


class Emit(msgspec.Struct, frozen=True):
    """Journal an application event, for subscribers and readers."""

    kind: ClassVar[Kind] = Kind.EMIT
    name: str
    data: Any = None


class Answer(msgspec.Struct, frozen=True):
    """Give the run's outcome to whoever asked for it. Made by the runtime when the root member returns."""

    kind: ClassVar[Kind] = Kind.ANSWER
    name: ClassVar[str] = "answer"
    output: Any = None


Action: TypeAlias = CallModel | CallTool | Call | Spawn | Ask | Wait | Sleep | Read | Remember | Emit | Answer
