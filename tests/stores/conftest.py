"""Fixtures of the store tests: a clock moved by hand, and a path in a folder that does not exist yet."""

from __future__ import annotations

from pathlib import Path

import pytest
from hand_clock import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "podium.db"
