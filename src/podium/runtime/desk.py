"""Asking and answering runs from outside: every word goes through the mailbox, and is checked before it is posted.

The desk knows what a run waits for (from its journal) and who may decide. The driver, here or in another process,
turns the mail into records.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from podium.core.codec import encode
from podium.core.errors import RequestError, RunNotFound
from podium.core.records import Principal, Resumed
from podium.core.state import History, fold
from podium.ports import Clock, Mail, RunRow, Store

from .results import Pending, pending_of

DECISIONS = frozenset({"ask", "approval", "in_doubt"})


class Desk:
    """Posts mail to the runs of one store."""

    def __init__(self, store: Store, clock: Clock, posted: Callable[[RunRow], Any]) -> None:
        self._store = store
        self._clock = clock
        self._posted = posted
        """Called (and awaited) with the run's row after mail was stored."""

    async def history(self, run_id: str) -> History:
        """The run's journal, folded."""
        return fold(await self._store.read(run_id))

    async def pending(self, run_id: str) -> tuple[Pending, ...]:
        """What the run waits for."""
        return pending_of(await self.history(run_id))

    async def approve(
        self,
        run_id: str,
        request: str | None = None,
        *,
        args: dict[str, Any] | None = None,
        by: Principal | None = None,
    ) -> None:
        """Let a held call go on, with other arguments if `args` is given (they pass the gate again)."""
        found = await self._find(run_id, request, {"approval"}, by)
        await self._post(run_id, "approve", found.request, {} if args is None else {"args": args}, by)

    async def reject(
        self, run_id: str, request: str | None = None, *, message: str = "", by: Principal | None = None
    ) -> None:
        """Refuse a held call or a question; `message` goes to the member (and so to its model)."""
        found = await self._find(run_id, request, {"approval", "ask"}, by)
        await self._post(run_id, "reject", found.request, {"message": message}, by)

    async def answer(
        self,
        run_id: str,
        request: str | None = None,
        value: Any = None,
        *,
        result: Any = None,
        by: Principal | None = None,
    ) -> None:
        """Answer a question; or settle a step in doubt: `happened` (with its `result`), `not_happened`, `abort`."""
        found = await self._find(run_id, request, {"ask", "in_doubt"}, by)
        if found.why == "in_doubt":
            choice = str(value).replace("-", "_")
            if choice not in found.choices:
                raise RequestError(f"say what came of it: {', '.join(found.choices)} (not {value!r})")
            if choice == "not_happened":
                await self._safe_to_repeat(run_id)
            await self._post(run_id, "resolve", found.request, {"choice": choice, "result": result}, by)
            return
        if found.choices and value not in found.choices:
            raise RequestError(f"the answer must be one of: {', '.join(found.choices)} (not {value!r})")
        await self._post(run_id, "answer", found.request, {"value": value}, by)

    async def signal(self, run_id: str, name: str, value: Any = None, *, mail_id: str | None = None) -> None:
        """Send a signal; `mail_id` makes sending it twice harmless."""
        await self._post(run_id, "signal", name, {"value": value}, None, mail_id=mail_id)

    async def cancel(self, run_id: str, *, by: Principal | None = None) -> None:
        """Ask the run to stop. Its members may clean up; it then ends as `cancelled`."""
        row = await self._store.row(run_id)
        if row is None:
            raise RunNotFound(f"there is no run {run_id}; `podium runs` lists them")
        if row.status.over:
            raise RequestError(f"run {run_id} is over already ({row.status})")
        await self._post(run_id, "cancel", "", {}, by, mail_id=f"cancel:{run_id}")

    async def _find(self, run_id: str, request: str | None, kinds: set[str], by: Principal | None) -> Pending:
        waiting = [item for item in await self.pending(run_id) if item.why in DECISIONS]
        fitting = [item for item in waiting if item.why in kinds]
        if request is None:
            if len(fitting) == 1:
                return await self._find(run_id, fitting[0].request, kinds, by)
            if not fitting:
                raise RequestError(f"run {run_id} waits for no {' or '.join(sorted(kinds))}" + _listed(waiting))
            raise RequestError(f"run {run_id} waits for several; name one" + _listed(fitting))
        if any(mail.request == request for mail in await self._store.unread(run_id)):
            raise RequestError(f"{request} was decided already; the run has not taken it up yet")
        for item in waiting:
            if item.request == request:
                if item.why not in kinds:
                    verbs = "approve or reject" if item.why == "approval" else "answer"
                    raise RequestError(f"{request} is {_a(item.why)}: use {verbs}")
                return self._allowed(item, by)
        raise RequestError(f"run {run_id} does not wait for {request!r} (decided already?)" + _listed(waiting))

    def _allowed(self, item: Pending, by: Principal | None) -> Pending:
        who = by or Principal()
        if item.roles and not set(item.roles) & set(who.roles):
            raise RequestError(f"{item.request} is for {' or '.join(item.roles)}; {who.id} holds none of these roles")
        if item.due is not None and item.due <= self._clock.time():
            raise RequestError(f"{item.request} has expired")
        return item

    async def _safe_to_repeat(self, run_id: str) -> None:
        """Refuse "it did not happen" while a driver whose lease was taken may still be doing it."""
        until = None
        for record in await self._store.read(run_id):
            if isinstance(record, Resumed):
                until = record.stolen_until
        now = self._clock.time()
        if until is not None and until > now:
            raise RequestError(f"the run was taken from a process that may still act; ask again in {until - now:.0f} s")

    async def _post(
        self,
        run_id: str,
        kind: str,
        request: str,
        data: dict[str, Any],
        by: Principal | None,
        *,
        mail_id: str | None = None,
    ) -> None:
        # A decision's id is its request: the second word on the same request is the same mail, and changes nothing.
        name = mail_id or (f"{kind}:{secrets.token_hex(8)}" if kind == "signal" else f"decide:{request}")
        mail = Mail(f"{run_id}:{name}", run_id, kind, request, encode(data), by or Principal(), self._clock.time())
        await self._posted(await self._store.post(mail))


def _listed(items: list[Pending]) -> str:
    if not items:
        return ""
    return ": " + "; ".join(f"{item.request} ({item.why}: {item.prompt})" for item in items)


def _a(why: str) -> str:
    return {"ask": "a question", "approval": "an approval", "in_doubt": "a step in doubt"}.get(why, why)
