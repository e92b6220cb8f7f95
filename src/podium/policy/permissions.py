"""Permission: an agent may call the tools it was given, for principals who hold the tool's roles, and nothing else.

A plain member's own code chooses its tools, so it carries no grants and only the roles count. A name that a model made
up is met here like any other tool the agent was not given. `Grants` narrows that further by a list that is kept
elsewhere (a registry of tools), and may change while the app runs.
"""

from __future__ import annotations

from collections.abc import Callable

from podium.core.actions import Kind
from podium.ports import Deny, Proposal, Verdict
from podium.ports.selectors import permitted


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


class Grants:
    """Narrows agents to a list of tools: an agent with a list may call those only, even if its code gave it more.

    `allowed(agent)` gives selectors (names, `github_*`, `tag:finance`, ...), or None for an agent without a list. It
    is asked at every call, so a change holds from the next call on.
    """

    name = "grants"
    kinds = frozenset({Kind.TOOL})

    def __init__(self, allowed: Callable[[str], frozenset[str] | None]) -> None:
        self._allowed = allowed

    def __call__(self, proposal: Proposal) -> Verdict | None:
        """Deny what the agent's list does not hold."""
        allowed = self._allowed(proposal.subject)
        if allowed is None or permitted(allowed, proposal.name, proposal.tool):
            return None
        listed = ", ".join(sorted(allowed)) or "none"
        return Deny(
            "permission:registry",
            f"{proposal.subject} may not call {proposal.name}; it may call: {listed} "
            f"(set_tool_permissions({proposal.subject!r}, [...]) changes that)",
        )
