"""Where the tools of the targets leave what they did: one line for each thing."""

import json
import os
from pathlib import Path


def sent(line: object) -> None:
    """Do something to the world."""
    with (Path(os.environ["PODIUM_WORLD"]) / "outbox").open("a") as out:
        out.write(json.dumps(line, sort_keys=True) + "\n")


def lines() -> list[str]:
    """What was done."""
    path = Path(os.environ["PODIUM_WORLD"]) / "outbox"
    return path.read_text().splitlines() if path.exists() else []
