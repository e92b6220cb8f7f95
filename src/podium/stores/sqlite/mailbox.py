"""Mail to runs in the file. The table exists once something was posted; until then there is no mail."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from podium.core.codec import encode
from podium.core.records import Principal, Status
from podium.ports import Mail, RunRow
from podium.stores.refusals import no_run

from . import runs, sql
from .files import Database

_principal: msgspec.msgpack.Decoder[Principal] = msgspec.msgpack.Decoder(Principal)


def post(db: Database, mail: Mail, now: float) -> RunRow:
    """Keep mail, once per run and id, and wake its run if it waits; the run's row after that. In a transaction.

    Raises RunNotFound.
    """
    found = db.execute(sql.ADDRESSEE, (mail.run,)).fetchone()
    if found is None:
        raise no_run(mail.run)
    number, status, tick = found
    db.need("mail")
    known = db.execute(sql.KNOWN, (number, mail.id)).fetchone()
    if known is None:
        db.execute(sql.POST, (number, mail.id, tick, mail.kind, mail.request, mail.data, encode(mail.by), mail.at))
        db.execute(sql.COUNT_MAIL, (number,))
    if status == Status.SUSPENDED.value and (known is None or not known[0]):
        db.execute(sql.WAKE, (now, number))
    return runs.to_row(db.execute(sql.ROW, (mail.run,)).fetchone())


def unread(db: Database, run_id: str) -> list[Mail]:
    """A run's mail that was not read, oldest first."""
    if not db.has("mail"):
        return []
    found = db.query(sql.UNREAD, (run_id,))
    return [Mail(*values[:5], by=_principal.decode(values[5]), at=values[6]) for values in found]


def unread_runs(db: Database, run_ids: Sequence[str]) -> list[str]:
    """Which of these runs have unread mail."""
    if not db.has("mail"):
        return []
    return [run_id for run_id in run_ids if db.query(sql.HAS_UNREAD_BY_ID, (run_id,))[0][0]]
