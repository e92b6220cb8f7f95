"""`podium chat`: a conversation with a member, in one session.

Each message is a run. On a terminal text comes as it is written and approvals are asked for in between; in a pipe each
line of input is a message (or the answer to what is asked), and only answers are printed.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import secrets
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Code, code_of_error, code_of_status, reported, say
from .options import (
    RUNS,
    BaseUrlOption,
    BehindOption,
    BehindRolesOption,
    BudgetOption,
    JsonOption,
    ModelOption,
    Settings,
    StoreOption,
    TargetArgument,
    TenantOption,
    budget,
    example,
    principal,
    settings,
)

if TYPE_CHECKING:
    from podium.app import Podium
    from podium.core.budgets import Budget
    from podium.core.deltas import Transient
    from podium.core.records import Principal, Record
    from podium.ports import Member
    from podium.runtime.results import Pending, RunResult

HELP = "/quit (or Ctrl-D) ends; Ctrl-C stops the answer that is being written; /help shows this"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "chat",
        rich_help_panel=RUNS,
        epilog=example("podium chat team.py:support", "podium chat team.py:support --session monday"),
    )(chat)


def chat(
    target: TargetArgument,
    session: Annotated[
        str | None, typer.Option("--session", metavar="NAME", help="The conversation to go on with; a new one if none.")
    ] = None,
    model: ModelOption = None,
    base_url: BaseUrlOption = None,
    limits: BudgetOption = None,
    by: BehindOption = "local",
    role: BehindRolesOption = None,
    tenant: TenantOption = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Talk with a member. It remembers what was said in the session.

    /quit or Ctrl-D ends; Ctrl-C cancels the present answer only. With --json each outcome is a line of JSON.
    --budget is for each message, which is a run of its own; [budgets] in podium.toml limits whole sessions.
    """
    with reported():
        from .find import member_at

        chosen = settings(store, model, base_url)
        limit, who = budget(limits), principal(by, role, tenant)
        member = member_at(target)
        name = session or f"chat-{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        keyboard = Keyboard()
        if keyboard.interactive:
            sys.stderr.write(f"{member.name}, session {name}. {HELP}.\n")
        with asyncio.Runner() as runner:
            talk = Talk(runner, chosen, member, name, keyboard, limit, who=who, as_json=as_json)
            try:
                code = talk.go()
            finally:
                talk.close()
        raise typer.Exit(code)


class Keyboard:
    """Lines from people or from a pipe."""

    def __init__(self) -> None:
        self.interactive = sys.stdin.isatty()
        if self.interactive:
            with contextlib.suppress(ImportError):
                import readline  # noqa: F401  # pyright: ignore[reportUnusedImport]  (editing and history of lines)

    def line(self, prompt: str) -> str | None:
        """The next line; None at the end. Ctrl-C starts the line anew."""
        while True:
            try:
                if self.interactive:
                    return input(prompt)
                text = sys.stdin.readline()
                return text.rstrip("\r\n") if text else None
            except EOFError:
                sys.stderr.write("\n")
                return None
            except KeyboardInterrupt:
                if not self.interactive:
                    raise
                sys.stderr.write("\n")


class Talk:
    """The conversation: messages in, answers out, decisions in between."""

    def __init__(
        self,
        runner: asyncio.Runner,
        chosen: Settings,
        member: Member,
        session: str,
        keyboard: Keyboard,
        limit: Budget | None = None,
        *,
        who: Principal,
        as_json: bool,
    ) -> None:
        self._runner = runner
        self._who = who
        """Who writes here, and so decides here."""
        self._settings = chosen
        self._member = member
        self._session = session
        self._keyboard = keyboard
        self._limit = limit
        self._json = as_json
        self._app: Podium = chosen.app()
        self._printer = Printer(quiet=as_json)

    def go(self) -> Code:
        """Until the end of the input. In a pipe the code is that of the last message."""
        self._runner.run(_open(self._app))
        code = Code.OK
        while True:
            line = self._keyboard.line("you> ")
            if line is None or line.strip() in {"/quit", "/exit"}:
                return Code.OK if self._keyboard.interactive else code
            if line.strip() == "/help":
                sys.stderr.write(HELP + "\n")
            elif line.strip():
                code = self._message(line)

    def close(self) -> None:
        """Let go of the store. What is still unfinished can be resumed."""
        self._runner.run(self._app.close())

    def _message(self, text: str) -> Code:
        """One message and all that comes of it. An error is said, and the conversation goes on."""
        from podium.core.errors import PodiumError
        from podium.core.records import Status
        from podium.runtime.desk import DECISIONS

        try:
            result = self._attend(None, text)
            while result.status is Status.SUSPENDED:
                asked = [item for item in result.pending if item.why in DECISIONS]
                if not asked or not self._decide(result.run_id, asked[0]):
                    break
                result = self._attend(result.run_id, None, len(result.records))
        except PodiumError as error:
            say(str(error))
            return code_of_error(error)
        self._finish(result)
        return code_of_status(result.status)

    def _attend(self, run_id: str | None, text: str | None, after: int = 0) -> RunResult[Any]:
        """Start a run for `text`, or wait for the one that goes on by itself after a decision."""
        return self._runner.run(self._attended(run_id, text, after))

    async def _attended(self, run_id: str | None, text: str | None, after: int) -> RunResult[Any]:
        from .driving import attended

        self._printer = Printer(quiet=self._json)
        if run_id is None:
            started = await self._app.start(
                self._member, text, session=self._session, budget=self._limit, principal=self._who
            )
            run_id = started.run_id
        desk, printer = self._app.desk, self._printer
        working = self._app.settled(run_id, over=False)
        attending = asyncio.ensure_future(attended(self._app, run_id, working, [printer.listen], after=after))
        try:
            return await asyncio.shield(attending)
        except asyncio.CancelledError:
            # Ctrl-C reaches us as a cancellation of this task: it means the answer, not the program.
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            with contextlib.suppress(Exception):  # over already: then there is nothing to cancel
                await desk.cancel(run_id, by=self._who)
            return await attending
        finally:
            printer.end()

    def _decide(self, run_id: str, item: Pending) -> bool:
        """Ask the person who sits here; False when nobody answers."""
        from .screen import waits, write

        if self._keyboard.interactive:
            write(
                [line for line in waits(run_id, [item], self._settings) if not line[0][0].strip().startswith("podium ")]
            )
        desk = self._app.desk
        if item.why in {"approval", "review"}:
            return self._approval(run_id, item)
        answer = self._keyboard.line("answer> ")
        if answer is None:
            return False
        try:
            self._runner.run(desk.answer(run_id, item.request, answer.strip(), by=self._who))
        except Exception as error:  # noqa: BLE001  (whatever it is, the person is told and asked again)
            say(str(error))
            return self._decide(run_id, item)
        return True

    def _approval(self, run_id: str, item: Pending) -> bool:
        desk = self._app.desk
        better = "feedback" in item.choices
        offered = "approve? [y]es, [n]o and why, [e]dit" + (", [f]eedback" if better else "")
        while True:
            line = self._keyboard.line(f"{offered}> ")
            if line is None:
                return False
            word, _, rest = line.strip().partition(" ")
            word = word.lower()
            if word in {"y", "yes"}:
                self._runner.run(desk.approve(run_id, item.request, by=self._who))
                return True
            if word in {"n", "no"}:
                self._runner.run(desk.reject(run_id, item.request, message=rest, by=self._who))
                return True
            if word in {"f", "feedback"} and better and rest:
                self._runner.run(desk.answer(run_id, item.request, rest, by=self._who))
                return True
            if word in {"e", "edit"} and self._edited(run_id, item, rest):
                return True
            if word not in {"e", "edit"}:
                more = ", or f and what to do better" if better else ""
                say(f"say y, n (and why), or e and the new arguments as JSON{more}")
                if not self._keyboard.interactive:
                    return False

    def _edited(self, run_id: str, item: Pending, text: str) -> bool:
        from podium.core.errors import ConfigurationError, RequestError

        from .find import parsed

        given = text or self._keyboard.line("arguments as JSON> ") or ""
        try:
            args = parsed(given, "what you gave")
        except ConfigurationError as error:
            say(str(error))
            return False
        if not isinstance(args, dict) and item.why == "approval":
            say('arguments are a JSON object: {"name": value}')
            return False
        edited: dict[str, Any] = {"edit": args} if item.why == "review" else {"args": args}
        try:
            self._runner.run(self._app.desk.approve(run_id, item.request, by=self._who, **edited))
        except RequestError as error:  # it does not fit, or the gate would refuse it: another may do
            say(str(error))
            return False
        return True

    def _finish(self, result: RunResult[Any]) -> None:
        from podium.core.records import Status

        from . import documents, screen

        if self._json:
            documents.write(documents.outcome(result), line=True)
        elif result.status is Status.SUCCEEDED:
            if result.output != self._printer.text:
                screen.answer(result.output)
        else:
            screen.outcome(result, self._settings, quiet=True)


class Printer:
    """Writes a reply as it comes, if stdout is a terminal, and the tools that are called on stderr."""

    def __init__(self, *, quiet: bool) -> None:
        self._live = sys.stdout.isatty() and not quiet
        self._key: str = ""
        self._open = False
        self.text = ""
        """What was written of the last reply, whole; what was not written whole must be printed again."""

    def listen(self, seq: int, event: Record | Transient) -> None:
        """Take an event."""
        from podium.core.deltas import Reset, TextDelta
        from podium.core.records import Began

        from .words import inline, visible

        if not self._live:
            return
        if isinstance(event, TextDelta):
            if event.key != self._key:
                self.end()
                self._key, self.text = event.key, ""
            if event.offset != len(self.text):
                return  # A piece came before we listened: the whole is printed at the end.
            self.text += event.text
            sys.stdout.write(visible(event.text.replace("\r\n", "\n"), lines=True))
            sys.stdout.flush()
            self._open = not event.text.endswith("\n")
        elif isinstance(event, Reset) and event.key == self._key:
            self.end()
            self._key = self.text = ""
        elif isinstance(event, Began) and event.kind == "tool":
            from podium.core.codec import decode

            self.end()
            args = decode(event.args)
            sys.stderr.write(f"· {visible(event.name)} {inline(args, 200) if args else ''}\n")

    def end(self) -> None:
        """Finish the line that is being written."""
        if self._open:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._open = False


async def _open(app: Podium) -> None:
    await app.open()
