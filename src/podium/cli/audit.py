"""`podium audit`: what agents were allowed and did, whether anybody changed that, and taking payloads out of it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from podium.core.errors import ConfigurationError, StoreCorrupt

from .exits import Code, reported
from .options import PEOPLE, JsonOption, RunArgument, Settings, StoreOption, example, settings

if TYPE_CHECKING:
    from podium.app.audit import AuditReport
    from podium.core.audit import AuditEntry

    from .tree import Line

_RunOption = Annotated[
    str | None, typer.Option("--run", metavar="RUN", help="Only this run: its id, the beginning of one, or `last`.")
]
_SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="From this day (UTC) on: 2026-11-21, today, yesterday, 7d, 24h."),
]
_COLOURS = {"deny": "red", "reject": "red", "hold": "yellow", "rewrite": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(invoke_without_command=True)
    group.callback()(_group)
    for command, function, lines in (
        (
            "show",
            show,
            ("podium audit show", "podium audit show last --verdict deny", "podium audit show --since 7d --json"),
        ),
        (
            "verify",
            verify,
            ("podium audit verify", "podium audit verify audit.jsonl", 'podium audit verify --anchor "$LINE"'),
        ),
        ("export", export, ("podium audit export audit.jsonl", "podium audit export march.jsonl --since 2026-03-01")),
        ("anchor", anchor, ("podium audit anchor", "podium audit anchor --json")),
        ("erase", erase, ("podium audit erase run-19f", "podium audit erase run-19f --step support.1/turn.1/refund.1")),
    ):
        group.command(command, epilog=example(*lines))(function)
    app.add_typer(
        group,
        name="audit",
        rich_help_panel=PEOPLE,
        help="Show what agents were allowed and did, prove that nobody changed it, and erase payloads.",
        epilog=example("podium audit show last", "podium audit verify --json"),
    )


def _group(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


# -------------------------------------------------------------------------------------------------------------- show


def show(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Only this run, or `last`.", show_default=False)
    ] = None,
    agent: Annotated[str | None, typer.Option("--agent", metavar="NAME", help="Only this agent.")] = None,
    tool: Annotated[str | None, typer.Option("--tool", metavar="NAME", help="Only calls of this tool.")] = None,
    verdict: Annotated[
        str | None, typer.Option("--verdict", metavar="WORD", help="Only allow, deny, hold, approve, edit, reject, …")
    ] = None,
    event: Annotated[
        str | None, typer.Option("--event", metavar="WORD", help="Only gate, tool, model, decision, retry, run., …")
    ] = None,
    since: _SinceOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the audit log: every verdict of the gate, every call, and who decided.

    It is read from the journals. With --json, a line for each entry.
    """
    with reported():
        chosen = settings(store)
        wanted = {"agent": agent, "tool": tool, "verdict": verdict, "event": event}
        raise typer.Exit(asyncio.run(_show(chosen, run, since, wanted, as_json=as_json)))


async def _show(
    chosen: Settings, run: str | None, since: str | None, wanted: dict[str, str | None], *, as_json: bool
) -> Code:
    from podium.core.audit import canonical

    from .screen import write

    shown = 0
    async with chosen.existing() as app:
        run_id = await _run_id(app.store, run)
        async for entry in app.audit.show(run_id, since=_since(since), **wanted):
            shown += 1
            if as_json:
                sys.stdout.write(canonical(entry).decode("utf-8", "replace") + "\n")
            else:
                write([_line(entry)])
    if not shown and not as_json:
        sys.stderr.write("no entry fits: `podium audit show` without options shows all\n")
    return Code.OK


def _line(entry: AuditEntry) -> Line:
    from .words import inline, local, visible

    what = entry.verdict or entry.status or entry.why
    style = _COLOURS.get(entry.verdict) or ("red" if entry.success is False else "")
    facts: list[str] = []
    if entry.duration_ms is not None:
        facts.append(f"{entry.duration_ms:g} ms")
    facts += [f"attempt {entry.attempt}"] if entry.attempt > 1 and entry.event != "run.resumed" else []
    facts += [f"by {entry.by}"] if entry.by and entry.event == "decision" else []
    facts += [f"rule {entry.rule}"] if entry.rule else []
    facts += [f"${entry.cost}"] if entry.cost not in (None, "0") else []
    facts += [entry.error or entry.text] if entry.error or entry.text else []
    args = "" if entry.args is None else inline(entry.args, 120)
    who = f"{entry.agent}: " if entry.agent and entry.agent != entry.name else ""
    return [
        (f"{local(entry.at)} ", "dim"),
        (f"{entry.run} ", "dim"),
        (f"{entry.event:<13} ", "bold"),
        (f"{what:<8} ", style),
        (f"{visible(who)}{visible(entry.name)} {args}".rstrip() + ("  " if facts else ""), ""),
        (visible(", ".join(facts)), "dim"),
    ]


# ------------------------------------------------------------------------------------------------------------ verify


def verify(
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="An exported log; without one, the store.", show_default=False),
    ] = None,
    anchor: Annotated[
        str | None, typer.Option("--anchor", metavar="LINE", help="A line that `podium audit anchor` printed before.")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that nothing was changed, taken out, put in, exchanged or cut off. Exits with 1 if something was.

    Without the audit key (PODIUM_AUDIT_KEY, or .podium/audit.key beside the store) chains are checked, and signatures
    are not.
    """
    with reported():
        if file is not None and anchor is not None:
            raise typer.BadParameter("--anchor is of a store: give it without a file")
        chosen = settings(store)
        report = _verify_file(chosen, file) if file is not None else asyncio.run(_verify(chosen, anchor))
        _report(report, f"file {file}" if file is not None else str(chosen.config.store), as_json=as_json)
        raise typer.Exit(Code.OK if report.ok else Code.FAILED)


def _verify_file(chosen: Settings, file: str) -> AuditReport:
    from podium.app.audit import store_file, verify_file
    from podium.app.audit_key import AuditKey

    beside = store_file(chosen.config.store)
    key = AuditKey(beside)
    usable = (beside is not None or os.environ.get("PODIUM_AUDIT_KEY")) and not key.hidden()
    return verify_file(file, key.known() if usable else None)


async def _verify(chosen: Settings, anchor: str | None) -> AuditReport:
    from podium.app.audit import AuditReport
    from podium.core.proof import Finding

    try:
        async with chosen.existing() as app:
            return await app.audit.verify(anchor=anchor)
    except StoreCorrupt as error:
        return AuditReport(False, 0, 0, (Finding("unreadable", "store", str(error)),), 0, 0.0, 1)


def _report(report: AuditReport, what: str, *, as_json: bool) -> None:
    from .screen import write
    from .words import count, local, visible

    if as_json:
        from . import documents

        documents.write(msgspec.to_builtins(report))
        return
    lines: list[Line] = [
        [(f"{each.what:<10} ", "red"), (visible(f"{each.where}: {each.detail}"), "")] for each in report.findings
    ]
    if report.found > len(report.findings):
        lines.append([(f"and {report.found - len(report.findings):,} more", "red")])
    looked = f"{count(report.entries, 'record' if report.runs or report.anchors else 'entry')}"
    if report.runs or report.anchors:
        looked += f" of {count(report.runs, 'run')}, {count(report.anchors, 'anchor')}"
    verdict = ("ok", "green") if report.ok else (count(report.found, "finding"), "red")
    lines.append(
        [verdict, (f"  {looked.replace('entrys', 'entries')} in {report.seconds:.1f} s  ", ""), (visible(what), "dim")]
    )
    if report.erased:
        when = "" if report.erased_at is None else f", the last on {local(report.erased_at)}"
        lines.append([(f"{count(report.erased, 'payload')} erased{when}", "dim")])
    if report.unchained:
        lines.append([(f"{count(report.unchained, 'record')} from before the chain began: not checked", "yellow")])
    if not report.signed and not any(each.what == "signature" for each in report.findings):
        why = "there is no audit key here" if report.ok else "without a key that fits"
        lines.append([(f"signatures were not checked: {why}, or nothing is signed", "yellow")])
    write(lines)


# ------------------------------------------------------------------------------------------- export, anchor, erase


def export(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to write.", show_default=False)],
    run: _RunOption = None,
    since: _SinceOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the audit log as chained, signed lines of JSON, which `podium audit verify FILE` proves anywhere."""
    with reported():
        raise typer.Exit(asyncio.run(_export(settings(store), file, run, since, as_json=as_json)))


async def _export(chosen: Settings, file: str, run: str | None, since: str | None, *, as_json: bool) -> Code:
    from .words import count

    async with chosen.existing() as app:
        done = await app.audit.export(Path(file), run=await _run_id(app.store, run), since=_since(since))
    text = f"{count(done.entries, 'entry').replace('entrys', 'entries')} of {count(done.runs, 'run')} in {done.path}"
    _tell(msgspec.to_builtins(done), text, as_json=as_json)
    return Code.OK


def anchor(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Anchor all runs now, and print a line to keep elsewhere.

    With that line, `podium audit verify --anchor LINE` proves that nothing before it was cut off, even by somebody who
    may write the store and read the key.
    """
    with reported():
        raise typer.Exit(asyncio.run(_anchor(settings(store), as_json=as_json)))


async def _anchor(chosen: Settings, *, as_json: bool) -> Code:
    async with chosen.existing() as app:
        made = await app.audit.anchor()
    if made is None:
        raise ConfigurationError("there is nothing to anchor yet: `podium run TARGET` makes a run")
    _tell({"number": made.number, "at": made.at, "line": made.line}, made.line, as_json=as_json)
    return Code.OK


def erase(
    run: RunArgument,
    step: Annotated[
        str | None, typer.Option("--step", metavar="KEY", help="Only this step, with everything inside it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    by: Annotated[
        str | None,
        typer.Option("--as", "--by", metavar="NAME", help="Who erases, for the record; the user of this machine."),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Erase what a run that is over was given and produced. What it did, when and under which rule stays provable.

    There is no way back. Session messages, child runs and forks are separate, and stay.
    """
    with reported():
        raise typer.Exit(asyncio.run(_erase(settings(store), run, step, by or _who(), yes=yes, as_json=as_json)))


async def _erase(chosen: Settings, run: str, step: str | None, by: str, *, yes: bool, as_json: bool) -> Code:
    from .words import count

    async with chosen.existing() as app:
        run_id = await _run_id(app.store, run) or run
        if not yes:
            if not sys.stdin.isatty():
                raise ConfigurationError("there is no way back from this: say --yes to erase without being asked")
            typer.confirm(f"Erase the payloads of {step or run_id}? There is no way back", abort=True, err=True)
        done = await app.audit.erase(run_id, step=step, by=by)
    text = f"{count(done.values, 'payload')} of {done.run} erased\n{done.anchor}"
    _tell(msgspec.to_builtins(done), text, as_json=as_json)
    return Code.OK


def _who() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


async def _run_id(store: Any, name: str | None) -> str | None:
    from .find import run_named

    return None if name is None else (await run_named(store, name)).id


def _since(text: str | None) -> float | None:
    import datetime

    from .costs import since_of

    return None if text is None else since_of(text, datetime.datetime.now(datetime.UTC))


def _tell(document: object, text: str, *, as_json: bool) -> None:
    if as_json:
        from . import documents

        documents.write(document)
    else:
        sys.stdout.write(text + "\n")
