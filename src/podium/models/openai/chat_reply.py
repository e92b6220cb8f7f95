"""The body, or the stream, of a Chat Completions answer to our reply.

Pure: bytes in, deltas and a reply out, the same for any chunking. Tolerant, as many servers speak this dialect: what is
not known is ignored or kept as `Raw`, and what is missing has a meaning. It never stays silent about an answer that was
cut or empty, and never turns what a model wrote into a call it did not make. It knows no connection and no retries. The
wire is named in `chat`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from podium.core.deltas import Delta, TextDelta, ThinkingDelta, ToolCallDelta
from podium.core.errors import ContentFiltered, MalformedReply
from podium.core.messages import AnyPart, Message, Raw, Reply, Text, Thinking
from podium.core.usage import NO_USAGE, Usage
from podium.models.assembling import CallFragments, Characters
from podium.models.errors import CHAT, Hints, error_in_reply
from podium.models.reading import Json, count, cut_off, json_text, no_answer, parse, table, tables
from podium.models.reading import text as text_of
from podium.models.sse import EventStream

from .chat_request import PROVIDER
from .refusals import filters_in, named, refusal

WIRE = "Chat Completions"

_FINISH = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}


def decode_reply(
    body: bytes | Mapping[str, Any], *, model: str = "", server: str = "the server", hints: Hints = CHAT
) -> Reply:
    """The reply in a whole body (of status 200). A body that is a stream after all is read as one.

    Raises MalformedReply when there is none in it, ContentFiltered when it was withheld, and the error that an error
    object in it means.
    """
    if isinstance(body, bytes):
        if body.lstrip()[:5] in (b"data:", b"event"):
            decoder = ChatStream(model=model, server=server, hints=hints)
            decoder.feed(body)
            return decoder.finish()
        fields = parse(body, model=model, server=server, wire=WIRE)
    else:
        fields = dict(body)
    if error_in_reply(fields):
        raise refusal(200, fields, model=model, server=server, hints=hints)
    choices = tables(fields.get("choices"))
    if not choices:
        raise no_answer(model, server)
    choice = choices[0]
    if choice.get("error"):
        raise refusal(200, choice, model=model, server=server, hints=hints)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise no_answer(model, server)
    pieces = _Pieces()
    pieces.take(cast("Json", message))
    return pieces.reply(fields, text_of(choice.get("finish_reason")), model=model, server=server, filtered=choice)


class ChatStream:
    """A stream's bytes (or payloads) to deltas, and at the end the reply. The reply is the same for any chunking."""

    __slots__ = (
        "_closed",
        "_events",
        "_fields",
        "_filtered",
        "_finish",
        "_hints",
        "_model",
        "_pieces",
        "_seen",
        "_server",
    )

    def __init__(self, *, model: str = "", server: str = "the server", hints: Hints = CHAT) -> None:
        self._events = EventStream()
        self._pieces = _Pieces()
        self._fields: Json = {}
        self._finish = ""
        self._closed = False
        self._seen = False
        self._filtered: Json = {}
        self._model, self._server, self._hints = model, server, hints

    @property
    def text(self) -> str:
        """The answer's text so far."""
        return self._pieces.text.text() + self._pieces.refusal.text()

    @property
    def complete(self) -> bool:
        """Whether the server said that its answer is whole; what follows may be lost without harm."""
        return self._closed or bool(self._finish)

    def feed(self, chunk: bytes) -> list[Delta]:
        """The deltas completed by these bytes. Raises the error that an error object in the stream means."""
        found: list[Delta] = []
        for data in self._events.feed(chunk):
            found += self.feed_data(data)
        return found

    def feed_data(self, data: str) -> list[Delta]:
        """The deltas of one event's payload."""
        data = data.strip()
        if not data or self._closed:
            return []
        if data == "[DONE]":
            self._closed = True
            return []
        fields = parse(data, model=self._model, server=self._server, wire=WIRE, partial=lambda: self.text)
        if error_in_reply(fields):
            raise self._error(fields)
        self._remember(fields)
        found: list[Delta] = []
        for choice in tables(fields.get("choices")):
            if choice.get("index") not in (None, 0):
                continue  # we ask for one answer; a further one would be mixed into the first
            if choice.get("error"):
                raise self._error(choice)
            self._seen = True
            if choice.get("content_filter_results"):
                self._filtered = choice
            # Some servers put the last piece, or everything, under `message`.
            delta = choice.get("delta") or choice.get("message")
            if isinstance(delta, dict):
                found += self._pieces.take(cast("Json", delta))
            self._finish = text_of(choice.get("finish_reason")) or self._finish
        return found

    def finish(self) -> Reply:
        """The reply. Raises MalformedReply, with `data["partial"]`, when the stream was empty or cut off."""
        for data in self._events.end():
            try:
                self.feed_data(data)
            except MalformedReply:
                if not self.complete:  # else what was cut off came after the answer
                    raise
        if not self._seen or (not self._finish and self._pieces.empty):
            raise no_answer(self._model, self._server)
        # Without [DONE], a finish reason or the counts that follow the last piece, the connection was cut.
        if not self.complete and "usage" not in self._fields:
            raise cut_off(self._model, self._server, self.text)
        return self._pieces.reply(
            self._fields, self._finish, model=self._model, server=self._server, filtered=self._filtered
        )

    def _remember(self, fields: Json) -> None:
        if text_of(fields.get("model")):
            self._fields["model"] = fields["model"]
        counts = fields.get("usage") or table(fields.get("x_groq")).get("usage")
        # Some servers count with every chunk: only a count on a chunk without choices says that the answer is over.
        if isinstance(counts, dict):
            key = "running_usage" if fields.get("choices") else "usage"
            self._fields[key] = counts

    def _error(self, fields: Json) -> Exception:
        return refusal(200, fields, model=self._model, server=self._server, partial=self.text, hints=self._hints)


class _Pieces:
    """The parts of one answer while they come in. A whole message is the special case of a single piece."""

    __slots__ = ("calls", "kept", "refusal", "text", "thinking")

    def __init__(self) -> None:
        self.text = Characters()
        self.thinking = Characters()
        self.refusal = Characters()
        self.calls = CallFragments()
        self.kept: list[Raw] = []

    @property
    def empty(self) -> bool:
        return not (
            self.text.length or self.thinking.length or self.refusal.length or bool(self.calls) or bool(self.kept)
        )

    def take(self, delta: Json) -> list[Delta]:
        found: list[Delta] = []
        self._think(text_of(delta.get("reasoning_content")) or text_of(delta.get("reasoning")), found)
        content = delta.get("content")
        if isinstance(content, str):
            self._say(content, found)
        elif isinstance(content, list | dict):
            for part in cast("list[object]", content if isinstance(content, list) else [content]):
                if isinstance(part, str):
                    self._say(part, found)
                elif isinstance(part, dict):
                    self._part(cast("Json", part), found)
        self._refuse(text_of(delta.get("refusal")), found)
        self.calls.begin_event()
        for call in tables(delta.get("tool_calls")):
            self._call(call, found)
        single = delta.get("function_call")  # the form before 2023-11, still spoken by some servers
        if isinstance(single, dict) and not delta.get("tool_calls"):
            self._call({"index": 0, "function": single}, found)
        return found

    def _part(self, part: Json, found: list[Delta]) -> None:
        kind = part.get("type")
        if kind in ("text", "output_text") and isinstance(part.get("text"), str):
            self._say(part["text"], found)
        elif kind in ("thinking", "reasoning"):
            thought = part.get("thinking") or part.get("text")
            for piece in [thought] if isinstance(thought, str) else [p.get("text") for p in tables(thought)]:
                self._think(text_of(piece), found)
        elif kind == "refusal":
            self._refuse(text_of(part.get("refusal")), found)
        else:
            self.kept.append(Raw(PROVIDER, part))

    def _say(self, piece: str, found: list[Delta]) -> None:
        offset = self.text.length
        if text := self.text.push(piece):
            found.append(TextDelta(text, offset=offset))

    def _refuse(self, piece: str, found: list[Delta]) -> None:
        # To whoever is reading along, a refusal is text like any other.
        offset = self.text.length + self.refusal.length
        if text := self.refusal.push(piece):
            found.append(TextDelta(text, offset=offset))

    def _think(self, piece: str, found: list[Delta]) -> None:
        offset = self.thinking.length
        if text := self.thinking.push(piece):
            found.append(ThinkingDelta(text, offset=offset))

    def _call(self, call: Json, found: list[Delta]) -> None:
        function = cast("Json", call.get("function") if isinstance(call.get("function"), dict) else call)
        index = call.get("index")
        arguments = function.get("arguments")
        position, name, piece, offset = self.calls.add(
            index if isinstance(index, int) and not isinstance(index, bool) else None,
            text_of(call.get("id")),
            text_of(function.get("name")),
            arguments if isinstance(arguments, str) else "" if arguments is None else json_text(arguments),
        )
        if name or piece:
            found.append(ToolCallDelta(position, name, piece, offset=offset))

    def reply(self, fields: Json, reason: str, *, model: str, server: str, filtered: Json) -> Reply:
        finish = _FINISH.get(reason.lower(), reason)
        if finish == "content_filter" and self.empty:
            filters = filters_in(filtered)
            raise ContentFiltered(
                f"{server} withheld the whole answer of model {model!r}: change the prompt or the content filter"
                f"{named(filters)}",
                status=200,
                **({"filters": filters} if filters else {}),
            )
        calls = self.calls.calls(cut=finish == "length")
        refusal = self.refusal.text()
        if refusal:
            finish = "refusal"
        elif calls and finish in ("stop", ""):
            finish = "tool_calls"
        parts: list[AnyPart] = []
        if thinking := self.thinking.text():
            parts.append(Thinking(thinking))
        if text := self.text.text() + refusal:
            parts.append(Text(text))
        parts += self.kept
        parts += calls
        counts = fields.get("usage") or fields.get("running_usage")
        return Reply(
            Message("assistant", tuple(parts)),
            usage_of(cast("Json", counts)) if isinstance(counts, dict) else NO_USAGE,
            finish or "stop",
            text_of(fields.get("model")) or None,
        )


def usage_of(counts: Mapping[str, Any]) -> Usage:
    """Token counts in our meaning: input includes cached tokens, output includes reasoning. Missing ones are 0."""
    before = table(counts.get("prompt_tokens_details"))
    after = table(counts.get("completion_tokens_details"))
    given = count(counts.get("prompt_tokens"))
    written = count(counts.get("completion_tokens"))
    reasoning = count(after.get("reasoning_tokens"))
    if reasoning and count(counts.get("total_tokens")) == given + written + reasoning:
        written += reasoning  # some servers count reasoning beside the answer
    read = count(before.get("cached_tokens")) or count(counts.get("prompt_cache_hit_tokens"))
    return Usage(given, written, read, count(before.get("cache_write_tokens")), reasoning)
