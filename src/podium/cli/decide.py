"""`podium approve | reject | answer | signal | cancel`: the word a run waits for, after which it goes on here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, cast

import msgspec
import typer

from .exits import Code, reported, say
from .options import (
    PEOPLE,
    BaseUrlOption,
    JsonOption,
    ModelOption,
    QuietOption,
    RunArgument,
    Settings,
    StoreOption,
    TargetOption,
    example,
    principal,
    settings,
)

if TYPE_CHECKING:
    from podium.ports import Member
    from podium.runtime.desk import Desk

RequestArgument = Annotated[
    str | None,
    typer.Argument(metavar="[REQUEST]", help="Which request, when the run waits for several.", show_default=False),
]
ByOption = Annotated[str, typer.Option("--as", "--by", metavar="NAME", help="Who decides, for the record.")]
RoleOption = Annotated[
    list[str] | None, typer.Option("--role", metavar="ROLE", help="A role of whoever decides; may be repeated.")
]
NoResumeOption = Annotated[
    bool, typer.Option("--no-resume", help="Only leave the word; do not drive the run on in this process.")
]
NameArgument = Annotated[
    str, typer.Argument(metavar="RUN|REQUEST", help="A run, or a request alone.", show_default=False)
]
Word = Callable[["Desk", str, str | None, "Member | None"], Awaitable[None]]
"""Posts something to a run, given the desk, the run's id, the request that is meant, and the member if it was found."""


class Going(msgspec.Struct, frozen=True, kw_only=True):
    """How a command goes on once the word is posted."""

    settings: Settings
    target: str | None
    no_resume: bool
    as_json: bool
    quiet: bool
    edits: bool = False
    """Whether what is posted is checked against the member's tools and types first."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "approve",
        rich_help_panel=PEOPLE,
        epilog=example("podium approve", "podium approve 3f2a9c", "podium approve 3f2a9c --edit '{\"amount\": 20}'"),
    )(approve)
    app.command(
        "reject", rich_help_panel=PEOPLE, epilog=example('podium reject 3f2a9c --message "too much: offer half"')
    )(reject)
    app.command(
        "answer",
        rich_help_panel=PEOPLE,
        epilog=example("podium answer 3f2a9c blue", "podium answer last 3f2a9c happened --result '{\"id\": 7}'"),
    )(answer)
    app.command(
        "signal", rich_help_panel=PEOPLE, epilog=example("podium signal last paid --json-input '{\"sum\": 20}'")
    )(signal)
    app.command("cancel", rich_help_panel=PEOPLE, epilog=example("podium cancel last"))(cancel)


def approve(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[RUN|REQUEST]", help="A run, or a request alone; none lists what waits."),
    ] = None,
    request: RequestArgument = None,
    args: Annotated[
        str | None, typer.Option("--args", metavar="JSON", help="Other arguments for the call; they are checked again.")
    ] = None,
    edit: Annotated[
        str | None,
        typer.Option("--edit", metavar="JSON", help="Only what to change: arguments of a call, fields of an answer."),
    ] = None,
    by: ByOption = "local",
    role: RoleOption = None,
    no_resume: NoResumeOption = False,
    target: TargetOption = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Let a held call go on or accept an answer, as it is or edited, and drive the run on.

    Without a name it lists what waits for a person in all runs; `--role` keeps what this role may decide.
    """
    with reported():
        from podium.runtime.desk import SAME

        from .find import parsed
        from .inbox import listed

        if name is None:
            raise typer.Exit(asyncio.run(listed(settings(store), role, as_json=as_json)))
        if args is not None and edit is not None:
            raise typer.BadParameter("give --args (all of them) or --edit (those to change), not both")
        edited = None if args is None else _object(args, "--args")
        changes: Any = SAME if edit is None else parsed(edit, "--edit")
        who = principal(by, role)

        async def word(desk: Desk, run_id: str, found: str | None, member: Member | None) -> None:
            await desk.approve(run_id, found, args=edited, edit=changes, by=who, member=member)

        going = _going(store, model, base_url, target, no_resume, as_json, quiet)
        checked = args is not None or edit is not None
        _tell(name, word, msgspec.structs.replace(going, edits=checked), request=request)


def reject(
    name: NameArgument,
    request: RequestArgument = None,
    message: Annotated[
        str, typer.Option("--message", "-m", metavar="TEXT", help="Why; the agent reads it and may try otherwise.")
    ] = "",
    by: ByOption = "local",
    role: RoleOption = None,
    no_resume: NoResumeOption = False,
    target: TargetOption = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Refuse a held call, an answer under review or a question, and drive the run on."""
    with reported():
        who = principal(by, role)

        async def word(desk: Desk, run_id: str, found: str | None, _: Member | None) -> None:
            await desk.reject(run_id, found, message=message, by=who)

        _tell(name, word, _going(store, model, base_url, target, no_resume, as_json, quiet), request=request)


def answer(
    name: NameArgument,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[REQUEST] VALUE",
            help="The answer; before it, which request is meant when the run waits for several. A step in doubt is "
            "answered with happened, not_happened or abort, an answer under review with what to do better.",
            show_default=False,
        ),
    ],
    result: Annotated[
        str | None, typer.Option("--result", metavar="JSON", help="With happened: what the call returned.")
    ] = None,
    value_is_json: Annotated[bool, typer.Option("--value-json", help="VALUE is JSON, not text.")] = False,
    by: ByOption = "local",
    role: RoleOption = None,
    no_resume: NoResumeOption = False,
    target: TargetOption = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Answer a question, send an answer back with feedback, or say what came of a step in doubt; drive the run on."""
    with reported():
        from .find import parsed

        if len(words) > 2:
            raise typer.BadParameter("give one VALUE, in quotes if it has spaces, and before it at most a REQUEST")
        request = words[0] if len(words) == 2 else None
        value: Any = parsed(words[-1], "VALUE") if value_is_json else words[-1]
        outcome = None if result is None else parsed(result, "--result")
        who = principal(by, role)

        async def word(desk: Desk, run_id: str, found: str | None, _: Member | None) -> None:
            await desk.answer(run_id, found, value, result=outcome, by=who)

        _tell(name, word, _going(store, model, base_url, target, no_resume, as_json, quiet), request=request)


def signal(
    run: RunArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The signal's name.", show_default=False)],
    value: Annotated[str | None, typer.Argument(metavar="[VALUE]", help="Text to send.", show_default=False)] = None,
    json_input: Annotated[
        str | None, typer.Option("--json-input", metavar="JSON", help="A value to send, as JSON, instead of text.")
    ] = None,
    once: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Sending with the same id again changes nothing.")
    ] = None,
    no_resume: NoResumeOption = False,
    target: TargetOption = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Send a signal to a run, and drive the run on."""
    with reported():
        from .find import input_from

        sent = input_from(value, json_input)

        async def word(desk: Desk, run_id: str, _: str | None, __: Member | None) -> None:
            await desk.signal(run_id, name, sent, mail_id=once)

        _tell(run, word, _going(store, model, base_url, target, no_resume, as_json, quiet), run_only=True)


def cancel(
    run: RunArgument,
    by: ByOption = "local",
    no_resume: NoResumeOption = False,
    target: TargetOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Stop a run. Its members may clean up first; what was done stays done. Exits with 0 once it is cancelled."""
    with reported():
        who = principal(by, None)

        async def word(desk: Desk, run_id: str, _: str | None, __: Member | None) -> None:
            await desk.cancel(run_id, by=who)

        going = _going(store, None, None, target, no_resume, as_json, quiet)
        _tell(run, word, going, run_only=True, wanted=Code.CANCELLED)


def _going(
    store: str | None,
    model: str | None,
    base_url: str | None,
    target: str | None,
    no_resume: bool,
    as_json: bool,
    quiet: bool,
) -> Going:
    chosen = settings(store, model, base_url)
    return Going(settings=chosen, target=target, no_resume=no_resume, as_json=as_json, quiet=quiet)


def _tell(
    name: str,
    word: Word,
    going: Going,
    *,
    request: str | None = None,
    run_only: bool = False,
    wanted: Code = Code.OK,
) -> None:
    code = asyncio.run(_told(name, request, word, going, run_only=run_only))
    raise typer.Exit(Code.OK if code is wanted else code)


async def _told(name: str, request: str | None, word: Word, going: Going, *, run_only: bool) -> Code:
    from podium.core.errors import ConfigurationError

    from . import documents
    from .driving import Presentation, carry_on
    from .find import member_of, run_named
    from .inbox import located

    async with going.settings.existing() as app:
        row, found = (await run_named(app.store, name), None) if run_only else await located(app, name, request)
        member, unknown = None, ""
        if going.edits or not going.no_resume:
            try:
                member = member_of(row, going.target)
            except ConfigurationError as error:
                unknown = str(error)
        await word(app.desk, row.id, found, member)
        if going.no_resume:
            if going.as_json:
                documents.write({"run_id": row.id, "posted": True})
            elif not going.quiet:
                say(f"posted; run {row.id} goes on with: {going.settings.command('resume', row.id)}")
            return Code.OK
        if member is None:
            say(f"posted, but the run cannot go on here: {unknown}")
            return Code.USAGE
        shown = Presentation(going.settings, as_json=going.as_json, quiet=going.quiet)
        return await carry_on(app, row, member, shown, look_on=True)


def _object(text: str, what: str) -> dict[str, Any]:
    from podium.core.errors import ConfigurationError

    from .find import parsed

    value = parsed(text, what)
    if not isinstance(value, dict):
        raise ConfigurationError(f"{what} must be a JSON object of arguments, not {type(value).__name__}")
    return cast("dict[str, Any]", value)
