"""The benchmarks' one command: each figure in a fresh process, JSON lines out, a table of goals at the end.

    python benchmarks/run.py [FIGURE ...] [--quick] [--out FILE] [--peers-envs DIR]

Rows go to FILE, or to the standard output; the table goes to the standard error. Nothing here judges: a goal that is
missed is said, and the exit code is 0. A figure that raises makes it 1.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import importlib
import importlib.metadata
import inspect
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from figures import FIGURES, ON_REQUEST
from measure import HERE, Settings
from peers.run import beside
from table import table

Row = dict[str, Any]


def environment(folder: str) -> Row:
    """Where and with what this is measured."""
    return {
        "metric": "environment",
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} cores, {_cpu()}, {_memory()}",
        "system": platform.system(),
        "store_on": _filesystem(folder or tempfile.gettempdir()),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "versions": {name: importlib.metadata.version(name) for name in ("podium", "msgspec", "pydantic")},
        "commit": _commit(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _filesystem(folder: str) -> str:
    df = shutil.which("df")
    if df is None:
        return "unknown"
    done = subprocess.run([df, "-P", "-T", folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.splitlines()[-1].split()[1] if done.returncode == 0 else "unknown"


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"

    def ask(*words: str) -> str:
        done = subprocess.run(
            [git, *words], cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False
        )
        return done.stdout.strip()

    changed = ask("status", "--porcelain", "--", str(HERE.parent / "src"))
    return (ask("rev-parse", "--short", "HEAD") or "unknown") + (" and changes" if changed else "")


def measured(figure: str, settings: Settings) -> tuple[list[Row], bool]:
    """The rows of one figure, measured in a fresh process, and whether it went through."""
    told = json.dumps([FIGURES[figure], settings.__dict__, []])
    command = [sys.executable, str(HERE / "run.py"), "--figure", told]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    rows = [{"figure": figure, **json.loads(line)} for line in done.stdout.splitlines() if line.startswith("{")]
    if settings.tiny:  # sizes that no goal is about
        judged = {"goal", "met", "goal_ratio", "met_ratio"}
        rows = [{name: value for name, value in row.items() if name not in judged} for row in rows]
    return rows, done.returncode == 0


def _inside(told: str, *, answer: bool) -> None:
    """Do one measurement in this very process."""
    target, settings, arguments = json.loads(told)
    module, _, name = target.partition(":")
    found = getattr(importlib.import_module(module), name)(Settings(**settings), *arguments)
    if inspect.iscoroutine(found):
        found = asyncio.run(found)
    if answer:
        print(json.dumps(found))


def _store_folder(asked: str | None) -> str:
    """Memory, if there is a file system in it: then a sync costs nothing, and the figure is the library's own work."""
    if asked is not None:
        return asked
    shared = Path("/dev/shm")  # noqa: S108 (temporary folders with names of their own are made inside)
    return str(shared) if shared.is_dir() and os.access(shared, os.W_OK) else ""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "figures", nargs="*", metavar="FIGURE", help=f"of {', '.join(FIGURES)}; default: all but install"
    )
    parser.add_argument("--quick", action="store_true", help="three samples and shorter runs")
    parser.add_argument("--tiny", action="store_true", help="one sample of almost nothing: does the machinery work?")
    parser.add_argument("--runs", type=int, default=7, help="samples of each figure (default 7)")
    parser.add_argument("--out", type=Path, help="write the rows to this file")
    parser.add_argument("--tmp", help="where stores are put (default: a tmpfs if there is one, so that syncs are free)")
    parser.add_argument("--peers-envs", type=Path, help="folder with a virtual environment for each peer")
    parser.add_argument("--peers-scripts", type=Path, help="folder with peer_*.py scripts (default: our own)")
    parser.add_argument("--figure", help=argparse.SUPPRESS)
    parser.add_argument("--call", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = [name for name in options.figures if name not in FIGURES]
    if unknown:
        parser.error(f"there is no figure {unknown[0]!r}; there are: {', '.join(FIGURES)}")
    return options


def _write(out: TextIO, rows: Iterable[Row]) -> None:
    for row in rows:
        print(json.dumps(row), file=out, flush=True)


def main() -> int:
    """Measure what was asked for."""
    options = _arguments()
    if options.figure or options.call:
        _inside(options.figure or options.call, answer=bool(options.call))
        return 0
    folder = _store_folder(options.tmp)
    settings = Settings(quick=options.quick, tiny=options.tiny, folder=folder, runs=options.runs)
    names = options.figures or [name for name in FIGURES if name not in ON_REQUEST]
    where = environment(folder)
    found: list[Row] = []
    broken = False
    letters: set[str] = set()
    out: TextIO = options.out.open("w", encoding="utf-8") if options.out else sys.stdout
    try:
        _write(out, [where])
        for name in names:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            rows, well = measured(name, settings)
            if options.peers_envs is not None:
                rows += beside(name, options.peers_envs, options.peers_scripts, settings, letters)
            broken = broken or not well
            _write(out, rows)
            found += rows
    finally:
        if options.out:
            out.close()
    print(table(where, found), file=sys.stderr)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
