"""The sketch of durations: near enough for any quantile of anything, and merged by addition."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from podium.core.codec import decode, encode
from podium.core.durations import LAST, LEAST, interval, merged, packed, quantile

seconds = st.floats(LEAST, 1e7)


def sketch(values: list[float]) -> tuple[int, ...]:
    counts: dict[int, int] = {}
    for value in values:
        counts[interval(value)] = counts.get(interval(value), 0) + 1
    return packed(counts)


@given(st.lists(seconds, min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.99, 1.0]))
def test_a_quantile_is_within_a_tenth_of_the_true_one(values: list[float], part: float) -> None:
    true = sorted(values)[max(1, math.ceil(part * len(values))) - 1]
    read = quantile(merged([sketch(values)]), part)
    assert read is not None
    assert abs(read - true) <= 0.1 * true


@given(st.lists(st.lists(seconds, max_size=30), max_size=5))
def test_sketches_merge_by_addition(parts: list[list[float]]) -> None:
    together = sketch([value for part in parts for value in part])
    assert packed(merged(sketch(part) for part in parts)) == together


@given(st.lists(seconds, max_size=50))
def test_a_stored_sketch_is_read_as_it_was_written(values: list[float]) -> None:
    assert tuple(decode(encode(sketch(values)))) == sketch(values)


@given(st.floats(allow_nan=False))
def test_every_duration_has_an_interval_also_the_impossible_ones(value: float) -> None:
    assert 0 <= interval(value) <= LAST


def test_nothing_measured_has_no_quantile() -> None:
    assert quantile({}, 0.5) is None
