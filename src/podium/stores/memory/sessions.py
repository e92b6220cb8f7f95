"""Conversations in memory: what runs added to them, and the branches made of them."""

from __future__ import annotations

import msgspec

from podium.core.labels import TRUSTED, Label
from podium.core.messages import Message
from podium.ports import SessionEntry, SessionRow, SessionTurn
from podium.stores.refusals import is_to_branch

_message: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class Session:
    """A conversation: encoded messages, the label each came with, and when they came."""

    __slots__ = ("added", "created", "id", "labels", "messages", "parent", "updated")

    def __init__(self, session: str, at: float, parent: str = "") -> None:
        self.id, self.created, self.updated, self.parent = session, at, at, parent
        self.messages: list[bytes] = []
        self.labels: list[Label | None] = []
        self.added: list[tuple[int, str, float]] = []
        """Where what each run added begins, the run, and when."""

    def row(self) -> SessionRow:
        """The row as it is now."""
        return SessionRow(self.id, self.created, self.updated, len(self.messages), parent=self.parent)


class Sessions:
    """Sessions by id. One that does not exist has no messages."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def extend(self, entry: SessionEntry) -> None:
        """Add what a run said, beginning the session if need be."""
        session = self._sessions.get(entry.session)
        if session is None:
            session = self._sessions[entry.session] = Session(entry.session, entry.at)
        session.added.append((len(session.messages), entry.run, entry.at))
        session.messages += entry.messages
        session.labels += [entry.label] * len(entry.messages)
        session.updated = entry.at

    def row(self, session: str) -> SessionRow | None:
        """A session's row."""
        found = self._sessions.get(session)
        return None if found is None else found.row()

    def rows(self, limit: int) -> list[SessionRow]:
        """Rows, most recently used first."""
        found = sorted(self._sessions.values(), key=lambda session: session.updated, reverse=True)
        return [session.row() for session in found[:limit]]

    def history(self, session: str, start: int, stop: int) -> list[Message]:
        """Messages `start` to `stop` (exclusive)."""
        found = self._sessions.get(session)
        return [] if found is None else [_message.decode(data) for data in found.messages[max(start, 0) : max(stop, 0)]]

    def turns(self, session: str) -> list[SessionTurn]:
        """Everything in a session, by the run that added it."""
        found = self._sessions.get(session)
        if found is None:
            return []
        stops = [start for start, _, _ in found.added[1:]] + [len(found.messages)]
        return [
            SessionTurn(
                run,
                at,
                start,
                tuple(_message.decode(data) for data in found.messages[start:stop]),
                found.labels[start] if start < stop else None,
            )
            for (start, run, at), stop in zip(found.added, stops, strict=True)
        ]

    def label(self, session: str, start: int, stop: int) -> Label:
        """The join of the labels of messages `start` to `stop` (exclusive)."""
        found, label = self._sessions.get(session), TRUSTED
        for one in [] if found is None else found.labels[max(start, 0) : max(stop, 0)]:
            label = label if one is None else label.join(one)
        return label

    def branch(self, session: str, upto: int, new: str, now: float) -> None:
        """Begin a session with the first `upto` messages of another. Raises ConfigurationError."""
        if not is_to_branch(session, upto, new, self.row(session), self.row(new)):
            return
        source = self._sessions[session]
        branch = Session(new, now, session)
        branch.messages, branch.labels = source.messages[:upto], source.labels[:upto]
        branch.added = [added for added in source.added if added[0] < upto]
        self._sessions[new] = branch
