"""Chains of journals that are kept in memory: computed when asked for, and copied for whoever checks them.

A chain in the memory of the process that could change it proves nothing by having been there earlier, so none is kept.
Each record counts as a frame of its own, whatever was committed together.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from podium.core.chain import GENESIS, Anchor, ErasedFrame, Link, Seal, commitment, link
from podium.core.records import frame


def links(run_id: str, records: Sequence[bytes], erased: Mapping[int, ErasedFrame] | None) -> list[Link]:
    """A run's records as frames with their heads. `erased` are those whose payloads are gone, by number."""
    found: list[Link] = []
    head = GENESIS
    for first, record in enumerate(records, 1):
        body = frame([record])
        known = None if erased is None else erased.get(first)
        committed = commitment(b"", body) if known is None else known.original
        head = link(head, run_id, first, 1, committed)
        found.append(Link(first, 1, body, head, erased=known is not None))
    return found


class MemoryEvidence:
    """An `Evidence`: copies of what a `MemoryStore` held."""

    def __init__(self, anchors: list[Anchor], runs: list[tuple[Seal, list[Link]]], blobs: dict[str, bytes]) -> None:
        self._anchors, self._runs, self._blobs = anchors, runs, blobs

    async def anchors(self) -> AsyncIterator[Anchor]:
        """All anchors, in order."""
        for anchor in self._anchors:
            yield anchor

    async def tip(self) -> tuple[int, bytes] | None:
        """The number and hash of the last anchor."""
        return (self._anchors[-1].number, self._anchors[-1].hash) if self._anchors else None

    async def chains(self, run_id: str = "") -> AsyncIterator[Seal | Link]:
        """For each run (or this one) its seal and then its records, a frame each."""
        for seal, links in self._runs:
            if run_id in ("", seal.run):
                yield seal
                for each in links:
                    yield each

    async def contents(self) -> AsyncIterator[tuple[str, bytes]]:
        """Every blob: its address and content."""
        for content in self._blobs.items():
            yield content

    async def damage(self) -> list[str]:
        """Nothing: memory has no engine that could tell."""
        return []

    async def close(self) -> None:
        """Nothing is held."""
