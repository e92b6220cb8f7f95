"""How a run stands for people: what its row says, and whether anybody works on it at this moment."""

from __future__ import annotations

import msgspec

from podium.core.records import Status, Suspended
from podium.ports import RunRow, Store
from podium.runtime.results import Pending, pending_of
from podium.stores.owner import is_dead

INTERRUPTED = "interrupted"
STATES = (*(status.value for status in Status), INTERRUPTED)
"""The stored states, and the one that is seen only by looking at the lease."""
_UNDERWAY = (Status.PENDING, Status.RUNNING)


class Standing(msgspec.Struct, frozen=True):
    """A run with what it waits for."""

    row: RunRow
    state: str
    """One of `STATES`; `interrupted` is a run that somebody began to drive and nobody drives now."""
    pending: tuple[Pending, ...] = ()

    @property
    def driven(self) -> bool:
        """Whether a process drives it now."""
        return self.state == "running"


async def standing(store: Store, row: RunRow, now: float, *, closer: bool = False) -> Standing:
    """How the run stands at `now` (epoch seconds, on the store's clock).

    `closer` looks also into runs that are driven, of which a branch may wait, and leaves out what is decided already.
    """
    if closer and not row.status.over:
        from podium.core.state import fold

        decided = {mail.request for mail in await store.unread(row.id)}
        waiting = [item for item in pending_of(fold(await store.read(row.id))) if item.request not in decided]
        return msgspec.structs.replace(await standing(store, row, now), pending=tuple(waiting))
    if row.status is Status.SUSPENDED:
        from podium.core.state import fold

        return Standing(row, row.status.value, pending_of(fold(await store.read(row.id))))
    if row.status not in _UNDERWAY:
        return Standing(row, row.status.value)
    if row.owner and row.lease_until > now and not is_dead(row.owner):
        return Standing(row, Status.RUNNING.value)
    if row.epoch == 0:
        return Standing(row, Status.PENDING.value)
    # Woken by mail, it was unloaded in good order; otherwise its driver went away in the middle of something.
    last = (await store.read(row.id, max(0, row.seq - 1)))[-1:]
    woken = bool(last) and isinstance(last[0], Suspended)
    return Standing(row, Status.PENDING.value if woken else INTERRUPTED)


def stored(states: list[str]) -> list[Status]:
    """The states to ask the store for, to find runs that stand in one of `states`."""
    underway = {*(status.value for status in _UNDERWAY), INTERRUPTED}
    found = [Status(state) for state in states if state not in underway]
    return [*found, *_UNDERWAY] if underway.intersection(states) else found
