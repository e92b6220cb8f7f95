"""An exported audit log: lines of canonical JSON, chained by SHA-256, with a footer that closes them.

    {"n":0,"prev":"…","header":{…},"hash":"…"}
    {"n":1,"prev":"…","entry":{…},"hash":"…"}
    {"n":2,"prev":"…","footer":{"digest":"…","entries":1,"key":"…","mac":"…"},"hash":"…"}

`hash` is the SHA-256 of everything before it in its line, `prev` the hash of the line before, `digest` the SHA-256 of
all bytes before the footer, and `mac` its HMAC with the audit key. Bytes are compared, not values: any change shows.
Pure: lines in, lines or findings out; nothing is held but the last hash.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

import msgspec

from .audit import AuditEntry, canonical
from .chain import ROOT, is_signature, key_id, signature
from .proof import Findings, What

FORMAT: Final = 1
LONGEST: Final = 1 << 20
"""Bytes of a line; what is longer is no line of an audit log."""

_TAIL: Final = 76
_BEGINNING = re.compile(rb'\{"n":(0|[1-9][0-9]{0,14}),"prev":"([0-9a-f]{64})","(header|entry|footer)":')
_json = msgspec.json.Encoder(order="sorted")
_MOST_GAPS: Final = 1000


class Lines:
    """Writes a log: `header`, then `entry` for each, then `footer`. Each returns a line with its newline."""

    def __init__(self) -> None:
        self._previous = ROOT.hex().encode()
        self._number = 0
        self._digest = hashlib.sha256()
        self.entries = 0
        """Entries so far."""

    def header(self, facts: dict[str, Any]) -> bytes:
        """What the log is of."""
        return self._line(b"header", _json.encode({"podium_audit": FORMAT, **facts}))

    def entry(self, entry: AuditEntry) -> bytes:
        """The next entry."""
        self.entries += 1
        return self._line(b"entry", canonical(entry))

    def footer(self, key: bytes | None) -> bytes:
        """The end. Without a key it is not signed."""
        digest = self._digest.digest()
        mac = "" if key is None else signature(key, b"export", digest).hex()
        facts = {"digest": digest.hex(), "entries": self.entries, "key": key_id(key), "mac": mac}
        return self._line(b"footer", _json.encode(facts))

    def _line(self, kind: bytes, content: bytes) -> bytes:
        start = b'{"n":%d,"prev":"%b","%b":%b' % (self._number, self._previous, kind, content)
        self._previous = hashlib.sha256(start).hexdigest().encode()
        self._number += 1
        line = b'%b,"hash":"%b"}\n' % (start, self._previous)
        self._digest.update(line)
        return line


class LineProof:
    """Checks a log line by line. Feed it every line as it is, then call `end`."""

    def __init__(self, findings: Findings, key: bytes | None) -> None:
        self._findings, self._key = findings, key
        self._previous: bytes | None = ROOT.hex().encode()
        """None after a line that cannot be trusted to say what follows it."""
        self._expected = 0
        self._line = 0
        self._digest = hashlib.sha256()
        self._gaps: set[int] = set()
        self._closed = False
        self.entries = 0
        self.signed = False
        """Whether the footer's signature was checked and is right."""

    def feed(self, line: bytes) -> None:
        """The next line, with its newline if it has one."""
        self._line += 1
        if self._closed:
            self._say("inserted", "there is more after the footer")
            return
        match = _BEGINNING.match(line)
        hashed = hashlib.sha256(line[:-_TAIL]).hexdigest().encode()
        if match is None or line[-_TAIL:] != b',"hash":"%b"}\n' % hashed:
            what: What = "changed" if line.endswith(b"\n") else "truncated"
            self._say(what, "it is not what was written")
            self._previous = None
            self._expected += 1
            self._digest.update(line)
            return
        number, kind = int(match[1]), match[3]
        if kind == b"footer":
            self._footer(line[match.end() : -_TAIL], number, match[2])
        self._digest.update(line)
        if self._placed(number, match[2]):
            self._previous, self._expected = hashed, number + 1
        self.entries += kind == b"entry"
        if (kind == b"header") != (number == 0):
            self._say("changed", f"line {number} of the log cannot be a {kind.decode()}")

    def end(self) -> None:
        """After the last line."""
        if not self._closed:
            self._findings.add("truncated", "file", "its footer is missing: the end was cut off", first=self._line + 1)

    def _placed(self, number: int, previous: bytes) -> bool:
        """Whether a line stands where it belongs, or at least further on."""
        if number < self._expected:
            if number in self._gaps:
                self._gaps.discard(number)
                self._say("swapped", f"line {number} of the log stands after line {self._expected - 1}")
            else:
                self._say("inserted", f"line {number} of the log is there again, or another under its number")
            return False
        if number > self._expected:
            self._say("missing", f"lines {self._expected} to {number - 1} of the log are not before it")
            if len(self._gaps) < _MOST_GAPS:
                self._gaps.update(range(self._expected, min(number, self._expected + _MOST_GAPS)))
        elif self._previous is not None and previous != self._previous:
            self._say("changed", "it does not follow the line before it")
        return True

    def _footer(self, content: bytes, number: int, previous: bytes) -> None:
        self._closed = True
        digest = self._digest.digest()
        try:
            facts: dict[str, Any] = msgspec.json.decode(content, type=dict[str, Any])
            mac = bytes.fromhex(facts["mac"])
            said = (facts["digest"], facts["entries"])
            name = str(facts["key"])
        except (msgspec.MsgspecError, KeyError, ValueError, TypeError):
            self._say("changed", "its footer cannot be read")
            return
        if said != (digest.hex(), self.entries) or number != self._expected or previous != self._previous:
            self._say("changed", "the lines above the footer are not those it was written for")
        if self._key is None:
            return
        if not name:
            self._say("signature", "its footer has no signature, and every export is signed")
        elif name != key_id(self._key):
            detail = f"it was signed with another key ({name}, this one is {key_id(self._key)}): give that key as"
            self._say("signature", f"{detail} PODIUM_AUDIT_KEY")
        elif not is_signature(self._key, b"export", digest, mac):
            self._say("signature", "the signature of its footer is not right")
        else:
            self.signed = True

    def _say(self, what: What, detail: str) -> None:
        self._findings.add(what, "file", f"line {self._line}: {detail}", first=self._line, last=self._line)
