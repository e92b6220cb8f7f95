"""`app.audit`: the audit log of everything a store holds: shown, proven, exported, anchored, erased.

Entries are read from the journals when asked for; only anchors and erasures are written here. Everything streams: a
store of any size is read in bounded memory.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path
from typing import IO, get_args

import msgspec

from podium.core import audit_file
from podium.core.audit import VERDICTS, AuditEntry, AuditReader, Event
from podium.core.chain import Anchor, Link, Seal, key_id
from podium.core.codec import content_digest
from podium.core.errors import ConfigurationError, PodiumError, RunNotFound, StoreError
from podium.core.proof import AnchorProof, Finding, Findings, JournalProof
from podium.core.records import Status, decode_frame
from podium.ports import Clock, Evidence, Store

from .audit_key import AuditKey
from .erasing import Erasure, erase

EVERY = 60.0
"""Seconds between anchors of an app that stays open."""

_LINE = re.compile(r"podium-anchor:(\d{1,15}):([0-9a-f]{64})")
_log = logging.getLogger("podium")


class AuditReport(msgspec.Struct, frozen=True):
    """What a proof found."""

    ok: bool
    """Whether nothing was found."""
    runs: int
    entries: int
    """Records of a store, or entries of a file, that were looked at."""
    findings: tuple[Finding, ...]
    """The first of them; `found` says how many there are."""
    anchors: int
    seconds: float
    found: int = 0
    signed: bool = False
    """Whether signatures were checked: False without the key, or when there are none."""
    erased: int = 0
    """Payloads that were erased, each by an entry of the chain of anchors."""
    erased_at: float | None = None
    """When the last of them was erased, in epoch seconds."""
    unchained: int = 0
    """Records from before the store had a chain: nobody can tell whether they were changed."""
    anchor: str = ""
    """The newest anchor's line."""


class Exported(msgspec.Struct, frozen=True):
    """What an export holds."""

    path: str
    entries: int
    runs: int
    signed: bool


class Audit:
    """The audit log of an app's store."""

    def __init__(self, store: Callable[[], Store], clock: Clock, beside: Path | None) -> None:
        self._store, self._clock = store, clock
        self.key = AuditKey(beside)
        self._dirty = False
        self._anchored = time.monotonic()

    # ------------------------------------------------------------------------------------------------------ showing

    async def show(
        self,
        run: str | None = None,
        *,
        agent: str | None = None,
        tool: str | None = None,
        since: float | None = None,
        verdict: str | None = None,
        event: str | None = None,
    ) -> AsyncGenerator[AuditEntry]:
        """Entries that meet all conditions, run by run in the order of their beginning, each in its order.

        `since` is epoch seconds; `event` may be its beginning (`run.`). Nothing is checked here: see `verify`. Raises
        RunNotFound, ConfigurationError for an event or verdict that there is not, StoreCorrupt for records that cannot
        be read.
        """
        if event is not None and not any(known.startswith(event) for known in get_args(Event)):
            raise ConfigurationError(f"there is no event {event!r}; events are {', '.join(get_args(Event))}")
        if verdict is not None and verdict not in VERDICTS:
            raise ConfigurationError(f"there is no verdict {verdict!r}; verdicts are {', '.join(VERDICTS)}")
        key = None if self.key.hidden() else self.key.wanted()
        evidence = await self._store().evidence()
        found = False
        try:
            reader, skipped = AuditReader(key), False
            async for item in evidence.chains(run or ""):
                if isinstance(item, Seal):
                    found = True
                    reader = AuditReader(key)
                    skipped = not item.run or (
                        since is not None and _OVER.get(item.status, False) and item.updated < since
                    )
                elif not skipped:
                    for entry in _entries(reader, item):
                        if _wanted(entry, agent, tool, since, verdict, event):
                            yield entry
        finally:
            await evidence.close()
        if run is not None and not found:
            raise RunNotFound(f"no run {run!r} in this store: `podium runs` lists those there are")

    # ------------------------------------------------------------------------------------------------------- proving

    async def verify(self, *, anchor: str | None = None) -> AuditReport:
        """Check every chain, anchor and blob of the store. `anchor` is a line that was kept elsewhere.

        Nothing is raised for what is wrong with the store; it is found. Raises ConfigurationError for a line that is
        none, and for a key that cannot be used.
        """
        began = time.perf_counter()
        findings = Findings()
        key = None if self.key.hidden() else self.key.known()
        anchors = AnchorProof(findings, key, None if anchor is None else _parsed(anchor))
        journals = JournalProof(findings, anchors)
        try:
            evidence = await self._store().evidence()
            try:
                await _prove(evidence, findings, anchors, journals)
            finally:
                await evidence.close()
        except StoreError as error:
            findings.add("unreadable", "store", str(error))
        return AuditReport(
            not findings.count,
            journals.runs,
            journals.records,
            tuple(findings.told),
            anchors.count,
            round(time.perf_counter() - began, 6),
            findings.count,
            key is not None and anchors.signed > 0,
            anchors.values,
            anchors.erased_at,
            journals.unchained,
            "" if anchors.last is None else anchors.last.line,
        )

    def verify_file(self, path: str | Path) -> AuditReport:
        """Check an exported log, in bounded memory. Synchronous. Raises ConfigurationError when it cannot be read."""
        return verify_file(path, None if self.key.hidden() else self.key.known())

    # ----------------------------------------------------------------------------------------------------- exporting

    async def export(self, path: str | Path, *, run: str | None = None, since: float | None = None) -> Exported:
        """Write entries as a chained and signed log, which `verify_file` checks. A file that is there is replaced.

        Raises RunNotFound, StoreCorrupt, ConfigurationError when it cannot be written.
        """
        key = self.key.made()
        target = Path(path)
        lines = audit_file.Lines()
        facts = {"at": self._clock.time(), "key": key_id(key), "run": run or "", "since": since or 0.0}
        runs: set[bytes] = set()
        try:
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
                draft = Path(file.name)
                try:
                    file.write(lines.header(facts))
                    async for entry in self.show(run, since=since):
                        file.write(lines.entry(entry))
                        runs.add(hashlib.blake2b(entry.run.encode(), digest_size=8).digest())
                    file.write(lines.footer(key))
                    file.flush()
                    os.fsync(file.fileno())
                    draft.replace(target)  # noqa: ASYNC240  (everything here writes a local file, in line)
                except BaseException:
                    draft.unlink(missing_ok=True)  # noqa: ASYNC240
                    raise
        except OSError as error:
            raise ConfigurationError(f"{target} cannot be written: {error.strerror}") from error
        return Exported(str(target), lines.entries, len(runs), signed=True)

    # ----------------------------------------------------------------------------------------------------- anchoring

    async def anchor(self) -> Anchor | None:
        """Anchor the runs that changed since they were last anchored; the newest anchor, None when there is none."""
        store = self._store()
        made = await store.anchor(self._clock.time(), self.key.made())
        self._dirty, self._anchored = False, time.monotonic()
        return made or await _last(store)

    def ran(self) -> bool:
        """A run has moved: whether it is time for an anchor."""
        self._dirty = True
        if time.monotonic() - self._anchored < EVERY:
            return False
        self._anchored = time.monotonic()
        return True

    async def keep(self, store: Store) -> None:
        """Anchor what changed, if anything did and others can see the store. Never raises for a store's or key's sake:
        a run that is over must not fail because of its audit.
        """
        if not self._dirty or not store.shared:
            return
        self._dirty = False
        try:
            await store.anchor(self._clock.time(), self.key.made())
        except PodiumError as error:
            _log.warning("no anchor was written: %s", error)

    # ------------------------------------------------------------------------------------------------------- erasing

    async def erase(self, run: str, *, step: str | None = None, by: str = "local") -> Erasure:
        """Erase what a run that is over was given and what it produced, or what one of its steps was.

        Arguments, results, inputs, messages and error texts go, content kept apart from the records, and the secrets
        whose tokens stood there alone. What was done, when, by whom and under which rule stays, and so does the chain.
        What a session or another run (a child, a fork) holds is theirs and stays. Raises RunNotFound, RunConflict, and
        ConfigurationError for a step that is not there or when there is nothing to erase.
        """
        return await erase(self._store(), run, step, by, self._clock.time(), self.key.made())


def verify_file(path: str | Path, key: bytes | None) -> AuditReport:
    """Check an exported log, in bounded memory. Raises ConfigurationError when it cannot be read."""
    began = time.perf_counter()
    findings = Findings()
    proof = audit_file.LineProof(findings, key)
    try:
        with Path(path).open("rb") as file:
            for line in _lines(file):
                proof.feed(line)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    proof.end()
    seconds = round(time.perf_counter() - began, 6)
    told = tuple(findings.told)
    return AuditReport(not findings.count, 0, proof.entries, told, 0, seconds, findings.count, proof.signed)


def store_file(url: str) -> Path | None:
    """The file of a store's URL; None for one in memory."""
    return None if url in {":memory:", "memory:", "memory://"} else Path(url.removeprefix("sqlite:///"))


# ------------------------------------------------------------------------------------------------------------ inside

_OVER = {status.value: status.over for status in Status}


def _entries(reader: AuditReader, item: Link) -> Iterable[AuditEntry]:
    for record in decode_frame(item.body):
        yield from reader.read(record)


def _wanted(
    entry: AuditEntry, agent: str | None, tool: str | None, since: float | None, verdict: str | None, event: str | None
) -> bool:
    return (
        (agent is None or entry.agent == agent)
        and (tool is None or (entry.name == tool and entry.event not in ("model", "run.started", "signal")))
        and (since is None or entry.at >= since)
        and (verdict is None or entry.verdict == verdict)
        and (event is None or entry.event.startswith(event))
    )


async def _prove(evidence: Evidence, findings: Findings, anchors: AnchorProof, journals: JournalProof) -> None:
    for line in await evidence.damage():
        findings.add("unreadable", "store", f"the file is damaged: {line}")
    async for anchor in evidence.anchors():
        anchors.feed(anchor)
    anchors.end(await evidence.tip())
    async for item in evidence.chains():
        if isinstance(item, Seal):
            journals.begin(item)
        else:
            journals.feed(item)
    journals.end()
    named = journals.blobs
    async for address, data in evidence.contents():
        if content_digest(data) != address:
            findings.add("changed", f"blob {address}", "its content is not what its address says")
        named.pop(address, None)
    for address, run in named.items():
        if address not in anchors.blobs:
            findings.add(
                "missing", f"blob {address}", f"run {run} names it, and no erasure says that it is gone", run=run
            )
        await asyncio.sleep(0)


def _lines(file: IO[bytes]) -> Iterable[bytes]:
    """Lines of a file; of one that is too long only its beginning, which is no line of a log."""
    while line := file.readline(audit_file.LONGEST):
        yield line
        while not line.endswith(b"\n") and (line := file.readline(audit_file.LONGEST)):
            pass


def _parsed(line: str) -> tuple[int, bytes]:
    match = _LINE.fullmatch(line.strip())
    if match is None:
        raise ConfigurationError(f"{line!r} is no anchor: give the line that `podium audit anchor` printed")
    return int(match[1]), bytes.fromhex(match[2])


async def _last(store: Store) -> Anchor | None:
    evidence = await store.evidence()
    try:
        found = None
        async for anchor in evidence.anchors():
            found = anchor
        return found
    finally:
        await evidence.close()
