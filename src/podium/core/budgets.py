"""Budgets: what may be spent, and what is reserved before it is.

A `Budget` is what a person sets. A `Charge` is a budget in force for one call, by the name of its account (`scope`).
Before a call is made its worst case (`Amount`) is reserved against every charge at once, or refused by one of them;
afterwards the reservation is settled with what was really used. Where accounts are kept is the store's business.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import msgspec

from . import money
from .errors import BudgetExceeded, ConfigurationError

PERIODS = ("total", "day", "month")


class Amount(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What one call may use, or has used."""

    usd: int = 0
    """Picodollars."""
    tokens: int = 0
    """Input and output."""
    calls: int = 0
    """Attempts to call a model."""


NOTHING = Amount()
UNITS = ("usd", "tokens", "calls")


class Charge(msgspec.Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """A budget in force: the account and its limits. None is no limit."""

    scope: str
    usd: int | None = None
    """Picodollars."""
    tokens: int | None = None
    calls: int | None = None
    alert: float = 0.8
    """The part of a limit whose use is reported."""


class Refusal(msgspec.Struct, frozen=True):
    """Which limit a call would pass, with the figures of that moment (picodollars for `usd`)."""

    scope: str
    unit: str
    limit: int
    spent: int
    held: int
    """Reserved by calls that are not over."""
    asked: int

    def error(self) -> BudgetExceeded:
        """The error of the step that was refused."""
        show = _shown_usd if self.unit == "usd" else _shown_number
        left = max(0, self.limit - self.spent - self.held)
        remedy = "raise the budget" + ("" if self.unit == "calls" else ", or lower settings.max_output_tokens")
        held = f", {show(self.held, self.unit)} of it reserved by calls under way" if self.held else ""
        return BudgetExceeded(
            f"the budget {self.scope!r} of {show(self.limit, self.unit)} has {show(left, self.unit)} left "
            f"({show(self.spent + self.held, self.unit)} used{held}), and this call may use "
            f"{show(self.asked, self.unit)}: {remedy}",
            rule="budget",
            scope=self.scope,
            unit=self.unit,
            limit=_plain(self.limit, self.unit),
            left=_plain(left, self.unit),
            asked=_plain(self.asked, self.unit),
        )


class Crossing(msgspec.Struct, frozen=True):
    """A settled call took an account past the part of its limit that is reported, or past the limit."""

    scope: str
    unit: str
    limit: int
    spent: int
    alert: float


class Alert(msgspec.Struct, frozen=True):
    """A budget is nearly used up. Given to `Podium(on_alert=…)`."""

    scope: str
    unit: str
    """`usd`, `tokens` or `calls`."""
    limit: Decimal
    spent: Decimal
    fraction: float
    """`spent / limit`; above 1 when a call used more than its worst case was thought to be."""

    def __str__(self) -> str:
        show = money.shown if self.unit == "usd" else str
        unit = "" if self.unit == "usd" else f" {self.unit}"
        return (
            f"the budget {self.scope!r} is used to {self.fraction:.0%}: {show(self.spent)} of {show(self.limit)}{unit}"
        )


class Balance(msgspec.Struct, frozen=True):
    """The state of an account."""

    scope: str
    spent: Amount
    held: Amount


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What may be spent, in any of four units; None is no limit. Made by `budget(...)`, or called `Budget(usd=0.5)`.

    `usd` is US dollars (a number or its text), `tokens` input and output, `calls` attempts to call a model, `seconds`
    the time a run may take (for budgets of runs only). `per` is `total`, `day` or `month` (UTC); an agent's budget is
    per day unless it says otherwise. `alert` is the part of a limit whose use is reported.
    Raises ConfigurationError for a limit that is none.
    """

    usd: Decimal | float | str | None = None
    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None
    per: str | None = None
    alert: float = 0.8

    def __post_init__(self) -> None:
        if self.usd is not None:
            money.amount(self.usd, "a budget's usd")
        for name in ("tokens", "calls", "seconds"):
            value: object = getattr(self, name)
            if value is None:
                continue
            whole = name != "seconds"
            number = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            if not number or not 0 <= cast("float", value) <= money.MOST:  # also what is no number at all, or no end
                kind = "a whole number" if whole else "a number"
                raise ConfigurationError(f"a budget's {name} must be {kind} of at least 0, not {value!r}")
        if self.usd is None and self.tokens is None and self.calls is None and self.seconds is None:
            raise ConfigurationError("a budget needs a limit: Budget(usd=…), tokens=, calls= or seconds=")
        if self.per is not None and self.per not in PERIODS:
            raise ConfigurationError(f"a budget's per must be one of {', '.join(PERIODS)}, not {self.per!r}")
        alert: Any = self.alert
        if isinstance(alert, bool) or not isinstance(alert, int | float) or not 0 < alert <= 1:
            raise ConfigurationError(f"a budget's alert must be above 0 and at most 1, not {self.alert!r}")

    def charge(self, scope: str) -> Charge | None:
        """The budget in force for the account `scope`; None when only time is limited."""
        if self.usd is None and self.tokens is None and self.calls is None:
            return None
        usd = None if self.usd is None else money.pico(money.amount(self.usd, "a budget's usd"))
        return Charge(scope, usd, self.tokens, self.calls, self.alert)


def budget(value: Any, what: str = "budget") -> Budget:
    """A budget from what a person wrote: a Budget, a sum of US dollars, or a table of its fields.

    Raises ConfigurationError that names `what`.
    """
    if isinstance(value, Budget):
        return value
    fields = cast("dict[str, Any]", value) if isinstance(value, dict) else {"usd": value}
    unknown = sorted(set(fields) - set(Budget.__struct_fields__))
    if unknown:
        raise ConfigurationError(f"{what}: unknown {unknown[0]!r}; known are {', '.join(Budget.__struct_fields__)}")
    try:
        return Budget(**fields)
    except ConfigurationError as error:
        raise ConfigurationError(f"{what}: {error}") from None


def period(per: str, at: float) -> str:
    """The part of an account's name that tells its period: UTC days and months. `at` is epoch seconds."""
    if per == "total":
        return ""
    now = datetime.fromtimestamp(at, UTC)
    return f"/{now:%Y-%m-%d}" if per == "day" else f"/{now:%Y-%m}"


def refused(charge: Charge, spent: Amount, held: Amount, asked: Amount) -> Refusal | None:
    """The first limit of `charge` that `asked` would pass, if there is one."""
    for unit in UNITS:
        limit: int | None = getattr(charge, unit)
        if limit is None:
            continue
        wanted: int = getattr(asked, unit)
        used, reserved = getattr(spent, unit), getattr(held, unit)
        if used + reserved + wanted > limit:
            return Refusal(charge.scope, unit, limit, used, reserved, wanted)
    return None


def crossings(charge: Charge, before: Amount, after: Amount) -> list[Crossing]:
    """The limits of `charge` whose reported part, or whose end, was passed between two states of its account."""
    found: list[Crossing] = []
    for unit in UNITS:
        limit: int | None = getattr(charge, unit)
        if not limit:
            continue
        was, now = getattr(before, unit), getattr(after, unit)
        if any(was < mark <= now for mark in (limit * charge.alert, limit + 1)):
            found.append(Crossing(charge.scope, unit, limit, now, charge.alert))
    return found


def alert_of(crossing: Crossing) -> Alert:
    """A crossing in the units people use."""
    usd = crossing.unit == "usd"
    limit = money.dollars(crossing.limit) if usd else Decimal(crossing.limit)
    spent = money.dollars(crossing.spent) if usd else Decimal(crossing.spent)
    return Alert(crossing.scope, crossing.unit, limit, spent, float(spent / limit))


def merged(charges: Iterable[Charge]) -> tuple[Charge, ...]:
    """Charges in the order in which accounts are locked, each account once."""
    return tuple(sorted({charge.scope: charge for charge in charges}.values(), key=lambda charge: charge.scope))


def _plain(value: int, unit: str) -> str | int:
    return str(money.dollars(value)) if unit == "usd" else value


def _shown_usd(value: int, _: str) -> str:
    return money.shown(money.dollars(value))


def _shown_number(value: int, unit: str) -> str:
    return f"{value:,} {unit}"
