"""Patterns of policies: they find what `re` finds, whatever they are asked, and nothing keeps them busy."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.core.errors import ConfigurationError
from podium.policy.patterns import MOST_PATTERN, Pattern

ATOMS = st.sampled_from(
    ["a", "b", "c", ".", "[ab]", "[^a]", "[a-c]", r"\d", r"\w", r"\s", r"\.", r"\W", "1", "[b-]", "^", "$"]
)
TIMES = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{0,2}", "{1,}", "*?", "{0}"])


def _patterns() -> st.SearchStrategy[str]:
    single = st.builds(lambda atom, times: atom if atom in "^$" else atom + times, ATOMS, TIMES)
    sequence = st.lists(single, max_size=4).map("".join)
    return st.recursive(
        sequence,
        lambda inner: st.one_of(
            st.builds(lambda a, b: f"{a}|{b}", inner, inner),
            st.builds(lambda a, times, b: f"({a}){times}{b}", inner, TIMES, inner),
            st.builds(lambda a, b: f"(?:{a}){b}", inner, inner),
        ),
        max_leaves=5,
    )


TEXTS = st.text(alphabet="abc1. -\n", max_size=12)


def _with_re(pattern: str, text: str, flags: re.RegexFlag = re.DOTALL) -> bool:
    # `$` is the very end here, and `.` any character.
    return re.search(pattern.replace("$", r"\Z"), text, re.ASCII | flags) is not None


@settings(max_examples=600)
@given(_patterns(), st.lists(TEXTS, min_size=1, max_size=4))
def test_a_pattern_finds_exactly_what_re_finds(pattern: str, texts: list[str]):
    compiled = Pattern(pattern)
    for text in (*texts, *texts):  # again, from memory
        assert compiled.search(text) is _with_re(pattern, text), (pattern, text)


@given(_patterns(), st.text(alphabet="aAbBcC1 ", max_size=10))
def test_without_regard_to_case_it_finds_what_re_finds(pattern: str, text: str):
    found = _with_re(pattern, text, re.DOTALL | re.IGNORECASE)
    assert Pattern(pattern, ignore_case=True).search(text) is found
    assert Pattern(f"(?i){pattern}").search(text) is found


@given(st.text(max_size=60))
def test_any_text_is_a_pattern_or_a_configuration_error_of_one_line(text: str):
    try:
        compiled = Pattern(text)
    except ConfigurationError as error:
        assert len(str(error).splitlines()) >= 1  # noqa: PT017  (either outcome is right, each with its form)
    else:
        assert compiled.search("some text") in (True, False)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 8000 + "!"),
        ("(a|aa)+$", "a" * 8000 + "b"),
        (r"(\w+\s?)+:$", "word " * 1600),
        (r".*.*.*.*=x", "x" * 8000),
        (r".{0,90}q!", "".join(chr(0x4E00 + number) for number in range(8000))),
    ],
)
def test_texts_that_keep_re_busy_for_years_are_answered(pattern: str, text: str):
    assert Pattern(pattern).search(text) is False
    assert Pattern(pattern).search(text + "q!q!=x:") is (pattern in (".*.*.*.*=x", ".{0,90}q!", r"(\w+\s?)+:$"))


def test_a_line_break_hides_nothing_and_ends_nothing():
    assert Pattern("rm.+-rf").search("rm \n -rf")
    assert not Pattern("^[a-z]+$").search("safe\n")
    assert not Pattern("^safe$").search("evil\nsafe")


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(a", "a '(' that is never closed"),
        ("a)", "a ')' that closes nothing"),
        ("[a", "a '[' that is never closed"),
        ("*a", "a '*' that repeats nothing"),
        ("a**", "a repetition of a repetition"),
        ("a{3,2}", "a repetition out of order"),
        ("a{1000}", "or of more than 100"),
        ("a{x}", "write \\{ for the sign"),
        ("a++", "a possessive repetition"),
        ("(?=a)", "this kind of group"),
        (r"(a)\1", "known are"),
        (r"\bword", "known are"),
        ("[z-a]", "a range that is out of order"),
        ("a\\", "a '\\' at the end"),
        ("((((a{99}){99}){99}){99})", "too much repetition"),
        ("(" * 40 + "a" + ")" * 40, "nested too deeply"),
        ("a" * (MOST_PATTERN + 1), "at most"),
    ],
)
def test_what_is_not_supported_is_refused_when_the_policy_is_read(pattern: str, why: str):
    with pytest.raises(ConfigurationError) as caught:
        Pattern(pattern)
    assert why in str(caught.value)
