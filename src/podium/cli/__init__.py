"""The command line: a thin layer over `podium.app`. Each command, or small group of them, is one module.

`main` is the entry point; nothing is imported before it is called.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command (`sys.argv` by default) and return its exit code; never raises for what a user may do."""
    from .program import run

    return run(arguments)
