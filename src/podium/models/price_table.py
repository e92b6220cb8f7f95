"""The table of prices in `prices.json`: what its fields mean, and how an id of a model is found in it.

`scripts/prices` writes it from the genai-prices data, and its meaning is theirs: models of a provider are tried in
order and the first whose rule fits is taken; then those of the providers it falls back to; then all again with a
compact date (`-20251211`) spelled out. It knows ids of providers and models as the source spells them, and nothing of
the names that people give to models here: that is `prices`.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import msgspec

FILE = Path(__file__).with_name("prices.json")

_COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
_LONGEST = 512
"""Characters of an id that are looked up; nothing longer is one."""


class TierRow(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Rates of a call whose input is larger than `above` tokens; None is as before."""

    above: int
    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_long: Decimal | None = None


class Rates(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """US dollars per million tokens; `request` is per call."""

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_long: Decimal | None = None
    request: Decimal = Decimal(0)
    tiers: tuple[TierRow, ...] = ()


class Timed(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Rates (None: not known) from a day on, and in that day from a minute on. All times are UTC."""

    rates: Rates | None
    since: str = ""
    """ISO date; empty for the table's own."""
    minute: int = 0


class Variant(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """Other rates for requests with this setting, such as `service_tier` = `priority`."""

    key: str
    value: str
    schedule: tuple[Timed, ...]


class Entry(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One model. `rule` says which ids mean it (None: its `id` alone); `context` is the source's context window."""

    id: str
    rule: Any = None
    context: int | None = None
    schedule: tuple[Timed, ...] = ()
    variants: tuple[Variant, ...] = ()
    deprecated: bool = False

    def rates(self, day: str, minute: int, variant: Variant | None = None) -> Rates | None:
        """What holds on a day (ISO date) at a minute of it, UTC; before the table's date, what held on it."""
        found: Timed | None = None
        for timed in self.schedule if variant is None else variant.schedule:
            if timed.since > day:
                break
            if found is None or timed.since > found.since or timed.minute <= minute:
                found = timed
        return None if found is None else found.rates


class _Provider(msgspec.Struct, frozen=True):
    fallback: tuple[str, ...]
    models: msgspec.Raw
    """Decoded when this provider is asked for."""


class Table(msgspec.Struct, frozen=True):
    """The file: where its prices are from, the day whose prices they are, and the providers."""

    source: str
    version: str
    date: str
    url: str
    providers: dict[str, _Provider]


@cache
def table() -> Table:
    """The table, read on the first call."""
    return msgspec.json.decode(FILE.read_bytes(), type=Table)


@cache
def entries(provider: str) -> tuple[Entry, ...]:
    """The models of a provider in the order in which they are tried; none for an unknown provider."""
    known = table().providers.get(provider)
    return () if known is None else msgspec.json.decode(known.models, type=tuple[Entry, ...])


def find(provider: str, model: str) -> tuple[Entry, bool] | None:
    """The entry for a model's id at a provider, and whether it is the provider's own (not one it falls back to)."""
    # Ids come from servers too: what is no id is not even remembered.
    return _find(provider, model.lower()) if 0 < len(model) <= _LONGEST else None


@lru_cache(maxsize=4096)
def _find(provider: str, ref: str) -> tuple[Entry, bool] | None:
    spelled = _COMPACT_DATE.sub(_spelled, ref)
    for asked in (ref, spelled) if spelled != ref else (ref,):
        for place in (provider, *_fallback(provider)):
            for entry in entries(place):
                if entry.id.lower() == asked if entry.rule is None else matches(entry.rule, asked):
                    return entry, place == provider
    return None


def _fallback(provider: str) -> tuple[str, ...]:
    known = table().providers.get(provider)
    return () if known is None else known.fallback


def matches(rule: Any, ref: str) -> bool:
    """Whether a rule fits an id in lower case.

    A text is one condition: `=` equals, `^` starts with, `$` ends with, `*` contains, `~` a regular expression found
    anywhere. A list is any of its conditions; one that begins with `&` is all of the others.
    """
    if isinstance(rule, str):
        sign, text = rule[0], rule[1:]
        if sign == "=":
            return ref == text
        if sign == "^":
            return ref.startswith(text)
        if sign == "$":
            return ref.endswith(text)
        return text in ref if sign == "*" else re.search(text, ref) is not None
    if rule[0] == "&":
        return all(matches(each, ref) for each in rule[1:])
    return any(matches(each, ref) for each in rule)


def _spelled(found: re.Match[str]) -> str:
    year, month, day = (int(found.group(index)) for index in (1, 2, 3))
    try:
        return f"-{date(year, month, day).isoformat()}"
    except ValueError:
        return found.group(0)
