"""Money is counted in whole picodollars, exactly, whatever a program does to its decimal context."""

from __future__ import annotations

import decimal
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.core import money
from podium.core.errors import ConfigurationError

WHOLE = st.integers(min_value=0, max_value=money.MOST)
SUMS = st.decimals(min_value=0, max_value=9_000_000, allow_nan=False, allow_infinity=False)


@given(WHOLE)
def test_picodollars_survive_the_way_over_dollars_and_their_text(pico: int) -> None:
    dollars = money.dollars(pico)
    assert money.pico(dollars) == money.pico(str(dollars)) == pico
    assert Fraction(dollars) == Fraction(pico, 10**12)
    assert "E" not in str(dollars) or abs(dollars) < Decimal("0.000001")


@given(SUMS)
def test_dollars_are_rounded_up_to_the_next_picodollar_and_no_further(dollars: Decimal) -> None:
    exact = Fraction(dollars) * 10**12
    assert exact <= money.pico(dollars) < exact + 1


@given(WHOLE, st.integers(min_value=1, max_value=12))
def test_a_programs_own_decimal_context_changes_nothing(pico: int, precision: int) -> None:
    with decimal.localcontext() as context:
        context.prec, context.rounding = precision, decimal.ROUND_DOWN
        dollars = money.dollars(pico)
        assert money.pico(dollars) == pico


@pytest.mark.parametrize("much", ["9223372.036854775808", "1e30", "1e400", "1e99999999"])
def test_more_than_the_ledger_can_count_is_the_most_it_can(much: str) -> None:
    assert money.pico(much) == money.MOST


@pytest.mark.parametrize(("value", "found"), [(0.1, "0.1"), ("0.50", "0.50"), (3, "3"), (Decimal("1e-9"), "1E-9")])
def test_a_sum_is_taken_as_it_is_written(value: Decimal | float | str, found: str) -> None:
    assert money.amount(value, "it") == Decimal(found)


@pytest.mark.parametrize("value", [-1, "-0.01", float("nan"), float("inf"), "much", "", True, None, "sNaN"])
def test_what_is_no_sum_of_money_is_refused_by_name(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"my budget must be a sum of US dollars"):
        money.amount(value, "my budget")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "$0.00"),
        ("12.5", "$12.50"),
        ("0.1", "$0.10"),
        ("0.0042", "$0.0042"),
        ("0.00012", "$0.000120"),
        ("0.0000001", "$0.00000010"),
    ],
)
def test_small_sums_are_told_from_nothing(value: str, text: str) -> None:
    assert money.shown(value) == text
