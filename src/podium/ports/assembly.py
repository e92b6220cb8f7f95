"""The ports of the assembly: who spreads the word that a run may go on, and who runs a member that was given no app."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from .members import Member


class Dispatcher(Protocol):
    """Spreads the word that a run may go on. A hint: the run's row is the truth."""

    def wake(self, run_id: str, wake_seq: int, *, at: float | None = None) -> None:
        """The run is due at `at` (epoch seconds), or now."""
        ...


class Runner(Protocol):
    """What `member.run(…)` needs of an app. `podium.app` fills `default_runner`; nobody imports upwards."""

    def run(self, member: Member, input: Any = None, *, options: Any = None) -> Coroutine[Any, Any, Any]:
        """Run to the end or to a suspension; a RunResult."""
        ...

    def run_sync(self, member: Member, input: Any = None, *, options: Any = None) -> Any:
        """The same from synchronous code."""
        ...

    def stream(self, member: Member, input: Any = None, *, options: Any = None) -> Any:
        """An async iterator of records and deltas."""
        ...


_runner: list[Runner] = []


def default_runner() -> Runner:
    """The runner of members that were given no app; the assembly is imported on first use."""
    if not _runner:
        import importlib

        importlib.import_module("podium.app")
    return _runner[0]


def set_default_runner(runner: Runner) -> None:
    """Called once by the assembly."""
    _runner[:] = [runner]
