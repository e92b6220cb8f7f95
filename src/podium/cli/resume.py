"""`podium resume` and `podium fork`: going on where a run stopped, or from an earlier step in another way."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal

import typer

from .exits import Code, reported
from .options import (
    RUNS,
    BaseUrlOption,
    BudgetOption,
    JsonOption,
    ModelOption,
    QuietOption,
    RunArgument,
    Settings,
    StoreOption,
    TargetOption,
    budget,
    example,
    settings,
)

WaitOption = Annotated[
    bool, typer.Option("--wait", help="Stay until the run is over, through timers and decisions made elsewhere.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "resume", rich_help_panel=RUNS, epilog=example("podium resume last", "podium resume run-01a2b3 --steal")
    )(resume)
    app.command(
        "fork", rich_help_panel=RUNS, epilog=example("podium fork last --at support.1/turn.2/model.1 --budget 0.50")
    )(fork)


def resume(
    run: RunArgument,
    steal: Annotated[
        bool, typer.Option("--steal", help="Take the run from a process that is thought to drive it still.")
    ] = False,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Use the agents as they are now, not as the run pinned them.")
    ] = False,
    target: TargetOption = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    wait: WaitOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Go on with a run that was interrupted, killed or suspended; what it did is not done again.

    A run that is over gives its outcome. A run that another process drives exits with 6.
    """
    with reported():
        chosen = settings(store, model, base_url)
        shown = {"as_json": as_json, "quiet": quiet, "wait": wait}
        raise typer.Exit(asyncio.run(_resume(chosen, run, target, shown, steal=steal, upgrade=upgrade)))


async def _resume(
    chosen: Settings, name: str, target: str | None, shown: dict[str, bool], *, steal: bool, upgrade: bool
) -> Code:
    from .driving import Presentation, carry_on
    from .find import member_of, run_named

    async with chosen.existing() as app:
        row = await run_named(app.store, name)
        presentation = Presentation(chosen, **shown)
        if row.status.over:
            return presentation.finish(await app.settled(row.id, over=True))
        return await carry_on(app, row, member_of(row, target), presentation, steal=steal, upgrade=upgrade)


def fork(
    run: RunArgument,
    at: Annotated[str, typer.Option("--at", metavar="KEY", help="The step to perform anew: see `podium show RUN`.")],
    effects: Annotated[
        Literal["hold", "allow"],
        typer.Option("--effects", help="Whether actions that change the world wait for a person, or run."),
    ] = "hold",
    limits: BudgetOption = None,
    run_id: Annotated[str | None, typer.Option("--run-id", metavar="ID", help="The id of the new run.")] = None,
    target: TargetOption = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    wait: WaitOption = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Start a new run that shares another's history up to a step, and performs that step anew.

    What was done before the step is copied and costs nothing. The first run stays as it is. Without --budget the
    new run may use as much as the first one, anew.
    """
    with reported():
        chosen = settings(store, model, base_url)
        shown = {"as_json": as_json, "quiet": quiet, "wait": wait}
        options = {"at": at, "effects": effects, "new_id": run_id, "budget": budget(limits)}
        raise typer.Exit(asyncio.run(_fork(chosen, run, target, shown, options)))


async def _fork(
    chosen: Settings, name: str, target: str | None, shown: dict[str, bool], options: dict[str, Any]
) -> Code:
    from .driving import Presentation
    from .find import member_of, run_named

    async with chosen.existing() as app:
        row = await run_named(app.store, name)
        handle = await app.fork(row.id, member=member_of(row, target), **options)
        return await Presentation(chosen, **shown).drive(app, handle.run_id, handle.settled())
