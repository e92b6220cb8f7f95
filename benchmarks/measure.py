"""Measuring: CPU time of alternating samples, ratios of neighbours, and one JSON line a row.

A baseline and ours are sampled in turn (A B A B) in one process, so that what else the machine does meets both alike;
the ratio of a pair of neighbours is therefore worth more than either time. CPU time is of the process with all its
threads. It knows nothing of what is measured, and never asserts a time.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goals import GOALS, Goal

HERE = Path(__file__).resolve().parent

Sample = Callable[[], Awaitable[float]]
"""Does its work once and returns what it cost, in the row's unit."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is measured. `folder` holds the stores of the benchmark; on a tmpfs a sync costs nothing."""

    quick: bool = False
    tiny: bool = False
    folder: str = ""
    runs: int = 7

    @property
    def repetitions(self) -> int:
        """How many pairs are sampled."""
        return 1 if self.tiny else 3 if self.quick else self.runs

    def size(self, full: int, tiny: int = 3) -> int:
        """A size: the whole one, or a tiny one when only the machinery is tried."""
        return tiny if self.tiny else full

    def lengths(self) -> tuple[int, ...]:
        """How many turns the runs have."""
        return (2, 3) if self.tiny else (20, 200) if self.quick else (20, 200, 1000)

    @contextmanager
    def temporary(self) -> Generator[Path]:
        """A fresh folder, gone afterwards."""
        path = Path(tempfile.mkdtemp(prefix="podium-bench-", dir=self.folder or None))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


@dataclass
class Timed:
    """CPU and wall seconds of a block."""

    cpu: float = 0.0
    wall: float = 0.0


@contextmanager
def timed() -> Generator[Timed]:
    """Time a block, starting from a collected heap."""
    gc.collect()
    found = Timed()
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        yield found
    finally:
        found.cpu, found.wall = time.process_time() - cpu, time.perf_counter() - wall


def per_unit(work: Callable[[], Awaitable[object]], units: int, scale: float) -> Sample:
    """A sample of `work`: its CPU seconds, times `scale`, for each of the `units` it does."""

    async def sample() -> float:
        with timed() as clock:
            await work()
        return clock.cpu / units * scale

    return sample


@dataclass
class Pairs:
    """Samples of ours and of the baseline, neighbours at the same index."""

    ours: list[float] = field(default_factory=list[float])
    bare: list[float] = field(default_factory=list[float])

    def after(self, warm: int) -> Pairs:
        """The pairs without the first `warm`."""
        return Pairs(self.ours[warm:], self.bare[warm:])


async def alternate(ours: Sample, bare: Sample, repetitions: int, *, warm: int = 1) -> Pairs:
    """Sample the baseline and ours in turn, after `warm` rounds that do not count."""
    pairs = Pairs()
    for index in range(repetitions + warm):
        plain, own = await bare(), await ours()
        if index >= warm:
            pairs.bare.append(plain)
            pairs.ours.append(own)
    return pairs


def spread(samples: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {
        "median": round(statistics.median(samples), 4),
        "min": round(min(samples), 4),
        "max": round(max(samples), 4),
    }


def report(
    metric: str,
    samples: Sequence[float] | Pairs,
    unit: str,
    *,
    baseline: str = "",
    **more: Any,
) -> None:
    """Print one row. With pairs it has the baseline, named by `baseline`, and the ratio of neighbours."""
    pairs = samples if isinstance(samples, Pairs) else None
    ratio: dict[str, float] | None = None
    own: Sequence[float] = samples.ours if isinstance(samples, Pairs) else samples
    row: dict[str, Any] = {"metric": metric, "unit": unit, "n": len(own), **spread(own)}
    if pairs is not None:
        ratios = [mine / plain for mine, plain in zip(pairs.ours, pairs.bare, strict=True) if plain > 0]
        ratio = spread(ratios) if ratios else None
        row["baseline"], row["ratio"] = {"name": baseline, **spread(pairs.bare)}, ratio
    goal: Goal | None = GOALS.get(metric)
    if goal is not None:
        row["goal"], row["met"] = goal.value, row["median"] <= goal.value
        if goal.times is not None and ratio is not None:
            row["goal_ratio"], row["met_ratio"] = goal.times, ratio["median"] <= goal.times
    row.update(more)
    row["load"] = round(os.getloadavg()[0], 2)
    print(json.dumps(row), flush=True)


def skipped(metric: str, why: str) -> None:
    """Print a row that says why there is no figure."""
    print(json.dumps({"metric": metric, "skipped": why}), flush=True)


def peak_kib() -> int:
    """The most memory this process ever held.

    Not `ru_maxrss` where there is better: Linux hands that of the parent down to a child.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak // 1024 if sys.platform == "darwin" else peak
    return int(status.partition("VmHWM:")[2].split()[0])


def resident_kib() -> int:
    """What it holds now (where the system does not say: the most it ever held)."""
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return peak_kib()
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def bytes_in(folder: Path) -> int:
    """Bytes in the files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def in_fresh_process(target: str, settings: Settings, *arguments: object) -> Any:
    """What `module:function(settings, *arguments)` returns in a process of its own. The value travels as JSON."""
    told = json.dumps([target, settings.__dict__, arguments])
    done = subprocess.run(
        [sys.executable, str(HERE / "run.py"), "--call", told], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def child_cpu(code: str, environment: dict[str, str]) -> float:
    """CPU seconds of one fresh interpreter that runs `code`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def child_says(code: str, environment: dict[str, str]) -> str:
    """What a fresh interpreter that runs `code` prints."""
    return subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, env=environment
    ).stdout
