"""`podium tail`: a run's records as they come, whoever drives it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Code, Interrupted, code_of_status, reported
from .options import RUNS, JsonOption, RunArgument, Settings, StoreOption, example, settings

if TYPE_CHECKING:
    from podium.core.records import Record

    from .tree import Line


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "tail", rich_help_panel=RUNS, epilog=example("podium tail last", "podium tail last --json --no-follow")
    )(tail)


def tail(
    run: RunArgument,
    no_follow: Annotated[
        bool, typer.Option("--no-follow", help="Print what is there and stop, even if the run goes on.")
    ] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a run's records from the first, then those that come, until the run is over.

    With --json each is a line of its own. The exit code tells how the run stands at the end.
    """
    with reported():
        raise typer.Exit(asyncio.run(_tail(settings(store), run, follow=not no_follow, as_json=as_json)))


async def _tail(chosen: Settings, name: str, *, follow: bool, as_json: bool) -> Code:
    from podium.core.records import RECORDS

    from . import documents
    from .driving import events
    from .find import run_named
    from .screen import write

    async with chosen.existing() as app:
        row = await run_named(app.store, name)

        def show(seq: int, record: Any) -> None:
            if as_json:
                documents.write(documents.event(seq, record), line=True)
            elif isinstance(record, RECORDS):
                write([line_of(seq, record)])

        if follow and not row.status.over:
            try:
                async for seq, event in events(app, row.id):
                    show(seq, event)
            except asyncio.CancelledError:
                raise Interrupted(
                    f"stopped looking; the run is not touched: {chosen.command('tail', row.id)}"
                ) from None
        else:
            for seq, record in enumerate(await app.store.read(row.id), 1):
                show(seq, record)
        row = await app.row(row.id) or row
        return code_of_status(row.status)


def line_of(seq: int, record: Record) -> Line:
    """A record on one line for people."""
    from .words import local, visible

    what, style = _told(record)
    key = str(getattr(record, "key", ""))
    return [
        (f"{seq:>5}  ", "dim"),
        (f"{local(record.at, precise=True)}  ", "dim"),
        (f"{type(record).__name__.lower():<9}  ", style),
        (f"{visible(key)}  " if key else "", "bold"),
        (what, ""),
    ]


def _told(record: Record) -> tuple[str, str]:
    """What a record says besides its name, time and key; and its colour."""
    from podium.core.records import (
        Began,
        Ended,
        Finished,
        Held,
        Outcome,
        Resumed,
        Retried,
        Signalled,
        Started,
        Suspended,
    )

    from .words import inline, local, tokens, visible

    match record:
        case Started():
            return visible(f"{record.member} {record.target}").strip(), "bold"
        case Resumed():
            return f"by {visible(record.owner)}, epoch {record.epoch}", "cyan"
        case Began():
            words = [record.kind.value, visible(record.version if record.kind == "model" else "")]
            words += [f"attempt {record.attempt}"] if record.attempt > 1 else []
            words += [f"waits: {record.hold.why} {visible(record.hold.prompt)}"] if record.hold else []
            return " ".join(word for word in words if word), ""
        case Held():
            return f"{record.hold.why} {record.hold.request}: {visible(record.hold.prompt)}", "magenta"
        case Retried():
            return f"attempt {record.attempt} failed: {inline(str(record.error), 200)}", "yellow"
        case Ended():
            cost = "" if record.cost in {"0", None} else f"${record.cost}"
            words = [
                record.outcome.value,
                cost,
                tokens(record.usage),
                inline(str(record.error), 200) if record.error else "",
            ]
            return "  ".join(word for word in words if word), "green" if record.outcome is Outcome.OK else "red"
        case Signalled():
            return visible(f"{record.kind} {record.request} by {record.by.id}"), "magenta"
        case Suspended():
            return "" if record.wake_at is None else f"until {local(record.wake_at)}", "magenta"
        case Finished():
            failed = f": {inline(str(record.error), 200)}" if record.error else ""
            return f"{record.status.value}{failed}", "bold"
