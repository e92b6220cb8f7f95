"""`podium crashtest`: kill a real process at every record boundary of a run, resume it, and show what differs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import msgspec
import typer

from podium.core.errors import ConfigurationError

from .exits import Code, reported
from .options import MACHINE, JsonOption, ModelOption, TargetArgument, example

if TYPE_CHECKING:
    from podium.testing.crashtest import CrashReport


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "crashtest",
        rich_help_panel=MACHINE,
        epilog=example(
            "podium crashtest team.py:team 'Refund order 7'",
            'podium crashtest team.py:team --answers \'{"refund": "reject"}\' --max-boundaries 40',
        ),
    )(crashtest)


def crashtest(
    target: TargetArgument,
    input: Annotated[
        str | None, typer.Argument(metavar="[INPUT]", help="Text; or JSON, when it begins with { or [.")
    ] = None,
    answers: Annotated[
        str | None,
        typer.Option(
            "--answers",
            metavar="JSON",
            help="What people say, by step key, tool, question, signal, or approval / ask / signal.",
        ),
    ] = None,
    max_boundaries: Annotated[
        int | None, typer.Option("--max-boundaries", metavar="N", min=1, help="An even sample of the boundaries.")
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Kills side by side.")] = 2,
    model: ModelOption = None,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds for one life of a run.")] = 60.0,
    store_dir: Annotated[
        Path | None, typer.Option("--store-dir", help="Keep every store and world in this new folder.")
    ] = None,
    allow_real_models: Annotated[
        bool, typer.Option("--allow-real-models", help="Let agents call real models, at every boundary again.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="One line for each boundary.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Kill TARGET's run with SIGKILL before and after every record, resume it, and compare.

    Each boundary gets a process, a store and a world of its own. The exit code is 0 when every outcome, every effect
    and all settled money are equal, and 1 when anything differs. What TARGET's module may supply (effects, answers,
    setup, deps) is told in docs/how-to/crash-testing.md.
    """
    with reported():
        from podium.testing.crashtest import crashtest as run

        report = run(
            target,
            _input(input),
            answers=_answers(answers),
            max_boundaries=max_boundaries,
            jobs=jobs,
            folder=store_dir,
            timeout=timeout,
            model=model or "offline",
            allow_real_models=allow_real_models,
            progress=None if as_json or not sys.stderr.isatty() else _progress,
        )
        if as_json:
            sys.stdout.write(json.dumps(document(report), ensure_ascii=False, indent=2) + "\n")
        elif sys.stdout.isatty():
            _draw(report, verbose=verbose)
        else:
            sys.stdout.write(report.text(verbose=verbose) + "\n")
        sys.stdout.flush()
        raise typer.Exit(Code.OK if report.ok else Code.FAILED)


def document(report: CrashReport) -> dict[str, Any]:
    """The report as JSON: its fields, `ok`, and the totals."""
    plain = cast("dict[str, Any]", msgspec.to_builtins(report))
    return {"ok": report.ok, "summary": report.summary(), "totals": msgspec.to_builtins(report.totals()), **plain}


def _input(text: str | None) -> Any:
    if text is None or text[:1] not in ("{", "["):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _answers(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(f'--answers is not JSON ({error}): write \'{{"refund": "reject"}}\'') from None
    if not isinstance(found, dict):
        raise ConfigurationError('--answers is a JSON object: write \'{"refund": "reject"}\'')
    return cast("dict[str, Any]", found)


def _progress(done: int, of: int) -> None:
    sys.stderr.write(f"\r{done}/{of} boundaries" + ("\r\x1b[K" if done == of else ""))
    sys.stderr.flush()


def _draw(report: CrashReport, *, verbose: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from podium.testing.crashtest.report import cells

    console = Console(highlight=False, markup=False, emoji=False)
    if verbose:
        console.print(report.text(verbose=True), soft_wrap=True)
        return
    table = Table(title=f"{report.target}: killed at {report.boundaries} boundaries", show_footer=True)
    totals = [str(cell) for cell in cells(report.totals())]
    heads = ("boundary", "kills", "outcome", "effects once", "money", "asked", "silent repeats", "missing")
    for column, (head, total) in enumerate(zip(heads, totals, strict=True)):
        table.add_column(head, total, justify="left" if column == 0 else "right")
    for kind in report.kinds():
        whole = kind.outcome_equal == kind.effects_equal == kind.money_equal == kind.boundaries
        table.add_row(*(str(cell) for cell in cells(kind)), style="" if whole else "red")
    console.print(table)
    for note in report.notes:
        console.print(Text(f"note: {note}", style="dim"), soft_wrap=True)
    for finding in report.findings:
        console.print(Text.assemble((f"{finding.what}: ", "bold red"), finding.message), soft_wrap=True)
        if finding.first:
            console.print(
                Text(f"    at {finding.count} boundaries, first {finding.first}", style="dim"), soft_wrap=True
            )
    console.print(Text(report.summary(), style="bold green" if report.ok else "bold red"), soft_wrap=True)
