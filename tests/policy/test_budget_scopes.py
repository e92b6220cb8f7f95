"""Which accounts a call is charged to: each scope by its own name, or by `*`, in the period at hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.core.budgets import Budget, Charge
from podium.core.errors import ConfigurationError
from podium.core.money import PICO
from podium.policy import Budgets

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()


def charges(budgets: Budgets, own: tuple[Charge, ...] = (), at: float = NOON, **names: str) -> dict[str, int]:
    """Accounts and their limits in dollars."""
    found = budgets.charges(
        own, agent=names.get("agent", "a"), session=names.get("session", ""), tenant=names.get("tenant", ""), at=at
    )
    assert [charge.scope for charge in found] == sorted({charge.scope for charge in found})
    return {charge.scope: (charge.usd or 0) // PICO for charge in found}


def test_an_agents_budget_is_per_day_and_the_others_are_in_total() -> None:
    budgets = Budgets({"all": 1, "agent:a": 2, "session:s": 3, "tenant:t": 4})
    assert charges(budgets, session="s", tenant="t") == {
        "agent:a/2026-11-21": 2, "all": 1, "session:s": 3, "tenant:t": 4,
    }  # fmt: skip


def test_a_period_may_be_given_for_every_scope() -> None:
    budgets = Budgets({
        "all": Budget(usd=1, per="month"), "agent:a": Budget(usd=2, per="total"), "tenant:*": Budget(usd=3, per="day"),
    })  # fmt: skip
    assert charges(budgets, tenant="t") == {"agent:a": 2, "all/2026-11": 1, "tenant:t/2026-11-21": 3}


def test_a_name_of_its_own_wins_over_each() -> None:
    budgets = Budgets({"agent:*": 1, "agent:a": 2, "session": 3})
    assert charges(budgets, agent="a", session="s") == {"agent:a/2026-11-21": 2, "session:s": 3}
    assert charges(budgets, agent="b") == {"agent:b/2026-11-21": 1}


def test_a_run_without_session_and_tenant_is_charged_to_neither() -> None:
    assert charges(Budgets({"session:*": 1, "tenant:*": 1})) == {}


def test_the_budgets_of_the_run_come_with_the_others() -> None:
    own = (Charge("run:r", 7 * PICO),)
    assert charges(Budgets({"all": 1, "run": 5}), own) == {"all": 1, "run:r": 7}
    assert charges(Budgets(), own) == {"run:r": 7}


def test_a_budget_that_is_set_or_lifted_holds_from_the_next_call_on() -> None:
    budgets = Budgets({"all": 1})
    assert charges(budgets) == {"all": 1}
    budgets.set("all", 2)
    budgets.set("agent:a", {"usd": 3, "per": "total"})
    assert charges(budgets) == {"agent:a": 3, "all": 2}
    budgets.remove("all")
    budgets.remove("all")
    assert charges(budgets) == {"agent:a": 3}


def test_accounts_change_at_midnight_utc_and_with_the_month() -> None:
    budgets = Budgets({"agent:*": 1, "all": Budget(usd=1, per="month")})
    midnight = datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    assert sorted(charges(budgets, at=midnight - 0.001)) == ["agent:a/2026-11-30", "all/2026-11"]
    assert sorted(charges(budgets, at=midnight)) == ["agent:a/2026-12-01", "all/2026-12"]


def test_a_budget_of_time_is_no_account() -> None:
    assert Budgets({"run": Budget(seconds=5)}).run == Budget(seconds=5)


@pytest.mark.parametrize(
    ("scope", "limit", "why"),
    [
        ("everything", 1, r'there is no budget for \'everything\': use "run", "all"'),
        ("agents:a", 1, "there is no budget"),
        ("", 1, "there is no budget"),
        ("all:x", 1, "there is no budget"),
        ("all", Budget(seconds=5), "only a run has a time"),
        ("agent:a", {"seconds": 5, "usd": 1}, "only a run has a time"),
        ("run", Budget(usd=1, per="day"), "'run' is for one run"),
        ("all", {"euros": 1}, "the budget 'all': unknown 'euros'"),
    ],
)
def test_what_is_no_scope_or_no_budget_is_refused_with_what_to_write(scope: str, limit: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Budgets({scope: limit})


NAMES = st.sampled_from(["", "a", "b"])
SCOPES = st.sampled_from(["all", "agent:*", "agent:a", "session:*", "session:b", "tenant:*", "tenant:a"])


@given(st.dictionaries(SCOPES, st.integers(1, 9)), NAMES, NAMES, NAMES)
def test_each_kind_is_charged_once_by_its_nearest_budget(
    limits: dict[str, int], agent: str, session: str, tenant: str
) -> None:
    expected: dict[str, int] = {"all": limits["all"]} if "all" in limits else {}
    for kind, name, end in (("agent", agent, "/2026-11-21"), ("session", session, ""), ("tenant", tenant, "")):
        limit = limits.get(f"{kind}:{name}", limits.get(f"{kind}:*"))
        if name and limit is not None:
            expected[f"{kind}:{name}{end}"] = limit
    assert charges(Budgets(limits), agent=agent, session=session, tenant=tenant) == expected
