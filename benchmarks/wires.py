"""CPU of one model call and of a stream of 100 pieces, on each wire: the floor, Podium, and the official SDK.

    python benchmarks/wires.py [WIRE ...] [--rounds 7] [--out FILE] [--markdown FILE] [--no-sdks]

One process asks a server in another, so that only the client's CPU counts (`process_time`, all threads). The
contestants take turns in every round, the first in line changing; a ratio is that of two neighbours of one round. Rows
go to FILE or the standard output as JSON lines, the table to the standard error. Nothing here judges: the exit code is
0.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measure import spread, timed
from run import environment
from wire.contestants import WIRES, Ask, Contestant, Wire, floor, podium, sdks
from wire.payloads import PIECES, TEXT
from wire.server import GAP, serving

Row = dict[str, Any]

GOAL_FLOOR = 1.5
"""Podium takes at most so many times what the floor takes."""
GOAL_SDK = 3.0
"""An SDK takes at least so many times what Podium takes on a stream."""

KINDS = {
    "call": "one call",
    "stream": f"a stream of {PIECES} pieces, sent at once",
    "one-by-one": f"a stream of {PIECES} pieces, one by one",
}
PACKAGES = ("httpx2", "httpcore2", "h11", "msgspec", "openai", "anthropic", "google-genai", "ollama")


async def _sample(ask: Ask, times: int) -> float:
    """Microseconds of CPU for one of `times` answers."""
    with timed() as clock:
        for _ in range(times):
            text = await ask()
            assert text.strip() == TEXT.strip(), "a contestant has misread the answer"
    return clock.cpu / times * 1e6


async def measure(kind: str, contestants: Sequence[Contestant], rounds: int, times: int) -> dict[str, list[float]]:
    """Samples of each contestant, those of one round at the same index."""
    ways = {each.name: each.call if kind == "call" else each.stream for each in contestants}
    asks = {name: ask for name, ask in ways.items() if ask is not None}
    for ask in asks.values():
        await _sample(ask, max(1, times // 4))
    found: dict[str, list[float]] = {name: [] for name in asks}
    names = list(asks)
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(await _sample(asks[name], times))
    return found


def rows_of(wire: str, kind: str, found: dict[str, list[float]]) -> list[Row]:
    """One row a contestant: microseconds, the ratio to the floor, and for an SDK that to Podium."""
    rows: list[Row] = []
    for name, samples in found.items():
        row: Row = {"metric": f"wire.{wire}.{kind}", "wire": wire, "kind": kind, "contestant": name}
        row |= {"unit": "us CPU", "n": len(samples), **spread(samples)}
        if name != "floor":
            row["ratio"] = spread([mine / bare for mine, bare in zip(samples, found["floor"], strict=True)])
        if name == "podium":
            row["goal_ratio"], row["met"] = GOAL_FLOOR, row["ratio"]["median"] <= GOAL_FLOOR
        elif name != "floor":
            row["over_podium"] = spread([its / ours for its, ours in zip(samples, found["podium"], strict=True)])
            if kind == "stream":  # one by one, the waking up for each piece outweighs what anybody does with it
                row["goal_over_podium"], row["met"] = GOAL_SDK, row["over_podium"]["median"] >= GOAL_SDK
        rows.append(row)
    return rows


async def of_wire(wire: Wire, address: str, options: argparse.Namespace) -> list[Row]:
    """The rows of one wire."""
    rows: list[Row] = []
    for kind in KINDS:
        base = f"{address}/{'one-by-one' if kind == 'one-by-one' else 'at-once'}{wire.base}"
        contestants: list[Contestant] = []
        try:
            contestants += [await floor(wire, base), podium(wire, base)]
            if options.sdks:
                contestants += await sdks(wire, base)
            times = {"call": options.calls, "stream": options.streams, "one-by-one": max(1, options.streams // 3)}
            rows += rows_of(wire.name, kind, await measure(kind, contestants, options.rounds, times[kind]))
        finally:
            for each in contestants:
                await each.close()
    return rows


def markdown(where: Row, rows: Sequence[Row]) -> str:
    """A table for the documents: median and extremes; Podium as a multiple of the floor, SDKs as one of Podium."""
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    head = (
        f"podium {where['commit']}, {where['at']}; Python {where['python']}, {versions}; {where['machine']}, "
        f"{where['system']}; load {where['load'][0]} at the start; {where['rounds']} rounds."
    )
    titles = " | ".join(f"{words}, µs" for words in KINDS.values())
    lines = [head, "", f"| wire | who | {titles} |", "|---|---|" + "---|" * len(KINDS)]
    for wire, name in dict.fromkeys((row["wire"], row["contestant"]) for row in rows):
        of = {row["kind"]: row for row in rows if (row["wire"], row["contestant"]) == (wire, name)}
        lines.append(f"| {wire} | {name} | " + " | ".join(_cell(of.get(kind)) for kind in KINDS) + " |")
    goals = [row for row in rows if "met" in row]
    missed = [f"{row['metric']} ({row['contestant']})" for row in goals if not row["met"]]
    said = f"{len(goals) - len(missed)} of {len(goals)} goals met (Podium at most {GOAL_FLOOR:g} x the floor; "
    lines += ["", f"{said}an SDK's stream at least {GOAL_SDK:g} x Podium's)."]
    return "\n".join([*lines, *(["Missed: " + ", ".join(missed) + "."] if missed else [])])


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    cost = f"{row['median']:,.0f} [{row['min']:,.0f} - {row['max']:,.0f}]"
    if "over_podium" in row:
        return f"{cost}, {row['over_podium']['median']:.1f}x Podium"
    return f"{cost}, {row['ratio']['median']:.2f}x" if "ratio" in row else cost


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wires", nargs="*", metavar="WIRE", help=f"of {', '.join(WIRES)}; default: all")
    parser.add_argument("--rounds", type=int, default=7, help="samples of each contestant (default 7)")
    parser.add_argument("--calls", type=int, default=40, help="calls a sample (default 40)")
    parser.add_argument("--streams", type=int, default=15, help="streams a sample (default 15)")
    parser.add_argument("--tiny", action="store_true", help="one sample of one: does the machinery work?")
    parser.add_argument("--no-sdks", dest="sdks", action="store_false", help="only the floor and Podium")
    parser.add_argument("--out", type=Path, help="write the rows to this file")
    parser.add_argument("--markdown", type=Path, help="write the table to this file too")
    options = parser.parse_args()
    unknown = [name for name in options.wires if name not in WIRES]
    if unknown:
        parser.error(f"there is no wire {unknown[0]!r}; there are: {', '.join(WIRES)}")
    if options.tiny:
        options.rounds = options.calls = options.streams = 1
    return options


def main() -> int:
    """Measure what was asked for."""
    options = _arguments()
    where: Row = environment("")
    where["versions"] = {name: importlib.metadata.version(name) for name in PACKAGES}
    where["rounds"] = options.rounds
    rows: list[Row] = []

    async def run() -> None:
        with serving(0.0 if options.tiny else GAP) as address:
            for name in options.wires or WIRES:
                print(f"measuring {name} ...", file=sys.stderr, flush=True)
                rows.extend(await of_wire(WIRES[name], address, options))

    asyncio.run(run())
    lines = "".join(json.dumps(row) + "\n" for row in [where, *rows])
    if options.out:
        options.out.write_text(lines, encoding="utf-8")
    else:
        print(lines, end="")
    table = markdown(where, rows)
    if options.markdown:
        options.markdown.write_text(table + "\n", encoding="utf-8")
    print(table, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
