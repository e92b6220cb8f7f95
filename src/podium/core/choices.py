"""What an agent's model is set to while programs run, in place of what its code says."""

from __future__ import annotations

import msgspec

from .messages import Settings


class ModelChoice(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """A model by name and how it is asked to work; None, and an empty name, are as the agent's code says."""

    model: str
    settings: Settings | None = None


class Choice(msgspec.Struct, frozen=True):
    """A `ModelChoice` and the number of its version."""

    number: int
    model: ModelChoice
