"""Budgets wider than a run: which accounts a call is charged to, from what a person set.

A budget is set for a scope: `all`, `agent:NAME`, `session:ID`, `tenant:ID`, or, with `*` for the name, for each one of
that kind; `run` is the budget of runs that are given none of their own. A name of its own wins over `*`. Each scope and
period has one account, `agent:support/2026-11-21`. Accounts are kept by the store; this module only names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from podium.core.budgets import Budget, Charge, budget, merged, period
from podium.core.errors import ConfigurationError

KINDS = ("agent", "session", "tenant")
_EXAMPLES = 'use "run", "all", "agent:NAME", "session:ID" or "tenant:ID" (or "agent:*" for each)'
_MOST = 1024
"""Combinations of agent, session and tenant that are remembered."""


class Budgets:
    """The budgets in force. `limits` maps scopes to budgets: a Budget, US dollars, or a table of a Budget's fields.

    Raises ConfigurationError for a scope or a budget that is none.
    """

    def __init__(self, limits: Mapping[str, Any] | None = None) -> None:
        self._limits: dict[str, Budget] = {}
        self._known: dict[tuple[str, str, str, str], tuple[Charge, ...]] = {}
        for scope, limit in (limits or {}).items():
            self.set(scope, limit)

    def set(self, scope: str, limit: Any) -> None:
        """Put a budget in force, in place of the one that was: calls that begin from now on are charged to it."""
        scope = _checked(scope)
        found = budget(limit, f"the budget {scope!r}")
        if found.seconds is not None and scope != "run":
            raise ConfigurationError(f"the budget {scope!r} cannot limit seconds: only a run has a time of its own")
        if scope == "run" and found.per not in (None, "total"):
            raise ConfigurationError("the budget 'run' is for one run: leave per out, or set a budget for 'all'")
        self._limits[scope] = found
        self._known.clear()

    def remove(self, scope: str) -> None:
        """Lift a budget. Lifting one that is not set changes nothing."""
        self._limits.pop(_checked(scope), None)
        self._known.clear()

    @property
    def limits(self) -> dict[str, Budget]:
        """Scopes and their budgets."""
        return dict(self._limits)

    @property
    def run(self) -> Budget | None:
        """The budget of runs that are given none of their own."""
        return self._limits.get("run")

    def charges(
        self, own: tuple[Charge, ...], *, agent: str, session: str, tenant: str, at: float
    ) -> tuple[Charge, ...]:
        """All charges in force for a call at `at` (epoch seconds), in the order in which accounts are locked."""
        if not self._limits:
            return own
        day = period("day", at)
        key = (agent, session, tenant, day)
        wide = self._known.get(key)
        if wide is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            wide = self._known[key] = self._wide({"agent": agent, "session": session, "tenant": tenant}, at)
        return wide if not own else merged((*own, *wide))

    def per(self, scope: str) -> str:
        """The period of a scope's budget: `total`, `day` or `month`."""
        found = self._limits[scope]
        return found.per or ("day" if scope.startswith("agent:") else "total")

    def _wide(self, names: Mapping[str, str], at: float) -> tuple[Charge, ...]:
        found: list[Charge | None] = []
        if "all" in self._limits:
            found.append(self._limits["all"].charge("all" + period(self.per("all"), at)))
        for kind, name in names.items():
            scope = next((scope for scope in (f"{kind}:{name}", f"{kind}:*") if scope in self._limits), None)
            if name and scope is not None:
                found.append(self._limits[scope].charge(f"{kind}:{name}" + period(self.per(scope), at)))
        return merged(charge for charge in found if charge is not None)


def _checked(scope: str) -> str:
    kind, colon, name = scope.partition(":")
    if scope in ("run", "all") or (kind in KINDS and colon and name):
        return scope
    if kind in KINDS and not name:
        return f"{kind}:*"
    raise ConfigurationError(f"there is no budget for {scope!r}: {_EXAMPLES}")
