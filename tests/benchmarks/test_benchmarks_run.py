"""The benchmarks go through, at sizes of almost nothing. How long anything takes is never asserted."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

METRICS = {
    "import": {"import.agent", "import.agent_and_tool", "import.agent.modules", "import.agent.memory"},
    "turn": {"turn.2", "turn.3"},
    "durable": {
        "durable.2",
        "durable.next.2",
        "durable.bytes.next.3",
        "durable.3",
        "durable.bytes.3",
        "durable.close.3",
    },
    "resume": {"resume.2", "resume.3", "resume.open.3"},
    "fanout": {"fanout.parallel", "fanout.gather", "fanout.gather_call"},
    "chain": {"chain.3"},
    "message": {"message.call", "message.signal"},
    "concurrent": {"concurrent.cpu", "concurrent.memory"},
    "suspended": {"suspended.memory", "suspended.start", "suspended.wake"},
    "gate": {"gate.p50", "gate.p99"},
    "policy": {"policy.spread.p50", "policy.spread.p99", "policy.one_tool.p50", "policy.one_tool.p99"},
    "store": {"store.group_1", "store.group_100"},
}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / "run.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def rows_in(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("figure", METRICS)
def test_a_figure_gives_rows_with_its_spread_and_the_ratio_to_its_baseline(figure: str, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = run(figure, "--tiny", "--out", out, "--tmp", tmp_path)
    assert done.returncode == 0, done.stderr
    environment, *rows = rows_in(out.read_text("utf-8"))
    assert environment["metric"] == "environment"
    assert {"machine", "python", "sqlite", "versions", "commit", "load", "store_on", "at"} <= set(environment)
    assert METRICS[figure] <= {row["metric"] for row in rows}
    for row in rows:
        assert row["figure"] == figure
        assert row["n"] >= 1
        assert row["unit"]
        assert row["min"] <= row["median"] <= row["max"]
        assert math.isfinite(row["median"])
        if "baseline" in row:
            assert row["baseline"]["name"]
            assert row["ratio"] is None or row["ratio"]["min"] <= row["ratio"]["median"] <= row["ratio"]["max"]
        assert row["metric"] in done.stderr


def test_syncs_are_counted_or_the_reason_why_not_is_given() -> None:
    done = run("syncs", "--tiny")
    assert done.returncode == 0, done.stderr
    rows = rows_in(done.stdout)[1:]
    counted = {row["metric"]: row["median"] for row in rows if "skipped" not in row}
    if len(counted) < 5:
        assert any(row.get("skipped") for row in rows)
        return
    assert counted["syncs.read"] == 0
    assert counted["syncs.write"] >= 1


def test_an_unknown_figure_is_refused_with_the_names_of_those_there_are() -> None:
    done = run("speed")
    assert done.returncode == 2
    assert "there is no figure 'speed'" in done.stderr
    assert "turn" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="environments are found by their bin/python")
def test_peers_run_beside_the_figure_and_a_failing_one_is_said(tmp_path: Path) -> None:
    row = {"peer": "well", "figure": "B", "metric": "loop", "unit": "us", "n": 1, "median": 2, "min": 1, "max": 3}
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "peer_well.py").write_text(
        f"import os, sys\nassert sys.argv[1] == 'B' and os.environ['REPS'] == '1'\nprint({json.dumps(row)!r})\n",
        "utf-8",
    )
    (scripts / "peer_ill.py").write_text("raise SystemExit('the peer is ill')\n", "utf-8")
    (scripts / "peer_absent.py").write_text("raise SystemExit('never run')\n", "utf-8")
    for name in ("well", "ill"):
        python = tmp_path / "envs" / name / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.symlink_to(sys.executable)
    done = run("turn", "--tiny", "--peers-envs", tmp_path / "envs", "--peers-scripts", scripts)
    assert done.returncode == 0, done.stderr
    peers = {found["peer"]: found for found in rows_in(done.stdout) if "peer" in found}
    assert peers.keys() == {"well", "ill"}
    assert peers["well"] == {**row, "figure": "turn"}
    assert peers["ill"]["skipped"] == "the peer is ill"
    assert "well: loop" in done.stderr
