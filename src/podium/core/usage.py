"""What a step consumed: tokens and money.

Money is `Decimal` US dollars. A price that is not known is `None`, never zero: callers must say so (`Cost.unknown`).
"""

from __future__ import annotations

from decimal import Decimal

import msgspec


class Usage(msgspec.Struct, frozen=True, gc=False, array_like=True, omit_defaults=True):
    """Tokens of one or more model calls, with one meaning for all providers.

    `input_tokens` includes those read from and written to a prompt cache; `output_tokens` includes reasoning.
    `cache_write_long_tokens` are those of `cache_write_tokens` that are kept for an hour, which cost more.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cache_write_long_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cache_write_long_tokens + other.cache_write_long_tokens,
        )

    @property
    def total_tokens(self) -> int:
        """Input plus output."""
        return self.input_tokens + self.output_tokens


NO_USAGE = Usage()
FREE = Decimal(0)
