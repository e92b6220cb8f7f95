"""Asking and answering runs from outside: every word goes through the mailbox, and is checked before it is posted.

The desk knows what a run waits for (from its journal) and who may decide. What policy and schemas say of an edited
call or answer it asks its app, so that whoever decides is told at once; the gate judges again when the call is made.
The driver, here or in another process, turns the mail into records.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from podium.core.codec import encode
from podium.core.errors import RequestError, RunNotFound
from podium.core.records import Principal, Resumed
from podium.core.redaction import REDACTED
from podium.core.state import History, fold
from podium.ports import Clock, Mail, Member, RunRow, Store

from .carrying import owner, posted
from .results import Pending, pending_of
from .vault import Vault, strayed

DECISIONS: Final = frozenset({"ask", "approval", "review", "in_doubt"})
"""What a person decides. Other waits end by themselves, or by a signal."""
MOST_DATA: Final = 1024 * 1024
"""Bytes of a decision: edited arguments, an answer, a message."""


class _Same:
    """The absence of an edit, told apart from an edit to None."""


SAME: Final = _Same()


class Referee(Protocol):
    """Says what is wrong with an edit before it is posted; an empty text is nothing that is known."""

    def of_call(self, history: History, item: Pending, args: dict[str, Any], member: Member | None) -> str:
        """Why the gate or the tool would refuse the held call with these arguments."""
        ...

    def of_answer(self, item: Pending, output: Any, member: Member | None) -> str:
        """Why an answer under review may not be replaced by this one."""
        ...


class Desk:
    """Posts mail to the runs of one store."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        posted: Callable[[RunRow], Any],
        *,
        referee: Referee | None = None,
        vault: Vault | None = None,
    ) -> None:
        self._store = store
        self._vault = vault
        """What keeps secrets out of the mail; without one they are posted as they were given."""
        self._clock = clock
        self._posted = posted
        """Called (and awaited) with the run's row after mail was stored."""
        self._referee = referee

    async def history(self, run_id: str) -> History:
        """The run's journal, folded."""
        return fold(await self._store.read(run_id))

    async def pending(self, run_id: str) -> tuple[Pending, ...]:
        """What the run waits for."""
        return pending_of(await self.history(run_id))

    def refusal(self, item: Pending, by: Principal, *, approving: bool = True) -> str:
        """Why this principal may not decide (or approve) this request; empty when they may.

        Whoever is behind a run may always refuse what it asks for.
        """
        if item.roles and not set(item.roles) & set(by.roles):
            return f"{item.request} is for {' or '.join(item.roles)}; {by.id} holds none of these roles"
        if approving and item.apart and by.id == item.principal:
            return f"{by.id} is behind the run and may not approve {item.request}: somebody else must"
        if item.due is not None and item.due <= self._clock.time():
            return f"{item.request} has expired"
        return ""

    async def approve(
        self,
        run_id: str,
        request: str | None = None,
        *,
        args: dict[str, Any] | None = None,
        edit: Any = SAME,
        by: Principal | None = None,
        member: Member | None = None,
    ) -> None:
        """Let a held call go on, or accept an answer under review.

        `args` are other arguments for the call, `edit` only those to change; for an answer `edit` is another one, or
        the fields to change. What is edited passes gate and schema again, and is refused here where that is known;
        `member` is the run's, for an app that does not have it.
        Raises RequestError.
        """
        found, history = await self._find(run_id, request, {"approval", "review"}, by, approving=True)
        data: dict[str, Any] = {}
        if found.why == "review":
            if args is not None:
                raise RequestError(f"{found.request} is about an answer, which has no arguments: use edit")
            data = {"value": self._reviewed(found, edit, member)}
        elif args is not None or edit is not SAME:
            data = {"args": self._edited(history, found, args if args is not None else _changed(found, edit), member)}
        await self._post(run_id, "approve", found.request, self._sealed(history, data), by)

    async def reject(
        self, run_id: str, request: str | None = None, *, message: str = "", by: Principal | None = None
    ) -> None:
        """Refuse a held call, an answer under review or a question; `message` goes to the member (and its model)."""
        found, _ = await self._find(run_id, request, {"approval", "ask", "review"}, by)
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
        """Answer a question; or send an answer under review back with feedback; or settle a step in doubt:
        `happened` (with its `result`), `not_happened`, `abort`."""
        found, history = await self._find(run_id, request, {"ask", "in_doubt", "review"}, by)
        if found.why == "in_doubt":
            choice = str(value).replace("-", "_")
            if choice not in found.choices:
                raise RequestError(f"say what came of it: {', '.join(found.choices)} (not {value!r})")
            if choice == "not_happened":
                await self._safe_to_repeat(run_id)
            data = self._sealed(history, {"choice": choice, "result": result})
            await self._post(run_id, "resolve", found.request, data, by)
            return
        if found.why == "review":
            value = _feedback(found, value)
        elif found.choices and value not in found.choices:
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

    async def _find(
        self, run_id: str, request: str | None, kinds: set[str], by: Principal | None, *, approving: bool = False
    ) -> tuple[Pending, History]:
        history = await self.history(run_id)
        waiting = [item for item in pending_of(history) if item.why in DECISIONS]
        if request is None:
            fitting = [item for item in waiting if item.why in kinds]
            if not fitting:
                raise RequestError(f"run {run_id} waits for no {' or '.join(sorted(kinds))}" + _listed(waiting))
            if len(fitting) > 1:
                raise RequestError(f"run {run_id} waits for several; name one" + _listed(fitting))
            request = fitting[0].request
        if any(mail.request == request and mail.kind != "signal" for mail in await self._store.unread(run_id)):
            raise RequestError(f"{request} was decided already; the run has not taken it up yet")
        for item in waiting:
            if item.request == request:
                if item.why not in kinds:
                    raise RequestError(f"{request} is {_WHAT[item.why]}: use {_VERBS[item.why]}")
                if not isinstance(cast("object", by), Principal | None):
                    raise RequestError(f"by={by!r} is nobody: write Principal('ann', roles=('finance',))")
                refused = self.refusal(item, by or Principal(), approving=approving)
                if refused:
                    raise RequestError(refused)
                return item, history
        raise RequestError(f"run {run_id} does not wait for {request!r} (decided already?)" + _listed(waiting))

    def _edited(self, history: History, item: Pending, args: dict[str, Any], member: Member | None) -> dict[str, Any]:
        """The arguments to post. Raises RequestError for those that are known to be refused."""
        if "edit" not in item.choices:
            raise RequestError(f"{item.request} cannot be edited: {', '.join(item.choices)}")
        if self._vault is not None and self._vault.mask(plain := encode(args)) is not plain:
            raise RequestError(
                "the edit holds a secret of the environment, which no call is given from outside: let the tool read "
                "its credentials itself"
            )
        if strayed(args, item.args):
            raise RequestError(
                f"the edit has {REDACTED} where no hidden value was: leave those where they are, in lists of the same "
                "length, or write what is meant"
            )
        problem = "" if self._referee is None else self._referee.of_call(history, item, args, member)
        if problem:
            raise RequestError(f"the edited call would be refused: {problem}")
        return args

    def _reviewed(self, item: Pending, edit: Any, member: Member | None) -> dict[str, Any]:
        """The word on an answer. Raises RequestError for an edit that does not fit."""
        if edit is SAME:
            return {"decision": "approve"}
        merged = edit
        if isinstance(edit, dict) and isinstance(item.output, dict):
            merged = {**cast("dict[str, Any]", item.output), **cast("dict[str, Any]", edit)}
        problem = "" if self._referee is None else self._referee.of_answer(item, merged, member)
        if problem:
            raise RequestError(f"the edited answer does not fit: {problem}")
        return {"decision": "edit", "output": edit}

    def _sealed(self, history: History, data: dict[str, Any]) -> dict[str, Any]:
        """A decision with tokens in place of secrets: it lies in the mail, and then in the journal."""
        started = history.facts.started
        return data if self._vault is None or started is None else posted(self._vault, data, owner(started.principal))

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
        content = encode(data) if self._vault is None else self._vault.mask(encode(data))
        if kind != "signal" and len(content) > MOST_DATA:
            raise RequestError(f"a decision has at most {MOST_DATA >> 20} MiB, not {len(content):,} bytes")
        mail = Mail(f"{run_id}:{name}", run_id, kind, request, content, by or Principal(), self._clock.time())
        await self._posted(await self._store.post(mail))
        if mail_id is None and kind != "signal":
            await self._was_first(mail)

    async def _was_first(self, mail: Mail) -> None:
        """Raise RequestError when somebody else decided in the same moment: the store kept their word, not this one."""
        kept = next((each for each in await self._store.unread(mail.run) if each.id == mail.id), None)
        if kept is not None:
            lost, by = (kept.by, kept.kind, kept.data) != (mail.by, mail.kind, mail.data), kept.by
        else:
            taken = (await self.history(mail.run)).decisions.get(mail.request)
            if taken is None:
                return
            lost, by = (taken.by, taken.kind) != (mail.by, mail.kind), taken.by
        if lost:
            raise RequestError(f"{mail.request} was decided by {by.id} in the same moment; that word stands, not yours")


def _changed(item: Pending, edit: Any) -> dict[str, Any]:
    """The arguments of a held call with some of them changed."""
    if not isinstance(edit, dict):
        raise RequestError(f"an edit names the arguments to change, not {type(edit).__name__}")
    shown = cast("dict[str, Any]", item.args) if isinstance(item.args, dict) else {}
    return {**shown, **cast("dict[str, Any]", edit)}


def _feedback(item: Pending, value: Any) -> dict[str, Any]:
    if "feedback" not in item.choices:
        raise RequestError(f"there is no round left for feedback on {item.request}: approve, edit or reject it")
    if not isinstance(value, str) or not value.strip():
        raise RequestError("feedback is what the agent is told, as text")
    return {"decision": "feedback", "text": value}


def _listed(items: list[Pending]) -> str:
    if not items:
        return ""
    return ": " + "; ".join(f"{item.request} ({item.why}: {item.prompt})" for item in items)


_WHAT: Final = {
    "ask": "a question",
    "approval": "an approval",
    "review": "a review of an answer",
    "in_doubt": "a step in doubt",
}
_VERBS: Final = {
    "ask": "answer",
    "approval": "approve or reject",
    "review": "approve, reject or answer",
    "in_doubt": "answer",
}
