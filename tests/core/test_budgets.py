"""Budgets as values: what a person may write, what is refused, what is reported, and where a period begins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.core.budgets import (
    UNITS,
    Alert,
    Amount,
    Budget,
    Charge,
    Crossing,
    Refusal,
    alert_of,
    budget,
    crossings,
    merged,
    period,
    refused,
)
from podium.core.errors import BudgetExceeded, ConfigurationError, rebuild
from podium.core.money import MOST, PICO

SMALL = st.integers(min_value=0, max_value=20)
AMOUNTS = st.builds(Amount, SMALL, SMALL, SMALL)
LIMITS = st.none() | SMALL
CHARGES = st.builds(
    Charge, st.sampled_from(["all", "agent:a"]), LIMITS, LIMITS, LIMITS, st.sampled_from([0.1, 0.8, 1.0])
)


@given(CHARGES, AMOUNTS, AMOUNTS, AMOUNTS)
def test_a_call_is_refused_exactly_when_it_would_pass_a_limit(
    charge: Charge, spent: Amount, held: Amount, asked: Amount
) -> None:
    passed = [
        unit
        for unit in UNITS
        if getattr(charge, unit) is not None
        and getattr(spent, unit) + getattr(held, unit) + getattr(asked, unit) > getattr(charge, unit)
    ]
    refusal = refused(charge, spent, held, asked)
    assert (None if refusal is None else refusal.unit) == (passed[0] if passed else None)


@given(CHARGES, st.lists(AMOUNTS, max_size=12))
def test_each_mark_of_a_limit_is_passed_at_most_once_and_never_missed(charge: Charge, spent: list[Amount]) -> None:
    before, found = Amount(), list[Crossing]()
    for amount in spent:
        after = Amount(before.usd + amount.usd, before.tokens + amount.tokens, before.calls + amount.calls)
        found += crossings(charge, before, after)
        before = after
    for unit in UNITS:
        limit: int | None = getattr(charge, unit)
        mine = [crossing for crossing in found if crossing.unit == unit]
        assert len(mine) <= 2
        if limit:
            assert bool(mine) == (getattr(before, unit) >= limit * charge.alert or getattr(before, unit) > limit)
        else:
            assert not mine


@given(st.lists(CHARGES))
def test_charges_are_locked_in_one_order_and_each_account_once(charges: list[Charge]) -> None:
    ordered = merged(charges)
    assert [charge.scope for charge in ordered] == sorted({charge.scope for charge in charges})
    assert merged(reversed(ordered)) == ordered


# ------------------------------------------------------------------------------------------------- what a person writes


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (Budget(usd=1), Budget(usd=1)),
        (0.5, Budget(usd=0.5)),
        ("0.50", Budget(usd="0.50")),
        (Decimal("0.5"), Budget(usd=Decimal("0.5"))),
        (2, Budget(usd=2)),
        ({"usd": 1, "tokens": 5, "per": "month"}, Budget(usd=1, tokens=5, per="month")),
        ({"seconds": 1.5, "calls": 0}, Budget(seconds=1.5, calls=0)),
    ],
)
def test_a_budget_is_read_from_what_a_person_wrote(value: Any, found: Budget) -> None:
    assert budget(value) == found


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({}, "needs a limit"),
        ({"per": "day"}, "needs a limit"),
        (-1, "sum of US dollars"),
        ("much", "sum of US dollars"),
        (True, "sum of US dollars"),
        (float("nan"), "sum of US dollars"),
        ({"dollars": 1}, "unknown 'dollars'; known are usd"),
        ({"tokens": 1.5}, "tokens must be a whole number"),
        ({"tokens": -1}, "tokens must be a whole number"),
        ({"tokens": True}, "tokens must be a whole number"),
        ({"tokens": 2**63}, "tokens must be a whole number"),
        ({"calls": "5"}, "calls must be a whole number"),
        ({"seconds": -0.1}, "seconds must be a number"),
        ({"seconds": float("nan")}, "seconds must be a number"),
        ({"seconds": float("inf")}, "seconds must be a number"),
        ({"usd": 1, "per": "week"}, "per must be one of total, day, month"),
        ({"usd": 1, "alert": 0}, "alert must be above 0"),
        ({"usd": 1, "alert": 1.01}, "alert must be above 0"),
        ({"usd": 1, "alert": "0.8"}, "alert must be above 0"),
        ({"usd": 1, "alert": float("nan")}, "alert must be above 0"),
    ],
)
def test_what_is_no_budget_is_refused_by_name(value: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        budget(value, "the budget 'all'")
    assert str(caught.value).startswith("the budget 'all'")


def test_a_budget_of_time_alone_has_no_account() -> None:
    assert Budget(seconds=5).charge("run:r") is None


def test_a_limit_beyond_what_can_be_counted_is_the_most_that_can() -> None:
    assert Budget(usd="1e30").charge("all") == Charge("all", MOST)


@pytest.mark.parametrize("usd", [0.1, "0.1", Decimal("0.1")])
def test_a_tenth_of_a_dollar_is_a_tenth_however_it_is_written(usd: Any) -> None:
    assert Budget(usd=usd, alert=0.5).charge("all") == Charge("all", PICO // 10, alert=0.5)


# -------------------------------------------------------------------------------------------------------------- periods

TIMES = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - made aware


@given(TIMES)
def test_a_day_is_from_midnight_to_midnight_utc(at: datetime) -> None:
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    name = period("day", at.timestamp())
    assert name == f"/{at:%Y-%m-%d}"
    assert period("day", midnight.timestamp()) == name
    assert period("day", (midnight + timedelta(days=1, microseconds=-100)).timestamp()) == name
    assert period("day", (midnight + timedelta(days=1)).timestamp()) != name


@pytest.mark.parametrize(
    ("at", "day", "month"),
    [
        ("2026-12-31T23:59:59.999", "/2026-12-31", "/2026-12"),
        ("2027-01-01T00:00:00", "/2027-01-01", "/2027-01"),
        ("2028-02-29T23:59:59", "/2028-02-29", "/2028-02"),
        ("2028-03-01T00:00:00", "/2028-03-01", "/2028-03"),
    ],
)
def test_periods_end_with_the_day_the_month_and_the_year(at: str, day: str, month: str) -> None:
    time = datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()
    assert (period("day", time), period("month", time), period("total", time)) == (day, month, "")


# --------------------------------------------------------------------------------------------------------- what is said


def test_a_refusal_tells_the_figures_and_what_to_do() -> None:
    refusal = Refusal("agent:support/2026-11-21", "usd", 5 * PICO, 3 * PICO, PICO, 2 * PICO)
    error = refusal.error()
    assert isinstance(error, BudgetExceeded)
    assert str(error) == (
        "the budget 'agent:support/2026-11-21' of $5.00 has $1.00 left ($4.00 used, $1.00 of it reserved by calls "
        "under way), and this call may use $2.00: raise the budget, or lower settings.max_output_tokens"
    )
    assert error.data == {
        "rule": "budget",
        "scope": "agent:support/2026-11-21",
        "unit": "usd",
        "limit": "5",
        "left": "1",
        "asked": "2",
    }
    again = rebuild(error.failure)
    assert type(again) is BudgetExceeded
    assert (str(again), again.data) == (str(error), error.data)


def test_an_account_that_is_overdrawn_has_nothing_left() -> None:
    error = Refusal("all", "tokens", 1000, 1500, 0, 10).error()
    assert "of 1,000 tokens has 0 tokens left (1,500 tokens used), and this call may use 10 tokens" in str(error)


def test_an_alert_speaks_in_dollars() -> None:
    alert = alert_of(Crossing("all", "usd", 2 * PICO, 17 * PICO // 10, 0.8))
    assert alert == Alert("all", "usd", Decimal(2), Decimal("1.7"), 0.85)
    assert str(alert) == "the budget 'all' is used to 85%: $1.70 of $2.00"
    assert str(alert_of(Crossing("all", "calls", 4, 5, 0.8))) == "the budget 'all' is used to 125%: 5 of 4 calls"
