"""Secrets do not survive redaction; everything else does."""

from __future__ import annotations

import copy
import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.core.redaction import REDACTED, is_sensitive, redact, redact_text, secrets_in, without

ALNUM = string.ascii_letters + string.digits
SECRETS = [
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "github_pat_11ABCDEFG0123456789_abcdefghijklmnop",
    "glpat-abcdefghij0123456789",
    "xoxb-123456789012-abcdefABCDEF",
    "sk-ant-api03-0123456789abcdefABCDEF",
    "sk_live_0123456789abcdefABCDEF",
    "AIzaSyA0123456789abcdefghijklmnopqrstuv",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlLTEyMw",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA0123\n-----END RSA PRIVATE KEY-----",
    "Bearer 0123456789abcdefABCDEF",
    "password=hunter2-hunter2",
    "postgres://app:s3cr3tpass@db/main",
]
CORES = [s.removeprefix("Bearer ").removeprefix("password=").replace("postgres://app:", "") for s in SECRETS]


@pytest.mark.parametrize("secret", SECRETS)
def test_known_kinds_of_secrets_are_replaced_in_text(secret: str) -> None:
    assert REDACTED in redact_text(f"see {secret} there")


harmless = st.text(string.ascii_lowercase + " ", max_size=30)
leaves = st.none() | st.booleans() | st.integers() | harmless


@given(
    st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(harmless, inner, max_size=3)),
    st.integers(0, len(SECRETS) - 1),
    harmless,
    harmless,
)
def test_a_planted_secret_never_leaves_and_the_original_is_untouched(
    value: Any, which: int, before: str, after: str
) -> None:
    planted = {"note": [value, {"text": f"{before} {SECRETS[which]} {after}"}], f"{SECRETS[which]}": 1}
    original = copy.deepcopy(planted)
    core = CORES[which].partition("@")[0]
    for bound in (None, 40, 1000):
        assert core not in json.dumps(redact(planted, bound=bound)).replace("\\n", "\n")
    assert planted == original


@given(
    st.sampled_from(["password", "apiKey", "X-API-Key", "access_token", "Authorization", "set-cookie", "clientSecret"])
)
def test_the_value_of_a_telling_key_goes_as_a_whole(key: str) -> None:
    assert redact({key: "short", "a": {key: {"deep": ["x"]}}, "b": {key: 1234}}) == {
        key: REDACTED,
        "a": {key: REDACTED},
        "b": {key: REDACTED},
    }
    assert redact({key: True}) == {key: True}


@pytest.mark.parametrize("key", ["max_tokens", "tokens", "page_token", "monkey", "primary_key", "author", "secretary"])
def test_keys_that_merely_look_like_secrets_stay(key: str) -> None:
    assert not is_sensitive(key)


@pytest.mark.parametrize(
    "text",
    [
        "token: Token",
        "password = read_password1()",
        "max_tokens=4096",
        "task-force-alpha-in-2024",
        "sk-learn-compatible-estimators",
        "Basic understanding of things",
        "https://example.org/a@b",
    ],
)
def test_code_and_prose_stay_readable(text: str) -> None:
    assert redact_text(text) is text


@given(st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(harmless, inner, max_size=3)))
def test_a_value_without_secrets_is_returned_as_it_is(value: Any) -> None:
    value = {"data": value}
    if redact(value) == value:
        assert redact(value) is value


def test_a_bound_cuts_long_values_and_says_how_much() -> None:
    short = redact({"text": "x" * 5000, "items": list(range(1000))}, bound=200)
    assert len(json.dumps(short)) < 400
    assert "more characters" in short["text"]


@pytest.mark.parametrize("piece", ["eyJ", "sk-", "token=", "://a:", "-----BEGIN A ", "passw", "basic ", "-sk"])
def test_hostile_text_is_searched_in_one_pass(piece: str) -> None:
    redact_text(piece * 100_000)  # a quadratic pattern would take minutes, and the suite notices
    redact_text("token=1a" + piece * 10_000)


def test_nesting_beyond_reason_is_replaced() -> None:
    deep: Any = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
    for _ in range(500):
        deep = [deep]
    assert "ghp_" not in json.dumps(redact(deep))


def test_secrets_are_taken_out_of_what_repeats_them_however_deep() -> None:
    deep: Any = {"password": "the word is rosebud"}
    for _ in range(5000):
        deep = {"credentials": [deep]}
    assert secrets_in(deep) == ["the word is rosebud"]
    told = {"it is": [1, "the word is rosebud!", ("ok", "the word is rosebud")]}
    assert without(secrets_in(deep), told) == {"it is": [1, "[redacted]!", ["ok", "[redacted]"]]}
    assert without(["the word is rosebud"], deep) != deep
    harmless = {"a": ["b"]}
    assert without(["the word is rosebud"], harmless) is harmless


def test_single_words_are_not_looked_for_in_other_texts() -> None:
    assert secrets_in({"auth": "required", "token": "Continue", "password": "12345678", "secret": "short1"}) == []
