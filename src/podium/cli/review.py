"""`podium review`: a team of three reviewers and an editor on a change, as a run like any other."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from podium.core.errors import ConfigurationError

from .exits import Code, Interrupted, reported, say
from .options import (
    TEAMS,
    BaseUrlOption,
    BudgetOption,
    JsonOption,
    ModelOption,
    QuietOption,
    Settings,
    StoreOption,
    budget,
    example,
    settings,
)

if TYPE_CHECKING:
    from podium.core.budgets import Budget
    from podium.review.findings import Severity
    from podium.review.outcome import Review
    from podium.review.report import Format
    from podium.review.source import Named


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "review",
        rich_help_panel=TEAMS,
        epilog=example(
            "podium review",
            "podium review main..HEAD --format markdown",
            "git diff | podium review - --fail-on high",
            "podium review --staged --model openai:llama3.3 --base-url http://localhost:11434/v1",
        ),
    )(review)


def review(
    revisions: Annotated[
        str | None,
        typer.Argument(
            metavar="[REVISIONS]",
            help="A commit, `A..B` or `A...B`; `-` reads a patch from stdin. The last commit by default.",
            show_default=False,
        ),
    ] = None,
    staged: Annotated[bool, typer.Option("--staged", help="What is staged for the next commit.")] = False,
    diff: Annotated[
        Path | None, typer.Option("--diff", metavar="FILE", help="A patch in a file.", show_default=False)
    ] = None,
    pr: Annotated[
        str | None, typer.Option("--pr", metavar="URL", help="A pull request, through the GitHub CLI `gh`.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="text, markdown, json or sarif.", show_default=True)
    ] = "text",
    fail_on: Annotated[
        str | None,
        typer.Option(
            "--fail-on",
            metavar="SEVERITY",
            help="Exit with 1 when a finding is at least this severe (info, low, medium, high, critical), "
            "or a reviewer did not finish.",
        ),
    ] = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    limits: BudgetOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Review a change: security, correctness, maintainability.

    Without a model, the offline one passes on what the analysers found. The report goes to stdout, progress to stderr;
    `podium show last` shows every step of the review.
    """
    with reported():
        from podium.review.findings import Severity

        chosen = settings(store, model, base_url)
        limit = budget(limits)
        rendering = _format(form, as_json=as_json)
        threshold = None if fail_on is None else Severity.parse(fail_on)
        named = _named(revisions, staged=staged, diff=diff, pr=pr)
        outcome = asyncio.run(_run(chosen, named, limit, quiet=quiet))
        if isinstance(outcome, Code):
            raise typer.Exit(outcome)
        _write(outcome, rendering)
        raise typer.Exit(_code(outcome, threshold))


def _format(name: str, *, as_json: bool) -> Format:
    from podium.review.report import Format

    try:
        form = Format(name.lower())
    except ValueError:
        raise ConfigurationError(f"--format is one of {', '.join(Format)} (not {name!r})") from None
    if not as_json:
        return form
    if form not in (Format.TEXT, Format.JSON):
        raise ConfigurationError(f"--json is --format json: leave out one of --json and --format {form}")
    return Format.JSON


def _code(review: Review, threshold: Severity | None) -> Code:
    """Failed when a finding reaches the threshold, or when nobody can know since a reviewer did not finish."""
    from podium.review.findings import fails

    if threshold is None:
        return Code.OK
    missing = [each.name for each in review.reviewers if each.status != "succeeded"]
    if missing:
        say(f"--fail-on cannot be judged without {' and '.join(missing)}: see the notes of the report")
    return Code.FAILED if missing or fails(review.findings, threshold) else Code.OK


def _named(revisions: str | None, *, staged: bool, diff: Path | None, pr: str | None) -> Named:
    from podium.review import source
    from podium.review.diff import decode

    if sum((revisions is not None, staged, diff is not None, pr is not None)) > 1:
        raise ConfigurationError("name one change: REVISIONS, --staged, --diff or --pr")
    patch: str | None = None
    asked = ""
    if revisions == "-":
        asked = "patch from standard input"
        patch = decode(sys.stdin.buffer.read(source.MAX_PATCH + 1))
    elif diff is not None:
        asked = f"patch {diff.name}"
        try:
            with diff.open("rb") as file:
                patch = decode(file.read(source.MAX_PATCH + 1))
        except OSError as error:
            raise ConfigurationError(f"{diff} cannot be read: {error.strerror or error}") from error
    if patch is not None:
        revisions = None
    return source.name(folder=Path.cwd(), revisions=revisions, staged=staged, patch=patch, pull_request=pr, asked=asked)


async def _run(chosen: Settings, named: Named, limit: Budget | None, *, quiet: bool) -> Review | Code:
    """The review, with what its run cost; or the exit code of a run that came to none."""
    from podium.review.outcome import Review
    from podium.review.source import keep
    from podium.review.team import TEAM, ReviewRequest

    from . import progress, screen
    from .driving import Presentation, attended

    name = chosen.config.model or "offline"
    with _beside(chosen) as folder:
        async with chosen.app() as app:
            handle = await app.start(TEAM, ReviewRequest(keep(named, folder), name), budget=limit)
            async with progress.shown(handle.run_id, quiet=quiet) as drawing:
                try:
                    result = await attended(app, handle.run_id, handle.settled(), [drawing] if drawing else [])
                except asyncio.CancelledError:
                    raise Interrupted(screen.resume_command(handle.run_id, chosen)) from None
    if not isinstance(result.output, Review):
        return Presentation(chosen, quiet=quiet).finish(result)
    return msgspec.structs.replace(
        result.output,
        run_id=result.run_id,
        model=name,
        cost=None if result.unpriced else result.cost,
        duration=result.duration,
    )


@contextlib.contextmanager
def _beside(chosen: Settings) -> Generator[Path]:
    """Where a change that git does not hold is kept for the review: beside the store, or as long as one in memory."""
    store = chosen.config.store_file
    if store is not None:
        yield store.parent / ("reviews" if store.parent.name == ".podium" else ".podium-reviews")
        return
    with tempfile.TemporaryDirectory(prefix="podium-review-") as folder:
        yield Path(folder)


def _write(review: Review, form: Format) -> None:
    from podium.review import report, terminal

    if form is report.Format.TEXT:
        terminal.write(review, sys.stdout)
    else:
        sys.stdout.write(report.render(review, form))
