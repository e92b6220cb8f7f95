"""The journal's format: decoding undoes encoding, unknown records refuse the run, folding is deterministic."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.core.codec import decode, digest_of, encode, readable
from podium.core.errors import SchemaTooNew, StoreCorrupt
from podium.core.labels import TRUSTED, Label
from podium.core.messages import Message, Reply
from podium.core.records import (
    Began,
    Ended,
    Finished,
    Record,
    Resumed,
    Started,
    Status,
    Suspended,
    decode_frame,
    encode_record,
    frame,
)
from podium.core.state import fold


@given(st.lists(strategies.records, max_size=4))
@settings(max_examples=150, deadline=None)
def test_decoding_a_frame_gives_the_records_that_were_encoded(records: list[Record]) -> None:
    assert decode_frame(frame([encode_record(record) for record in records])) == records


@pytest.mark.parametrize("count", [0, 15, 16, 300, 70_000])
def test_a_frame_holds_any_number_of_records(count: int) -> None:
    record = encode_record(Suspended(1.0))
    assert len(decode_frame(frame([record] * count))) == count


@given(strategies.messages)
def test_decoding_a_message_gives_the_message(message: Message) -> None:
    assert msgspec.msgpack.decode(encode(message), type=Message) == message


@given(strategies.replies)
def test_decoding_a_reply_gives_the_reply(reply: Reply) -> None:
    assert msgspec.msgpack.decode(encode(reply), type=Reply) == reply


@given(strategies.labels)
def test_decoding_a_label_gives_the_label(label: Label) -> None:
    assert msgspec.msgpack.decode(encode(label), type=Label) == label


@given(strategies.plain)
def test_plain_values_come_back_as_they_went(value: Any) -> None:
    assert decode(encode(value)) == value


@given(st.dictionaries(st.text(max_size=4), strategies.number, max_size=5))
def test_equal_dicts_have_equal_digests_in_whatever_order_they_were_made(value: dict[str, int]) -> None:
    assert digest_of(dict(reversed(value.items()))) == digest_of(value)


@given(strategies.records)
@settings(max_examples=60, deadline=None)
def test_every_record_can_be_shown_to_people_as_json(record: Record) -> None:
    shown = readable(record)
    assert msgspec.json.decode(msgspec.json.encode(shown))["type"] == record.__struct_config__.tag


def test_a_record_of_an_unknown_type_is_refused_with_the_remedy() -> None:
    with pytest.raises(SchemaTooNew, match="upgrade podium"):
        decode_frame(encode([["Z", 1, 2]]))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x91", encode([["B"]]), encode({"a": 1})])
def test_damaged_bytes_are_called_corrupt(data: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        decode_frame(data)


def test_a_field_added_at_the_end_by_a_later_release_does_not_keep_an_older_reader_from_reading() -> None:
    longer = encode([[*msgspec.to_builtins(Suspended(1.0, 2.0)), "from the future"]])
    assert decode_frame(longer) == [Suspended(1.0, 2.0)]


def test_a_record_written_before_a_field_was_added_reads_with_its_default() -> None:
    assert decode_frame(encode([["W", 1.0]])) == [Suspended(1.0, None)]


# ---------------------------------------------------------------------------------------------------------------- fold

STEPS = st.lists(
    st.one_of(strategies.began, strategies.held, strategies.retried, strategies.signalled, strategies.suspended),
    max_size=8,
)


def summary(records: list[Record]) -> Any:
    history = fold(records)
    facts = history.facts
    return (
        facts.seq, facts.status, facts.cost, facts.uncertain, facts.usage, list(facts.agents), facts.pins, facts.calls,
        facts.doubts, list(history.steps), history.decisions, history.signals,
        [(step.key, hold) for step, hold in history.pending()], [step.key for step in history.in_doubt()],
        list(history.live_steps()),
    )  # fmt: skip


@given(strategies.started, STEPS)
@settings(max_examples=80, deadline=None)
def test_folding_the_same_records_gives_the_same_state(started: Started, records: list[Record]) -> None:
    whole: list[Record] = [started, *records]
    whole += [
        Ended(record.key, record.at, cost="0.25") for record in records if isinstance(record, Began)
    ]  # every begun step ends
    decoded = decode_frame(frame([encode_record(record) for record in whole]))
    assert summary(whole) == summary(decoded)


def test_a_journal_that_ends_a_step_it_never_began_is_corrupt() -> None:
    with pytest.raises(StoreCorrupt, match="never began"):
        fold([Started("r", "m", 1.0), Ended("m.1", 2.0)])


def test_the_status_follows_the_records() -> None:
    journal: list[Record] = [Started("r", "m", 1.0)]
    seen = [fold(journal).facts.status]
    for record in (Resumed(2, "w", 2.0), Suspended(3.0), Resumed(3, "w", 4.0), Finished(Status.FAILED, 5.0)):
        journal.append(record)
        seen.append(fold(journal).facts.status)
    assert seen == [Status.PENDING, Status.RUNNING, Status.SUSPENDED, Status.RUNNING, Status.FAILED]


# -------------------------------------------------------------------------------------------------------------- labels


@given(strategies.labels, strategies.labels, strategies.labels)
def test_joining_labels_is_a_semilattice(one: Label, two: Label, three: Label) -> None:
    assert one.join(one) == one
    assert one.join(two) == two.join(one)
    assert one.join(two).join(three) == one.join(two.join(three))
    assert one.join(TRUSTED) == one
    assert one.join(two).covers(one)


@given(strategies.labels, strategies.labels)
def test_a_join_is_no_more_trusted_and_no_more_readable_than_either(one: Label, two: Label) -> None:
    joined = one.join(two)
    assert joined.integrity == min(one.integrity, two.integrity)
    assert joined.kinds == one.kinds | two.kinds
    for label in (one, two):
        assert label.readers is None or (joined.readers is not None and joined.readers <= label.readers)
