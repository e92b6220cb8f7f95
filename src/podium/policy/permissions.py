"""Permission: an agent may call the tools it was given, for principals who hold the tool's roles, and nothing else.

A plain member's own code chooses its tools, so it carries no grants and only the roles count. A name that a model made
up is met here like any other tool the agent was not given.
"""

from __future__ import annotations

from podium.core.actions import Kind
from podium.ports import Deny, Proposal, Verdict


class Permissions:
    """The first check of every gate."""

    name = "permission"
    kinds = frozenset({Kind.TOOL})

    def __call__(self, proposal: Proposal) -> Verdict | None:
        """Deny tools that were not granted or that ask for a role the principal lacks."""
        grants = proposal.grants
        if grants is not None and proposal.name not in grants:
            offered = ", ".join(sorted(grants)) or "none"
            return Deny(
                "permission:not-granted",
                f"{proposal.subject} has no tool named {proposal.name!r}; its tools are: {offered}",
            )
        tool = proposal.tool
        if tool is not None and tool.roles and not set(tool.roles) & set(proposal.principal.roles):
            return Deny(
                "permission:role",
                f"{proposal.name} is for {' or '.join(tool.roles)}; {proposal.principal.id} holds none of these roles",
            )
        return None


permissions = Permissions()
