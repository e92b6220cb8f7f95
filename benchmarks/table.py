"""The rows of a run as a table for people: what was measured, the goal, and whether it is met.

python benchmarks/table.py FILE [--markdown] shows a stored run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]

HEAD = ("metric", "measured [least - most]", "unit", "x baseline [least - most]", "goal", "")


def table(where: Row, rows: Sequence[Row]) -> str:
    """A plain-text table; peers stand below the figure they were run beside."""
    lines = [_line(row) for row in rows]
    top = said_of(where)
    widths = [max(len(line[column]) for line in [HEAD, *lines]) for column in range(len(HEAD))]
    drawn = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    head = "  ".join(cell.ljust(width) for cell, width in zip(HEAD, widths, strict=True)).rstrip()
    goals = [row for row in rows if "met" in row]
    met = sum(1 for row in goals if row["met"] or row.get("met_ratio"))
    end = f"{met} of {len(goals)} goals met." if goals else ""
    return "\n".join(["", top, "", head, "-" * len(head), *drawn, "", end])


def markdown(where: Row, rows: Sequence[Row]) -> str:
    """The same as a Markdown table."""
    lines = [HEAD, ("---",) * len(HEAD), *[_line(row) for row in rows]]
    drawn = ["| " + " | ".join(cell.strip() for cell in line) + " |" for line in lines]
    return "\n".join([said_of(where), "", *drawn])


def said_of(where: Row) -> str:
    """Where and with what it was measured."""
    return (
        f"podium {where['versions']['podium']} ({where['commit']}), Python {where['python']}, "
        f"SQLite {where['sqlite']}; {where['machine']}; stores on {where['store_on']}; "
        f"{where['at']}, load {where['load'][0]}"
    )


def _line(row: Row) -> tuple[str, ...]:
    name = row["metric"] if "peer" not in row else f"  {row['peer']}: {row['metric']}"
    if "skipped" in row:
        return (name, f"skipped: {row['skipped']}", "", "", "", "")
    ratio = row.get("ratio")
    goal = "" if "goal" not in row else f"<= {row['goal']:g}"
    times = f" or {row['goal_ratio']:g}x" if "goal_ratio" in row else ""
    return (name, _spread(row), row["unit"], "" if ratio is None else _spread(ratio), goal + times, _said(row))


def _said(row: Row) -> str:
    if "met" not in row:
        return ""
    if row["met"]:
        return "met"
    return "met by ratio" if row.get("met_ratio") else "MISSED"


def _spread(found: Row) -> str:
    return f"{_number(found['median'])} [{_number(found['min'])} - {_number(found['max'])}]"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    where, *rows = [json.loads(line) for line in options.file.read_text(encoding="utf-8").splitlines()]
    print((markdown if options.markdown else table)(where, rows))


if __name__ == "__main__":
    _main()
