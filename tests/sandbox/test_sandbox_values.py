"""Reading a value that may be hostile: any bytes give a value or one error."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podium.tools.sandbox.values import DEEPEST, UnreadableValue, read, shallow

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a loaded machine is slow
@given(JSON)
def test_a_value_is_read_as_it_was_written(value: object) -> None:
    assert read(json.dumps(value).encode()) == value


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_the_one_error(raw: bytes) -> None:
    try:
        value = read(raw)
    except UnreadableValue:
        return
    assert shallow(value)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.integers(0, DEEPEST * 2), st.sampled_from(["[]", "{}"]))
def test_depth_is_bounded(depth: int, kind: str) -> None:
    opened = "[" if kind == "[]" else '{"a":'
    raw = (opened * depth + "1" + kind[1] * depth).encode()
    if depth <= DEEPEST:
        assert shallow(read(raw))
    else:
        with pytest.raises(UnreadableValue, match="levels deep"):
            read(raw)


def test_a_depth_beyond_the_stack_is_the_same_error() -> None:
    with pytest.raises(UnreadableValue):
        read(b"[" * 1_000_000)
