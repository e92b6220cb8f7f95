"""Many runs in one process: a thousand at work, ten thousand that wait."""

from __future__ import annotations

import asyncio
from typing import Any

import bare
from measure import Settings, alternate, in_fresh_process, peak_kib, per_unit, report, resident_kib, timed
from podium import Context, Podium, Status, member
from shapes import adder, checked

TURNS = 5


async def concurrent(settings: Settings) -> None:
    """CPU seconds and memory of a thousand runs of five turns, all at once. Memory is measured in fresh processes."""
    count = settings.size(1000)
    kib: dict[str, list[float]] = {"ours": [], "bare": []}
    for _ in range(min(3, settings.repetitions)):
        for whose, found in kib.items():
            found.append(in_fresh_process("figures.many:memory_of", settings, whose, count))
    report("concurrent.memory", kib["ours"], "KiB a run at the peak", runs=count, bare=kib["bare"])
    pairs = await alternate(per_unit(_ours(count), 1, 1.0), per_unit(_plain(count), 1, 1.0), settings.repetitions)
    report("concurrent.cpu", pairs, "s CPU", baseline="bare asyncio loops", runs=count, turns=TURNS)


def _ours(count: int) -> Any:
    agent = adder(TURNS)

    async def one() -> None:
        checked(await agent.run("go"))

    async def work() -> None:
        await asyncio.gather(*(one() for _ in range(count)))

    return work


def _plain(count: int) -> Any:
    async def one() -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        await bare.agent(TURNS)

    async def work() -> None:
        await asyncio.gather(*(one() for _ in range(count)))

    return work


async def memory_of(settings: Settings, whose: str, count: int) -> float:
    """Peak memory a run, over what the process held when it had made one."""
    make = _ours if whose == "ours" else _plain
    await make(1)()
    before = peak_kib()
    await make(count)()
    return (peak_kib() - before) / count


@member
async def waiting(ctx: Context, input: Any) -> Any:
    """A run that waits for a word."""
    return await ctx.wait("go")


async def suspended(settings: Settings) -> None:
    """Ten thousand runs that wait on SQLite: what each costs to start and park, what it holds, and waking one."""
    count = settings.size(2000 if settings.quick else 10_000, 20)
    found = in_fresh_process("figures.many:suspend", settings, count)
    parked = in_fresh_process("figures.many:park_tasks", settings, count)
    more: dict[str, Any] = {"runs": count, "rss_before_kib": found["before"], "rss_after_kib": found["after"]}
    report("suspended.memory", [found["kib"]], "KiB held for each waiting run", **more, bare_task_kib=parked)
    report("suspended.start", [found["start"]], "us CPU to start a run and let it wait", runs=count)
    report("suspended.wake", found["wake"], "ms CPU to wake one run and finish it", runs=count, wall=found["wall"])


async def suspend(settings: Settings, count: int) -> dict[str, Any]:
    """Suspend `count` runs and wake some, in this process."""
    with settings.temporary() as folder:
        async with Podium(f"sqlite:///{folder}/x.db", members=[waiting]) as app:
            warm = min(200, count)
            await _park(app, 0, warm)
            before = resident_kib()
            with timed() as start:
                await _park(app, warm, count)
            after = resident_kib()
            cpu: list[float] = []
            wall: list[float] = []
            for index in range(min(5, count)):
                handle = app.handle(f"run-{count * index // 5}")
                with timed() as woken:
                    await handle.signal("go", "on")
                    checked(await handle.result(), "on")
                cpu.append(woken.cpu * 1e3)
                wall.append(woken.wall * 1e3)
    parked = max(1, count - warm)
    return {
        "before": before,
        "after": after,
        "kib": (after - before) / parked,
        "start": start.cpu / parked * 1e6,
        "wake": cpu,
        "wall": wall,
    }


async def _park(app: Podium, first: int, last: int) -> None:
    for start in range(first, last, 100):
        several = range(start, min(last, start + 100))
        results = await asyncio.gather(*(waiting.run(app=app, run_id=f"run-{index}") for index in several))
        if any(result.status is not Status.SUSPENDED for result in results):
            raise AssertionError("a run that should wait does not")


async def park_tasks(settings: Settings, count: int) -> float:
    """KiB of each of `count` asyncio tasks that wait for a future."""
    loop = asyncio.get_running_loop()

    async def one() -> None:
        await loop.create_future()

    before = resident_kib()
    tasks = [asyncio.create_task(one()) for _ in range(count)]
    await asyncio.sleep(0)
    held = (resident_kib() - before) / count
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return held
