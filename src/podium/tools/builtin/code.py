"""Code that a model wrote, run in a sandbox: Python and shell scripts.

What a box may do is the `Sandbox`'s (no network and nothing of this machine unless it was given). A failing program is
no failure of the tool: the model is shown what it printed and how it ended.
"""

from __future__ import annotations

from typing import Any

from podium.core.errors import ConfigurationError
from podium.ports import Effect, Reach
from podium.tools.function import FunctionTool, tool
from podium.tools.sandbox import Sandbox, SandboxResult


def python_tool(
    sandbox: Sandbox | None = None, *, name: str = "python", approval: Any = "never"
) -> FunctionTool[..., Any]:
    """The tool `python(code)`: runs Python in `sandbox` (one with the usual limits and no network if none is given).

    Without network a run has no effect outside its box, so it is a `read` without reach; with network it is a `write`
    with external reach. Each call has a fresh box.
    """
    box, effect, reach = _box(sandbox)

    @tool(
        name=name, effect=effect, reach=reach, network=effect == "write", timeout=box.timeout + 10, tags="code",
        capabilities="run-code", approval=approval,
    )  # fmt: skip
    async def run_python(code: str) -> dict[str, Any]:
        """Run Python code in a sandbox and see what it prints. Nothing is kept from one call to the next.

        Args:
            code: the program; the value of its last expression is given back as `value`
        """
        return _told(await box.python(code))

    return run_python


def shell_tool(
    sandbox: Sandbox | None = None, *, name: str = "shell", approval: Any = "never"
) -> FunctionTool[..., Any]:
    """The tool `shell(script)`: runs a script of `/bin/sh` in a sandbox, as `python_tool` runs Python."""
    box, effect, reach = _box(sandbox)

    @tool(
        name=name, effect=effect, reach=reach, network=effect == "write", timeout=box.timeout + 10, tags="code",
        capabilities="run-code", approval=approval,
    )  # fmt: skip
    async def run_shell(script: str) -> dict[str, Any]:
        """Run a shell script in a sandbox and see what it prints. Nothing is kept from one call to the next.

        Args:
            script: the commands, for /bin/sh
        """
        return _told(await box.shell(script))

    return run_shell


def _box(sandbox: Sandbox | None) -> tuple[Sandbox, Effect, Reach]:
    box = Sandbox() if sandbox is None else sandbox
    if not hasattr(box, "python"):
        raise ConfigurationError(f"give a Sandbox, not {box!r}")
    return (box, "write", "external") if box.network else (box, "read", "none")


def _told(result: SandboxResult) -> dict[str, Any]:
    told: dict[str, Any] = {"success": result.success, "output": result.output, "exit_code": result.exit_code}
    if result.value is not None:
        told["value"] = result.value
    if not result.success:
        told["error"] = result.error
        told["limit"] = result.limit
    if result.files:
        told["files"] = {path: len(data) for path, data in result.files.items()}
    return told
