"""Limits of requests and tokens a minute: what is let in when, in whose turn, and what comes back."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.core.errors import ConfigurationError
from podium.models.rates import PAUSE, Rate, Rates, Standing
from podium.models.rates.bucket import Bucket
from podium.testing import FakeClock

MODEL = "openai:gpt-6-sol"
OTHER = "openai:gpt-6-luna"


class Bench:
    """Calls that wait their turn, and a log of who entered when."""

    def __init__(self, limits: dict[str, Rate]) -> None:
        self.clock = FakeClock(0.0)
        self.rates = Rates(limits, self.clock)
        self.entered: list[tuple[float, str]] = []
        self.tickets = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def call(self, name: str, *, run: str = "r", tokens: int = 0, model: str = MODEL) -> None:
        async def work() -> None:
            ticket = self.rates.enter(model, run, tokens)
            self.tickets[name] = ticket
            if ticket is not None:
                await self.rates.wait(ticket)
            self.entered.append((round(self.clock.monotonic(), 3), name))

        self.tasks[name] = asyncio.ensure_future(work())

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.entered]

    async def settle(self) -> None:
        await self.clock.advance(0)

    async def drained(self) -> list[str]:
        """Let everybody in; who came, in order."""
        await self.settle()
        for _ in range(10_000):
            if not self.rates_waiting():
                break
            due = self.clock.next_due
            assert due is not None, "somebody waits, and no timer is set"
            await self.clock.advance(max(0.0, due - self.clock.time()))
        await self.settle()
        return self.names

    def rates_waiting(self) -> int:
        return sum(ticket is not None and ticket.waiting for ticket in self.tickets.values())

    async def end(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


# ------------------------------------------------------------------------------------------------------- letting in


async def test_a_model_without_a_limit_has_no_ticket():
    rates = Rates({"anthropic:*": Rate(1)}, FakeClock())
    assert rates.enter(MODEL, "r", 10) is None
    assert rates.enter(MODEL, "r", 10) is None
    rates.settle(None, 5)
    rates.withdraw(None)


async def test_a_call_with_room_enters_at_once_without_giving_up_the_loop():
    rates = Rates({MODEL: Rate(2, 100)}, FakeClock())
    turned = False

    def turn() -> None:
        nonlocal turned
        turned = True

    asyncio.get_running_loop().call_soon(turn)
    ticket = rates.enter(MODEL, "r", 10)
    assert ticket is not None
    assert not ticket.waiting
    await rates.wait(ticket)
    assert not turned


async def test_requests_beyond_a_minutes_worth_wait_for_their_share_of_the_next():
    bench = Bench({MODEL: Rate(requests=4)})
    for number in range(7):
        bench.call(str(number))
    await bench.drained()
    assert bench.entered == [(0, "0"), (0, "1"), (0, "2"), (0, "3"), (15, "4"), (30, "5"), (45, "6")]


async def test_tokens_come_back_evenly_over_a_minute():
    bench = Bench({MODEL: Rate(tokens=600)})
    bench.call("all", tokens=600)
    bench.call("ten", tokens=10)
    bench.call("hundred", tokens=100)
    await bench.drained()
    assert bench.entered == [(0, "all"), (1, "ten"), (11, "hundred")]


async def test_a_call_larger_than_the_bucket_waits_until_it_is_full_and_the_next_pay_the_debt():
    bench = Bench({MODEL: Rate(tokens=600)})
    bench.call("some", tokens=300)
    bench.call("huge", tokens=1200)
    bench.call("small", tokens=10)
    await bench.drained()
    # full again after 30 s; 1200 of 600 leaves 600 missing beyond empty, a minute, and a second for the ten
    assert bench.entered == [(0, "some"), (30, "huge"), (91, "small")]


async def test_a_small_call_does_not_overtake_a_large_one_that_waits():
    bench = Bench({MODEL: Rate(tokens=600)})
    bench.call("first", run="a", tokens=500)
    bench.call("large", run="b", tokens=400)
    bench.call("small", run="c", tokens=50)
    assert await bench.drained() == ["first", "large", "small"]


async def test_the_bucket_never_holds_more_than_a_minutes_worth():
    bench = Bench({MODEL: Rate(requests=2)})
    await bench.clock.advance(3600)
    for number in range(3):
        bench.call(str(number))
    await bench.settle()
    assert bench.names == ["0", "1"]
    await bench.end()


# ---------------------------------------------------------------------------------------------------- which limits


@pytest.mark.parametrize(
    ("pattern", "matches", "not_matched"),
    [
        (MODEL, [MODEL], [OTHER, "scripted"]),
        ("openai:*", [MODEL, OTHER], ["openai-responses:gpt-6-sol", "anthropic:claude-opus-5-5"]),
        ("*", [MODEL, "anthropic:claude-opus-5-5", "scripted"], []),
        ("scripted", ["scripted"], [MODEL]),
    ],
)
async def test_a_pattern_limits_the_names_it_matches(pattern, matches, not_matched):
    rates = Rates({pattern: Rate(100)}, FakeClock())
    assert all(rates.enter(name, "r", 1) is not None for name in matches)
    assert all(rates.enter(name, "r", 1) is None for name in not_matched)


async def test_a_wildcard_limit_is_shared_by_all_the_models_it_matches():
    bench = Bench({"openai:*": Rate(requests=2)})
    bench.call("a", model=MODEL)
    bench.call("b", model=OTHER)
    bench.call("c", model=MODEL)
    await bench.settle()
    assert bench.names == ["a", "b"]
    await bench.end()


async def test_a_call_needs_room_in_every_limit_its_name_matches():
    bench = Bench({MODEL: Rate(requests=1), "openai:*": Rate(requests=3), "*": Rate(requests=60)})
    for name in ("a", "b"):
        bench.call(name, model=MODEL)
    for name in ("c", "d", "e"):
        bench.call(name, model=OTHER)
    await bench.settle()
    # `b` waits for its own model only; meanwhile the others use what is left of the provider's.
    assert bench.names == ["a", "c", "d"]
    assert bench.rates.waiting(MODEL).calls == 1
    assert await bench.drained() == ["a", "c", "d", "e", "b"]


async def test_models_that_share_no_limit_do_not_wait_for_each_other():
    bench = Bench({MODEL: Rate(requests=1), "anthropic:*": Rate(requests=1)})
    bench.call("a", model=MODEL)
    bench.call("b", model=MODEL)
    bench.call("c", model="anthropic:claude-opus-5-5")
    await bench.settle()
    assert bench.names == ["a", "c"]
    await bench.end()


# --------------------------------------------------------------------------------------------------------- fairness


async def test_a_run_with_two_hundred_branches_does_not_starve_one_with_a_single_call():
    bench = Bench({MODEL: Rate(requests=10)})
    for number in range(200):
        bench.call(f"many {number}", run="many")
    await bench.settle()
    bench.call("single", run="single")
    names = await bench.drained()
    assert names.index("single") <= 11
    assert [name for name in names if name != "single"] == [f"many {number}" for number in range(200)]


async def test_runs_take_turns_whatever_models_they_ask():
    bench = Bench({"openai:*": Rate(requests=1)})
    bench.call("first")
    for number in range(3):
        bench.call(f"a{number}", run="a", model=MODEL)
        bench.call(f"a{number}'", run="a", model=OTHER)
    bench.call("b0", run="b", model=MODEL)
    bench.call("c0", run="c", model=OTHER)
    names = await bench.drained()
    assert {"b0", "c0"} <= set(names[:4])
    assert [name for name in names if name.endswith("'")] == ["a0'", "a1'", "a2'"]


async def test_one_timer_serves_all_who_wait():
    bench = Bench({MODEL: Rate(requests=1)})
    for number in range(50):
        bench.call(str(number), run=str(number))
    await bench.settle()
    assert sum(not timer.cancelled for _, _, timer in bench.clock._timers) == 1
    await bench.end()
    assert bench.clock.next_due is None


# -------------------------------------------------------------------------------------------------------- refusals


async def test_after_a_refusal_nobody_enters_before_the_time_it_gave():
    bench = Bench({"openai:*": Rate(requests=100)})
    bench.rates.refused(MODEL, 7.5)
    bench.rates.refused(MODEL, 2)  # does not shorten it
    bench.call("a")
    bench.call("other", model=OTHER)
    assert await bench.drained() == ["other", "a"]
    assert bench.entered == [(0, "other"), (7.5, "a")]


async def test_a_refusal_holds_models_without_a_limit_too_and_is_forgotten_afterwards():
    bench = Bench({})
    bench.rates.refused(MODEL)
    for name in "abc":
        bench.call(name, run=name)
    await bench.drained()
    assert bench.entered == [(PAUSE, "a"), (PAUSE, "b"), (PAUSE, "c")]
    assert bench.rates.enter(MODEL, "r", 1) is None


@pytest.mark.parametrize("seconds", [0, -3, float("nan"), float("inf")])
async def test_a_refusal_with_no_sensible_time_holds_nobody(seconds):
    rates = Rates({}, FakeClock())
    rates.refused(MODEL, seconds)
    assert rates.enter(MODEL, "r", 1) is None


async def test_a_refusal_while_calls_wait_holds_them_longer():
    bench = Bench({MODEL: Rate(requests=1)})
    bench.call("a")
    bench.call("b")
    await bench.clock.advance(59)
    bench.rates.refused(MODEL, 30)
    await bench.drained()
    assert bench.entered == [(0, "a"), (89, "b")]


# ---------------------------------------------------------------------------------------------- settling, giving up


async def test_a_call_that_used_less_makes_room_at_once():
    bench = Bench({MODEL: Rate(tokens=100)})
    bench.call("a", tokens=90)
    bench.call("b", tokens=80)
    await bench.settle()
    bench.rates.settle(bench.tickets["a"], 20)
    await bench.settle()
    assert bench.entered == [(0, "a"), (0, "b")]


async def test_a_call_that_used_more_is_paid_by_those_after_it():
    bench = Bench({MODEL: Rate(tokens=60)})
    bench.call("a", tokens=10)
    await bench.settle()
    bench.rates.settle(bench.tickets["a"], 90)
    bench.rates.settle(bench.tickets["a"], 90)  # a second time counts nothing
    bench.call("b", tokens=10)
    await bench.drained()
    assert bench.entered == [(0, "a"), (40, "b")]


async def test_an_unknown_use_stays_as_estimated():
    rates = Rates({MODEL: Rate(tokens=100)}, FakeClock())
    rates.settle(rates.enter(MODEL, "r", 70), None)
    assert rates.standings()[0].tokens_left == pytest.approx(30)


async def test_what_the_bucket_got_back_by_itself_does_not_come_back_twice():
    bench = Bench({MODEL: Rate(tokens=600)})
    bench.call("slow", tokens=600)
    await bench.clock.advance(60)  # full again, though `slow` is not over
    bench.call("next", tokens=500)
    await bench.settle()
    bench.rates.settle(bench.tickets["slow"], 0)
    assert bench.rates.standings()[0].tokens_left == pytest.approx(100)


async def test_a_call_that_is_withdrawn_leaves_nothing_taken():
    rates = Rates({MODEL: Rate(3, 100), "*": Rate(5)}, FakeClock())
    ticket = rates.enter(MODEL, "r", 60)
    rates.withdraw(ticket)
    rates.withdraw(ticket)
    rates.settle(ticket, 60)
    assert [(limit.requests_left, limit.tokens_left) for limit in rates.standings()] == [(3, 100), (5, None)]


async def test_cancelling_the_one_at_the_head_lets_the_next_in():
    bench = Bench({MODEL: Rate(tokens=100)})
    bench.call("first", tokens=60)
    bench.call("large", tokens=90)
    bench.call("small", run="s", tokens=40)
    await bench.settle()
    bench.tasks["large"].cancel()
    await bench.settle()
    assert bench.entered == [(0, "first"), (0, "small")]


async def test_a_call_cancelled_between_being_let_in_and_going_on_gives_its_place_back():
    clock = FakeClock()
    rates = Rates({MODEL: Rate(tokens=100)}, clock)
    first = rates.enter(MODEL, "r", 100)
    ticket = rates.enter(MODEL, "r", 100)
    assert ticket is not None
    waiting = asyncio.ensure_future(rates.wait(ticket))
    await asyncio.sleep(0)
    rates.withdraw(first)
    assert not ticket.waiting
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert rates.standings()[0].tokens_left == 100


async def test_a_place_withdrawn_by_somebody_else_ends_the_wait():
    rates = Rates({MODEL: Rate(requests=1)}, FakeClock())
    rates.enter(MODEL, "r", 1)
    ticket = rates.enter(MODEL, "r", 1)
    assert ticket is not None
    waiting = asyncio.ensure_future(rates.wait(ticket))
    await asyncio.sleep(0)
    rates.withdraw(ticket)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert rates.waiting(MODEL).calls == 0


# -------------------------------------------------------------------------------------------------------- invariants

calls = st.lists(
    st.tuples(
        st.floats(0, 20),  # seconds since the one before
        st.sampled_from(["a", "b", "c"]),  # run
        st.sampled_from([MODEL, OTHER, "anthropic:claude-opus-5-5"]),
        st.integers(0, 120),  # tokens
        st.sampled_from(["settle", "more", "less", "cancel", "withdraw", "lose"]),
        st.floats(0, 90),  # seconds it takes
    ),
    min_size=1,
    max_size=25,
)


async def _random_day(plan, limits: dict[str, Rate]) -> tuple[Bench, list[tuple[float, str, str, int]]]:
    """Carry out a plan; who entered: when, run, model, tokens estimated."""
    bench = Bench(limits)
    log: list[tuple[float, str, str, int]] = []

    async def one(run: str, model: str, tokens: int, end: str, seconds: float) -> None:
        ticket = bench.rates.enter(model, run, tokens)
        bench.tickets[len(bench.tickets)] = ticket
        assert ticket is not None
        await bench.rates.wait(ticket)
        log.append((bench.clock.monotonic(), run, model, tokens))
        if end == "withdraw":
            bench.rates.withdraw(ticket)
        elif end != "lose":
            await bench.clock.sleep(seconds)
            bench.rates.settle(ticket, {"more": tokens + 50, "less": tokens // 3}.get(end, tokens))

    tasks: list[asyncio.Task[None]] = []
    for gap, run, model, tokens, end, seconds in plan:
        await bench.clock.advance(gap)
        task = asyncio.ensure_future(one(run, model, tokens, end, seconds))
        tasks.append(task)
        await asyncio.sleep(0)
        if end == "cancel":
            task.cancel()
    await bench.clock.advance(5000)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.done() for task in tasks)
    return bench, log


@settings(max_examples=40, deadline=None)
@given(calls)
def test_whatever_comes_everybody_enters_in_order_and_nothing_is_lost_or_given_twice(plan):
    limits = {MODEL: Rate(20, 200), "openai:*": Rate(30, 300), "*": Rate(40)}

    async def main() -> None:
        bench, log = await _random_day(plan, limits)
        assert bench.rates_waiting() == 0
        assert bench.clock.next_due is None
        for limit in bench.rates.standings():
            assert limit.waiting == 0
            assert limit.requests_left == pytest.approx(limit.rate.requests)
            assert limit.tokens_left is None or limit.tokens_left == pytest.approx(limit.rate.tokens)
        came = Counter((run, model, tokens) for _, run, model, tokens, end, _ in plan if end != "cancel")
        entered = Counter((run, model, tokens) for _, run, model, tokens in log)
        assert not came - entered

    asyncio.run(main())


@settings(max_examples=40, deadline=None)
@given(calls)
def test_no_window_of_time_lets_in_more_than_the_bucket_and_what_flowed_into_it(plan):
    limits = {MODEL: Rate(20, 200), "openai:*": Rate(30, 300), "*": Rate(40)}
    plan = [(gap, run, model, tokens, "settle", seconds) for gap, run, model, tokens, _, seconds in plan]

    async def main() -> None:
        _, log = await _random_day(plan, limits)
        for pattern, rate in limits.items():
            matching = [
                (at, tokens)
                for at, _, model, tokens in log
                if pattern in (model, "*") or model.startswith(pattern[:-1])
            ]
            for start in range(len(matching)):
                requests = used = 0
                for at, tokens in matching[start:]:
                    requests, used = requests + 1, used + tokens
                    minutes = 1 + (at - matching[start][0] + 0.01) / 60
                    assert rate.requests is None or requests <= rate.requests * minutes
                    assert rate.tokens is None or used <= rate.tokens * minutes

    asyncio.run(main())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=30))
def test_those_who_wait_together_enter_in_turns_and_each_run_in_its_own_order(runs):
    async def main() -> None:
        bench = Bench({MODEL: Rate(requests=1)})
        bench.call("0 first")
        for number, run in enumerate(runs):
            bench.call(f"{run} {number}", run=run)
        names = (await bench.drained())[1:]
        for run in "abc":
            assert [name for name in names if name[0] == run] == [
                f"{run} {number}" for number, own in enumerate(runs) if own == run
            ]
        left = Counter(runs)
        since: Counter[str] = Counter()
        for name in names:  # between two turns of a run, no other run that waits has two
            since[name[0]] = 0
            left[name[0]] -= 1
            for run in left:
                since[run] += run != name[0] and left[run] > 0
                assert since[run] <= 2

    asyncio.run(main())


takes = st.lists(
    st.tuples(st.floats(0, 40), st.integers(0, 100), st.floats(0, 1), st.integers(0, 5)), min_size=1, max_size=20
)


def _replayed(plan, share) -> tuple[float, float]:
    """What is in a bucket of 100 after a plan: settled late, and had the truth been known from the start."""
    late, known = Bucket(100), Bucket(100)
    now = 0.0
    out = []
    for gap, amount, part, hold in plan:
        now += gap
        out.append((late.take(amount, now), share(amount, part)))
        known.take(share(amount, part), now)
        while len(out) > hold:
            taken, truth = out.pop(len(out) // 2)
            late.settle(taken, truth, now)
    for taken, truth in out:
        late.settle(taken, truth, now)
    return late.left(now), known.left(now)


@settings(max_examples=300)
@given(takes)
def test_settling_gives_back_what_would_be_there_had_the_truth_been_known(plan):
    late, known = _replayed(plan, lambda amount, part: amount * part)
    assert late == pytest.approx(known, abs=1e-6)


@settings(max_examples=300)
@given(takes)
def test_settling_never_gives_more_than_that_when_some_used_more_than_estimated(plan):
    late, known = _replayed(plan, lambda amount, part: amount * part * 2)
    assert late <= known + 1e-6


# ------------------------------------------------------------------------------------------------------------ loops


def test_the_counts_outlive_a_loop_and_those_who_waited_on_it_do_not():
    clock = FakeClock(0.0)
    rates = Rates({MODEL: Rate(requests=1)}, clock)

    async def leaves_somebody_waiting() -> None:
        rates.enter(MODEL, "r", 1)
        ticket = rates.enter(MODEL, "old", 1)
        assert ticket is not None
        assert ticket.waiting

    async def comes_later() -> float:
        ticket = rates.enter(MODEL, "new", 1)
        assert ticket is not None
        assert rates.waiting(MODEL).calls == 1
        waiting = asyncio.ensure_future(rates.wait(ticket))
        await clock.advance(61)
        await waiting
        return clock.monotonic()

    asyncio.run(leaves_somebody_waiting())
    assert asyncio.run(comes_later()) == 61


async def test_who_waits_on_another_living_loop_is_told():
    rates = Rates({MODEL: Rate(requests=1)}, FakeClock())
    rates.enter(MODEL, "r", 1)
    ticket = rates.enter(MODEL, "r", 1)
    assert ticket is not None
    waiting = asyncio.ensure_future(rates.wait(ticket))
    await asyncio.sleep(0)

    async def elsewhere() -> None:
        rates.enter(MODEL, "other", 1)

    other = threading.Thread(target=asyncio.run, args=(elsewhere(),))
    other.start()
    with pytest.raises(ConfigurationError, match="one event loop at a time"):
        await waiting
    other.join()


# ---------------------------------------------------------------------------------------------------------- figures


async def test_the_figures_say_who_waits_for_how_long_and_what_is_left():
    bench = Bench({MODEL: Rate(requests=4), "*": Rate(tokens=1000)})
    for number in range(4):
        bench.call(str(number), tokens=100)
    for number in range(3):
        bench.call(f"late {number}", run=f"run {number % 2}", tokens=100)
    await bench.settle()
    await bench.clock.advance(5)
    waiting = bench.rates.waiting(MODEL)
    assert (waiting.calls, waiting.runs, round(waiting.seconds, 3)) == (3, 2, 10.0)
    assert bench.rates.waiting(OTHER).calls == 0
    exact, everything = bench.rates.standings()
    assert (exact.pattern, exact.waiting, exact.tokens_left) == (MODEL, 3, None)
    assert exact.requests_left == pytest.approx(1 / 3)
    assert everything == Standing("*", Rate(tokens=1000), None, everything.tokens_left, 3)
    assert everything.tokens_left == pytest.approx(600 + 1000 / 12)
    await bench.end()


# ---------------------------------------------------------------------------------------------------- configuration


def test_limits_are_read_from_a_table():
    found = Rates.parse({"anthropic:*": {"requests": 50, "tokens": 40_000}, "*": {"requests": 5}, MODEL: {"tokens": 1}})
    assert found == {"anthropic:*": Rate(50, 40_000), "*": Rate(5), MODEL: Rate(None, 1)}


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"anthropic": {"requests": 1}}, "write anthropic:*"),
        ({"antropic:*": {"requests": 1}}, "did you mean anthropic:*"),
        ({"openai:gpt-*": {"requests": 1}}, "names no models"),
        ({"*:gpt": {"requests": 1}}, "names no models"),
        ({"**": {"requests": 1}}, "names no models"),
        ({"": {"requests": 1}}, "names no models"),
        ({"openai:": {"requests": 1}}, "names no models"),
        ({":x": {"requests": 1}}, "names no models"),
        ({"*": 50}, "must be a table"),
        ({"*": {}}, "neither requests nor tokens"),
        ({"*": {"request": 50}}, "unknown 'request'"),
        ({"*": {"requests": 0}}, "whole number from 1"),
        ({"*": {"tokens": -1}}, "whole number from 1"),
        ({"*": {"tokens": True}}, "whole number from 1"),
        ({"*": {"requests": 1.5}}, "whole number from 1"),
        ({"*": {"requests": "50"}}, "'*': requests per minute"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_with_its_entry(table, says):
    with pytest.raises(ConfigurationError) as refused:
        Rates.parse(table)
    assert says in str(refused.value)
    assert "rates:" in str(refused.value)


def test_a_limit_made_in_python_is_checked_too():
    with pytest.raises(ConfigurationError, match="requests per minute"):
        Rate(requests=0)
    with pytest.raises(ConfigurationError, match="did you mean gemini"):
        Rates({"gemni:*": Rate(1)}, FakeClock())
