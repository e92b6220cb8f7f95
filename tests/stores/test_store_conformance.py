"""Both stores keep every promise of the port."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from podium.ports import Clock, Store
from podium.stores.memory import MemoryStore
from podium.stores.sqlite import SqliteStore
from podium.testing.stores import StoreConformance


class TestMemoryStore(StoreConformance):
    @pytest.fixture
    def make_store(self, clock: Clock) -> Callable[[], Store]:
        return lambda: MemoryStore(clock)


class TestSqliteStore(StoreConformance):
    @pytest.fixture
    def make_store(self, clock: Clock, path: Path) -> Callable[[], Store]:
        return lambda: SqliteStore.open(path, clock=clock)


class TestSqliteStoreThatAlwaysUsesItsThread(StoreConformance):
    """As the store behaves while another process holds the lock for an instant at every write."""

    @pytest.fixture
    def make_store(self, clock: Clock, path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Store]:
        import sqlite3

        from podium.stores.sqlite import group

        def busy(*_: object) -> None:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error

        monkeypatch.setattr(group, "commit_units", busy)
        monkeypatch.setattr(group, "transact", busy)
        return lambda: SqliteStore.open(path, clock=clock)
