"""`podium run`: one run of a member, from its input to its outcome."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from .exits import Code, reported
from .options import (
    RUNS,
    BaseUrlOption,
    BehindOption,
    BehindRolesOption,
    BudgetOption,
    JsonOption,
    ModelOption,
    QuietOption,
    Settings,
    StoreOption,
    TargetArgument,
    TenantOption,
    budget,
    example,
    principal,
    settings,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "run",
        rich_help_panel=RUNS,
        epilog=example(
            'podium run team.py:support "Refund order A-1" --model openai:gpt-5.4-mini',
            "podium run team.py:support --budget 0.50,20calls",
            'podium run team.py:support "Refund order A-1" --as ann --role clerk',
            "podium run team.py:support @letter.txt --json | jq .output",
        ),
    )(run)


def run(
    target: TargetArgument,
    input_: Annotated[
        str | None, typer.Argument(metavar="[INPUT]", help="Text; `-` reads stdin, `@file` a file.", show_default=False)
    ] = None,
    json_input: Annotated[
        str | None, typer.Option("--json-input", metavar="JSON", help="The input as JSON (or `-`, or `@file`).")
    ] = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    session: Annotated[
        str | None, typer.Option("--session", metavar="NAME", help="The conversation to continue and add to.")
    ] = None,
    run_id: Annotated[
        str | None,
        typer.Option("--run-id", metavar="ID", help="The run's id. The same id and input again continue the same run."),
    ] = None,
    limits: BudgetOption = None,
    by: BehindOption = "local",
    role: BehindRolesOption = None,
    tenant: TenantOption = "",
    timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="Wall time the whole run may take.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until the run is over, through timers and decisions made elsewhere.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="With --json: every event as a line, then the outcome.")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run a member and print its output.

    The output goes to stdout, progress and messages to stderr. A run that waits for somebody exits with 3 and says
    which commands let it go on; one that was interrupted or killed goes on with `podium resume`. A run that a
    budget ends exits with 5, keeps what was reached, and says how to go on.
    """
    with reported():
        from .find import input_from

        if follow and not as_json:
            raise typer.BadParameter("--follow prints lines of JSON: add --json")
        chosen = settings(store, model, base_url)
        value = input_from(input_, json_input)
        who = principal(by, role, tenant)
        options = {
            "session": session,
            "run_id": run_id,
            "timeout": timeout,
            "budget": budget(limits),
            "principal": who,
        }
        shown = {"as_json": as_json, "quiet": quiet, "follow": follow, "wait": wait}
        raise typer.Exit(asyncio.run(_run(chosen, target, value, shown, options)))


async def _run(chosen: Settings, target: str, value: Any, shown: dict[str, bool], options: dict[str, Any]) -> Code:
    from .driving import Presentation
    from .find import member_at

    member = member_at(target)
    async with chosen.app() as app:
        handle = await app.start(member, value, **options)
        return await Presentation(chosen, **shown).drive(app, handle.run_id, handle.settled())
