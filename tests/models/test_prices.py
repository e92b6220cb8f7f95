"""The table of prices: every model in it against the data it was made from, and names as people write them."""

from __future__ import annotations

import functools
import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.core.prices import FREE_PRICE, Price
from podium.core.usage import Usage
from podium.models import price_table, prices

ROOT = Path(__file__).parents[2]
NAMES = {"anthropic": "anthropic", "openai": "openai", "azure": "azure", "google": "gemini"}
HOSTS = {provider: host for host, provider in reversed(prices._HOSTS.items())}
PROVIDERS = sorted(price_table.table().providers)
TODAY = datetime.fromisoformat(f"{prices.table_info().date}T12:00:00+00:00")
# Midday, two hours at which some prices differ, and days from which others will.
MOMENTS = [TODAY, *(TODAY.replace(hour=hour) for hour in (2, 8)), *(TODAY + timedelta(days) for days in (11, 45))]
USAGES = [
    Usage(1000, 500),
    Usage(90_000, 700, 20_000, 30_000, 100, 10_000),
    Usage(300_001, 11, 100_000, 50_000, 0, 50_000),
]
# What makes a bill of more than input, output and cached tokens: such models have no price here.
MORE = {f"output_{kind}_mtok" for kind in ("audio", "image", "video", "reasoning", "citation")}


@functools.cache
def source() -> Any:
    """The data the table was made from. Loading them takes half a second."""
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot()


def found_there(provider: str, ref: str) -> Any:
    """The source's own model for an id, or None."""
    place = next(each for each in source().providers if each.id == provider)
    found = place.find_model(ref, all_providers=source().providers)
    return None if found is None or (provider == "openrouter" and found.id.endswith(":batch")) else found


def there(provider: str, ref: str, usage: Usage, at: datetime, context: dict[str, str] | None = None) -> Decimal:
    """The source's own cost of a call."""
    from genai_prices import Usage as TheirUsage
    from genai_prices import calc_price

    return calc_price(
        TheirUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            cache_write_1h_tokens=usage.cache_write_long_tokens,
            output_reasoning_tokens=usage.reasoning_tokens,
        ),
        ref,
        provider_id=provider,
        genai_request_timestamp=at,
        price_context=context,
    ).total_price


def here(provider: str, ref: str, at: datetime = TODAY, context: dict[str, str] | None = None) -> Price | None:
    """Our price, through the names and addresses that people use."""
    name = NAMES.get(provider)
    server = "" if name else f"https://{HOSTS[provider]}/v1"
    return prices.find(f"{name or 'openai'}:{ref}", server=server, at=at.timestamp(), context=context)


def refs(rule: Any, own: str) -> Iterator[str]:
    """Ids that a rule is about: its texts, and what they allow before and after."""
    if rule is None:
        yield own
    elif isinstance(rule, list):
        for each in rule:
            if each != "&":
                yield from refs(each, own)
    elif rule[0] != "~":
        yield rule[1:]
        yield from [f"{rule[1:]}-2026-01-01", f"{rule[1:]}-20260101"] if rule[0] in "^*=" else []
        yield from [f"vendor/{rule[1:]}"] if rule[0] in "$*" else []


def named(provider: str) -> Iterator[tuple[price_table.Entry, str]]:
    """The models of a provider, each with an id that means it (a few ids mean others, by the source's rules)."""
    for entry in price_table.entries(provider):
        for ref in (entry.id, *refs(entry.rule, entry.id)):
            found = price_table.find(provider, ref)
            if found is not None and found[0] == entry:
                yield entry, ref
                break


# ------------------------------------------------------------------------------------------------------------- oracle


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_model_costs_what_the_source_says(provider: str):
    priced = 0
    for entry, ref in named(provider):
        for at in MOMENTS if len(entry.schedule) > 1 else MOMENTS[:1]:
            price = here(provider, ref, at)
            if price is not None:
                priced += 1
                for usage in USAGES:
                    assert price.cost(usage) == there(provider, ref, usage, at), (ref, at, usage)
    assert priced > 5


@pytest.mark.parametrize("provider", PROVIDERS)
def test_only_models_with_another_kind_of_bill_have_no_price(provider: str):
    for _, ref in named(provider):
        if here(provider, ref) is None:
            given_ = found_there(provider, ref).get_prices(TODAY).__dict__
            known = {key for key, value in given_.items() if value is not None}
            assert MORE & known or not {"input_mtok", "output_mtok"} <= known, ref


def test_nearly_every_model_of_the_table_can_be_named():
    missing = [entry.id for each in PROVIDERS for entry in price_table.entries(each)]
    for provider in PROVIDERS:
        for entry, _ in named(provider):
            missing.remove(entry.id)
    assert len(missing) < 10, missing


@pytest.mark.parametrize("provider", PROVIDERS)
def test_settings_that_change_a_price_change_it_as_the_source_says(provider: str):
    for entry, ref in named(provider):
        for variant in entry.variants:
            context = {variant.key: variant.value}
            for at in MOMENTS if len(entry.schedule) > 1 else MOMENTS[:1]:
                price = here(provider, ref, at, context)
                assert price is not None
                for usage in USAGES:
                    assert price.cost(usage) == there(provider, ref, usage, at, context), (ref, context)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_id_means_the_model_that_the_source_takes_it_for(provider: str):
    seen = 0
    for entry in price_table.entries(provider):
        for ref in refs(entry.rule, entry.id):
            ours, theirs = price_table.find(provider, ref), found_there(provider, ref)
            assert (ours and ours[0].id) == (theirs and theirs.id), ref
            seen += ours is not None
    assert seen > 5


@given(data=st.data())
def test_ids_that_nobody_wrote_down_mean_the_same_as_at_the_source(data: st.DataObject):
    provider = data.draw(st.sampled_from(PROVIDERS))
    entry = data.draw(st.sampled_from(price_table.entries(provider)))
    ref = data.draw(st.sampled_from([entry.id, *refs(entry.rule, entry.id)]))
    cut = data.draw(st.integers(0, len(ref)))
    tail = st.sampled_from(["", "-latest", "@20260101", ":free", "-20261332", "-2026-02-30"]) | st.text(max_size=5)
    ref = data.draw(st.sampled_from([ref, ref.upper(), ref[:cut]])) + data.draw(tail)
    ours, theirs = price_table.find(provider, ref), found_there(provider, ref)
    assert (ours and ours[0].id) == (theirs and theirs.id)


@given(
    st.sampled_from(["claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5", "claude-sonnet-4-5"]),
    st.integers(0, 200_000),
    st.integers(0, 200_000),
    st.integers(0, 200_000),
    st.integers(0, 200_000),
    st.integers(0, 200_000),
)
def test_any_usage_costs_what_the_source_says(ref: str, plain: int, read: int, write: int, long: int, out: int):
    usage = Usage(plain + read + write + long, out, read, write + long, 0, long)
    price = here("anthropic", ref)
    assert price is not None
    assert price.cost(usage) == there("anthropic", ref, usage, TODAY)


def test_each_host_belongs_to_the_provider_that_the_source_takes_it_for():
    for host, provider in prices._HOSTS.items():
        for address in (f"https://{host}/v1", f"https://x.{host}/v1"):
            assert prices.provider_of("openai", address) == provider
        if host not in ("api.together.ai", "generativelanguage.googleapis.com"):
            name = f"shop.{host}" if provider == "azure" else host
            assert source().find_provider(None, None, f"https://{name}/v1").id == provider


def test_the_table_is_what_the_script_makes_of_the_data():
    if importlib.metadata.version("genai-prices") != prices.table_info().version:
        pytest.skip("another version of genai-prices is installed: run scripts/prices to take over its prices")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "prices"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_table_is_small():
    assert price_table.FILE.stat().st_size <= 150_000


# --------------------------------------------------------------------------------------------------------------- names


def rates(price: Price | None) -> tuple[str, str]:
    assert price is not None
    return str(price.input), str(price.output)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("anthropic:claude-sonnet-5-5", ("2", "10")),
        ("anthropic:claude-haiku-4-5-20251001", ("1", "5")),
        ("openai:gpt-5.6", ("4", "20")),
        ("openai-responses:gpt-5.4-mini-2026-03-17", ("0.75", "4.5")),
        ("azure:gpt-5.4", ("2.5", "15")),
        ("azure:o3-mini", ("1.1", "4.4")),
        ("azure:claude-opus-5-5", ("4", "20")),
        ("gemini:gemini-3.5-flash", ("1.5", "9")),
        ("gemini:models/gemini-3.5-flash", ("1.5", "9")),
        ("vertex:google/gemini-3.5-flash", ("1.5", "9")),
        ("vertex:publishers/anthropic/models/claude-opus-5-5@20260909", ("4", "20")),
        (" openai:GPT-5.4 ", ("2.5", "15")),
    ],
)
def test_names_have_their_prices(name: str, expected: tuple[str, str]):
    assert rates(prices.find(name, at=TODAY.timestamp())) == expected


@pytest.mark.parametrize(
    "name",
    ["openai:nobody-knows", "nobody:gpt-5.4", "offline", "scripted", "", ":", "openai:", ":x", "openai:" + "x" * 5000],
)
def test_an_unknown_price_is_none(name: str):
    assert prices.find(name) is None


def test_the_model_that_answered_comes_before_the_one_asked_for():
    deployment = prices.find("azure:our-best", "gpt-5.4-2026-03-05")
    assert rates(deployment) == ("2.5", "15")
    assert prices.find("azure:our-best") is None
    assert rates(prices.find("openai:gpt-5.4", "gpt-5.4-mini")) == ("0.75", "4.5")


@pytest.mark.parametrize("answered", [None, "", " ", "something-unheard-of"])
def test_an_answer_that_tells_nothing_leaves_the_asked_name(answered: str | None):
    assert rates(prices.find("openai:gpt-5.4", answered)) == ("2.5", "15")


@pytest.mark.parametrize(
    ("name", "server", "provider"),
    [
        ("openai", "", "openai"),
        ("openai", "https://api.openai.com/v1", "openai"),
        ("openai", "https://eu.api.openai.com/v1", "openai"),
        ("openai", "https://openrouter.ai/api/v1/chat/completions", "openrouter"),
        ("openai", "api.groq.com", "groq"),
        ("openai", "API.Groq.com:443", "groq"),
        ("openai", "https://user:word@api.mistral.ai./v1?x=1", "mistral"),
        ("openai", "https://shop.openai.azure.com/openai/v1", "azure"),
        ("openai", "https://generativelanguage.googleapis.com/v1beta/openai", "google"),
        ("openai", "http://localhost:8000/v1", None),
        ("openai", "127.0.0.1:1234", None),
        ("openai", "http://[::1]:1234", None),
        ("openai", "https://models.example.com/v1", None),
        ("openai", "https://api.openai.com.evil.example/v1", None),
        ("openai", "https://notapi.openai.com.example", None),
        ("openai", "https://[broken", None),
        ("anthropic", "https://api.deepseek.com/anthropic", "deepseek"),
        ("anthropic", "https://gateway.example.com", None),
        ("azure", "https://ai.our-company.example", "azure"),
        ("azure", "http://localhost:9000", None),
        ("gemini", "http://localhost:9000", None),
        ("vertex", "https://us-east5-aiplatform.googleapis.com", "google"),
        ("vertex", "https://aiplatform.eu.rep.googleapis.com", "google"),
        ("nobody", "https://api.openai.com/v1", None),
    ],
)
def test_the_address_decides_whose_prices_hold(name: str, server: str, provider: str | None):
    assert prices.provider_of(name, server) == provider


def test_a_compatible_server_has_its_own_price_or_none():
    assert prices.find("openai:gpt-5.4", server="http://localhost:8000/v1") is None
    free = prices.find("openai:deepseek/deepseek-r1:free", server="https://openrouter.ai/api/v1")
    assert rates(free) == ("0", "0")
    assert rates(prices.find("openai:openai/gpt-oss-120b", server="https://api.groq.com/openai/v1")) != ("0", "0")


@pytest.mark.parametrize(
    ("name", "answered", "server", "free"),
    [
        ("ollama:llama3.3", None, "", True),
        ("ollama:llama3.3:70b", "llama3.3:70b", "http://10.0.0.5:11434", True),
        ("ollama:gpt-oss:120b-cloud", None, "", False),
        ("ollama:glm-4.6:cloud", None, "", False),
        ("ollama:mine", "kimi-k2:1t-cloud", "", False),
        ("ollama:llama3.3", None, "https://ollama.com", False),
    ],
)
def test_ollama_is_free_unless_it_runs_in_its_cloud(name: str, answered: str | None, server: str, free: bool):
    assert prices.find(name, answered, server=server) is (FREE_PRICE if free else None)


def test_a_price_that_changes_on_a_day_changes_on_that_day():
    before, after = (datetime(2026, *day, tzinfo=UTC).timestamp() for day in ((11, 30, 23, 59), (12, 1, 0, 0)))
    assert rates(prices.find("gemini:gemini-4-argon", at=before)) == ("2", "10")
    assert rates(prices.find("gemini:gemini-4-argon", at=after)) == ("4", "20")
    assert rates(prices.find("gemini:gemini-4-argon", at=0.0)) == ("2", "10")


def test_a_price_that_changes_by_the_hour_does():
    def at(hour: int) -> tuple[str, str]:
        moment = TODAY.replace(hour=hour).timestamp()
        return rates(prices.find("openai:deepseek-v4-pro", server="api.deepseek.com", at=moment))

    assert (at(0), at(2), at(5), at(8), at(23)) == (
        ("0.66", "1.98"),
        ("1.32", "3.96"),
        ("0.66", "1.98"),
        ("1.32", "3.96"),
        ("0.66", "1.98"),
    )


def test_a_dearer_service_costs_more():
    assert rates(prices.find("openai:gpt-5.4", context={"service_tier": "priority", "user": 5})) == ("5", "30")
    assert rates(prices.find("openai:gpt-5.4", context={"service_tier": "auto"})) == ("2.5", "15")
    assert rates(prices.find("anthropic:claude-opus-5-5", context={"speed": "fast"})) == ("8", "40")
    # Another maker's offer of the same model has no such service.
    assert rates(prices.find("azure:gpt-5.4", context={"service_tier": "priority"})) == ("2.5", "15")


def test_the_table_says_where_it_is_from():
    info = prices.table_info()
    assert info.source == "genai-prices"
    assert str(info) == f"prices of {info.date}, from genai-prices {info.version}"


def test_the_table_is_read_when_a_price_is_asked_and_needs_no_client():
    code = (
        "import sys; from podium.models import prices, price_table;"
        "assert price_table.table.cache_info().currsize == 0;"
        "assert prices.find('openai:gpt-5.4'); assert price_table.entries.cache_info().currsize == 1;"
        "assert not {'httpx2', 'pydantic', 'genai_prices'} & set(sys.modules), 'heavy'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
