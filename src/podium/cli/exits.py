"""Exit codes, and errors as one line on stderr.

Every command does its work inside `reported()`: whatever goes wrong becomes a line and a code, never a traceback.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator
from enum import IntEnum

import typer

from podium.core.errors import (
    ConfigurationError,
    LeaseLost,
    PodiumError,
    ReplayMismatch,
    RequestError,
    RunBusy,
    RunConflict,
    RunNotFound,
    StoreError,
    Unloaded,
)
from podium.core.records import Status
from podium.review.outcome import visible


class Code(IntEnum):
    """What a command's exit code says. Scripts depend on these numbers: they do not change."""

    OK = 0
    FAILED = 1
    USAGE = 2
    WAITING = 3
    CANCELLED = 4
    EXHAUSTED = 5
    BUSY = 6
    STORE = 7
    INTERRUPTED = 130
    PIPE = 141


LEGEND = (
    "Exit codes: 0 succeeded, 1 failed, 2 usage or configuration error, 3 waiting for somebody, 4 cancelled, "
    "5 a limit was reached, 6 busy or in conflict, 7 store error, 130 interrupted."
)

_STATUS = {
    Status.SUCCEEDED: Code.OK,
    Status.FAILED: Code.FAILED,
    Status.CANCELLED: Code.CANCELLED,
    Status.EXHAUSTED: Code.EXHAUSTED,
}


class Interrupted(Exception):
    """Ctrl-C, with the line that says how to go on."""


def code_of_status(status: Status) -> Code:
    """The code of a run in this state; every state in which it is not over is WAITING."""
    return _STATUS.get(status, Code.WAITING)


def code_of_error(error: BaseException) -> Code:
    """The code of an error that ends a command."""
    if isinstance(error, StoreError):
        return Code.STORE
    if isinstance(error, RunBusy | RunConflict | LeaseLost | Unloaded | RequestError | ReplayMismatch):
        return Code.BUSY
    if isinstance(error, ConfigurationError | RunNotFound):
        return Code.USAGE
    return Code.FAILED


def say(line: str) -> None:
    """One line on stderr, led by the program's name."""
    sys.stderr.write(f"podium: {visible(line)}\n")
    sys.stderr.flush()


@contextlib.contextmanager
def reported() -> Generator[None]:
    """Turn every error of the block into its line and its exit code (as `typer.Exit`).

    With PODIUM_DEBUG=1 the error is raised as it is.
    """
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except Interrupted as error:
        say(str(error))
        raise typer.Exit(Code.INTERRUPTED) from None
    except KeyboardInterrupt:
        say("interrupted")
        raise typer.Exit(Code.INTERRUPTED) from None
    except BrokenPipeError:
        # Whoever read our output has enough. What is still buffered goes nowhere, or Python complains at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(Code.PIPE) from None
    except PodiumError as error:
        if _debug():
            raise
        say(str(error))
        raise typer.Exit(code_of_error(error)) from None
    except Exception as error:
        if _debug() or hasattr(error, "format_message"):  # the latter is a usage error: see `main.run`
            raise
        say(f"{type(error).__name__}: {error} (run with PODIUM_DEBUG=1 for the traceback)")
        raise typer.Exit(Code.FAILED) from None


def _debug() -> bool:
    return os.environ.get("PODIUM_DEBUG", "") not in {"", "0"}
