"""The benchmark of the wires goes through, at sizes of almost nothing. How long anything takes is never asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "wires.py"
WIRES = {"openai", "openai-responses", "anthropic", "gemini", "ollama"}
KINDS = {"call", "stream", "one-by-one"}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )


def test_each_wire_gives_rows_with_the_ratio_to_the_floor_and_a_table(tmp_path: Path) -> None:
    out, table = tmp_path / "out.jsonl", tmp_path / "out.md"
    done = run("--tiny", "--no-sdks", "--out", out, "--markdown", table)
    assert done.returncode == 0, done.stderr
    where, *rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert {"machine", "python", "versions", "commit", "load", "at", "rounds"} <= set(where)
    assert {(row["wire"], row["kind"], row["contestant"]) for row in rows} == {
        (wire, kind, who) for wire in WIRES for kind in KINDS for who in ("floor", "podium")
    }
    for row in rows:
        assert 0 < row["min"] <= row["median"] <= row["max"]
        assert ("ratio" in row) == (row["contestant"] != "floor")
    assert table.read_text("utf-8").count("| podium |") == len(WIRES)


def test_an_official_sdk_is_measured_beside_them() -> None:
    done = run("--tiny", "ollama")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()][1:]
    theirs = [row for row in rows if row["contestant"].startswith("ollama ")]
    assert {row["kind"] for row in theirs} == KINDS
    assert all(row["over_podium"]["median"] > 0 for row in theirs)


def test_an_unknown_wire_is_refused_with_the_names_of_those_there_are() -> None:
    done = run("telegraph")
    assert done.returncode == 2
    assert "there is no wire 'telegraph'" in done.stderr
    assert "openai-responses" in done.stderr
