"""The live tree of a run on a terminal: steps as they happen, with time and cost.

It folds the records it is told of, as everything else that reads a run does, and draws on stderr a few times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncGenerator, Callable

from podium.core.deltas import Progress as ToolProgress
from podium.core.deltas import Reset, TextDelta, Transient
from podium.core.records import RECORDS, Record
from podium.core.state import History

from .attempts import Attempts
from .screen import describe, is_terminal
from .tree import NOISE, Line, grow, lines
from .words import clip, seconds, visible

Listener = Callable[[int, Record | Transient], None]
"""Told of every record (with its number) and of everything that passes by (with 0), in order."""

INTERVAL = 0.125
"""Seconds between two drawings."""
_TAIL = 400
"""Characters of a reply being written that are kept for the last line."""
_MOST_KEYS = 64


class Tree:
    """What is drawn of one run."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._history = History()
        self._attempts = Attempts()
        self._began = time.time()
        self._writing: dict[str, str] = {}
        self._reports: dict[str, str] = {}
        self.changed = True

    def listen(self, seq: int, event: Record | Transient) -> None:
        """Take note of an event."""
        self.changed = True
        if isinstance(event, RECORDS):
            self._history.apply(event)
            self._attempts.apply(event)
            key = getattr(event, "key", "")
            self._writing.pop(key, None)
            self._reports.pop(key, None)
        elif isinstance(event, TextDelta) and len(self._writing) < _MOST_KEYS:
            self._writing[event.key] = (self._writing.get(event.key, "") + event.text)[-_TAIL:]
        elif isinstance(event, Reset):
            self._writing.pop(event.key, None)
        elif isinstance(event, ToolProgress) and len(self._reports) < _MOST_KEYS:
            share = "" if event.fraction is None else f"{event.fraction:.0%} "
            self._reports[event.key] = share + clip(event.message, _TAIL)

    def lines(self, width: int, height: int) -> list[Line]:
        """The picture: a head line, then as much of the tree as fits, the newest steps last."""
        now = time.time()
        drawn = lines(grow(self._history, self._attempts, without=NOISE), now=now, fold=True)
        said = [*self._reports.values(), *list(self._writing.values())[-1:]]
        passing: list[Line] = [[("  " + _end(text, width - 4), "dim italic")] for text in said[:3]]
        room = max(3, height - 2 - len(passing))
        head: Line = [(self._run_id, "bold"), (f"  {seconds(now - self._began)}, {describe(self._history)}", "dim")]
        if len(drawn) > room:
            left = len(drawn) - room + 1
            drawn = [drawn[0], [(f"  … {left} earlier steps", "dim")], *drawn[left + 1 :]]
        return [head, *drawn, *passing]


def _end(text: str, width: int) -> str:
    """The end of a text, on one line."""
    shown = " ".join(visible(text).split())
    return shown if len(shown) <= width else "…" + shown[-max(width - 1, 1) :]


@contextlib.asynccontextmanager
async def shown(run_id: str, *, quiet: bool) -> AsyncGenerator[Listener | None]:
    """Draw a run while the block lasts, if stderr is a terminal; the value is to be told of its events."""
    if quiet or not is_terminal(sys.stderr):
        yield None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    tree = Tree(run_id)
    console = Console(file=sys.stderr, highlight=False, markup=False, emoji=False)

    def picture() -> Text:
        width, height = console.size
        drawn = [Text.assemble(*line, no_wrap=True, overflow="ellipsis") for line in tree.lines(width, height)]
        for line in drawn:
            line.truncate(width - 1, overflow="ellipsis")
        return Text("\n").join(drawn)

    # Not rich's own thread: the history must not change while it is read.
    live = Live(
        console=console,
        auto_refresh=False,
        redirect_stdout=sys.stdout.isatty(),
        vertical_overflow="crop",
        transient=False,
    )

    async def draw() -> None:
        while True:
            live.update(picture(), refresh=True)
            await asyncio.sleep(INTERVAL)

    with live:
        drawing = asyncio.get_running_loop().create_task(draw())
        try:
            yield tree.listen
        finally:
            drawing.cancel()
            await asyncio.wait({drawing})
            live.update(picture(), refresh=True)
