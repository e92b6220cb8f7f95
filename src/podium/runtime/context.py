"""What a member sees of its run: `ctx`. Every method takes its step's key at once and returns an awaitable.

All of it is spelled in terms of `perform`; nothing here acts on the world by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar, cast

from podium.core.actions import Action, Ask, Call, CallModel, CallTool, Emit, Read, Remember, Sleep, Spawn, Wait
from podium.core.codec import digest_of
from podium.core.errors import ConfigurationError
from podium.core.labels import Label
from podium.core.messages import Message, ModelRequest, Reply, user
from podium.core.records import Principal
from podium.core.transcript import Transcript
from podium.ports import History, Member, Model, Tool

from .branches import Branches as _Branches
from .branches import Group, Race, Thunk
from .run import Run
from .scope import Frame, Scope
from .step import Step

T = TypeVar("T")


class Cleanup:
    """`async with ctx.cleanup():` steps inside it run although the run is being cancelled."""

    __slots__ = ("_frame",)

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    async def __aenter__(self) -> None:
        self._frame.cleaning += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._frame.cleaning -= 1


class RunContext:
    """A `podium.ports.Context` for one scope."""

    __slots__ = ("_run", "_scope")

    def __init__(self, run: Run, scope: Scope) -> None:
        self._run = run
        self._scope = scope

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self._run.id

    @property
    def key(self) -> str:
        """The scope this context speaks for."""
        return self._scope.key

    @property
    def principal(self) -> Principal:
        """The person or service behind the run."""
        return self._run.principal

    @property
    def session(self) -> str:
        """The session the run belongs to; empty for none."""
        return self._run.session

    @property
    def deps(self) -> Any:
        """The typed dependencies given to `run`."""
        return self._run.deps

    @property
    def deadline(self) -> float | None:
        """Epoch seconds after which nothing more starts."""
        return self._scope.frame.deadline

    @property
    def pinned(self) -> bytes | None:
        """The configuration this member had when the run first called it."""
        return self._scope.frame.pinned

    @property
    def label(self) -> Label:
        """The join of everything this scope has seen."""
        return self._scope.frame.label

    def absorb(self, label: Label) -> None:
        """Join a label into what this scope has seen."""
        self._scope.frame.absorb(label)

    def perform(self, action: Action) -> Step:
        """The one primitive."""
        return Step(self._run, self._scope, action, unwrap=False)

    def scope(self, name: str) -> RunContext:
        """A context for a numbered part of this scope, owned by the same task."""
        scope = self._scope
        return RunContext(self._run, Scope(scope.take(name), scope.frame, scope.task))

    def _value(self, action: Action) -> Any:
        return Step(self._run, self._scope, action, unwrap=True)

    def call(self, member: Member, input: Any = None, *, timeout: float | None = None) -> Step:
        """Run a member inline."""
        name = getattr(member, "name", None)
        if not isinstance(name, str) or not callable(member):
            raise ConfigurationError(
                f"{member!r} is not a member: pass an Agent, a team, or an `async def` marked with @member"
            )
        return self._value(Call(name, member, input, timeout))

    def tool(self, tool: Tool | str, args: Mapping[str, Any] | None = None, **kwargs: Any) -> Awaitable[Any]:
        """Call a tool."""
        given = {**(args or {}), **kwargs}
        if isinstance(tool, str):
            return self._value(CallTool(tool, given))
        if not hasattr(tool, "effect"):
            raise ConfigurationError(f"{tool!r} is not a tool: decorate the function with @tool(effect=...)")
        return self._value(CallTool(tool.name, given, tool))

    def model(
        self,
        request: ModelRequest | Sequence[Message] | str,
        *,
        model: Model | str,
        timeout: float | None = None,
        cache: float | None = None,
    ) -> Awaitable[Reply]:
        """Ask a model. Messages that continue this scope's last request are journaled as additions to it.

        `cache` is for how many seconds an equal request may be answered with the same reply; None is not at all.
        """
        if isinstance(request, str):
            request = ModelRequest((user(request),))
        elif not isinstance(request, ModelRequest):
            request = ModelRequest(tuple(request))
        frame = self._scope.frame
        transcript = frame.talk
        if transcript is None or not transcript.extend_to(request.messages):
            transcript = frame.talk = Transcript()
            transcript.extend_to(request.messages)
        name = model if isinstance(model, str) else model.name
        form = digest_of((name, request.tools, request.settings, request.output))
        request = ModelRequest(transcript.view(), request.tools, request.settings, request.output, frame.subject)
        retry = self._run.services.retry
        return self._value(CallModel(model, request, transcript, form, retry, timeout, cache))

    def ask(
        self,
        question: str,
        *,
        choices: Sequence[str] = (),
        roles: Sequence[str] = (),
        expires: float | None = None,
    ) -> Awaitable[Any]:
        """Ask a person."""
        return self._value(Ask(question, tuple(choices), tuple(roles), expires))

    def wait(self, signal: str, *, timeout: float | None = None) -> Awaitable[Any]:
        """Wait for a signal."""
        return self._value(Wait(signal, timeout))

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Wait, across restarts."""
        return self._value(Sleep(seconds))

    def now(self) -> Awaitable[float]:
        """Epoch seconds, the same on replay."""
        return self._value(Read("now", self._run.services.clock.time))

    def random(self) -> Awaitable[float]:
        """A number in [0, 1), the same on replay."""
        return self._value(Read("random", self._run.services.random))

    def read(self, name: str, source: Callable[[], Any | Awaitable[Any]]) -> Awaitable[Any]:
        """Take a value that may differ from time to time, and keep it for replay."""
        return self._value(Read(name, source))

    def emit(self, name: str, data: Any = None) -> Awaitable[None]:
        """Journal an application event."""
        return self._value(Emit(name, data))

    def remember(self, messages: Sequence[Message], *, session: str | None = None) -> Awaitable[None]:
        """Append messages to a session."""
        name = session or self.session
        if not name:
            raise ConfigurationError("this run has no session: start it with run(..., session=NAME)")
        return self._value(Remember(name, tuple(messages)))

    @property
    def given(self) -> Sequence[Message]:
        """The conversation the run was given to continue."""
        return self._run.started.history

    def history(self, limit: int, *, session: str | None = None) -> Awaitable[History]:
        """The last `limit` messages of a session; which ones is journaled, their text is not."""
        store = self._run.services.store
        session = self.session if session is None else session

        async def window() -> list[int]:
            row = await store.session(session) if session else None
            if row is None:
                return [0, 0]
            start = max(0, row.messages - limit)
            messages = await store.history(session, start, row.messages)
            return [start + whole_from(messages), row.messages]

        step = self._value(Read("history", window))

        async def load() -> History:
            start, stop = cast("list[int]", await step)
            if stop <= start:
                return History(session, stop, ())
            self.absorb(await store.session_label(session, start, stop))
            return History(session, start, await store.history(session, start, stop))

        return load()

    def spawn(self, member: Member, input: Any = None, *, queue: str | None = None) -> Awaitable[Any]:
        """Run a member as a child run of its own. Raises ConfigurationError for a queue: there are none yet."""
        if queue is not None:
            raise ConfigurationError("queues come with a later release; leave queue= out")
        return self._value(Spawn(member.name, member, input))

    def gather(self, *thunks: Callable[..., Awaitable[T]]) -> Awaitable[list[T]]:
        """Run branches side by side; each is given a context of its own."""
        keys = [self._scope.take("branch") for _ in thunks]

        async def run() -> list[T]:
            branches = _Branches(self._run, self._scope)
            for thunk, key in zip(thunks, keys, strict=True):
                branches.open(cast("Thunk", thunk), key)
            return await branches.all()

        return run()

    def race(self, *thunks: Callable[..., Awaitable[T]]) -> Awaitable[T]:
        """The first branch to finish wins; the others are cancelled."""
        return Race(self._run, self._scope, "race").run(cast("list[Thunk]", list(thunks)))

    def timeout(self, seconds: float, thunk: Callable[..., Awaitable[T]]) -> Awaitable[T]:
        """Run a branch for at most `seconds` of active time."""
        return Race(self._run, self._scope, "timeout").run([cast("Thunk", thunk)], seconds)

    def group(self) -> Group:
        """Branches that are all over when the block ends."""
        return Group(self._run, self._scope)

    def version(self, name: str) -> Awaitable[bool]:
        """True for runs that reach this point for the first time; False where the journal was written without it."""
        scope = self._scope
        replay = self._run.replay
        step_name = f"version:{name}"
        if not replay.has(scope.peek(step_name)) and replay.recorded_after(scope.key, scope.pos + 1):
            return _known(value=False)
        return self._value(Read(step_name, lambda: True))

    def cleanup(self) -> Cleanup:
        """A block whose steps run although the run is being cancelled."""
        return Cleanup(self._scope.frame)


async def _known(*, value: bool) -> bool:
    return value


def whole_from(messages: Sequence[Message]) -> int:
    """The index from which a stretch of a conversation can stand alone: where a person's message begins a turn.

    Cutting anywhere else could part a tool call from its result, which providers refuse.
    """
    for index, message in enumerate(messages):
        if message.role == "user":
            return index
    return len(messages)
