"""Boxes made in advance: confined, their interpreter started, waiting for one call. Each is used once.

A box that waits costs about the memory of a bare interpreter, and ends by itself when nobody calls for a while.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
from collections.abc import Mapping
from typing import Any, Final

from .boxes import TEMPLATE, Box

IDLE: Final = 120.0
"""Seconds after which a waiting box is no longer used."""
MOST: Final = 16
"""Boxes that wait in this process, of all kinds together."""


class Pool:
    """Waiting boxes by their spec. Usable from any thread and event loop: a waiting box belongs to none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Box]] = {}

    def take(self, spec: Mapping[str, Any]) -> Box:
        """A box made in advance, or a new one. Raises OSError when none can be made."""
        key = json.dumps(spec)
        with self._lock:
            waiting = self._waiting.get(key, [])
            while waiting:
                box = waiting.pop(0)
                if time.monotonic() - box.made < IDLE and box.alive():
                    return box
                box.close()
        return TEMPLATE.box({**spec, "idle": None})

    def fill(self, spec: Mapping[str, Any], count: int) -> None:
        """Have `count` boxes of this kind made in the background."""
        key = json.dumps(spec)
        with self._lock:
            self._drop_old()
            waiting = self._waiting.setdefault(key, [])
            while len(waiting) < count:
                waiting.append(TEMPLATE.box({**spec, "idle": IDLE + 30}))
            self._make_room(key)

    def _drop_old(self) -> None:
        now = time.monotonic()
        for key, waiting in list(self._waiting.items()):
            for box in [box for box in waiting if now - box.made >= IDLE or not box.alive()]:
                waiting.remove(box)
                box.close()
            if not waiting:
                del self._waiting[key]

    def _make_room(self, newest: str) -> None:
        while sum(map(len, self._waiting.values())) > MOST:
            key = next(key for key in self._waiting if key != newest or len(self._waiting) == 1)
            self._waiting[key].pop(0).close()
            if not self._waiting[key]:
                del self._waiting[key]

    def waiting(self) -> int:
        """How many boxes wait."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    def close(self) -> None:
        """End all waiting boxes."""
        with self._lock:
            for waiting in self._waiting.values():
                for box in waiting:
                    box.close()
            self._waiting.clear()

    def forget(self) -> None:
        """In a forked child: the boxes are the parent's; only this process's copies of their descriptors go."""
        self._lock = threading.Lock()
        self.close()


POOL: Final = Pool()
atexit.register(POOL.close)  # before the template, which would wait for these boxes
os.register_at_fork(after_in_child=POOL.forget)
