"""Shapes of runs: side by side, one after the other, and one member talking to another. All members do nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import bare
from measure import Settings, alternate, per_unit, report
from podium import Context, Parallel, Podium, Sequential, member
from shapes import checked, nothing, plus_one


async def fanout(settings: Settings) -> None:
    """CPU milliseconds of one run that goes 1 -> 100 -> 1."""
    width = settings.size(100)
    team = Parallel(*[nothing] * width, join=len)

    @member
    async def branches(ctx: Context, input: Any) -> int:
        async def branch(own: Context) -> int:
            return 1

        return sum(await ctx.gather(*[branch] * width))

    @member
    async def calling(ctx: Context, input: Any) -> int:
        async def branch(own: Context) -> Any:
            return await own.call(nothing, 1)

        return sum(await ctx.gather(*[branch] * width))

    async def plain() -> None:
        for _ in range(20):
            await bare.fan(width)

    for metric, whole, what in (
        ("parallel", team, "Parallel of 100 members"),
        ("gather", branches, "ctx.gather of 100 branches without a step"),
        ("gather_call", calling, "ctx.gather of 100 branches that call a member each"),
    ):

        async def ours(whole: Any = whole) -> None:
            for _ in range(5):
                checked(await whole.run(1), width)

        pairs = await alternate(per_unit(ours, 5, 1e3), per_unit(plain, 20, 1e3), settings.repetitions)
        report(f"fanout.{metric}", pairs, "ms CPU", baseline="asyncio.gather of 100", what=what, width=width)


async def chain(settings: Settings) -> None:
    """CPU microseconds a node."""
    for length in (3,) if settings.tiny else (100, 1000):
        whole = Sequential(*[plus_one] * length)
        runs = max(1, 1000 // length)

        async def ours(whole: Sequential = whole, runs: int = runs, length: int = length) -> None:
            for _ in range(runs):
                checked(await whole.run(0), length)

        async def plain(length: int = length, runs: int = runs) -> None:
            for _ in range(runs):
                await bare.chain(length)

        pairs = await alternate(
            per_unit(ours, runs * length, 1e6), per_unit(plain, runs * length, 1e6), settings.repetitions
        )
        report(f"chain.{length}", pairs, "us CPU a node", baseline="one asyncio task a node", length=length)


async def message(settings: Settings) -> None:
    """CPU microseconds of a message to another member of the run (and its answer), and of a signal to another run."""
    count = settings.size(500)

    @member
    async def talk(ctx: Context, input: Any) -> int:
        for _ in range(count):
            await ctx.call(nothing, "hello")
        return count

    async def ours() -> None:
        checked(await talk.run(), count)

    async def plain() -> None:
        await bare.queues(count)

    pairs = await alternate(per_unit(ours, count, 1e6), per_unit(plain, count, 1e6), settings.repetitions)
    report(
        "message.call", pairs, "us CPU", baseline="two asyncio queues", what="ctx.call of a member: message and answer"
    )
    pairs = await alternate(_signals(count), per_unit(plain, count, 1e6), settings.repetitions)
    report(
        "message.signal",
        pairs,
        "us CPU",
        baseline="two asyncio queues",
        what="handle.signal to a run in memory that waits for it: posted, journaled, delivered",
    )


def _signals(count: int) -> Any:
    heard = asyncio.Event()

    @member
    async def listen(ctx: Context, input: Any) -> int:
        for _ in range(count):
            await ctx.wait("hello", timeout=20)
            heard.set()
        return count

    async def sample() -> float:
        async with Podium() as app:
            handle = await app.start(listen)

            async def talk() -> None:
                for index in range(count):
                    heard.clear()
                    await handle.signal("hello", index)
                    await heard.wait()

            found = await per_unit(talk, count, 1e6)()
            checked(await handle.result(), count)
        return found

    return sample
