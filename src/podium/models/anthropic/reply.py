"""The body, or the stream, of a Messages answer to our reply.

Pure: bytes in, deltas and a reply out, the same for any chunking. Blocks keep their order. What is not known is kept as
`Raw`, an unknown event ignored. It never stays silent about an answer that was cut, empty or withheld, and never turns
what a model wrote into a call it did not make. It knows no connection and no retries; `blocks` puts the parts together.

The wire: https://platform.claude.com/docs/en/build-with-claude/streaming (as of 2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from podium.core.deltas import Delta
from podium.core.errors import ContentFiltered, MalformedReply, ModelError
from podium.core.messages import Message, Reply
from podium.core.usage import Usage
from podium.models.errors import error_in_reply
from podium.models.one_line import one_line
from podium.models.reading import Json, count, cut_off, no_answer, parse, table, tables
from podium.models.reading import text as text_of
from podium.models.sse import EventStream

from .blocks import Blocks
from .failure import CLAUDE, claude_error

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}
_COUNTS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def decode_reply(body: bytes | Mapping[str, Any], *, model: str = "", server: str = "the server") -> Reply:
    """The reply in a whole body (of status 200). A body that is a stream after all is read as one.

    Raises MalformedReply when there is none in it, ContentFiltered when it was withheld, and the error that an error
    object in it means.
    """
    if isinstance(body, bytes):
        if body.lstrip()[:5] in (b"data:", b"event"):
            decoder = ClaudeStream(model=model, server=server)
            decoder.feed(body)
            return decoder.finish()
        fields = parse(body, model=model, server=server, wire=CLAUDE.wire)
    else:
        fields = dict(body)
    if error_in_reply(fields) or fields.get("type") == "error":
        raise claude_error(200, fields, model=model, server=server)
    content = fields.get("content")
    if not isinstance(content, list):
        raise _none(fields, model, server)
    blocks = Blocks()
    for index, block in enumerate(tables(cast("object", content))):
        blocks.start(index, block)
    answer = _Answer(model, server)
    answer.take(fields)
    answer.stopped(fields)
    return answer.reply(blocks)


class ClaudeStream:
    """A stream's bytes (or payloads) to deltas, and at the end the reply. The reply is the same for any chunking."""

    __slots__ = ("_answer", "_blocks", "_closed", "_events", "_seen")

    def __init__(self, *, model: str = "", server: str = "the server") -> None:
        self._events = EventStream()
        self._blocks = Blocks()
        self._answer = _Answer(model, server)
        self._closed = False
        self._seen = False

    @property
    def text(self) -> str:
        """The answer's text so far."""
        return self._blocks.text

    @property
    def complete(self) -> bool:
        """Whether the server said that its answer is whole; what follows may be lost without harm."""
        return self._closed or bool(self._answer.reason)

    def feed(self, chunk: bytes) -> list[Delta]:
        """The deltas completed by these bytes. Raises the error that an error in the stream means."""
        found: list[Delta] = []
        for data in self._events.feed(chunk):
            found += self.feed_data(data)
        return found

    def feed_data(self, data: str) -> list[Delta]:
        """The deltas of one event's payload."""
        data = data.strip()
        if not data or data == "[DONE]" or self._closed:
            return []
        answer = self._answer
        event = parse(data, model=answer.model, server=answer.server, wire=CLAUDE.wire, partial=lambda: self.text)
        if error_in_reply(event) or event.get("type") == "error":
            raise claude_error(200, event, model=answer.model, server=answer.server, partial=self.text)
        return self._take(event)

    def _take(self, event: Json) -> list[Delta]:
        number = event.get("index")
        index = number if isinstance(number, int) and not isinstance(number, bool) else None
        match event.get("type"):
            case "content_block_delta":
                self._seen = True
                return self._blocks.add(index, table(event.get("delta")))
            case "content_block_start":
                self._seen = True
                return self._blocks.start(index, table(event.get("content_block")))
            case "message_start":
                self._answer.take(table(event.get("message")))
            case "message_delta":
                self._answer.take(event)
                self._answer.stopped(table(event.get("delta")))
            case "message_stop":
                self._closed = True
            case None if "choices" in event:
                raise _none(event, self._answer.model, self._answer.server)
            case _:  # ping, content_block_stop, and what is not known yet
                pass
        return []

    def finish(self) -> Reply:
        """The reply. Raises MalformedReply, with `data["partial"]`, when the stream was empty or cut off."""
        answer = self._answer
        for data in self._events.end():
            try:
                self.feed_data(data)
            except MalformedReply:  # the last event was cut in the middle
                if self._seen:
                    raise cut_off(answer.model, answer.server, self.text) from None
                raise
        if not self._seen and not answer.reason:
            raise no_answer(answer.model, answer.server)
        if not self.complete:
            raise cut_off(answer.model, answer.server, self.text)
        return answer.reply(self._blocks)


class _Answer:
    """What is said about an answer beside its blocks: who wrote it, how it ended, what it took."""

    def __init__(self, model: str, server: str) -> None:
        self.model, self.server = model, server
        self.reason = ""
        self._details: Json = {}
        self._name = ""
        self._counts: Json = {}

    def take(self, fields: Json) -> None:
        """Take the model's name and the counts, which are totals: a later one replaces an earlier one."""
        self._name = text_of(fields.get("model")) or self._name
        for name, value in table(fields.get("usage")).items():
            if value is not None:
                self._counts[name] = value

    def stopped(self, fields: Json) -> None:
        """Take the reason for which the model stopped, if one is given."""
        self.reason = text_of(fields.get("stop_reason")) or self.reason
        self._details = table(fields.get("stop_details")) or self._details

    def reply(self, blocks: Blocks) -> Reply:
        finish = _FINISH.get(self.reason, self.reason)
        refused = finish == "refusal"
        if refused and not blocks.text.strip():
            raise self._withheld()
        # A refusal may come in the middle of a call, and a refused answer is no reason to act.
        parts = blocks.parts(cut=finish == "length", calls=not refused)
        message = Message("assistant", tuple(parts))
        if message.tool_calls and finish in ("stop", ""):
            finish = "tool_calls"
        return Reply(message, usage_of(self._counts), finish or "stop", self._name or None)

    def _withheld(self) -> ContentFiltered:
        category = text_of(self._details.get("category"))
        why = one_line(text_of(self._details.get("explanation")))
        return ContentFiltered(
            f"{self.server} withheld the answer of model {self.model!r}"
            + (f" (category {category})" if category else "")
            + (f": {why.rstrip('.')}." if why else ".")
            + " Change the prompt, or let a FallbackModel ask another model",
            status=200,
            **({"category": category} if category else {}),
        )


def usage_of(counts: Mapping[str, Any]) -> Usage:
    """Token counts in our meaning: input includes what the cache wrote and read. Missing ones are 0."""
    fresh, written, wrote, read = (count(counts.get(name)) for name in _COUNTS)
    lives = table(counts.get("cache_creation"))
    long = count(lives.get("ephemeral_1h_input_tokens"))
    wrote = wrote or long + count(lives.get("ephemeral_5m_input_tokens"))
    details = table(counts.get("output_tokens_details"))
    return Usage(
        input_tokens=fresh + wrote + read,
        output_tokens=written,
        cache_read_tokens=read,
        cache_write_tokens=wrote,
        reasoning_tokens=min(count(details.get("thinking_tokens")) or count(details.get("reasoning_tokens")), written),
        cache_write_long_tokens=min(long, wrote),
    )


def _none(fields: Json, model: str, server: str) -> ModelError:
    if "choices" in fields:
        return MalformedReply(
            f"{server} speaks Chat Completions, not {CLAUDE.wire}: use openai:{model} with this base_url"
        )
    return no_answer(model, server)
