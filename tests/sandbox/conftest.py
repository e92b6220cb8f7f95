"""What the sandbox's tests share: the skip on machines that cannot isolate."""

from __future__ import annotations

import functools

import pytest

from podium.tools.sandbox import probe


@functools.cache
def why_no_box() -> str:
    """Why there is no sandbox of rung B here; "" when there is one."""
    best, missing = probe()
    return "" if best in ("A", "B") else f"no sandbox here: {missing[-1]}"


@pytest.fixture
def box_here() -> None:
    """Skip where no sandbox of rung B can be made."""
    if why := why_no_box():
        pytest.skip(why)
