"""`podium tools`: which tools a team's agents have, how tools do, and what they cost."""

from __future__ import annotations

import asyncio
import datetime
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from .costs import since_of
from .exits import Code, reported
from .options import MONEY, JsonOption, Settings, StoreOption, example, settings

if TYPE_CHECKING:
    from podium.ports import Tool
    from podium.tools.registry import ToolRow
    from podium.tools.statistics import ToolCost, ToolStats

SinceOption = Annotated[
    str | None,
    typer.Option("--since", metavar="WHEN", help="From this day (UTC) on: 2026-11-21, today, yesterday, 7d, 24h."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(invoke_without_command=True)
    group.callback()(_group)
    for command, function, line in (
        ("list", list_, "podium tools list team.toml"),
        ("stats", stats, "podium tools stats --since 7d"),
        ("report", report, "podium tools report --since today"),
    ):
        group.command(command, epilog=example(line, f"{line} --json"))(function)
    app.add_typer(
        group,
        name="tools",
        rich_help_panel=MONEY,
        help="Show the tools of agents: what they declare, how they do, what they cost.",
        epilog=example("podium tools list team.toml", "podium tools stats --json"),
    )


def _group(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


def list_(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[TARGET]",
            help="Where the member is, as for `podium run`; without it, the tools of MCP servers are listed.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the tools that the agents of a team have, with what they declare; with --json, their schemas too.

    Agents that only the code of a function knows are not found. MCP servers of podium.toml whose tools they name are
    asked. Without TARGET, the tools of all these servers are listed.
    """
    with reported():
        from podium import targets

        from .held import names_of, tools_of
        from .servers import add_named

        if target is None:
            raise typer.Exit(_servers(as_json=as_json))
        member = targets.load(target)
        held = tools_of(member)
        if names := names_of(member):
            add_named(held, names, settings().config)
        users = {agent: tools for agent, tools in held.items() if tools}
        if as_json:
            _write_document(users)
        elif users:
            _write_list(users)
        else:
            names = ", ".join(held) or "none"
            sys.stderr.write(f"no agent of {target} has a tool (members found: {names})\n")
        raise typer.Exit(Code.OK)


def _servers(*, as_json: bool) -> Code:
    """The tools of the servers that are configured. Those that do not answer are told of, and keep nobody."""
    from podium.core.errors import ConfigurationError

    from . import documents
    from .servers import document, reached

    config = settings().config
    if not config.mcp:
        raise ConfigurationError(
            "no MCP server is configured ([mcp.servers.NAME] in podium.toml): name a TARGET to list its agents' tools"
        )
    found = reached(config.mcp)
    if as_json:
        documents.write(document(found, _told))
        return Code.OK
    if found.tools:
        _write_list({"": dict(found.tools)})
    for state in found.states:
        for name, why in state.skipped.items():
            sys.stderr.write(f"MCP server {state.name!r}: {name} is left out: {why}\n")
        if state.error:
            sys.stderr.write(f"{state.error}\n")
    return Code.OK


def stats(
    since: SinceOption = None,
    agent: Annotated[str | None, typer.Option("--agent", metavar="NAME", help="Only what this agent called.")] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how often tools were executed, how many failed, how long they took, and what the cache answered.

    Times are read from a sketch: they are right within 10 %.
    """
    with reported():
        began = since_of(since, datetime.datetime.now(datetime.UTC))
        found = asyncio.run(_stats(settings(store), began, agent))
        _show(found, began, "stats", _stats_cells, as_json=as_json)


def report(since: SinceOption = None, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Show what tools cost, dearest first: executions, the sum, the average, and what the cache saved."""
    with reported():
        began = since_of(since, datetime.datetime.now(datetime.UTC))
        found = asyncio.run(_report(settings(store), began))
        _show(found, began, "report", _cost_cells, as_json=as_json)


async def _stats(chosen: Settings, since: float, agent: str | None) -> dict[str, ToolStats]:
    if not chosen.has_store():
        return {}
    async with chosen.app() as app:
        return await app.tools.get_tool_stats(since=since, agent=agent)


async def _report(chosen: Settings, since: float) -> dict[str, ToolCost]:
    if not chosen.has_store():
        return {}
    async with chosen.app() as app:
        return await app.tools.get_tool_cost_report(since=since)


# ------------------------------------------------------------------------------------------------------------ written


def _rows(tools: Iterable[Tool]) -> list[ToolRow]:
    from podium.tools.registry import row_of

    return [row_of(tool) for tool in tools]


def _write_document(users: dict[str, dict[str, Tool]]) -> None:
    from . import documents

    documents.write(
        [{"agent": agent, "tools": [_told(tool) for tool in held.values()]} for agent, held in users.items()]
    )


def _told(tool: Tool) -> dict[str, Any]:
    from .servers import server_of

    [row] = _rows([tool])
    schema = {"parameters": tool.spec.parameters, "returns": tool.spec.returns}
    own = {"timeout": tool.timeout, "retries": tool.retries, "server": server_of(tool)}
    return {**msgspec.to_builtins(row), **own, **schema}


def _write_list(users: dict[str, dict[str, Tool]]) -> None:
    from .screen import table, telling
    from .servers import server_of
    from .words import visible

    heads = ("AGENT", "SERVER", "TOOL", "VERSION", "EFFECT", "REACH", "NETWORK", "COST", "TAGS", "DESCRIPTION")
    lines = [
        (
            visible(agent),
            visible(server_of(tool)),
            visible(tool.name),
            visible(row.version),
            row.effect if row.declared else f"{row.effect} (undeclared)",
            row.reach,
            "yes" if row.requires_network else "",
            "" if row.cost == "0" else f"${row.cost}",
            visible(", ".join(dict.fromkeys((*row.tags, *row.capabilities)))),
            visible(row.description.split("\n", 1)[0]),
        )
        for agent, held in users.items()
        for tool, row in zip(held.values(), _rows(held.values()), strict=True)
    ]
    table(telling([heads, *lines]))


def _show(found: dict[str, Any], since: float, what: str, cells: Any, *, as_json: bool) -> None:
    if as_json:
        from . import documents

        rows = [{"tool": name, **_plain(value)} for name, value in found.items()]
        documents.write({"since": since, what: rows})
        return
    from .screen import table, telling, write

    if since:
        day = datetime.datetime.fromtimestamp(since, datetime.UTC)
        write([[(f"since {day:%Y-%m-%d} 00:00 UTC", "dim")]])
    if not found:
        sys.stderr.write("no tool was used yet: `podium run TARGET` makes a run, --store names another store\n")
        return
    rows = telling([cells(None), *(cells(item) for item in found.items())])
    table(rows, right=frozenset(range(1, len(rows[0]))))


def _plain(value: msgspec.Struct) -> dict[str, Any]:
    """Money as decimal texts."""
    return msgspec.to_builtins(value, enc_hook=str)


def _stats_cells(item: tuple[str, ToolStats] | None) -> tuple[str, ...]:
    from .words import money, seconds, visible

    if item is None:
        return ("TOOL", "EXECUTIONS", "FAILED", "SUCCESS", "P50", "P95", "HITS", "HIT RATE", "AVG COST")
    name, one = item
    return (
        visible(name),
        f"{one.executions:,}",
        f"{one.failures:,}" if one.failures else "",
        "" if one.success_rate is None else f"{one.success_rate:.1%}",
        "" if one.p50_ms is None else seconds(one.p50_ms / 1000),
        "" if one.p95_ms is None else seconds(one.p95_ms / 1000),
        f"{one.hits:,}" if one.hits else "",
        f"{one.hit_rate:.1%}" if one.hits and one.hit_rate is not None else "",
        money(one.avg_cost) if one.avg_cost else "",
    )


def _cost_cells(item: tuple[str, ToolCost] | None) -> tuple[str, ...]:
    from .words import money, visible

    if item is None:
        return ("TOOL", "EXECUTIONS", "TOTAL", "AVG", "HITS", "SAVED", "UNCERTAIN")
    name, one = item
    return (
        visible(name),
        f"{one.executions:,}",
        money(one.total_cost),
        money(one.avg_cost),
        f"{one.hits:,}" if one.hits else "",
        money(one.saved) if one.saved else "",
        money(one.uncertain) if one.uncertain else "",
    )
