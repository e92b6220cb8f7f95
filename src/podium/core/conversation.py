"""How tool outcomes become messages, and how a journal gives a conversation back.

The agent loop and everything that shows a request use the same functions, so what is shown is what was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from .codec import decode, is_erased
from .errors import Erased, Failure
from .messages import Message, Reply, Text, ToolCall, ToolResult, tool_results
from .records import NIL, Began, Ended
from .state import History
from .transcript import FromPin, FromSession, FromSteps, Inline, Origin

MOST_RESULT = 60_000
"""Characters of a tool's result that a model is shown."""

_reply = msgspec.msgpack.Decoder(Reply)


def result_text(value: object) -> str:
    """A tool's plain result as a model reads it: text as it is, everything else as JSON."""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    if len(text) <= MOST_RESULT:
        return text
    return f"{text[:MOST_RESULT]}\n[{len(text) - MOST_RESULT} more characters were left out]"


def result_part(call: ToolCall, value: object, failure: Failure | None) -> ToolResult:
    """The part that answers `call`."""
    if failure is None:
        return ToolResult(call.id or "", call.name, result_text(value))
    return ToolResult(call.id or "", call.name, str(failure), is_error=True)


class Conversation:
    """Rebuilds the messages of a model call from the journal.

    `pinned` gives the system message for the address of an agent's configuration; `session` gives messages of a
    session; `blob` gives values that stand apart from their record. Each may raise; the message is then left out.
    """

    def __init__(
        self,
        history: History,
        *,
        pinned: Callable[[str], Message | None] = lambda _: None,
        session: Callable[[str, int, int], Sequence[Message]] = lambda _name, _start, _stop: (),
        blob: Callable[[str], bytes] = lambda _: b"\xc0",
    ) -> None:
        self._by_seq = {step.ended_seq: step for step in history.steps.values() if step.ended is not None}
        self._history = history
        self._pinned = pinned
        self._session = session
        self._blob = blob

    def of(self, began: Began, all_began: dict[int, Began]) -> list[Message]:
        """What the model was given in the call that `began` opens."""
        chain: list[Began] = [began]
        while chain[-1].previous and chain[-1].previous in all_began:
            chain.append(all_began[chain[-1].previous])
        messages: list[Message] = []
        for link in reversed(chain):
            for origin in link.added:
                messages.extend(self._messages(origin, link, messages))
        return messages

    def _messages(self, origin: Origin, began: Began, before: list[Message]) -> Sequence[Message]:
        if isinstance(origin, Inline):
            return (origin.message,)
        if isinstance(origin, FromPin):
            message = self._pinned(self._history.facts.pins.get(began.agent, ""))
            return () if message is None else (message,)
        if isinstance(origin, FromSession):
            return self._session(origin.session, origin.start, origin.stop)
        return self._from_steps(origin, before)

    def _from_steps(self, origin: FromSteps, before: list[Message]) -> Sequence[Message]:
        steps = [self._by_seq[seq] for seq in origin.seqs if seq in self._by_seq]
        if len(steps) == 1 and steps[0].kind == "model" and steps[0].ended is not None:
            return (self.reply(steps[0].ended).message,)
        calls = before[-1].tool_calls if before else ()
        parts: list[ToolResult] = []
        for call, step in zip(calls, steps, strict=False):
            ended = step.ended
            if ended is not None:
                parts.append(result_part(call, self._value(ended), ended.error))
        return (tool_results(*parts),) if parts else ()

    def _value(self, ended: Ended) -> object:
        try:
            return decode(self._blob(ended.blob) if ended.blob else ended.value)
        except Erased:
            return "[erased]"

    def reply(self, ended: Ended) -> Reply:
        """The reply a model step ended with; of one that was erased, a message that says so."""
        if is_erased(ended.value):
            return Reply(Message("assistant", (Text("[erased]"),)))
        data = self._blob(ended.blob) if ended.blob else ended.value
        if bytes(data) == bytes(NIL):
            return Reply(Message("assistant", (Text("[a long reply, which is not at hand here]"),)))
        return _reply.decode(data)
