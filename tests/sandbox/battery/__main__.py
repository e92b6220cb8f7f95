"""Run the battery by hand and print what became of each class: `cd tests/sandbox && python -m battery --help`."""

# ruff: noqa: T201

from __future__ import annotations

import argparse
from collections import Counter

from .harness import PROBES, Row, as_somebody, inside


def table(title: str, rows: list[Row], *, every: bool) -> None:
    """Print class by class how many probes ended how, and each that matters."""
    outcomes = sorted({row.outcome for row in rows})
    print(f"\n{title}: " + ", ".join(f"{n} {name}" for name, n in Counter(row.outcome for row in rows).items()))
    for kind in dict.fromkeys(row.kind for row in rows):
        of = Counter(row.outcome for row in rows if row.kind == kind)
        print(f"  {kind:32}" + "".join(f"{name} {of[name]:3}   " for name in outcomes))
    for row in rows:
        expected = {"bare": ("escaped", "apart")}.get(row.rung, ("blocked",))
        if every or row.outcome not in expected:
            print(f"    {row.outcome:8} {row.name:32} {row.detail}")


def main() -> int:
    """Exit code 1 when a probe got out of a box, or one that must bite without a sandbox did not."""
    parser = argparse.ArgumentParser(prog="battery", description=f"{len(PROBES)} hostile programs against the sandbox")
    parser.add_argument("--mode", choices=("A", "B", "bare"), action="append", help="rungs to try (default: all)")
    parser.add_argument("--who", choices=("root", "user"), action="append", help="as whom (default: both)")
    parser.add_argument("--only", default="", help="a class, or a regular expression on names")
    parser.add_argument("--every", action="store_true", help="print each probe")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--rows", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        inside(given.inside, given.only, given.rows)
        return 0
    bad = 0
    for mode in given.mode or ("bare", "A", "B"):
        for who in given.who or ("root", "user"):
            rows = as_somebody(mode, user=who == "user", only=given.only)
            if isinstance(rows, str):
                print(f"\n{mode} as {who}: left out: {rows}")
                continue
            table(f"{mode} as {who}", rows, every=given.every)
            allowed = ("escaped", "apart") if mode == "bare" else ("blocked",)
            bad += sum(row.outcome not in allowed for row in rows)
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
