"""The audit log as a reading of the journal: one entry for each thing that an auditor asks about.

Nothing is logged a second time. What a run was allowed, refused and told to wait for, what its tools and models did,
what was retried, in doubt and settled, and who decided, all follow from its records, in order. Values are redacted;
digests of arguments and results are keyed, so that nobody finds a short value by trying all. Pure: this module knows no
store, and holds only what is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, Literal, TypeAlias, cast

import msgspec

from . import keys
from .actions import Kind
from .chain import signature
from .codec import decode, decode_remains, readable
from .errors import Erased, Failure
from .labels import Label
from .records import (
    Began,
    Ended,
    Finished,
    Held,
    Hold,
    Outcome,
    Record,
    Resumed,
    Retried,
    Signalled,
    Started,
    Suspended,
)
from .redaction import redact, redact_text

Event: TypeAlias = Literal[
    "run.started", "run.resumed", "run.suspended", "run.finished", "gate", "decision", "question", "in_doubt", "tool",
    "model", "retry", "spawn", "signal", "cancel",
]  # fmt: skip

VERDICTS = (
    "allow", "deny", "hold", "rewrite", "approve", "edit", "reject", "answer", "happened", "not_happened", "abort",
    "resolve",
)  # fmt: skip
"""What the gate says of an action, and a person of what was held or in doubt."""

MOST_VALUE = 4000
"""Characters of arguments that an entry shows."""

MOST_TEXT = 1000
"""Characters of an error or a question that an entry shows."""

_DIGITS = 32
_PERSONS = frozenset({"approve", "reject", "answer", "resolve"})


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened. Fields that do not apply are left out of its JSON."""

    run: str
    seq: int
    """The number of the record it is read from; a record may give several entries."""
    at: float
    """Epoch seconds."""
    event: Event
    key: str = ""
    """The step."""
    name: str = ""
    """The tool, the model, the member, the signal."""
    agent: str = ""
    principal: str = ""
    """Who is behind the run."""
    tenant: str = ""
    verdict: str = ""
    """Of the gate: `allow`, `deny`, `hold`, `rewrite`. Of a person: `approve`, `edit`, `reject`, `answer`, `happened`,
    `not_happened`, `abort`."""
    rule: str = ""
    """The rule that gave the verdict."""
    policy: str = ""
    """The version of the gate's policy in force."""
    by: str = ""
    """Who decided."""
    roles: tuple[str, ...] = ()
    """The roles of whoever decided, or that may decide."""
    request: str = ""
    """The id of what was asked; a decision names the same."""
    why: str = ""
    status: str = ""
    """How the run ended, or a step: `ok`, `error`, `exhausted`, `unknown`."""
    success: bool | None = None
    started: float | None = None
    """Epoch seconds at which the last attempt began."""
    duration_ms: float | None = None
    """Of the last attempt, in milliseconds."""
    attempt: int = 0
    cached: bool = False
    effect: str = ""
    version: str = ""
    cost: str | None = None
    """US dollars; left out when it is not known."""
    uncertain: str | None = None
    """US dollars that may have been spent by an attempt that was cut off."""
    usage: Any = None
    args: Any = None
    """The arguments, redacted."""
    args_digest: str = ""
    """HMAC-SHA-256 (128 bits of it) of the arguments as they are journaled, with the audit key."""
    result_digest: str = ""
    """The same of the result."""
    label: Any = None
    """What is known of the origin and audience of the result; left out when it is trusted and for anybody."""
    error: str = ""
    text: str = ""
    """What was asked, redacted."""


_canonical = msgspec.json.Encoder(order="sorted", decimal_format="string", uuid_format="canonical")


def canonical(entry: AuditEntry) -> bytes:
    """The entry as JSON, the same bytes everywhere: sorted keys, no spaces, UTF-8, nothing that is empty."""
    return _canonical.encode(entry)


def keyed_digest(key: bytes, data: bytes) -> str:
    """The digest under which an entry knows a value: of its journaled bytes, keyed."""
    return signature(key, b"value", data).hex()[:_DIGITS]


def entries(records: Iterable[Record], key: bytes | None = None) -> Generator[AuditEntry]:
    """The entries of a run's records, in order. Without the audit key they have no digests of values."""
    reader = AuditReader(key)
    for record in records:
        yield from reader.read(record)


class AuditReader:
    """Turns a run's records, given one after the other from the first, into entries."""

    def __init__(self, key: bytes | None = None) -> None:
        self._digest: Callable[[bytes], str] = (lambda _: "") if key is None else (lambda data: keyed_digest(key, data))
        self._seq = 0
        self._run = self._principal = self._tenant = self._policy = ""
        self._open: dict[str, Began] = {}
        """Calls under way."""
        self._members: dict[str, str] = {}
        """Members at work, by the scope they work in."""
        self._asked: dict[str, tuple[str, str, str]] = {}
        """Requests that nobody has decided: step, name and rule."""

    def read(self, record: Record) -> Generator[AuditEntry]:
        """The entries of the next record."""
        self._seq += 1
        if isinstance(record, Began):
            yield from self._began(record)
        elif isinstance(record, Ended):
            yield from self._ended(record)
        elif isinstance(record, Held):
            yield self._hold(record.hold, record, record.rule)
        elif isinstance(record, Retried):
            yield self._retried(record)
        elif isinstance(record, Signalled):
            yield from self._signalled(record)
        elif isinstance(record, Started):
            yield self._started(record)
        elif isinstance(record, Resumed):
            self._policy = record.policy
            why = "" if record.stolen_until is None else "the lease was taken from another driver"
            yield self._entry(record.at, "run.resumed", by=record.owner, attempt=record.epoch, why=why)
        elif isinstance(record, Suspended):
            yield self._entry(record.at, "run.suspended")
        else:
            yield from self._finished(record)

    # ------------------------------------------------------------------------------------------------------- the run

    def _started(self, record: Started) -> AuditEntry:
        self._run, self._principal, self._tenant = record.run, record.principal.id, record.principal.tenant
        self._policy = record.policy
        raw = bytes(record.input)
        why = f"forked from {record.forked_from} at {record.forked_at}" if record.forked_from else ""
        return self._entry(
            record.at,
            "run.started",
            name=record.member,
            roles=record.principal.roles,
            why=why or (f"child of {record.parent}" if record.parent else ""),
            args_digest=self._value(raw),
            label=_label(record.label),
        )

    def _finished(self, record: Finished) -> Generator[AuditEntry]:
        status, error = record.status.value, record.error
        if error is not None and error.type == "PermissionDenied" and error.data.get("withheld") is True:
            rule = str(error.data.get("rule", ""))
            yield self._entry(record.at, "gate", name="answer", verdict="deny", rule=rule, error=_error(error))
        elif record.rule:
            yield self._entry(record.at, "gate", name="answer", verdict="allow", rule=record.rule)
        yield self._entry(
            record.at, "run.finished", status=status, success=status == "succeeded", error=_error(record.error)
        )

    # ------------------------------------------------------------------------------------------------------- a step

    def _began(self, record: Began) -> Generator[AuditEntry]:
        if record.kind in _FOLLOWED:
            self._open[record.key] = record
        elif record.kind is Kind.CALL:
            self._members[record.key] = record.name
        if record.kind is Kind.TOOL:
            for rule in record.rewritten:
                yield self._entry(record.at, "gate", record, verdict="rewrite", rule=rule)
            if record.attempt == 1 or record.rule:
                args, digest = self._args(record)
                yield self._entry(
                    record.at,
                    "gate",
                    record,
                    verdict="allow",
                    rule=record.rule,
                    attempt=record.attempt,
                    effect=record.effect,
                    version=record.version,
                    args=args,
                    args_digest=digest,
                )
        elif record.kind is Kind.MODEL:
            for model, rule in record.refused:
                yield self._entry(record.at, "gate", record, name=model, verdict="deny", rule=rule)
            if record.rule:
                yield self._entry(record.at, "gate", record, name=record.version, verdict="allow", rule=record.rule)
        elif record.kind is Kind.SPAWN:
            yield self._entry(record.at, "spawn", record)
        if record.hold is not None and record.hold.why in _ASKED:
            yield self._hold(record.hold, record, record.rule)

    def _ended(self, record: Ended) -> Generator[AuditEntry]:
        began = self._open.pop(record.key, None)
        self._members.pop(record.key, None)
        failed = "" if record.error is None else record.error.type
        if failed in _REFUSALS and (record.rule or (began is None and record.kind is not None)):
            named = began or record
            yield self._entry(record.at, "gate", named, verdict="deny", rule=record.rule, error=_error(record.error))
        elif began is None and record.kind is Kind.TOOL:
            # It never began: its arguments did not fit, or there is no such tool.
            status, error = record.outcome.value, _error(record.error)
            yield self._entry(record.at, "tool", record, status=status, success=False, error=error)
        if began is None or began.kind not in _EXECUTED:
            return
        args, digest = self._args(began)
        result = bytes(record.value)
        yield self._entry(
            record.at,
            "tool" if began.kind is Kind.TOOL else "model",
            began,
            name=began.version if began.kind is Kind.MODEL else began.name,
            rule=began.rule,
            why=record.rule,
            status=record.outcome.value,
            success=record.outcome is Outcome.OK,
            started=began.at,
            duration_ms=round(max(0.0, record.at - began.at) * 1000, 3),
            attempt=record.attempt,
            cached=record.cached,
            effect=began.effect,
            version="" if began.kind is Kind.MODEL else began.version,
            cost=record.cost,
            uncertain=began.reserved if record.cost is None else None,
            usage=None if record.usage is None else readable(record.usage),
            args=args,
            args_digest=digest,
            result_digest=self._value(record.blob.encode() if record.blob else result),
            label=_label(record.label),
            error=_error(record.error),
        )

    def _retried(self, record: Retried) -> AuditEntry:
        began = self._open.get(record.key)
        return self._entry(
            record.at,
            "retry",
            began,
            key=record.key,
            attempt=record.attempt,
            cost=record.cost,
            uncertain=record.uncertain,
            error=_error(record.error),
        )

    # ----------------------------------------------------------------------------------------------- asking, deciding

    def _hold(self, hold: Hold, record: Began | Held, rule: str) -> AuditEntry:
        self._asked[hold.request] = (record.key, record.name, rule)
        detail: Any = None
        try:
            detail = decode(hold.detail)
        except Erased:
            detail = {"args": _ERASED}
        shown = cast("dict[str, Any]", detail) if isinstance(detail, dict) else {}
        event: Event = "gate" if hold.why == "approval" else "in_doubt" if hold.why == "in_doubt" else "question"
        return self._entry(
            record.at,
            event,
            record,
            verdict="hold",
            rule=rule,
            request=hold.request,
            roles=hold.roles,
            why=hold.why,
            text=_text(hold.prompt),
            args=_shown(shown.get("args")),
        )

    def _signalled(self, record: Signalled) -> Generator[AuditEntry]:
        if record.kind in _PERSONS:
            key, name, rule = self._asked.pop(record.request, ("", "", ""))
            yield self._entry(
                record.at,
                "decision",
                key=key,
                name=name,
                rule=rule,
                request=record.request,
                verdict=_decided(record),
                by=record.by.id,
                roles=record.by.roles,
            )
        elif record.kind in {"signal", "cancel"}:
            event: Event = "signal" if record.kind == "signal" else "cancel"
            yield self._entry(record.at, event, name=record.request, by=record.by.id, roles=record.by.roles)

    # ------------------------------------------------------------------------------------------------------- values

    def _entry(self, at: float, event: Event, step: Began | Held | Ended | None = None, **fields: Any) -> AuditEntry:
        named: dict[str, Any] = {}
        if step is not None:
            agent = getattr(step, "agent", "") or self._member(step.key)
            named = {"key": step.key, "name": step.name, "agent": agent}
        policy = self._policy if event == "gate" else ""
        return AuditEntry(
            run=self._run,
            seq=self._seq,
            at=at,
            event=event,
            principal=self._principal,
            tenant=self._tenant,
            policy=policy,
            **{**named, **fields},
        )

    def _member(self, key: str) -> str:
        """The member in whose scope a step lies: a step that never began does not say."""
        while key:
            key = keys.parent(key)
            if key in self._members:
                return self._members[key]
        return ""

    def _args(self, record: Began) -> tuple[Any, str]:
        raw = bytes(record.args)
        try:
            return _shown(decode(raw)), self._value(raw)
        except Erased:
            return _ERASED, ""

    def _value(self, raw: bytes) -> str:
        """The digest of a journaled value; none of what is not there, or not there any more."""
        if raw in _NOTHING:
            return ""
        try:
            decode(raw) if len(raw) < _TOMB else None
        except (Erased, msgspec.DecodeError):
            return ""
        return self._digest(raw)


_TOMB = 8
_ERASED = "[erased]"
_NOTHING = frozenset({b"", b"\xc0"})
_EXECUTED = frozenset({Kind.TOOL, Kind.MODEL})
_FOLLOWED = frozenset({Kind.TOOL, Kind.MODEL, Kind.ASK})
_ASKED = frozenset({"ask", "review", "approval", "in_doubt"})
_REFUSALS = frozenset({"PermissionDenied", "Rejected", "SecurityError", "BudgetExceeded"})


def _decided(record: Signalled) -> str:
    data: Any = decode_remains(record.data)
    said = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    answer: Any = said.get("value")
    judged = cast("dict[str, Any]", answer) if isinstance(answer, dict) else {}
    if record.kind == "approve" and ("args" in said or judged.get("decision") == "edit"):
        return "edit"
    return str(said.get("choice") or "resolve") if record.kind == "resolve" else record.kind


def _shown(value: Any) -> Any:
    return None if value is None else readable(redact(readable(value), bound=MOST_VALUE))


def _text(text: str) -> str:
    return redact_text(text[: MOST_TEXT * 2])[:MOST_TEXT]


def _error(failure: Failure | None) -> str:
    return "" if failure is None else _text(str(failure))


def _label(label: Label | None) -> Any:
    if label is None:
        return None
    readers = None if label.readers is None else sorted(label.readers)
    return {
        "integrity": label.integrity.name.lower(),
        "sources": sorted(label.sources),
        "readers": readers,
        "kinds": sorted(label.kinds),
    }
