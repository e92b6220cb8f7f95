"""Tools run on their own, outside of any run: for unit tests of tools, scripts and servers that offer single tools.

This is not how agents call tools, and must not become a second way for them: here is no gate, no journal, no budget and
no approval. In a run the runtime performs each call as a step, through the same `Tool` port. What the two share is the
promise that a failing tool gives a result, not an exception.
"""

from __future__ import annotations

import asyncio
import collections
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from podium.core.errors import ConfigurationError, NotDone, StepFailed, ToolTimeoutError, ToolValidationError
from podium.core.redaction import redact, redact_text
from podium.ports import Tool, ToolContext

DEFAULT_TIMEOUT: Final = 30.0
"""Seconds one attempt may take when the tool does not say."""
KEPT: Final = 1000
"""How many executions `ToolExecutor.log` keeps."""
SHOWN: Final = 4000
"""About how many characters of arguments and of output the log keeps of one execution."""
ERROR_CHARACTERS: Final = 1500


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


class ToolExecutor:
    """Executes tools by name; a failure of any kind is a result with `success=False`.

    `log` is called with each finished execution, redacted. `backoff` is the wait before the first retry, in seconds; it
    doubles with each further one. Raises ConfigurationError for two tools of one name.
    """

    def __init__(
        self,
        tools: Iterable[Tool],
        *,
        clock: Callable[[], float] = time.time,
        log: Callable[[ToolExecution], None] | None = None,
        backoff: float = 0.1,
    ) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            if tool.name in self._tools:
                raise ConfigurationError(f"two tools are named {tool.name!r}: give one of them another name=")
            self._tools[tool.name] = tool
        self._clock = clock
        self._sink = log
        self._backoff = backoff
        self._log: collections.deque[ToolExecution] = collections.deque(maxlen=KEPT)

    @property
    def log(self) -> tuple[ToolExecution, ...]:
        """The last executions, oldest first, without secrets."""
        return tuple(self._log)

    async def execute(self, name: str, args: dict[str, Any], ctx: ToolContext | None = None) -> ToolExecution:
        """Execute a tool once, with retries of transient failures if it is `read` or `idempotent`.

        Never raises for what a tool or its caller did wrong; cancellation and KeyboardInterrupt pass.
        """
        started = self._clock()
        output, error, attempts = None, None, 0
        try:
            tool = self._find(name)
            resolved = tool.resolve(args)
            ctx = ctx or ToolContext(run_id="", key=name, idempotency_key=uuid.uuid4().hex)
            while True:
                attempts += 1
                ctx.attempt = attempts
                try:
                    output = await _attempt(tool, resolved, ctx)
                    break
                except Exception as failure:
                    if attempts > tool.retries or not _worth_retrying(tool, failure):
                        raise
                await asyncio.sleep(self._backoff * 2 ** (attempts - 1))
        except Exception as failure:  # noqa: BLE001 - this is the outermost edge: every failure becomes a result
            error = failure
        return self._finished(
            ToolExecution(
                tool=name,
                success=error is None,
                args=redact(args, bound=SHOWN),
                output=output,
                error=None if error is None else redact_text(str(error) or type(error).__name__)[:ERROR_CHARACTERS],
                error_type=None if error is None else type(error).__name__,
                duration_ms=max(0.0, (self._clock() - started) * 1000),
                attempts=attempts,
                at=started,
            )
        )

    def _find(self, name: str) -> Tool:
        tool = self._tools.get(name)
        if tool is None:
            known = ", ".join(list(self._tools)[:50]) or "none"
            raise ToolValidationError(f"there is no tool {name[:80]!r}; the tools are: {known}")
        return tool

    def _finished(self, execution: ToolExecution) -> ToolExecution:
        shown = msgspec.structs.replace(execution, output=redact(execution.output, bound=SHOWN))
        self._log.append(shown)
        if self._sink is not None:
            self._sink(shown)
        return execution


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
        return True
    if tool.effect == "write":
        return False
    if isinstance(failure, StepFailed):
        return failure.transient
    return isinstance(failure, ConnectionError | TimeoutError)
