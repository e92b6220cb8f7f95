"""`podium doctor`: what works on this machine, and what to type to get what does not.

It looks and reads; it changes nothing, sends nothing anywhere but to this machine's own loopback, and never prints the
value of a key.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer

from .exits import Code, reported
from .options import MACHINE, JsonOption, StoreOption, example

if TYPE_CHECKING:
    from podium.config import Config

    from .tree import Line

OLDEST = (3, 11)
KEYS = {"OPENAI_API_KEY": "models named openai:NAME"}
PROGRAMS = {
    "git": ("review of changes", "install git from git-scm.com or your package manager"),
    "gh": ("review of pull requests on GitHub", "install it from cli.github.com, then: gh auth login"),
    "ruff": ("lint findings in reviews", 'pip install "podium[review]"'),
}
EXTRAS = {"review": ("ruff", "lint findings in reviews"), "yaml": ("yaml", "team files in YAML")}
SERVERS = {"Ollama": 11434, "vLLM": 8000, "LM Studio": 1234}
"""Servers of models that speak Chat Completions, and the ports they use on this machine by default."""
PATIENCE = 5.0
"""Seconds a program may take to tell its version."""


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    group: str
    name: str
    ok: bool
    detail: str
    remedy: str = ""
    """What to type (or do) to get it; empty when it is there."""
    required: bool = False
    """Whether Podium cannot work without it."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", rich_help_panel=MACHINE, epilog=example("podium doctor", "podium doctor --json"))(doctor)


def doctor(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Tell what works on this machine and how to get what does not.

    Exits with 0 unless Python or the store cannot be used.
    """
    with reported():
        checks = [*_python(), *_settings(store), *_programs(), *_extras(), *_models(), _terminal()]
        broken = [check for check in checks if check.required and not check.ok]
        if as_json:
            from . import documents

            documents.write({"ok": not broken, "checks": [msgspec.to_builtins(check) for check in checks]})
        else:
            from .screen import write

            write(_lines(checks))
        if broken:
            raise typer.Exit(Code.STORE if any(check.name == "store" for check in broken) else Code.USAGE)


def _lines(checks: list[Check]) -> list[Line]:
    from .words import visible

    width = max(len(check.name) for check in checks)
    lines: list[Line] = []
    group = ""
    for check in checks:
        if check.group != group:
            lines += [*([[]] if group else []), [(check.group, "bold")]]
            group = check.group
        sign = ("ok    ", "green") if check.ok else ("BROKEN", "bold red") if check.required else ("absent", "yellow")
        lines.append([("  ", ""), sign, (f"  {check.name:<{width}}  {visible(check.detail)}", "")])
        if check.remedy:
            lines.append([(" " * (12 + width) + "→ " + visible(check.remedy), "cyan")])
    return lines


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


def _settings(store: str | None) -> Iterator[Check]:
    from podium.config import load
    from podium.core.errors import ConfigurationError

    try:
        config = load(store=store)
    except ConfigurationError as error:
        yield Check("Podium", "settings", False, str(error), "correct it, or try with --store", required=True)
        return
    model = config.model or "none by default"
    yield Check("Podium", "settings", True, f"{config.file or 'no podium.toml here'}; model: {model}")
    yield _store(config)


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


def _extras() -> Iterator[Check]:
    for extra, (module, use) in EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        yield Check("Extras", extra, there, f"for {use}", "" if there else f'pip install "podium[{extra}]"')


# ------------------------------------------------------------------------------------------------------------ models


def _models() -> Iterator[Check]:
    yield Check("Models", "offline", True, "rules, no language model: no key, no network, no cost")
    for name, use in KEYS.items():
        there = bool(os.environ.get(name, "").strip())
        yield Check("Models", name, there, f"for {use}", "" if there else f"export {name}=…")
    for name, port in SERVERS.items():
        if _listens(port):
            detail = f"something answers on port {port} of this machine (no key needed)"
            yield Check("Models", name, True, f"{detail}: --model openai:NAME --base-url http://localhost:{port}/v1")
    if os.environ.get("OPENAI_BASE_URL"):
        yield Check("Models", "OPENAI_BASE_URL", True, "set: models named openai:NAME are asked there")


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
        return True
    return False


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
