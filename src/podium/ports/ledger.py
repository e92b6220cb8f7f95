"""The port of the ledger: accounts of budgets, moved in the same transaction as the records that say why.

An account has what was spent and what is held for calls that are not over. Reserving is all or nothing over every
account of a call; a reservation belongs to one attempt of one step of one run, and is gone when it is settled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from podium.core.budgets import Amount, Balance, Charge, Crossing, Refusal
from podium.core.costs import CostRow


class Reservation:
    """A wish to hold `amount` on the accounts of `charges`, decided when the record it comes with is written.

    `charges` are in the order of `core.budgets.merged`. What was settled before it in its group is free for it. If one
    of them refuses, nothing is held and the record `otherwise(refusal)` is written in the place of the one it came
    with; that function may run on any thread.
    """

    __slots__ = ("amount", "attempt", "charges", "key", "otherwise", "refusal")

    def __init__(
        self,
        key: str,
        attempt: int,
        amount: Amount,
        charges: tuple[Charge, ...],
        otherwise: Callable[[Refusal], bytes],
    ) -> None:
        self.key, self.attempt, self.amount, self.charges, self.otherwise = key, attempt, amount, charges, otherwise
        self.refusal: Refusal | None = None
        """Why it was refused; known once the record is durable."""


class Settlement:
    """The end of a reservation: what was held is let go, and `amount` is spent.

    None spends all that was held: nobody knows what the call used. `crossed` is filled when the group is written: the
    limits whose reported part this call used up. Settling what is not held changes nothing.
    """

    __slots__ = ("amount", "attempt", "crossed", "key")

    def __init__(self, key: str, attempt: int, amount: Amount | None) -> None:
        self.key, self.attempt, self.amount = key, attempt, amount
        self.crossed: list[Crossing] | None = None


class RunCosts(msgspec.Struct, frozen=True):
    """What a run used, as of its last suspension or its end."""

    run: str
    member: str
    session: str
    updated: float
    """Epoch seconds."""
    rows: tuple[CostRow, ...]


class Spending(msgspec.Struct, frozen=True):
    """What was spent outside any run, as somebody reported it."""

    session: str
    at: float
    """Epoch seconds."""
    row: CostRow


class Ledger(Protocol):
    """Accounts and costs, as a store keeps them."""

    async def balances(self, prefix: str = "") -> list[Balance]:
        """The accounts whose name begins with `prefix`, by name."""
        ...

    async def spend(self, spending: Spending, amount: Amount, charges: Sequence[Charge]) -> list[Crossing]:
        """Keep a report of spending, and add it to accounts, whatever their limits; the limits it passed."""
        ...

    async def costs(self, since: float = 0.0) -> list[RunCosts]:
        """What runs used that were suspended or ended at `since` (epoch seconds) or later, oldest first."""
        ...

    async def spendings(self, since: float = 0.0) -> list[Spending]:
        """What was reported at `since` or later, oldest first."""
        ...
