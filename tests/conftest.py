"""What the tests of several folders share: the way to the harness, and machines to run apps on."""

from __future__ import annotations

import asyncio
import functools
import inspect
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

# No test asserts a time, and hypothesis does by default: a busy machine is no reason to fail.
settings.register_profile("podium", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("podium")

# Started in the background by a shell, this process ignores Ctrl-C, and so would those that the tests start and stop.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, str(Path(__file__).parent / "runtime"))

if TYPE_CHECKING:
    from harness import FakeClock, Machine


@pytest.fixture
def machine() -> Machine:
    """A machine whose store is memory."""
    from harness import Machine

    return Machine()


@pytest.fixture(params=["memory", "sqlite"])
def any_machine(request: pytest.FixtureRequest, tmp_path: Path) -> Machine:
    """A machine with each store in turn."""
    from harness import Machine

    return Machine(request.param, tmp_path)


@pytest.fixture
def clock(machine: Machine) -> FakeClock:
    """The clock of `machine`."""
    return machine.clock


BOUNDED = {"runtime", "agents", "teams", "policy"}
SECONDS = 40
"""A run that waits for nothing would hang its test for ever; no test of these folders takes a fiftieth of this."""


def _bounded(function: Any) -> Any:
    @functools.wraps(function)
    async def within(*args: Any, **kwargs: Any) -> Any:
        async with asyncio.timeout(SECONDS):
            return await function(*args, **kwargs)

    return within


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bound every asynchronous test of the runtime."""
    for item in items:
        if (
            isinstance(item, pytest.Function)
            and item.path.parent.name in BOUNDED
            and inspect.iscoroutinefunction(item.obj)
        ):
            item.obj = _bounded(item.obj)
