"""Information-flow labels: how far a value may be trusted, who may read it, and what kinds of data it holds.

A label travels with every message, result and record, and is joined wherever values meet, so a resume cannot launder
one. This module knows only the lattice; which flows are allowed is the gate's business (`podium.policy`).
"""

from __future__ import annotations

from enum import IntEnum

import msgspec


class Integrity(IntEnum):
    """How far the origin of a value is trusted; the join of two values is the lower one."""

    UNTRUSTED = 0
    ENDORSED = 1
    TRUSTED = 2


class Label(msgspec.Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """What is known of the origin and audience of a value.

    `sources` names where untrusted text came from (`tool:search`). `readers` are the principals who may see the
    value; `None` means anybody. `kinds` are sensitive kinds it holds (`pii.email`, `secret`).
    """

    integrity: Integrity = Integrity.UNTRUSTED
    sources: frozenset[str] = frozenset()
    readers: frozenset[str] | None = frozenset()
    kinds: frozenset[str] = frozenset()

    def join(self, other: Label) -> Label:
        """The label of a value made from both: least trusted, fewest readers, all kinds and sources."""
        if self is other or self == other:
            return self
        if self.readers is None:
            readers = other.readers
        elif other.readers is None:
            readers = self.readers
        else:
            readers = self.readers & other.readers
        return Label(
            integrity=min(self.integrity, other.integrity),
            sources=self.sources | other.sources,
            readers=readers,
            kinds=self.kinds | other.kinds,
        )

    def covers(self, other: Label) -> bool:
        """Whether joining `other` into this label would change nothing."""
        return self.join(other) == self


TRUSTED = Label(integrity=Integrity.TRUSTED, readers=None)
"""What the program itself wrote, and what the run's own principal typed. The identity of `join`."""

UNLABELLED = Label()
"""What nobody vouched for: untrusted and private."""


def untrusted(source: str) -> Label:
    """The label of text that came from outside through `source`, readable by anybody."""
    return Label(integrity=Integrity.UNTRUSTED, sources=frozenset((source,)), readers=None)
