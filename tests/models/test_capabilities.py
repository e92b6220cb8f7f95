"""What models can do: families, dated ids, names nobody knows, and the data they are checked against."""

from __future__ import annotations

import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.models import prices
from podium.models.capabilities import SAMPLING, UNKNOWN, Capabilities, capabilities, known_models


@pytest.mark.parametrize(
    ("name", "context", "max_output"),
    [
        ("anthropic:claude-sonnet-5-5", 1_000_000, 128_000),
        ("anthropic:claude-opus-5-5-20260812", 1_000_000, 128_000),
        ("anthropic:claude-haiku-4-5-20251001", 200_000, 64_000),
        ("anthropic:claude-opus-4-8", 1_000_000, 128_000),
        ("anthropic:claude-opus-4-20250514", 200_000, 32_000),
        ("openai:gpt-6-sol", 1_050_000, 128_000),
        ("openai:gpt-6.1-terra-2026-10-30", 1_050_000, 128_000),
        ("openai-responses:gpt-5.4-mini-2026-03-17", 400_000, 128_000),
        ("openai:gpt-5-chat-latest", 128_000, 16_384),
        ("openai:gpt-4o-2024-11-20", 128_000, 16_384),
        ("openai:GPT-4.1-mini", 1_047_576, 32_768),
        ("openai:o3", 200_000, 100_000),
        ("azure:gpt-5.4", 1_050_000, 128_000),
        ("gemini:gemini-3.8-flash", 1_048_576, 65_536),
        ("gemini:models/gemini-3.1-pro-preview", 1_048_576, 65_536),
        ("gemini:gemini-2.0-flash-001", 1_048_576, 8_192),
        ("vertex:google/gemini-2.5-pro", 1_048_576, 65_536),
        ("vertex:publishers/anthropic/models/claude-opus-5-5@20260909", 1_000_000, 128_000),
    ],
)
def test_a_model_is_known_by_its_family(name: str, context: int, max_output: int):
    found = capabilities(name)
    assert (found.context, found.max_output) == (context, max_output)


@pytest.mark.parametrize(
    "name",
    ["openai:gpt-9", "azure:our-best", "ollama:llama3.3", "nobody:x", "offline", "", "gemini:gemini-9-pro", "openai:"],
)
def test_a_name_nobody_knows_is_given_everything_and_no_limit(name: str):
    assert capabilities(name) == UNKNOWN
    assert Capabilities(context=None, max_output=None, sampling=SAMPLING) == UNKNOWN
    assert all(UNKNOWN.accepts(setting) for setting in SAMPLING)


@pytest.mark.parametrize(
    "name", ["openai:gpt-4o-audio-preview", "gemini:gemini-2.5-flash-image", "openai:gpt-realtime"]
)
def test_a_namesake_with_other_inputs_or_outputs_is_no_member_of_the_family(name: str):
    assert capabilities(name).max_output is None


def test_a_context_window_comes_from_the_prices_where_no_family_tells_it():
    found = capabilities("openai:gpt-oss-120b")
    assert (found.context, found.max_output) == (131_072, None)


def test_claude_takes_no_sampling_but_stop_even_as_a_model_of_tomorrow():
    for name in ("anthropic:claude-sonnet-5-5", "anthropic:claude-haiku-4-5", "anthropic:claude-opus-9"):
        assert capabilities(name).sampling == {"stop"}
        assert not capabilities(name).accepts("temperature", effort="none")


@pytest.mark.parametrize(
    ("name", "always", "unthinking"),
    [
        ("openai:gpt-4.1", True, True),
        ("openai:gpt-5-chat-latest", True, True),
        ("openai:gpt-5.4", False, True),
        ("openai:gpt-6-luna", False, True),
        ("openai:gpt-6-astra", False, False),
        ("openai:gpt-5-mini", False, False),
        ("openai:o3", False, False),
        ("gemini:gemini-3.8-flash", True, True),
        ("gemini:gemini-4-argon", False, False),
    ],
)
def test_temperature_is_accepted_by_those_that_do_not_reason(name: str, always: bool, unthinking: bool):
    found = capabilities(name)
    assert found.accepts("temperature") is always
    assert found.accepts("temperature", effort="high") is always
    assert found.accepts("temperature", effort="none") is unthinking


def test_chat_completions_takes_tools_of_the_newest_only_without_reasoning():
    assert capabilities("openai:gpt-5.6-luna").chat_tools_unthinking
    assert capabilities("openai:gpt-6-sol").chat_tools_unthinking
    assert not capabilities("openai:gpt-5.4").chat_tools_unthinking
    assert not UNKNOWN.chat_tools_unthinking


@pytest.mark.parametrize(
    ("name", "images", "thinking", "structured"),
    [
        ("openai:gpt-3.5-turbo", False, False, False),
        ("openai:o3-mini", False, True, True),
        ("openai:gpt-4o", True, False, True),
        ("anthropic:claude-3-5-sonnet-20241022", True, False, False),
        ("anthropic:claude-opus-5-5", True, True, True),
    ],
)
def test_older_models_can_less(name: str, images: bool, thinking: bool, structured: bool):
    found = capabilities(name)
    assert (found.images, found.files, found.thinking, found.structured) == (images, images, thinking, structured)


@pytest.mark.parametrize("provider", ["anthropic", "openai", "openai-responses", "azure", "gemini", "vertex"])
def test_suggested_models_have_a_price_and_a_family(provider: str):
    names = known_models(provider)
    assert len(names) > 5
    for name in names:
        assert prices.find(f"{provider}:{name}") is not None, name
        assert capabilities(f"{provider}:{name}").max_output is not None, name
    assert not [name for name in names if "gpt-3" in name or "claude-3" in name or "gemini-1" in name]


@pytest.mark.parametrize("provider", ["ollama", "offline", "nobody", ""])
def test_nothing_is_suggested_for_other_providers(provider: str):
    assert known_models(provider) == []


def test_every_claude_of_the_official_types_has_its_limits():
    from anthropic.types.model_param import ModelParam

    names = [name for kind in typing.get_args(ModelParam) for name in typing.get_args(kind)]
    assert len(names) > 10
    assert [name for name in names if capabilities(f"anthropic:{name}").max_output is None] == []


def test_every_chat_model_of_the_official_types_has_its_limits():
    from openai.types.shared.chat_model import ChatModel

    other = ("audio", "search", "codex-mini", "vision", "16k", "0301")
    names = [name for name in typing.get_args(ChatModel) if not any(word in name for word in other)]
    assert len(names) > 40
    assert [name for name in names if capabilities(f"openai:{name}").max_output is None] == []


@pytest.mark.parametrize("provider", ["anthropic", "gemini", "openai"])
def test_families_agree_with_the_context_windows_of_the_price_table(provider: str):
    def near(ours: int | None, theirs: int | None) -> bool:
        return theirs is None or (ours is not None and abs(ours - theirs) <= theirs * 0.05)

    # gpt-5.3 is listed with the window of its chat variant.
    names = [name for name in known_models(provider) if name != "gpt-5.3"]
    wrong = [
        name
        for name in names
        if not near(capabilities(f"{provider}:{name}").context, prices.context_window(f"{provider}:{name}"))
    ]
    assert wrong == []


@given(st.sampled_from(["anthropic", "openai", "gemini", "vertex", "azure", "x"]), st.text(max_size=40))
def test_no_name_makes_it_fail(provider: str, name: str):
    found = capabilities(f"{provider}:{name}")
    assert found.sampling <= SAMPLING
    assert not found.sampling & found.sampling_unthinking
