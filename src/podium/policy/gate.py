"""The chain of checks. It knows their order, not what they look for.

Order is the law of `runtime.md`: permission first (nothing else matters for an action that may not be), then the
others in the order given, approvals last of the asking ones, since they cover what all earlier checks let pass.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from podium.core.actions import Kind
from podium.ports import Allow, Check, Deny, HoldFor, Proposal, Rewrite, Verdict

from .approvals import Approvals, approvals
from .permissions import Grants, permissions

if TYPE_CHECKING:
    from .rules import Policy

ALLOW = Allow()
_log = logging.getLogger("podium")


class Cause(msgspec.Struct, frozen=True):
    """What one check said of a proposal. `verdict` is `allow`, `deny`, `ask`, `rewrite`, or empty for nothing."""

    check: str
    verdict: str
    rule: str = ""
    message: str = ""
    notes: tuple[str, ...] = ()
    """What the check asked on its way, in order, if it tells."""


class Explanation(msgspec.Struct, frozen=True):
    """How a verdict came about: what every check said, in the order in which they are asked."""

    verdict: Verdict
    causes: tuple[Cause, ...]


class Chain:
    """A gate made of checks, asked in order. The first Deny or Rewrite stands; a hold waits for those after it.

    A check that raises has let nothing pass: it counts as a Deny, under the rule `CHECK:broken`.
    So nobody is asked to approve what would be refused anyway. Of several holds the first stands; when it is lifted,
    the next is met. `version` names the policy: approvals are bound to it, so a changed policy asks again. Checks that
    have a `version` of their own are part of it.
    """

    def __init__(self, checks: Sequence[Check], *, version: str = "1") -> None:
        self.checks = tuple(checks)
        self._version = version
        versions = [str(own) for check in self.checks if (own := getattr(check, "version", None)) is not None]
        self.version = "+".join([version, *versions])
        self._by_kind = {kind: tuple(check for check in self.checks if kind in check.kinds) for kind in Kind}

    def judge(self, proposal: Proposal) -> Verdict:
        """The verdict on one proposal."""
        return self._judge(proposal, None)

    def explain(self, proposal: Proposal) -> Explanation:
        """The verdict as `judge` gives it, with what every check said, also those after the one that decided."""
        causes: list[Cause] = []
        return Explanation(self._judge(proposal, causes), tuple(causes))

    def _judge(self, proposal: Proposal, causes: list[Cause] | None) -> Verdict:
        allowed: Verdict = ALLOW
        held: Verdict | None = None
        final: Verdict | None = None
        for check in self._by_kind[proposal.kind]:
            try:
                verdict = check(proposal) if causes is None else _explained(check, proposal, causes)
            except Exception as error:  # noqa: BLE001  (whatever a check raises, it has not let the action pass)
                verdict = _broken(check, error, causes)
            if verdict is None or final is not None:
                continue
            if type(verdict) is Allow:
                allowed = verdict
            elif type(verdict) is HoldFor:
                held = held or verdict
            elif causes is None:
                return verdict
            else:
                final = verdict
        return final or held or allowed

    def concerns(self, kind: Kind) -> bool:
        """Whether any check looks at actions of this kind."""
        return bool(self._by_kind[kind])

    def with_checks(self, *checks: Check) -> Chain:
        """This gate with more checks, asked before approvals."""
        before = [check for check in self.checks if not isinstance(check, Approvals)]
        after = [check for check in self.checks if isinstance(check, Approvals)]
        return Chain([*before, *checks, *after], version=self._version)


def _explained(check: Any, proposal: Proposal, causes: list[Cause]) -> Verdict | None:
    explain = getattr(check, "explain", None)
    verdict, notes = (check(proposal), ()) if explain is None else explain(proposal)
    causes.append(cause(check.name, verdict, notes))
    return verdict


class Broken(Deny, frozen=True):
    """The refusal in place of a verdict that a check could not give."""


def _broken(check: Check, error: Exception, causes: list[Cause] | None) -> Broken:
    """Refuse. What the check raised may tell anything, and goes to whoever runs the program, not to the model."""
    kind = type(error).__name__
    if causes is None:
        _log.error("the check %s broke, so what it looked at is refused: %s: %s", check.name, kind, error)
    verdict = Broken(f"{check.name}:broken", f"the check {check.name} broke ({kind}), so this is refused")
    if causes is not None:
        causes.append(cause(check.name, verdict))
    return verdict


def cause(check: str, verdict: Verdict | None, notes: tuple[str, ...] = ()) -> Cause:
    """A verdict as a cause."""
    if verdict is None:
        return Cause(check, "", notes=notes)
    if isinstance(verdict, Deny):
        return Cause(check, "deny", verdict.rule, verdict.message, notes)
    if isinstance(verdict, HoldFor):
        return Cause(check, "ask", verdict.rule, verdict.prompt, notes)
    return Cause(check, "rewrite" if isinstance(verdict, Rewrite) else "allow", verdict.rule, "", notes)


def default_gate(
    *,
    policy: Policy | Mapping[str, Any] | str | None = None,
    grants: Callable[[str], frozenset[str] | None] | None = None,
    asking: Sequence[Check] = (),
) -> Chain:
    """The gate of an app: permissions, the lists that `grants` gives for agents, the policy, then what asks.

    `asking` are checks that ask for approval, before those that tools ask for themselves. Raises ConfigurationError for
    a policy that means nothing.
    """
    checks: list[Check] = [permissions]
    if grants is not None:
        checks.append(Grants(grants))
    if policy is not None:
        from .enforce import policy_check  # here: most apps have no policy

        checks.append(policy_check(policy))
    return Chain([*checks, *asking, approvals])
