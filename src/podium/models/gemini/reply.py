"""The body, or the stream, of a `generateContent` answer to our reply.

Pure: bytes in, deltas and a reply out, the same for any chunking. A stream is a row of whole response objects, so both
are read by the same code. What is not known is kept as `Raw`; what was cut, withheld or could not be read as a call is
an error and never a shorter answer. It knows no connection and no retries. The wire is named in `request`.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, cast

from podium.core.deltas import Delta, TextDelta, ThinkingDelta, ToolCallDelta
from podium.core.errors import BadRequest, ContentFiltered, MalformedReply
from podium.core.messages import AnyPart, Media, Message, Raw, Reply, Text, Thinking
from podium.core.usage import NO_USAGE, Usage
from podium.models.assembling import Characters
from podium.models.errors import Hints, error_in_reply
from podium.models.one_line import one_line
from podium.models.reading import Json, count, cut_off, no_answer, parse, table, tables
from podium.models.reading import text as text_of
from podium.models.sse import EventStream

from .arguments import Call, Calls
from .failure import GEMINI, gemini_error
from .request import CANDIDATE, PROVIDER

_FINISH = {
    "STOP": "stop",
    "FINISH_REASON_UNSPECIFIED": "stop",
    "FUNCTION_CALL": "tool_calls",  # of no version of the API, but of servers that imitate it
    "TOOL_CALLS": "tool_calls",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
}
_FILTERS = frozenset(
    {
        "SAFETY", "RECITATION", "LANGUAGE", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "ESCALATION", "PUP_LIMITED_DISABLED", "MODEL_ARMOR",
    }
)  # fmt: skip
_BROKEN = frozenset({"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE"})
_ABOUT = ("groundingMetadata", "citationMetadata", "urlContextMetadata", "continuationToken")
_MOST = 64 * 1024
"""Bytes of a stream without events that are kept, in case they are an error."""


def decode_reply(body: bytes, *, model: str = "", server: str = "the server", hints: Hints = GEMINI) -> Reply:
    """The reply in a whole body (of status 200), which may also be a stream, or the objects of one in a list.

    Raises MalformedReply when there is none in it, ContentFiltered when it was withheld, and the error that an error
    object in it means.
    """
    start = body.lstrip()[:5]
    if start in (b"data:", b"event"):
        decoder = GeminiStream(model=model, server=server, hints=hints)
        decoder.feed(body)
        return decoder.finish()
    answer = _Answer(model, server, hints)
    if start.startswith(b"["):
        for each in _listed(body):
            answer.take(each)
    else:
        answer.take(parse(body, model=model, server=server, wire=hints.wire))
    return answer.reply()


def _listed(body: bytes) -> list[Json]:
    try:
        return tables(json.loads(body))
    except (ValueError, RecursionError):
        return []


class GeminiStream:
    """A stream's bytes to deltas, and at the end the reply. Both are the same for any chunking."""

    __slots__ = ("_answer", "_closed", "_events", "_other", "_seen")

    def __init__(self, *, model: str = "", server: str = "the server", hints: Hints = GEMINI) -> None:
        self._events = EventStream()
        self._answer = _Answer(model, server, hints)
        self._other = b""
        self._seen = False
        self._closed = False

    @property
    def text(self) -> str:
        """The answer's text so far."""
        return self._answer.text

    @property
    def complete(self) -> bool:
        """Whether the server said that its answer is whole; what follows may be lost without harm."""
        return self._closed or bool(self._answer.reason)

    def feed(self, chunk: bytes) -> list[Delta]:
        """The deltas completed by these bytes. Raises the error that an error object in the stream means."""
        if not self._seen and len(self._other) < _MOST:
            self._other += chunk
        found: list[Delta] = []
        for data in self._events.feed(chunk):
            found += self._take(data)
        return found

    def finish(self) -> Reply:
        """The reply. Raises MalformedReply, with `data["partial"]`, when the stream was empty or cut off."""
        for data in self._events.end():
            self._take(data)
        answer = self._answer
        if not self._seen and self._other.lstrip()[:1] in (b"{", b"["):
            # No event at all, but JSON: an error (or an answer) of a server or proxy that does not stream.
            return decode_reply(self._other, model=answer.model, server=answer.server, hints=answer.hints)
        if answer.answered and not self.complete:
            raise cut_off(answer.model, answer.server, self.text)
        return answer.reply()

    def _take(self, data: str) -> list[Delta]:
        data = data.strip()
        if not data or self._closed:
            return []
        self._seen, self._other = True, b""
        if data == "[DONE]":  # of servers that speak other wires too
            self._closed = True
            return []
        answer = self._answer
        try:
            fields = parse(data, model=answer.model, server=answer.server, wire=answer.hints.wire)
        except MalformedReply as error:  # the text so far is put together here only: not once for each event
            raise MalformedReply(str(error), partial=self.text) from None
        return answer.take(fields)


class _Run:
    """Text, or a thought, in one or more pieces; a piece with a signature is never joined to another."""

    __slots__ = ("characters", "signature", "thought")

    def __init__(self, thought: bool, signature: str) -> None:
        self.characters = Characters()
        self.thought = thought
        self.signature = signature

    def parts(self) -> list[AnyPart]:
        text = self.characters.text()
        if self.thought:
            return [Thinking(text, self.signature or None, PROVIDER)]
        return [Text(text), *_signed(self.signature)]


def _signed(signature: str) -> list[AnyPart]:
    """The signature of the part before it; see `request`."""
    return [Thinking("", signature, PROVIDER)] if signature else []


class _Answer:
    """One answer while its response objects come in."""

    __slots__ = ("_about", "_calls", "_counts", "_feedback", "_found", "_message", "_said", "_thought", "_version",
                 "answered", "hints", "model", "reason", "server")  # fmt: skip

    def __init__(self, model: str, server: str, hints: Hints) -> None:
        self.model, self.server, self.hints = model, server, hints
        self.answered = False
        """Whether any candidate has come."""
        self.reason = ""
        """Why the model stopped; empty while it has not."""
        self._found: list[_Run | Call | AnyPart] = []
        self._calls = Calls()
        self._about: Json = {}
        self._counts: Json = {}
        self._feedback: Json = {}
        self._message = ""
        self._version = ""
        self._said = 0
        self._thought = 0

    @property
    def text(self) -> str:
        return "".join(item.characters.text() for item in self._found if isinstance(item, _Run) and not item.thought)

    def take(self, fields: Json) -> list[Delta]:
        """Add one response object. Raises the error that an error object means."""
        if error_in_reply(fields):
            raise gemini_error(200, fields, model=self.model, server=self.server, hints=self.hints, partial=self.text)
        self._version = text_of(fields.get("modelVersion")) or self._version
        self._counts.update(table(fields.get("usageMetadata")))
        self._feedback.update(table(fields.get("promptFeedback")))
        found: list[Delta] = []
        for candidate in tables(fields.get("candidates")):
            if candidate.get("index") not in (None, 0):
                continue  # we ask for one answer; a further one would be mixed into the first
            content = candidate.get("content")
            self.answered = self.answered or isinstance(content, dict) or bool(candidate.get("finishReason"))
            for part in tables(table(cast("object", content)).get("parts")):
                self._part(part, found)
            if "finishReason" in candidate:
                self.reason = text_of(candidate["finishReason"]).upper() or self.reason
                self._message = text_of(candidate.get("finishMessage")) or self._message
            for name in _ABOUT:
                if candidate.get(name):
                    self._about[name] = candidate[name]
        return found

    def _part(self, part: Json, found: list[Delta]) -> None:
        piece, signature = part.get("text"), text_of(part.get("thoughtSignature"))
        thought = part.get("thought") is True
        if isinstance(part.get("functionCall"), dict):
            self._call(part, found)
        elif isinstance(piece, str) and (piece or not signature):
            self._say(piece, thought, signature, found)
        elif (media := None if thought else _media(part)) is not None:
            self._found += [media, *_signed(signature)]
        elif part.keys() - {"thought"}:
            self._found.append(Raw(PROVIDER, part))

    def _say(self, piece: str, thought: bool, signature: str, found: list[Delta]) -> None:
        if not piece:
            return
        run = self._found[-1] if self._found else None
        if not isinstance(run, _Run) or run.thought is not thought or run.signature or signature:
            run = _Run(thought, signature)
            self._found.append(run)
        text = run.characters.push(piece)
        if not text:
            return
        if thought:
            found.append(ThinkingDelta(text, offset=self._thought))
            self._thought += len(text)
        else:
            found.append(TextDelta(text, offset=self._said))
            self._said += len(text)

    def _call(self, part: Json, found: list[Delta]) -> None:
        call, began, complete = self._calls.take(part)
        if call is None:
            return
        if began:
            self._found.append(call)
        name = call.name if began else ""
        arguments = call.arguments if complete else ""
        if name or arguments:
            found.append(ToolCallDelta(call.position, name, arguments))

    # ------------------------------------------------------------------------------------------------------ the end

    def reply(self) -> Reply:
        """All of it. Raises what an answer that cannot be used means."""
        blocked = text_of(self._feedback.get("blockReason"))
        if blocked and not self._found:
            raise self._withheld("the prompt", blocked, text_of(self._feedback.get("blockReasonMessage")))
        if not self.answered:
            raise no_answer(self.model, self.server)
        reason = self.reason
        finish = "content_filter" if reason in _FILTERS else _FINISH.get(reason, reason or "stop")
        if reason == "MISSING_THOUGHT_SIGNATURE":
            raise BadRequest(
                f"{self.server} wants the thought signatures of earlier calls for model {self.model!r}: send earlier "
                "replies back as they came, with every part",
                **self._partial(),
            )
        if finish == "content_filter" and not self._found:
            raise self._withheld("the whole answer", reason, self._message)
        if not self._calls and (reason in _BROKEN or (finish not in _KNOWN and not self._found)):
            # The text before a call that could not be read is not the answer: the model meant to go on.
            raise MalformedReply(
                f"{self.server} could not use what model {self.model!r} wrote ({reason}{self._explained()}): try "
                "again, and if it persists, simplify the tools' schemas",
                **self._partial(),
            )
        calls = self._calls.end(cut=finish == "length")
        if calls and finish not in ("length", "content_filter"):
            finish = "tool_calls"
        elif finish == "tool_calls" and not calls:
            finish = "stop"
        parts: list[AnyPart] = []
        for item in self._found:
            if isinstance(item, _Run):
                parts += item.parts()
            else:
                parts.append(calls[item.position] if isinstance(item, Call) else item)
        if self._about:
            parts.append(Raw(PROVIDER, {CANDIDATE: self._about}))
        usage = usage_of(self._counts) if self._counts else NO_USAGE
        return Reply(Message("assistant", tuple(parts)), usage, finish, self._version or None)

    def _withheld(self, what: str, reason: str, words: str) -> ContentFiltered:
        said = f": {one_line(words)}" if words else ""
        return ContentFiltered(
            f"{self.server} withheld {what} for model {self.model!r} ({reason}{said}): change the prompt, or "
            "safetySettings in settings.extra",
            status=200,
            reason=reason,
        )

    def _explained(self) -> str:
        return f": {one_line(self._message)}" if self._message else ""

    def _partial(self) -> Json:
        text = self.text
        return {"partial": text} if text else {}


_KNOWN = frozenset({"stop", "tool_calls", "length", "content_filter"})


def _media(part: Json) -> Media | None:
    """An image or file in the answer; None if there is none, or if it cannot be read."""
    inline = part.get("inlineData")
    if isinstance(inline, dict):
        blob = cast("Json", inline)
        try:
            data = _bytes(text_of(blob.get("data")))
        except (ValueError, binascii.Error):
            return None
        kind = text_of(blob.get("mimeType"))
        return Media(kind, data, name=text_of(blob.get("displayName")) or None) if data and kind else None
    file = table(part.get("fileData"))
    uri = text_of(file.get("fileUri"))
    if not uri:
        return None
    return Media(text_of(file.get("mimeType")), url=uri, name=text_of(file.get("displayName")) or None)


def _bytes(text: str) -> bytes:
    text = text.replace("-", "+").replace("_", "/")  # both alphabets are in use
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def usage_of(counts: dict[str, Any]) -> Usage:
    """Token counts in our meaning: input includes cached tokens, output includes thoughts. Missing ones are 0.

    The provider counts results of its own tools beside the prompt, and thoughts beside the answer.
    """
    given = count(counts.get("promptTokenCount")) + count(counts.get("toolUsePromptTokenCount"))
    thoughts = count(counts.get("thoughtsTokenCount"))
    written = count(counts.get("candidatesTokenCount"))
    if not written:  # some versions leave it out, and give only the sum
        written = max(0, count(counts.get("totalTokenCount")) - given - thoughts)
    return Usage(given, written + thoughts, count(counts.get("cachedContentTokenCount")), 0, thoughts)
