"""What waits for a person, over all runs: `podium approve` without a name lists it; a request can be named alone.

A request is found by its id or the beginning of it, among the runs that are not over; which run it belongs to need not
be said.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any, Final, cast

from podium.core.errors import ConfigurationError, RequestError, RunNotFound
from podium.ports import RunRow
from podium.runtime.results import Pending

from .exits import Code
from .find import LAST, request_named, run_named
from .options import Settings
from .screen import risk, table, write
from .words import ago, clip, local, seconds, visible

if TYPE_CHECKING:
    from podium.app import Podium

COLUMNS: Final = ("REQUEST", "WAITS FOR", "AGENT", "RUN", "SINCE", "ENDS", "FOR", "NOTE")
MOST: Final = 10_000
_REQUEST: Final = re.compile(r"[0-9a-f]{4,16}")
_WORDS: Final = {"approval": "", "review": "review of ", "ask": "answer to ", "in_doubt": "in doubt: "}


async def located(app: Podium, name: str, request: str | None = None) -> tuple[RunRow, str | None]:
    """The run and the request that are meant by a run and a request, a run alone, or a request alone.

    Raises RunNotFound, RequestError, and ConfigurationError when several fit.
    """
    if request is not None or name == LAST or not _REQUEST.fullmatch(name) or await app.store.row(name) is not None:
        row = await run_named(app.store, name)
        return row, None if request is None else request_named(await app.desk.pending(row.id), request)
    fitting = [item for item in await app.inbox(limit=MOST) if item.request.startswith(name)]
    exact = [item for item in fitting if item.request == name]
    try:
        run = await run_named(app.store, name)
    except RunNotFound:
        run = None
    found = exact or fitting
    if run is not None and not exact:
        if found:
            raise ConfigurationError(f"{name!r} begins run {run.id} and request {found[0].request}: write more of it")
        return run, None
    if len(found) > 1:
        raise ConfigurationError(f"{name!r} begins several requests: {', '.join(item.request for item in found[:5])}")
    if not found:
        raise RequestError(f"nothing waits by the name {name!r} (decided already?): `podium approve` lists what does")
    row = await app.store.row(found[0].run)
    if row is None:  # pragma: no cover  (it was read a moment ago)
        raise RunNotFound(f"there is no run {found[0].run}")
    return row, found[0].request


async def listed(chosen: Settings, roles: list[str] | None, *, as_json: bool) -> Code:
    """Print the inbox, the longest waiting first."""
    from . import documents

    found: list[Pending] = []
    now = 0.0
    if chosen.has_store():
        async with chosen.app() as app:
            now = app.clock.time()
            found = await app.inbox(roles=roles or None, limit=MOST)
    if as_json:
        documents.write([documents.waiting(item) for item in found])
    elif found:
        table([COLUMNS, *(_cells(item, now) for item in found)], style=_style)
        kinds = {item.why for item in found}
        if kinds & {"approval", "review"}:
            write([[(chosen.command("approve", "REQUEST"), "cyan")]], sys.stderr)
            write([[(chosen.command("reject", "REQUEST", "-m", "why"), "cyan")]], sys.stderr)
        if "ask" in kinds:
            write([[(chosen.command("answer", "REQUEST", "VALUE"), "cyan")]], sys.stderr)
        if "in_doubt" in kinds:
            write([[(chosen.command("answer", "REQUEST", "happened|not_happened|abort"), "cyan")]], sys.stderr)
    else:
        sys.stderr.write("nothing waits for a person\n")
    return Code.OK


def call(item: Pending, width: int = 60) -> str:
    """The held call on one line, each argument cut to `width` characters."""
    args = cast("dict[str, Any]", item.args) if isinstance(item.args, dict) else {}
    return f"{item.tool}({', '.join(f'{name}={clip(_json(value), width)}' for name, value in args.items())})"


def _cells(item: Pending, now: float) -> tuple[str, ...]:
    shown = call(item, 30) if item.tool else clip(item.prompt, 60)
    confidence = "" if item.confidence is None else f"confidence {item.confidence:g}"
    ends = "" if item.due is None else f"in {seconds(max(0.0, item.due - now))}" if item.due > now else local(item.due)
    return (
        item.request,
        visible(_WORDS.get(item.why, "") + shown),
        visible(item.agent or item.member),
        item.run,
        ago(max(0.0, now - item.since)),
        ends,
        visible(", ".join(item.roles)),
        visible("; ".join(part for part in (risk(item), confidence) if part)),
    )


def _style(column: int, cell: str) -> str:
    return "bold red" if column == len(COLUMNS) - 1 and cell.startswith("after ") else ""


def _json(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)
