"""The hash chain of a journal, and the chain of anchors above all journals: how both are computed.

A frame is the records a run committed together. Its **head** binds it to all frames of the run before it; an **anchor**
binds the heads of many runs, and to the anchor before it. What a frame brings into its head is a commitment, SHA-256
over a random salt and its bytes: once the salt is gone (after an erasure) nobody can find a short value by trying all.
Pure functions of values; this module knows no store, no key file and no clock. `core.proof` checks what is made here.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import struct
from typing import Any, Literal, TypeAlias

import msgspec

from .codec import encode

GENESIS = hashlib.sha256(b"podium journal chain 1").digest()
"""What the first frame of a run follows."""

ROOT = hashlib.sha256(b"podium anchor chain 1").digest()
"""What the first anchor follows."""

HEAD = 32
"""Bytes of a head, and of a commitment."""

SALT = 16
"""Bytes of a run's secret, and of a frame's salt."""

MOST_RUNS = 1000
"""Runs one anchor covers at most; more make several anchors."""

AnchorKind: TypeAlias = Literal["anchor", "forget", "erase"]

_TOGETHER = 128

_sha256 = hashlib.sha256
_number = struct.Struct(">QI")
_where = struct.Struct(">Qd")


def commitment(salt: bytes, body: bytes) -> bytes:
    """What stands for a frame's bytes in its head."""
    return _sha256(salt + body).digest()


def frame_salt(secret: bytes, first: int) -> bytes:
    """The salt of the frame that begins at record `first`, from its run's secret."""
    place = first % _TOGETHER * SALT
    return _salts(secret, first // _TOGETHER)[place : place + SALT]


@functools.lru_cache(maxsize=256)
def _salts(secret: bytes, block: int) -> bytes:
    """The salts of `_TOGETHER` records at once: a hash a frame would be a tenth of what a commit costs."""
    return hashlib.shake_128(secret + block.to_bytes(8, "big")).digest(_TOGETHER * SALT)


def link(previous: bytes, run: str, first: int, count: int, committed: bytes) -> bytes:
    """The head of a frame of `count` records from number `first`, after a frame whose head is `previous`."""
    return _sha256(previous + committed + _number.pack(first, count) + run.encode("utf-8", "surrogatepass")).digest()


class Seal(msgspec.Struct, frozen=True, gc=False):
    """What a run's row says of its journal."""

    run: str
    """Empty for frames that belong to no run."""
    member: str = ""
    status: str = ""
    head: bytes | None = None
    """The head when the row was last changed."""
    unchained: int = 0
    """Records written before the store had a chain."""
    updated: float = 0.0


class Link(msgspec.Struct, frozen=True, gc=False):
    """One frame as it is stored. Nothing about it is sure until it was checked."""

    first: int
    count: int
    body: bytes
    head: bytes | None
    """None before the chain began."""
    salt: bytes = b""
    erased: bool = False
    """Whether the salt is gone, so that the commitment can only be known from the anchors."""

    @property
    def last(self) -> int:
        """The number of the frame's last record."""
        return self.first + self.count - 1


class Anchor(msgspec.Struct, frozen=True):
    """An entry of the chain above all journals: heads of runs, a deleted run, or an erasure."""

    number: int
    at: float
    """Epoch seconds."""
    kind: str
    data: bytes
    hash: bytes
    mac: bytes = b""
    """HMAC-SHA-256 of the hash with the audit key; empty for one made without a key."""

    @property
    def line(self) -> str:
        """The short line to keep elsewhere: whoever has it can tell that nothing before it was cut off."""
        return f"podium-anchor:{self.number}:{self.hash.hex()}"


class Anchored(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How far a run had come: its last record, and the head there."""

    run: str
    records: int
    head: bytes


class Anchoring(msgspec.Struct, frozen=True, array_like=True, tag="anchor"):
    """The data of an `anchor`: the runs that changed since they were last anchored."""

    runs: tuple[Anchored, ...]
    total: int
    """Runs in the store at that time."""
    key: str = ""
    """Which key signed it: `key_id`."""


class Forgetting(msgspec.Struct, frozen=True, array_like=True, tag="forget"):
    """The data of a `forget`: a run that was deleted, as far as it had come."""

    run: str
    records: int
    head: bytes


class ErasedFrame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What an erasure did to a frame: what it still commits to, and the SHA-256 of what stands there now."""

    first: int
    original: bytes
    now: bytes


class Erasing(msgspec.Struct, frozen=True, array_like=True, tag="erase"):
    """The data of an `erase`."""

    run: str
    frames: tuple[ErasedFrame, ...]
    blobs: tuple[str, ...]
    """Addresses of content that was deleted."""
    values: int
    """How many payloads are gone."""
    by: str = ""
    key: str = ""


AnchorData: TypeAlias = Anchoring | Forgetting | Erasing

_data: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(AnchorData)


def anchor_data(anchor: Anchor) -> AnchorData:
    """What an anchor says. Raises ValueError for what none ever said."""
    try:
        return _data.decode(anchor.data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(f"no anchor's data: {error}") from error


def anchor_hash(previous: bytes, number: int, at: float, kind: str, data: bytes) -> bytes:
    """The hash of an anchor that follows one whose hash is `previous`."""
    name = kind.encode()
    return _sha256(previous + _where.pack(number, at) + bytes((len(name) & 0xFF,)) + name + data).digest()


def next_anchor(
    previous: tuple[int, bytes] | None, at: float, kind: AnchorKind, data: AnchorData, key: bytes | None
) -> Anchor:
    """The anchor after `previous` (its number and hash; None for the first), signed if there is a key."""
    number, before = previous or (0, ROOT)
    encoded = encode(data)
    hashed = anchor_hash(before, number + 1, at, kind, encoded)
    return Anchor(number + 1, at, kind, encoded, hashed, b"" if key is None else signature(key, b"anchor", hashed))


# ------------------------------------------------------------------------------------------------------------ the key


def signature(key: bytes, purpose: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256 of `data`; one for a purpose is none for another."""
    return hmac.digest(key, b"podium " + purpose + b"\0" + data, "sha256")


def is_signature(key: bytes, purpose: bytes, data: bytes, given: bytes) -> bool:
    """Whether `given` is that signature, in constant time."""
    return hmac.compare_digest(signature(key, purpose, data), given)


def key_id(key: bytes | None) -> str:
    """A name by which a key is known without being told; empty for none."""
    return "" if key is None else signature(key, b"key id", b"").hex()[:12]
