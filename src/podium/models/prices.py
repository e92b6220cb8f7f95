"""What a model costs, by the names models have here: `anthropic:claude-sonnet-5-5`, or the id that an answer named.

It knows which provider of `price_table` stands behind a name and an address, and which models cost nothing to ask. It
gives rates; what a call costs is `core.prices`. A model whose price is not known has None, which is never zero.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import urlsplit

import msgspec

from podium.core.prices import FREE_PRICE, Price, Tier

from . import price_table
from .price_table import Entry, Rates, Variant
from .transport import is_loopback

_PROVIDERS = {
    "anthropic": "anthropic",
    "openai": "openai",
    "openai-responses": "openai",
    "azure": "azure",
    "gemini": "google",
    "vertex": "google",
}
"""Whose prices hold for a provider's name when the address is its own."""
_HOSTS = {
    "api.anthropic.com": "anthropic",
    "api.openai.com": "openai",
    "openai.azure.com": "azure",
    "services.ai.azure.com": "azure",
    "cognitiveservices.azure.com": "azure",
    "azure-api.net": "azure",
    "generativelanguage.googleapis.com": "google",
    "aiplatform.googleapis.com": "google",
    "openrouter.ai": "openrouter",
    "api.groq.com": "groq",
    "api.deepseek.com": "deepseek",
    "api.mistral.ai": "mistral",
    "api.together.xyz": "together",
    "api.together.ai": "together",
    "api.x.ai": "x-ai",
    "api.moonshot.ai": "moonshotai",
    "api.moonshot.cn": "moonshotai",
    "api.fireworks.ai": "fireworks",
    "api.cerebras.ai": "cerebras",
    "api.perplexity.ai": "perplexity",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
}
"""Whose prices hold at a host; the hosts below one count as it (`eu.api.openai.com`, `NAME.openai.azure.com`)."""
_VERTEX = re.compile(r"[a-z0-9-]+-aiplatform\.googleapis\.com|aiplatform\.[a-z]+\.rep\.googleapis\.com")
"""Vertex AI's hosts of regions, and of several regions together."""
_OLLAMA_HOST = "ollama.com"
_ANYWHERE = ("azure",)
"""Providers whose servers are at addresses of their customers: another host is still theirs."""


class TableInfo(msgspec.Struct, frozen=True):
    """Where the prices are from: the data's name and version, and the day (ISO date) whose prices they are."""

    source: str
    version: str
    date: str

    def __str__(self) -> str:
        return f"prices of {self.date}, from {self.source} {self.version}"


def table_info() -> TableInfo:
    """Where the prices are from."""
    table = price_table.table()
    return TableInfo(table.source, table.version, table.date)


def find(
    model_name: str,
    answered: str | None = None,
    *,
    server: str = "",
    context: Mapping[str, object] | None = None,
    at: float | None = None,
) -> Price | None:
    """The price of a model called `provider:NAME`, or None when it is not known.

    `answered` is the exact model that a reply named (`Reply.model`); it is looked up first, because an alias or a
    deployment may stand for any model. `server` is the address that is asked, when it is not the provider's own: the
    price is then that of the server's provider, and not known on an unknown server or on this machine. `context` is
    what a request says beside its messages (`settings.extra`): `service_tier` and `speed` change prices. `at` is the
    time of the call in epoch seconds, now by default: prices change on days that are known ahead, and some by the hour.

    Models of Ollama are free unless they run in Ollama's cloud. Never raises.
    """
    name, colon, asked = model_name.strip().partition(":")
    if not colon or not asked.strip():
        return None
    models = [model for model in (answered, asked) if model and model.strip()]
    if name == "ollama":
        return None if _in_cloud(models, server) else FREE_PRICE
    provider = provider_of(name, server)
    if provider is None:
        return None
    moment = datetime.fromtimestamp(time.time() if at is None else at, UTC)
    for model in models:
        found = _entry(provider, model)
        if found is None:
            continue
        entry, own = found
        variant = _variant(entry, context) if own and context else None
        rates = entry.rates(moment.date().isoformat(), moment.hour * 60 + moment.minute, variant)
        if rates is not None:
            return _price(rates)
    return None


def provider_of(name: str, server: str = "") -> str | None:
    """Whose prices hold for models of the provider `name` asked at `server` (a URL or a host; empty: its own).

    None for what is not known. The result is a provider's id in the table.
    """
    usual = _PROVIDERS.get(name)
    host = _host(server)
    if not host or usual is None:
        return usual
    if is_loopback(host):
        return None
    labels = host.split(".")
    for start in range(len(labels)):
        known = _HOSTS.get(".".join(labels[start:]))
        if known is not None:
            return known
    if _VERTEX.fullmatch(host):
        return "google"
    return usual if name in _ANYWHERE else None


def context_window(model_name: str) -> int | None:
    """The context window that the table gives for `provider:NAME`, in tokens; None when it says nothing."""
    name, _, model = model_name.strip().partition(":")
    provider = _PROVIDERS.get(name)
    found = _entry(provider, model) if provider else None
    return None if found is None else found[0].context


def listed(name: str) -> list[str]:
    """The ids of models with a price at the provider called `name`, without those its maker calls deprecated."""
    provider = _PROVIDERS.get(name)
    return [entry.id for entry in price_table.entries(provider or "") if entry.schedule and not entry.deprecated]


def _host(server: str) -> str:
    """The host of a URL, or of a bare `host:port`."""
    if not server:
        return ""
    try:
        host = urlsplit(server if "://" in server else f"//{server}").hostname
    except ValueError:
        return server  # No address of anybody: an unknown server.
    return (host or server).lower().rstrip(".")


def _entry(provider: str, model: str) -> tuple[Entry, bool] | None:
    ref = model.strip()
    if provider == "google":
        # `models/NAME`, Vertex's `publishers/google/models/NAME` and `google/NAME` say where NAME is: the same model.
        ref = ref.rpartition("models/")[2].removeprefix("google/")
    return price_table.find(provider, ref)


def _variant(entry: Entry, context: Mapping[str, object]) -> Variant | None:
    return next((variant for variant in entry.variants if context.get(variant.key) == variant.value), None)


def _in_cloud(models: list[str], server: str) -> bool:
    host = _host(server)
    return any(model.strip().lower().endswith(("-cloud", ":cloud")) for model in models) or (
        host == _OLLAMA_HOST or host.endswith(f".{_OLLAMA_HOST}")
    )


@lru_cache(maxsize=1024)
def _price(rates: Rates) -> Price:
    return Price(
        input=rates.input,
        output=rates.output,
        cache_read=rates.cache_read,
        cache_write=rates.cache_write,
        cache_write_long=rates.cache_write_long,
        request=rates.request,
        tiers=tuple(
            Tier(
                above=tier.above,
                input=tier.input,
                output=tier.output,
                cache_read=tier.cache_read,
                cache_write=tier.cache_write,
                cache_write_long=tier.cache_write_long,
            )
            for tier in rates.tiers
        ),
    )
