"""The ports of what a store keeps beside runs: cached replies, and versions of what people may change."""

from __future__ import annotations

from typing import Protocol

import msgspec


class CacheEntry(msgspec.Struct, frozen=True):
    """A value to be found again under its key until `expires` (epoch seconds).

    `limit` is how many bytes all entries together may have: those longest unused make room for it.
    """

    key: bytes
    data: bytes
    at: float
    expires: float
    limit: int


class CacheUse(msgspec.Struct, frozen=True):
    """The value under `key` was found: it is the last to be forgotten."""

    key: bytes
    at: float


class CacheSize(msgspec.Struct, frozen=True):
    """How much a cache holds."""

    entries: int
    bytes: int


class Cache(Protocol):
    """Values that may be forgotten at any time. A run's writer puts them there, with the record they belong to."""

    async def cached(self, key: bytes, now: float) -> bytes | None:
        """The value under `key`, unless it expired or was forgotten."""
        ...

    async def clear_cache(self) -> CacheSize:
        """Forget everything; how much it was."""
        ...

    async def cache_size(self) -> CacheSize:
        """How much there is, expired entries included."""
        ...


class Version(msgspec.Struct, frozen=True):
    """One version of something that people change while programs run."""

    subject: str
    number: int
    """From 1. The highest is in force."""
    data: bytes
    at: float
    """Epoch seconds."""
    by: str
    note: str = ""


class Versions(Protocol):
    """Versions are added and never changed: going back adds what was before as a new one."""

    async def add_version(self, subject: str, data: bytes, *, at: float, by: str, note: str = "") -> Version:
        """Add the next version of `subject`, in force from now on."""
        ...

    async def versions(self, subject: str = "") -> list[Version]:
        """All versions of a subject (of all, without one), oldest first."""
        ...
