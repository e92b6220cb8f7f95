"""Run something for at most so long, paying for a timer only if it really waits.

Most awaits in tests, in scripted models and in quick tools end in the same breath; arming a timer for them would cost
more than they do. So the coroutine is stepped once by hand, and only if it blocks is the timer set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Generator
from types import CoroutineType
from typing import Any, TypeVar, cast

from podium.ports import Clock

T = TypeVar("T")

_UNSTARTED = object()


class Expired(TimeoutError):
    """The time given to `bounded` is over (and not some timeout inside what it ran)."""


class Blocked:
    """A coroutine that was stepped once and waits for something."""

    __slots__ = ("coroutine", "waiting_for")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waiting_for: Any) -> None:
        self.coroutine = coroutine
        self.waiting_for = waiting_for


def at_once(working: Awaitable[Any]) -> Any:
    """Step an awaitable in the present task: its value, if that is all it takes, else a `Blocked` for `rest`."""
    if type(working) is not CoroutineType:
        return Blocked(_whole(working), _UNSTARTED)
    coroutine = cast("Coroutine[Any, Any, Any]", working)
    try:
        return Blocked(coroutine, coroutine.send(None))
    except StopIteration as stop:
        return stop.value


async def rest(blocked: Blocked, seconds: float | None, clock: Clock) -> Any:
    """Await the rest for at most `seconds` (None: for ever). Raises Expired, after cancelling it."""
    if seconds is None:
        return await _Continue(blocked.coroutine, blocked.waiting_for)
    return await _timed(blocked.coroutine, blocked.waiting_for, seconds, clock)


async def bounded(working: Awaitable[T], seconds: float | None, clock: Clock) -> T:
    """Await `working` for at most `seconds` (None: for ever). Raises Expired, after cancelling it."""
    if seconds is None:
        return await working
    value = at_once(working)
    return value if type(value) is not Blocked else await rest(value, seconds, clock)


async def _whole(working: Awaitable[T]) -> T:
    return await working


class _Continue:
    """Awaits the rest of a coroutine that was stepped once and blocked."""

    __slots__ = ("_blocked_on", "_coroutine")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], blocked_on: Any) -> None:
        self._coroutine = coroutine
        self._blocked_on = blocked_on

    def __await__(self) -> Generator[Any, Any, Any]:
        coroutine = self._coroutine
        waiting = self._blocked_on
        if waiting is _UNSTARTED:
            return (yield from coroutine.__await__())
        while True:
            try:
                sent = yield waiting
            except BaseException as error:  # noqa: BLE001  (thrown into the coroutine, as `await` would do)
                try:
                    waiting = coroutine.throw(error)
                except StopIteration as stop:
                    return stop.value
            else:
                try:
                    waiting = coroutine.send(sent)
                except StopIteration as stop:
                    return stop.value


async def _timed(coroutine: Coroutine[Any, Any, T], blocked_on: Any, seconds: float, clock: Clock) -> T:
    task = asyncio.current_task()
    expired = False

    def expire() -> None:
        nonlocal expired
        expired = True
        if task is not None:
            task.cancel()

    timer = clock.call_later(seconds, expire)
    cancelling = task.cancelling() if task is not None else 0
    try:
        return await _Continue(coroutine, blocked_on)
    except asyncio.CancelledError:
        if expired and task is not None and task.uncancel() <= cancelling:
            raise Expired from None
        raise
    finally:
        timer.cancel()
