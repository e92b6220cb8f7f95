"""From what people type to what it means: a run by part of its id, a member by its TARGET, an input by its form."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, Any

import msgspec

from podium.core.errors import ConfigurationError, RequestError, RunNotFound
from podium.ports import Member, RunRow, Store
from podium.runtime.results import Pending

LAST = "last"
MOST_INPUT = 16 << 20
"""Bytes of an input that are read from stdin or a file."""
_SHOWN = 5


async def run_named(store: Store, name: str) -> RunRow:
    """The run with this id, or the only one whose id begins so; `last` is the newest.

    Raises RunNotFound, and ConfigurationError when several fit.
    """
    row = await store.row(name)
    if row is not None:
        return row
    if name == LAST:
        newest = await store.rows(limit=1)
        if newest:
            return newest[0]
        raise RunNotFound("there are no runs in this store yet")
    rows: list[RunRow] = []
    for prefix in (name, f"run-{name}"):
        rows = rows or (await store.rows(prefix=prefix, limit=_SHOWN + 1) if name else [])
    if not rows:
        raise RunNotFound(f"there is no run {name!r} in this store: `podium runs` lists those there are")
    if len(rows) > 1:
        more = ", …" if len(rows) > _SHOWN else ""
        raise ConfigurationError(f"{name!r} begins several runs: {', '.join(row.id for row in rows[:_SHOWN])}{more}")
    return rows[0]


def request_named(pending: tuple[Pending, ...], name: str | None) -> str | None:
    """The full id of a request named by its beginning. Raises RequestError when several fit."""
    if name is None:
        return None
    fitting = [item.request for item in pending if item.request.startswith(name)]
    if name in fitting or not fitting:
        return name  # The desk knows best what to say of one that is not there.
    if len(fitting) > 1:
        raise RequestError(f"{name!r} begins several requests: {', '.join(fitting)}")
    return fitting[0]


def member_at(target: str) -> Member:
    """Load a TARGET. Its folder stays on the import path, as with `python file.py`: members import when they run too.

    Raises ConfigurationError.
    """
    from podium import targets, team_file

    split = team_file.split(target)
    where = target.rpartition(":")[0] if split is None else split[0]
    file = split is not None or where.endswith(".py")
    folder = str(Path(where).expanduser().resolve().parent) if file else str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return targets.load(target)


def member_of(row: RunRow, target: str | None) -> Member:
    """The member of a run: from the TARGET given, else from the one recorded. Raises ConfigurationError."""
    named = target or row.target
    if not named:
        raise ConfigurationError(
            f"run {row.id} was not started from a TARGET: say where its member {row.member!r} is: --target FILE.py:NAME"
        )
    try:
        return member_at(named)
    except ConfigurationError as error:
        if target:
            raise
        raise ConfigurationError(f"{error} (recorded with run {row.id}; --target names another place)") from error


def parsed(text: str, what: str) -> Any:
    """JSON as a value. Raises ConfigurationError that says where it breaks."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{what} is not JSON: {error}") from error
    except RecursionError:
        raise ConfigurationError(f"{what} is nested too deeply") from None


def input_from(text: str | None, json_text: str | None) -> Any:
    """The input of a run: TEXT as it is, `-` for stdin, `@file` for a file's text, or JSON.

    Raises ConfigurationError.
    """
    if json_text is not None:
        if text is not None:
            raise ConfigurationError("give INPUT or --json-input, not both")
        return parsed(_content(json_text), "--json-input")
    return None if text is None else _content(text)


def _content(text: str) -> str:
    if text == "-":
        return _decoded(_bounded(sys.stdin.buffer, "stdin"), "stdin")
    if not text.startswith("@"):
        return text
    file = Path(os.path.expanduser(text[1:]))  # noqa: PTH111  (`Path.expanduser` raises where this leaves the text be)
    try:
        with file.open("rb") as opened:
            return _decoded(_bounded(opened, str(file)), str(file))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror or error}") from error


def _bounded(source: IO[bytes], name: str) -> bytes:
    data = source.read(MOST_INPUT + 1)
    if len(data) > MOST_INPUT:
        raise ConfigurationError(f"{name} holds more than {MOST_INPUT >> 20} MiB: an input must be smaller")
    return data


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{name} is not UTF-8 text: {error}") from error
