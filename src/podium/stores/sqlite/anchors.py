"""Anchors in SQLite: what is written above the chains of runs, and the erasure of payloads below them.

Everything here happens inside the caller's transaction. What an anchor holds, and how it is checked, is `core.chain`'s
and `core.proof`'s business.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from podium.core.chain import (
    HEAD,
    MOST_RUNS,
    Anchor,
    AnchorData,
    Anchored,
    Anchoring,
    AnchorKind,
    ErasedFrame,
    Erasing,
    commitment,
    frame_salt,
    key_id,
    next_anchor,
)
from podium.core.errors import StoreCorrupt
from podium.core.records import Status
from podium.ports import Removal
from podium.stores.refusals import changed_meanwhile, no_run, not_over

from . import ledger, sql
from .files import Database

_erasing = msgspec.msgpack.Decoder(Erasing)


def tail(db: Database, number: int) -> tuple[int, bytes | None]:
    """The number of a run's last record, and its head; None of a run that was never chained."""
    found = db.execute(sql.TAIL, (number << 32, (number << 32) + sql.LAST)).fetchone()
    if found is None:
        return 0, None
    head = found[1]
    return found[0], head[:HEAD] if isinstance(head, bytes) and len(head) >= HEAD else None


def tip(db: Database) -> tuple[int, bytes] | None:
    """The number and hash of the last anchor. Raises StoreCorrupt when they are not what they should be."""
    found = db.execute(sql.TIP).fetchone()
    if found is None:
        return None
    number, hashed = found
    if not isinstance(number, int) or not isinstance(hashed, bytes) or len(hashed) != HEAD:
        raise StoreCorrupt(f"the anchors of {db.path} are damaged: `podium audit verify` says what happened")
    return number, hashed


def add(db: Database, at: float, kind: AnchorKind, data: AnchorData, key: bytes | None) -> Anchor:
    """Add an anchor after the last one."""
    db.need("anchors")
    anchor = next_anchor(tip(db), at, kind, data, key)
    db.execute(sql.ADD_ANCHOR, (anchor.number, at, kind, anchor.data, anchor.hash, anchor.mac))
    db.execute(sql.SET_TIP, (at, anchor.number, anchor.hash))
    return anchor


class Round:
    """What one round of anchoring came to."""

    __slots__ = ("going", "highest", "newest")

    def __init__(self) -> None:
        self.newest: Anchor | None = None
        """The newest anchor made."""
        self.going: set[int] = set()
        """Numbers of the runs that were looked at and go on."""
        self.highest = 0
        """The highest number of a run."""


def anchor(db: Database, at: float, key: bytes | None, numbers: Iterable[int], above: int) -> Round:
    """Anchor the runs that changed among those with these numbers, and among all above a number."""
    done = Round()
    rows: dict[int, tuple[str, int | None, float | None]] = {}
    for each in sorted(numbers):
        rows.update((row[0], row[1:]) for row in db.execute(sql.IS_UNANCHORED, (each,)).fetchall())
    rows.update((row[0], row[1:]) for row in db.execute(sql.UNANCHORED, (above,)).fetchall())
    changed: list[Anchored] = []
    for number, (run, anchored, due) in rows.items():
        if due is not None:
            done.going.add(number)
        records, head = tail(db, number)
        if records == anchored:
            continue
        db.execute(sql.ANCHORED, (records, number))
        if head is not None:
            changed.append(Anchored(run, records, head))
    total = db.execute(sql.COUNT_RUNS).fetchone()[0] if changed else 0
    for start in range(0, len(changed), MOST_RUNS):
        part = tuple(changed[start : start + MOST_RUNS])
        done.newest = add(db, at, "anchor", Anchoring(part, total, key_id(key)), key)
    done.highest = db.execute(sql.NEWEST).fetchone()[0]
    return done


def erased(db: Database, run_id: str) -> dict[int, ErasedFrame]:
    """The erased frames of a run. Anchors that cannot be read are left to the proof."""
    found: dict[int, ErasedFrame] = {}
    if not db.has("anchors"):
        return found
    for (data,) in db.query(sql.ERASURES):
        try:
            entry = _erasing.decode(data if isinstance(data, bytes) else b"")
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        if entry.run == run_id:
            found.update((frame.first, frame) for frame in entry.frames)
    return found


def erase(db: Database, run_id: str, removal: Removal) -> Anchor:
    """Replace frames, delete content and cached values, and anchor that. Raises RunNotFound, RunConflict."""
    found = db.execute(sql.ERASABLE, (run_id,)).fetchone()
    if found is None:
        raise no_run(run_id)
    number, status, secret = found[0], Status(found[1]), found[2]
    if not status.over:
        raise not_over(run_id, status, "erase")
    db.execute("PRAGMA secure_delete = ON")  # from here on, on this connection: a freed byte is a zero
    earlier = erased(db, run_id)
    wanted = {frame.first: frame for frame in removal.frames}
    done: list[ErasedFrame] = []
    for place, _, body, head in db.execute(sql.FRAMES, (number << 32, (number << 32) + sql.LAST)).fetchall():
        first = place & sql.LAST
        salt = _salt(head, secret, first)
        frame = wanted.pop(first, None)
        if frame is None:
            if head is not None and len(head) == HEAD and salt:
                db.execute(sql.ERASE_FRAME, (body, head + salt, place))
            continue
        if _digest(body) != frame.before:
            raise changed_meanwhile(run_id)
        db.execute(sql.ERASE_FRAME, (frame.body, head and head[:HEAD], place))
        done.append(ErasedFrame(first, _original(head, salt, body, earlier.get(first)), _digest(frame.body)))
    if wanted:
        raise changed_meanwhile(run_id)
    if secret is not None:
        db.execute(sql.UNSALT, (number,))
    if db.has("blobs"):
        for address in removal.blobs:
            db.execute(sql.ERASE_BLOB, (address,))
    ledger.forget(db, removal.cached)
    if db.has("mail"):
        db.execute(sql.ERASE_MAIL, (number,))
    said = Erasing(run_id, tuple(done), tuple(removal.blobs), removal.values, removal.by, key_id(removal.key))
    return add(db, removal.at, "erase", said, removal.key)


def _original(head: bytes | None, salt: bytes, body: bytes, earlier: ErasedFrame | None) -> bytes:
    """What the frame commits to; nothing for one from before the chain began."""
    if head is None:
        return b""
    if salt:
        return commitment(salt, body)
    if earlier is None:
        raise StoreCorrupt("the run is damaged: `podium audit verify` says what happened")
    return earlier.original


def _salt(head: bytes | None, secret: bytes | None, first: int) -> bytes:
    """The salt of a frame that is not erased: behind its head, or from the run's secret."""
    if head is None or len(head) > HEAD or secret is None:
        return b"" if head is None else head[HEAD:]
    return frame_salt(secret, first)


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()
