"""The writer thread: batches in, finished batches out, one after the other.

It owns a connection with `synchronous=FULL` that waits for other processes. It decides nothing: `group` hands it
whatever the loop's own connection may not or could not write.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable

from podium.core.errors import PodiumError, StoreError

from .commit import Job, Unit, execute, fail
from .errors import translate
from .files import Database


class Batch:
    """What the thread writes at one go, and how much it logged."""

    __slots__ = ("items", "size")

    def __init__(self, items: list[Unit | Job]) -> None:
        self.items = items
        self.size = 0


class Worker:
    """A thread, started with the first batch. All methods are called on the loop's thread."""

    def __init__(self, path: str, open_database: Callable[[], Database], finished: Callable[[], None]) -> None:
        self._path, self._open, self._finished = path, open_database, finished
        self._inbox: queue.SimpleQueue[tuple[Batch, asyncio.AbstractEventLoop] | None] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[Batch] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, items: list[Unit | Job], loop: asyncio.AbstractEventLoop) -> None:
        """Write these; `finished` is then called on `loop`, and `take` gives the batch."""
        if self._thread is None:
            # A daemon: a program that forgets to close its store still ends, and a torn commit is rolled back.
            self._thread = threading.Thread(target=self._work, name="podium-writer", daemon=True)
            self._thread.start()
        self._inbox.put((Batch(items), loop))

    def take(self) -> Batch:
        """The finished batch; waits for it, which is needed only when the loop it was meant for is gone."""
        return self._outbox.get()

    def stop(self) -> None:
        """End the thread, after what it is writing."""
        if self._thread is not None:
            self._inbox.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        db: Database | None = None
        while (order := self._inbox.get()) is not None:
            batch, loop = order
            try:
                db = db or self._open()
                batch.size = execute(db, batch.items)
            except sqlite3.Error as error:
                fail(batch.items, translate(error, self._path))
            except PodiumError as error:
                fail(batch.items, error)
            except Exception as error:  # noqa: BLE001 - the thread's outermost edge: whoever waits must hear of it
                fail(batch.items, StoreError(f"the store's writer failed: {type(error).__name__}: {error}"))
            self._outbox.put(batch)
            with contextlib.suppress(RuntimeError):  # that loop was closed; the next one takes the batch
                loop.call_soon_threadsafe(self._finished)
        if db is not None:
            db.close()
