"""Opening the store that a URL names."""

from __future__ import annotations

import contextlib
from pathlib import Path

from podium.core.errors import ConfigurationError
from podium.ports import Clock, Store

FOLDER = ".podium"
"""Where Podium keeps its own files in a project; they must not end up in its commits."""


def open_store(url: str, clock: Clock) -> Store:
    """The store of a URL: `:memory:`, `sqlite:///file.db` or a path. Raises ConfigurationError, StoreError."""
    if url in {":memory:", "memory:", "memory://"}:
        from podium.stores.memory import MemoryStore

        return MemoryStore(clock)
    if "://" in url and not url.startswith("sqlite:///"):
        raise ConfigurationError(f"{url!r} is not a store: use ':memory:', 'sqlite:///file.db' or a path")
    from podium.stores.sqlite import SqliteStore

    folder = Path(url.removeprefix("sqlite:///")).parent
    if folder.name == FOLDER:
        with contextlib.suppress(OSError):
            make_private(folder)
    return SqliteStore.open(url.removeprefix("sqlite:///"), clock=clock)


def make_private(folder: Path) -> None:
    """Make a folder for its owner alone, which git leaves out, unless it is there. Raises OSError."""
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")
