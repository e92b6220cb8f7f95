"""A format once written stays readable: journals of every release decode to the values they were made from."""

from __future__ import annotations

from pathlib import Path

import msgspec

from podium.core.actions import Kind
from podium.core.codec import encode
from podium.core.errors import Failure
from podium.core.labels import Integrity, Label
from podium.core.messages import Message, Text, ToolCall
from podium.core.records import (
    RECORDS,
    Began,
    Ended,
    Finished,
    Held,
    Hold,
    Outcome,
    Principal,
    Record,
    Resumed,
    Retried,
    Signalled,
    Started,
    Status,
    Suspended,
    decode_frame,
    encode_record,
    frame,
)
from podium.core.state import fold
from podium.core.transcript import FromPin, FromSession, FromSteps, Inline
from podium.core.usage import Usage

GOLDEN = Path(__file__).parent / "golden"


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(encode(value))


MESSAGE = Message("assistant", (Text("Grüße"), ToolCall("search", {"q": "tents", "n": 5}, "call_1")), "shop")
HOLD = Hold("0badcafe", "approval", "refund?", 1900.5, ("approve", "edit", "reject"), ("manager",), b"\x01" * 12,
            raw({"tool": "refund", "args": {"amount": "12.50"}}))  # fmt: skip
LABEL = Label(Integrity.UNTRUSTED, frozenset({"tool:search"}), frozenset({"ada"}), frozenset({"pii.email"}))

VERSION_1: list[Record] = [
    Started(
        "run-1",
        "shop",
        1000.25,
        raw("Which tents?"),
        1,
        "shop.py:agent",
        Principal("ada", ("manager",), "acme"),
        "s-1",
        2000.5,
        "run-0",
        "run-9",
        "shop.1/turn.2",
        "hold",
        LABEL,
        (MESSAGE,),
    ),
    Resumed(2, "linux/host/1", 1001.0, 1030.0),
    Began("shop.1", 1, Kind.CALL, "shop", b"\x02" * 12, 1001.5, 1, 2, "", "sha", "", raw("Which tents?")),
    Began(
        "shop.1/turn.1/model.1",
        1,
        Kind.MODEL,
        "model",
        b"\x03" * 12,
        1002.0,
        1,
        2,
        "",
        "scripted",
        "",
        raw(None),
        0,
        (FromPin(), FromSession("s-1", 0, 4), Inline(MESSAGE), FromSteps((3, 5))),
        None,
        "0.02",
        (),
        "shop",
        1500.0,
    ),
    Retried(
        "shop.1/turn.1/model.1", 1, 1003.0, 1004.5, Failure("Overloaded", "busy", {"retry_after": 1.5}), "0", "0.02"
    ),
    Ended(
        "shop.1/turn.1/model.1",
        1005.0,
        Outcome.OK,
        raw({"a": [1, 2.5, None, True]}),
        None,
        Usage(10, 20, 1, 2, 3),
        "0.0125",
        LABEL,
        2,
        False,
        "blob",
    ),
    Held(
        "shop.1/turn.1/refund.1",
        2,
        Kind.TOOL,
        "refund",
        b"\x04" * 12,
        1006.0,
        HOLD,
        "approval:tool",
        raw({"x": 1}),
        (1,),
    ),
    Signalled(
        "run-1:decide:0badcafe", "approve", "0badcafe", 1007.0, raw({"args": {"x": 2}}), Principal("bob", ("manager",))
    ),
    Ended(
        "shop.1/now.1",
        1008.0,
        Outcome.ERROR,
        raw(None),
        Failure("ToolError", "no"),
        None,
        None,
        None,
        1,
        True,
        "",
        3,
        Kind.READ,
        "now",
        b"\x05" * 12,
        (2,),
        "rule",
    ),
    Suspended(1009.0, 1900.5),
    Finished(Status.EXHAUSTED, 1010.0, raw("so far"), Failure("Exhausted", "enough", {"iterations": 20}), "address"),
]
"""One of each record, every field set somewhere. Never changed: what the first release wrote."""


def test_the_golden_journal_holds_one_of_each_record() -> None:
    assert {type(record) for record in VERSION_1} == set(RECORDS)


def test_the_journal_of_the_first_release_still_decodes_to_the_same_values() -> None:
    data = bytes.fromhex((GOLDEN / "v1.hex").read_text("ascii"))
    assert decode_frame(data) == VERSION_1


def test_the_present_release_writes_what_the_first_one_wrote_and_only_adds_at_the_end() -> None:
    data = bytes.fromhex((GOLDEN / "v1.hex").read_text("ascii"))
    then: object = msgspec.msgpack.decode(data)
    now: object = msgspec.msgpack.decode(frame([encode_record(record) for record in VERSION_1]))
    assert extends(now, then)


def extends(now: object, then: object) -> bool:
    """Whether `now` is `then`, with nothing changed and at most something added at the end of its arrays."""
    if isinstance(then, list) and isinstance(now, list):
        return len(now) >= len(then) and all(extends(a, b) for a, b in zip(now, then, strict=False))
    if isinstance(then, dict) and isinstance(now, dict):
        return now.keys() == then.keys() and all(extends(now[key], then[key]) for key in then)
    return now == then


def test_the_golden_journal_folds() -> None:
    history = fold(VERSION_1)
    assert history.facts.status is Status.EXHAUSTED
    assert str(history.facts.cost) == "0.0125"
    assert str(history.facts.uncertain) == "0.02"
    assert list(history.facts.agents) == ["shop"]
