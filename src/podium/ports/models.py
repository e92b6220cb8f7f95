"""The port of models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from podium.core.deltas import Delta
from podium.core.messages import ModelRequest, Reply

Emitter: TypeAlias = Callable[[Delta], None]


class Model(Protocol):
    """A language model, or something that answers like one."""

    name: str
    """`provider:model`, or the name of a scripted one."""

    async def request(self, request: ModelRequest, emit: Emitter | None = None) -> Reply:
        """Answer once, without retries of its own. With `emit`, pieces are passed on as they come.

        Raises a ModelError.
        """
        ...
