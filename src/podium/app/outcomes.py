"""Results of runs that nobody drives here, from the journal alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from podium.agents.agent import Agent
from podium.core.codec import decode
from podium.core.records import Status, decode_frame
from podium.core.state import fold
from podium.ports import Member, Store
from podium.runtime.results import RunResult


class Outcomes:
    """Reads what runs came to. `members` give outputs their declared type, when they are known."""

    def __init__(self, store: Callable[[], Store], members: Mapping[str, Member]) -> None:
        self._store = store
        self._members = members

    async def pinned(self, pins: Mapping[str, str]) -> dict[str, bytes]:
        """The pinned configurations of agents, by address."""
        found: dict[str, bytes] = {}
        for name, address in pins.items():
            member = self._members.get(name)
            own = member.pin() if isinstance(member, Agent) else None
            found[address] = own[1] if own is not None and own[0] == address else await self._store().blob(address)
        return found

    async def recorded(self, run_id: str) -> RunResult[Any]:
        """The result of a run that is not driven here, from its journal alone."""
        store = self._store()
        frames = await store.frames(run_id)
        records = [record for frame in frames for record in decode_frame(frame)]
        history = fold(records)
        started, finished = history.facts.started, history.finished
        root = next(iter(history.steps.values()), None)
        value: Any = None
        given = {Status.SUCCEEDED, Status.EXHAUSTED}
        if root is not None and root.ended is not None and finished is not None and finished.status in given:
            ended = root.ended
            value = decode(await store.blob(ended.blob) if ended.blob else ended.value)
            member = self._members.get(started.member) if started is not None else None
            load = getattr(member, "load_output", None)
            if load is not None and value is not None and finished.status is Status.SUCCEEDED:
                value = load(value)
        last = getattr(records[-1], "at", 0.0) if records else 0.0
        return RunResult(
            run_id,
            history.facts.status,
            value,
            history.facts,
            frames,
            error=None if finished is None else finished.error,
            duration=last - started.at if started is not None else 0.0,
            pinned=await self.pinned(history.facts.pins),
        )
