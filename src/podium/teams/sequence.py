"""A chain: each member works on what the one before it returned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from podium.ports import Context, Member

from .team import Team


class Sequential(Team):
    """`Sequential(a, b, c)`: c(b(a(input))). A member that fails ends the chain with its error."""

    def __init__(
        self,
        *members: Member,
        name: str = "sequence",
        description: str = "",
        capabilities: Sequence[str] = (),
        timeout: float | None = None,
    ) -> None:
        super().__init__(members, name=name, description=description, capabilities=capabilities, timeout=timeout)

    async def __call__(self, ctx: Context, input: Any = None) -> Any:
        """The last member's output."""
        value = input
        for member in self.members:
            value = await ctx.call(member, value)
        return value

    def load_output(self, plain: Any) -> Any:
        """The output as the last member's declared type."""
        load = getattr(self.members[-1], "load_output", None)
        return plain if load is None else load(plain)
