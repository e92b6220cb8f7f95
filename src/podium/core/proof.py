"""Checking chains: what was changed, taken out, put in, exchanged or cut off, and where.

`AnchorProof` reads the anchors of a store in order, `JournalProof` then the frames of all its runs. Both trust nothing
they are given, raise nothing, and hold only what they need to know of runs still to come. They know no store.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal, TypeAlias

import msgspec

from .actions import Kind
from .chain import (
    GENESIS,
    HEAD,
    ROOT,
    Anchor,
    Anchoring,
    ErasedFrame,
    Erasing,
    Forgetting,
    Link,
    Seal,
    anchor_data,
    anchor_hash,
    commitment,
    is_signature,
    key_id,
    link,
)
from .errors import SchemaTooNew, StoreCorrupt
from .records import Began, Ended, Finished, Record, Started, Status, decode_frame

What: TypeAlias = Literal["changed", "missing", "swapped", "truncated", "inserted", "unreadable", "signature"]

MOST_FINDINGS = 200
"""Findings that are told one by one; the rest is counted."""

MOST_SUSPECTS = 16
"""Frames of a run that are kept to see whether they were exchanged."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it was written."""

    what: What
    where: str
    """`run ID`, `anchors`, `blob ADDRESS`, `file` or `store`."""
    detail: str
    run: str = ""
    first: int | None = None
    """The first record, anchor or line it is about."""
    last: int | None = None

    def __str__(self) -> str:
        return f"{self.what}: {self.where}: {self.detail}"


class Findings:
    """Findings, as many as are worth telling."""

    def __init__(self) -> None:
        self.told: list[Finding] = []
        self.count = 0

    def add(
        self, what: What, where: str, detail: str, *, run: str = "", first: int | None = None, last: int | None = None
    ) -> None:
        """Note one."""
        self.count += 1
        if len(self.told) < MOST_FINDINGS:
            self.told.append(Finding(what, where, detail, run, first, last))


class AnchorProof:
    """The chain of anchors. Feed it all of them in order, then call `end`."""

    def __init__(self, findings: Findings, key: bytes | None, kept: tuple[int, bytes] | None = None) -> None:
        self._findings, self._key, self._kept = findings, key, kept
        self._number, self._hash = 0, ROOT
        self._signed_by_us = key_id(key)
        self.heads: dict[str, tuple[int, bytes]] = {}
        """How far each run had come when it was last anchored."""
        self.erased: dict[str, dict[int, ErasedFrame]] = {}
        self.blobs: dict[str, str] = {}
        """Addresses whose content was erased, and with which run."""
        self.values = 0
        """Payloads that were erased."""
        self.erased_at: float | None = None
        """When something was last erased."""
        self.last: Anchor | None = None
        self.signed = 0

    @property
    def count(self) -> int:
        """Anchors so far."""
        return self._number

    def feed(self, anchor: Anchor) -> None:
        """The next anchor, as it is stored."""
        number = anchor.number
        if number != self._number + 1:
            gap = (self._number + 1, number - 1)
            self._say("missing", f"anchors {gap[0]} to {gap[1]} are missing", *gap)
        elif not _is_anchor(anchor):
            self._say("changed", f"anchor {number} has no anchor's form", number, number)
        elif anchor.hash != anchor_hash(self._hash, number, anchor.at, anchor.kind, anchor.data):
            self._say(
                "changed", f"anchor {number} is not what was written, or does not follow the one before it", number
            )
        self._number = number
        if not _is_anchor(anchor):
            return
        self._hash = anchor.hash
        if self._kept is not None and self._kept[0] == number and self._kept[1] != anchor.hash:
            self._say("changed", f"anchor {number} is another than the one that was kept elsewhere", number)
        try:
            data = anchor_data(anchor)
        except ValueError:
            self._say("changed", f"anchor {number} cannot be read", number)
            return
        self.last = anchor
        self._sign(anchor, None if isinstance(data, Forgetting) else data.key)
        if isinstance(data, Anchoring):
            for run in data.runs:
                self.heads[run.run] = (run.records, run.head)
        elif isinstance(data, Forgetting):
            self._forgotten(data, number)
        else:
            self._erased(data, anchor)

    def end(self, tip: tuple[int, bytes] | None) -> None:
        """After the last. `tip` is what the store says the last one is."""
        number, hashed = tip or (0, ROOT)
        if number < 0:
            self._say("missing", "the store does not say which anchor is its last")
        elif number > self._number:
            gap = (self._number + 1, number)
            self._say("truncated", f"anchors {gap[0]} to {gap[1]} were cut off", *gap)
        elif number < self._number:
            self._say("inserted", f"there are anchors after the last one, {number}", number + 1, self._number)
        elif hashed != self._hash:
            self._say("changed", "the last anchor is not the one the store names as its last", number)
        if self._kept is not None and self._kept[0] > self._number:
            kept = self._kept[0]
            detail = (
                f"anchor {kept} was kept elsewhere, and this store ends at {self._number}: what lay between is gone"
            )
            self._say("truncated", detail, self._number + 1, kept)

    def _say(self, what: What, detail: str, first: int | None = None, last: int | None = None) -> None:
        self._findings.add(what, "anchors", detail, first=first, last=first if last is None else last)

    def _sign(self, anchor: Anchor, name: str | None) -> None:
        if anchor.mac:
            self.signed += 1
        if self._key is None:
            return
        if not anchor.mac:
            detail = f"anchor {anchor.number} is not signed, and every anchor of an app is"
            self._say("signature", detail, anchor.number)
        elif name is not None and name != self._signed_by_us:
            detail = f"anchor {anchor.number} was signed with another key ({name}, this one is {self._signed_by_us})"
            self._say("signature", f"{detail}: give the key it was made with as PODIUM_AUDIT_KEY", anchor.number)
        elif not is_signature(self._key, b"anchor", anchor.hash, anchor.mac):
            self._say("signature", f"the signature of anchor {anchor.number} is not right", anchor.number)

    def _forgotten(self, data: Forgetting, number: int) -> None:
        known = self.heads.pop(data.run, None)
        self.erased.pop(data.run, None)
        if known is not None and (known[0] > data.records or (known[0] == data.records and known[1] != data.head)):
            detail = f"it had {known[0]} records when it was anchored, and {data.records} when it was deleted"
            self._findings.add("truncated", f"run {data.run}", detail, run=data.run, first=data.records + 1)

    def _erased(self, data: Erasing, anchor: Anchor) -> None:
        frames = self.erased.setdefault(data.run, {})
        frames.update((frame.first, frame) for frame in data.frames)
        self.blobs.update(dict.fromkeys(data.blobs, data.run))
        self.values += data.values
        self.erased_at = anchor.at


def _are(kind: type, *values: object) -> bool:
    """Whether all are of this type: what a table holds may be anything."""
    return all(isinstance(value, kind) for value in values)


def _is_anchor(anchor: Anchor) -> bool:
    right = _are(float, anchor.at) and _are(str, anchor.kind) and _are(bytes, anchor.data, anchor.hash, anchor.mac)
    return right and len(anchor.hash) == HEAD


class JournalProof:
    """The frames of all runs. For each run call `begin`, `feed` for each frame in order, and once at the end `end`."""

    def __init__(self, findings: Findings, anchors: AnchorProof) -> None:
        self._findings, self._heads, self._erased = findings, anchors.heads, anchors.erased
        self._seal: Seal | None = None
        self.runs = self.records = self.unchained = self.erased = 0
        self.missing: list[str] = []
        """Runs that were anchored and are not there."""
        self.blobs: dict[str, str] = {}
        """Addresses of content that the present run's records name, for the caller to look for and to clear."""

    def begin(self, seal: Seal) -> None:
        """The next run; one without an id stands for frames that belong to no run."""
        self._close()
        self._seal = seal
        self._expected, self._head, self._chained = 1, GENESIS, False
        self._sealed = seal.head is None
        self._anchored = self._heads.pop(seal.run, None) if seal.run else None
        self._gone = self._erased.pop(seal.run, {}) if seal.run else {}
        self._suspects: list[tuple[bytes, Link]] = []
        self._broken = False
        self._finished: Status | None = None
        self.runs += bool(seal.run)

    def feed(self, frame: Link) -> None:
        """The next frame of this run."""
        seal = self._seal
        if seal is None:
            return
        if not _is_frame(frame):
            place = frame.first if isinstance(frame.first, int) else 0  # pyright: ignore[reportUnnecessaryIsInstance]
            self._say("changed", "a frame has no frame's form", first=place, last=place)
            self._broken = True
            return
        if not seal.run:
            self._say("inserted", f"records {frame.first} to {frame.last} belong to no run", frame)
            return
        if frame.first > self._expected:
            self._gap(frame.first)
        elif frame.first < self._expected:
            self._say("inserted", f"records {frame.first} to {frame.last} stand where others do", frame)
            self._broken = True
        self._expected = max(self._expected, frame.last + 1)
        self.records += frame.count
        if frame.head is None:
            self._unchained(frame)
        else:
            self._linked(frame, frame.head)
        self._read(frame)

    def end(self) -> None:
        """After the last frame of the last run."""
        self._close()
        for run, (records, _) in self._heads.items():
            detail = f"it had {records} records when it was anchored, and is not there any more"
            self._findings.add("missing", f"run {run}", detail, run=run, first=1, last=records)
            self.missing.append(run)

    # ---------------------------------------------------------------------------------------------------- one frame

    def _say(self, what: What, detail: str, frame: Link | None = None, *, first: int = 0, last: int = 0) -> None:
        run = "" if self._seal is None else self._seal.run
        if frame is not None and _is_frame(frame):
            first, last = frame.first, frame.last
        self._findings.add(
            what, f"run {run}" if run else "store", detail, run=run, first=first or None, last=last or None
        )

    def _gap(self, first: int) -> None:
        self._say(
            "missing", f"records {self._expected} to {first - 1} are missing", first=self._expected, last=first - 1
        )
        self._broken = True

    def _unchained(self, frame: Link) -> None:
        seal = self._seal
        if self._chained or seal is None or frame.last > seal.unchained:
            self._say("changed", f"records {frame.first} to {frame.last} are not in the chain", frame)
            self._broken = True
        else:
            self.unchained += frame.count

    def _linked(self, frame: Link, head: bytes) -> None:
        seal = self._seal
        if seal is None:
            return
        self._chained = True
        committed = self._committed(frame)
        if committed is None:
            detail = f"the payloads of records {frame.first} to {frame.last} were replaced, and no erasure says so"
            self._say("changed", detail, frame)
            self._broken = True
        elif link(self._head, seal.run, frame.first, frame.count, committed) != head:
            # The frames after a gap or a changed one are judged by the heads that are there.
            self._suspect(frame)
        elif not frame.erased and frame.first in self._gone:
            self._say("changed", f"what was erased of records {frame.first} to {frame.last} is there again", frame)
        self._head = head
        if head == seal.head:
            self._sealed = True
        anchored = self._anchored
        if anchored is not None and anchored[0] <= frame.last:
            if anchored[0] != frame.last or not hmac.compare_digest(anchored[1], head):
                self._say("changed", f"records up to {anchored[0]} are not those that were anchored", frame)
                self._broken = True
            self._anchored = None

    def _committed(self, frame: Link) -> bytes | None:
        if not frame.erased:
            return commitment(frame.salt, frame.body)
        known = self._gone.get(frame.first)
        if known is None or known.now != hashlib.sha256(frame.body).digest():
            return None
        self.erased += 1
        return known.original

    def _suspect(self, frame: Link) -> None:
        self._broken = True
        if len(self._suspects) < MOST_SUSPECTS:
            self._suspects.append((self._head, frame))
        else:
            self._say("changed", f"records {frame.first} to {frame.last} are not what was written", frame)

    def _read(self, frame: Link) -> None:
        """What the records themselves say of the run, if they can be read."""
        try:
            records = decode_frame(frame.body)
        except (SchemaTooNew, RecursionError):
            return
        except StoreCorrupt:
            if not self._broken:
                self._say("unreadable", f"records {frame.first} to {frame.last} cannot be read", frame)
            return
        if len(records) != frame.count and not self._broken:
            self._say("changed", f"a frame of {len(records)} records is said to hold {frame.count}", frame)
        for record in records:
            self._record(record)

    def _record(self, record: Record) -> None:
        seal = self._seal
        if seal is None:
            return
        if isinstance(record, Began):
            if record.kind is Kind.CALL and record.version:
                self.blobs[record.version] = seal.run  # an agent's configuration
        elif isinstance(record, Ended | Finished):
            if record.blob:
                self.blobs[record.blob] = seal.run
            if isinstance(record, Finished):
                self._finished = record.status
        elif (
            isinstance(record, Started) and (record.run, record.member) != (seal.run, seal.member) and not self._broken
        ):
            said = f"its journal is of run {record.run} of {record.member!r}"
            self._say("changed", f"{said}, its row says {seal.run} of {seal.member!r}", first=1, last=1)

    # ------------------------------------------------------------------------------------------------------ one run

    def _close(self) -> None:
        seal, self._seal = self._seal, None
        if seal is None or not seal.run:
            return
        self._seal = seal
        self._judge_suspects()
        last = self._expected - 1
        if self._anchored is not None:
            self._say(
                "truncated",
                f"it ends at record {last}, and had {self._anchored[0]} when it was anchored",
                first=last + 1,
                last=self._anchored[0],
            )
        elif not self._broken:
            self._judge_end(seal, last)
        self._seal = None

    def _judge_end(self, seal: Seal, last: int) -> None:
        """Whether the row and the journal tell the same end."""
        if seal.head is None:
            if self._chained and not seal.unchained:
                self._say("changed", "its row has lost the head of its journal")
        elif self._head != seal.head and (seal.status != Status.RUNNING.value or not self._sealed):
            self._say("truncated", f"records after {last} are missing: the run's row knows of more", first=last + 1)
        over = seal.status in _OVER
        if over != (self._finished is not None) or (over and self._finished != seal.status):
            told = "is not over" if self._finished is None else f"is {self._finished.value}"
            self._say("changed", f"its row says {seal.status!r}, its journal that it {told}")

    def _judge_suspects(self) -> None:
        run = "" if self._seal is None else self._seal.run
        rest = list(self._suspects)
        alone: list[tuple[bytes, Link]] = []
        heads: dict[bytes, bytes] = {}
        while rest:
            before, frame = rest.pop(0)
            other = next((item for item in rest if _exchanged(run, before, frame, item[1])), None)
            if other is None:
                alone.append((before, frame))
                continue
            rest.remove(other)
            there = other[1]
            heads[frame.head or b""], heads[there.head or b""] = there.head or b"", frame.head or b""
            detail = f"records {frame.first} to {frame.last} and {there.first} to {there.last} were exchanged"
            self._say("swapped", detail, first=frame.first, last=there.last)
        for before, frame in alone:
            # What follows an exchanged frame may be right, behind the one that belongs there.
            belongs = heads.get(before)
            if belongs is None or _head(run, belongs, frame) != frame.head:
                self._say("changed", f"records {frame.first} to {frame.last} are not what was written", frame)


_OVER = frozenset(status.value for status in Status if status.over)


def _is_frame(frame: Link) -> bool:
    head = b"\0" * HEAD if frame.head is None else frame.head
    right = _are(bytes, frame.body, head, frame.salt) and _are(int, frame.first, frame.count)
    return right and len(head) == HEAD and 0 < frame.first < 1 << 32 and 0 < frame.count < 1 << 32


def _head(run: str, before: bytes, frame: Link) -> bytes:
    return link(before, run, frame.first, frame.count, commitment(frame.salt, frame.body))


def _exchanged(run: str, before: bytes, here: Link, there: Link) -> bool:
    """Whether what stands at `there` belongs at `here`: the whole row, or only its bytes."""
    if here.head is None or there.head is None:
        return False
    for salt in (here.salt, there.salt):
        head = link(before, run, here.first, there.count, commitment(salt, there.body))
        if head == there.head:
            return True
    return link(before, run, here.first, here.count, commitment(here.salt, there.body)) == here.head
