"""`app.choices`: the model of an agent, changed without changing code, by version, and back again.

Versions are added and never changed; the newest is in force for runs that first call the agent from then on. Runs that
have called it keep what they pinned. Going back adds the earlier version anew.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable

import msgspec

from podium.core.choices import Choice, ModelChoice
from podium.core.codec import encode
from podium.core.errors import ConfigurationError
from podium.core.messages import Settings
from podium.ports import Clock, Version, Versions

PREFIX = "agent:"
_decoder = msgspec.msgpack.Decoder(ModelChoice)


class ChoiceVersion(msgspec.Struct, frozen=True):
    """One version of an agent's model."""

    agent: str
    number: int
    """From 1. The highest is in force."""
    model: str
    """Empty: what the agent's code says."""
    settings: Settings | None
    at: float
    """Epoch seconds."""
    by: str
    note: str


class ModelChoices:
    """The models chosen for agents, and all that were."""

    def __init__(self, store: Callable[[], Versions], clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._current: dict[str, Choice] = {}

    def current(self, agent: str) -> Choice | None:
        """The choice in force, as this process last saw it; None when the agent's code decides."""
        choice = self._current.get(agent)
        return choice if choice is not None and choice.model.model else None

    async def refresh(self) -> None:
        """See what other processes have chosen."""
        self._current = {
            version.subject.removeprefix(PREFIX): Choice(version.number, _decoder.decode(version.data))
            for version in await self._store().versions()
            if version.subject.startswith(PREFIX)
        }

    async def set(
        self, agent: str, model: str, *, settings: Settings | None = None, by: str = "", note: str = ""
    ) -> ChoiceVersion:
        """Put a model in force for an agent. `by` is who says so (the user of this machine, if nobody is named).

        Raises ConfigurationError for a name that is no model's.
        """
        from podium.models import resolve

        resolve(model)
        return await self._add(agent, ModelChoice(model, settings), by, note)

    async def clear(self, agent: str, *, by: str = "", note: str = "") -> ChoiceVersion:
        """Let the agent's code decide again."""
        return await self._add(agent, ModelChoice(""), by, note or "as the code says")

    async def rollback(self, agent: str, to: int | None = None, *, by: str = "") -> ChoiceVersion:
        """Put an earlier version in force: number `to`, or the one before the present one.

        Before the first version is what the agent's code says. Raises ConfigurationError for a number there is not.
        """
        versions = await self.history(agent)
        if not versions:
            raise ConfigurationError(f"no model was ever chosen for agent {agent!r}: there is nothing to go back to")
        number = versions[-1].number - 1 if to is None else to
        if not 0 <= number < versions[-1].number:
            raise ConfigurationError(
                f"agent {agent!r} has versions 1 to {versions[-1].number} of its model, and 0 is what its code says: "
                f"there is no going back to {number}"
            )
        if number == 0:
            return await self.clear(agent, by=by, note="back to what the code says")
        old = versions[number - 1]
        return await self._add(agent, ModelChoice(old.model, old.settings), by, f"back to version {number}")

    async def history(self, agent: str = "") -> list[ChoiceVersion]:
        """Every version of an agent's model (of all agents', without one), oldest first."""
        versions = await self._store().versions(PREFIX + agent if agent else "")
        return [_shown(version) for version in versions if version.subject.startswith(PREFIX)]

    async def _add(self, agent: str, choice: ModelChoice, by: str, note: str) -> ChoiceVersion:
        if not agent:
            raise ConfigurationError("whose model? Name an agent")
        version = await self._store().add_version(
            PREFIX + agent, encode(choice), at=self._clock.time(), by=by or _user(), note=note
        )
        await self.refresh()
        return _shown(version)


def _shown(version: Version) -> ChoiceVersion:
    choice = _decoder.decode(version.data)
    agent = version.subject.removeprefix(PREFIX)
    return ChoiceVersion(agent, version.number, choice.model, choice.settings, version.at, version.by, version.note)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "local"
