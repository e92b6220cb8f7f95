"""Tools: functions that agents may call, described by their types.

It stands on the ports and on `podium.schema`; it knows no agent, no run and no provider. The runtime performs tool
calls itself, through the `Tool` port, behind the gate. Names load when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from podium.ports import ToolContext

    from .described import DescribedTool
    from .executor import ToolExecution, ToolExecutor
    from .function import FunctionTool, tool
    from .mcp import MCPTools
    from .openapi import OpenAPITools
    from .registry import ToolRegistry, ToolRow
    from .sandbox import Sandbox, SandboxResult, SandboxUnavailable
    from .statistics import ToolCost, ToolStats

__all__ = [
    "DescribedTool",
    "FunctionTool",
    "MCPTools",
    "OpenAPITools",
    "Sandbox",
    "SandboxResult",
    "SandboxUnavailable",
    "ToolContext",
    "ToolCost",
    "ToolExecution",
    "ToolExecutor",
    "ToolRegistry",
    "ToolRow",
    "ToolStats",
    "tool",
]

_WHERE = {
    "DescribedTool": ".described",
    "FunctionTool": ".function",
    "MCPTools": ".mcp",
    "OpenAPITools": ".openapi",
    "Sandbox": ".sandbox",
    "SandboxResult": ".sandbox",
    "SandboxUnavailable": ".sandbox",
    "ToolContext": "..ports",
    "ToolCost": ".statistics",
    "ToolExecution": ".executor",
    "ToolExecutor": ".executor",
    "ToolRegistry": ".registry",
    "ToolRow": ".registry",
    "ToolStats": ".statistics",
    "tool": ".function",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
