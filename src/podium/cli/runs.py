"""`podium runs`: the runs of a store, newest first."""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated

import typer

from .exits import Code, reported
from .options import RUNS, JsonOption, Settings, StoreOption, example, settings

if TYPE_CHECKING:
    from podium.app import Podium
    from podium.app.costs import CostLine
    from podium.runtime.results import Pending

    from .standing import Standing

COLUMNS = ("RUN", "MEMBER", "STATUS", "STARTED", "TIME", "COST", "WAITS FOR")
MOST = 10_000
"""Runs that are looked at, at most."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "runs", rich_help_panel=RUNS, epilog=example("podium runs --waiting", "podium runs --status failed --json")
    )(runs)


def runs(
    status: Annotated[
        list[str] | None, typer.Option("--status", metavar="STATUS", help="Only runs in this state; may be repeated.")
    ] = None,
    waiting: Annotated[bool, typer.Option("--waiting", help="Only runs that wait for a person.")] = False,
    session: Annotated[str | None, typer.Option("--session", metavar="NAME", help="Only runs of this session.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=MOST, help="At most this many.")] = 20,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List runs, newest first. `interrupted` is a run that nobody drives: `podium resume` goes on with it."""
    with reported():
        chosen = settings(store)
        raise typer.Exit(asyncio.run(_runs(chosen, status or [], session, limit, waiting=waiting, as_json=as_json)))


async def _runs(
    chosen: Settings, states: list[str], session: str | None, limit: int, *, waiting: bool, as_json: bool
) -> Code:
    from podium.core.errors import ConfigurationError

    from . import documents
    from .standing import STATES

    if unknown := set(states) - set(STATES):
        raise ConfigurationError(f"--status is one of {', '.join(STATES)}, not {', '.join(sorted(unknown))}")
    if waiting:
        states = ["suspended", "running", "pending", "interrupted"]  # one branch may wait while another works
    found: list[Standing] = []
    costs: dict[str, CostLine] = {}
    now = 0.0
    if chosen.has_store():
        async with chosen.app() as app:
            now = app.clock.time()
            found = await _found(app, states, session, limit, now, waiting=waiting)
            costs = await _costs(app, found)
    if as_json:
        documents.write([documents.row(each, costs.get(each.row.id)) for each in found])
    elif found:
        from .screen import table

        table([COLUMNS, *(_cells(each, costs.get(each.row.id), now) for each in found)], style=_style)
    else:
        sys.stderr.write("no such runs\n" if states or session else "no runs yet\n")
    return Code.OK


async def _found(
    app: Podium, states: list[str], session: str | None, limit: int, now: float, *, waiting: bool
) -> list[Standing]:
    from podium.runtime.desk import DECISIONS

    from .standing import standing, stored

    found: list[Standing] = []
    # What is asked for is seen only by looking closer, so more may have to be looked at than are shown.
    most = MOST if states else limit
    for row in await app.runs(status=stored(states), session=session, limit=most):
        each = await standing(app.store, row, now, closer=waiting)
        if states and each.state not in states:
            continue
        if waiting and not any(item.why in DECISIONS for item in each.pending):
            continue
        found.append(each)
        if len(found) == limit:
            break
    return found


async def _costs(app: Podium, found: list[Standing]) -> dict[str, CostLine]:
    """What the runs cost by now, by run."""
    if not found:
        return {}
    since = min(each.row.created for each in found)
    return {line.name: line for line in await app.costs.summary("run", since=since)}


def _cost(each: Standing, costs: CostLine | None) -> str:
    from .words import money

    if costs is None:
        return money(Decimal(each.row.cost or "0"))
    uncertain = f" + {money(costs.uncertain)} uncertain" if costs.uncertain else ""
    return money(costs.cost, costs.unpriced) + uncertain


def _cells(each: Standing, costs: CostLine | None, now: float) -> tuple[str, ...]:
    from .words import ago, local, seconds, visible

    row = each.row
    end = now if each.driven else row.updated
    return (
        row.id,
        visible(row.member),
        each.state,
        f"{local(row.created)} ({ago(now - row.created)})",
        seconds(max(0.0, end - row.created)),
        _cost(each, costs),
        "; ".join(_waits(item) for item in each.pending),
    )


def _waits(item: Pending) -> str:
    from .words import clip, local, visible

    if item.why == "sleep":
        return f"timer {local(item.due)}" if item.due is not None else "timer"
    if item.why in {"approval", "in_doubt", "review"}:
        mark = " (after untrusted text)" if item.untrusted else ""
        return visible(f"{item.why.replace('_', ' ')} {item.tool or item.agent} {item.request}{mark}")
    if item.why == "ask":
        return visible(f"answer {item.request}: {clip(item.prompt, 60)}")
    return visible(item.prompt)


_STYLES = {
    "succeeded": "green",
    "failed": "red",
    "exhausted": "yellow",
    "suspended": "magenta",
    "interrupted": "yellow",
    "running": "cyan",
}


def _style(column: int, cell: str) -> str:
    return _STYLES.get(cell, "") if column == 2 else ""
