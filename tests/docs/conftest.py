"""The third-party mock of the providers' wires, which the pages of providers talk to instead of the providers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wires.mockserver import MockServer, missing, running


@pytest.fixture(scope="session")
def mock() -> Iterator[MockServer]:
    """The mock server, started once."""
    if why := missing():
        pytest.skip(why)
    with running() as server:
        yield server
