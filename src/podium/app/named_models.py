"""Models by name: made when they are first asked for, once for the whole app."""

from __future__ import annotations

from podium.core.errors import ConfigurationError
from podium.ports import Model


class NamedModels:
    """The models of one app. `default` is that of agents without one; `base_url` the server of those with a name."""

    def __init__(self, default: Model | str | None, base_url: str | None) -> None:
        self.default, self._base_url = default, base_url
        self._made: dict[str, Model] = {}

    def __call__(self, name: str) -> Model:
        """The model of a name; the default for an empty one. Raises ConfigurationError."""
        if not name:
            if self.default is None:
                raise ConfigurationError(
                    'the agent has no model: pass model="openai:NAME" (or "offline", which needs no key) to the agent '
                    "or to Podium(...)"
                )
            if not isinstance(self.default, str):
                return self.default
            name = self.default
        model = self._made.get(name)
        if model is None:
            from podium.models import resolve

            base_url = None if name == "offline" else self._base_url
            model = self._made[name] = resolve(name, base_url=base_url)
        return model

    async def aclose(self) -> None:
        """Let go of the connections of those that were made."""
        for model in self._made.values():
            aclose = getattr(model, "aclose", None)
            if aclose is not None:
                await aclose()
