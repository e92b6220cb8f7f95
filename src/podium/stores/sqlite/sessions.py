"""Conversations in the file: a chain of entries each, of which a branch shares the beginning.

The tables exist once a run has said something; until then there are no sessions.
"""

from __future__ import annotations

import msgspec

from podium.core.codec import encode
from podium.core.labels import TRUSTED, Label
from podium.core.messages import Message
from podium.core.records import frame
from podium.ports import SessionEntry, SessionRow, SessionTurn
from podium.stores.refusals import is_to_branch

from . import sql
from .files import Database

_messages: msgspec.msgpack.Decoder[list[Message]] = msgspec.msgpack.Decoder(list[Message])
_label: msgspec.msgpack.Decoder[Label] = msgspec.msgpack.Decoder(Label)


def extend(db: Database, entry: SessionEntry) -> int:
    """Add what a run said, beginning the session if need be; how many bytes were written. In a transaction."""
    db.need("sessions")
    found = db.execute(sql.SESSION_TAIL, (entry.session,)).fetchone()
    count, last = found or (0, None)
    body = frame(list(entry.messages))
    label = None if entry.label is None else encode(entry.label)
    db.execute(sql.ENTRY, (last, count, entry.run, entry.at, label, body))
    last, count = db.cursor.lastrowid, count + len(entry.messages)
    if found is None:
        db.execute(sql.NEW_SESSION, (entry.session, entry.at, entry.at, count, "", last))
    else:
        db.execute(sql.EXTEND_SESSION, (entry.at, count, last, entry.session))
    return len(body)


def branch(db: Database, session: str, upto: int, new: str, now: float) -> None:
    """Begin a session at an entry of another; nothing is copied. In a transaction. Raises ConfigurationError."""
    db.need("sessions")
    if not is_to_branch(session, upto, new, row(db, session), row(db, new)):
        return
    entry = db.execute(sql.ENTRY_BEFORE, (session, upto - 1, upto)).fetchone() if upto else None
    db.execute(sql.NEW_SESSION, (new, now, now, upto, session, entry and entry[0]))


def row(db: Database, session: str) -> SessionRow | None:
    """A session's row."""
    found = db.query(sql.SESSION, (session,)) if db.has("sessions") else []
    return SessionRow(*found[0]) if found else None


def rows(db: Database, limit: int) -> list[SessionRow]:
    """Rows, most recently used first."""
    if not db.has("sessions"):
        return []
    return [SessionRow(*values) for values in db.query(sql.SESSIONS, (limit,))]


def history(db: Database, session: str, start: int, stop: int) -> list[Message]:
    """Messages `start` to `stop` (exclusive)."""
    start = max(start, 0)
    if stop <= start or not db.has("sessions"):
        return []
    messages: list[Message] = []
    for first, end, body in db.query(sql.HISTORY, (session, start, stop)):
        messages += _messages.decode(body)[max(start - first, 0) : min(end, stop) - first]
    return messages


def turns(db: Database, session: str) -> list[SessionTurn]:
    """Everything in a session, by the run that added it."""
    if not db.has("sessions"):
        return []
    return [
        SessionTurn(
            run,
            at,
            start,
            tuple(_messages.decode(body)[: stop - start]),
            None if label is None else _label.decode(label),
        )
        for run, at, start, stop, label, body in db.query(sql.TURNS, (session, 0))
    ]


def label(db: Database, session: str, start: int, stop: int) -> Label:
    """The join of the labels of messages `start` to `stop` (exclusive)."""
    start = max(start, 0)
    joined = TRUSTED
    if stop > start and db.has("sessions"):
        for (data,) in db.query(sql.LABELS, (session, start, stop, start)):
            joined = joined.join(_label.decode(data))
    return joined
