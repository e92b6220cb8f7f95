"""The public testing kit: a fake clock, faults on purpose, scripted models, conformance kits, and `crashtest`.

It stands on the app and below the command line. Everything loads on first use, so that the pytest plugin costs a test
run nothing. The crash test is in `podium.testing.crashtest`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from podium.models.scripted import ScriptedModel

    from .clock import FakeClock
    from .faults import Delay, Do, Fail, FaultPlan, FaultyStore, FaultyTool, Kill, Point
    from .stores import StoreConformance

__all__ = [
    "Delay",
    "Do",
    "Fail",
    "FakeClock",
    "FaultPlan",
    "FaultyStore",
    "FaultyTool",
    "Kill",
    "Point",
    "ScriptedModel",
    "StoreConformance",
]

_WHERE = {
    "Delay": "podium.testing.faults",
    "Do": "podium.testing.faults",
    "Fail": "podium.testing.faults",
    "FakeClock": "podium.testing.clock",
    "FaultPlan": "podium.testing.faults",
    "FaultyStore": "podium.testing.faults",
    "FaultyTool": "podium.testing.faults",
    "Kill": "podium.testing.faults",
    "Point": "podium.testing.faults",
    "ScriptedModel": "podium.models.scripted",
    "StoreConformance": "podium.testing.stores",
}


def __getattr__(name: str) -> Any:
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(where), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
