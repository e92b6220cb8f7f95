"""The port of what makes a store's journals provable: frames with their heads, anchors, and erasure.

`podium.core.chain` says how heads and anchors are computed, `podium.core.proof` how they are checked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from podium.core.chain import Anchor, ErasedFrame, Link, Seal


class Replacement(msgspec.Struct, frozen=True):
    """A frame whose payloads are to be erased: what stands there (its SHA-256), and what takes its place."""

    first: int
    before: bytes
    body: bytes


class Removal(msgspec.Struct, frozen=True):
    """What is to be erased of a run, and what the anchor will say of it."""

    frames: Sequence[Replacement]
    values: int
    """How many payloads go."""
    by: str
    at: float
    """Epoch seconds."""
    key: bytes | None
    """The audit key, which signs the anchor."""
    blobs: Sequence[str] = ()
    """Addresses of content."""
    cached: Sequence[bytes] = ()
    """Keys of cached values."""


class Evidence(Protocol):
    """All of a store at one instant, as it is: nothing is checked, and nothing is refused for being damaged.

    Iterating may raise a StoreError where the store itself cannot be read.
    """

    def anchors(self) -> AsyncIterator[Anchor]:
        """All anchors, in order."""
        ...

    async def tip(self) -> tuple[int, bytes] | None:
        """The number and hash of what the store says is its last anchor; None when there never was one."""
        ...

    def chains(self, run_id: str = "") -> AsyncIterator[Seal | Link]:
        """For each run (or this one) its seal and then its frames, in order; at their place, frames of no run."""
        ...

    def contents(self) -> AsyncIterator[tuple[str, bytes]]:
        """Every blob: its address and content."""
        ...

    async def damage(self) -> list[str]:
        """What the storage engine itself finds wrong."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...


class Proofs(Protocol):
    """Chains of heads, anchors above them, and payloads that can be erased without breaking either."""

    async def evidence(self) -> Evidence:
        """Everything committed so far, to be read and closed."""
        ...

    async def anchor(self, at: float, key: bytes | None) -> Anchor | None:
        """Anchor the runs that changed since they were last anchored; the newest anchor, None when none changed.

        Signed with `key`, if there is one.
        """
        ...

    async def erased(self, run_id: str) -> dict[int, ErasedFrame]:
        """The frames of a run whose payloads were erased, by their first record."""
        ...

    async def erase(self, run_id: str, removal: Removal) -> Anchor:
        """Replace frames of a run that is over and delete content, in one transaction with the anchor that says so.

        What was replaced is overwritten where it was stored. Raises RunNotFound, and RunConflict for a run that is not
        over or whose frames are others by now.
        """
        ...
