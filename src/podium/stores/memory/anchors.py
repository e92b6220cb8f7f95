"""Anchors in memory: what is written above the chains of runs, and the erasure of payloads below them.

What an anchor holds, and how it is checked, is `core.chain`'s and `core.proof`'s business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from podium.core.chain import (
    MOST_RUNS,
    Anchor,
    AnchorData,
    Anchored,
    Anchoring,
    AnchorKind,
    ErasedFrame,
    Erasing,
    Forgetting,
    commitment,
    key_id,
    next_anchor,
)
from podium.ports import Removal
from podium.stores.refusals import changed_meanwhile

from .runs import Run


class Anchors:
    """All anchors in order, and how much of each run they cover."""

    def __init__(self) -> None:
        self._anchors: list[Anchor] = []
        self._covered: dict[str, int] = {}
        """By run, how many of its records."""

    def all(self) -> list[Anchor]:
        """A copy of them."""
        return list(self._anchors)

    def anchor(self, runs: Collection[Run], at: float, key: bytes | None) -> Anchor | None:
        """Anchor those of all runs that changed since they were last anchored; None when none did."""
        changed = [
            Anchored(run.new.id, len(run.records), run.links()[-1].head or b"")
            for run in runs
            if run.records and self._covered.get(run.new.id) != len(run.records)
        ]
        newest = None
        for start in range(0, len(changed), MOST_RUNS):
            part = tuple(changed[start : start + MOST_RUNS])
            newest = self._add(at, "anchor", Anchoring(part, len(runs), key_id(key)), key)
            self._covered.update((one.run, one.records) for one in part)
        return newest

    def forget(self, run: Run, at: float, key: bytes | None) -> None:
        """Anchor that a run was deleted. Of one that no anchor knows nothing need be told."""
        if self._covered.pop(run.new.id, 0):
            found = run.links()
            self._add(at, "forget", Forgetting(run.new.id, len(found), found[-1].head or b""), key)

    def erase(self, run: Run, removal: Removal) -> Anchor:
        """Replace records of a run, and anchor that, with the blobs that go. Raises RunConflict, with nothing done."""
        present = {each.first: each for each in run.links()}
        known = run.erased or {}
        done: list[ErasedFrame] = []
        for each in removal.frames:
            now = present.get(each.first)
            if now is None or hashlib.sha256(now.body).digest() != each.before:
                raise changed_meanwhile(run.new.id)
            original = known[each.first].original if each.first in known else commitment(b"", now.body)
            done.append(ErasedFrame(each.first, original, hashlib.sha256(each.body).digest()))
        for each in removal.frames:
            run.records[each.first - 1] = each.body[1:]  # without the array of one that a frame is
        run.erased = {**known, **{each.first: each for each in done}}
        said = Erasing(run.new.id, tuple(done), tuple(removal.blobs), removal.values, removal.by, key_id(removal.key))
        return self._add(removal.at, "erase", said, removal.key)

    def _add(self, at: float, kind: AnchorKind, data: AnchorData, key: bytes | None) -> Anchor:
        last = self._anchors[-1] if self._anchors else None
        anchor = next_anchor(None if last is None else (last.number, last.hash), at, kind, data, key)
        self._anchors.append(anchor)
        return anchor
