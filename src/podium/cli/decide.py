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
    settings,
)

if TYPE_CHECKING:
    from podium.core.records import Principal
    from podium.runtime.desk import Desk

RequestArgument = Annotated[
    str | None,
    typer.Argument(metavar="[REQUEST]", help="Which request, when the run waits for several.", show_default=False),
]
ByOption = Annotated[str, typer.Option("--by", metavar="NAME", help="Who decides, for the record.")]
RoleOption = Annotated[
    list[str] | None, typer.Option("--role", metavar="ROLE", help="A role of whoever decides; may be repeated.")
]
NoResumeOption = Annotated[
    bool, typer.Option("--no-resume", help="Only leave the word; do not drive the run on in this process.")
]
Word = Callable[["Desk", str], Awaitable[None]]
"""Posts something to a run, given the desk and the run's id."""


class Going(msgspec.Struct, frozen=True, kw_only=True):
    """How a command goes on once the word is posted."""

    settings: Settings
    target: str | None
    no_resume: bool
    as_json: bool
    quiet: bool


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        "approve",
        rich_help_panel=PEOPLE,
        epilog=example("podium approve last", "podium approve last 3f2a9c --args '{\"amount\": 20}'"),
    )(approve)
    app.command(
        "reject", rich_help_panel=PEOPLE, epilog=example('podium reject last --message "too much: offer half"')
    )(reject)
    app.command(
        "answer",
        rich_help_panel=PEOPLE,
        epilog=example("podium answer last blue", "podium answer last 3f2a9c happened --result '{\"id\": 7}'"),
    )(answer)
    app.command(
        "signal", rich_help_panel=PEOPLE, epilog=example("podium signal last paid --json-input '{\"sum\": 20}'")
    )(signal)
    app.command("cancel", rich_help_panel=PEOPLE, epilog=example("podium cancel last"))(cancel)


def approve(
    run: RunArgument,
    request: RequestArgument = None,
    args: Annotated[
        str | None, typer.Option("--args", metavar="JSON", help="Other arguments for the call; they are checked again.")
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
    """Let a held call go on, as it is or with other arguments, and drive the run on."""
    with reported():
        edited = None if args is None else _object(args, "--args")
        who = _principal(by, role)

        async def word(desk: Desk, run_id: str) -> None:
            await desk.approve(run_id, await _request(desk, run_id, request), args=edited, by=who)

        _tell(run, word, _going(store, model, base_url, target, no_resume, as_json, quiet))


def reject(
    run: RunArgument,
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
    """Refuse a held call, or to answer a question, and drive the run on."""
    with reported():
        who = _principal(by, role)

        async def word(desk: Desk, run_id: str) -> None:
            await desk.reject(run_id, await _request(desk, run_id, request), message=message, by=who)

        _tell(run, word, _going(store, model, base_url, target, no_resume, as_json, quiet))


def answer(
    run: RunArgument,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[REQUEST] VALUE",
            help="The answer; before it, which request is meant when the run waits for several. A step in doubt is "
            "answered with happened, not_happened or abort.",
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
    """Answer a question, or say what came of a step in doubt, and drive the run on."""
    with reported():
        from .find import parsed

        if len(words) > 2:
            raise typer.BadParameter("give one VALUE, in quotes if it has spaces, and before it at most a REQUEST")
        request = words[0] if len(words) == 2 else None
        value: Any = parsed(words[-1], "VALUE") if value_is_json else words[-1]
        outcome = None if result is None else parsed(result, "--result")
        who = _principal(by, role)

        async def word(desk: Desk, run_id: str) -> None:
            await desk.answer(run_id, await _request(desk, run_id, request), value, result=outcome, by=who)

        _tell(run, word, _going(store, model, base_url, target, no_resume, as_json, quiet))


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

        async def word(desk: Desk, run_id: str) -> None:
            await desk.signal(run_id, name, sent, mail_id=once)

        _tell(run, word, _going(store, model, base_url, target, no_resume, as_json, quiet))


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
        who = _principal(by, None)

        async def word(desk: Desk, run_id: str) -> None:
            await desk.cancel(run_id, by=who)

        going = _going(store, None, None, target, no_resume, as_json, quiet)
        _tell(run, word, going, wanted=Code.CANCELLED)


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


def _tell(name: str, word: Word, going: Going, *, wanted: Code = Code.OK) -> None:
    code = asyncio.run(_told(name, word, going))
    raise typer.Exit(Code.OK if code is wanted else code)


async def _told(name: str, word: Word, going: Going) -> Code:
    from podium.core.errors import ConfigurationError

    from . import documents
    from .driving import Presentation, carry_on
    from .find import member_of, run_named

    async with going.settings.existing() as app:
        row = await run_named(app.store, name)
        await word(app.desk, row.id)
        if going.no_resume:
            if going.as_json:
                documents.write({"run_id": row.id, "posted": True})
            elif not going.quiet:
                say(f"posted; run {row.id} goes on with: {going.settings.command('resume', row.id)}")
            return Code.OK
        try:
            member = member_of(row, going.target)
        except ConfigurationError as error:
            say(f"posted, but the run cannot go on here: {error}")
            return Code.USAGE
        shown = Presentation(going.settings, as_json=going.as_json, quiet=going.quiet)
        return await carry_on(app, row, member, shown, look_on=True)


async def _request(desk: Desk, run_id: str, name: str | None) -> str | None:
    from .find import request_named

    return None if name is None else request_named(await desk.pending(run_id), name)


def _principal(name: str, roles: list[str] | None) -> Principal:
    from podium.core.records import Principal

    return Principal(name, tuple(roles or ()))


def _object(text: str, what: str) -> dict[str, Any]:
    from podium.core.errors import ConfigurationError

    from .find import parsed

    value = parsed(text, what)
    if not isinstance(value, dict):
        raise ConfigurationError(f"{what} must be a JSON object of arguments, not {type(value).__name__}")
    return cast("dict[str, Any]", value)
