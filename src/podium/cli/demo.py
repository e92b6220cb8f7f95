"""`podium demo`: a team at work, killed, resumed, and nothing done twice. Real processes, a real SIGKILL, no key.

It narrates; the work is done by `demo_team` in a child process, and by an ordinary app.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from podium.core.errors import PodiumError

from .exits import Code, reported
from .options import MACHINE, JsonOption, example

if TYPE_CHECKING:
    from podium.runtime.results import Pending, RunResult

PATIENCE = 30.0
"""Seconds to wait for the child process to get to work."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo", rich_help_panel=MACHINE, epilog=example("podium demo"))(demo)


def demo(
    fast: Annotated[bool, typer.Option("--fast", help="Without pauses for reading.")] = False,
    keep: Annotated[Path | None, typer.Option("--keep", help="Keep the store and the mails in this folder.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show in half a minute what Podium is for: a team is killed in the middle of a mail, and nothing is sent twice."""
    with reported():
        if not hasattr(signal, "SIGKILL"):
            raise PodiumError("the demo kills a process with SIGKILL: run it on Linux or macOS")
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            _Show(keep.resolve(), fast=fast, as_json=as_json).run()
        else:
            with tempfile.TemporaryDirectory(prefix="podium-demo-") as folder:
                _Show(Path(folder).resolve(), fast=fast, as_json=as_json).run()
        raise typer.Exit(Code.OK)


class _Show:
    def __init__(self, folder: Path, *, fast: bool, as_json: bool = False) -> None:
        self._as_json = as_json
        self._store = folder / "demo.db"
        self._outbox = folder / "outbox"
        self._outbox.mkdir(exist_ok=True)
        self._pause = 0.0 if fast or as_json or not sys.stdout.isatty() else 1.6
        if self._store.exists() or self._mails():
            raise PodiumError(f"{folder} holds an earlier demo: name a new folder")
        self._console: Any = None
        if sys.stdout.isatty():
            from rich.console import Console

            self._console = Console(highlight=False, markup=False, emoji=False)

    def run(self) -> None:
        """The whole show."""
        self._say("A team of one agent recalls a tent: two customers get a mail, then everybody, if a person agrees.")
        self._say("It runs in a process of its own, on a SQLite file; the agent follows a script, so no key is needed.")
        self._kill()
        before = self._mails()
        os.environ["PODIUM_WORLD"] = str(self._outbox)
        asyncio.run(self._resume())
        after = self._mails()
        self._say("The outbox now:", "bold")
        for name in after:
            self._say(f"  {name}: {self._shown(name)}" + ("   (from before the kill)" if name in before else ""))
        receivers = [self._read(name)["to"] for name in after]
        if sorted(receivers) != ["ann@example.com", "bob@example.com", "everybody"]:
            raise PodiumError(f"the outbox holds {receivers}: this is a bug of Podium, please report it")
        if self._as_json:
            mails = [{**self._read(name), "before_the_kill": name in before} for name in after]
            sys.stdout.write(json.dumps({"mails": mails, "sent_twice": 0, "lost": 0}) + "\n")
        self._say("Three mails, each sent once. Nothing was done twice, and nothing was lost.", "bold green")
        self._say("")
        self._say("Try next:", "bold")
        self._say("  podium crashtest podium.cli.demo_team:team    # killed at every record, not only at one")
        self._say("  podium init my-team                           # a small team of your own to start from")

    # ----------------------------------------------------------------------------------------------------------- acts

    def _kill(self) -> None:
        from . import demo_team

        # The server is slow to answer the second mail: the process is killed between the effect and its record.
        environment = {**os.environ, "PODIUM_WORLD": str(self._outbox), demo_team.SLOW: str(2 * PATIENCE)}
        child = subprocess.Popen(
            [sys.executable, "-c", "from podium.cli.demo_team import main; main()", str(self._store)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._say(f"[process {child.pid}] starts", "cyan")
        try:
            self._watch(child)
        finally:
            child.kill()
            _, said = child.communicate()
        if child.returncode != -signal.SIGKILL:
            last = said.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise PodiumError(f"the demo's process ended by itself: {last[0] if last else 'it said nothing'}")
        self._say(f"kill -9 {child.pid}: it is gone, with the mail sent and no answer from the server.", "bold red")

    def _watch(self, child: subprocess.Popen[bytes]) -> None:
        seen: list[str] = []
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and child.poll() is None:
            for name in self._mails():
                if name not in seen:
                    seen.append(name)
                    self._say(f"[process {child.pid}] sent {name}: {self._shown(name)}", "cyan", pause=False)
            if len(seen) == 2:
                return
            time.sleep(0.002)
        if child.poll() is None:
            raise PodiumError(f"the demo's process sent no two mails within {PATIENCE:g} s: is the machine very busy?")

    async def _resume(self) -> None:
        from podium.app import Podium

        from . import demo_team

        async with Podium(f"sqlite:///{self._store}", members=[demo_team.team]) as app:
            self._say("Another process takes the run up, from its journal:", "bold")
            result = await app.resume(demo_team.RUN)
            self._steps(result)
            while result.pending:
                item = result.pending[0]
                await self._decide(app, demo_team.RUN, item)
                result = await app.settled(demo_team.RUN, over=False)
            self._say(f"The run {result.status}: {result.output or result.error}", "bold")

    async def _decide(self, app: Any, run: str, item: Pending) -> None:
        args = cast("dict[str, Any]", item.args) if isinstance(item.args, dict) else {}
        if item.why == "in_doubt":
            happened = any(self._read(name)["to"] == args.get("to") for name in self._mails())
            self._say(f"In doubt: {item.prompt}", "bold yellow")
            self._say("  A write is never repeated on a guess. A person (or the tool's reconcile) says what happened.")
            word = "happened" if happened else "not_happened"
            self._say(f"  We look into the outbox: the mail to {args.get('to')} is {'' if happened else 'not '}there.")
            self._say(f"  podium answer {run} {item.request} {word}", "cyan")
            await app.desk.answer(run, item.request, word, result=f"sent to {args.get('to')}" if happened else None)
        else:
            self._say(f"Approval: {item.prompt}", "bold yellow")
            self._say(f"  podium approve {run} {item.request}", "cyan")
            await app.desk.approve(run, item.request)

    def _steps(self, result: RunResult[Any]) -> None:
        for step in result.steps:
            if step.kind == "tool":
                note = "in doubt" if step.status == "waiting" else "done, not repeated"
                self._say(f"  {step.key}: {note}", "dim", pause=False)

    # ---------------------------------------------------------------------------------------------------------- helpers

    def _mails(self) -> list[str]:
        return sorted(path.name for path in self._outbox.glob("mail-*.json"))

    def _read(self, name: str) -> dict[str, str]:
        return json.loads((self._outbox / name).read_text())

    def _shown(self, name: str) -> str:
        mail = self._read(name)
        return f"to {mail['to']}, key {mail['idempotency_key']}"

    def _say(self, text: str, style: str = "", *, pause: bool = True) -> None:
        if self._as_json:
            return
        if self._console is None:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        else:
            self._console.print(text, style=style or None, soft_wrap=True)
        if pause and text:
            time.sleep(self._pause)
