"""`podium doctor`: what works on this machine, and what to type to get what does not.

It looks and reads; it changes nothing and never prints the value of a key. It sends nothing anywhere but to this
machine's own loopback, and to programs of MCP servers that `podium.toml` says to start, unless `--online` asks the
providers and servers elsewhere that are set up. Models are looked at in `model_checks`, MCP servers in `servers`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from .checks import Check, lines
from .exits import Code, reported
from .options import MACHINE, JsonOption, StoreOption, example

if TYPE_CHECKING:
    from podium.config import Config

OLDEST = (3, 11)
PROGRAMS = {
    "git": ("review of changes", "install git from git-scm.com or your package manager"),
    "gh": ("pull requests and issues on GitHub: reviews, tools", "install it from cli.github.com, then: gh auth login"),
    "ruff": ("lint findings in reviews", 'pip install "podium[review]"'),
}
EXTRAS = {
    "review": ("ruff", "lint findings in reviews"),
    "mcp": ("mcp", "tools of MCP servers"),
    "openapi": ("jsonschema", "tools of APIs that have an OpenAPI document"),
    "yaml": ("yaml", "team files in YAML"),
    "azure": ("azure.identity", "Azure OpenAI without a key, by this machine's own identity"),
    "vertex": ("google.auth", "Vertex AI by this machine's login with Google Cloud"),
}
PATIENCE = 5.0
"""Seconds a program may take to tell its version."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", rich_help_panel=MACHINE, epilog=example("podium doctor", "podium doctor --online --json"))(
        doctor
    )


def doctor(
    store: StoreOption = None,
    online: Annotated[
        bool,
        typer.Option("--online", help="Ask all providers and servers that are set up; it costs nothing."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Tell what works on this machine and how to get what does not.

    Exits with 0 unless Python, the settings or the store cannot be used, a server of
    [mcp.servers] does not answer, or (--online) a provider that is set up fails.
    """
    with reported():
        from . import model_checks, servers

        config, settings = _settings(store)
        models = model_checks.checks(config, online=online)
        mcp = servers.checks(config, online=online)
        checks = [*_python(), *settings, *_programs(), _sandbox(), *_extras(), *models, *mcp, _terminal()]
        broken = [check for check in checks if check.required and not check.ok]
        failed = [check for check in checks if check.failed]
        if as_json:
            from . import documents

            document = {"ok": not broken and not failed, "checks": [msgspec.to_builtins(check) for check in checks]}
            documents.write(document)
        else:
            from .screen import write

            write(lines(checks))
        if broken:
            raise typer.Exit(Code.STORE if any(check.name == "store" for check in broken) else Code.USAGE)
        if failed:
            raise typer.Exit(Code.FAILED)


def _python() -> Iterator[Check]:
    new = sys.version_info[:2] >= OLDEST
    detail = (
        f"{platform.python_version()} ({platform.python_implementation()}, {platform.system()} {platform.machine()})"
    )
    yield Check("Podium", "python", new, detail, "" if new else "install Python 3.11 or newer", required=True)
    versions = [f"{name} {_version(name)}" for name in ("podium", "msgspec", "pydantic", "httpx2", "typer", "rich")]
    yield Check("Podium", "packages", True, ", ".join(versions))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


# ------------------------------------------------------------------------------------------------------------- store


def _settings(store: str | None) -> tuple[Config | None, list[Check]]:
    from podium.config import load
    from podium.core.errors import ConfigurationError

    try:
        config = load(store=store)
    except ConfigurationError as error:
        return None, [Check("Podium", "settings", False, str(error), "correct it, or try with --store", required=True)]
    model = config.model or "none by default"
    read = Check("Podium", "settings", True, f"{config.file or 'no podium.toml here'}; model: {model}")
    return config, [read, _store(config)]


def _store(config: Config) -> Check:
    import sqlite3

    from podium.core.errors import PodiumError

    file = config.store_file
    if file is None:
        kept = config.store in {":memory:", "memory:", "memory://"}
        remedy = "" if kept else "give a path: --store .podium/podium.db"
        detail = f"{config.store} keeps nothing" if kept else f"{config.store} is not a store"
        return Check("Podium", "store", kept, detail, remedy, required=True)
    try:
        mode, bytes_ = _tried(file)
    except (PodiumError, OSError, sqlite3.Error) as error:
        remedy = "name another store: --store PATH, or PODIUM_STORE"
        return Check("Podium", "store", False, f"{file}: {_short(error)}", remedy, required=True)
    state = f"{bytes_:,} bytes" if file.exists() else "not made yet; its folder can be written"
    return Check(
        "Podium", "store", True, f"{file}: {state}; journal mode {mode}, SQLite {sqlite3.sqlite_version}", required=True
    )


def _short(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _tried(file: Path) -> tuple[str, int]:
    """The journal mode the store uses (or would use) and its size. Raises a StoreError, OSError or sqlite3.Error."""
    import sqlite3

    from podium.core.errors import StoreReadOnly
    from podium.runtime.clock import SystemClock
    from podium.stores.sqlite import SqliteStore

    if file.exists():
        store = SqliteStore.open(file, clock=SystemClock())
        readonly = store.readonly
        asyncio.run(store.close())
        if readonly:
            raise StoreReadOnly("it can be read, not written: give this user write access to the file and its folder")
        with contextlib.closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return str(connection.execute("PRAGMA journal_mode").fetchone()[0]), file.stat().st_size
    # Looking must leave nothing behind: the same kind of file is tried beside where the store would be.
    folder = next(parent for parent in file.resolve().parents if parent.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(f"{folder} cannot be written")
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix=".podium-doctor-") as scratch,
        contextlib.closing(sqlite3.connect(Path(scratch) / "probe.db")) as connection,
    ):
        return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]), 0


# ---------------------------------------------------------------------------------------------------------- programs


def _programs() -> Iterator[Check]:
    for name, (use, remedy) in PROGRAMS.items():
        path = shutil.which(name) or _beside_python(name)
        if path is None:
            yield Check("Programs", name, False, f"for {use}", remedy)
        else:
            yield Check("Programs", name, True, _told_version(path))


def _beside_python(name: str) -> str | None:
    """A program that was installed with this Python, in an environment that is not active."""
    return shutil.which(name, path=str(Path(sys.executable).parent))


def _told_version(path: str) -> str:
    try:
        done = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"found, but it does not answer: {error}"
    lines = done.stdout.splitlines()
    return lines[0][:120] if lines else "found"


def _sandbox() -> Check:
    from podium.tools.sandbox import describe

    ok, detail, remedy = describe()
    return Check("Tools", "sandbox", ok, detail, remedy)


def _extras() -> Iterator[Check]:
    from .model_checks import installed

    for extra, (module, use) in EXTRAS.items():
        there = installed(module)
        yield Check("Extras", extra, there, f"for {use}", "" if there else f'pip install "podium[{extra}]"')


def _terminal() -> Check:
    from .screen import is_terminal

    if not is_terminal(sys.stderr):
        return Check(
            "Terminal", "progress", False, "stderr is not a terminal", "run it in a terminal to see live progress"
        )
    size = shutil.get_terminal_size()
    colours = "without colour (NO_COLOR)" if os.environ.get("NO_COLOR") else os.environ.get("COLORTERM", "") or "colour"
    return Check(
        "Terminal", "progress", True, f"{size.columns} x {size.lines}, {colours}, {sys.stderr.encoding or 'unknown'}"
    )
