"""A run as it is followed: what is recorded of it, then what is live, whoever drives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from podium.core.deltas import Transient
from podium.core.errors import RunNotFound
from podium.core.records import Record, Status
from podium.ports import Store
from podium.runtime.driver import Driver
from podium.runtime.streams import Stream


async def followed(
    driver: Driver, store: Store, run_id: str, stream: Stream, *, poll: float, stop_at_suspension: bool
) -> AsyncGenerator[Record | Transient, None]:
    """Everything `stream` hears of a run, until it is over (or, with `stop_at_suspension`, waits for somebody).

    `poll` is how often to look for what another process writes, in seconds. Raises RunNotFound.
    """
    if stream not in driver.listen(run_id):
        driver.listen(run_id).append(stream)

    async def look() -> None:
        # Nobody tells us what another process writes: look again and again.
        seen = 0
        while True:
            await driver.flushed(run_id)
            row = await store.row(run_id)
            for record in await store.read(run_id, seen):
                seen += 1
                stream.record(seen, record)
            if row is None or row.status.over or (stop_at_suspension and row.status is Status.SUSPENDED):
                stream.end()
                return
            await asyncio.sleep(poll)

    looker = asyncio.get_running_loop().create_task(look())
    looker.add_done_callback(lambda _: stream.end())
    try:
        if await store.row(run_id) is None:
            raise RunNotFound(f"there is no run {run_id}; `podium runs` lists them")
        async for event in stream.events():
            yield event
        if looker.done() and not looker.cancelled():
            looker.result()
    finally:
        looker.cancel()
        await asyncio.wait({looker})
        driver.unlisten(run_id, stream)
