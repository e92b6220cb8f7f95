"""The inbox: everything that waits for a person, over all runs of a store.

A reading of the journals of runs that are not over; nothing is kept beside them, so nothing can be out of date.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from podium.core.records import Principal, Status
from podium.core.state import fold
from podium.ports import Store
from podium.runtime.desk import DECISIONS, Desk
from podium.runtime.results import Pending, pending_of

OPEN = (Status.SUSPENDED, Status.RUNNING, Status.PENDING)
"""A run that is driven may wait too, while another of its branches works."""
MOST_RUNS = 10_000
"""Runs that are looked at, at most; the newest first."""
_TURN = 32
"""Journals that are read before the event loop gets its turn."""


async def inbox(
    store: Store,
    desk: Desk,
    *,
    roles: Sequence[str] | None = None,
    principal: Principal | None = None,
    why: Sequence[str] = (),
    untrusted: bool | None = None,
    prefix: str = "",
    newest_first: bool = False,
    limit: int = 100,
    after: Pending | None = None,
) -> list[Pending]:
    """See `Podium.inbox`."""
    found = await _everything(store, prefix)
    tests: list[Callable[[Pending], bool]] = [lambda item: not why or item.why in why]
    if roles is not None:
        tests.append(lambda item: not item.roles or not set(item.roles).isdisjoint(roles))
    if principal is not None:
        tests.append(lambda item: not desk.refusal(item, principal))
    if untrusted is not None:
        tests.append(lambda item: item.untrusted is untrusted)
    fitting = [item for item in found if all(test(item) for test in tests)]
    fitting.sort(key=_place, reverse=newest_first)
    if after is not None:
        # By its place and not by its id: it may have been decided meanwhile.
        last = _place(after)
        fitting = [item for item in fitting if (_place(item) < last if newest_first else _place(item) > last)]
    return fitting[:limit]


def _place(item: Pending) -> tuple[float, str]:
    return item.since, item.request


async def _everything(store: Store, prefix: str) -> list[Pending]:
    found: list[Pending] = []
    for number, row in enumerate(await store.rows(status=OPEN, prefix=prefix, limit=MOST_RUNS), 1):
        if number % _TURN == 0:
            await asyncio.sleep(0)
        waiting = [item for item in pending_of(fold(await store.read(row.id))) if item.why in DECISIONS]
        if waiting:
            decided = {mail.request for mail in await store.unread(row.id) if mail.kind != "signal"}
            found += [item for item in waiting if item.request not in decided]
    return found
