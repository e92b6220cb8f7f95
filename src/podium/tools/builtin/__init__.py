"""Tools that come with Podium. Each is an ordinary tool: its effect, its reach and its limits are declared, and the
gate decides whether an agent may use it.

Nothing here is given to an agent by itself. A set of tools is made for one purpose: files below one folder, pages of
listed hosts, one database. Names load when they are first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .calculator import calculator
    from .code import python_tool, shell_tool
    from .documents import Documents, document_tools
    from .files import file_tools
    from .git import git_tools
    from .github import github_tools
    from .http import fetch_tool
    from .sqlite import sqlite_tools

__all__ = [
    "Documents",
    "calculator",
    "document_tools",
    "fetch_tool",
    "file_tools",
    "git_tools",
    "github_tools",
    "python_tool",
    "shell_tool",
    "sqlite_tools",
]

_WHERE = {
    "Documents": ".documents",
    "calculator": ".calculator",
    "document_tools": ".documents",
    "fetch_tool": ".http",
    "file_tools": ".files",
    "git_tools": ".git",
    "github_tools": ".github",
    "python_tool": ".code",
    "shell_tool": ".code",
    "sqlite_tools": ".sqlite",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_WHERE[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
