"""What teams have in common: a name, a description, and members whose names can be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from podium.agents.member import Runnable
from podium.core.errors import ConfigurationError
from podium.ports import Member


class Team(Runnable[Any]):
    """The base of team patterns."""

    def __init__(
        self,
        members: Sequence[Member],
        *,
        name: str,
        description: str = "",
        capabilities: Sequence[str] = (),
        timeout: float | None = None,
    ) -> None:
        if not members:
            raise ConfigurationError(f"the team {name!r} has no members")
        for member in members:
            if not callable(member) or not isinstance(getattr(member, "name", None), str):
                raise ConfigurationError(
                    f"{member!r} in team {name!r} is not a member: pass an Agent, a team, or a function marked with "
                    "@member"
                )
        self.members = tuple(members)
        self.name = name
        self.description = description
        self.capabilities = tuple(capabilities) or tuple(
            dict.fromkeys(capability for member in members for capability in member.capabilities)
        )
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(member.name for member in self.members)})"
