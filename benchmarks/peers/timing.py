# pyright: basic
"""What the peers' scripts share: CPU time of samples in turn with a bare loop's, and one JSON line a figure.

The baselines are those of our own figures, so that ratios compare where the machine's load makes times useless.
Standard library only.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))
import bare as baselines  # our own baselines, beside this folder

TURNS = 20
REPS = int(os.environ.get("REPS", "5"))
LENGTHS = [int(turns) for turns in os.environ.get("LENGTHS", "20,200").split(",")]
PEER = Path(sys.argv[0]).stem.removeprefix("peer_")


def spread(samples: list[float]) -> dict[str, float]:
    """Median, least and most."""
    numbers = {"median": statistics.median(samples), "min": min(samples), "max": max(samples)}
    return {name: round(value, 4) for name, value in numbers.items()}


def emit(
    figure: str, metric: str, samples: list[float], unit: str, baseline: list[float] | None = None, **more: Any
) -> None:
    """Print one row, with the ratio to a baseline sampled in turn."""
    row = {"peer": PEER, "figure": figure, "metric": metric, "unit": unit, "n": len(samples), **spread(samples)}
    if baseline:
        row["ratio"] = spread([mine / plain for mine, plain in zip(samples, baseline, strict=True)])
    print(json.dumps({**row, **more}), flush=True)


@contextmanager
def cpu(found: list[float], scale: float):
    """Append the CPU seconds of a block, times `scale`."""
    gc.collect()
    start = time.process_time()
    yield
    found.append((time.process_time() - start) * scale)


Work = Callable[[], Awaitable[object]]


async def timed(
    figure: str, metric: str, work: Work, units: int, unit: str, scale: float, plain: Work, plain_units: int
) -> None:
    """CPU of `work` for each of its units in turn with that of `plain`, after one round that does not count."""
    found: list[float] = []
    bare: list[float] = []
    await work()
    await plain()
    for _ in range(REPS):
        with cpu(bare, scale / plain_units):
            await plain()
        with cpu(found, scale / units):
            await work()
    emit(figure, metric, found, unit, bare)


async def bare_turns() -> None:
    """A hundred runs of the bare loop."""
    for _ in range(100):
        await baselines.agent(TURNS)


async def turns(metric: str, work: Work, units: int) -> None:
    """An in-memory turn."""
    await timed("B", metric, work, units, "us CPU a turn", 1e6, bare_turns, 100 * TURNS)


async def fanout(work: Work) -> None:
    """1 -> 100 -> 1."""

    async def plain() -> None:
        for _ in range(20):
            await baselines.fan(100)

    await timed("D", "fanout_100", work, 1, "ms CPU", 1e3, plain, 20)


async def chain(work: Work) -> None:
    """A thousand nodes, one after the other."""
    await timed("D", "chain_1000", work, 1000, "us CPU a node", 1e6, lambda: baselines.chain(1000), 1000)


def bytes_in(folder: str) -> int:
    """Bytes in the files of a folder."""
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


Store = Callable[[str], AbstractAsyncContextManager[Callable[[int], Awaitable[object]]]]


async def durable(metric: str, make: Store, *, most: int = 1000) -> None:
    """`make(folder)` opens a store there and yields `run(turns)`: CPU and bytes a turn for each length up to `most`."""
    for length in [length for length in LENGTHS if length <= most]:
        used: list[float] = []
        bare: list[float] = []
        size: list[float] = []
        for index in range(REPS + 1):
            folder = tempfile.mkdtemp(prefix="peer-bench-", dir=os.environ.get("BENCH_TMP"))
            try:
                connection = baselines.database(Path(folder) / "bare.db")
                with cpu(bare, 1e6 / length):
                    await baselines.durable_agent(connection, length)
                connection.close()
                (Path(folder) / "bare.db").unlink()
                async with make(folder) as run:
                    with cpu(used, 1e6 / length):
                        await run(length)
                size.append(bytes_in(folder) / length)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            if not index:
                used.clear()
                bare.clear()
                size.clear()
        emit("C", f"{metric}.{length}", used, "us CPU a turn", bare, turns=length)
        emit("C", f"{metric}.bytes.{length}", size, "bytes on disk a turn", turns=length)


async def concurrent(metric: str, one: Callable[[], Awaitable[object]], runs: int = 1000) -> None:
    """CPU and peak memory of many runs at once; memory over what one run left."""
    await one()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found: list[float] = []
    bare: list[float] = []
    kib = 0.0

    async def quiet() -> None:
        await one()

    async def plain() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        await baselines.agent(5)

    for index in range(min(2, REPS)):
        with cpu(bare, 1.0):
            await asyncio.gather(*(plain() for _ in range(runs)))
        with cpu(found, 1.0):
            await asyncio.gather(*(quiet() for _ in range(runs)))
        if not index:
            kib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / runs
    emit("E", f"{metric}.cpu", found, "s CPU", bare, runs=runs)
    emit("E", f"{metric}.memory", [kib], "KiB a run at the peak", runs=runs)


def main(figures: dict[str, Callable[[], Awaitable[None]]]) -> None:
    """Measure the figures named on the command line that this script knows."""
    for letter in sys.argv[1:] or list(figures):
        if letter in figures:
            asyncio.run(figures[letter]())  # type: ignore[arg-type]
