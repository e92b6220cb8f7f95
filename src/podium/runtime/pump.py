"""Delivery order: receipts reach a member one at a time, in journal order, live and replaying alike.

A member with several steps outstanding may share a list between its branches, or take the first to finish. It behaves
the same after a resume only if it meets its receipts in the same order, with the same amount of its own code run in
between. So whatever is ready waits here until every task of the member is parked again, and then the one with the
lowest journal number goes. A member with one task never waits: its receipt is handed over where it is made.

The pump counts the member's running tasks (`busy`). Tasks that wait for something else than a step (an `asyncio.Event`
set by another branch) are not parked as far as it can see; for them "settled" means that nothing has happened for
`QUIET_TICKS` turns of the loop.
"""

from __future__ import annotations

import asyncio
from heapq import heapify, heappop, heappush
from typing import Protocol

QUIET_TICKS = 16
"""Each hop through an asyncio primitive takes at most three turns of the loop."""


class Delivery(Protocol):
    """Something that has a place in the journal's order and waits to reach its member."""

    order: int
    ready: bool

    def deliver(self) -> None:
        """Hand it over; raises `pump.busy` if that lets a task of the member run."""
        ...


class Pump:
    """See the module."""

    __slots__ = ("_heap", "_loop", "_quiet", "_seen", "_watching", "activity", "busy", "closed")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[tuple[int, Delivery]] = []
        self._watching = False
        self._seen = 0
        self._quiet = 0
        self.busy = 0
        """Tasks of the member that are running its code."""
        self.activity = 0
        """Changes whenever something happens; equal values mean that nothing did."""
        self.closed = False

    @property
    def alone(self) -> bool:
        """Whether the task that asks is the only one of its member, and nothing waits to be delivered."""
        return self.busy == 1 and not self._heap

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be delivered."""
        return not self._heap

    def park(self) -> None:
        """A task of the member now waits for a step or for its branches."""
        self.busy -= 1
        self.activity += 1
        if self._heap and self.busy == 0:
            self.flow()

    def unpark(self) -> None:
        """A task of the member runs its code again."""
        self.busy += 1
        self.activity += 1

    def offer(self, item: Delivery) -> None:
        """Put something in line at its `order`. It goes when it is `ready`, first in line, and the member settled."""
        self.activity += 1
        heappush(self._heap, (item.order, item))
        if self.busy == 0:
            self.flow()
        elif not self._watching:
            self._watch()

    def drop(self, item: Delivery) -> None:
        """Take out something that nobody waits for any more."""
        self._heap = [entry for entry in self._heap if entry[1] is not item]
        heapify(self._heap)
        self.activity += 1
        if self._heap and self.busy == 0:
            self.flow()

    def flow(self) -> None:
        """Deliver while the member is settled. Also called when the first in line became ready."""
        heap = self._heap
        while heap and self.busy == 0 and not self.closed:
            item = heap[0][1]
            if not item.ready:
                return
            heappop(heap)
            self.activity += 1
            item.deliver()

    def _watch(self) -> None:
        self._watching = True
        self._seen = self.activity
        self._quiet = 0
        self._loop.call_soon(self._tick)

    def _tick(self) -> None:
        heap = self._heap
        if not heap or self.closed or self.busy <= 0:
            self._watching = False
            return
        if self.activity != self._seen:
            self._seen = self.activity
            self._quiet = 0
        else:
            self._quiet += 1
            if self._quiet >= QUIET_TICKS:
                self._quiet = 0
                if heap[0][1].ready:
                    item = heappop(heap)[1]
                    self.activity += 1
                    item.deliver()
                else:
                    # Whoever makes it ready calls `flow`, and `offer` starts the watch anew.
                    self._watching = False
                    return
        self._loop.call_soon(self._tick)

    def became_ready(self) -> None:
        """The first in line may go now."""
        if self.busy == 0:
            self.flow()
        elif self._heap and not self._watching:
            self._watch()
