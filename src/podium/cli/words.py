"""Numbers, times and commands as people read them. Pure functions of values."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import msgspec

from podium.core.usage import Usage
from podium.review.outcome import visible

__all__ = ["ago", "clip", "count", "inline", "local", "money", "seconds", "tokens", "visible"]


def money(cost: Decimal, unpriced: int = 0) -> str:
    """US dollars; what is not known is said: `$0.0012 + unpriced`."""
    known = "$0" if not cost else f"${cost:.2f}" if cost >= 100 else f"${cost.quantize(_step(cost)).normalize():f}"
    if not unpriced:
        return known
    return "unpriced" if not cost else f"{known} + unpriced"


def _step(cost: Decimal) -> Decimal:
    """Two digits after the first that counts, and at least cents."""
    return Decimal(1).scaleb(min(-2, cost.adjusted() - 2))


def seconds(duration: float) -> str:
    """`3 ms`, `1.2 s`, `2 min 05 s`, `3 h 10 min`, `2 d 4 h`."""
    if duration < 0.9995:
        return f"{max(0, round(duration * 1000))} ms"
    if duration < 59.95:
        return f"{duration:.1f} s"
    whole = round(duration)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def ago(age: float) -> str:
    """How long ago, in the largest unit that fits: `just now`, `5 min ago`, `2 d ago`."""
    if age < 2:
        return "just now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if age >= size:
            return f"{int(age // size)} {unit} ago"
    return f"{int(age)} s ago"


def local(at: float, *, precise: bool = False) -> str:
    """Epoch seconds as local date and time (`precise`: the time of day in milliseconds)."""
    moment = datetime.datetime.fromtimestamp(at).astimezone()
    return (
        moment.strftime("%H:%M:%S.") + f"{moment.microsecond // 1000:03}" if precise else f"{moment:%Y-%m-%d %H:%M:%S}"
    )


def count(number: int, noun: str) -> str:
    """`1 step`, `1,204 steps`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def tokens(usage: Usage | None) -> str:
    """`1,204 in, 56 out`; empty for none."""
    if usage is None or not usage.total_tokens:
        return ""
    cached = f" ({usage.cache_read_tokens:,} cached)" if usage.cache_read_tokens else ""
    return f"{usage.input_tokens:,} in{cached}, {usage.output_tokens:,} out"


def inline(value: Any, width: int = 0) -> str:
    """Any plain value on one line, without control characters; cut to `width` characters if given."""
    text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode()
    # What will not be seen need not be cleaned: one value may be megabytes.
    shown = visible(text[: 2 * width + 16] if width else text)
    return clip(shown, width) if width else shown


def clip(text: str, width: int) -> str:
    """`text` in at most `width` characters."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"
