"""What models cost, for the runtime: a person's own prices first, then the model's, then the table.

A price that nobody knows is None and stays unknown; it is never taken as zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from podium.core.prices import Price
from podium.ports import Clock, Model


class Pricing:
    """Prices by model, as they are now. `own` maps model names to a Price, or to a table of US dollars per million
    tokens."""

    def __init__(self, own: Mapping[str, Any] | None, clock: Clock) -> None:
        self._own = {name: Price.parse(value, f"the price of {name!r}") for name, value in (own or {}).items()}
        self._clock = clock

    def price(
        self, model: Model, answered: str | None = None, context: Mapping[str, Any] | None = None
    ) -> Price | None:
        """The price of a model, or of the exact one that answered; None when nobody knows.

        `context` is what was sent beside the usual settings (`service_tier`), which may have a price of its own.
        """
        own = self._own.get(model.name) if self._own else None
        if own is not None:
            return own
        given: Price | None = getattr(model, "price", None)
        if given is not None:
            return given
        return self.named(model.name, answered, server=str(getattr(model, "server", "")), context=context)

    def named(
        self,
        name: str,
        answered: str | None = None,
        *,
        server: str = "",
        context: Mapping[str, Any] | None = None,
    ) -> Price | None:
        """The price of a model that is known by its name only."""
        if name in self._own:
            return self._own[name]
        from podium.models import prices

        return prices.find(name, answered, server=server, context=context, at=self._clock.time())

    def max_output(self, model: Model) -> int | None:
        """The most tokens a model writes in one answer, when that is known."""
        from podium.models.capabilities import capabilities

        return capabilities(model.name).max_output
