"""A handle on one run: its status, its outcome, its records, and the words one may send it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from podium.core.deltas import Transient
from podium.core.records import RECORDS, Principal, Record, Status

from .desk import SAME, Desk
from .results import Pending, RunResult


class Office(Protocol):
    """What a handle needs of its app."""

    @property
    def desk(self) -> Desk:
        """Where mail to runs is posted."""
        ...

    def status(self, run_id: str) -> Status:
        """The run's present state."""
        ...

    async def settled(self, run_id: str, *, over: bool) -> RunResult[Any]:
        """The result once the run is over (or, without `over`, unloaded)."""
        ...

    def follow(self, run_id: str, *, stop_at_suspension: bool) -> AsyncIterator[Record | Transient]:
        """Records from the first, then what is live."""
        ...


class Handle:
    """Returned by `app.start(…)` and `app.handle(run_id)`."""

    __slots__ = ("_office", "run_id")

    def __init__(self, office: Office, run_id: str) -> None:
        self._office = office
        self.run_id = run_id

    @property
    def status(self) -> Status:
        """The run's present state, as its row has it. Raises RunNotFound."""
        return self._office.status(self.run_id)

    async def result(self) -> RunResult[Any]:
        """The outcome, once the run is over, however long it waits for people."""
        return await self._office.settled(self.run_id, over=True)

    async def settled(self) -> RunResult[Any]:
        """The outcome, or what the run waits for, once it does nothing any more."""
        return await self._office.settled(self.run_id, over=False)

    async def pending(self) -> tuple[Pending, ...]:
        """What the run waits for."""
        return await self._office.desk.pending(self.run_id)

    async def records(self) -> AsyncIterator[Record]:
        """Every record from the first, until the run is over."""
        async for event in self._office.follow(self.run_id, stop_at_suspension=False):
            if isinstance(event, RECORDS):
                yield event

    async def events(self) -> AsyncIterator[Record | Transient]:
        """Records and deltas, until the run is over."""
        async for event in self._office.follow(self.run_id, stop_at_suspension=False):
            yield event

    async def approve(
        self,
        request: str | None = None,
        *,
        args: dict[str, Any] | None = None,
        edit: Any = SAME,
        by: Principal | None = None,
    ) -> None:
        """Let a held call go on, or accept an answer under review; `args` or `edit` change it. See `Desk.approve`."""
        await self._office.desk.approve(self.run_id, request, args=args, edit=edit, by=by)

    async def reject(self, request: str | None = None, *, message: str = "", by: Principal | None = None) -> None:
        """Refuse a held call, an answer under review, or a question."""
        await self._office.desk.reject(self.run_id, request, message=message, by=by)

    async def answer(
        self, request: str | None = None, value: Any = None, *, result: Any = None, by: Principal | None = None
    ) -> None:
        """Answer a question, give feedback on an answer under review, or settle a step in doubt."""
        await self._office.desk.answer(self.run_id, request, value, result=result, by=by)

    async def signal(self, name: str, value: Any = None, *, mail_id: str | None = None) -> None:
        """Send a signal."""
        await self._office.desk.signal(self.run_id, name, value, mail_id=mail_id)

    async def cancel(self, *, by: Principal | None = None) -> None:
        """Ask the run to stop."""
        await self._office.desk.cancel(self.run_id, by=by)

    def __repr__(self) -> str:
        return f"Handle({self.run_id})"
