"""What a run cost, as a fold: money is neither lost nor counted twice, and what is not known is said."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.core.actions import Kind
from podium.core.codec import encode
from podium.core.costs import DAY, CostRow, Executions
from podium.core.errors import Failure
from podium.core.messages import Reply, assistant
from podium.core.records import NIL, Began, Ended, Held, Hold, Outcome, Record, Resumed, Retried, Started
from podium.core.state import Facts, fold
from podium.core.usage import NO_USAGE, Usage

BUSY = Failure("Overloaded", "busy", {})
START = Started("r", "agent", 0.0)


def model(key: str = "m", *, attempt: int = 1, reserved: str | None = None, at: float = 0.0, epoch: int = 1) -> Began:
    return Began(
        key, 1, Kind.MODEL, "model", b"", at, attempt, epoch, version="small", reserved=reserved, agent="support"
    )


def tool(key: str = "t", *, reserved: str | None = None, effect: str = "read") -> Began:
    return Began(key, 2, Kind.TOOL, "search", b"d", 0.0, effect=effect, reserved=reserved, agent="support")


def facts(*records: Record) -> Facts:
    return fold((START, *records)).facts


def sums(found: Facts) -> tuple[str, str, int]:
    return str(found.cost), str(found.uncertain), found.unpriced


def total(found: Facts) -> tuple[Decimal, Decimal, int]:
    """The same from the rows."""
    rows = found.costs.rows()
    return (
        sum((Decimal(row.cost) for row in rows), Decimal(0)),
        sum((Decimal(row.uncertain) for row in rows), Decimal(0)),
        sum(row.unpriced for row in rows),
    )


@pytest.mark.parametrize(
    ("records", "row"),
    [
        ([model(), Ended("m", 1.0, usage=Usage(3, 4), cost="0.5")], {"calls": 1, "cost": "0.5", "usage": Usage(3, 4)}),
        ([model(), Ended("m", 1.0, cost=None)], {"calls": 1, "unpriced": 1}),
        # A reply whose price nobody knows may have cost what was reserved for it; its tokens are known.
        (
            [model(reserved="0.3"), Ended("m", 1.0, usage=Usage(3, 4), cost=None)],
            {"calls": 1, "uncertain": "0.3", "usage": Usage(3, 4)},
        ),
        ([model(reserved="0"), Ended("m", 1.0, cost=None)], {"calls": 1, "unpriced": 1}),
        (
            [model(reserved="0.3"), Ended("m", 1.0, Outcome.UNKNOWN, NIL, BUSY, None, None)],
            {"calls": 1, "uncertain": "0.3"},
        ),
        ([model(reserved="0.3"), Retried("m", 1, 1.0, 2.0, BUSY, None, "0.3")], {"calls": 1, "uncertain": "0.3"}),
        ([model(), Retried("m", 1, 1.0, 2.0, BUSY, None, "0")], {"calls": 1, "unpriced": 1}),
        ([model(), Retried("m", 1, 1.0, 2.0, BUSY, "0.1")], {"calls": 1, "cost": "0.1"}),
    ],
)  # fmt: skip
def test_a_call_is_one_line_of_what_it_cost_or_may_have_cost(records: list[Record], row: dict[str, Any]) -> None:
    found = facts(*records)
    assert found.costs.rows() == (CostRow(0, "support", "model", "small", **row),)
    assert total(found) == (found.cost, found.uncertain, found.unpriced)


@pytest.mark.parametrize(
    "records",
    [
        [model(), Ended("m", 1.0, Outcome.ERROR, NIL, BUSY)],
        [model(), Retried("m", 1, 1.0, 2.0, BUSY)],
        [Ended("x", 1.0, pos=1, kind=Kind.MODEL, name="model", outcome=Outcome.EXHAUSTED)],
    ],
)
def test_a_failed_attempt_that_was_not_billed_leaves_no_line(records: list[Record]) -> None:
    found = facts(*records)
    assert found.costs.rows() == ()
    assert sums(found) == ("0", "0", 0)


def test_a_step_that_is_refused_after_a_failed_attempt_does_not_count_that_attempt_again() -> None:
    failed = Retried("m", 1, 1.0, 2.0, BUSY, None, "0.3")
    refused = Ended("m", 3.0, Outcome.EXHAUSTED, NIL, BUSY, attempt=2, rule="budget")
    found = facts(model(reserved="0.3"), failed, refused)
    [row] = found.costs.rows()
    assert (row.calls, row.uncertain) == (1, "0.3")
    assert found.calls == {"small": {"support": 1}}


def test_attempts_count_as_calls_of_their_model_unless_a_crash_left_them_open() -> None:
    lost = Retried("m", 1, 5.0, 5.0, BUSY, None, "0.3")
    assert facts(model(reserved="0.3"), lost).calls == {"small": {"support": 1}}
    assert facts(model(reserved="0.3"), Resumed(2, "me", 4.0), lost).calls == {}, "the model is asked the same again"


def test_a_paid_write_that_was_cancelled_is_in_doubt() -> None:
    unknown = Ended("t", 1.0, Outcome.UNKNOWN, NIL, BUSY, None, None)
    found = facts(tool(reserved="0.2", effect="write"), unknown)
    assert found.doubts == {("search", b"d")}
    assert sums(found) == ("0", "0.2", 0)
    assert found.costs.rows() == (
        CostRow(0, "support", "tool", "search", 1, uncertain="0.2", executions=Executions(1, 1)),
    )


def test_days_agents_and_names_have_lines_of_their_own() -> None:
    found = facts(
        model("a", at=DAY - 1.0), Ended("a", DAY + 5.0, cost="1"),
        model("b", at=DAY + 1.0), Ended("b", DAY + 5.0, cost="2"),
        tool("c"), Ended("c", 1.0, cost="4"),
    )  # fmt: skip
    lines = [(row.day, row.kind, row.name, row.cost) for row in found.costs.rows()]
    assert lines == [(0, "model", "small", "1"), (0, "tool", "search", "4"), (1, "model", "small", "2")]


def hit(cost: str | None = "0.25") -> Ended:
    return Ended("m", 1.0, value=msgspec.Raw(encode(Reply(assistant("hi"), Usage(3, 4), cost=cost))), cached=True)


def test_a_hit_saves_what_its_reply_cost_and_costs_nothing() -> None:
    found = facts(model(), hit())
    assert found.costs.rows() == (CostRow(0, "support", "model", "small", hits=1, saved="0.25"),)
    assert (found.usage, found.calls, sums(found)) == (NO_USAGE, {}, ("0", "0", 0))


def test_a_hit_that_is_too_large_for_its_record_counts_as_one() -> None:
    found = facts(model(), msgspec.structs.replace(hit(), value=NIL, blob="address"))
    assert found.costs.rows() == (CostRow(0, "support", "model", "small", hits=1),)


def test_what_a_fork_copied_is_no_cost_of_its_own() -> None:
    forked = msgspec.structs.replace(START, forked_from="other", forked_at="x")
    copied = (forked, model("a"), Ended("a", 1.0), model("b"), msgspec.structs.replace(hit(), key="b"))
    own = (Resumed(1, "me", 2.0), model("c"), Ended("c", 3.0, cost="0.5"))
    found = fold((*copied, *own)).facts
    assert found.costs.rows() == (CostRow(0, "support", "model", "small", 1, "0.5"),)
    assert found.calls == {"small": {"support": 2}}, "a script goes on where it was"


COSTS = st.none() | st.sampled_from(["0", "0.1", "0.0000000000001", "123456.000000000001"])


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """Attempts of calls with any costs and any ends."""
    records: list[Record] = []
    for number in range(draw(st.integers(0, 8))):
        key = f"s{number}"
        make = draw(st.sampled_from([model, tool]))
        reserved = draw(st.none() | st.sampled_from(["0", "0.3"]))
        began = msgspec.structs.replace(make(key, reserved=reserved), at=draw(st.floats(0, 3 * DAY)))
        last = draw(st.integers(1, 3))
        for attempt in range(1, last):
            records.append(msgspec.structs.replace(began, attempt=attempt))
            cost = draw(COSTS)
            records.append(Retried(key, attempt, 1.0, 1.0, BUSY, cost, reserved if cost is None else None))
        error = draw(st.sampled_from([None, BUSY]))
        end = Ended(key, 1.0, Outcome.OK if error is None else Outcome.ERROR, NIL, error, None, draw(COSTS))
        if draw(st.booleans()):
            records.append(msgspec.structs.replace(began, attempt=last))
        records.append(msgspec.structs.replace(end, pos=1, kind=began.kind, name=began.name))
    return records


@given(histories())
def test_the_lines_add_up_to_the_run(records: list[Record]) -> None:
    found = facts(*records)
    cost, uncertain, unpriced = total(found)
    without = [record for record in records if isinstance(record, Ended) and not _has_attempt(records, record)]
    assert cost + sum((Decimal(record.cost or 0) for record in without), Decimal(0)) == found.cost
    assert uncertain == found.uncertain
    assert unpriced + sum(record.cost is None for record in without) == found.unpriced


def _has_attempt(records: list[Record], ended: Ended) -> bool:
    before = records[records.index(ended) - 1] if records.index(ended) else None
    return isinstance(before, Began) and before.key == ended.key


def test_money_adds_up_exactly() -> None:
    records: list[Record] = []
    for number in range(1000):
        records += [model(f"s{number}"), Ended(f"s{number}", 1.0, cost="0.1")]
    assert sums(facts(*records)) == ("100.0", "0", 0)


def row_of(*records: Record) -> CostRow:
    [row] = facts(*records).costs.rows()
    return row


def test_a_tool_that_costs_nothing_has_a_line_of_executions_that_is_no_line_of_costs() -> None:
    row = row_of(tool("a"), Ended("a", 1.0), tool("b"), Ended("b", 2.0, Outcome.ERROR, NIL, BUSY))
    assert row.free
    assert row.executions is not None
    assert (row.calls, row.cost, row.executions.count, row.executions.failures) == (0, "0", 2, 1)
    assert sum(row.executions.times[1::2]) == 2


def test_a_retried_call_is_one_execution_and_each_attempt_costs() -> None:
    again = msgspec.structs.replace(tool(), attempt=2)
    row = row_of(tool(), Retried("t", 1, 1.0, 2.0, BUSY, "0.1"), again, Ended("t", 1.0, cost="0.1", attempt=2))
    assert (row.calls, row.cost, row.executions) == (2, "0.2", Executions(1, 0, row.executions.times))  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]


def test_what_the_cache_answered_is_no_execution_and_tells_what_it_saved() -> None:
    row = row_of(tool(reserved="0.25"), Ended("t", 1.0, cached=True))
    assert (row.hits, row.saved, row.calls, row.cost, row.executions) == (1, "0.25", 0, "0", Executions())


def test_a_cancelled_call_is_no_execution() -> None:
    assert facts(tool(), Ended("t", 1.0, Outcome.ERROR, NIL, Failure("Cancelled", "x"))).costs.rows() == ()


def test_a_time_that_a_restart_or_a_person_ended_is_not_the_tools() -> None:
    person = Held("t", 2, Kind.TOOL, "search", b"d", 5.0, Hold("r", "in_doubt"))
    for late in ((tool(), Resumed(2, "me", 50.0)), (tool(effect="write"), person)):
        assert row_of(*late, Ended("t", 99.0)).executions == Executions(1)


def test_a_row_of_an_earlier_release_is_read_as_it_was() -> None:
    row = CostRow(1, "a", "tool", "t", 2, "0.5", Usage(3, 4), "0.1", 1, 1, "0.2")
    older = encode([1, "a", "tool", "t", 2, "0.5", [3, 4], "0.1", 1, 1, "0.2"])
    assert msgspec.msgpack.decode(older, type=CostRow) == row
    whole = msgspec.structs.replace(row, executions=Executions(2, 1, (0, 1, 40, 1)))
    assert msgspec.msgpack.decode(encode(whole), type=CostRow) == whole
