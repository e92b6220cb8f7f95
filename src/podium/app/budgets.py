"""`app.budgets`: what may be spent, what is spent, and who is told when it is nearly all.

Limits come from the configuration and from code, anew in each process; what was spent is kept by the store, for all
processes that share it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from podium.core import money
from podium.core.budgets import NOTHING, Alert, Amount, Budget, Crossing, alert_of, period
from podium.policy import Budgets
from podium.ports import Clock, Ledger

_DATED = re.compile(r"/\d{4}-\d{2}(-\d{2})?$")
"""The period in an account's name."""

_log = logging.getLogger("podium")


class Used(msgspec.Struct, frozen=True):
    """An amount in the units people use."""

    usd: Decimal
    """US dollars."""
    tokens: int
    calls: int


class BudgetState(msgspec.Struct, frozen=True):
    """An account and its limits."""

    scope: str
    budget: Budget | None
    """None for an account whose budget is not in force (now, or in this process)."""
    spent: Used
    held: Used
    """Reserved by calls that are not over."""


class BudgetBook:
    """The budgets of an app. Given to the runtime, and to people as `app.budgets`."""

    def __init__(
        self,
        limits: Mapping[str, Any] | None,
        ledger: Callable[[], Ledger],
        clock: Clock,
        tell: Callable[[Alert], Any] | None,
    ) -> None:
        self.policy = Budgets(limits)
        self._ledger, self._clock, self._tell = ledger, clock, tell

    def set(self, scope: str, limit: Any = None, **fields: Any) -> None:
        """Put a budget in force from the next call on: `set("agent:support", usd=5)`, or with a Budget.

        `scope` is `all`, `run`, `agent:NAME`, `session:ID` or `tenant:ID`; `*` for a name means each. An agent's
        budget is per day unless `per` says otherwise. Raises ConfigurationError.
        """
        self.policy.set(scope, Budget(**fields) if limit is None else limit)

    def remove(self, scope: str) -> None:
        """Lift a budget. What was spent stays on its account."""
        self.policy.remove(scope)

    @property
    def limits(self) -> dict[str, Budget]:
        """Scopes and their budgets, as they are in force in this process."""
        return self.policy.limits

    async def states(self) -> list[BudgetState]:
        """Every account with its limits, and every limit with the present period's account, by name."""
        accounts = {each.scope: each for each in await self._ledger().balances()}
        budgets = self._present(accounts)
        names = sorted({*accounts, *budgets})
        return [
            BudgetState(
                name,
                budgets.get(name),
                _used(accounts[name].spent if name in accounts else NOTHING),
                _used(accounts[name].held if name in accounts else NOTHING),
            )
            for name in names
        ]

    def _present(self, accounts: Mapping[str, Any]) -> dict[str, Budget]:
        """The budget in force for each account of the present periods."""
        found: dict[str, Budget] = {}
        now = self._clock.time()
        for scope, budget in self.policy.limits.items():
            end = period(self.policy.per(scope), now)
            kind, _, name = scope.partition(":")
            if name != "*" and scope != "run":
                found[scope + end] = budget
            elif name == "*":
                for account in accounts:
                    dated = _DATED.search(account)
                    if account.startswith(f"{kind}:") and (dated[0] if dated else "") == end:
                        found.setdefault(account, budget)
        return found

    def alert(self, crossing: Crossing) -> None:
        """Tell whoever wants to know that a budget is nearly used up; a listener's own error is logged, not raised."""
        alert = alert_of(crossing)
        if self._tell is None:
            _log.warning("%s", alert)
            return
        try:
            self._tell(alert)
        except Exception:  # noqa: BLE001  (a listener of a budget must not end the run that told it)
            _log.exception("on_alert failed for: %s", alert)


def _used(amount: Amount) -> Used:
    return Used(money.dollars(amount.usd), amount.tokens, amount.calls)
