"""The port of models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from podium.core.deltas import Delta
from podium.core.messages import ModelRequest, Reply

Emitter: TypeAlias = Callable[[Delta], None]


class Fallback(Protocol):
    """Several models behind one: which are asked, in order, and when the next is. The runtime journals each attempt."""

    @property
    def chain(self) -> tuple[Model | str, ...]:
        """The models, or their names."""
        ...

    @property
    def on(self) -> tuple[type[BaseException], ...]:
        """The errors after which the next model is asked."""
        ...

    @property
    def attempts(self) -> int | None:
        """How often one model is asked before the next is; None is as the agent's `retry` says."""
        ...


class Model(Protocol):
    """A language model, or something that answers like one.

    A model may also have `price` (a `core.prices.Price`, for one that no table lists), `server` (the host that is
    asked, when it is not the provider's own) and `fallback` (a `Fallback`, when it stands for several).
    """

    name: str
    """`provider:model`, or the name of a scripted one."""

    async def request(self, request: ModelRequest, emit: Emitter | None = None) -> Reply:
        """Answer once, without retries of its own. With `emit`, pieces are passed on as they come.

        Raises a ModelError.
        """
        ...
