"""Entries are read from records alone, and erasing takes payloads out of records and nothing else."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from strategies import records
from test_golden import VERSION_1

from podium.core.actions import Kind
from podium.core.audit import AuditEntry, canonical, entries, keyed_digest
from podium.core.codec import decode, encode
from podium.core.erasing import Eraser
from podium.core.errors import Erased, Failure
from podium.core.records import (
    Began,
    Ended,
    Held,
    Hold,
    Outcome,
    Principal,
    Record,
    Retried,
    Signalled,
    Started,
    decode_frame,
    encode_record,
    frame,
)
from podium.core.state import fold

KEY = b"k" * 32


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(encode(value))


def tool(key: str = "a.1/refund.1", attempt: int = 1, **fields: object) -> Began:
    args = raw({"amount": 25, "password": "hunter2"})
    began = Began(key, 1, Kind.TOOL, "refund", b"\x01" * 12, 10.0 + attempt, attempt, 1, "write", "3", "policy:small")
    return msgspec.structs.replace(began, args=args, agent="support", **fields)


STARTED = Started("r", "support", 1.0, raw("refund Ada"), principal=Principal("ada", ("clerk",), "acme"), policy="p1")


def told(*given: Record) -> list[AuditEntry]:
    return list(entries([STARTED, *given], KEY))[1:]


def test_a_call_is_a_verdict_and_an_execution_with_keyed_digests() -> None:
    verdict, call = told(tool(), Ended("a.1/refund.1", 11.25, value=raw("done"), cost="0.02"))
    assert (verdict.event, verdict.verdict, verdict.rule, verdict.policy) == ("gate", "allow", "policy:small", "p1")
    assert (call.event, call.success, call.duration_ms) == ("tool", True, 250.0)
    assert (call.cost, call.effect) == ("0.02", "write")
    assert (call.principal, call.tenant, call.agent, call.version) == ("ada", "acme", "support", "3")
    assert call.args == {"amount": 25, "password": "[redacted]"}
    assert call.result_digest == keyed_digest(KEY, encode("done")) != keyed_digest(b"another", encode("done"))
    assert [entry.result_digest for entry in entries([STARTED, tool(), Ended("a.1/refund.1", 2.0)])] == ["", "", ""]


def test_rules_that_changed_the_arguments_are_told_before_the_one_that_allowed_them() -> None:
    found = told(tool(rewritten=("pii:mask", "limit:amount")))
    assert [(each.verdict, each.rule) for each in found] == [
        ("rewrite", "pii:mask"),
        ("rewrite", "limit:amount"),
        ("allow", "policy:small"),
    ]


def test_a_hold_and_its_decision_name_the_same_request() -> None:
    hold = Hold(
        "0badcafe", "approval", "refund 25?", 99.0, (), ("manager",), b"\1", raw({"args": {"token": "secret-1"}})
    )
    held = Held("a.1/refund.1", 1, Kind.TOOL, "refund", b"\1" * 12, 5.0, hold, "approval:tool")
    edit = Signalled("m", "approve", "0badcafe", 6.0, raw({"args": {"amount": 1}}), Principal("bob", ("manager",)))
    asked, decided = told(held, edit)
    assert (asked.verdict, asked.rule, asked.roles, asked.args) == (
        "hold", "approval:tool", ("manager",), {"token": "[redacted]"},
    )  # fmt: skip
    assert (decided.verdict, decided.by, decided.request, decided.name) == ("edit", "bob", "0badcafe", "refund")


def test_a_refusal_says_which_rule_and_whose_call() -> None:
    call = Began("a.1", 1, Kind.CALL, "support", b"\1", 2.0)
    failure = Failure("PermissionDenied", "no", {"rule": "permission:not-granted"})
    refused = Ended("a.1/drop.1", 3.0, Outcome.ERROR, error=failure, kind=Kind.TOOL, name="drop", rule="permission:x")
    (found,) = told(call, refused)
    assert (found.event, found.verdict, found.rule, found.agent, found.name) == (
        "gate", "deny", "permission:x", "support", "drop",
    )  # fmt: skip


def test_a_doubt_and_how_it_was_settled_are_told() -> None:
    hold = Hold("cafe", "in_doubt", "Did refund happen?")
    held = Held("a.1/refund.1", 1, Kind.TOOL, "refund", b"\1" * 12, 5.0, hold)
    settled = Signalled("m", "resolve", "cafe", 6.0, raw({"choice": "not_happened"}), Principal("bob"))
    retried = Retried("a.1/refund.1", 1, 7.0, 7.0, Failure("ToolError", "it did not happen"))
    found = told(tool(), held, settled, retried, tool(attempt=2), Ended("a.1/refund.1", 13.0, attempt=2))
    assert [(each.event, each.verdict or each.status) for each in found] == [
        ("gate", "allow"),
        ("in_doubt", "hold"),
        ("decision", "not_happened"),
        ("retry", ""),
        ("gate", "allow"),
        ("tool", "ok"),
    ]
    assert found[-1].attempt == 2


def test_entries_of_every_kind_of_record_are_canonical_json() -> None:
    found = list(entries(VERSION_1, KEY))
    assert found
    for entry in found:
        text = canonical(entry)
        assert b"\n" not in text
        again: object = msgspec.json.decode(text)
        assert msgspec.json.encode(again, order="sorted") == text


@given(records)
def test_any_record_is_read_without_an_error(record: Record) -> None:
    for entry in entries([STARTED, record], KEY):
        assert canonical(entry)


# ------------------------------------------------------------------------------------------------------- erasing


def erased(given: list[Record], step: str | None = None) -> list[Record]:
    eraser = Eraser(lambda request: f"other-{request}", step)
    return [eraser.erase(record) for record in given]


def test_an_erased_journal_still_folds_and_says_what_was_done() -> None:
    gone = erased(VERSION_1)
    again = decode_frame(frame([encode_record(record) for record in gone]))
    assert again == gone
    before, after = fold(VERSION_1).facts, fold(again).facts
    assert (after.status, after.cost, after.uncertain, after.agents) == (
        before.status, before.cost, before.uncertain, before.agents,
    )  # fmt: skip
    everything = frame([encode_record(record) for record in gone])
    for payload in (b"Which tents?", "Grüße".encode(), b"12.50", b"busy", b"so far", b"refund?"):
        assert payload not in everything


def test_reading_what_was_erased_is_a_typed_error() -> None:
    (started,) = erased([STARTED])
    assert isinstance(started, Started)
    with pytest.raises(Erased, match="was erased"):
        decode(started.input)


DECISIONS = {
    "edit": ("approve", {"args": {"amount": "payload"}}),
    "approve": ("approve", {}),
    "reject": ("reject", {"message": "payload"}),
    "answer": ("answer", {"value": "payload"}),
    "happened": ("resolve", {"choice": "happened", "result": "payload"}),
    "not_happened": ("resolve", {"choice": "not_happened", "result": None}),
}


@pytest.mark.parametrize("word", DECISIONS)
def test_erasing_leaves_what_a_person_decided(word: str) -> None:
    kind, data = DECISIONS[word]
    given = Signalled("m", kind, "cafe", 6.0, raw(data), Principal("bob"))
    (gone,) = erased([given])
    assert [each.verdict for each in told(given)] == [each.verdict for each in told(gone)] == [word]
    assert b"payload" not in encode_record(gone)
    assert erased([gone]) == [gone]


def test_a_decision_without_its_payload_cannot_be_read_as_another_one() -> None:
    (gone,) = erased([Signalled("m", "approve", "cafe", 6.0, raw({"args": {"amount": 1}}))])
    assert isinstance(gone, Signalled)
    with pytest.raises(Erased, match="was erased"):
        decode(gone.data)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [({"decision": "edit", "output": {"text": "payload"}}, "edit"), ({"decision": "approve"}, "approve")],
)
def test_an_edited_answer_is_told_as_edited_and_stays_so(answer: dict[str, object], verdict: str) -> None:
    given = Signalled("m", "approve", "cafe", 6.0, raw({"value": answer}), Principal("bob"))
    (gone,) = erased([given])
    assert [each.verdict for each in told(given)] == [each.verdict for each in told(gone)] == [verdict]
    assert b"payload" not in encode_record(gone)


def test_erasing_one_step_leaves_the_others() -> None:
    other = tool("a.1/other.1")
    began, kept = erased([tool(), other], "a.1/refund.1")
    assert kept is other
    assert isinstance(began, Began)
    assert began.digest == b"\0" * 12
    assert (began.name, began.rule, began.agent, began.at) == ("refund", "policy:small", "support", 11.0)


@given(records)
def test_erasing_twice_is_erasing_once(record: Record) -> None:
    (once,) = erased([record])
    assert erased([once]) == [once]
    assert decode_frame(frame([encode_record(once)])) == [once]
