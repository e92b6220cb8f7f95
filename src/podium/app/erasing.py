"""Erasing what a run was given and what it produced, in its records and in what is kept beside them.

How a record is erased is `core.erasing`'s business, how a frame is replaced the store's. Here is gathered what must go:
frames, content that they name, and sealed secrets whose tokens stood nowhere else in the run.
"""

from __future__ import annotations

import hashlib

import msgspec

from podium.core.chain import Link, Seal, signature
from podium.core.erasing import Eraser
from podium.core.errors import ConfigurationError, Erased, RunConflict, RunNotFound
from podium.core.records import Started, decode_frame, encode_record, frame
from podium.ports import Removal, Replacement, Store
from podium.runtime.carrying import owner
from podium.runtime.vault import address, tokens_in


class Erasure(msgspec.Struct, frozen=True):
    """What was erased."""

    run: str
    values: int
    """Payloads that are gone."""
    records: int
    """Records that held them, or stood in one frame with them."""
    blobs: int
    anchor: str
    """The line of the anchor that says so."""


async def erase(store: Store, run: str, step: str | None, by: str, at: float, key: bytes) -> Erasure:
    """Erase a run, or one of its steps with all inside it. `key` is the audit key. Raises as `Audit.erase` does."""
    row = await store.row(run)
    if row is None:
        raise RunNotFound(f"no run {run!r} in this store: `podium runs` lists those there are")
    if not row.status.over:
        raise RunConflict(f"run {run} is {row.status.value}, not over: cancel it before you erase it")
    found = _Found(
        Eraser(lambda request: signature(key, b"request", request.encode()).hex()[: len(request)], step), step
    )
    evidence = await store.evidence()
    try:
        async for item in evidence.chains(run):
            if not isinstance(item, Seal):
                found.read(item)
    finally:
        await evidence.close()
    if not found.step_seen:
        raise ConfigurationError(f"run {run} has no step {step!r}: `podium show {run}` lists its steps")
    blobs = [each for each in sorted(found.eraser.blobs) if await found.content(store, each)]
    if not found.frames and not blobs:
        raise ConfigurationError(f"there is nothing to erase in {step or f'run {run}'}: it holds no payload (any more)")
    values = found.eraser.values + len(blobs)
    made = await store.erase(run, Removal(found.frames, values, by, at, key, blobs, found.sealed()))
    return Erasure(run, values, found.records, len(blobs), made.line)


class _Found:
    """What is to go, read from a run's frames one after the other."""

    def __init__(self, eraser: Eraser, step: str | None) -> None:
        self.eraser = eraser
        self.step_seen = step is None
        self.frames: list[Replacement] = []
        self.records = 0
        self._step = step
        self._whose = ""
        self._gone: set[str] = set()
        self._left: set[str] = set()

    def read(self, item: Link) -> None:
        """Take in the next frame."""
        before = decode_frame(item.body)
        if isinstance(before[0], Started):
            self._whose = owner(before[0].principal)
        self.step_seen = self.step_seen or any(getattr(record, "key", None) == self._step for record in before)
        after = [self.eraser.erase(record) for record in before]
        body = item.body
        if any(new is not old for new, old in zip(after, before, strict=True)):
            body = frame([encode_record(record) for record in after])
            self.frames.append(Replacement(item.first, hashlib.sha256(item.body).digest(), body))
            self.records += item.count
            self._gone |= tokens_in(item.body)
        self._left |= tokens_in(body)

    async def content(self, store: Store, blob: str) -> bool:
        """Take in content that is to go; False when it is gone already."""
        try:
            self._gone |= tokens_in(await store.blob(blob))
        except Erased:
            return False
        return True

    def sealed(self) -> list[bytes]:
        """Where the secrets are kept whose tokens are nowhere in the run any more."""
        return [address(token, self._whose) for token in sorted(self._gone - self._left)]
