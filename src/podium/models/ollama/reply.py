"""The body, or the stream, of an answer of Ollama's `/api/chat` to our reply.

Pure: bytes in, deltas and a reply out, the same for any chunking. A stream is lines of JSON (NDJSON), the last of which
says `done`; tool calls come whole. What is missing has a meaning; an answer that was cut or empty is never passed over.
The wire is named in `request`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from podium.core.deltas import Delta, TextDelta, ThinkingDelta, ToolCallDelta
from podium.core.errors import MalformedReply
from podium.core.messages import AnyPart, Message, Raw, Reply, Text, Thinking
from podium.core.usage import Usage
from podium.models.assembling import CallFragments, Characters
from podium.models.reading import Json, count, cut_off, json_text, no_answer, parse, table, tables
from podium.models.reading import text as text_of

from .failure import ollama_error
from .request import PROVIDER

WIRE = "Ollama"
_UNANSWERED = ("load", "unload")
"""Reasons to be done without having asked the model."""
_KNOWN = frozenset({"role", "content", "thinking", "tool_calls", "tool_name", "tool_call_id"})


def decode_reply(body: bytes, *, model: str = "", server: str = "the server") -> Reply:
    """The reply in a whole body (of status 200). A body that is a stream after all is read as one.

    Raises MalformedReply when there is none in it, and the error that an error object in it means.
    """
    try:
        fields = parse(body, model=model, server=server, wire=WIRE)
    except MalformedReply:
        if b"\n" not in body.strip():
            raise
        stream = OllamaStream(model=model, server=server)
        stream.feed(body)
        return stream.finish()
    answer = OllamaStream(model=model, server=server)
    answer.take(fields if fields.get("done") is False else {**fields, "done": True})
    return answer.finish()


class Lines:
    """Cuts bytes into lines. Any split of the same bytes gives the same lines."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that `chunk` completes, without their ends."""
        first, *more = chunk.split(b"\n")
        self._rest.append(first)
        if not more:
            return []
        found = [b"".join(self._rest), *more[:-1]]
        self._rest = [more[-1]]
        return found

    def end(self) -> bytes:
        """What came after the last line's end."""
        rest = b"".join(self._rest)
        self._rest = []
        return rest


class OllamaStream:
    """A stream's bytes to deltas, and at the end the reply."""

    __slots__ = (
        "_calls",
        "_count",
        "_done",
        "_fields",
        "_kept",
        "_lines",
        "_model",
        "_seen",
        "_server",
        "_text",
        "_thinking",
    )

    def __init__(self, *, model: str = "", server: str = "the server") -> None:
        self._lines = Lines()
        self._text = Characters()
        self._thinking = Characters()
        self._calls = CallFragments()
        self._count = 0
        self._kept: Json = {}
        self._fields: Json = {}
        self._seen = False
        self._done = False
        self._model, self._server = model, server

    @property
    def text(self) -> str:
        """The answer's text so far."""
        return self._text.text()

    @property
    def complete(self) -> bool:
        """Whether the server said that its answer is whole."""
        return self._done

    def feed(self, chunk: bytes) -> list[Delta]:
        """The deltas completed by these bytes. Raises the error that an error in the stream means."""
        found: list[Delta] = []
        for line in self._lines.feed(chunk):
            found += self._line(line)
        return found

    def finish(self) -> Reply:
        """The reply. Raises MalformedReply, with `data["partial"]`, when the stream was empty or cut off."""
        rest = self._lines.end().strip()
        if rest and not self._done:
            try:
                self._line(rest)
            except MalformedReply:
                if not self._seen and not rest.startswith(b"{"):
                    raise  # no answer of this wire at all
                raise cut_off(self._model, self._server, self.text) from None
        if not self._seen:
            raise no_answer(self._model, self._server)
        if not self._done:
            raise cut_off(self._model, self._server, self.text)
        return self._reply()

    def take(self, fields: Json) -> list[Delta]:
        """The deltas of one line's object."""
        if self._done:
            return []
        if fields.get("error"):
            raise ollama_error(200, fields, model=self._model, server=self._server, partial=self.text)
        found: list[Delta] = []
        message = fields.get("message")
        if isinstance(message, dict):
            self._seen = True
            self._message(cast("Json", message), found)
        if text_of(fields.get("model")):
            self._fields["model"] = fields["model"]
        if fields.get("done") is True:
            self._done = True
            self._fields.update(fields)
        return found

    def _line(self, line: bytes) -> list[Delta]:
        line = line.strip()
        if not line or self._done:
            return []
        return self.take(parse(line, model=self._model, server=self._server, wire=WIRE, partial=lambda: self.text))

    def _message(self, message: Json, found: list[Delta]) -> None:
        offset = self._thinking.length
        if thought := self._thinking.push(text_of(message.get("thinking"))):
            found.append(ThinkingDelta(thought, offset=offset))
        offset = self._text.length
        if said := self._text.push(text_of(message.get("content"))):
            found.append(TextDelta(said, offset=offset))
        for call in tables(message.get("tool_calls")):
            self._call(call, found)
        if message.keys() - _KNOWN:
            for name, value in message.items():
                if name not in _KNOWN and value not in (None, "", []):
                    self._keep(name, value)

    def _call(self, call: Json, found: list[Delta]) -> None:
        function = table(call.get("function")) or call
        arguments = function.get("arguments")
        written = arguments if isinstance(arguments, str) else "" if arguments is None else json_text(arguments)
        # Each is a whole call of its own, whatever index or id it repeats.
        position, name, piece, offset = self._calls.add(
            self._count, text_of(call.get("id")), text_of(function.get("name")), written
        )
        self._count += 1
        if name or piece:
            found.append(ToolCallDelta(position, name, piece, offset=offset))

    def _keep(self, name: str, value: object) -> None:
        before = self._kept.get(name)
        if isinstance(before, list) and isinstance(value, list):
            value = [*cast("list[object]", before), *cast("list[object]", value)]
        self._kept[name] = value

    def _reply(self) -> Reply:
        reason = text_of(self._fields.get("done_reason")) or "stop"
        calls = self._calls.calls(cut=reason == "length")
        parts: list[AnyPart] = []
        if thinking := self._thinking.text():
            parts.append(Thinking(thinking, provider=PROVIDER))
        if text := self._text.text():
            parts.append(Text(text))
        if self._kept:
            parts.append(Raw(PROVIDER, self._kept))
        parts += calls
        if not parts and reason in _UNANSWERED:
            raise no_answer(self._model, self._server)
        return Reply(
            Message("assistant", tuple(parts)),
            usage_of(self._fields),
            "tool_calls" if calls and reason == "stop" else reason,
            text_of(self._fields.get("model")) or None,
        )


def usage_of(fields: Mapping[str, Any]) -> Usage:
    """Token counts. Some versions leave out those of a prompt they have in memory; a missing count is 0."""
    return Usage(count(fields.get("prompt_eval_count")), count(fields.get("eval_count")))
