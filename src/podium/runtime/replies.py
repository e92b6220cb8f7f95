"""Replies made fit for the journal, and their pieces for whoever is listening."""

from __future__ import annotations

from podium.core.actions import Kind
from podium.core.codec import encode
from podium.core.deltas import Delta, TextDelta, ThinkingDelta, ToolCallDelta
from podium.core.messages import AnyPart, Message, Reply, Text, ToolCall
from podium.ports import Emitter

from .run import Run


def with_ids(reply: Reply, seq: int) -> Reply:
    """The reply with an id for each tool call that has none; derived from the journal, so the same on every machine."""
    parts = reply.message.parts
    for part in parts:
        if type(part) is ToolCall and part.id is None:
            break
    else:
        return reply
    numbered = tuple(
        [
            ToolCall(part.name, part.args, f"call_{seq}_{index}", part.invalid, part.signature)
            if type(part) is ToolCall and part.id is None
            else part
            for index, part in enumerate(parts)
        ]
    )
    message = reply.message
    return Reply(Message(message.role, numbered, message.name), reply.usage, reply.finish, reply.model, reply.cost)


def storable(reply: Reply) -> Reply:
    """The reply with what no journal can hold (a lone surrogate, a number beyond 64 bits) replaced or refused."""
    message = reply.message
    parts = tuple([_storable_part(part) for part in message.parts])
    return Reply(Message(message.role, parts), reply.usage, reply.finish, reply.model, reply.cost)


def _storable_part(part: AnyPart) -> AnyPart:
    try:
        encode(part)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(part, ToolCall):
            why = part.invalid or f"they hold a value that cannot be stored ({error})"
            return ToolCall(_sound(part.name), {}, part.id, _sound(why))
        return Text(_sound(getattr(part, "text", "") or "[a part that cannot be stored]"))
    return part


def _sound(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def emitter(run: Run, key: str, attempt: int, *, withheld: bool) -> Emitter | None:
    """Passes the pieces of a reply to live subscribers; None when there are none.

    Where a person or a check judges answers, text is held back: a piece that was shown cannot be withheld any more.
    """
    if not run.heard:
        return None
    judged = withheld or run.services.gate.concerns(Kind.ANSWER)

    def emit(delta: Delta) -> None:
        if judged and isinstance(delta, TextDelta | ThinkingDelta):
            return
        if isinstance(delta, TextDelta):
            run.transient(TextDelta(delta.text, key, attempt, delta.offset))
        elif isinstance(delta, ThinkingDelta):
            run.transient(ThinkingDelta(delta.text, key, attempt, delta.offset))
        else:
            run.transient(ToolCallDelta(delta.index, delta.name, delta.arguments, key, attempt, delta.offset))

    return emit
