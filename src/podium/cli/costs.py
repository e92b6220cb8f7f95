"""`podium costs`: where money went, what of it is not known, and how far budgets are used."""

from __future__ import annotations

import asyncio
import datetime
import re
import sys
from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from podium.core.costs import DAY
from podium.core.errors import ConfigurationError

from .exits import Code, reported
from .options import MONEY, JsonOption, Settings, StoreOption, example, settings

if TYPE_CHECKING:
    from podium.app.budgets import BudgetState
    from podium.app.costs import CostLine

_BACK = re.compile(r"(\d{1,6}) *([dhw])")
_HOURS = {"h": 1, "d": 24, "w": 168}
_NAMELESS = {"session": "(no session)", "run": "(outside runs)"}


class Use(msgspec.Struct, frozen=True):
    """How far one limit of a budget is used. Amounts are US dollars, tokens or calls."""

    scope: str
    unit: str
    limit: str | None
    """None for an account whose budget is not in force now."""
    spent: str
    reserved: str
    """Held by calls that are not over."""
    fraction: float | None
    """What is spent and reserved, as a part of the limit."""


class Report(msgspec.Struct, frozen=True):
    """Everything that the command shows."""

    since: float
    lines: tuple[CostLine, ...] = ()
    total: CostLine | None = None
    uses: tuple[Use, ...] = ()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "costs",
        rich_help_panel=MONEY,
        epilog=example("podium costs", "podium costs --by model --since 7d", "podium costs --by day --json"),
    )(costs)


def costs(
    by: Annotated[
        str, typer.Option("--by", metavar="WHAT", help="A line for each agent, model, tool, session, run or day.")
    ] = "agent",
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="WHEN", help="From this day (UTC) on: 2026-11-21, today, yesterday, 7d, 24h."),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what models and tools cost, and how far budgets are used.

    A price that nobody knows is said, never taken as zero. Costs are kept by days (UTC): --since counts whole ones.
    `podium prices MODEL` shows the rates of a model.
    """
    with reported():
        raise typer.Exit(asyncio.run(_costs(settings(store), by, since, as_json=as_json)))


async def _costs(chosen: Settings, by: str, since: str | None, *, as_json: bool) -> Code:
    from podium.app.costs import BY

    if by not in BY:
        raise ConfigurationError(f"--by is one of {', '.join(BY)}, not {by!r}")
    began = since_of(since, datetime.datetime.now(datetime.UTC))
    report = await _report(chosen, by, began) if chosen.has_store() else Report(began)
    if as_json:
        _write_json(report, by)
    else:
        _write(report, by)
    return Code.OK


async def _report(chosen: Settings, by: Any, since: float) -> Report:
    async with chosen.app() as app:
        lines = await app.costs.summary(by, since=since)
        total = await app.costs.total(since=since)
        states = await app.budgets.states()
    return Report(since, tuple(lines), total, tuple(use for state in states for use in _uses(state)))


def since_of(text: str | None, now: datetime.datetime) -> float:
    """The beginning of the day (UTC) that `--since` names, in epoch seconds; 0 for none. `now` is in UTC.

    Raises ConfigurationError.
    """
    if text is None:
        return 0.0
    word = text.strip().lower()
    back = _BACK.fullmatch(word)
    try:
        if word in ("today", "yesterday"):
            day = now - datetime.timedelta(days=word == "yesterday")
        elif back is not None:
            hours = int(back[1]) * _HOURS[back[2]]
            # `7d` is seven days, today among them; 24 hours ago is a time of yesterday.
            day = now - datetime.timedelta(hours=hours if back[2] == "h" else max(0, hours - 24))
        else:
            day = datetime.datetime.fromisoformat(word)
            day = day.replace(tzinfo=datetime.UTC) if day.tzinfo is None else day.astimezone(datetime.UTC)
        return max(0.0, day.timestamp() // DAY * DAY)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"--since {text!r} is no day: write a date (2026-11-21), today, yesterday, or how long ago (7d, 24h, 2w)"
        ) from None


def _uses(state: BudgetState) -> Iterable[Use]:
    """The limits of a budget in force; of other accounts only what calls under way hold."""
    from podium.core.budgets import UNITS

    for unit in UNITS:
        spent, held = getattr(state.spent, unit), getattr(state.held, unit)
        limit: Any = None if state.budget is None else getattr(state.budget, unit)
        if limit is None:
            if state.budget is None and held:
                yield Use(state.scope, unit, None, str(spent), str(held), None)
            continue
        used = Decimal(spent + held)
        fraction = float(used / Decimal(str(limit))) if Decimal(str(limit)) else 1.0
        yield Use(state.scope, unit, str(limit), str(spent), str(held), round(fraction, 6))


# ------------------------------------------------------------------------------------------------------------ written


def _write_json(report: Report, by: str) -> None:
    from podium.app.costs import CostLine

    from . import documents

    documents.write(
        {
            "by": by,
            "since": report.since,
            "lines": [_document(line) for line in report.lines],
            "total": _document(report.total or CostLine("total")),
            "budgets": [msgspec.to_builtins(use) for use in report.uses],
        }
    )


def _document(line: CostLine) -> dict[str, Any]:
    from podium.core.codec import readable

    return {
        "name": line.name,
        "calls": line.calls,
        "cost": str(line.cost),
        "usage": readable(line.usage),
        "uncertain": str(line.uncertain),
        "unpriced": line.unpriced,
        "hits": line.hits,
        "saved": str(line.saved),
    }


def _write(report: Report, by: str) -> None:
    from .screen import table, telling, write

    if report.since:
        day = datetime.datetime.fromtimestamp(report.since, datetime.UTC)
        write([[(f"since {day:%Y-%m-%d} 00:00 UTC", "dim")]])
    if report.lines:
        rows = telling([_head(by), *(_cells(line, by) for line in (*report.lines, _sum(report.lines)))])
        table(rows, right=frozenset(range(1, len(rows[0]))))
    unpriced = 0 if report.total is None else report.total.unpriced
    notes: list[str] = []
    if unpriced:
        notes.append(
            f"unpriced: what {unpriced} call{'' if unpriced == 1 else 's'} cost is not known, and in no sum; "
            "give models prices under [prices] in podium.toml (`podium prices` shows how)"
        )
    if report.total is not None and report.total.uncertain:
        notes.append("uncertain: reserved by calls that were cut off, so that nobody knows what they cost")
    if report.lines and by in ("model", "tool"):
        notes.append(f"lines are calls of {by}s only; `podium costs` counts both")
    write([[(f"  {note}", "yellow")] for note in notes])
    if report.uses:
        write([[], [("budgets", "bold")]])
        heads = ("SCOPE", "USED", "RESERVED", "LIMIT", "")
        table([heads, *(_use(use) for use in report.uses)], style=_full, right=frozenset({1, 2, 3, 4}))
    if not report.lines:
        since = " since then" if report.since else ""
        what = f"no {by} cost anything" if by == "tool" and report.total and report.total.calls else "nothing was spent"
        sys.stderr.write(f"{what} yet{since}: `podium run TARGET` makes a run, --store names another store\n")


def _head(by: str) -> tuple[str, ...]:
    return (by.upper(), "CALLS", "TOKENS IN", "CACHED", "OUT", "COST", "UNCERTAIN", "UNPRICED", "HITS", "SAVED")


def _cells(line: CostLine, by: str) -> tuple[str, ...]:
    """A line as texts; empty where there is nothing to tell."""
    from .words import money, visible

    usage = line.usage
    name = line.name or _NAMELESS.get(by, f"(no {by})")
    saved = f"-{money(-line.saved)}" if line.saved < 0 else money(line.saved)
    return (
        visible(name),
        f"{line.calls:,}",
        f"{usage.input_tokens:,}",
        f"{usage.cache_read_tokens:,}" if usage.cache_read_tokens else "",
        f"{usage.output_tokens:,}",
        money(line.cost, line.unpriced),
        money(line.uncertain) if line.uncertain else "",
        f"{line.unpriced:,}" if line.unpriced else "",
        f"{line.hits:,}" if line.hits else "",
        saved if line.saved else "",
    )


def _sum(lines: Iterable[CostLine]) -> CostLine:
    from podium.app.costs import CostLine
    from podium.core.usage import NO_USAGE

    every = list(lines)
    return CostLine(
        "total",
        sum(line.calls for line in every),
        sum((line.cost for line in every), Decimal(0)),
        sum((line.usage for line in every), NO_USAGE),
        sum((line.uncertain for line in every), Decimal(0)),
        sum(line.unpriced for line in every),
        sum(line.hits for line in every),
        sum((line.saved for line in every), Decimal(0)),
    )


def _use(use: Use) -> tuple[str, ...]:
    from .words import money, visible

    def shown(amount: str) -> str:
        return money(Decimal(amount)) if use.unit == "usd" else f"{int(amount):,} {use.unit}"

    reserved = shown(use.reserved) if Decimal(use.reserved) else ""
    limit = "not in force" if use.limit is None else shown(use.limit)
    return (
        visible(use.scope),
        shown(use.spent),
        reserved,
        limit,
        "" if use.fraction is None else f"{use.fraction:.0%}",
    )


def _full(column: int, cell: str) -> str:
    share = cell.removesuffix("%")
    return "red" if column == 4 and share.isdigit() and int(share) >= 100 else ""
