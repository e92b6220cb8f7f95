"""Tools run on their own, outside of any run: for unit tests of tools, scripts and servers that offer single tools.

This is not how agents call tools, and must not become a second way for them: here is no gate, no journal, no budget and
no approval. In a run the runtime performs each call as a step, through the same `Tool` port. What the two share is the
promise that a failing tool gives a result, not an exception, and the permissions of a `ToolRegistry`.
"""

from __future__ import annotations

import asyncio
import collections
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import msgspec

from podium.core.codec import decode, digest_of, encode
from podium.core.costs import CostRow, Tally
from podium.core.errors import (
    ConfigurationError,
    NotDone,
    PermissionDenied,
    StepFailed,
    ToolTimeoutError,
    ToolValidationError,
)
from podium.core.messages import ToolCall
from podium.core.redaction import redact, redact_text, secrets_in, without
from podium.ports import Tool, ToolContext, tools_in

from .registry import ToolRegistry
from .statistics import ToolCost, ToolStats, costs_of, stats_of

DEFAULT_TIMEOUT: Final = 30.0
"""Seconds one attempt may take when the tool does not say."""
KEPT: Final = 1000
"""How many executions `ToolExecutor.log` keeps."""
SHOWN: Final = 4000
"""About how many characters of arguments and of output the log keeps of one execution."""
ERROR_CHARACTERS: Final = 1500
AT_ONCE: Final = 16
"""How many calls of a batch run at once."""
CACHED: Final = 1000
"""How many results are kept for tools with `cache=`; those longest unused make room."""


class ToolExecution(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one execution."""

    tool: str
    success: bool
    args: Any
    """The arguments as given, without secrets and cut to a bound."""
    output: Any = None
    """Plain JSON; in the executor's log without secrets and cut to a bound."""
    error: str | None = None
    """One line a model can act on, without secrets."""
    error_type: str | None = None
    """The error's class: `ToolValidationError`, `ToolTimeoutError`, or the tool's own."""
    duration_ms: float = 0.0
    """From the call to its outcome, retries included."""
    attempts: int = 0
    """How often the function was called; 0 when the arguments were refused."""
    at: float = 0.0
    """Epoch seconds at the start."""
    agent: str = ""
    """For whom it was executed, if that was said."""
    version: str = ""
    """The tool's; empty when there is no such tool."""
    cached: bool = False
    """Whether the output is that of an earlier, equal call; the function was not called then."""


class ToolExecutor:
    """Executes tools by name; a failure of any kind is a result with `success=False`.

    `tools` are the only ones it knows, or a `ToolRegistry`, which may change meanwhile and whose permissions hold for
    calls that say `agent=`. `log` is called with each finished execution, redacted. `backoff` is the wait before the
    first retry, in seconds; it doubles with each further one. Results of tools with `cache=` are kept in memory.
    Raises ConfigurationError for two tools of one name.
    """

    def __init__(
        self,
        tools: Iterable[Tool] | ToolRegistry,
        *,
        clock: Callable[[], float] = time.time,
        log: Callable[[ToolExecution], None] | None = None,
        backoff: float = 0.1,
    ) -> None:
        self.tools = tools if isinstance(tools, ToolRegistry) else _registry(tools)
        self._clock = clock
        self._sink = log
        self._backoff = backoff
        self._log: collections.deque[ToolExecution] = collections.deque(maxlen=KEPT)
        self._tally = Tally()
        self._cache: collections.OrderedDict[bytes, tuple[float, bytes]] = collections.OrderedDict()

    @property
    def log(self) -> tuple[ToolExecution, ...]:
        """The last executions, oldest first, without secrets."""
        return tuple(self._log)

    def get_tool_cost_report(self) -> dict[str, ToolCost]:
        """Executions, total and average cost of each tool that this executor executed, dearest first."""
        return costs_of(self._rows())

    def get_tool_stats(self) -> dict[str, ToolStats]:
        """How each tool that this executor executed does, by name."""
        return stats_of(self._rows())

    async def execute(
        self,
        name: str,
        args: dict[str, Any],
        ctx: ToolContext | None = None,
        *,
        agent: str = "",
        version: str | None = None,
    ) -> ToolExecution:
        """Execute a tool once, with retries of transient failures if it is `read` or `idempotent`.

        `agent` is for whom: what the registry does not permit it is refused. `version` is the default one, left out.
        Never raises for what a tool or its caller did wrong; cancellation and KeyboardInterrupt pass.
        """
        call = _Call(name, args, agent or ("" if ctx is None else ctx.agent), self._clock())
        output: Any = None
        error: Exception | None = None
        try:
            tool = call.tool = self._find(name, version, call.agent)
            resolved = tool.resolve(args)
            key = _key_of(tool, resolved)
            found = None if key is None else self._kept(key)
            if found is not None:
                output, call.cached = decode(found), True
            else:
                ctx = ctx or ToolContext(run_id="", key=name, agent=agent, idempotency_key=uuid.uuid4().hex)
                self.tools.called(tool)
                output = await self._attempts(tool, resolved, ctx, call)
                if key is not None and tool.cache is not None:
                    self._keep(key, output, tool.cache)
        except Exception as failure:  # noqa: BLE001 - this is the outermost edge: every failure becomes a result
            error = failure
        return self._finished(call, output, error)

    async def execute_batch(
        self,
        calls: Iterable[ToolCall | tuple[str, dict[str, Any]]],
        *,
        agent: str = "",
        at_once: int = AT_ONCE,
    ) -> list[ToolExecution]:
        """Execute calls that do not depend on each other, at most `at_once` at a time; results in their order.

        A call is a pair of name and arguments, or a model's `ToolCall`. One failure does not disturb the others.
        """
        if at_once < 1:
            raise ConfigurationError(f"at_once={at_once!r}: at least one call must run at a time")
        slots = asyncio.Semaphore(at_once)
        given = [_pair(call) for call in calls]

        async def one(call: ToolCall | tuple[str, dict[str, Any]]) -> ToolExecution:
            name, args, invalid = (call.name, call.args, call.invalid) if isinstance(call, ToolCall) else (*call, None)
            async with slots:
                if invalid is None:
                    return await self.execute(name, args, agent=agent)
            unread = ToolValidationError(f"the arguments of {name} cannot be read: {invalid}")
            return self._finished(_Call(name, args, agent, self._clock()), None, unread)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(call)) for call in given]
        return [task.result() for task in tasks]

    async def _attempts(self, tool: Tool, args: dict[str, Any], ctx: ToolContext, call: _Call) -> Any:
        while True:
            call.attempts += 1
            ctx.attempt = call.attempts
            try:
                return await _attempt(tool, args, ctx)
            except Exception as failure:
                if call.attempts > tool.retries or not _worth_retrying(tool, failure):
                    raise
            await asyncio.sleep(self._backoff * 2 ** (call.attempts - 1))

    def _find(self, name: str, version: str | None, agent: str) -> Tool:
        tool = self.tools.get(name, version)
        if tool is None:
            if name in self.tools:
                known = ", ".join(self.tools.versions(name))
                raise ToolValidationError(f"tool {name!r} has no version {version!r}; its versions are: {known}")
            known = ", ".join(list(self.tools)[:50]) or "none"
            raise ToolValidationError(f"there is no tool {name[:80]!r}; the tools are: {known}")
        refusal = self.tools.refusal(agent, tool) if agent else None
        if refusal is not None:
            raise PermissionDenied(refusal)
        return tool

    def _finished(self, call: _Call, output: Any, error: Exception | None) -> ToolExecution:
        now = self._clock()
        execution = ToolExecution(
            tool=call.name,
            success=error is None,
            args=redact(call.args, bound=SHOWN),
            output=output,
            error=None
            if error is None
            else _without(call, redact_text(str(error) or type(error).__name__))[:ERROR_CHARACTERS],
            error_type=None if error is None else type(error).__name__,
            duration_ms=max(0.0, (now - call.at) * 1000),
            attempts=call.attempts,
            at=call.at,
            agent=call.agent,
            version="" if call.tool is None else call.tool.version,
            cached=call.cached,
        )
        self._count(call, now, error)
        shown = msgspec.structs.replace(execution, output=redact(_without(call, output), bound=SHOWN))
        self._log.append(shown)
        if self._sink is not None:
            self._sink(shown)
        return execution

    # --------------------------------------------------------------------------------------------- statistics, cache

    def _rows(self) -> tuple[CostRow, ...]:
        return self._tally.rows()

    def _count(self, call: _Call, now: float, error: Exception | None) -> None:
        """Count a call that reached its tool."""
        tool = call.tool
        if tool is None or not (call.attempts or call.cached):
            return
        line = self._tally.tool(call.at, call.agent, call.name)
        if call.cached:
            line.reused(tool.cost)
            return
        line.executed(now - call.at, error is not None)
        # Each attempt costs, but for the last one if it says that it did nothing.
        for _ in range(call.attempts - isinstance(error, NotDone)):
            if tool.cost not in ("", "0"):
                line.called(tool.cost, None, None)

    def _kept(self, key: bytes) -> bytes | None:
        found = self._cache.get(key)
        if found is None or found[0] <= self._clock():
            return None
        self._cache.move_to_end(key)
        return found[1]

    def _keep(self, key: bytes, output: Any, seconds: float) -> None:
        self._cache[key] = (self._clock() + seconds, encode(output))
        self._cache.move_to_end(key)
        if len(self._cache) > CACHED:
            self._cache.popitem(last=False)


class _Call:
    """One call while it goes on."""

    __slots__ = ("agent", "args", "at", "attempts", "cached", "name", "tool")

    def __init__(self, name: str, args: Any, agent: str, at: float) -> None:
        self.name, self.args, self.agent, self.at = name, args, agent, at
        self.tool: Tool | None = None
        self.attempts = 0
        """How often the function was called."""
        self.cached = False


def _without(call: _Call, told: Any) -> Any:
    """What a tool said, without the secrets it was given."""
    return without(secrets_in(call.args), told)


def _pair(call: ToolCall | tuple[str, dict[str, Any]]) -> ToolCall | tuple[str, dict[str, Any]]:
    given = cast("object", call)
    if not isinstance(given, ToolCall) and not (isinstance(given, tuple | list) and len(cast("list[Any]", given)) == 2):
        raise ConfigurationError(f"{str(call)[:200]} is no call: write (name, arguments), or give a ToolCall")
    return call


def _registry(tools: Iterable[Tool]) -> ToolRegistry:
    registry = ToolRegistry()
    for tool in tools_in(tools, "the tools of an executor"):
        if tool.name in registry:
            raise ConfigurationError(
                f"two tools are named {tool.name!r}: give one of them another name=, or use a ToolRegistry"
            )
        registry.register(tool)
    return registry


def _key_of(tool: Tool, args: dict[str, Any]) -> bytes | None:
    """Where the result of an equal call is kept; None for a tool whose results are not."""
    if tool.cache is None or tool.effect == "write":
        return None
    return digest_of((tool.name, tool.version, args))


async def _attempt(tool: Tool, args: dict[str, Any], ctx: ToolContext) -> Any:
    limit = DEFAULT_TIMEOUT if tool.timeout is None else tool.timeout
    scope = asyncio.timeout(limit)
    try:
        async with scope:
            return await tool.invoke(args, ctx)
    except TimeoutError:
        if not scope.expired():
            raise  # the tool's own
        raise ToolTimeoutError(f"{tool.name} took longer than {limit:g} seconds") from None
    finally:
        if scope.expired():
            ctx.cancel()  # a thread cannot be stopped, only told


def _worth_retrying(tool: Tool, failure: Exception) -> bool:
    """Whether another attempt is safe and may help. A timeout is not repeated: it has used its time."""
    if isinstance(failure, NotDone):
        return failure.worth_retrying
    if tool.effect == "write":
        return False
    if isinstance(failure, StepFailed):
        return failure.transient
    return isinstance(failure, ConnectionError | TimeoutError)
