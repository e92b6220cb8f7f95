"""What the audit costs: a head a commit, an anchor over many runs, a proof of a store and of an exported log.

    python benchmarks/audit.py [--runs 2000] [--entries 1000000] [--out FILE]

CPU time of the process; stores on the temporary folder. Rows are JSON lines. Nothing here judges: the exit code is 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from podium.app.audit import Audit, verify_file
from podium.core.audit import AuditEntry
from podium.core.audit_file import Lines
from podium.core.chain import GENESIS, commitment, frame_salt, link
from podium.core.records import Ended, Finished, Started, Status, encode_record
from podium.ports import Lease, NewRun, Transition
from podium.runtime.clock import SystemClock
from podium.stores.sqlite import SqliteStore
from run import environment

Row = dict[str, Any]


def heads(rounds: int = 200_000) -> Row:
    """One frame's head."""
    secret, body = os.urandom(16), os.urandom(300)
    began = time.process_time()
    head = GENESIS
    for first in range(1, rounds + 1):
        head = link(head, "run-01234567890abcdef", first, 2, commitment(frame_salt(secret, first), body))
    return {"metric": "head", "unit": "us CPU a commit", "value": (time.process_time() - began) / rounds * 1e6}


async def store(runs: int, folder: Path) -> list[Row]:
    """Anchoring and proving a store of runs with 20 frames each."""
    clock = SystemClock()
    made = SqliteStore.open(folder / "audit.db", clock=clock)
    audit = Audit(lambda: made, clock, folder / "audit.db")
    for number in range(runs):
        run = f"run-{number:08}"
        started = encode_record(Started(run, "agent", 1.0))
        await made.create(NewRun(run, "agent", "", (started,), 1.0))
        lease = await made.acquire(run, "me", 60.0)
        assert isinstance(lease, Lease)
        writer = made.writer(lease, 1)
        for step in range(18):
            writer.append(encode_record(Ended(f"agent.1/turn.{step}/search.1".ljust(200, "x"), 2.0)))
            waiting = writer.barrier()
            if waiting is not None:
                await waiting
        writer.append(encode_record(Finished(Status.SUCCEEDED, 9.0)))
        await writer.transition(Transition(Status.SUCCEEDED, release=True))
    rows: list[Row] = []
    for name, unit, do in (
        ("anchor.first", "ms CPU, all runs", audit.anchor),
        ("anchor.again", "ms CPU, nothing changed", audit.anchor),
        ("verify", "ms CPU, the whole store", audit.verify),
    ):
        began = time.process_time()
        await do()
        rows.append({"metric": name, "unit": unit, "value": (time.process_time() - began) * 1e3, "runs": runs})
    await made.close()
    return rows


def exported(entries: int, folder: Path) -> list[Row]:
    """Writing and proving a log."""
    path, lines = folder / "audit.jsonl", Lines()
    began = time.process_time()
    with path.open("wb") as file:
        file.write(lines.header({}))
        for number in range(entries):
            entry = AuditEntry(
                run="run-1", seq=number, at=float(number), event="tool", name="search", args={"q": "tents"}
            )
            file.write(lines.entry(entry))
        file.write(lines.footer(b"k" * 32))
    wrote = time.process_time() - began
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    report = verify_file(path, b"k" * 32)
    seconds = time.process_time() - began
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return [
        {"metric": "export.write", "unit": "s CPU", "value": wrote, "entries": entries},
        {"metric": "export.verify", "unit": "s CPU", "value": seconds, "entries": report.entries, "ok": report.ok},
        {"metric": "export.memory", "unit": "KiB more than before", "value": grown, "entries": entries},
    ]


def main() -> None:
    """Measure, and write rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = [environment(name), heads(), *asyncio.run(store(told.runs, folder)), *exported(told.entries, folder)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    if told.out is None:
        sys.stdout.write(text)
    else:
        told.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
