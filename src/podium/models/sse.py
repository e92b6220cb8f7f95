"""Server-sent events from bytes, without I/O: bytes in as they come, the `data` of each event out.

Below it is nothing; the stream decoders of the provider codecs stand on it. It does not know what the data mean, and it
is deliberately milder than the HTML standard's client: the content type does not matter, a last event without its
blank line still counts, and ids and retry times are ignored, because a model's stream cannot be continued by id.
"""

from __future__ import annotations

_BOM = b"\xef\xbb\xbf"


class EventStream:
    """Cuts a byte stream into event payloads. Any split of the same bytes gives the same payloads.

    It works on bytes and decodes whole payloads only: line ends are ASCII, so no character is ever cut in two.
    """

    __slots__ = ("_after_cr", "_begun", "_data", "_line")

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._after_cr = False
        self._begun = False

    def feed(self, chunk: bytes) -> list[str]:
        """The payloads completed by `chunk`."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines and self._line:
            self._line.append(lines[0])
            lines[0] = b"".join(self._line)
            self._line.clear()
        if rest:
            self._line.append(rest)
        if lines and not self._begun:
            self._begun = True
            lines[0] = lines[0].removeprefix(_BOM)
        found: list[str] = []
        for line in lines:
            if line:
                self._field(line)
            elif self._data:
                found.append(self._event())
        return found

    def end(self) -> list[str]:
        """The payload of an event that the stream's end completes, if there is one."""
        if line := b"".join(self._line):
            self._field(line if self._begun else line.removeprefix(_BOM))
            self._line.clear()
        return [self._event()] if self._data else []

    def _field(self, line: bytes) -> None:
        if line.startswith(b"data: "):
            self._data.append(line[6:])
        elif line.startswith(b"data:"):
            self._data.append(line[5:])
        elif line == b"data":
            self._data.append(b"")

    def _event(self) -> str:
        data = b"\n".join(self._data)
        self._data.clear()
        return data.decode("utf-8", "replace")
