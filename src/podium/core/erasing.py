"""Erasing what a run was given and what it produced, and leaving what it did.

An erased payload leaves a tombstone of a type of its own where it stood: reading it raises `Erased`, whoever reads.
Times, names, keys, outcomes, costs, labels, rules and who decided stay. Digests of payloads go too, and the ids of
requests, which derive from them, get other names: a short value could be found by trying all. Pure functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import msgspec

from .codec import GRAVE, TOMBSTONE, decode_remains, encode
from .errors import Failure
from .messages import Message, Text
from .records import NIL, Began, Ended, Finished, Held, Hold, Record, Retried, Signalled, Started
from .transcript import Inline, Origin

ERASED = "[erased]"
"""What stands where a text was that must stay a text."""

T = TypeVar("T", bound=msgspec.Struct)


class Eraser:
    """Erases payloads of records; `values` counts them and `blobs` collects the addresses of content that must go."""

    def __init__(self, veil: Callable[[str], str], step: str | None = None) -> None:
        self._veil = veil
        """Gives a request another name, always the same for the same."""
        self._step = step
        """The only step whose payloads are erased, with everything inside it; None for the whole run."""
        self._requests: set[str] = set()
        self.values = 0
        self.blobs: set[str] = set()

    def erase(self, record: Record) -> Record:
        """The record without its payloads; the same object when it has none (or none any more)."""
        if isinstance(record, Began | Held | Ended | Retried) and not self._wanted(record.key):
            return record
        if isinstance(record, Began):
            return self._began(record)
        if isinstance(record, Ended):
            return self._ended(record)
        if isinstance(record, Held):
            return self._held(record)
        if isinstance(record, Retried):
            return self._changed(record, error=self._failure(record.error))
        if isinstance(record, Signalled):
            return self._signalled(record)
        if self._step is not None:
            return record
        if isinstance(record, Started):
            history = tuple(self._message(message) for message in record.history)
            return self._changed(record, input=self._raw(record.input), history=history)
        if isinstance(record, Finished):
            if record.blob:
                self.blobs.add(record.blob)
            return self._changed(record, value=self._raw(record.value), error=self._failure(record.error))
        return record

    def _wanted(self, key: str) -> bool:
        return self._step is None or key == self._step or key.startswith(self._step + "/")

    # ----------------------------------------------------------------------------------------------------- records

    def _began(self, record: Began) -> Record:
        added = tuple(self._origin(origin) for origin in record.added)
        hold = None if record.hold is None else self._hold(record.hold)
        return self._changed(record, args=self._raw(record.args), added=added, hold=hold, digest=_blank(record.digest))

    def _ended(self, record: Ended) -> Record:
        if record.blob:
            self.blobs.add(record.blob)
        return self._changed(
            record, value=self._raw(record.value), error=self._failure(record.error), digest=_blank(record.digest)
        )

    def _held(self, record: Held) -> Record:
        hold = self._hold(record.hold)
        return self._changed(record, args=self._raw(record.args), hold=hold, digest=_blank(record.digest))

    def _signalled(self, record: Signalled) -> Record:
        if self._step is not None and record.request not in self._requests:
            return record
        named = bool(record.request) and record.request in self._requests
        request = self._veil(record.request) if named else record.request
        mail = record.mail.replace(record.request, request) if named else record.mail
        return self._changed(record, data=self._decision(record), request=request, mail=mail)

    def _hold(self, hold: Hold) -> Hold:
        if hold.prompt == ERASED:
            return hold
        request = hold.request
        if hold.why in _DERIVED:
            self._requests.add(request)
            request = self._veil(request)
        # A name that is waited for (`signal`) says what the run does, not what it was given.
        prompt = ERASED if hold.why in _DERIVED else hold.prompt
        fields = {"request": request, "prompt": prompt, "detail": self._raw(hold.detail), "digest": _blank(hold.digest)}
        return msgspec.structs.replace(hold, **fields)

    # ------------------------------------------------------------------------------------------------------ values

    def _raw(self, value: msgspec.Raw) -> msgspec.Raw:
        data = bytes(value)
        if data in _NOTHING or data == TOMBSTONE:
            return value
        self.values += 1
        return msgspec.Raw(TOMBSTONE)

    def _decision(self, record: Signalled) -> msgspec.Raw:
        """What came from outside; of a decision the word stays: that a call was edited, or is said to have happened."""
        left = _word(record) if record.kind in _DECISIONS else None
        if left is None:
            return self._raw(record.data)
        data = encode(left)
        if data == bytes(record.data):
            return record.data
        self.values += 1
        return msgspec.Raw(data)

    def _failure(self, failure: Failure | None) -> Failure | None:
        if failure is None or (failure.message == ERASED and not failure.data):
            return failure
        self.values += 1
        return Failure(failure.type, ERASED)

    def _message(self, message: Message) -> Message:
        gone = (Text(ERASED),)
        if message.parts == gone:
            return message
        self.values += 1
        return Message(message.role, gone, message.name)

    def _origin(self, origin: Origin) -> Origin:
        return Inline(self._message(origin.message)) if isinstance(origin, Inline) else origin

    def _changed(self, record: T, **fields: object) -> T:
        """`record` with these fields, and the same object when they were so already."""
        same = all(getattr(record, name) == value for name, value in fields.items())
        return record if same else msgspec.structs.replace(record, **fields)


_NOTHING = frozenset({b"", bytes(NIL)})
_DERIVED = frozenset({"ask", "approval", "review", "in_doubt"})
"""Waits whose request id derives from what is asked."""
_DECISIONS = frozenset({"approve", "resolve"})


def _word(record: Signalled) -> dict[str, Any] | None:
    """A person's decision without what it was about; None for one that is not written as Podium writes them."""
    said: Any = decode_remains(record.data)
    if not isinstance(said, dict):
        return None
    given = cast("dict[str, Any]", said)
    if record.kind == "resolve":
        if not given.keys() <= {"choice", "result"} or given.get("choice") not in _OUTCOMES:
            return None
        return given if given.get("result") is None else {**given, "result": GRAVE}
    if given.keys() == {"args"}:
        return {"args": GRAVE}
    answer: Any = given.get("value")
    if given.keys() == {"value"} and isinstance(answer, dict):
        judged = cast("dict[str, Any]", answer)
        if judged == {"decision": "approve"}:
            return given
        if judged.keys() == {"decision", "output"} and judged["decision"] == "edit":
            return {"value": {**judged, "output": GRAVE}}
    return None if given else given


_OUTCOMES = ("happened", "not_happened", "abort")
"""What can be said of a step in doubt."""


def _blank(digest: bytes) -> bytes:
    return b"\0" * len(digest)
