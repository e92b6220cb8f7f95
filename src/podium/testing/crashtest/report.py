"""What a crash test found, as frozen values, and its table as plain text. It knows no process and no run."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Literal

import msgspec

When = Literal["before", "after"]
"""`before`: just before the record is handed to the store's group. `after`: when it is durable."""

What = Literal["outcome", "effects", "money", "replay", "stuck", "target"]
"""What differs. `replay`: the run could not be resumed; `stuck`: it came to no end; `target`: a rule TARGET breaks."""


class Boundary(msgspec.Struct, frozen=True):
    """Where the process was killed."""

    number: int
    """Place of the record among all that the run (with its child runs) writes, from 1."""
    when: When
    record: str
    """`Started`, `Began`, `Ended`, …"""
    key: str = ""
    run: str = ""

    def __str__(self) -> str:
        return f"{self.when} {self.record}" + (f" {self.key}" if self.key else "") + f" (record {self.number})"


class Difference(msgspec.Struct, frozen=True):
    """Something that is not as in the run nobody killed."""

    what: What
    message: str
    """One line: which key, what, and what to do."""
    key: str = ""


class Finding(msgspec.Struct, frozen=True):
    """The same difference over all boundaries at which it was seen."""

    what: What
    message: str
    key: str = ""
    count: int = 1
    """Boundaries; 0 when it shows without any kill."""
    first: str = ""
    """The first of them."""


class Row(msgspec.Struct, frozen=True):
    """One boundary: killed there, resumed, and compared."""

    boundary: Boundary
    killed: bool
    """False when the run ended before it came there (its records come in another order this time)."""
    status: str
    outcome_equal: bool
    effects_equal: bool
    money_equal: bool
    asked: int = 0
    """Steps in doubt that a person was asked about (and that were answered truthfully)."""
    repeats: int = 0
    """Effects that happened more often than they should, though nobody was asked."""
    missing: int = 0
    """Effects that did not happen."""
    lost_attempts: int = 0
    """Attempts that were begun and whose outcome the crash took."""
    uncertain: str = "0"
    """US dollars of lost attempts, kept apart from the settled cost."""
    seconds: float = 0.0
    differences: tuple[Difference, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


class Baseline(msgspec.Struct, frozen=True):
    """The run nobody killed."""

    status: str
    output: Any
    error: str
    cost: str
    effects: int
    records: int
    holds: int
    """Questions and approvals that were answered."""
    timers: int
    """Times the clock was moved to the end of a wait."""


class Kind(msgspec.Struct, frozen=True):
    """A line of the table: all boundaries of one kind."""

    name: str
    boundaries: int
    killed: int
    outcome_equal: int
    effects_equal: int
    money_equal: int
    asked: int
    repeats: int
    missing: int


class CrashReport(msgspec.Struct, frozen=True):
    """The outcome of a crash test."""

    target: str
    baseline: Baseline
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    """What limits this test, said once."""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every boundary was equal and no rule is broken."""
        return not self.findings and all(row.ok for row in self.rows)

    @property
    def boundaries(self) -> int:
        """Boundaries at which a process was killed."""
        return sum(row.killed for row in self.rows)

    @property
    def asked(self) -> int:
        """How often a person was asked about a step in doubt."""
        return sum(row.asked for row in self.rows)

    @property
    def silent_repeats(self) -> int:
        """Effects that happened again without anybody having been asked."""
        return sum(row.repeats for row in self.rows)

    @property
    def lost_attempts(self) -> int:
        """Attempts whose outcome a crash took."""
        return sum(row.lost_attempts for row in self.rows)

    @property
    def uncertain(self) -> Decimal:
        """US dollars of all lost attempts."""
        return sum((Decimal(row.uncertain) for row in self.rows), Decimal(0))

    def kinds(self) -> list[Kind]:
        """The table: one line for each kind of boundary, in the order they first came."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            found.setdefault(f"{row.boundary.when} {row.boundary.record}", []).append(row)
        return [_kind(name, rows) for name, rows in found.items()]

    def totals(self) -> Kind:
        """The last line of the table."""
        return _kind("total", self.rows)

    def summary(self) -> str:
        """One line."""
        verdict = "every boundary equal" if self.ok else f"{len(self.findings)} problem(s) found"
        return (
            f"{self.boundaries} kills: {verdict}; {self.asked} asked, {self.silent_repeats} silent repeats, "
            f"{self.totals().missing} effects missing, {self.lost_attempts} lost attempts "
            f"(uncertain ${self.uncertain}); {self.seconds:.1f} s"
        )

    def text(self, *, verbose: bool = False) -> str:
        """The whole report as plain text; with `verbose` one line for each boundary."""
        head = ("boundary", "kills", "outcome", "effects", "money", "asked", "repeats", "missing")
        body = (
            [tuple(map(str, _cells(row))) for row in self.rows]
            if verbose
            else [tuple(map(str, cells(kind))) for kind in self.kinds()]
        )
        lines = _columns([head, *body, tuple(map(str, cells(self.totals())))])
        lines += ["", *(f"note: {note}" for note in self.notes)]
        for finding in self.findings:
            lines.append(f"{finding.what}: {finding.message}")
            if finding.first:
                lines.append(f"    at {finding.count} of {len(self.rows)} boundaries, first {finding.first}")
        return "\n".join([*lines, self.summary()])

    def check(self) -> CrashReport:
        """Itself, when all is well. Raises AssertionError with the whole report otherwise."""
        if not self.ok:
            raise AssertionError(f"{self.target} does not survive every crash\n{self.text()}")
        return self


def cells(kind: Kind) -> tuple[object, ...]:
    """A line of the table: `12/12` where all must be equal, plain counts elsewhere."""
    of = f"/{kind.boundaries}"
    return (
        kind.name,
        kind.killed,
        f"{kind.outcome_equal}{of}",
        f"{kind.effects_equal}{of}",
        f"{kind.money_equal}{of}",
        kind.asked,
        kind.repeats,
        kind.missing,
    )


def _cells(row: Row) -> tuple[object, ...]:
    def said(equal: bool) -> str:
        return "equal" if equal else "DIFFERS"

    return (
        str(row.boundary),
        int(row.killed),
        said(row.outcome_equal),
        said(row.effects_equal),
        said(row.money_equal),
        row.asked,
        row.repeats,
        row.missing,
    )


def _kind(name: str, rows: Sequence[Row]) -> Kind:
    return Kind(
        name,
        len(rows),
        sum(row.killed for row in rows),
        sum(row.outcome_equal for row in rows),
        sum(row.effects_equal for row in rows),
        sum(row.money_equal for row in rows),
        sum(row.asked for row in rows),
        sum(row.repeats for row in rows),
        sum(row.missing for row in rows),
    )


def _columns(table: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    ]
