"""The chain of checks. It knows their order, not what they look for.

Order is the law of `runtime.md`: permission first (nothing else matters for an action that may not be), then the
others in the order given, approvals last of the asking ones, since they cover what all earlier checks let pass.
"""

from __future__ import annotations

from collections.abc import Sequence

from podium.core.actions import Kind
from podium.ports import Allow, Check, Proposal, Verdict

from .approvals import approvals
from .permissions import permissions

ALLOW = Allow()


class Chain:
    """A gate made of checks, asked in order; the first verdict other than Allow stands.

    `version` names the policy: approvals are bound to it, so a changed policy asks again.
    """

    def __init__(self, checks: Sequence[Check], *, version: str = "1") -> None:
        self.checks = tuple(checks)
        self.version = version
        self._by_kind = {kind: tuple(check for check in self.checks if kind in check.kinds) for kind in Kind}

    def judge(self, proposal: Proposal) -> Verdict:
        """The verdict on one proposal."""
        allowed: Verdict = ALLOW
        for check in self._by_kind[proposal.kind]:
            verdict = check(proposal)
            if verdict is None:
                continue
            if type(verdict) is Allow:
                allowed = verdict
                continue
            return verdict
        return allowed

    def concerns(self, kind: Kind) -> bool:
        """Whether any check looks at actions of this kind."""
        return bool(self._by_kind[kind])

    def with_checks(self, *checks: Check) -> Chain:
        """This gate with more checks, asked before approvals."""
        before = [check for check in self.checks if check is not approvals]
        after = [check for check in self.checks if check is approvals]
        return Chain([*before, *checks, *after], version=self.version)


def default_gate() -> Chain:
    """Permissions, then approvals."""
    return Chain([permissions, approvals])
