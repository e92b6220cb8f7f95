"""Sessions as people and programs look at them: a conversation with its times, its tool calls, and the runs behind it.

A session begins with the first run that names it and only grows; this is a reading of it, made anew at each call.
"""

from __future__ import annotations

from typing import Any

import msgspec

from podium.core.messages import Message, ToolCall
from podium.ports import SessionRow, SessionTurn


class SessionMessage(msgspec.Struct, frozen=True):
    """One message of a session: who said it, what, when (epoch seconds), and in which run (in `metadata`)."""

    role: str
    content: str
    timestamp: float
    message: Message
    metadata: dict[str, Any] = {}


class Session(msgspec.Struct, frozen=True):
    """A conversation that outlives runs. Times are epoch seconds; 0 for a session nobody has used yet."""

    id: str
    messages: tuple[SessionMessage, ...] = ()
    created: float = 0.0
    updated: float = 0.0
    schema: int = 1
    parent: str = ""
    """The session it was branched from."""

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """All tool calls of the conversation, in order."""
        return tuple(call for said in self.messages for call in said.message.tool_calls)

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs that added to it, in order."""
        return tuple(dict.fromkeys(str(said.metadata["run"]) for said in self.messages))


def session_of(name: str, row: SessionRow | None, turns: list[SessionTurn]) -> Session:
    """A session from what the store has of it."""
    said = tuple(
        SessionMessage(message.role, _content(message), turn.at, message, {"run": turn.run})
        for turn in turns
        for message in turn.messages
    )
    if row is None:
        return Session(name)
    return Session(row.id, said, row.created, row.updated, row.schema, row.parent)


def _content(message: Message) -> str:
    """A message as one text: what was said, else the tools that were called or answered."""
    if message.text:
        return message.text
    return ", ".join(
        f"{part.name}(…)" if isinstance(part, ToolCall) else getattr(part, "content", "") for part in message.parts
    )
