"""Opening the store that a URL names."""

from __future__ import annotations

import contextlib
from pathlib import Path

from podium.core.errors import ConfigurationError
from podium.ports import Clock, Store


def open_store(url: str, clock: Clock) -> Store:
    """The store of a URL: `:memory:`, `sqlite:///file.db` or a path. Raises ConfigurationError, StoreError."""
    if url in {":memory:", "memory:", "memory://"}:
        from podium.stores.memory import MemoryStore

        return MemoryStore(clock)
    if "://" in url and not url.startswith("sqlite:///"):
        raise ConfigurationError(f"{url!r} is not a store: use ':memory:', 'sqlite:///file.db' or a path")
    from podium.stores.sqlite import SqliteStore

    _keep_out_of_git(Path(url.removeprefix("sqlite:///")).parent)
    return SqliteStore.open(url.removeprefix("sqlite:///"), clock=clock)


def _keep_out_of_git(folder: Path) -> None:
    """Runs kept in a project's own `.podium` folder must not end up in its commits."""
    if folder.name == ".podium" and not folder.exists():
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True)
            (folder / ".gitignore").write_text("*\n")
