"""`podium model`: the models chosen for agents in place of what their code says, by version, and back again."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from .exits import Code, reported, say
from .options import MONEY, JsonOption, Settings, StoreOption, example, settings

if TYPE_CHECKING:
    from podium.app import Podium
    from podium.app.choices import ChoiceVersion
    from podium.core import messages

T = TypeVar("T")

_HEADS = ("AGENT", "VERSION", "MODEL", "SETTINGS", "SINCE", "BY", "NOTE")
AgentArgument = Annotated[str, typer.Argument(metavar="AGENT", help="The name of an agent.", show_default=False)]
ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="Who says so; the user of this machine if none.")]
NoteOption = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why, for the history.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(invoke_without_command=True)
    group.callback()(_group)
    for command, function, line in (
        ("list", list_, "podium model list"),
        ("set", set_, 'podium model set support "anthropic:claude-sonnet-5-5 | openai:gpt-6-sol" --note "cheaper"'),
        ("history", history, "podium model history support"),
        ("rollback", rollback, "podium model rollback support --to 2"),
        ("clear", clear, "podium model clear support"),
    ):
        group.command(command, epilog=example(line, f"{line} --json"))(function)
    app.add_typer(
        group,
        name="model",
        rich_help_panel=MONEY,
        help="Change the model of an agent without changing code; every change is a version to go back to.",
        epilog=example("podium model set support openai:gpt-6-sol", "podium model list --json"),
    )


def _group(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


def list_(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the agents whose model was chosen, with what is in force."""
    with reported():
        every = asyncio.run(_in(settings(store), lambda app: app.choices.history(), else_=[]))
        newest = {version.agent: version for version in every}
        _write(newest.values(), as_json=as_json)


def set_(
    agent: AgentArgument,
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A model by name; several with | are asked in order.", show_default=False),
    ],
    given: Annotated[
        str | None,
        typer.Option("--settings", metavar="JSON", help='How it is asked, e.g. {"reasoning_effort": "low"}.'),
    ] = None,
    by: ByOption = "",
    note: NoteOption = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a model in force for an agent, in place of what its code says.

    Runs that have called the agent keep the model they began with; `podium resume RUN --upgrade` takes the new one.
    Without --settings those of the code stay.
    """
    with reported():
        chosen = settings(store)
        asked = _settings(given)
        version = asyncio.run(_in(chosen, lambda app: app.choices.set(agent, model, settings=asked, by=by, note=note)))
        _changed(version, as_json=as_json)


def history(agent: AgentArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List every version of an agent's model, oldest first; the last is in force."""
    with reported():
        versions = asyncio.run(_in(settings(store), lambda app: app.choices.history(agent), else_=[]))
        _write(versions, as_json=as_json)


def rollback(
    agent: AgentArgument,
    to: Annotated[
        int | None,
        typer.Option("--to", metavar="VERSION", help="The version to go back to; the one before the present, if none."),
    ] = None,
    by: ByOption = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put an earlier version in force again. Version 0 is what the agent's code says."""
    with reported():
        _changed(asyncio.run(_in(settings(store), lambda app: app.choices.rollback(agent, to, by=by))), as_json=as_json)


def clear(
    agent: AgentArgument,
    by: ByOption = "",
    note: NoteOption = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the agent's code decide again. The versions stay, to go back to."""
    with reported():
        version = asyncio.run(_in(settings(store), lambda app: app.choices.clear(agent, by=by, note=note)))
        _changed(version, as_json=as_json)


async def _in(chosen: Settings, ask: Callable[[Podium], Awaitable[T]], *, else_: T | None = None) -> T:
    """What `ask` says of the open app; `else_`, if it is given, when there is no store yet."""
    if else_ is not None and not chosen.has_store():
        return else_
    async with chosen.app() as app:
        return await ask(app)


def _settings(text: str | None) -> messages.Settings | None:
    if text is None:
        return None
    from podium.team_file import settings_of

    from .find import parsed

    return settings_of(parsed(text, "--settings"), "--settings")


# ------------------------------------------------------------------------------------------------------------ written


def document(version: ChoiceVersion) -> dict[str, Any]:
    """A version for `--json`. An empty model is what the agent's code says."""
    return {
        "agent": version.agent,
        "number": version.number,
        "model": version.model,
        "settings": _plain(version),
        "at": version.at,
        "by": version.by,
        "note": version.note,
    }


def _plain(version: ChoiceVersion) -> dict[str, Any] | None:
    from podium.core.codec import readable

    if version.settings is None:
        return None
    return {name: value for name, value in readable(version.settings).items() if value not in (None, [], {})}


def _changed(version: ChoiceVersion, *, as_json: bool) -> None:
    from .words import visible

    if as_json:
        from . import documents

        documents.write(document(version))
        raise typer.Exit(Code.OK)
    model = visible(version.model) or "the model that its code says"
    say(f"version {version.number}: {version.agent} uses {model} in runs that call it first from now on")


def _write(versions: Iterable[ChoiceVersion], *, as_json: bool) -> None:
    from . import documents
    from .screen import table
    from .words import inline, local, visible

    found = list(versions)
    if as_json:
        documents.write([document(version) for version in found])
    elif not found:
        sys.stderr.write("no model was chosen: `podium model set AGENT MODEL` chooses one\n")
    else:
        rows = [
            (
                visible(version.agent),
                str(version.number),
                visible(version.model) or "(as the code says)",
                inline(_plain(version), 60) if version.settings is not None else "",
                local(version.at),
                visible(version.by),
                visible(version.note),
            )
            for version in found
        ]
        table([_HEADS, *rows])
