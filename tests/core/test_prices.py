"""What tokens cost: exact sums, tiers, the worst case, and what a prompt cache saved."""

import decimal
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from podium.core.errors import ConfigurationError
from podium.core.prices import FREE_PRICE, Price, Tier
from podium.core.usage import Usage

RATES = st.decimals(min_value=0, max_value=1000, places=6, allow_nan=False)
MAYBE = st.none() | RATES
COUNTS = st.integers(0, 3_000_000)
CLAUDE = Price.parse({"input": 2, "output": 10, "cache_read": 0.1, "cache_write": "2.5", "cache_write_long": 4})
TIERED = Price.parse(
    {
        "input": "2.5",
        "output": 15,
        "cache_read": 0.25,
        "tiers": [{"above": 272_000, "input": 5, "output": 22.5, "cache_read": 0.5}],
    }
)


@st.composite
def tiers(draw: st.DrawFn) -> tuple[Tier, ...]:
    bounds = sorted(draw(st.sets(st.integers(0, 2_000_000), max_size=3)))
    return tuple(
        Tier(
            above=above,
            input=draw(MAYBE),
            output=draw(MAYBE),
            cache_read=draw(MAYBE),
            cache_write=draw(MAYBE),
            cache_write_long=draw(MAYBE),
        )
        for above in bounds
    )


def prices(tiers: st.SearchStrategy[tuple[Tier, ...]] = tiers(), request: st.SearchStrategy[Decimal] = RATES):  # noqa: B008
    return st.builds(
        Price,
        input=RATES,
        output=RATES,
        cache_read=MAYBE,
        cache_write=MAYBE,
        cache_write_long=MAYBE,
        request=request,
        tiers=tiers,
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    read, write = draw(COUNTS), draw(COUNTS)
    return Usage(read + write + draw(COUNTS), draw(COUNTS), read, write, 0, draw(st.integers(0, write)))


FLAT = prices(st.just(()), st.just(Decimal(0)))

# ------------------------------------------------------------------------------------------------------------- costs


@pytest.mark.parametrize(
    ("price", "usage", "dollars"),
    [
        (CLAUDE, Usage(1_000_000, 1_000_000), "12"),
        (CLAUDE, Usage(1_000_000, 0, cache_read_tokens=400_000), "1.24"),
        (CLAUDE, Usage(1_000_000, 0, cache_write_tokens=400_000), "2.2"),
        (CLAUDE, Usage(1_000_000, 0, cache_write_tokens=400_000, cache_write_long_tokens=100_000), "2.35"),
        (CLAUDE, Usage(1, 0), "0.000002"),
        (CLAUDE, Usage(10, 20, reasoning_tokens=15), "0.00022"),
        (TIERED, Usage(272_000, 1000), "0.695"),
        (TIERED, Usage(272_001, 1000), "1.382505"),
        (TIERED, Usage(272_001, 1000, cache_read_tokens=272_001), "0.1585005"),
        (Price.parse({"input": 1, "output": 1, "request": "0.005"}), Usage(1000, 0), "0.006"),
        (Price.parse({"input": 1, "output": 1, "cache_write": 2}), Usage(10, 0, 0, 10, 0, 10), "0.00002"),
        (FREE_PRICE, Usage(10**9, 10**9, 5, 5), "0"),
    ],
)
def test_a_call_costs_the_sum_of_its_tokens_at_their_rates(price: Price, usage: Usage, dollars: str):
    assert price.cost(usage) == Decimal(dollars)
    assert str(price.cost(usage)) == dollars


def test_the_program_s_own_decimal_context_rounds_nothing():
    price = Price.parse({"input": "1.23456789", "output": "9.87654321"})
    with decimal.localcontext() as context:
        context.prec = 3
        found = price.cost(Usage(123_456_789, 987_654_321))
    assert Fraction(found) == (Fraction("1.23456789") * 123_456_789 + Fraction("9.87654321") * 987_654_321) / 10**6


@given(prices(), usages())
def test_a_cost_is_exact_and_neither_negative_nor_in_powers_of_ten(price: Price, usage: Usage):
    base = {name: getattr(price, name) for name in ("input", "output", "cache_read", "cache_write", "cache_write_long")}
    for tier in price.tiers:
        if usage.input_tokens > tier.above:
            given_ = {name: getattr(tier, name) for name in base}
            base = {name: getattr(price, name) if value is None else value for name, value in given_.items()}
    plain = Fraction(base["input"])
    read = plain if base["cache_read"] is None else Fraction(base["cache_read"])
    write = plain if base["cache_write"] is None else Fraction(base["cache_write"])
    long = write if base["cache_write_long"] is None else Fraction(base["cache_write_long"])
    exact = (
        plain * (usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens)
        + read * usage.cache_read_tokens
        + write * (usage.cache_write_tokens - usage.cache_write_long_tokens)
        + long * usage.cache_write_long_tokens
        + Fraction(base["output"]) * usage.output_tokens
    ) / 10**6 + Fraction(price.request)
    found = price.cost(usage)
    assert Fraction(found) == exact
    assert found >= 0
    assert "E+" not in str(found)


@given(FLAT, usages(), usages())
def test_without_tiers_and_fees_the_cost_of_two_calls_is_that_of_their_sum(price: Price, one: Usage, other: Usage):
    assert price.cost(one) + price.cost(other) == price.cost(one + other)


@given(prices(), st.tuples(*[COUNTS] * 6).map(lambda counts: Usage(*counts)))
def test_counts_that_contradict_each_other_still_cost_something_sensible(price: Price, usage: Usage):
    assert price.cost(usage) >= 0
    msgspec.json.encode(price.cost(usage))


# --------------------------------------------------------------------------------------------------------- worst case


@given(prices(), usages(), st.integers(0, 1000), st.integers(0, 1000))
@example(TIERED, Usage(272_000, 0), 1, 0)
def test_no_call_within_bounds_costs_more_than_the_worst_case(price: Price, usage: Usage, more_in: int, more_out: int):
    worst = price.worst(usage.input_tokens + more_in, usage.output_tokens + more_out)
    assert price.cost(usage) <= worst


def test_the_worst_case_counts_cache_writes_and_the_tiers_within_reach():
    assert CLAUDE.worst(1_000_000, 0) == 4
    assert TIERED.worst(272_000, 1000) == TIERED.cost(Usage(272_000, 1000))
    assert TIERED.worst(272_001, 1000) == TIERED.cost(Usage(272_001, 1000))


def test_a_dearer_lower_tier_is_not_overlooked():
    price = Price(input=Decimal(10), output=Decimal(0), tiers=(Tier(above=100, input=Decimal(1)),))
    assert price.worst(101, 0) == price.cost(Usage(101, 0)) * 10
    assert price.cost(Usage(100, 0)) <= price.worst(101, 0)


@given(prices())
def test_nothing_asked_costs_at_most_the_fee(price: Price):
    assert price.worst(0, 0) == price.request
    assert price.worst(-5, -5) == price.request


# --------------------------------------------------------------------------------------------------------------- saved


def test_reads_save_and_writes_cost():
    assert CLAUDE.saved(Usage(1_000_000, 5, cache_read_tokens=1_000_000)) == Decimal("1.9")
    assert CLAUDE.saved(Usage(1_000_000, 5, cache_write_tokens=1_000_000)) == Decimal("-0.5")
    assert CLAUDE.saved(Usage(1_000_000, 5, 0, 1_000_000, 0, 1_000_000)) == Decimal(-2)
    assert CLAUDE.saved(Usage(1000, 1000)) == 0


@given(prices(), usages())
def test_what_was_saved_is_the_difference_to_the_same_call_without_a_cache(price: Price, usage: Usage):
    without = price.cost(Usage(usage.input_tokens, usage.output_tokens))
    assert price.saved(usage) == without - price.cost(usage)


# --------------------------------------------------------------------------------------------------------------- parse


def test_numbers_texts_and_decimals_mean_what_is_written():
    price = Price.parse({"input": 0.1, "output": "10.50", "cache_read": Decimal("0.010"), "request": 1})
    assert (price.input, price.output, price.cache_read, price.request) == (
        Decimal("0.1"),
        Decimal("10.5"),
        Decimal("0.01"),
        Decimal(1),
    )
    assert Price(input=0.1, output="10.50", cache_read="0.01", request=1) == price  # pyright: ignore[reportArgumentType]
    assert Price.parse(price) is price


def test_tiers_may_be_written_in_any_order():
    table = {"input": 1, "output": 1, "tiers": [{"above": 200, "input": 3}, {"above": 100, "input": 2}]}
    assert [tier.above for tier in Price.parse(table).tiers] == [100, 200]
    assert Price.parse(table).cost(Usage(201, 0)) == Decimal("0.000603")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (5, "must be a table"),
        ({}, "needs input"),
        ({"input": 1}, "needs output"),
        ({"input": 1, "output": 2, "inptu": 3}, "unknown 'inptu'"),
        ({"input": -1, "output": 2}, "input must be US dollars per million tokens"),
        ({"input": True, "output": 2}, "input must be"),
        ({"input": "two", "output": 2}, "input must be"),
        ({"input": float("nan"), "output": 2}, "input must be"),
        ({"input": float("inf"), "output": 2}, "input must be"),
        ({"input": "1e50", "output": 2}, "input must be"),
        ({"input": "1" * 60, "output": 2}, "input must be"),
        ({"input": None, "output": 2}, "input must be"),
        ({"input": 1, "output": 2, "request": []}, "request must be"),
        ({"input": 1, "output": 2, "tiers": {"above": 1}}, "tiers must be a list"),
        ({"input": 1, "output": 2, "tiers": [3]}, "tiers[0] must be a table"),
        ({"input": 1, "output": 2, "tiers": [{"input": 3}]}, "tiers[0] needs above"),
        ({"input": 1, "output": 2, "tiers": [{"above": 1.5}]}, "tiers[0] needs above"),
        ({"input": 1, "output": 2, "tiers": [{"above": 1, "request": 3}]}, "tiers[0]: unknown 'request'"),
        ({"input": 1, "output": 2, "tiers": [{"above": 1, "input": "x"}]}, "tiers[0]: input must be"),
        ({"input": 1, "output": 2, "tiers": [{"above": 1}, {"above": 1}]}, "must rise"),
    ],
)
def test_what_is_no_price_is_refused_with_the_place(value: object, said: str):
    with pytest.raises(ConfigurationError) as caught:
        Price.parse(value, 'prices."openai:mine"')
    assert str(caught.value).startswith('prices."openai:mine"')
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_price_built_by_hand_is_checked_too():
    for wrong in ({"input": None}, {"output": "-1"}, {"request": None}, {"cache_read": "x"}):
        with pytest.raises(ConfigurationError, match="the rate"):
            Price(**{"input": 1, "output": 2, **wrong})  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match="must rise"):
        Price(input=Decimal(1), output=Decimal(1), tiers=(Tier(above=2), Tier(above=1)))
    with pytest.raises(ConfigurationError, match="above must be"):
        Tier(above=-1)


@given(prices())
def test_a_price_survives_json(price: Price):
    assert msgspec.json.decode(msgspec.json.encode(price), type=Price) == price
