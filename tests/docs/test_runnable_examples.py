"""The small programs in examples/ do what their first lines say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent


def run(folder: Path, *command: str | Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


def test_hello_greets(tmp_path: Path) -> None:
    assert "Ada" in run(tmp_path, sys.executable, ROOT / "examples/hello.py")


def test_approval_stops_before_the_refund_and_goes_on_once_it_was_approved(tmp_path: Path) -> None:
    assert run(tmp_path, sys.executable, ROOT / "examples/approval.py").split()[-1] == "suspended"
    run(tmp_path, BIN / "podium", "approve", "refund-A17", "--no-resume", "--quiet")
    assert run(tmp_path, sys.executable, ROOT / "examples/approval.py").split() == ["succeeded"]
