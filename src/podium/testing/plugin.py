"""The pytest plugin `podium`: no real model calls in tests, and two fixtures.

pytest loads it in every test run of everybody who has Podium installed, so it imports nothing of Podium until a test
does. Real calls are forbidden at the moment `podium.models.transport` is imported, by whomever.

    [pytest]
    podium_real_models = forbid      # the default; "allow" lets every test call real models

    @pytest.mark.real_models         # lets this test call them
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from podium.app import Podium

    from .clock import FakeClock

TRANSPORT = "podium.models.transport"
REASON = (
    "tests must not call real models: use ScriptedModel or OfflineModel, mark the test with @pytest.mark.real_models, "
    "or run pytest with --podium-real-models=allow"
)


class _Forbidding:
    """Keeps real calls forbidden while it is installed, from whenever the transport is imported."""

    def __init__(self) -> None:
        self.allowed = False
        """Whether the present test may call real models."""
        self._guard: Any = None

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """As a finder on `sys.meta_path`: lets the others find the transport, and acts once it is loaded."""
        if name != TRANSPORT:
            return None
        for finder in sys.meta_path:
            if finder is self:
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = cast("Any", _Loader(spec.loader, self))
                return spec
        return None

    def loaded(self) -> None:
        """The transport is here: put the switch where it belongs."""
        module = sys.modules.get(TRANSPORT)
        if module is None:
            return
        if self.allowed:
            self.undo()
        elif self._guard is None:
            self._guard = module.forbid_real_calls(REASON)

    def undo(self) -> None:
        """Put back what was in force."""
        if self._guard is not None:
            self._guard.undo()
            self._guard = None


class _Loader:
    """The transport's own loader, followed by one call."""

    def __init__(self, loader: Any, forbidding: _Forbidding) -> None:
        self._loader, self._forbidding = loader, forbidding

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        self._forbidding.loaded()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


_KEY = pytest.StashKey[_Forbidding]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option and the ini value."""
    what = "whether tests may call real models: forbid (default) or allow"
    group = parser.getgroup("podium")
    group.addoption("--podium-real-models", choices=("forbid", "allow"), default=None, help=what)
    parser.addini("podium_real_models", what, default="forbid")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and forbid real calls unless they are allowed."""
    config.addinivalue_line("markers", "real_models: this test may call real models (podium)")
    wanted: str = config.getoption("--podium-real-models") or config.getini("podium_real_models")
    if wanted not in ("forbid", "allow"):
        raise pytest.UsageError(f"podium_real_models is forbid or allow, not {wanted!r}")
    if wanted == "forbid":
        forbidding = config.stash[_KEY] = _Forbidding()
        sys.meta_path.insert(0, cast("Any", forbidding))
        forbidding.loaded()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave the process as it was."""
    forbidding = config.stash.get(_KEY, None)
    if forbidding is not None:
        sys.meta_path.remove(cast("Any", forbidding))
        forbidding.undo()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Lift the ban for a marked test."""
    forbidding = item.config.stash.get(_KEY, None)
    if forbidding is None or item.get_closest_marker("real_models") is None:
        return (yield)
    forbidding.allowed = True
    forbidding.loaded()
    try:
        return (yield)
    finally:
        forbidding.allowed = False
        forbidding.loaded()


@pytest.fixture
def fake_clock() -> FakeClock:
    """A `FakeClock`: time stands still until the test moves it."""
    from podium.testing.clock import FakeClock

    return FakeClock()


@pytest.fixture
def podium_app(request: pytest.FixtureRequest) -> Podium:
    """An app that keeps its runs in memory; it runs on `fake_clock` if the test asks for that fixture too.

    It opens with its first use, on the loop of the test, and ends with that loop.
    """
    from podium.app import Podium

    clock = request.getfixturevalue("fake_clock") if "fake_clock" in request.fixturenames else None
    return Podium(clock=clock)
