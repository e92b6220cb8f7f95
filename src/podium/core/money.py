"""Money as it is counted where counting must be exact and atomic: whole picodollars.

Everywhere else money is `Decimal` US dollars, or their decimal text. A picodollar is 10^-12 US dollars: the price of a
token is a whole number of them, and 64 bits hold nine million dollars.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Context, Decimal, InvalidOperation

from .errors import ConfigurationError

PICO = 10**12
MOST = 2**63 - 1

# Nothing of what 64 bits hold is rounded, whatever a program's own decimal context says.
_EXACT = Context(prec=64, rounding=ROUND_CEILING)


def pico(dollars: Decimal | str) -> int:
    """US dollars in whole picodollars, rounded up, at most what 64 bits hold."""
    value = Decimal(dollars)
    if value >= PICO:  # far above what is counted, and perhaps too large to be multiplied
        return MOST
    return min(MOST, int(_EXACT.multiply(value, PICO).to_integral_value(ROUND_CEILING)))


def dollars(pico: int) -> Decimal:
    """Picodollars as US dollars, without needless zeros."""
    value = _EXACT.normalize(_EXACT.scaleb(Decimal(pico), -12))
    exponent = value.as_tuple().exponent
    return _EXACT.quantize(value, Decimal(1)) if isinstance(exponent, int) and exponent > 0 else value


def amount(value: Decimal | float | str | int, what: str) -> Decimal:
    """A person's sum of money, US dollars. Floats are taken as they are written (0.1 is a tenth).

    Raises ConfigurationError for what is no finite number of at least 0; `what` names it.
    """
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        found = Decimal("NaN")
    if isinstance(value, bool) or not found.is_finite() or found < 0:
        raise ConfigurationError(f"{what} must be a sum of US dollars, like 0.50, not {value!r}")
    return found


def shown(value: Decimal | str) -> str:
    """US dollars for people: cents, or as many places as tell a small sum from nothing."""
    value = Decimal(value)
    if value == 0:
        return "$0.00"
    for places in (2, 4, 6):
        if abs(value) >= Decimal(10) ** (1 - places):
            return f"${value:.{places}f}"
    return f"${value:.8f}"
