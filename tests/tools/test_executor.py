"""Whatever goes wrong with a tool, executing it gives a result."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from podium.core.errors import ConfigurationError, NotDone, RateLimited
from podium.ports import ToolContext
from podium.tools import FunctionTool, ToolExecution, ToolExecutor, tool


@tool(effect="read")
async def double(n: int) -> int:
    return n * 2


@tool(effect="read")
async def broken(api_key: str = "") -> None:
    raise ValueError("no password=hunter2-hunter2 today")


@tool(effect="read", timeout=0.01)
async def endless() -> None:
    await asyncio.Event().wait()


async def test_a_success_carries_output_and_attempts() -> None:
    execution = await ToolExecutor([double]).execute("double", {"n": "4"})
    assert (execution.success, execution.output, execution.error, execution.attempts) == (True, 8, None, 1)


@pytest.mark.parametrize(
    ("name", "args", "kind", "said"),
    [
        ("nothing", {}, "ToolValidationError", "the tools are: double, broken, endless"),
        ("double", {"n": "many"}, "ToolValidationError", "n: expected int"),
        ("double", None, "ToolValidationError", "must be an object"),
        ("broken", {}, "ValueError", "today"),
        ("endless", {}, "ToolTimeoutError", "longer than 0.01 seconds"),
    ],
)
async def test_every_failure_is_a_result(name: str, args: Any, kind: str, said: str) -> None:
    execution = await ToolExecutor([double, broken, endless]).execute(name, args)
    assert not execution.success
    assert execution.error_type == kind
    assert said in (execution.error or "")


async def test_secrets_reach_neither_the_log_nor_the_sink() -> None:
    seen: list[ToolExecution] = []

    @tool(effect="read")
    async def leak(api_key: str) -> dict[str, str]:
        return {"token": "abc", "key": api_key}

    executor = ToolExecutor([leak, broken], log=seen.append)
    key = "sk-0123456789abcdefABCDEF"
    given = await executor.execute("leak", {"api_key": key})
    await executor.execute("broken", {"api_key": key})
    assert given.output == {"token": "abc", "key": key}
    assert executor.log == tuple(seen)
    assert key not in repr(executor.log)
    assert "abc" not in repr([entry.output for entry in executor.log])
    assert "hunter2" not in repr(executor.log)


def _failing(effect: Any, *failures: Exception, retries: int = 2) -> FunctionTool[..., Any]:
    left = list(failures)

    @tool(name="flaky", effect=effect, retries=retries)
    async def flaky() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return flaky


@pytest.mark.parametrize(
    ("effect", "failures", "attempts", "success"),
    [
        ("read", [ConnectionError("x"), TimeoutError("x")], 3, True),
        ("idempotent", [RateLimited("x")], 2, True),
        ("read", [ConnectionError("x")] * 3, 3, False),
        ("read", [ValueError("x")], 1, False),
        ("write", [ConnectionError("x")], 1, False),
        ("write", [NotDone("x")], 2, True),
        ("write", [NotDone("x", retry=False)], 1, False),
    ],
)
async def test_only_transient_failures_of_repeatable_tools_are_retried(
    effect: Any, failures: list[Exception], attempts: int, success: bool
) -> None:
    execution = await ToolExecutor([_failing(effect, *failures)], backoff=0).execute("flaky", {})
    assert (execution.attempts, execution.success) == (attempts, success)


async def test_a_timed_out_synchronous_tool_is_told_to_stop() -> None:
    stopped = threading.Event()

    @tool(effect="read", timeout=0.01)
    def work(ctx: ToolContext) -> None:
        while not ctx.cancelled:
            pass
        stopped.set()

    execution = await ToolExecutor([work]).execute("work", {})
    assert execution.error_type == "ToolTimeoutError"
    assert await asyncio.to_thread(stopped.wait, 5)


async def test_cancellation_is_not_swallowed() -> None:
    task = asyncio.create_task(
        ToolExecutor([tool(effect="read", name="wait")(asyncio.Event().wait)]).execute("wait", {})
    )
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_time_is_read_from_the_given_clock() -> None:
    ticks = iter([100.0, 100.25])
    execution = await ToolExecutor([double], clock=lambda: next(ticks)).execute("double", {"n": 1})
    assert (execution.at, execution.duration_ms) == (100.0, 250.0)


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="double"):
        ToolExecutor([double, double])


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        (double, r"are a list: write \[double\]"),
        ([print], "is not a tool: decorate the function"),
        (print, "are a list of tools, not .*: decorate the function"),
        ([[double]], "is not a tool: unpack it"),
        (["double"], "is not a tool: give what @tool makes"),
    ],
)
def test_what_is_no_list_of_tools_is_refused_with_what_to_write(tools: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        ToolExecutor(tools)


async def test_a_batch_of_what_is_no_call_is_refused_before_anything_runs() -> None:
    executor = ToolExecutor([double])
    calls: Any = [("double", {"n": 1}), {"name": "double", "args": {"n": 1}}]
    with pytest.raises(ConfigurationError, match=r"is no call: write \(name, arguments\)"):
        await executor.execute_batch(calls)
    assert executor.log == ()


async def test_a_tool_that_repeats_its_secret_in_words_tells_no_log() -> None:
    @tool(effect="read")
    def enter(password: str) -> str:
        """Enter."""
        if password.startswith("wrong"):
            raise ValueError(f"the login {password} is wrong")
        return f"you are in as {password}"

    executor = ToolExecutor([enter])
    refused = await executor.execute("enter", {"password": "wrong horse 42"})
    entered = await executor.execute("enter", {"password": "correct horse 42"})
    assert refused.error == "the login [redacted] is wrong"
    assert entered.output == "you are in as correct horse 42"
    assert "horse" not in str(executor.log)
