"""The third-party peers, and where they are: `scripts/mcpsuite` knows what they are and how they are installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SECONDS = 120
"""Longer than any of them takes on a busy machine."""


def missing() -> str:
    """Why there are no peers to talk to; empty when there are."""
    if (Path(sys.prefix) / "mcpsuite" / "installed").exists():
        return ""
    return "the MCP peers are not installed: run scripts/venv where npm's registry can be reached"


def command(name: str) -> list[str]:
    """The command line that runs `conformance` or `everything`."""
    told = subprocess.run(
        ["sh", ROOT / "scripts" / "mcpsuite", "--where", name],
        env={**os.environ, "PODIUM_VENV": sys.prefix},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    return told.stdout.split("\n")[:2]
