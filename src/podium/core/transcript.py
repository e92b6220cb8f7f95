"""An append-only conversation with its running digest and the origin of each message.

A model call is journaled as "what the previous call saw, and these messages more", each message by reference to the
step whose receipt already holds it. So the hundredth call costs, and stores, what the first did, and the real request
can still be shown. Compaction starts a new transcript with a new base.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from .codec import DIGEST_BYTES, encode
from .messages import Message, Messages


class FromSteps(msgspec.Struct, tag=0, frozen=True, gc=False, array_like=True):
    """A message made from receipts of this run, by their sequence numbers: one reply, or the results of its calls."""

    seqs: tuple[int, ...]


class Inline(msgspec.Struct, tag=1, frozen=True, gc=False, array_like=True):
    """A message held here because no other record holds it."""

    message: Message


class FromPin(msgspec.Struct, tag=2, frozen=True, gc=False, array_like=True):
    """The system message made from the agent's pinned configuration."""


class FromSession(msgspec.Struct, tag=3, frozen=True, gc=False, array_like=True):
    """Messages `start` to `stop` (exclusive) of a session."""

    session: str
    start: int
    stop: int


Origin: TypeAlias = FromSteps | Inline | FromPin | FromSession


class Transcript:
    """A conversation that only grows, with a digest that costs the same at its end as at its beginning.

    A message that another record holds enters the digest by that record's key, any other by its content: within a run
    (and its forks) a key stands for one content.
    """

    __slots__ = ("_digest", "_measured", "_messages", "_origins", "_size", "_unhashed", "previous")

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._digest = b"\0" * DIGEST_BYTES
        self._unhashed: list[bytes] = []
        self._origins: list[Origin] = []
        self._measured = 0
        self._size = 0
        self.previous = 0
        """Sequence number of the `Began` of the last call made with this transcript; 0 before the first."""

    def add(self, message: Message, origin: Origin | None = None, key: str = "") -> None:
        """Append a message. Without an origin it is journaled by value with the next call.

        `key` is that of the step (or the address of the content) the message comes from.
        """
        self._messages.append(message)
        self._unhashed.append(key.encode() if key else encode(message))
        self._origins.append(Inline(message) if origin is None else origin)

    def add_all(self, messages: Sequence[Message], origin: Origin) -> None:
        """Append messages that one origin stands for (a stretch of a session)."""
        if messages:
            self._messages.extend(messages)
            self._unhashed.append(encode(messages))
            self._origins.append(origin)

    @property
    def digest(self) -> bytes:
        """The digest of all messages so far."""
        if self._unhashed:
            data = b"\0".join((self._digest, *self._unhashed))
            self._digest = hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
            self._unhashed.clear()
        return self._digest

    def size(self, measure: Callable[[Message], int]) -> int:
        """The sum of `measure` over all messages so far; each is measured once, so always by the same function."""
        messages = self._messages
        while self._measured < len(messages):
            self._size += measure(messages[self._measured])
            self._measured += 1
        return self._size

    def view(self) -> Messages:
        """The messages so far; later additions do not show in it."""
        return Messages(self._messages)

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def pending(self) -> tuple[Origin, ...]:
        """Origins added since the last call."""
        return tuple(self._origins)

    def called(self, seq: int) -> None:
        """Note that a call was journaled at `seq`: what follows is new to the next one."""
        self.previous = seq
        self._origins.clear()

    def extend_to(self, messages: Sequence[Message]) -> bool:
        """Grow to `messages` if they start with what is here; False (and no change) if they do not."""
        known = self._messages
        if len(messages) < len(known):
            return False
        for index, message in enumerate(known):
            if message is not messages[index] and message != messages[index]:
                return False
        for index in range(len(known), len(messages)):
            self.add(messages[index])
        return True
