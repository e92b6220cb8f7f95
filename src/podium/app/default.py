"""The runner of members that were given no app: an in-memory app for each event loop, which keeps few runs."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from podium.agents.member import RunOptions
from podium.core.deltas import Transient
from podium.core.records import Record
from podium.ports import Member
from podium.runtime.results import RunResult

from .loops import background_loop
from .podium import Podium

KEPT = 256
"""Finished runs that such an app remembers."""


class DefaultRunner:
    """The runner of members that were given no app: an in-memory app for each event loop."""

    def __init__(self) -> None:
        self._apps: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Podium] = weakref.WeakKeyDictionary()

    def _app(self, loop: asyncio.AbstractEventLoop) -> Podium:
        app = self._apps.get(loop)
        if app is None:
            app = self._apps[loop] = Podium(keep=KEPT, model=os.environ.get("PODIUM_MODEL"))
        return app

    def run(
        self, member: Member, input: Any = None, *, options: RunOptions | None = None
    ) -> Coroutine[Any, Any, RunResult[Any]]:
        """Run on the app of the running loop."""
        return self._app(asyncio.get_running_loop()).run(member, input, options=options)

    def run_sync(self, member: Member, input: Any = None, *, options: RunOptions | None = None) -> RunResult[Any]:
        """Run on the app of the background loop."""
        app = self._app(background_loop())
        return app.run_sync(member, input, options=options)

    def stream(
        self, member: Member, input: Any = None, *, options: RunOptions | None = None
    ) -> AsyncGenerator[Record | Transient, None]:
        """Stream from the app of the running loop."""
        return self._app(asyncio.get_running_loop()).stream(member, input, options=options)
