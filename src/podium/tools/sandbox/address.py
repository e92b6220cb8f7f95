"""How a tool's function is named in a sandbox, which imports it anew: `module:function`, or why it has no such name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from podium.core.errors import ToolError


def address(
    name: str, source: Callable[..., Any], *, method: bool = False, injected: Sequence[str] = (), typed: bool = False
) -> str:
    """`module:function` of a tool's function. Raises ToolError for one that a sandbox could not import and call.

    Args:
        name: the tool's, for the error.
        source: the function.
        method: whether it needs an instance.
        injected: parameters that the runtime gives; they stay outside.
        typed: whether plain JSON has to be read into its arguments' types, which only the tool itself can.
    """
    module, qualified = getattr(source, "__module__", ""), getattr(source, "__qualname__", "")
    if not module or module == "__main__" or not qualified or "<" in qualified or method:
        raise ToolError(
            f"{name} cannot run in a sandbox: write it at the top level of a module that can be imported, not in a "
            "function, a class or in __main__"
        )
    if injected:
        raise ToolError(f"{name} cannot run in a sandbox: it takes {injected[0]!r}, which stays outside; leave it out")
    if typed and not hasattr(_named(module, qualified), "call_plain"):
        raise ToolError(
            f"{name} cannot run in a sandbox: its arguments have types, and {module}.{qualified} is not the tool that "
            "reads them; write @tool where the function is defined"
        )
    return f"{module}:{qualified}"


def _named(module: str, qualified: str) -> object:
    """What stands at that name in the module now."""
    found: object = sys.modules.get(module)
    for name in qualified.split("."):
        found = getattr(found, name, None)
    return found
