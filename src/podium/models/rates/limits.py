"""Limits on how often models are asked, and how much: requests and tokens per minute, queued fairly. No I/O.

A provider counts the requests and tokens of an account and refuses what is too many. `Rates` counts along, so that a
call waits its turn here instead of being refused there. It knows names of models and of runs and a clock; it knows no
wire, makes no request and repeats none: whoever makes an attempt enters before it and settles after it.

    ticket = rates.enter("openai:gpt-6-sol", run_id, 1_200)      # None: nothing limits this model
    if ticket is not None:
        await rates.wait(ticket)                                 # no task switch when there is room
    try:
        reply = await model.request(...)
    except RateLimited as error:
        rates.refused("openai:gpt-6-sol", error.data.get("retry_after"))
        raise
    finally:
        rates.settle(ticket, tokens_used)                        # `withdraw(ticket)` if it was never sent

How the counting works is `bucket`'s, and who comes next is `line`'s.
"""

from __future__ import annotations

import asyncio
import difflib
import math
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from podium.core.errors import ConfigurationError
from podium.ports import Clock

from .line import Lane, Limit, Line, Rate, Ticket

PAUSE = 1.0
"""Seconds nobody enters after a refusal that names no time."""


class Waiting(msgspec.Struct, frozen=True):
    """Who waits for a model, for display."""

    calls: int
    runs: int
    seconds: float
    """Until the next of them may enter, as things stand; 0 when nobody waits."""


class Standing(msgspec.Struct, frozen=True):
    """The state of one limit, for display."""

    pattern: str
    rate: Rate
    requests_left: float | None
    """Requests that may be made now; None without such a limit, negative while a debt is paid off."""
    tokens_left: float | None
    waiting: int
    """Calls that wait for a model this limit is on."""


class Rates:
    """The limits in force, by the names of models: `openai:gpt-6-sol`, `anthropic:*`, or `*` for all.

    A limit on several names is shared by all of them, and a call needs room in each limit that its model's name
    matches: an account's `anthropic:*` still holds when one of its models has a narrower limit of its own. After
    `refused` nobody asks that model for as long as it said, whether it has a limit or not.

    A call of more tokens than a minute has waits until the bucket is full and then goes into debt, which later calls
    wait for: it is late, but never waits for ever. Not for several threads at once. One event loop at a time: when
    another one comes, those who still wait on the old one are dropped, and the counts stay.

    Raises ConfigurationError for a pattern that is none.
    """

    def __init__(self, limits: Mapping[str, Rate], clock: Clock) -> None:
        self._clock = clock
        self._limits = {_pattern(pattern): Limit(pattern, rate) for pattern, rate in limits.items()}
        self._lanes: dict[str, Lane | None] = {}
        self._lines: dict[Limit, Line] = {}

    @staticmethod
    def parse(table: Mapping[str, object]) -> dict[str, Rate]:
        """The limits in a table of the configuration: `{"anthropic:*": {"requests": 50, "tokens": 40000}}`.

        Raises ConfigurationError, naming the entry.
        """
        return {_pattern(pattern): _rate(pattern, value) for pattern, value in table.items()}

    def enter(self, model: str, run: str, tokens: int) -> Ticket | None:
        """Ask to call `model` with about so many tokens, input and output. None: nothing limits it.

        A ticket that is `.waiting` has to be waited for. Every ticket is settled or withdrawn in the end.
        """
        try:
            lane = self._lanes[model]
        except KeyError:
            lane = self._lanes[model] = self._lane(model)
        if lane is None:
            return None
        now = self._clock.monotonic()
        ticket = Ticket(lane, run, max(0, tokens))
        if lane.line or lane.opens(ticket.tokens, now)[0] != -math.inf:
            lane.line.join(ticket)
        elif not lane.limits:  # it was there for a pause, which is over
            self._lanes[model] = None
            return None
        else:
            lane.admit(ticket, now)
        return ticket

    async def wait(self, ticket: Ticket) -> None:
        """Until the call may be made. Cancelled, the place is given up, and nothing stays taken."""
        future = ticket.future
        if ticket.taken is not None or future is None:
            return
        try:
            await future
        except asyncio.CancelledError:
            self.withdraw(ticket)
            raise

    def settle(self, ticket: Ticket | None, tokens: int | None = None) -> None:
        """The call is over and used so many tokens; None when nobody knows, and the estimate stands.

        What was taken too much comes back, as far as it has not come back by itself; what is missing is taken now.
        """
        if ticket is not None:
            self._end(ticket, 1, ticket.tokens if tokens is None else max(0, tokens))

    def withdraw(self, ticket: Ticket | None) -> None:
        """The call was, or will be, never made: it leaves the line, or gives back everything it took."""
        if ticket is not None:
            self._end(ticket, 0, 0)

    def refused(self, model: str, retry_after: float | None = None) -> None:
        """The provider refused a call of `model`: nobody calls it for so many seconds, or `PAUSE` if it did not say."""
        seconds = PAUSE if retry_after is None else retry_after
        if not math.isfinite(seconds) or seconds <= 0:
            return
        lane = self._lanes.get(model) or self._lane(model) or Lane((), Line(self._clock))
        self._lanes[model] = lane
        lane.paused_until = max(lane.paused_until, self._clock.monotonic() + seconds)

    def waiting(self, model: str) -> Waiting:
        """Who waits for a model."""
        lane = self._lanes.get(model)
        if lane is None or not lane.waiting:
            return Waiting(0, 0, 0.0)
        now = self._clock.monotonic()
        first = lane.line.next_for(lane)
        opens = -math.inf if first is None else lane.opens(first.tokens, now)[0]
        return Waiting(lane.waiting, lane.line.runs_for(lane), max(0.0, opens - now))

    def standings(self) -> list[Standing]:
        """The state of each limit, in the order in which they were given."""
        now = self._clock.monotonic()
        return [
            Standing(
                limit.pattern,
                limit.rate,
                None if limit.requests is None else limit.requests.left(now),
                None if limit.tokens is None else limit.tokens.left(now),
                sum(lane.waiting for lane in self._lanes.values() if lane is not None and limit in lane.limits),
            )
            for limit in self._limits.values()
        ]

    def _lane(self, model: str) -> Lane | None:
        provider, colon, _ = model.partition(":")
        patterns = (model, f"{provider}:*", "*") if colon else (model, "*")
        limits = tuple([self._limits[pattern] for pattern in patterns if pattern in self._limits])
        if not limits:
            return None
        # Patterns are nested, so all who share any limit with this model share the broadest.
        return Lane(limits, self._lines.setdefault(limits[-1], Line(self._clock)))

    def _end(self, ticket: Ticket, requests: int, tokens: int) -> None:
        if ticket.over:
            return
        ticket.over = True
        lane, taken = ticket.lane, ticket.taken
        if taken is None:
            lane.line.leave(ticket)
            if ticket.future is not None:
                ticket.future.cancel()
        else:
            now = self._clock.monotonic()
            for draw in taken:
                draw.bucket.settle(draw.taken, tokens if draw.of_tokens else requests, now)
        if lane.line or taken is None:  # also when the last one leaves: no timer stays behind
            lane.line.serve()


def _pattern(pattern: str) -> str:
    """`pattern` if it is one. A name that can hardly match anything is refused: it would limit nothing, silently."""
    from podium.models.providers import providers

    known = providers()
    provider, colon, model = pattern.partition(":")
    if pattern in known:
        raise ConfigurationError(f"rates: {pattern!r} is a provider: write {pattern}:* for all its models")
    stars = pattern.count("*")
    if not provider.strip() or (colon and not model.strip()) or stars > 1 or (stars and "*" not in (pattern, model)):
        raise ConfigurationError(
            f"rates: {pattern!r} names no models: write a name (openai:gpt-6-sol), a provider (anthropic:*), or *"
        )
    if colon and provider not in known and (meant := difflib.get_close_matches(provider, known, 1, 0.8)):
        raise ConfigurationError(f"rates: {pattern!r}: did you mean {meant[0]}:{model}?")
    return pattern


def _rate(pattern: str, value: object) -> Rate:
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            f"rates: {pattern!r} must be a table like {{ requests = 50, tokens = 40000 }}, not {value!r}"
        )
    fields = cast("Mapping[str, Any]", value)
    unknown = sorted(set(fields) - {"requests", "tokens"})
    if unknown:
        raise ConfigurationError(f"rates: {pattern!r}: unknown {unknown[0]!r}; known are requests and tokens, a minute")
    if not fields:
        raise ConfigurationError(f"rates: {pattern!r} sets neither requests nor tokens: set one, or remove the entry")
    try:
        return Rate(**fields)
    except ConfigurationError as error:
        raise ConfigurationError(f"rates: {pattern!r}: {error}") from None
