"""What a resumed run already knows, and whether the member still asks for it.

The index is made from the folded journal, less the inside of finished Calls (each is one memo). A step is matched by
key; its position, kind, name and digest must be what was recorded. Requests that have no record are live, and wait
until every recorded receipt has been delivered, so that nothing new starts in the middle of a replay.
"""

from __future__ import annotations

import asyncio

from podium.core import keys
from podium.core.actions import Kind
from podium.core.errors import ReplayMismatch
from podium.core.state import History, StepState


class Replay:
    """The recorded steps a drive has not met yet."""

    __slots__ = ("_highest", "_live", "_loop", "_steps", "_waiting", "remaining")

    def __init__(self, history: History, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._steps = history.live_steps()
        self._highest: dict[str, int] = {}
        self._waiting: dict[str, set[int]] = {}
        self.remaining = 0
        """Recorded receipts that the member has not received yet."""
        self._live: list[asyncio.Future[None]] = []
        for key, step in self._steps.items():
            scope = keys.parent(key)
            if step.pos > self._highest.get(scope, 0):
                self._highest[scope] = step.pos
            if step.ended is not None:
                self.remaining += 1
            record = step.began or step.held or step.ended
            if record is not None and record.waiting:
                self._waiting.setdefault(scope, set()).update(record.waiting)

    @property
    def over(self) -> bool:
        """Whether there is nothing recorded left to meet."""
        return not self._steps and not self.remaining

    def has(self, key: str) -> bool:
        """Whether a step with this key is recorded and not met yet."""
        return key in self._steps

    def recorded_after(self, scope: str, pos: int) -> bool:
        """Whether the journal holds a step of `scope` at or behind `pos`."""
        return self._highest.get(scope, 0) >= pos

    def match(self, scope: str, key: str, pos: int, kind: Kind, name: str, digest: bytes) -> StepState | None:
        """The record of a requested step, or None when it is new.

        Raises ReplayMismatch when the member asks for something else than was recorded.
        """
        step = self._steps.pop(key, None)
        if step is None:
            if self._highest.get(scope, 0) >= pos and pos not in self._waiting.get(scope, ()):
                raise ReplayMismatch(
                    key, self._at(scope, pos), f"{kind} {name!r} at position {pos}", "a step was inserted before it"
                )
            return None
        if step.kind is not kind or step.name != name:
            why = "another action stands here"
        elif step.pos != pos:
            why = f"it was step {step.pos} of its scope and is step {pos} now"
        elif step.digest != digest:
            why = "its request changed"
        else:
            return step
        raise ReplayMismatch(
            key, f"{step.kind} {step.name!r} ({step.digest.hex()[:8]})", f"{kind} {name!r} ({digest.hex()[:8]})", why
        )

    def _at(self, scope: str, pos: int) -> str:
        for key, step in self._steps.items():
            if step.pos == pos and keys.parent(key) == scope:
                return f"{step.kind} {step.name!r} at this position ({key})"
        return "a later step of this scope, and none at this position"

    def closing(self, scope: str) -> None:
        """A scope's member returned: whatever is recorded inside must have been asked for.

        Raises ReplayMismatch otherwise.
        """
        if not self._steps:
            return
        for key, step in self._steps.items():
            if keys.within(key, scope):
                raise ReplayMismatch(
                    key, f"{step.kind} {step.name!r}", "nothing: it returned", "a recorded step was never requested"
                )

    def abandon(self, scope: str) -> None:
        """Forget what is recorded inside a scope whose branch was cancelled."""
        for key in [key for key in self._steps if keys.within(key, scope)]:
            if self._steps.pop(key).ended is not None:
                self.delivered()

    def delivered(self) -> None:
        """One recorded receipt has reached its member (or nobody waits for it any more)."""
        self.remaining -= 1
        if self.remaining <= 0:
            live, self._live = self._live, []
            for future in live:
                if not future.done():
                    future.set_result(None)

    def ending(self) -> asyncio.Future[None]:
        """Done when every recorded receipt has been delivered."""
        future = self._loop.create_future()
        self._live.append(future)
        return future

    async def caught_up(self) -> None:
        """Wait until every recorded receipt has been delivered."""
        await self.ending()

    def stuck(self) -> ReplayMismatch | None:
        """When the member waits for nothing recorded and yet receipts remain: the one it never asked for."""
        if self.remaining <= 0 or not self._live:
            return None
        for key, step in self._steps.items():
            if step.ended is not None:
                return ReplayMismatch(
                    key,
                    f"{step.kind} {step.name!r}",
                    "other steps that are not recorded",
                    "a recorded step was never requested",
                )
        return None
