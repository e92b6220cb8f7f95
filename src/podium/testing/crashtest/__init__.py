"""The crash test: kill a real process at every record boundary of a run, resume it, and compare.

    from podium.testing.crashtest import crashtest

    def test_the_refund_team_survives_every_crash():
        crashtest("teams/refunds.py:team", "order 7").check()

`report` holds the values, `subject` what a TARGET may supply, `life` one life of a run in a child process, `template`
the process that forks these children, `harness` the whole test, `judge` what a difference means. A life has a `keeper`
who answers for people, an `observer`, and time of its own (`life_clock`); `job` is what crosses the pipe. Everything is
used through public doors: the runtime knows nothing of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .harness import crashtest
    from .report import Baseline, Boundary, CrashReport, Difference, Finding, Row

__all__ = ["Baseline", "Boundary", "CrashReport", "Difference", "Finding", "Row", "crashtest"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "harness" if name == "crashtest" else "report"
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
