"""`FallbackModel`: several models behind one, asked in order until one answers.

Inside a run the runtime makes the attempts, so that each is journaled under the name of the model it asked, retried,
reserved and paid. Asked directly, it makes them itself. It knows when to go on; it does not know what models cost.
"""

from __future__ import annotations

from collections.abc import Sequence

from podium.core.errors import (
    AuthenticationFailed,
    BadRequest,
    ConfigurationError,
    ContentFiltered,
    ContextTooLong,
    MalformedReply,
    ModelError,
    ModelTimeout,
    Overloaded,
    RateLimited,
)
from podium.core.messages import ModelRequest, Reply
from podium.ports import Emitter, Model

ON: tuple[type[ModelError], ...] = (
    RateLimited,
    Overloaded,
    ModelTimeout,
    MalformedReply,
    AuthenticationFailed,
    ContextTooLong,
    ContentFiltered,
)
"""Errors that another model may not have. A `BadRequest` is not among them: it is ours, and would hide a mistake."""


class FallbackModel:
    """Models in order of preference, given as models or by name: `FallbackModel("anthropic:a", "openai:b")`.

    After an error of one of the kinds `on` the next is asked; any other error ends the call. `attempts` is how often
    one is asked, when its error may pass, before the next is; None is as the agent's `retry` says. The same can be
    written as one name, `"anthropic:a | openai:b"`. Raises ConfigurationError for fewer than two models.
    """

    def __init__(
        self,
        *models: Model | str,
        on: Sequence[type[BaseException]] = ON,
        attempts: int | None = None,
    ) -> None:
        if len(models) < 2:
            raise ConfigurationError('a fallback needs at least two models: FallbackModel("anthropic:a", "openai:b")')
        if attempts is not None and attempts < 1:
            raise ConfigurationError(f"attempts of a fallback must be at least 1, not {attempts}")
        self.chain = models
        self.on = tuple(on)
        self.attempts = attempts
        self.name = " | ".join(model if isinstance(model, str) else model.name for model in models)

    @property
    def fallback(self) -> FallbackModel:
        """What makes the runtime ask the models of the chain itself."""
        return self

    def __repr__(self) -> str:
        return f"FallbackModel({', '.join(repr(model) for model in self.chain)})"

    def bind(self, agent_name: str) -> None:
        """Tell scripted models of the chain whose calls to count. Called by an agent that is given the model."""
        for model in self.chain:
            bind = getattr(model, "bind", None)
            if bind is not None:
                bind(agent_name)

    async def request(self, request: ModelRequest, emit: Emitter | None = None) -> Reply:
        """Ask one after the other, once each. Names are found by a run alone.

        Raises the last one's error, or the first that is not among `on`.

        With `emit`, what a model wrote before it failed has been handed on already.
        """
        models = [model for model in self.chain if not isinstance(model, str)]
        if len(models) < len(self.chain):
            raise BadRequest(
                f"{self.name} has models by name, which only a run finds: ask it through an agent or ctx.model, or "
                "make it with podium.models.resolve"
            )
        *first, last = models
        for model in first:
            try:
                return await model.request(request, emit)
            except self.on:
                continue
        return await last.request(request, emit)
