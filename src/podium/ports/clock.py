"""The port of time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Do not call."""
        ...


class Clock(Protocol):
    """Time. The real one reads the machine's; tests move a fake one by hand."""

    def time(self) -> float:
        """Wall time, epoch seconds (UTC)."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for margins and durations."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` on the running loop after `seconds`."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...
