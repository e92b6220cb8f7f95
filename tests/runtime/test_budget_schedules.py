"""The property budgets rest on: whatever the schedule and wherever the crash, a refusal replays in its place, and the
accounts say what the journal says."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from harness import QUICK, FakeClock, settle
from hypothesis import given, settings
from hypothesis import strategies as st

from podium import Podium, Price, Reply, ScriptedModel, Settings, Usage, member
from podium.agents.member import RunOptions
from podium.core.budgets import NOTHING
from podium.core.errors import BudgetExceeded, RequestError
from podium.core.messages import ModelRequest, assistant, user
from podium.core.money import dollars
from podium.core.records import Began, Ended, Record, Retried, encode_record
from podium.core.state import fold
from podium.ports import Attachment, Lease, NewRun, Reservation, Transition, Writer
from podium.stores.memory import MemoryStore

PRICE = Price(input=Decimal(0), output=Decimal(1_000_000))
WORST = 10


class SlowWriter:
    """A writer whose barriers take some turns of the loop, as those of a busy disk do."""

    def __init__(self, store: SlowStore, inner: Writer) -> None:
        self._store, self._inner = store, inner

    def append(self, record: bytes, reservation: Reservation | None = None) -> None:
        self._inner.append(record, reservation)
        self._store.passed.append(("append", reservation))

    def attach(self, item: Attachment) -> None:
        self._inner.attach(item)
        self._store.passed.append(("attach", item))

    def barrier(self, *, sync: bool = False) -> Awaitable[None] | None:
        turns = self._store.chance.randrange(6)
        return self._later(turns) if turns else self._inner.barrier(sync=sync)

    async def _later(self, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        barrier = self._inner.barrier()
        if barrier is not None:
            await barrier
        await self._store.look()

    def transition(self, change: Transition) -> Awaitable[bool]:
        return self._inner.transition(change)

    @property
    def failed(self) -> BaseException | None:
        return self._inner.failed


class SlowStore:
    """A store in memory that notes what it was given, and whose accounts are looked at again and again."""

    def __init__(self, inner: MemoryStore, seed: int, limit: int) -> None:
        self.inner = inner
        self.chance = random.Random(seed)
        self.limit = limit
        self.passed: list[tuple[str, Any]] = []
        self.looks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def writer(self, lease: Lease, seq: int, on_commit: Callable[[int], None] | None = None) -> SlowWriter:
        return SlowWriter(self, self.inner.writer(lease, seq, on_commit))

    async def look(self) -> None:
        """Nothing is ever spent or held beyond the limit."""
        self.looks += 1
        for balance in await self.inner.balances():
            assert dollars(balance.spent.usd + balance.held.usd) <= self.limit

    async def close(self) -> None:
        """Left open for the next app."""


def program(calls: list[int], seed: int) -> Any:
    """Branches that share a list, and call a model that takes its time: what each call came to, in the order told."""

    async def answer(request: ModelRequest) -> Reply:
        text = request.messages[-1].text
        chance = random.Random(f"{seed} {text}")
        for _ in range(chance.randrange(12)):
            await asyncio.sleep(0)
        return Reply(assistant("ok"), Usage(0, chance.randint(1, WORST)))

    model = ScriptedModel(answer, price=PRICE)

    @member(name="root")
    async def root(ctx: Any) -> Any:
        told: list[list[Any]] = []

        async def branch(ctx: Any, number: int) -> None:
            for call in range(calls[number]):
                request = ModelRequest((user(f"{number} {call}"),), settings=Settings(max_output_tokens=WORST))
                try:
                    await ctx.model(request, model=model)
                except BudgetExceeded as error:
                    told.append([number, call, str(error.data["left"])])
                else:
                    told.append([number, call, "ok"])

        await ctx.gather(*[lambda ctx, number=number: branch(ctx, number) for number in range(len(calls))])
        return told

    return root


async def crashed(passed: list[tuple[str, Any]], records: list[Record], first: NewRun, count: int) -> MemoryStore:
    """A store as it is after a crash behind the first `count` records: those, and what they did to the accounts."""
    store = MemoryStore(FakeClock())
    await store.create(first)
    lease = await store.acquire(first.id, "the one that crashed", 1.0)
    assert isinstance(lease, Lease)
    writer = store.writer(lease, 1)
    done = 1
    for what, item in passed:
        if done == count:
            break
        if what == "attach":
            if not isinstance(item, str):
                writer.attach(item)
            continue
        data = encode_record(records[done])
        again = item and Reservation(item.key, item.attempt, item.amount, item.charges, lambda _, data=data: data)
        writer.append(data, again or None)
        assert writer.barrier() is None
        done += 1
    assert [encode_record(record) for record in await store.read(first.id)] == [
        encode_record(record) for record in records[:count]
    ]
    await store.release(lease)
    return store


def check(records: list[Record], balances: list[Any], limit: int) -> None:
    """The account is the sum of what the journal says; no step has two ends and no attempt two beginnings."""
    facts = fold(records).facts
    [balance] = balances or [None]
    spent = Decimal(0) if balance is None else dollars(balance.spent.usd)
    assert balance is None or balance.held == NOTHING
    assert spent == facts.cost + facts.uncertain <= limit
    rows = facts.costs.rows()
    assert sum((Decimal(row.cost) + Decimal(row.uncertain) for row in rows), Decimal(0)) == spent
    attempts = [record for record in records if isinstance(record, Began) and record.kind == "model"]
    assert (0 if balance is None else balance.spent.calls) == len(attempts)
    ends = [record.key for record in records if isinstance(record, Ended)]
    assert len(ends) == len(set(ends))
    begun = [(record.key, record.attempt) for record in records if isinstance(record, Began)]
    assert len(begun) == len(set(begun))
    settled = [(record.key, record.attempt) for record in records if isinstance(record, Retried)]
    ended = {
        (record.key, record.attempt) for record in records if isinstance(record, Ended) and record.rule != "budget"
    }
    assert not ended.intersection(settled)


async def _check(calls: list[int], seed: int, limit: int, cuts: int) -> None:
    memory = MemoryStore(FakeClock())
    store = SlowStore(memory, seed, limit)
    async with Podium(store=store, clock=FakeClock(), limits=QUICK, budgets={"all": limit}) as app:  # type: ignore[arg-type]
        whole = await asyncio.wait_for(app.run(program(calls, seed), options=RunOptions(run_id="r")), 20)
    records = list(whole.records)
    assert whole.status == "succeeded", whole.error
    assert len(whole.output) == sum(calls)
    check(records, await memory.balances(), limit)
    first = NewRun("r", "root", "", (encode_record(records[0]),), 1.0)
    chance = random.Random(seed)
    counts = range(1, len(records))
    for count in {len(records) - 1, *chance.sample(counts, min(cuts, len(counts)))}:
        left = await crashed(store.passed, records, first, count)
        again = SlowStore(left, seed + count, limit)
        async with Podium(store=again, clock=FakeClock(), limits=QUICK, budgets={"all": limit}) as app:  # type: ignore[arg-type]
            result = await asyncio.wait_for(app.resume("r", program(calls, seed)), 20)
        assert result.status == "succeeded", (count, result.error)
        told = sum(
            isinstance(record, Ended) and record.kind != "call" and "model" in record.key for record in records[:count]
        )
        assert result.output[:told] == whole.output[:told], f"{count}: what is recorded is told again, in its order"
        assert {(a, b) for a, b, _ in result.output} == {(a, b) for a, b, _ in whole.output}
        check(list(result.records), await left.balances(), limit)


@given(
    calls=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
    limit=st.integers(5, 80),
)
@settings(max_examples=40, deadline=None)
def test_refusals_replay_in_their_place_and_no_reservation_is_leaked_or_doubled(
    calls: list[int], seed: int, limit: int
) -> None:
    asyncio.run(_check(calls, seed, limit, cuts=4))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
async def test_the_same_with_many_branches(seed: int) -> None:
    await _check([3] * 12, seed, 60, cuts=4)


async def _cancelled(calls: list[int], seed: int, limit: int, turns: int) -> None:
    memory = MemoryStore(FakeClock())
    store = SlowStore(memory, seed, limit)
    async with Podium(store=store, clock=FakeClock(), limits=QUICK, budgets={"all": limit}) as app:  # type: ignore[arg-type]
        handle = await app.start(program(calls, seed), run_id="r")
        await settle(turns)
        with contextlib.suppress(RequestError):  # it may be over
            await handle.cancel()
        result = await asyncio.wait_for(handle.result(), 20)
    records = await memory.read("r")
    check(records, await memory.balances(), limit)
    assert fold(records).facts.costs.rows() == result.history.facts.costs.rows()
    stored = await memory.costs()
    assert [each.rows for each in stored] == ([fold(records).facts.costs.rows()] if stored else [])
    ends = {record.key for record in records if isinstance(record, Ended)}
    assert {record.key for record in records if isinstance(record, Began)} <= ends


@given(
    calls=st.lists(st.integers(1, 3), min_size=1, max_size=5),
    seed=st.integers(0, 2**32),
    limit=st.integers(15, 60),
    turns=st.integers(0, 120),
)
@settings(max_examples=60, deadline=None)
def test_a_run_that_is_cancelled_at_any_moment_holds_nothing_and_its_journal_says_what_it_spent(
    calls: list[int], seed: int, limit: int, turns: int
) -> None:
    asyncio.run(_cancelled(calls, seed, limit, turns))
