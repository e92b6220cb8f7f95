"""Slots under any schedule: never more than there are, first come first served, and none is lost."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from podium.runtime.slots import Slots

# Step by step: somebody comes, the one who has held a slot longest leaves, somebody gives up, time passes.
moments = st.lists(st.sampled_from(["come", "come", "leave", "give up", "pass"]), max_size=60)


@given(st.integers(0, 3), moments, st.randoms(use_true_random=False))
def test_any_schedule(count: int, happens: list[str], chance: object) -> None:
    asyncio.run(live(count, happens, chance))


async def live(count: int, happens: list[str], chance: object) -> None:
    slots = Slots(count)
    most = max(1, count)
    came: dict[int, asyncio.Task[None]] = {}
    served: list[int] = []
    holding: list[int] = []

    async def visit(number: int) -> None:
        if not slots.take():
            await slots.wait()
        served.append(number)
        holding.append(number)

    def gone(number: int) -> bool:
        return came[number].done()

    for moment in happens:
        waiting = [number for number in came if not gone(number)]
        if moment == "come":
            came[len(came)] = asyncio.create_task(visit(len(came)))
            await asyncio.sleep(0)
        elif moment == "leave" and holding:
            holding.pop(0)
            slots.leave()
        elif moment == "give up" and waiting:
            came[chance.choice(waiting)].cancel()  # type: ignore[attr-defined]  # pyright: ignore
        elif moment == "pass":
            await asyncio.sleep(0)
        assert len(holding) <= most
    for _ in range(len(came) + 1):
        await asyncio.sleep(0)
        for _ in list(holding):
            holding.pop(0)
            slots.leave()
    await asyncio.gather(*came.values(), return_exceptions=True)
    assert served == sorted(served), "first come, first served"
    assert {number for number, task in came.items() if not task.cancelled()} == set(served)
    while holding:
        holding.pop()
        slots.leave()
    assert [slots.take() for _ in range(most + 1)] == [True] * most + [False], "none is lost, and none is made"
