"""The body, or the stream, of a Responses answer to our reply.

Pure: bytes in, deltas and a reply out, the same for any chunking. Events that are not known are ignored, items that
are not known are kept as `Raw`. It never stays silent about an answer that failed, was cut or is empty. It knows no
connection and no retries. The wire is named in `responses`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from podium.core.deltas import Delta
from podium.core.errors import BadRequest, ContentFiltered, MalformedReply, ModelError
from podium.core.messages import Message, Reply, ToolCall
from podium.core.usage import NO_USAGE, Usage
from podium.models.errors import Hints, error_in_reply
from podium.models.reading import Json, count, cut_off, no_answer, parse, table, tables
from podium.models.reading import text as text_of
from podium.models.sse import EventStream

from .refusals import filters_in, named, refusal
from .responses_items import Items
from .responses_request import PROVIDER

WIRE = "Responses"
HINTS = Hints(wire=WIRE, address="base_url: it often has to end in /v1, and a server without /responses needs openai:")

_ENDS = frozenset(f"response.{end}" for end in ("completed", "incomplete", "failed", "cancelled", "done"))
_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}

# The texts that come in pieces: the event's name, the item's kind, the field of that text, its index, its last event.
_PIECES = {
    "response.output_text": ("message", "output_text", "content_index", "text"),
    "response.refusal": ("message", "refusal", "content_index", "refusal"),
    "response.function_call_arguments": ("function_call", "arguments", "", "arguments"),
    "response.reasoning_summary_text": ("reasoning", "summary_text", "summary_index", "text"),
    "response.reasoning_text": ("reasoning", "reasoning_text", "content_index", "text"),
}


def decode_reply(
    body: bytes | Mapping[str, Any],
    *,
    model: str = "",
    server: str = "the server",
    provider: str = PROVIDER,
    hints: Hints = HINTS,
) -> Reply:
    """The reply in a whole body (of status 200). A body that is a stream after all is read as one.

    Raises MalformedReply when there is none in it, ContentFiltered when it was withheld, and the error that an error
    object or the status `failed` in it means.
    """
    if isinstance(body, bytes):
        if body.lstrip()[:5] in (b"data:", b"event"):
            decoder = ResponsesStream(model=model, server=server, provider=provider, hints=hints)
            decoder.feed(body)
            return decoder.finish()
        fields = parse(body, model=model, server=server, wire=WIRE)
    else:
        fields = dict(body)
    answer = _Answer(model, server, provider, hints)
    answer.end(fields)
    return answer.reply()


class ResponsesStream:
    """A stream's bytes (or payloads) to deltas, and at the end the reply. The reply is the same for any chunking."""

    __slots__ = ("_answer", "_closed", "_events", "_seen")

    def __init__(
        self,
        *,
        model: str = "",
        server: str = "the server",
        provider: str = PROVIDER,
        hints: Hints = HINTS,
    ) -> None:
        self._events = EventStream()
        self._answer = _Answer(model, server, provider, hints)
        self._closed = False
        self._seen = False

    @property
    def text(self) -> str:
        """The answer's text so far."""
        return self._answer.items.text

    @property
    def complete(self) -> bool:
        """Whether the server said that its answer is whole; what follows may be lost without harm."""
        return self._answer.ended or (self._closed and len(self._answer.items) > 0)

    def feed(self, chunk: bytes) -> list[Delta]:
        """The deltas completed by these bytes. Raises the error that `error` or `response.failed` means."""
        found: list[Delta] = []
        for data in self._events.feed(chunk):
            found += self.feed_data(data)
        return found

    def feed_data(self, data: str) -> list[Delta]:
        """The deltas of one event's payload."""
        data = data.strip()
        answer = self._answer
        if not data or self._closed or answer.ended:
            return []
        if data == "[DONE]":
            self._closed = True
            return []
        event = parse(data, model=answer.model, server=answer.server, wire=WIRE, partial=lambda: self.text)
        name = text_of(event.get("type"))
        if name == "error" or (event.get("error") and not name.startswith("response.")):
            raise answer.error(event)
        self._seen = self._seen or name.startswith("response.")
        if name in _ENDS:
            return answer.end(table(event.get("response")), name.removeprefix("response."))
        return _take(answer.items, name, event)

    def finish(self) -> Reply:
        """The reply. Raises MalformedReply, with `data["partial"]`, when the stream was empty or cut off."""
        for data in self._events.end():
            self.feed_data(data)
        answer = self._answer
        if not answer.ended:
            if not self._seen:
                raise no_answer(answer.model, answer.server)
            if not self.complete:
                raise cut_off(answer.model, answer.server, self.text)
        return answer.reply()


def _take(items: Items, name: str, event: Json) -> list[Delta]:
    """What one event adds to the items."""
    index = _index(event, "output_index")
    id = text_of(event.get("item_id"))
    if name == "response.output_item.added":
        return items.begin(table(event.get("item")), index)
    if name == "response.output_item.done":
        return items.end(table(event.get("item")), index)
    if name == "response.output_text.annotation.added":
        items.annotate(_index(event, "content_index") or 0, table(event.get("annotation")), index, id)
        return []
    event_of, _, step = name.rpartition(".")
    shape = _PIECES.get(event_of)
    if shape is None or step not in ("delta", "done"):
        return []
    kind, field, position, whole = shape
    at = _index(event, position) or 0
    if step == "delta":
        return items.write(kind, field, at, text_of(event.get("delta")), index, id)
    return items.settle(kind, field, at, text_of(event.get(whole)), index, id)


def _index(event: Json, name: str) -> int | None:
    value = event.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


class _Answer:
    """What is known of one answer."""

    __slots__ = ("ended", "fields", "hints", "items", "model", "provider", "server", "status")

    def __init__(self, model: str, server: str, provider: str, hints: Hints) -> None:
        self.model, self.server, self.provider, self.hints = model, server, provider, hints
        self.items = Items()
        self.fields: Json = {}
        self.status = ""
        self.ended = False

    def error(self, fields: Json) -> ModelError:
        return refusal(200, fields, model=self.model, server=self.server, partial=self.items.text, hints=self.hints)

    def end(self, fields: Json, status: str = "completed") -> list[Delta]:
        """The whole answer has come. `status` is what it means when it does not say."""
        self.status = text_of(fields.get("status")) or ("completed" if status == "done" else status)
        if error_in_reply(fields) or self.status == "failed":
            raise self.error(fields if error_in_reply(fields) else {"error": {"message": "no reason was given"}})
        if isinstance(fields.get("choices"), list):
            raise MalformedReply(
                f"{self.server} answered model {self.model!r} in Chat Completions: use openai:NAME for this server"
            )
        if self.status in ("queued", "in_progress"):
            raise BadRequest(
                f"{self.server} answers model {self.model!r} in the background ({self.status}): leave `background` out "
                "of settings.extra"
            )
        if self.status == "cancelled":
            raise MalformedReply(
                f"the answer of {self.server} for model {self.model!r} was cancelled there: try again",
                partial=self.items.text,
            )
        if self.status != "incomplete" and not isinstance(fields.get("output"), list) and not len(self.items):
            raise no_answer(self.model, self.server)
        self.fields = fields
        self.ended = True
        return self.items.close(tables(cast("object", fields.get("output"))))

    def reply(self) -> Reply:
        reason = text_of(table(self.fields.get("incomplete_details")).get("reason"))
        finish = _REASONS.get(reason, reason or "incomplete") if self.status == "incomplete" else "stop"
        parts = self.items.parts(self.provider, cut=finish == "length")
        if finish == "content_filter" and not self.items.text and not any(type(part) is ToolCall for part in parts):
            found = filters_in(self.fields)
            raise ContentFiltered(
                f"{self.server} withheld the whole answer of model {self.model!r}: change the prompt or the content "
                f"filter{named(found)}",
                status=200,
                **({"filters": found} if found else {}),
            )
        if self.items.refused:
            finish = "refusal"
        elif finish == "stop" and any(type(part) is ToolCall for part in parts):
            finish = "tool_calls"
        counts = self.fields.get("usage")
        return Reply(
            Message("assistant", tuple(parts)),
            usage_of(cast("Json", counts)) if isinstance(counts, dict) else NO_USAGE,
            finish,
            text_of(self.fields.get("model")) or None,
        )


def usage_of(counts: Mapping[str, Any]) -> Usage:
    """Token counts in our meaning, which is this wire's own. Missing ones are 0.

    What was written to the cache counts as one kind: its price does not depend on how long OpenAI keeps it.
    """
    before = table(counts.get("input_tokens_details"))
    after = table(counts.get("output_tokens_details"))
    return Usage(
        count(counts.get("input_tokens")),
        count(counts.get("output_tokens")),
        count(before.get("cached_tokens")),
        count(before.get("cache_write_tokens")),
        count(after.get("reasoning_tokens")),
    )
