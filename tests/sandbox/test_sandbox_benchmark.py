"""The benchmark of the sandbox goes through, at sizes of almost nothing. How long anything takes is never asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "sandbox.py"


def test_each_kind_of_call_gives_a_row_with_wall_and_cpu(box_here: None) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--tiny"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = {row["metric"]: row for row in map(json.loads, done.stdout.splitlines())}
    for kind in ("python", "program", "function"):
        for how in ("warm", "cold"):
            row = rows[f"sandbox.{kind}.{how}"]
            assert row["n"] == 2
            assert row["min"] > 0 < row["cpu"]["min"]
    assert rows["sandbox.memory.waiting"]["median"] > 0
