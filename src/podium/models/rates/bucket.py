"""A token bucket that can be put right afterwards. Pure arithmetic: it reads no clock and knows no waiting.

A bucket holds one minute's worth and fills evenly. What a call will use is only guessed when it is made: `take` the
guess, and `settle` with the truth. What comes back then is what would be there now had the truth been known from the
start. That can be less than the difference: while the guess was out, the bucket filled up again, and what ran over then
cannot be given a second time. (Adding the difference, as is commonly done, lets a server be asked for twice its limit
whenever calls take about a minute and are over-estimated.)

Times are seconds of one monotonic clock. The state is the moment at which the bucket will be full, as in the generic
cell rate algorithm (ITU-T I.371, annex A): nothing has to be brought up to date.
"""

from __future__ import annotations

import math

SLACK = 1e-6
"""Seconds by which an amount may be early: clocks round."""


class Taken:
    """An amount that may still be put right."""

    __slots__ = ("amount", "most")

    def __init__(self, amount: float) -> None:
        self.amount = amount
        self.most = math.inf
        """No more than this can come back: the least that was ever missing from the bucket before more was taken."""


class Bucket:
    """So many a minute, and as many at once when it is full. It begins full."""

    __slots__ = ("_full_at", "_open", "_rate", "capacity")

    def __init__(self, per_minute: float) -> None:
        self.capacity = float(per_minute)
        self._rate = per_minute / 60.0
        self._full_at = -math.inf
        self._open: list[Taken] = []  # in the order of taking; `most` never falls from one to the next

    def left(self, now: float) -> float:
        """What is in it. Negative while a debt is paid off."""
        return self.capacity - self._missing(now)

    def opens(self, amount: float) -> float:
        """When `amount` can be taken; what is larger than the bucket, when it is full."""
        return self._full_at - (self.capacity - min(amount, self.capacity)) / self._rate

    def take(self, amount: float, now: float) -> Taken:
        """Take `amount`, whether or not it is there."""
        self._draw(amount, now)
        taken = Taken(amount)
        self._open.append(taken)
        return taken

    def settle(self, taken: Taken, amount: float, now: float) -> None:
        """It was `amount`, not what was taken. To be called once for each."""
        more = amount - taken.amount
        if more > 0:
            self._draw(more, now)
        if taken not in self._open:
            return
        back = min(-more, taken.most, self._missing(now))
        if back > 0:
            self._full_at -= back / self._rate
            self._came_back(taken, back)
        self._open.remove(taken)

    def _draw(self, amount: float, now: float) -> None:
        missing = self._missing(now)
        if missing == 0.0:
            self._open.clear()  # it is full: nothing taken before can come back
        for earlier in reversed(self._open):
            if earlier.most <= missing:
                break
            earlier.most = missing
        self._full_at = max(self._full_at, now) + amount / self._rate

    def _came_back(self, taken: Taken, back: float) -> None:
        """See to it that what came back for one does not come back for others too."""
        later = False
        least = taken.most - back
        for other in self._open:
            later = later or other is taken
            other.most = other.most - back if later else min(other.most, least)

    def _missing(self, now: float) -> float:
        return max(0.0, (self._full_at - now) * self._rate)
