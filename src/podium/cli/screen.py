"""Writing to people: styled by rich on a terminal, plain anywhere else. No markup is interpreted, ever.

Results go to stdout, everything said about them to stderr. What comes from models and tools is written to a terminal
without the characters that could command it; a pipe gets it as it is.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import Any, TextIO, cast

import msgspec

from podium.core import keys
from podium.core.budgets import Charge
from podium.core.money import dollars
from podium.core.records import Status
from podium.core.redaction import REDACTED
from podium.core.state import History
from podium.core.usage import FREE
from podium.runtime.results import Pending, RunResult

from . import documents
from .options import Settings
from .tree import Line
from .words import clip, count, inline, local, money, seconds, tokens, visible


def is_terminal(file: TextIO) -> bool:
    """Whether `file` is a terminal that can be drawn on."""
    return file.isatty() and os.environ.get("TERM", "") != "dumb"


def write(lines: Iterable[Line], file: TextIO | None = None) -> None:
    """Write lines to `file` (stdout by default), in colour when it is a terminal that wants colour."""
    out: TextIO = sys.stdout if file is None else file
    if not is_terminal(out):
        out.writelines("".join(text for text, _ in line).rstrip() + "\n" for line in lines)
        out.flush()
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=out, highlight=False, markup=False, emoji=False)
    for line in lines:
        console.print(Text.assemble(*line), soft_wrap=True)


def table(
    rows: Sequence[Sequence[str]],
    *,
    style: Callable[[int, str], str] = lambda column, cell: "",
    right: frozenset[int] = frozenset(),
    file: TextIO | None = None,
) -> None:
    """Write rows in columns, the first as their heads; the columns `right` are flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines: list[Line] = []
    for index, row in enumerate(rows):
        line: Line = []
        for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
            shown = cell.rjust(width) if column in right else cell.ljust(width)
            line.append((shown + "  ", "bold" if index == 0 else style(column, cell)))
        lines.append(line)
    write(lines, file)


def telling(rows: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Rows for `table` without the columns in which no line tells anything."""
    kept = [column for column in range(len(rows[0])) if any(row[column] for row in rows[1:])]
    return [tuple(row[column] for column in kept) for row in rows]


def answer(value: object) -> None:
    """Print an output on stdout: text as it is, anything else as JSON."""
    if value is None:
        return
    plain = documents.plain(value)
    text = plain if isinstance(plain, str) else msgspec.json.format(msgspec.json.encode(plain), indent=2).decode()
    if sys.stdout.isatty():
        text = visible(text.replace("\r\n", "\n"), lines=True)
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def outcome(result: RunResult[Any], settings: Settings, *, quiet: bool = False) -> None:
    """Print what a drive came to: the output on stdout; why there is none, or what is waited for, on stderr."""
    answer(result.output)
    if result.status is Status.SUSPENDED:
        write(
            [[(f"run {result.run_id} is suspended", "bold")], *waits(result.run_id, result.pending, settings)],
            sys.stderr,
        )
        return
    if result.status is Status.CANCELLED:
        write([[(f"podium: run {result.run_id} was cancelled", "")]], sys.stderr)
    elif result.error is not None:
        name = f"run {result.run_id} {result.status}"
        write([[("podium: ", "bold"), (f"{name}: {inline(str(result.error))}", "red")]], sys.stderr)
        why = visible(settings.command("show", result.run_id))
        write([[(f"        see what it did: {why}", "dim")], *exhausted(result, settings)], sys.stderr)
    if is_terminal(sys.stderr) and not quiet:
        write([[(summary(result), "dim")]], sys.stderr)


def exhausted(result: RunResult[Any], settings: Settings) -> list[Line]:
    """How to go on after a budget refused a call; nothing for runs that ended otherwise."""
    if result.status not in {Status.EXHAUSTED, Status.FAILED}:
        return []
    ended = [(step.key, step.ended) for step in result.history.steps.values() if step.ended is not None]
    key, refused = next(((key, end.error) for key, end in ended if end.rule == "budget"), ("", None))
    if refused is None:
        return []
    scope, unit = str(refused.data.get("scope", "")), str(refused.data.get("unit", ""))
    fork = ["fork", result.run_id, "--at", key]
    if scope == f"run:{result.run_id}":
        started = result.history.facts.started
        charges = () if started is None else started.charges
        given = next((charge for charge in charges if charge.scope == scope), None)
        fork += [] if given is None else ["--budget", _enough(given, unit, str(refused.data.get("asked", "0")))]
        said = "        what it did is kept; go on with as much again (or more):"
    else:
        limit = scope.rpartition("/")[0] if "/" in scope else scope
        said = f"        what it did is kept; raise the budget {visible(limit)!r} in podium.toml, then go on:"
    return [[(said, "")], [("        " + visible(settings.command(*fork)), "cyan")]]


def _enough(charge: Charge, unit: str, asked: str) -> str:
    """The limits of a charge as `--budget` takes them; that of `unit` at least what was asked."""
    limits: list[str] = []
    if charge.usd is not None:
        limit = max(dollars(charge.usd), Decimal(asked) if unit == "usd" else FREE)
        limits.append(f"{limit.quantize(Decimal('0.01'), ROUND_CEILING):f}")
    for name, given in (("tokens", charge.tokens), ("calls", charge.calls)):
        if given is not None:
            limits.append(f"{max(given, int(asked) if unit == name else 0)}{name}")
    return ",".join(limits)


def summary(result: RunResult[Any]) -> str:
    """One line: the run, how it stands, time, money and tokens."""
    spent = tokens(result.usage)
    steps = count(len(result.history.steps), "step")
    cost = money(result.cost, result.unpriced)
    if result.uncertain_cost:
        cost += f" + {money(result.uncertain_cost)} uncertain"
    parts = [seconds(result.duration), cost, steps, *([spent] if spent else [])]
    return f"{result.run_id} {result.status}: {', '.join(parts)}"


def waits(run_id: str, pending: Iterable[Pending], settings: Settings) -> list[Line]:
    """What a run waits for, each with the exact commands that let it go on."""
    lines: list[Line] = []
    for item in pending:
        lines += [[("  waits for ", ""), (_what(item), "bold")], *_prompt(item)]
        lines += [[("    " + visible(command), "cyan")] for command in commands(run_id, item, settings)]
    return lines


def _what(item: Pending) -> str:
    until = f" (until {local(item.due)})" if item.due is not None else ""
    if item.why == "approval":
        return f"approval {item.request}: {_call(item)}{until}"
    if item.why == "review":
        return f"a review {item.request}: {visible(clip(_json(item.output), 400))}{until}"
    if item.why == "in_doubt":
        return f"a decision {item.request}: nobody knows whether {_call(item)} happened{until}"
    if item.why == "ask":
        return f"an answer {item.request}{until}"
    if item.why == "sleep":
        return f"a timer: {local(item.due)}" if item.due is not None else "a timer"
    return visible(item.prompt) + until


def _call(item: Pending) -> str:
    args = cast("dict[str, Any]", item.args) if isinstance(item.args, dict) else {}
    shown = ", ".join(f"{name}={clip(_json(value), 60)}" for name, value in args.items())
    return visible(f"{item.tool or keys.split(item.key)[-1][0]}({shown})")


def _json(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _prompt(item: Pending) -> list[Line]:
    if item.why not in {"ask", "approval", "review", "in_doubt"} or not item.prompt:
        return []
    lines: list[Line] = [[("    " + visible(item.prompt), "")]]
    if item.rule:
        lines.append([("    held by " + visible(item.rule), "dim")])
    if at_risk := risk(item):
        lines.append([("    " + visible(at_risk), "bold red")])
    if item.why == "ask" and item.choices:
        lines.append([("    one of: " + ", ".join(visible(choice) for choice in item.choices), "")])
    if item.roles:
        lines.append([("    for: " + ", ".join(visible(role) for role in item.roles), "")])
    if item.apart:
        lines.append([("    not for " + visible(item.principal) + ", who is behind the run", "")])
    return lines


def risk(item: Pending) -> str:
    """What speaks for a closer look, or nothing."""
    parts = [f"after untrusted text{' from ' + ', '.join(item.sources) if item.sources else ''}"] * item.untrusted
    parts += [f"after {kind}" for kind in item.kinds]
    return "; ".join(parts)


def commands(run_id: str, item: Pending, settings: Settings) -> list[str]:
    """Command lines that let a run go on, ready to be typed."""
    role = ["--role", item.roles[0]] if item.roles else []
    other = ["--as", "NAME"] if item.apart else []

    def line(*words: str) -> str:
        return settings.command(*words, *(other if words[0] == "approve" else ()), *role)

    if item.why == "approval":
        args = _json(item.args)
        # What was redacted cannot be handed back: the call would be made with the mark in place of the secret.
        edited = [] if REDACTED in args else [line("approve", run_id, item.request, "--args", args)]
        return [
            line("approve", run_id, item.request),
            *edited,
            line("reject", run_id, item.request, "--message", "why not"),
        ]
    if item.why == "review":
        feedback = [line("answer", run_id, item.request, "what to do better")] if "feedback" in item.choices else []
        return [
            line("approve", run_id, item.request),
            *feedback,
            line("reject", run_id, item.request, "--message", "why not"),
        ]
    if item.why == "in_doubt":
        return [
            line("answer", run_id, item.request, "happened", "--result", "null"),
            line("answer", run_id, item.request, "not_happened"),
            line("answer", run_id, item.request, "abort"),
        ]
    if item.why == "ask":
        values = item.choices[:4] or ("your answer",)
        return [line("answer", run_id, item.request, value) for value in values]
    if item.why == "signal":
        return [settings.command("signal", run_id, keys.split(item.key)[-1][0])]
    if item.why == "child":
        return [settings.command("show", item.request)]
    return [settings.command("resume", run_id)]


def resume_command(run_id: str, settings: Settings) -> str:
    """The line said after Ctrl-C."""
    return f"interrupted; go on with: {settings.command('resume', run_id)}"


def describe(history: History) -> str:
    """A short phrase for the live tree: what the run has come to."""
    facts = history.facts
    parts = [
        money(facts.cost + facts.uncertain, facts.unpriced),
        *([tokens(facts.usage)] if tokens(facts.usage) else []),
    ]
    return ", ".join(parts)
