"""What a model's tokens cost: rates, and the exact sum for what a call used.

A `Price` is the rates of one model at one provider; where rates come from is not known here. Sums are exact decimals:
no float is ever involved and nothing is rounded. Rates are of one call: the tiers of many providers depend on the size
of a single prompt, so calls are priced one by one and their costs added.

Counted are tokens as `Usage` tells them. Tools that a provider runs and bills by the use (its web search), and audio
or images that it bills at rates of their own, are not in a `Usage` and so in no cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal, InvalidOperation
from itertools import pairwise
from typing import Any, NamedTuple, TypeGuard, cast

import msgspec

from .errors import ConfigurationError
from .usage import FREE, Usage

# Wide enough for every product of a rate (at most `_DIGITS` digits) and a count; a program's own decimal context,
# which may round, is never asked.
_EXACT = Context(prec=200)
_DIGITS = 40
_MILLION = -6

_RATES = ("input", "output", "cache_read", "cache_write", "cache_write_long")


class _Applied(NamedTuple):
    """The rates that hold for one call, none missing."""

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write: Decimal
    cache_write_long: Decimal


class Tier(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """Rates for a whole call whose input is larger than `above` tokens; a rate that is None stays as it was."""

    above: int
    input: Decimal | None = None
    output: Decimal | None = None
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_long: Decimal | None = None

    def __post_init__(self) -> None:
        above: object = self.above
        if not _whole(above):
            raise ConfigurationError(f"a tier's above must be a whole number of input tokens, not {above!r}")
        _check(self)


class Price(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, repr_omit_defaults=True):
    """The rates of one model, in US dollars per million tokens: decimals, or numbers and texts, which become decimals.

    A cache rate that is None is the rate of input (`cache_write_long`, for what is kept an hour: the rate of
    `cache_write`). `request` is US dollars per call. `tiers` are in rising order of `above`; the last one whose
    `above` a call's input passes holds for all tokens of that call, its output too.
    Raises ConfigurationError for rates that are no finite decimals of at least 0.
    """

    input: Decimal
    output: Decimal
    cache_read: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_long: Decimal | None = None
    request: Decimal = FREE
    tiers: tuple[Tier, ...] = ()

    def __post_init__(self) -> None:
        _check(self)
        bounds = [tier.above for tier in self.tiers]
        if any(low >= high for low, high in pairwise(bounds)):
            raise ConfigurationError(f"the tiers of a price must rise, each above the one before, not {bounds}")

    @classmethod
    def parse(cls, value: object, what: str = "price") -> Price:
        """A price from what a person wrote: a Price, or a table of numbers or texts by the names of the fields.

        Floats are taken as they are written (0.1 is a tenth). `tiers` is a list of tables with `above`, in any order.
        Raises ConfigurationError that names `what` and the field.
        """
        if isinstance(value, Price):
            return value
        table = _table(value, what, {*_RATES, "request", "tiers"})
        for name in ("input", "output"):
            if name not in table:
                raise ConfigurationError(
                    f"{what} needs {name}: write US dollars per million tokens, like {{ input = 2, output = 10 }}"
                )
        rates = {name: _rate(table[name], f"{what}: {name}") for name in (*_RATES, "request") if name in table}
        given = table.get("tiers", ())
        if not isinstance(given, list | tuple):
            raise ConfigurationError(f"{what}: tiers must be a list of tables with `above`, not {given!r}")
        tiers = [_tier(tier, f"{what}: tiers[{at}]") for at, tier in enumerate(cast("list[object]", given))]
        try:
            return cls(**rates, tiers=tuple(sorted(tiers, key=lambda tier: tier.above)))
        except ConfigurationError as error:
            raise ConfigurationError(f"{what}: {error}") from None

    def cost(self, usage: Usage) -> Decimal:
        """What one call that used `usage` costs, in US dollars: exact."""
        read, write = max(0, usage.cache_read_tokens), max(0, usage.cache_write_tokens)
        long = min(write, max(0, usage.cache_write_long_tokens))
        # A server that counts its caches twice, or beside the input, is still billed for all that it told.
        total = max(usage.input_tokens, read + write)
        rates = self._rates(total)
        sum_ = _EXACT.multiply(rates.input, total - read - write)
        for rate, tokens in (
            (rates.output, max(0, usage.output_tokens)),
            (rates.cache_read, read),
            (rates.cache_write, write - long),
            (rates.cache_write_long, long),
        ):
            if tokens:
                sum_ = _EXACT.fma(rate, tokens, sum_)
        return self._dollars(sum_)

    def worst(self, input_tokens: int, output_tokens: int) -> Decimal:
        """The most a call of at most so many tokens can cost, however they are billed: read from a cache, written to
        one, or neither, and in whatever tier. Never less than `cost` of a usage within these bounds."""
        tokens, written = max(0, input_tokens), max(0, output_tokens)
        reachable = (0, *(tier.above + 1 for tier in self.tiers if tier.above < tokens))
        worst = FREE
        for size in reachable:
            rates = self._rates(size)
            dearest = max(rates.input, rates.cache_read, rates.cache_write, rates.cache_write_long)
            worst = max(worst, _EXACT.fma(dearest, tokens, _EXACT.multiply(rates.output, written)))
        return self._dollars(worst)

    def saved(self, usage: Usage) -> Decimal:
        """What the provider's prompt cache saved in one call, in US dollars: reads at less than the rate of input,
        minus what writes cost beyond it. Negative when a cache was written and not read."""
        total = max(usage.input_tokens, usage.cache_read_tokens + usage.cache_write_tokens)
        return _plain(_EXACT.subtract(self.cost(Usage(total, usage.output_tokens)), self.cost(usage)))

    def _rates(self, input_tokens: int) -> _Applied:
        """The rates of a call with an input of this size."""
        found = {name: cast("Decimal | None", getattr(self, name)) for name in _RATES}
        for tier in self.tiers:
            if tier.above < input_tokens:
                changed = {name: cast("Decimal | None", getattr(tier, name)) for name in _RATES}
                # Each tier is a change of the first rates, not of the tier before it.
                found = {name: changed[name] if changed[name] is not None else getattr(self, name) for name in _RATES}
        plain = _known(found["input"], FREE)
        write = _known(found["cache_write"], plain)
        return _Applied(
            plain,
            _known(found["output"], FREE),
            _known(found["cache_read"], plain),
            write,
            _known(found["cache_write_long"], write),
        )

    def _dollars(self, sum_: Decimal) -> Decimal:
        """A sum of rate x tokens as US dollars, with what the call itself costs."""
        return _plain(_EXACT.add(_EXACT.scaleb(sum_, _MILLION), self.request))


def _whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _known(rate: Decimal | None, otherwise: Decimal) -> Decimal:
    return otherwise if rate is None else rate


def _plain(value: Decimal) -> Decimal:
    """`value` without needless zeros and without an exponent above 0, as it is kept and shown."""
    value = _EXACT.normalize(value)
    exponent = value.as_tuple().exponent
    return _EXACT.quantize(value, Decimal(1)) if isinstance(exponent, int) and exponent > 0 else value


def _check(price: Price | Tier) -> None:
    """Make decimals of the rates. Raises ConfigurationError for what is none of at least 0."""
    for name in price.__struct_fields__:
        value: Any = getattr(price, name)
        left_out = value is None and (isinstance(price, Tier) or name.startswith("cache_"))
        if name not in ("above", "tiers") and not left_out and not _is_rate(value):
            msgspec.structs.force_setattr(price, name, _rate(value, f"the rate {name}"))


def _table(value: object, what: str, known: set[str]) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(
            f"{what} must be a table of US dollars per million tokens, like {{ input = 2, output = 10 }}, not {value!r}"
        )
    table = cast("Mapping[object, object]", value)
    unknown = [name for name in table if name not in known]
    if unknown:
        raise ConfigurationError(f"{what}: unknown {unknown[0]!r}; known are {', '.join(sorted(known))}")
    return cast("Mapping[str, object]", table)


def _tier(value: object, what: str) -> Tier:
    if isinstance(value, Tier):
        return value
    table = _table(value, what, {*_RATES, "above"})
    above = table.get("above")
    if not _whole(above):
        raise ConfigurationError(f"{what} needs above: a whole number of input tokens, not {above!r}")
    return Tier(above=above, **{name: _rate(table[name], f"{what}: {name}") for name in _RATES if name in table})


def _rate(value: object, what: str) -> Decimal:
    """A rate as a person wrote it. Raises ConfigurationError."""
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        found = Decimal("NaN")
    if isinstance(value, bool) or not _is_rate(found):
        raise ConfigurationError(f"{what} must be US dollars per million tokens, like 2.50, not {str(value)[:60]}")
    return _plain(found)


def _is_rate(value: object) -> bool:
    """Whether it is a decimal of at least 0, short enough for every sum with it to be exact in `_EXACT`."""
    if not isinstance(value, Decimal) or not value.is_finite() or value < 0:
        return False
    return len(value.as_tuple().digits) <= _DIGITS and abs(value.adjusted()) <= _DIGITS


FREE_PRICE = Price(input=FREE, output=FREE)
"""The price of models that cost nothing to ask: those that run on one's own machine."""
