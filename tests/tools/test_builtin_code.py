"""Code that a model wrote runs in a sandbox, and the model is told how it ended."""

from __future__ import annotations

from typing import Any

import pytest

from podium import Agent, ToolCall
from podium.core.errors import ConfigurationError
from podium.models import ScriptedModel
from podium.ports import ToolContext
from podium.tools.builtin import python_tool, shell_tool
from podium.tools.sandbox import Sandbox, probe


@pytest.fixture(autouse=True)
def _boxes() -> None:
    rung, missing = probe()
    if rung not in ("A", "B"):
        pytest.skip(f"no sandbox here: {missing}")


async def call(tool: Any, **args: Any) -> Any:
    return await tool.invoke(tool.resolve(args), ToolContext(run_id="r", key="k"))


async def test_what_it_prints_and_its_last_value_are_told() -> None:
    told = await call(python_tool(), code="print('sum')\nsum(range(10))")
    assert told == {"success": True, "output": "sum\n", "exit_code": 0, "value": 45}
    assert (await call(shell_tool(), script="echo $((6 * 7))"))["output"] == "42\n"


async def test_a_failing_program_is_an_answer_and_not_a_failure_of_the_tool() -> None:
    told = await call(python_tool(), code="1 / 0")
    assert told["success"] is False
    assert "ZeroDivisionError" in told["error"]


async def test_a_limit_is_named() -> None:
    told = await call(python_tool(Sandbox(timeout=1.0)), code="import time; time.sleep(60)")
    assert (told["success"], told["limit"]) == (False, "timeout")


def test_with_network_it_is_a_write_that_reaches_out_and_without_it_neither() -> None:
    assert (python_tool().effect, python_tool().reach) == ("read", "none")
    open_box = shell_tool(Sandbox(network=["example.com"]))
    assert (open_box.effect, open_box.reach, open_box.network) == ("write", "external", True)


def test_anything_but_a_sandbox_is_refused() -> None:
    box: Any = "docker"
    with pytest.raises(ConfigurationError, match="give a Sandbox"):
        python_tool(box)


async def test_an_agent_calculates_with_code() -> None:
    seen: list[str] = []

    def script(request: Any) -> Any:
        last = request.messages[-1]
        if last.role == "user":
            return ToolCall("python", {"code": "import os; print(sorted(os.environ)); 2 ** 10"})
        seen.append(last.parts[0].content)
        return "done"

    result = await Agent("a", ScriptedModel(script), [python_tool()]).run("how much?")
    assert result.output == "done"
    assert '"value":1024' in seen[0].replace(" ", "")
