"""The loop of `run_sync`, for scripts, notebooks and threads."""

from __future__ import annotations

import asyncio
import threading

_loops: list[asyncio.AbstractEventLoop] = []
_lock = threading.Lock()


def background_loop() -> asyncio.AbstractEventLoop:
    """The loop of `run_sync`: one thread for the process, started on first use."""
    with _lock:
        if not _loops:
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="podium", daemon=True).start()
            _loops.append(loop)
        return _loops[0]


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
