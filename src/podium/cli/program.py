"""The program `podium`: which module holds which commands, and how a command line reaches one.

Modules are imported when their command is asked for; `--help` alone imports them all.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from podium import __version__

from .exits import LEGEND, Code, reported, say

MODULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("review", ("review",)),
    ("demo", ("demo",)),
    ("run", ("run",)),
    ("chat", ("chat",)),
    ("runs", ("runs",)),
    ("show", ("show",)),
    ("tail", ("tail",)),
    ("resume", ("resume", "fork")),
    ("costs", ("costs",)),
    ("prices", ("prices",)),
    ("models", ("model",)),
    ("tools", ("tools",)),
    ("decide", ("approve", "reject", "answer", "signal", "cancel")),
    ("policy", ("policy",)),
    ("audit", ("audit",)),
    ("init", ("init",)),
    ("crashtest", ("crashtest",)),
    ("doctor", ("doctor",)),
)
"""Modules of this package, in the order of `--help`, and their commands. Each exposes `register(app)`."""


def build(wanted: str | None = None) -> typer.Typer:
    """The program with all commands; with only those of its module when `wanted` is one of them."""
    app = typer.Typer(
        name="podium",
        help="Run teams of LLM agents as durable, governed programs.",
        epilog=f"Start with:  podium init my-team\n\n{LEGEND}",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_root)
    modules = [module for module, commands in MODULES if wanted in commands] or [module for module, _ in MODULES]
    for module in modules:
        importlib.import_module(f"{__package__}.{module}").register(app)
    return app


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # A character the terminal has no sign for must not end a command.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
    try:
        with reported():
            code: object = build(next((word for word in given if not word.startswith("-")), None))(
                given, prog_name="podium", standalone_mode=False
            )
            sys.stdout.flush()
        return code if isinstance(code, int) else Code.OK
    except typer.Exit as error:
        return error.exit_code
    except typer.Abort:
        return Code.INTERRUPTED
    except Exception as error:
        # Usage errors are of a class that typer keeps to itself; they are known by what they can do.
        describe = getattr(error, "format_message", None)
        if describe is None:
            raise
        text = " ".join(str(describe()).split())
        meant = _MEANT.get(given[0]) if text.startswith("No such command") else None
        say(f"{text} ({meant or _help_of(error)})")
        return Code.USAGE


_MEANT = {
    "costs-report": "podium costs",
    "explain": "podium policy explain AGENT TOOL",
    "inbox": "podium approve, without a name, lists what waits for a person",
    "list": "podium runs",
    "log": "podium audit show, or podium tail RUN",
    "logs": "podium audit show, or podium tail RUN",
    "pending": "podium approve, without a name, lists what waits for a person",
    "start": "podium run TARGET",
    "verify": "podium audit verify",
}
"""What people type, and the command that does it."""


def _help_of(error: Exception) -> str:
    path = getattr(getattr(error, "ctx", None), "command_path", "podium")
    return f"see {path} --help"


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"podium {__version__}\n")
        raise typer.Exit


def _root(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")
