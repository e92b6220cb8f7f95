"""The third-party mock server for the tests of this folder, and no key or address of the person who runs them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from .mockserver import MockServer, missing, running


@pytest.fixture(scope="session")
def mock() -> Iterator[MockServer]:
    """The mock server, started once."""
    if why := missing():
        pytest.skip(why)
    with running() as server:
        yield server


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the environment decides where a request goes."""
    for variable in list(os.environ):
        if variable.split("_")[0] in {"ANTHROPIC", "OPENAI", "GEMINI", "GOOGLE", "OLLAMA", "AZURE"}:
            monkeypatch.delenv(variable)
