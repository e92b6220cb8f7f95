"""Keys name steps: the same program gives the same keys, whatever its names hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.core import keys

NAMES = st.text(max_size=12)
PAIRS = st.lists(st.tuples(NAMES, st.integers(1, 10_000)), min_size=1, max_size=5)


@given(NAMES)
def test_a_name_survives_being_escaped(name: str) -> None:
    assert keys.unescape(keys.escape(name)) == name


@given(NAMES)
def test_an_escaped_name_holds_nothing_that_structures_a_key(name: str) -> None:
    assert keys.escape(name)
    assert not set(keys.escape(name)) & set("/. \n\x00")


@given(PAIRS)
def test_a_key_splits_into_the_names_and_ordinals_it_was_joined_from(pairs: list[tuple[str, int]]) -> None:
    key = ""
    for name, ordinal in pairs:
        key = keys.join(key, name, ordinal)
    assert keys.split(key) == tuple(pairs)


@given(PAIRS, PAIRS)
def test_different_paths_have_different_keys(one: list[tuple[str, int]], other: list[tuple[str, int]]) -> None:
    def joined(pairs: list[tuple[str, int]]) -> str:
        key = ""
        for name, ordinal in pairs:
            key = keys.join(key, name, ordinal)
        return key

    assert (joined(one) == joined(other)) == (one == other)


def test_the_ordinal_is_always_written() -> None:
    assert keys.join("", "review", 1) == "review.1"
    assert keys.join("review.1", "turn", 3) == "review.1/turn.3"


def test_a_scope_holds_what_is_below_it_and_not_itself_nor_a_namesake() -> None:
    assert keys.within("a.1/b.1", "a.1")
    assert not keys.within("a.1", "a.1")
    assert not keys.within("a.10/b.1", "a.1")
    assert keys.within("a.1", "")
    assert keys.parent("a.1/b.1") == "a.1"
    assert keys.parent("a.1") == ""


@pytest.mark.parametrize("text", ["", "a", "a.", "a.x", "a.1/", "a.1/b"])
def test_text_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a step key"):
        keys.split(text)
