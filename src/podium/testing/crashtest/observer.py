"""What a life sees of itself: changes of the world as they happen, and its records once it is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from podium.core.actions import Kind
from podium.core.codec import decode
from podium.core.errors import PodiumError
from podium.core.records import Began, Ended, Held, Record, Retried, Signalled
from podium.schema import dump
from podium.testing.faults import Point

from .job import Change, Line, Step


class Observer:
    """Looks at the world before every record, and notes what was at work when it changed."""

    def __init__(self, read: Callable[[], Counter[str]]) -> None:
        self._read = read
        self._seen = read()
        self._working: dict[tuple[str, str], Step] = {}
        self._last = "the start"
        self.changes: list[Change] = []

    def __call__(self, point: Point) -> None:
        """A plan's watcher."""
        if point.when != "before" or point.record is None:
            return
        self.look()
        record: Record = point.record
        if isinstance(record, Began) and record.kind in (Kind.TOOL, Kind.MODEL):
            step = Step(record.key, record.name, str(record.kind), record.effect, point.run)
            self._working[point.run, record.key] = step
        elif isinstance(record, Ended):
            self._working.pop((point.run, record.key), None)
        self._last = f"{point.place} {point.key}".strip()

    def look(self) -> None:
        """Compare the world with what it was."""
        now = self._read()
        if now != self._seen:
            during = tuple(self._working.values())
            new = now - self._seen
            self.changes += [Change(effect, during, self._last) for effect in new.elements()]
            self._seen = now


def line_of(run: str, record: Record) -> Line:
    """A record as a judge needs it."""
    name = type(record).__name__
    if isinstance(record, Began):
        line = Line(run, name, record.key, str(record.kind), record.name, record.effect, record.attempt, record.epoch)
        return msgspec.structs.replace(line, digest=record.digest.hex())
    if isinstance(record, Ended):
        error = "" if record.error is None else str(record.error)
        value = None if record.blob or record.kind is not None else decode(record.value)
        return Line(run, name, record.key, str(record.kind or ""), record.name, attempt=record.attempt, error=error,
                    value=_plain(value))  # fmt: skip
    if isinstance(record, Retried):
        return Line(run, name, record.key, attempt=record.attempt, error=str(record.error))
    if isinstance(record, Signalled):
        return Line(run, name, kind=record.kind, request=record.request)
    request = record.hold.request if isinstance(record, Held) else ""
    return Line(run, name, str(getattr(record, "key", "")), epoch=int(getattr(record, "epoch", 0)), request=request)


def _plain(value: object) -> Any:
    try:
        return dump(value)
    except PodiumError:
        return None
