"""Approval: some tool calls wait for a person.

A tool says so itself (`approval="always"`, or a predicate over its arguments). What a decision covers is one exact
call; the runtime binds it to the digest of that call and uses it once.
"""

from __future__ import annotations

from podium.core.actions import Kind
from podium.ports import Deny, HoldFor, Proposal, Verdict

RULE = "approval:tool"
DEFAULT_EXPIRY = 7 * 24 * 3600.0
"""Seconds until silence counts as a refusal."""


class Approvals:
    """Holds calls of tools that ask for approval until one was given for this very call."""

    name = "approval"
    kinds = frozenset({Kind.TOOL})

    def __call__(self, proposal: Proposal) -> Verdict | None:
        """Hold, unless the tool does not ask or this call is already approved."""
        tool = proposal.tool
        if tool is None or tool.approval == "never" or RULE in proposal.approved:
            return None
        if tool.approval != "always":
            try:
                wanted = tool.approval(proposal.args)
            except Exception as error:  # noqa: BLE001  (a user's predicate: failing closed is the only safe reading)
                return Deny("approval:predicate", f"the approval rule of {proposal.name} failed: {error!r}")
            if not wanted:
                return None
        who = f"{proposal.subject} wants" if proposal.subject else "The run wants"
        return HoldFor(RULE, f"{who} to call {proposal.name}", expires=DEFAULT_EXPIRY)


approvals = Approvals()
