"""Scopes: where keys and positions come from.

A scope belongs to one task. It numbers the steps requested in it (`pos`) and counts them by name (the ordinal in the
key), in program order, at the moment of the request. A frame is what all scopes of one Call share: who speaks, with
which grants, and what has been seen.
"""

from __future__ import annotations

import asyncio
from typing import Any

from podium.core import keys
from podium.core.labels import TRUSTED, Label
from podium.core.transcript import Transcript
from podium.ports import Check

_segments: dict[str, str] = {}
_SEGMENTS_KEPT = 4096


def _segment(name: str) -> str:
    """`name` escaped; remembered, since a run uses few names many times."""
    known = _segments.get(name)
    if known is None:
        known = keys.escape(name)
        if len(_segments) < _SEGMENTS_KEPT:
            _segments[name] = known
    return known


class Frame:
    """What the scopes of one Call share."""

    __slots__ = (
        "_joined",
        "_seen",
        "approvals",
        "cleaning",
        "deadline",
        "grants",
        "label",
        "pinned",
        "subject",
        "talk",
    )

    def __init__(
        self,
        subject: str,
        *,
        grants: frozenset[str] | None = None,
        label: Label = TRUSTED,
        pinned: bytes | None = None,
        deadline: float | None = None,
        approvals: tuple[Check, ...] = (),
    ) -> None:
        self.subject = subject
        """Name of the member that speaks."""
        self.approvals = approvals
        """What it holds its own calls for."""
        self.grants = grants
        self.label = label
        self.pinned = pinned
        self.deadline = deadline
        self.cleaning = 0
        """Open `ctx.cleanup()` blocks."""
        self.talk: Transcript | None = None
        """The conversation of this frame's last `ctx.model`."""
        self._seen: Label | None = None
        self._joined: tuple[Label, Label, Label] | None = None

    def joined(self, seen: Label, label: Label) -> Label:
        """The join of two labels; the last one is remembered, since the same tools are called again and again."""
        known = self._joined
        if known is not None and known[0] is label and known[1] is seen:
            return known[2]
        result = seen.join(label)
        if result == seen:
            result = seen
        self._joined = (label, seen, result)
        return result

    def absorb(self, label: Label | None) -> None:
        """Join what a receipt carries into what this frame has seen."""
        if label is None or label is self._seen or label is self.label:
            return
        self._seen = label
        self.label = self.joined(self.label, label)


class Scope:
    """A place in a run's tree from which steps are requested."""

    __slots__ = ("_late", "_ordinals", "_started", "frame", "key", "pos", "task")

    def __init__(self, key: str, frame: Frame, task: asyncio.Task[Any] | None) -> None:
        self.key = key
        self.frame = frame
        self.task = task
        """The task that owns the scope; None until its branch runs."""
        self.pos = 0
        """Steps requested so far."""
        self._ordinals: dict[str, int] = {}
        self._started = 0
        self._late: set[int] | None = None

    def take(self, name: str) -> str:
        """The key of the next step or sub-scope called `name`."""
        ordinals = self._ordinals
        ordinal = ordinals.get(name, 0) + 1
        ordinals[name] = ordinal
        segment = _segments.get(name) or _segment(name)
        key = self.key
        return f"{key}/{segment}.{ordinal}" if key else f"{segment}.{ordinal}"

    def peek(self, name: str) -> str:
        """The key `take` would give, without taking it."""
        return keys.join(self.key, name, self._ordinals.get(name, 0) + 1)

    def started(self, pos: int) -> tuple[int, ...]:
        """Note that the step at `pos` starts; the earlier positions that were requested but have not started."""
        late = self._late
        if late is None:
            if pos == self._started + 1:
                self._started = pos
                return ()
            late = self._late = set()
        late.update(range(self._started + 1, pos))
        late.discard(pos)
        self._started = max(self._started, pos)
        if not late:
            self._late = None
            return ()
        return tuple(sorted(other for other in late if other < pos))
