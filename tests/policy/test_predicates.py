"""Questions about arguments: yes, no, or not at all, and never an exception."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.core.errors import ConfigurationError
from podium.policy import When
from podium.policy.predicates import Question

Answer = bool | None
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "to", "*"]), inner, max_size=4)
    ),
    max_leaves=8,
)


def ask(op: str, value: Any, given: Any, **more: Any) -> Answer:
    return Question(When("x", op, value, **more)).ask({"x": given}, "any")


@pytest.mark.parametrize(
    ("op", "value", "given", "answer"),
    [
        (">", 100, 101, True),
        (">", 100, 100, False),
        (">=", 100, 100.0, True),
        ("<", 0.1, "0.05", True),  # money is often a decimal text
        ("<=", 0.1, "0.1", True),
        ("<=", 100, "1e3", None),
        (">", 100, "many", None),
        (">", 100, True, None),
        (">", 100, float("nan"), None),
        ("<=", 100, float("nan"), None),
        ("<=", 100, float("inf"), False),
        (">", 100, 10**400, True),
        ("==", 1, 1.0, True),
        ("==", 1, True, None),
        ("==", "1", 1, None),
        ("==", True, True, True),
        ("==", True, 1, None),
        ("!=", "a", "b", True),
        ("!=", "a", 3, None),
        ("in", ["a", "b"], "a", True),
        ("in", ["a", "b"], "A", False),
        ("in", ["a", 1], 1, True),
        ("in", ["a", 1], [], None),
        ("not in", ["a", "b"], "c", True),
        ("not in", ["a", "b"], 7, None),
        ("startswith", "/etc", "/etc/passwd", True),
        ("startswith", ["/etc", "/root"], "/root", True),
        ("not startswith", "/etc", "/etc/passwd", False),
        ("endswith", "@example.org", "bo@example.org", True),
        ("contains", "pass", "a password", True),
        ("contains", "a", ["a", "b"], True),
        ("contains", "c", ["a", "b"], False),
        ("contains", 3, "3", None),
        ("contains", "a", [1], None),
        ("matches", "^[a-z]+$", "abc", True),
        ("matches", ["^a$", "^b$"], "b", True),
        ("matches", "x", "a" * 8193, None),
        ("not matches", "x", "a" * 8193, None),
        ("present", None, 0, True),
        ("present", None, None, False),
        ("not present", None, None, True),
    ],
)
def test_a_question_is_answered_or_not_at_all(op: str, value: Any, given: Any, answer: Answer):
    assert ask(op, value, given) is answer


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/srv/data", True),
        ("/srv/data/a.txt", True),
        ("/srv/database", False),
        ("/srv/data/../secret", False),
        ("/srv/./data//x/../y", True),
        ("//srv/data/x", True),
        ("data/x", None),
        ("~/x", None),
        ("/srv/data\\..\\x", None),
        ("/srv/data/\0", None),
        ("", None),
        (3, None),
    ],
)
def test_a_path_is_under_a_folder_after_its_dots_are_taken_away(path: Any, answer: Answer):
    assert ask("under", "/srv/data", path) is answer


def test_a_relative_path_that_leaves_its_folder_leads_nobody_knows_where():
    assert ask("under", "docs", "docs/x/../y") is True
    assert ask("under", "docs", "../docs/x") is None


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("https://api.example.org/x", True),
        ("https://API.example.org:8443/x", True),
        ("https://api.example.org./x", True),
        ("https://api.example.org.evil.net/", False),
        ("https://api.example.org@evil.net/", False),
        ("https://evil.net\\@api.example.org/", None),
        ("https://evil.net /", None),
        ("https://äpi.example.org/", None),
        ("api.example.org", None),
        ("https://[::1/", None),
        ("https://a.files.example.org/", True),
        ("https://files.example.org/", False),
        (None, None),
    ],
)
def test_a_host_is_the_one_that_would_be_talked_to(url: Any, answer: Answer):
    assert ask("host", ["api.example.org", "*.files.example.org"], url) is answer


def test_case_counts_unless_the_policy_says_otherwise():
    assert ask("endswith", "@Rival.com", "BO@RIVAL.COM") is False
    for op, value in (
        ("endswith", "@Rival.com"),
        ("in", ["bo@rival.com"]),
        ("matches", "@rival[.]com$"),
        ("==", "Bo@rival.com"),
    ):
        assert ask(op, value, "BO@RIVAL.COM", ignore_case=True) is True


def test_a_missing_argument_gives_no_answer_unless_the_policy_says_which():
    for args in ({}, {"cc": None}, [], "text", None):
        assert Question(When("cc", "endswith", "@rival.com")).ask(args, "any") is None
        assert Question(When("cc", "endswith", "@rival.com", missing="fails")).ask(args, "any") is False
        assert Question(When("cc", "endswith", "@rival.com", missing="holds")).ask(args, "any") is True


def test_a_star_stands_for_every_element_and_a_rule_that_allows_wants_them_all():
    def of(addresses: Any) -> tuple[Answer, Answer]:
        question = Question(When("/to/*/address", "endswith", "@ours.org"))
        return question.ask({"to": addresses}, "every"), question.ask({"to": addresses}, "any")

    ours, theirs = {"address": "a@ours.org"}, {"address": "b@theirs.org"}
    assert of([ours, ours]) == (True, True)
    assert of([ours, theirs]) == (False, True)
    assert of([theirs]) == (False, False)
    assert of([]) == (True, False)
    assert of([ours, {"name": "no address"}]) == (None, True)
    assert of([theirs, {"address": 3}]) == (False, None)
    assert of("a@ours.org") == (None, None)


def test_paths_are_json_pointers():
    args = {"a/b": {"~": [10, 20]}, "plain.name": 1, "": 3}
    assert Question(When("/a~1b/~0/1", "==", 20)).ask(args, "any") is True
    assert Question(When("/a~1b/~0/2", "==", 20)).ask(args, "any") is None
    assert Question(When("plain.name", "==", 1)).ask(args, "any") is True
    assert Question(When("", "contains", "secret")).ask("a secret", "any") is True


def test_too_many_values_give_no_answer():
    assert Question(When("/x/*", "==", 1)).ask({"x": [1] * 10_001}, "any") is None


@given(
    JSON,
    st.sampled_from(["x", "/a/*/b", "", "/*", "a", "/to/0"]),
    st.sampled_from(
        [
            ("==", "a"),
            ("!=", 1),
            (">", 2),
            ("in", ["a", 1, True]),
            ("contains", "a"),
            ("matches", "a+b*$"),
            ("under", "/a"),
            ("host", "*.a.b"),
            ("present", None),
            ("not startswith", "a"),
        ]
    ),
    st.sampled_from(["any", "every"]),
)
def test_no_argument_of_any_shape_raises(args: Any, arg: str, operation: tuple[str, Any], quantifier: Any):
    assert Question(When(arg, *operation)).ask(args, quantifier) in (True, False, None)


@given(JSON, st.sampled_from([("in", ["a", 1]), ("matches", "a"), ("contains", "a"), ("startswith", "a")]))
def test_a_negated_question_is_never_answered_like_the_plain_one(args: Any, operation: tuple[str, Any]):
    op, value = operation
    plain = Question(When("", op, value)).ask(args, "any")
    negated = Question(When("", f"not {op}", value)).ask(args, "any")
    assert (plain is None) is (negated is None)
    assert plain is None or plain is not negated


@pytest.mark.parametrize(
    ("op", "value", "line"),
    [
        ("starts with", "x", "there is no op 'starts with': did you mean 'startswith'?"),
        ("not >", 1, "there is no op 'not >'"),
        (">", "100", "op '>' compares numbers, not '100'"),
        (">", [1], "op '>' compares with one value, not a list: use op 'in'"),
        ("in", "abc", "op 'in' needs a list of values, not 'abc'"),
        ("in", [], "op 'in' needs a value"),
        ("==", None, "op '==' compares with a text, a number, true or false, not None"),
        ("==", float("nan"), "op '==' compares with"),
        ("matches", "(a", "the pattern '(a' has, at character 3,"),
        ("host", "https://x.org/", "is no host: write example.org or *.example.org"),
        ("present", 1, "op 'present' takes no value"),
    ],
)
def test_a_question_that_means_nothing_is_refused_when_the_policy_is_read(op: str, value: Any, line: str):
    with pytest.raises(ConfigurationError) as caught:
        Question(When("x", op, value))
    assert str(caught.value).startswith(line) or line in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://ev%69l.org/",
        "http://evil%2eorg/",
        "http://evil.org../",
        "http://evil.org%00.good.org/",
        "http://a;evil.org/",
    ],
)
def test_a_host_that_readers_take_differently_gives_no_answer(url: str):
    assert ask("host", ["evil.org"], url) is None
    assert ask("not host", ["evil.org"], url) is None


def test_many_long_texts_are_not_searched_and_give_no_answer():
    question = Question(When("/x/*", "matches", "(ab|ba)+z"))
    assert question.ask({"x": ["ab" * 4000] * 9}, "any") is None
    assert question.ask({"x": ["ab" * 400] * 9}, "any") is False
