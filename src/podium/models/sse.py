"""Server-sent events from bytes, without I/O: bytes in as they come, the `data` of each event out.

Below it is nothing; the stream decoders of the provider codecs stand on it. It does not know what the data mean, and it
is deliberately milder than the HTML standard's client: the content type does not matter, a last event without its
blank line still counts, and ids and retry times are ignored, because a model's stream cannot be continued by id.
"""

from __future__ import annotations

import codecs


class EventStream:
    """Cuts a byte stream into event payloads. Any split of the same bytes gives the same payloads."""

    __slots__ = ("_after_cr", "_data", "_decoder", "_line")

    def __init__(self) -> None:
        # Incremental: a character may be cut in two by a chunk boundary.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._line: list[str] = []
        self._data: list[str] = []
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[str]:
        """The payloads completed by `chunk`."""
        return self._cut(self._decoder.decode(chunk))

    def end(self) -> list[str]:
        """The payload of an event that the stream's end completes, if there is one."""
        found = self._cut(self._decoder.decode(b"", final=True))
        if self._line:
            self._field("".join(self._line))
            self._line.clear()
        if self._data:
            found.append("\n".join(self._data))
            self._data.clear()
        return found

    def _cut(self, text: str) -> list[str]:
        if not text:
            return []
        if self._after_cr and text[0] == "\n":
            text = text[1:]
            if not text:
                self._after_cr = False
                return []
        self._after_cr = text.endswith("\r")
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        first, *rest = text.split("\n")
        self._line.append(first)
        found: list[str] = []
        for piece in rest:
            line = "".join(self._line)
            self._line = [piece]
            if line:
                self._field(line)
            elif self._data:
                found.append("\n".join(self._data))
                self._data.clear()
        return found

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
