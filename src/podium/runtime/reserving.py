"""A journal record that depends on a reservation: the beginning of a paid step, or why it was not begun."""

from __future__ import annotations

from collections.abc import Callable

from podium.core.budgets import Amount, Charge, Refusal
from podium.core.records import Began, Ended, Record, encode_record
from podium.ports import Reservation


class Paid(Reservation):
    """A `Began` that is written if its reservation is granted, or the `Ended` that says why it was not."""

    __slots__ = ("began", "refused")

    def __init__(
        self, began: Began, amount: Amount, charges: tuple[Charge, ...], refused: Callable[[Refusal], Ended]
    ) -> None:
        super().__init__(began.key, began.attempt, amount, charges, lambda refusal: encode_record(refused(refusal)))
        self.began = began
        self.refused = refused

    @property
    def record(self) -> Record:
        """What was written."""
        return self.began if self.refusal is None else self.refused(self.refusal)
