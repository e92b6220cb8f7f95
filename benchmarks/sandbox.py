"""What a sandboxed call costs: warm and cold, Python, a program and a function, and the memory of a box that waits.

    python benchmarks/sandbox.py [--runs N] [--tiny]

Wall time is what a caller waits, so it is measured beside CPU: `cpu` is that of all the payload's processes, `host`
that of this process. A shared machine stretches the first; look at `min` and at CPU when comparing. Rows are JSON
lines. Goals on a quiet machine: a warm call below 5 ms, a cold one below 120 ms. Nothing is judged.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from measure import report, skipped, spread
from podium.tools.sandbox import Sandbox, SandboxResult, SandboxUnavailable
from podium.tools.sandbox.boxes import TEMPLATE
from podium.tools.sandbox.pool import POOL

PAUSE = 0.25
"""Seconds for a box to be made in the background between warm calls."""


@dataclass
class Samples:
    """Milliseconds of each call: what the caller waited, CPU inside, CPU here."""

    wall: list[float] = field(default_factory=list[float])
    cpu: list[float] = field(default_factory=list[float])
    host: list[float] = field(default_factory=list[float])


async def sample(call: Callable[[], Awaitable[SandboxResult]], runs: int, *, pause: float) -> Samples:
    """`runs` calls, after one that does not count."""
    found = Samples()
    for index in range(runs + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        result = await call()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if not result.success or result.cpu_ms is None:
            raise RuntimeError(result.error)
        if index:
            found.wall.append(wall * 1e3)
            found.cpu.append(result.cpu_ms)
            found.host.append(cpu * 1e3)
        await asyncio.sleep(pause)
    return found


async def measured(runs: int, pause: float) -> None:
    """Every row."""
    warm, cold = Sandbox(warm=1), Sandbox(warm=0, env={"COLD": "1"})
    calls: dict[str, Callable[[Sandbox], Awaitable[SandboxResult]]] = {
        "python": lambda box: box.python("n * 2", {"n": 21}),
        "program": lambda box: box.run(["/bin/true"]),
        "function": lambda box: box.call("math:sqrt", [9.0]),
    }
    for name, call in calls.items():
        for kind, box in (("warm", warm), ("cold", cold)):
            found = await sample(lambda box=box, call=call: call(box), runs, pause=pause if kind == "warm" else 0)
            goal = 5 if kind == "warm" else 120
            rung = box.rung()
            used, here = spread(found.cpu), spread(found.host)
            report(f"sandbox.{name}.{kind}", found.wall, "ms wall", cpu=used, host=here, goal=goal, rung=rung)
    await throughput(cold, runs)
    memory(warm)


async def throughput(box: Sandbox, runs: int) -> None:
    """Cold calls a second, as many at once as there are cores."""
    cores = os.cpu_count() or 1
    started = time.perf_counter()

    async def some() -> None:
        for _ in range(runs):
            await box.python("1")

    await asyncio.gather(*(some() for _ in range(cores)))
    report("sandbox.throughput", [runs * cores / (time.perf_counter() - started)], "cold calls/s", at_once=cores)


def memory(box: Sandbox) -> None:
    """Proportional memory of the template, and of one box that waits: launcher, process 1 and the interpreter."""
    POOL.close()
    time.sleep(0.5)
    template = TEMPLATE.pid
    if template is None:
        skipped("sandbox.memory", "no template process")
        return
    before = _proportional(template)
    box.python_sync("1")
    time.sleep(0.5)
    report("sandbox.memory.template", [before / 1024], "MiB")
    report("sandbox.memory.waiting", [(_proportional(template) - before) / 1024], "MiB")


def _proportional(root: int) -> int:
    """KiB of a process and all below it, shared pages counted in part."""
    total, pending = 0, [root]
    while pending:
        pid = pending.pop()
        folder = Path(f"/proc/{pid}")
        try:
            total += int((folder / "smaps_rollup").read_text().partition("\nPss:")[2].split()[0])
            pending += [int(word) for word in (folder / "task" / str(pid) / "children").read_text().split()]
        except OSError:
            continue
    return total


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30, help="calls of each kind (default 30)")
    parser.add_argument("--tiny", action="store_true", help="two calls of each kind: does the machinery work?")
    options = parser.parse_args()
    try:
        Sandbox().rung()
    except SandboxUnavailable as error:
        skipped("sandbox", str(error))
        return 0
    asyncio.run(measured(2 if options.tiny else options.runs, 0.05 if options.tiny else PAUSE))
    return 0


if __name__ == "__main__":
    sys.exit(main())
