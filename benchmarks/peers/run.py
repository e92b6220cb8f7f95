"""Runs peers' scripts, each in its own virtual environment and a fresh process, and takes their rows.

The scripts are `peer_NAME.py`; each takes letters of figures and prints rows of JSON with `peer`, `figure`, `metric`,
`unit`, `median`, `min` and `max`. The environment of `peer_NAME.py` is the folder NAME, with `-` or `_`.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from measure import Settings

LETTERS = {"turn": "B", "durable": "C", "resume": "C", "fanout": "D", "chain": "D", "concurrent": "E", "message": "F"}
"""What the scripts call our figures."""

LIMIT = 600
"""Seconds for one script."""

HERE = Path(__file__).resolve().parent


def beside(figure: str, envs: Path, scripts: Path | None, settings: Settings, done: set[str]) -> list[dict[str, Any]]:
    """The peers' rows for one of our figures. A peer without an environment is left out; one that fails is said.

    Two of our figures may be one of theirs; it is run once. `done` holds the letters that were.
    """
    letter = LETTERS.get(figure)
    if letter is None or letter in done:
        return []
    done.add(letter)
    rows: list[dict[str, Any]] = []
    for script in sorted((scripts or HERE).glob("peer_*.py")):
        name = script.stem.removeprefix("peer_")
        python = _python(envs, name)
        if python is None:
            continue
        try:
            rows += [{**row, "figure": figure} for row in _rows(python, script, letter, settings)]
        except (subprocess.SubprocessError, OSError) as error:
            rows.append({"figure": figure, "peer": name, "metric": letter, "skipped": _why(error)})
    return rows


def _python(envs: Path, name: str) -> Path | None:
    for folder in (name, name.replace("_", "-")):
        python = envs / folder / "bin" / "python"
        if python.exists():
            return python
    return None


def _rows(python: Path, script: Path, letter: str, settings: Settings) -> list[dict[str, Any]]:
    environment = {
        **os.environ,
        "REPS": str(settings.repetitions),
        "LENGTHS": ",".join(str(turns) for turns in settings.lengths()),
        "OTEL_SDK_DISABLED": "true",
    }
    if settings.folder:
        environment["BENCH_TMP"] = settings.folder
    done = subprocess.run(
        [str(python), str(script), letter],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=environment,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"peer"')]


def _why(error: Exception) -> str:
    stderr = getattr(error, "stderr", None)
    if isinstance(stderr, str) and stderr.strip():
        return stderr.strip().splitlines()[-1]
    return str(error)
