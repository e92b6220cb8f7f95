"""Who may call next: calls that wait for a limit, in a fair order, woken by one timer. It sends nothing.

Calls of one run for one model enter in the order in which they came, and runs take turns, whatever models they ask: a
run with two hundred branches does not keep another with one call waiting for more than its turn. A call for which a
limit has no room holds that limit, so that smaller ones do not overtake it for ever; models that do not share the limit
go on. Names, patterns and settings are `limits`'s.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict

import msgspec

from podium.core.errors import ConfigurationError
from podium.ports import Clock, Timer

from .bucket import SLACK, Bucket, Taken

_EARLIEST = 0.001
"""Seconds: no timer is set for less, so that rounding cannot make it fire again and again at one moment."""


class Rate(msgspec.Struct, frozen=True):
    """A limit per minute; None is no limit. `tokens` are input and output.

    A whole minute's worth may be used at once after a pause, and comes back evenly over the next minute.
    Raises ConfigurationError for what is no positive whole number.
    """

    requests: int | None = None
    tokens: int | None = None

    def __post_init__(self) -> None:
        for name in ("requests", "tokens"):
            value: object = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ConfigurationError(
                    f"{name} per minute must be a whole number from 1 on, not {value!r}; leave it out for no limit"
                )


class Ticket:
    """One call's place: waiting, entered, or over. `waiting` and `tokens` are for callers; the rest is the line's."""

    __slots__ = ("future", "lane", "over", "run", "taken", "tokens")

    def __init__(self, lane: Lane, run: str, tokens: int) -> None:
        self.lane = lane
        self.run = run
        self.tokens = tokens
        """What the call is thought to use."""
        self.future: asyncio.Future[None] | None = None
        self.taken: list[Draw] | None = None
        self.over = False

    @property
    def waiting(self) -> bool:
        """Whether the call may not be made yet."""
        return self.taken is None and not self.over


class Draw(msgspec.Struct, frozen=True, gc=False):
    """What a call took from one bucket."""

    bucket: Bucket
    taken: Taken
    of_tokens: bool


class Limit:
    """One pattern's two buckets."""

    __slots__ = ("pattern", "rate", "requests", "tokens")

    def __init__(self, pattern: str, rate: Rate) -> None:
        self.pattern = pattern
        self.rate = rate
        self.requests = None if rate.requests is None else Bucket(rate.requests)
        self.tokens = None if rate.tokens is None else Bucket(rate.tokens)

    def opens(self, tokens: int) -> float:
        """When a call of so many tokens fits."""
        request = -math.inf if self.requests is None else self.requests.opens(1)
        return request if self.tokens is None else max(request, self.tokens.opens(tokens))

    def take(self, tokens: int, now: float, taken: list[Draw]) -> None:
        """Count a call, and add what it took to `taken`."""
        if self.requests is not None:
            taken.append(Draw(self.requests, self.requests.take(1, now), of_tokens=False))
        if self.tokens is not None:
            taken.append(Draw(self.tokens, self.tokens.take(tokens, now), of_tokens=True))


class Lane:
    """One model: the limits on it, the narrowest first, and for how long it has refused."""

    __slots__ = ("limits", "line", "paused_until", "waiting")

    def __init__(self, limits: tuple[Limit, ...], line: Line) -> None:
        self.limits = limits
        self.line = line
        self.paused_until = -math.inf
        self.waiting = 0
        """Calls in line."""

    def opens(self, tokens: int, now: float) -> tuple[float, Limit | None]:
        """When a call may enter (-inf: now), and the limit that holds it back until then (None: a refusal)."""
        if self.paused_until > now + SLACK:
            return self.paused_until, None
        for limit in self.limits:
            opens = limit.opens(tokens)
            if opens > now + SLACK:
                return opens, limit
        return -math.inf, None

    def admit(self, ticket: Ticket, now: float) -> None:
        """Let a call in."""
        taken: list[Draw] = []
        for limit in self.limits:
            limit.take(ticket.tokens, now, taken)
        ticket.taken = taken
        if ticket.future is not None and not ticket.future.done():
            ticket.future.set_result(None)


class Line:
    """All who wait for models that share a limit: a ring of runs, and one timer for them all."""

    __slots__ = ("_clock", "_due", "_lanes", "_loop", "_runs", "_timer")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Linked lists, not plain dicts: the first of a dict that is emptied from its front is ever slower to find.
        self._runs: OrderedDict[str, OrderedDict[Lane, OrderedDict[Ticket, None]]] = OrderedDict()
        self._lanes = 0  # those with somebody in line
        self._timer: Timer | None = None
        self._due = math.inf
        self._loop: asyncio.AbstractEventLoop | None = None

    def __bool__(self) -> bool:
        return bool(self._runs)

    def runs_for(self, lane: Lane) -> int:
        """How many runs wait for one model."""
        return sum(lane in lanes for lanes in self._runs.values())

    def next_for(self, lane: Lane) -> Ticket | None:
        """The call that is next for one model."""
        return next((next(iter(lanes[lane])) for lanes in self._runs.values() if lane in lanes), None)

    def join(self, ticket: Ticket) -> None:
        """Wait behind the run's own calls; a run that was not in line takes its turn last."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._forget()
            self._loop = loop
        lane = ticket.lane
        ticket.future = loop.create_future()
        self._runs.setdefault(ticket.run, OrderedDict()).setdefault(lane, OrderedDict())[ticket] = None
        lane.waiting += 1
        if lane.waiting == 1:  # else those before it could not enter either, and the timer is set for them
            self._lanes += 1
            self.serve()

    def leave(self, ticket: Ticket) -> None:
        """Stand in line no longer. Does nothing when it does not."""
        lane = ticket.lane
        lanes = self._runs.get(ticket.run)
        queue = None if lanes is None else lanes.get(lane)
        if lanes is None or queue is None or ticket not in queue:
            return
        del queue[ticket]
        if not queue:
            del lanes[lane]
        if not lanes:
            del self._runs[ticket.run]
        lane.waiting -= 1
        self._lanes -= not lane.waiting

    def serve(self) -> None:
        """Let in whoever may enter now, runs in turn, and set the timer for the next."""
        if self._loop is None or self._loop.is_closed():
            self._forget()
            return
        now = self._clock.monotonic()
        stalled: set[Lane] = set()
        held: set[Limit] = set()
        due = math.inf
        moving = True
        while moving and len(stalled) < self._lanes:
            moving = False
            for run in list(self._runs):
                entered, opens = self._turn(run, now, stalled, held)
                due = min(due, opens)
                moving = moving or entered
                if len(stalled) >= self._lanes:
                    break
        self._set(due)

    def _turn(self, run: str, now: float, stalled: set[Lane], held: set[Limit]) -> tuple[bool, float]:
        """Let one call of a run in, if one may enter. Also the earliest moment found at which another may."""
        due = math.inf
        lanes = self._runs[run]
        for lane in lanes:
            if lane in stalled:
                continue
            if not held.isdisjoint(lane.limits):
                stalled.add(lane)
                continue
            ticket = next(iter(lanes[lane]))
            opens, limit = lane.opens(ticket.tokens, now)
            if opens == -math.inf:
                lanes.move_to_end(lane)
                self._runs.move_to_end(run)
                self.leave(ticket)
                lane.admit(ticket, now)
                return True, due
            stalled.add(lane)
            due = min(due, opens)
            if limit is not None:
                held.add(limit)
        return False, due

    def _set(self, due: float) -> None:
        if self._timer is not None:
            if self._due <= due < math.inf:
                return  # it fires early, and looks again
            self._timer.cancel()
            self._timer = None
        if due < math.inf:
            self._due = due
            self._timer = self._clock.call_later(max(due - self._clock.monotonic(), _EARLIEST), self._fired)

    def _fired(self) -> None:
        self._timer = None
        self.serve()

    def _forget(self) -> None:
        """Drop everybody: they belong to a loop that is not the one in use now."""
        for lanes in self._runs.values():
            for lane, queue in lanes.items():
                lane.waiting = 0
                for ticket in queue:
                    _expel(ticket)
        self._runs.clear()
        self._lanes = 0
        self._set(math.inf)


def _expel(ticket: Ticket) -> None:
    """End a wait on another loop. One that still runs (in another thread) is told; a closed one has nobody to tell."""
    ticket.over = True
    future = ticket.future
    if future is None or future.get_loop().is_closed():
        return

    def tell() -> None:
        if not future.done():
            future.set_exception(
                ConfigurationError("rate limits serve one event loop at a time: give the app of each loop its own")
            )

    future.get_loop().call_soon_threadsafe(tell)
