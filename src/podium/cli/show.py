"""`podium show`: a run as a tree of steps, one of its steps in full, or its raw records."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from .exits import Code, reported
from .options import RUNS, JsonOption, RunArgument, Settings, StoreOption, example, settings

if TYPE_CHECKING:
    from podium.app import Podium
    from podium.ports import RunRow
    from podium.runtime.results import RunResult

    from .requests import Shown
    from .standing import Standing
    from .tree import Line

_INDENT = "  "


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "show",
        rich_help_panel=RUNS,
        epilog=example("podium show last", "podium show last --step support.1/turn.1/model.1"),
    )(show)


def show(
    run: RunArgument,
    step: Annotated[
        str | None, typer.Option("--step", metavar="KEY", help="One step: the request and the receipt.")
    ] = None,
    records: Annotated[bool, typer.Option("--records", help="The records of the journal as they are.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a run did: its steps with time, cost and tokens, what came of it, and what it waits for."""
    with reported():
        if step is not None and records:
            raise typer.BadParameter("give --step or --records, not both")
        raise typer.Exit(asyncio.run(_show(settings(store), run, step, records=records, as_json=as_json)))


async def _show(chosen: Settings, name: str, step: str | None, *, records: bool, as_json: bool) -> Code:
    from . import documents, requests
    from .find import run_named
    from .screen import write

    async with chosen.existing() as app:
        row = await run_named(app.store, name)
        if step is not None:
            shown = await requests.read(app.store, row.id, step)
            if as_json:
                documents.write(
                    {
                        "run_id": row.id,
                        "step": {**documents.readable(shown.view), **shown.paid},
                        "request": shown.request,
                        "receipt": shown.receipt,
                        "missing": list(shown.missing),
                    }
                )
            else:
                write(_step_lines(shown))
        elif records:
            await _records(app, row, as_json=as_json)
        else:
            await _overview(app, row, chosen, as_json=as_json)
    return Code.OK


async def _records(app: Podium, row: RunRow, *, as_json: bool) -> None:
    from . import documents
    from .screen import write

    told = [documents.event(seq, record) for seq, record in enumerate(await app.store.read(row.id), 1)]
    if as_json:
        documents.write(told)
        return
    lines: list[Line] = []
    for each in told:
        lines.append([(f"{each.pop('seq')} ", "dim"), (str(each.pop("type")), "bold")])
        lines += [_field(name, value, 1) for name, value in each.items() if value not in (None, "", [], {}, 0)]
    write(lines)


async def _overview(app: Podium, row: RunRow, chosen: Settings, *, as_json: bool) -> None:
    from . import documents
    from .attempts import Attempts
    from .screen import waits, write
    from .standing import INTERRUPTED, standing
    from .tree import grow, lines

    result = await _result(app, row)
    each = await standing(app.store, row, app.clock.time())
    if as_json:
        documents.write(
            {
                **documents.row(each),
                **documents.beginning(result.history),
                **documents.outcome(result),
                "steps": documents.steps(result),
            }
        )
        return
    now = app.clock.time()
    drawn = lines(grow(result.history, Attempts(result.records)), now=now if each.driven else None)
    waiting = waits(row.id, result.pending, chosen)
    if each.state == INTERRUPTED:
        waiting = [
            [("  nobody drives it; it goes on with:", "")],
            [("    " + chosen.command("resume", row.id), "cyan")],
        ]
    write([*_head(each, result, now), [], *drawn, *([[], *waiting] if waiting else [])])


async def _result(app: Podium, row: RunRow) -> RunResult[Any]:
    """The run as its journal has it now, whatever its state. Reads only; no member is needed."""
    from podium.core.codec import decode
    from podium.core.errors import Erased
    from podium.core.records import decode_frame
    from podium.core.state import fold
    from podium.runtime.results import RunResult

    frames = await app.store.frames(row.id)
    records = [record for frame in frames for record in decode_frame(frame)]
    history = fold(records)
    root = next(iter(history.steps.values()), None)
    output: Any = None
    if root is not None and root.ended is not None:
        try:
            output = decode(await app.store.blob(root.ended.blob) if root.ended.blob else root.ended.value)
        except Erased:
            output = "[erased]"
    error = history.finished.error if history.finished is not None else None
    duration = max(0.0, records[-1].at - records[0].at) if records else 0.0
    return RunResult(row.id, row.status, output, history.facts, frames, error=error, duration=duration)


def _head(each: Standing, result: RunResult[Any], now: float) -> list[Line]:
    from .words import ago, inline, local, money, seconds, tokens, visible

    row = each.row
    facts = [f"started {local(row.created)} ({ago(now - row.created)})", seconds(result.duration)]
    facts += [money(result.cost, result.unpriced), *([tokens(result.usage)] if tokens(result.usage) else [])]
    if result.uncertain_cost:
        facts.append(f"{money(result.uncertain_cost)} more may have been spent by attempts that were cut off")
    head: list[Line] = [
        [(row.id, "bold"), (f"  {visible(row.member)}  ", ""), (each.state, "bold")],
        [(", ".join(facts), "dim")],
    ]
    started = result.history.facts.started
    origin = "" if started is None or not started.forked_from else f"{started.forked_from} at {started.forked_at}"
    for name, value in (
        ("target", row.target),
        ("session", row.session),
        ("parent", row.parent),
        ("forked from", origin),
        ("input", "" if started is None or not started.input else _decoded(bytes(started.input))),
        ("output", result.output),
        ("error", "" if result.error is None else str(result.error)),
    ):
        if value not in (None, ""):
            head.append([(f"{name:<8} ", "dim"), (inline(value, 400), "red" if name == "error" else "")])
    return head


def _decoded(data: bytes) -> Any:
    from podium.core.codec import readable

    return readable(msgspec.Raw(data))


# --------------------------------------------------------------------------------------------------------- one step


def _step_lines(shown: Shown) -> list[Line]:
    from .words import seconds, visible

    view = shown.view
    duration = f", {seconds(view.duration)}" if view.duration is not None else ""
    lines: list[Line] = [[(visible(view.key), "bold"), (f"  {view.kind}  {view.status}{duration}", "")]]
    lines += [[], [("request", "bold")]]
    for name, value in shown.request.items():
        if name == "messages":
            for message in value:
                lines += _message_lines(message)
        elif name == "tools":
            lines += [
                [(f"{_INDENT}tools       ", "dim"), (", ".join(visible(str(tool["name"])) for tool in value), "")]
            ]
        elif value not in (None, {}, []):
            lines.append(_field(name, value, 1))
    lines += [[], [("receipt", "bold")]]
    if shown.receipt is None:
        lines.append([(f"{_INDENT}the step is not over", "dim")])
    for name, value in (shown.receipt or {}).items():
        if name == "value" and view.kind == "model" and isinstance(value, dict):
            lines += _message_lines(value["message"])  # pyright: ignore[reportUnknownArgumentType]  (made by requests)
        elif value not in (None, "", False, {}):
            lines.append(_field(name, value, 1))
    lines += _attempt_lines(shown)
    lines += [[(f"not shown: {visible(what)}", "yellow")] for what in shown.missing]
    return lines


def _attempt_lines(shown: Shown) -> list[Line]:
    """What was tried before, and what is held or may have been spent."""
    from .words import money, visible

    paid = shown.paid
    held = [(name, Decimal(paid[name])) for name in ("reserved", "uncertain")]
    lines = [_field(name, money(amount), 1) for name, amount in held if amount]
    if paid["attempts"]:
        lines += [[], [("failed attempts", "bold")]]
    for attempt in paid["attempts"]:
        cost, uncertain = attempt["cost"], Decimal(attempt["uncertain"] or "0")
        said = f"{money(uncertain)} uncertain" if uncertain else "unpriced" if cost is None else money(Decimal(cost))
        lines.append(
            [
                (f"{_INDENT}{attempt['number']}  {visible(attempt['name'])}, {said}  ", ""),
                (visible(attempt["error"]), "red"),
            ]
        )
    return lines


def _message_lines(message: dict[str, Any]) -> list[Line]:
    from .words import inline, visible

    lines: list[Line] = [[(f"{_INDENT}{message['role']}", "cyan")]]
    for part in message["parts"]:
        kind = part["type"]
        if kind in {"text", "thinking"}:
            text = visible(part["text"].replace("\r\n", "\n"), lines=True)
            lines += [[(f"{_INDENT * 2}{line}", "dim" if kind == "thinking" else "")] for line in text.split("\n")]
        elif kind == "call":
            lines.append([(f"{_INDENT * 2}calls {visible(part['name'])}({inline(part.get('args', {}))})", "")])
        elif kind == "result":
            failed = " failed" if part.get("is_error") else ""
            lines.append([(f"{_INDENT * 2}{visible(part['name'])}{failed}: {inline(part['content'])}", "")])
        else:
            lines.append([(f"{_INDENT * 2}{inline(part)}", "dim")])
    return lines


def _field(name: str, value: Any, depth: int) -> Line:
    from .words import visible

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return [(f"{_INDENT * depth}{name:<12}", "dim"), (visible(text), "")]
