"""Members made from functions, and what every member can do by itself: `run`, `run_sync`, `stream`.

Running needs an app; without one, the default (in-memory) app is asked for through a hook in `ports`.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

import msgspec

from podium.core.errors import ConfigurationError
from podium.core.messages import Message
from podium.core.records import Principal
from podium.ports import Context, Runner, default_runner

if TYPE_CHECKING:
    from collections.abc import Awaitable

O = TypeVar("O")  # noqa: E741  (the output of a member, as in `Agent[Deps, Output]`)


class RunOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a member is run. See `Runnable.run`."""

    session: str | None = None
    run_id: str | None = None
    budget: Any = None
    principal: Principal | None = None
    deps: Any = None
    message_history: Sequence[Message] = ()
    timeout: float | None = None


class Runnable(Generic[O]):
    """The three ways to run a member. Mixed into agents, teams and function members."""

    name: str
    description: str = ""
    capabilities: tuple[str, ...] = ()

    def run(
        self,
        input: Any = None,
        *,
        app: Runner | None = None,
        session: str | None = None,
        run_id: str | None = None,
        budget: Any = None,
        principal: Principal | None = None,
        deps: Any = None,
        message_history: Sequence[Message] = (),
        timeout: float | None = None,
    ) -> Coroutine[Any, Any, Any]:
        """Run to the end, or until the run waits for somebody; await it for a `RunResult[O]`.

        `run_id` names the run: with an app whose store has it, the run is resumed. `session` is the conversation it
        continues and adds to. `timeout` is in seconds of wall time and binds everything below. `deps` are handed to
        tools and members and never stored.
        Raises RunConflict, RunBusy, ReplayMismatch, StoreError; a run that fails is a result, not an error.
        """
        options = RunOptions(
            session=session,
            run_id=run_id,
            budget=budget,
            principal=principal,
            deps=deps,
            message_history=message_history,
            timeout=timeout,
        )
        return (app or default_runner()).run(cast("Any", self), input, options=options)

    def run_sync(
        self,
        input: Any = None,
        *,
        app: Runner | None = None,
        session: str | None = None,
        run_id: str | None = None,
        budget: Any = None,
        principal: Principal | None = None,
        deps: Any = None,
        message_history: Sequence[Message] = (),
        timeout: float | None = None,
    ) -> Any:
        """`run` for scripts, notebooks and threads. On the app's own loop it raises, since it would wait for itself."""
        options = RunOptions(
            session=session,
            run_id=run_id,
            budget=budget,
            principal=principal,
            deps=deps,
            message_history=message_history,
            timeout=timeout,
        )
        return (app or default_runner()).run_sync(cast("Any", self), input, options=options)

    def stream(
        self,
        input: Any = None,
        *,
        app: Runner | None = None,
        session: str | None = None,
        run_id: str | None = None,
        budget: Any = None,
        principal: Principal | None = None,
        deps: Any = None,
        message_history: Sequence[Message] = (),
        timeout: float | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Run, and yield every record as it becomes durable and every delta as it comes."""
        options = RunOptions(
            session=session,
            run_id=run_id,
            budget=budget,
            principal=principal,
            deps=deps,
            message_history=message_history,
            timeout=timeout,
        )
        return (app or default_runner()).stream(cast("Any", self), input, options=options)


class FunctionMember(Runnable[Any]):
    """A plain `async def f(ctx, input)` as a member."""

    def __init__(
        self,
        function: Callable[[Context, Any], Awaitable[Any]],
        *,
        name: str | None = None,
        description: str | None = None,
        capabilities: Sequence[str] = (),
        timeout: float | None = None,
    ) -> None:
        if not inspect.iscoroutinefunction(function):
            raise ConfigurationError(f"{function!r} must be an `async def` that takes (ctx, input)")
        parameters = len(inspect.signature(function).parameters)
        if parameters not in (1, 2):
            raise ConfigurationError(f"{function.__qualname__} must take (ctx, input), or (ctx) alone")
        self.function = function
        self.name = name or function.__name__
        self.description = description or (inspect.getdoc(function) or "").partition("\n\n")[0]
        self.capabilities = tuple(capabilities)
        self.timeout = timeout
        self._alone = parameters == 1
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__qualname__ = function.__qualname__

    def __call__(self, ctx: Context, input: Any = None) -> Awaitable[Any]:
        """Do the member's work."""
        return cast("Any", self.function)(ctx) if self._alone else self.function(ctx, input)

    def __repr__(self) -> str:
        return f"<member {self.name}>"


@overload
def member(function: Callable[..., Awaitable[Any]], /) -> FunctionMember: ...
@overload
def member(
    *,
    name: str | None = None,
    description: str | None = None,
    capabilities: Sequence[str] = (),
    timeout: float | None = None,
) -> Callable[[Callable[..., Awaitable[Any]]], FunctionMember]: ...
def member(
    function: Callable[..., Awaitable[Any]] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    capabilities: Sequence[str] = (),
    timeout: float | None = None,
) -> Any:
    """Make a member of an `async def f(ctx, input)`.

    Between steps it must be deterministic: take time, chance and anything else that changes through `ctx`.
    """

    def wrap(inner: Callable[..., Awaitable[Any]]) -> FunctionMember:
        return FunctionMember(inner, name=name, description=description, capabilities=capabilities, timeout=timeout)

    return wrap if function is None else wrap(function)
