"""Budgets of real runs: what would pass one is never called, and accounts say what the journals say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from harness import Machine, records_of, until

from podium import (
    Agent,
    Budget,
    NotDone,
    Parallel,
    Podium,
    Price,
    Principal,
    Reply,
    ScriptedModel,
    Settings,
    ToolCall,
    Usage,
    member,
    tool,
)
from podium.core.actions import Retry, Spawn
from podium.core.budgets import Alert
from podium.core.errors import BudgetExceeded, ConfigurationError, ModelError, Overloaded, RateLimited
from podium.core.messages import assistant
from podium.core.money import dollars
from podium.core.records import Began, Ended, Outcome
from podium.core.state import fold

DOLLAR = Price(input=Decimal(0), output=Decimal(0), request=Decimal(1))
"""A dollar for each call: the worst case is what it costs."""
PER_TOKEN = Price(input=Decimal(0), output=Decimal(1_000_000))
"""A dollar for each token of output."""
TEN = Settings(max_output_tokens=10)


def says(tokens: int, *parts: Any) -> Reply:
    """An answer of so many tokens; under `PER_TOKEN` so many dollars."""
    calls = any(isinstance(part, ToolCall) for part in parts)
    return Reply(assistant(*(parts or ("answer",))), Usage(0, tokens), "tool_calls" if calls else "stop")


def agent(*script: Any, name: str = "shop", price: Price = PER_TOKEN, **options: Any) -> tuple[Agent, ScriptedModel]:
    model = ScriptedModel(list(script), price=price)
    return Agent(name, model=model, settings=TEN, **options), model


@tool(effect="read")
async def look() -> str:
    """Look."""
    return "seen"


async def spent(app: Podium, scope: str = "all") -> Decimal:
    """What an account has spent; nothing may be held any more."""
    found = [each for each in await app.store.balances(scope) if each.scope == scope]
    assert all(each.held == type(each.held)() for each in await app.store.balances()), "something is held for nobody"
    return dollars(found[0].spent.usd) if found else Decimal(0)


async def booked(app: Podium) -> Decimal:
    """What the journals of all runs of a store say was spent, or may have been."""
    total = Decimal(0)
    for row in await app.runs(limit=1000):
        facts = fold(await app.store.read(row.id)).facts
        lines = facts.costs.rows()
        rows = sum((Decimal(line.cost) + Decimal(line.uncertain) for line in lines), Decimal(0))
        assert rows <= facts.cost + facts.uncertain
        total += rows  # a parent's sums include what its children cost; its rows do not
    return total


# ------------------------------------------------------------------------------------------------------------ refusals


async def test_a_call_whose_worst_case_passes_the_budget_is_never_made(any_machine: Machine) -> None:
    shop, model = agent(says(1))
    async with any_machine.app() as app:
        result = await app.run(shop, "hi", options=_options(budget="9.99"))
        assert result.status == "exhausted"
        assert model.requests == []
        assert result.error is not None
        assert result.error.type == "BudgetExceeded"
        assert result.error.data["scope"] == f"run:{result.run_id}"
        [refused] = [record for record in records_of(result, Ended) if record.rule == "budget"]
        assert (refused.outcome, refused.name, refused.cost) == (Outcome.EXHAUSTED, "model", "0")
        assert [record.kind for record in records_of(result, Began)] == ["call"], "a refused step has no beginning"
        assert (result.cost, result.uncertain_cost, result.unpriced) == (0, 0, 0)
        assert await app.store.balances() == []


async def test_what_fits_exactly_is_called(any_machine: Machine) -> None:
    shop, _ = agent(says(10))
    async with any_machine.app() as app:
        result = await app.run(shop, "hi", options=_options(budget=10))
    assert (result.output, result.cost) == ("answer", 10)


async def test_a_run_that_is_exhausted_keeps_what_it_reached(any_machine: Machine) -> None:
    shop, model = agent(says(3, "half of it", ToolCall("look")), says(1), tools=[look])
    async with any_machine.app() as app:
        result = await app.run(shop, "hi", options=_options(budget=12))
    assert (result.status, result.output, result.cost) == ("exhausted", "half of it", 3)
    assert len(model.requests) == 1


async def test_a_call_may_use_what_the_one_before_it_left_over(any_machine: Machine) -> None:
    """The end of a call and the beginning of the next are one commit: what the first let go is free for the second."""
    shop, _ = agent(*[says(1, ToolCall("look"))] * 4, says(1), tools=[look])
    async with any_machine.app() as app:
        result = await app.run(shop, "hi", options=_options(budget=14))
    assert (result.status, result.cost) == ("succeeded", 5)


async def test_a_member_may_go_on_without_the_call_it_cannot_afford(any_machine: Machine) -> None:
    model = ScriptedModel(lambda _: "hello", price=DOLLAR)

    @member
    async def thrifty(ctx: Any) -> Any:
        said: list[str] = []
        for number in range(3):
            try:
                said.append((await ctx.model(f"say {number}", model=model)).message.text)
            except BudgetExceeded as error:
                said.append(f"left: {error.data['left']}")
        return said

    async with any_machine.app() as app:
        result = await app.run(thrifty, options=_options(budget=2))
    assert (result.status, result.output, result.cost) == ("succeeded", ["hello", "hello", "left: 0"], 2)


def _options(**options: Any) -> Any:
    from podium.agents.member import RunOptions

    return RunOptions(**options)


# ------------------------------------------------------------------------------------------------------ who is charged


async def test_branches_share_the_budget_of_their_run(any_machine: Machine) -> None:
    members = [agent(says(1), name=f"m{number}")[0] for number in range(5)]
    async with any_machine.app(budgets={"all": 1000}) as app:
        result = await app.run(Parallel(*members), "hi", options=_options(budget=25))
        outcomes = [outcome.ok for outcome in result.output]
        assert await spent(app) == await booked(app) == sum(outcomes)
    assert result.status == "succeeded"
    assert outcomes.count(True) >= 2, "two worst cases of ten fit into 25"
    assert {outcome.error.type for outcome in result.output if not outcome.ok} <= {"BudgetExceeded"}


async def test_members_that_are_called_and_runs_that_are_spawned_share_the_budget_of_the_run(
    any_machine: Machine,
) -> None:
    calls: list[str] = []

    def worker(name: str) -> Agent:
        return Agent(name, model=ScriptedModel(lambda _: calls.append(name) or "ok", name=name, price=DOLLAR))

    @member
    async def lead(ctx: Any) -> Any:
        found: list[str] = []
        for start in (ctx.call, ctx.spawn, ctx.call, ctx.spawn):
            try:
                found.append(await start(worker(f"w{len(found)}"), "go"))
            except BudgetExceeded:
                found.append("too dear")
        return found

    async with any_machine.app(budgets={"all": 100}) as app:
        result = await app.run(lead, options=_options(budget=3))
        assert result.output == ["ok", "ok", "ok", "too dear"]
        assert calls == ["w0", "w1", "w2"]
        assert result.cost == 3
        assert await spent(app) == await booked(app) == 3
        assert await app.store.balances("run:") == [], "accounts of runs are closed with them"


async def test_a_run_that_is_spawned_in_a_session_is_charged_to_it(any_machine: Machine) -> None:
    @member
    async def lead(ctx: Any) -> Any:
        return await ctx.spawn(agent("ok", name="worker", price=DOLLAR)[0], "go")

    async with any_machine.app(budgets={"session:*": 1}) as app:
        first = await app.run(lead, options=_options(session="s"))
        assert first.output == "ok"
        assert await spent(app, "session:s") == 1
        assert (await app.costs.get_session_breakdown("s"))["worker"].total_cost == 1
        second = await app.run(lead, options=_options(session="s"))
        assert second.error is not None
        assert second.error.type == "BudgetExceeded"
        assert (await app.run(lead, options=_options(session="t"))).output == "ok"


async def test_a_run_whose_parent_has_ended_cannot_spend_the_budget_anew(machine: Machine) -> None:
    """A child outlives the run that spawned it; the run's account stays as it was until the child is over."""
    refusals: list[str] = []

    @member
    async def child(ctx: Any) -> Any:
        await ctx.model("first", model=ScriptedModel(lambda _: "ok", price=DOLLAR))
        await ctx.wait("go")
        try:
            await ctx.model("second", model=ScriptedModel(lambda _: "ok", name="late", price=DOLLAR))
        except BudgetExceeded as error:
            refusals.append(error.data["scope"])

    @member
    async def lead(ctx: Any) -> Any:
        receipt = await ctx.perform(Spawn("child", child, None, 5.0))
        return type(receipt.error).__name__

    async with machine.app(budgets={"all": 100}) as app:
        handle = await app.start(lead, budget=1)
        await until(lambda: _children(app, handle.run_id), "the child")
        await machine.clock.advance(10)
        assert (await handle.result()).output == "DeadlineExceeded"
        [below] = [row for row in await app.runs() if row.parent == handle.run_id]
        assert len(await app.store.balances("run:")) == 1
        await app.handle(below.id).signal("go")
        await until(lambda: bool(refusals), "the refusal")
        await app.handle(below.id).result()
        assert refusals == [f"run:{handle.run_id}"]
        assert await app.store.balances("run:") == []
        assert await spent(app) == 1


async def _children(app: Podium, run: str) -> bool:
    rows = [row for row in await app.runs() if row.parent == run]
    return bool(rows) and any(isinstance(record, Ended) for record in await app.store.read(rows[0].id))


@pytest.mark.parametrize(
    ("scope", "same", "other"),
    [
        ("agent:shop", {}, None),
        ("agent:*", {}, None),
        ("session:s", {"session": "s"}, {"session": "t"}),
        ("session:*", {"session": "s"}, {"session": "t"}),
        ("tenant:*", {"principal": Principal(tenant="x")}, {"principal": Principal(tenant="y")}),
        ("all", {}, None),
    ],
)
async def test_a_wide_budget_binds_every_run_it_names_and_no_other(
    any_machine: Machine, scope: str, same: dict[str, Any], other: dict[str, Any] | None
) -> None:
    async with any_machine.app(budgets={scope: 2}) as app:
        ends = [(await app.run(agent("ok", price=DOLLAR)[0], "hi", options=_options(**same))).status for _ in range(3)]
        assert ends == ["succeeded", "succeeded", "exhausted"]
        if other is not None:
            assert (await app.run(agent("ok", price=DOLLAR)[0], "hi", options=_options(**other))).status == "succeeded"
    async with any_machine.app(budgets={scope: 2}) as app:
        again = await app.run(agent("ok", price=DOLLAR)[0], "hi", options=_options(**same))
        assert again.status == "exhausted", "accounts are kept by the store"


async def test_an_agents_budget_begins_anew_at_midnight_utc(any_machine: Machine) -> None:
    noon = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
    any_machine.clock.now = noon
    budgets = {"agent:shop": 1, "all": Budget(usd=2, per="month")}

    async def status() -> str:
        return (await app.run(agent("ok", price=DOLLAR)[0], "hi")).status

    async with any_machine.app(budgets=budgets) as app:
        assert [await status(), await status()] == ["succeeded", "exhausted"]
        any_machine.clock.now = noon + 12 * 3600 - 1
        assert await status() == "exhausted"
        any_machine.clock.now = noon + 12 * 3600
        assert [await status(), await status()] == ["succeeded", "exhausted"], "a new day, and a new month"
        assert {state.scope: state.spent.usd for state in await app.budgets.states()} == {
            "agent:shop/2026-11-30": 1, "agent:shop/2026-12-01": 1, "all/2026-11": 1, "all/2026-12": 1,
        }  # fmt: skip


async def test_a_run_without_a_budget_of_its_own_has_that_of_all_runs(machine: Machine) -> None:
    async with machine.app(budgets={"run": 1}) as app:
        shop = agent(says(1, ToolCall("look")), says(1), tools=[look], price=DOLLAR)[0]
        assert (await app.run(shop, "hi")).status == "exhausted"
        assert (await app.run(shop, "hi", options=_options(budget=2))).status == "succeeded"


# ------------------------------------------------------------------------------------------------------- what it costs


@pytest.mark.parametrize(
    ("error", "cost", "uncertain"),
    [
        (RateLimited("slow down", status=429), 1, 0),
        (RateLimited("slow down"), 1, 0),
        (Overloaded("busy", status=529), 1, 0),
        (Overloaded("no connection", sent=False), 1, 0),
        (Overloaded("cut off"), 1, 10),
        (Overloaded("cut off", cost="2"), 3, 0),
    ],
)
async def test_a_failed_attempt_costs_what_it_may_have_cost(
    any_machine: Machine, error: ModelError, cost: int, uncertain: int
) -> None:
    shop, model = agent(error, says(1), retry=Retry(2, 0.001, 0.002))
    async with any_machine.app(budgets={"all": 100}) as app:
        handle = await app.start(shop, "hi", budget=30)
        while not handle.status.over:
            await any_machine.clock.advance(1)
            await asyncio.sleep(0.001)
        result = await handle.result()
        assert result.output == "answer"
        assert len(model.requests) == 2, "each step of a script is asked once"
        assert (result.cost, result.uncertain_cost, result.unpriced) == (cost, uncertain, 0)
        assert await spent(app) == await booked(app) == cost + uncertain


async def test_a_retry_reserves_anew_and_may_be_refused(any_machine: Machine) -> None:
    shop, model = agent(Overloaded("cut off"), says(1), retry=Retry(2, 0.001, 0.002))
    async with any_machine.app(budgets={"all": 19}) as app:
        handle = await app.start(shop, "hi")
        while not handle.status.over:
            await any_machine.clock.advance(1)
            await asyncio.sleep(0.001)
        result = await handle.result()
        assert (result.status, result.uncertain_cost) == ("exhausted", 10)
        assert len(model.requests) == 1
        assert await spent(app) == await booked(app) == 10
        [row] = [row for each in await app.store.costs() for row in each.rows]
        assert row.calls == 1, "the refused attempt is none"
        assert (row,) == fold(result.records).facts.costs.rows()


async def test_an_answer_that_does_not_come_in_time_is_uncertain(machine: Machine) -> None:
    async def never(_: Any) -> str:
        await asyncio.Event().wait()
        return ""

    shop = Agent("shop", model=ScriptedModel(never, price=PER_TOKEN), settings=TEN, retry=Retry(1))
    async with machine.app(budgets={"all": 100}) as app:
        handle = await app.start(shop, "hi")
        await machine.clock.advance(400)
        result = await handle.result()
        assert (result.status, result.cost, result.uncertain_cost) == ("failed", 0, 10)
        assert await spent(app) == await booked(app) == 10


async def test_a_call_that_is_cancelled_is_uncertain_and_holds_nothing(any_machine: Machine) -> None:
    entered = asyncio.Event()

    async def never(_: Any) -> str:
        entered.set()
        await asyncio.Event().wait()
        return ""

    shop = Agent("shop", model=ScriptedModel(never, price=PER_TOKEN), settings=TEN)
    async with any_machine.app(budgets={"all": 100}) as app:
        handle = await app.start(shop, "hi")
        await entered.wait()
        await handle.cancel()
        result = await handle.result()
        assert (result.status, result.cost, result.uncertain_cost) == ("cancelled", 0, 10)
        assert await spent(app) == await booked(app) == 10
        assert fold(result.records).facts.costs.rows() == (await app.store.costs())[0].rows


async def test_a_crash_in_mid_call_is_settled_as_uncertain_when_the_run_is_resumed(any_machine: Machine) -> None:
    entered = asyncio.Event()

    async def never(_: Any) -> str:
        entered.set()
        await asyncio.Event().wait()
        return ""

    shop = Agent("shop", model=ScriptedModel(never, price=PER_TOKEN), settings=TEN)
    async with any_machine.app(budgets={"all": 100}) as app:
        handle = await app.start(shop, "hi")
        await entered.wait()
    async with any_machine.app(budgets={"all": 100}) as app:
        [balance] = await app.store.balances("all")
        assert (balance.spent.usd, dollars(balance.held.usd)) == (0, 10), "it may have been answered"
        result = await app.resume(handle.run_id, agent(says(2))[0])
        assert (result.output, result.cost, result.uncertain_cost) == ("answer", 2, 10)
        assert await spent(app) == await booked(app) == 12


async def test_a_run_that_is_cancelled_after_a_crash_holds_nothing(any_machine: Machine) -> None:
    """The call that the crash left open is settled as uncertain, although the run is never taken up again."""
    entered = asyncio.Event()

    async def never(_: Any) -> str:
        entered.set()
        await asyncio.Event().wait()
        return ""

    shop = Agent("shop", model=ScriptedModel(never, price=PER_TOKEN), settings=TEN)
    async with any_machine.app(budgets={"all": 100}) as app:
        handle = await app.start(shop, "hi")
        await entered.wait()
    async with any_machine.app(budgets={"all": 100}) as app:
        await app.handle(handle.run_id).cancel()
        result = await app.resume(handle.run_id, agent(says(2))[0])
        assert result.status == "cancelled"
        assert await spent(app) == await booked(app) == result.cost + result.uncertain_cost
        assert result.uncertain_cost == 10


async def test_an_overrun_is_recorded_and_the_next_call_is_refused(any_machine: Machine) -> None:
    shop, _ = agent(says(25, ToolCall("look")), says(1), tools=[look])
    async with any_machine.app(budgets={"all": 20}) as app:
        result = await app.run(shop, "hi")
        assert (result.status, result.cost) == ("exhausted", 25)
        assert await spent(app) == 25


async def test_a_reply_whose_price_nobody_knows_is_uncertain_but_its_tokens_are_counted(machine: Machine) -> None:
    model = ScriptedModel([Reply(assistant("hi"), Usage(5, 7))])  # nobody knows its price
    shop = Agent("shop", model=model, settings=TEN)
    async with machine.app(budgets={"all": Budget(tokens=100_000)}) as app:
        result = await app.run(shop, "hi")
        assert (result.status, result.unpriced) == ("succeeded", 1)
        [balance] = await app.store.balances("all")
        assert balance.spent.tokens == 12, "not the worst case"


# ------------------------------------------------------------------------------------------------------------- prices


async def test_an_unknown_price_is_denied_under_a_budget_of_money_with_the_remedy(any_machine: Machine) -> None:
    shop = Agent("shop", model=ScriptedModel([Reply(assistant("hi"), Usage(5, 7))], name="mystery"), settings=TEN)
    name = shop.model.name  # type: ignore[union-attr]
    async with any_machine.app(budgets={"all": 100}) as app:
        result = await app.run(shop, "hi")
        assert result.status == "failed"
        assert result.error is not None
        assert result.error.type == "PermissionDenied"
        assert f'Podium(prices={{"{name}": Price(input=…, output=…)}})' in result.error.message
        assert "or set a budget of tokens instead" in result.error.message
        assert shop.model.requests == []  # type: ignore[union-attr]
    async with any_machine.app(budgets={"all": 100}, prices={name: {"input": 0, "output": 1_000_000}}) as app:
        assert (await app.run(shop, "hi")).cost == 7


async def test_a_request_without_a_limit_of_its_own_gets_one_that_the_budget_can_pay(machine: Machine) -> None:
    model = ScriptedModel(lambda _: says(1), price=PER_TOKEN)
    async with machine.app() as app:
        for budget, limit in ((1_000_000, 8192), (2000, 500), (300, 256)):
            result = await app.run(Agent("shop", model=model), "hi", options=_options(budget=budget))
            assert result.status == "succeeded"
            assert model.requests[-1].settings.max_output_tokens == limit


# -------------------------------------------------------------------------------------------------------- other units


async def test_a_budget_of_calls_counts_every_attempt(machine: Machine) -> None:
    script = [says(1, ToolCall("look")), RateLimited("slow", status=429), says(1, ToolCall("look")), says(1)]
    shop, model = agent(*script, tools=[look], retry=Retry(2, 0.001, 0.002))
    async with machine.app() as app:
        handle = await app.start(shop, "hi", budget=Budget(calls=3))
        while not handle.status.over:
            await machine.clock.advance(1)
            await asyncio.sleep(0)
        result = await handle.result()
    assert result.status == "exhausted"
    assert result.error is not None
    assert result.error.data["unit"] == "calls"
    assert len(model.requests) == 3


async def test_a_budget_of_tokens_needs_no_price(machine: Machine) -> None:
    shop = Agent("shop", model=ScriptedModel([Reply(assistant("hi"), Usage(5, 7))]), settings=TEN)
    async with machine.app() as app:
        assert (await app.run(shop, "hi", options=_options(budget=Budget(tokens=5000)))).status == "succeeded"
        result = await app.run(shop, "hi", options=_options(budget=Budget(tokens=50)))
    assert result.status == "exhausted"
    assert result.error is not None
    assert result.error.data["unit"] == "tokens"


async def test_a_budget_of_seconds_ends_the_run(machine: Machine) -> None:
    @member
    async def slow(ctx: Any) -> None:
        await ctx.sleep(10)

    async with machine.app() as app:
        handle = await app.start(slow, budget=Budget(seconds=5))
        await machine.clock.advance(4)
        assert not handle.status.over
        await machine.clock.advance(2)
        result = await handle.result()
    assert result.status == "exhausted"
    assert result.error is not None
    assert result.error.type == "DeadlineExceeded"


# --------------------------------------------------------------------------------------------------------------- tools


def paid(act: Callable[[], Any], **options: Any) -> Any:
    how: dict[str, Any] = {"effect": "read", **options}

    @tool(name="buy", cost="2", **how)
    async def buy() -> Any:
        """Buy."""
        return act()

    return buy


async def test_a_tool_that_costs_something_is_charged(any_machine: Machine) -> None:
    bought: list[int] = []
    buy = paid(lambda: bought.append(1))

    @member
    async def shopper(ctx: Any) -> Any:
        for _ in range(3):
            await ctx.tool(buy)

    async with any_machine.app(budgets={"agent:shopper": 5}) as app:
        result = await app.run(shopper)
        assert (result.status, len(bought), result.cost) == ("exhausted", 2, 4)
        account = await app.store.balances("agent:shopper")
        assert await spent(app, account[0].scope) == await booked(app) == 4


async def test_an_agent_ends_when_it_cannot_pay_its_tool(machine: Machine) -> None:
    bought: list[int] = []
    shop, _ = agent(
        says(1, "let me see", ToolCall("buy")), says(1), tools=[paid(lambda: bought.append(1))], price=DOLLAR
    )
    async with machine.app() as app:
        result = await app.run(shop, "hi", options=_options(budget="2.5"))
    assert (result.status, result.output, bought) == ("exhausted", "let me see", [])


@pytest.mark.parametrize("effect", ["read", "idempotent", "write"])
async def test_a_tool_that_says_it_did_nothing_costs_nothing(any_machine: Machine, effect: str) -> None:
    def act() -> None:
        raise NotDone("out of stock")

    @member
    async def shopper(ctx: Any) -> Any:
        with pytest.raises(NotDone):
            await ctx.tool(paid(act, effect=effect, retries=0))

    async with any_machine.app(budgets={"all": 5}) as app:
        result = await app.run(shopper)
        assert (result.status, result.cost, result.uncertain_cost) == ("succeeded", 0, 0)
        assert await spent(app) == await booked(app) == 0


@pytest.mark.parametrize("effect", ["read", "write"])
async def test_a_paid_tool_that_is_cancelled_is_uncertain(any_machine: Machine, effect: Any) -> None:
    entered = asyncio.Event()

    @tool(name="buy", cost="2", effect=effect)
    async def buy() -> None:
        """Buy."""
        entered.set()
        await asyncio.Event().wait()

    @member
    async def shopper(ctx: Any) -> Any:
        await ctx.tool(buy)

    async with any_machine.app(budgets={"all": 5}) as app:
        handle = await app.start(shopper)
        await entered.wait()
        await handle.cancel()
        result = await handle.result()
        assert (result.status, result.cost, result.uncertain_cost) == ("cancelled", 0, 2)
        assert await spent(app) == await booked(app) == 2
        assert (len(fold(result.records).facts.doubts) == 1) == (effect == "write")


async def test_a_paid_write_in_doubt_is_held_until_somebody_says_what_came_of_it(any_machine: Machine) -> None:
    def act() -> None:
        raise RuntimeError("the line went dead")

    @member
    async def shopper(ctx: Any) -> Any:
        return await ctx.tool(paid(act, effect="write"))

    async with any_machine.app(budgets={"all": 5}) as app:
        for choice, cost in (("happened", 2), ("abort", 2)):
            before = await spent(app)
            handle = await app.start(shopper)
            await until(lambda handle=handle: _pending(handle), "the question")
            [balance] = await app.store.balances("all")
            assert dollars(balance.held.usd) == 2
            [item] = (await handle.settled()).pending
            await handle.answer(item.request, choice)
            result = await handle.result()
            assert result.cost + result.uncertain_cost == cost
            assert await spent(app) == before + cost
        assert await spent(app) == await booked(app)


async def _pending(handle: Any) -> bool:
    return bool((await handle.settled()).pending)


# -------------------------------------------------------------------------------------------------------- who is told


async def test_an_alert_is_given_once_for_each_mark(any_machine: Machine) -> None:
    alerts: list[Alert] = []
    async with any_machine.app(budgets={"all": Budget(usd=4, alert=0.5)}, on_alert=alerts.append) as app:
        for _ in range(5):
            await app.run(agent("ok", price=DOLLAR)[0], "hi")
    assert [(alert.scope, alert.spent, alert.limit, alert.fraction) for alert in alerts] == [("all", 2, 4, 0.5)]


async def test_a_listener_that_fails_ends_no_run(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("nobody home")

    async with machine.app(budgets={"all": 1}, on_alert=fails, cost_callback=fails) as app:
        assert (await app.run(agent("ok", price=DOLLAR)[0], "hi")).status == "succeeded"
    assert "on_alert failed" in caplog.text
    assert "cost_callback failed" in caplog.text


async def test_whoever_asks_is_told_of_every_paid_call_and_tool(machine: Machine) -> None:
    told: list[tuple[str, Decimal]] = []
    shop, _ = agent(says(3, ToolCall("buy")), says(1), tools=[paid(lambda: None)])
    async with machine.app(cost_callback=lambda who, cost: told.append((who, cost))) as app:
        result = await app.run(shop, "hi")
    assert told == [("shop", 3), ("shop", 2), ("shop", 1)]
    assert sum(cost for _, cost in told) == result.cost


# --------------------------------------------------------------------------------------------------------------- forks


async def test_a_fork_has_the_budget_of_its_run_anew_or_its_own(any_machine: Machine) -> None:
    def shop() -> Agent:
        return agent(*[says(4, ToolCall("look"))] * 2, says(4), tools=[look])[0]

    async with any_machine.app(budgets={"all": 1000}) as app:
        run = await app.run(shop(), "hi", options=_options(budget=17))
        assert (run.status, run.cost) == ("exhausted", 8)
        last = "shop.1/turn.3/model.1"
        same = await (await app.fork(run.run_id, at=last, member=shop())).result()
        assert (same.status, same.cost) == ("succeeded", 4), "what was copied is not charged again"
        for budget, status in ((10, "succeeded"), (9, "exhausted"), (Budget(calls=1), "succeeded")):
            own = await (await app.fork(run.run_id, at=last, member=shop(), budget=budget)).result()
            assert own.status == status
        assert await spent(app) == await booked(app) == 8 + 3 * 4
        by_run = {line.name: line.calls for line in await app.costs.summary("run")}
        assert by_run[run.run_id] == 2
        assert by_run[same.run_id] == 1, "calls that were copied are not calls of the fork"


async def test_a_fork_may_be_given_less_time(machine: Machine) -> None:
    @member
    async def slow(ctx: Any) -> None:
        await ctx.emit("begun", 1)
        await ctx.sleep(10)

    async with machine.app() as app:
        handle = await app.start(slow, budget=Budget(seconds=100))
        await machine.clock.advance(11)
        run = await handle.result()
        fork = await app.fork(run.run_id, at="slow.1/sleep.1", member=slow, budget=Budget(seconds=5))
        await machine.clock.advance(6)
        assert (await fork.result()).status == "exhausted"


# ----------------------------------------------------------------------------------------------------------- the books


async def test_rows_in_the_store_are_what_the_journals_say(any_machine: Machine) -> None:
    shop, _ = agent(says(3, ToolCall("buy")), RateLimited("x", status=429), says(1), tools=[paid(lambda: None)])
    async with any_machine.app() as app:
        handle = await app.start(shop, "hi")
        while not handle.status.over:
            await any_machine.clock.advance(2)
            await asyncio.sleep(0.001)
        await app.run(agent("free", name="other", price=DOLLAR)[0], "hi", options=_options(session="s"))
        for stored in await app.store.costs():
            assert stored.rows == fold(await app.store.read(stored.run)).facts.costs.rows()
        assert {line.name: line.cost for line in await app.costs.summary()} == {"shop": 6, "other": 1}
        assert {line.name: line.cost for line in await app.costs.summary("tool")} == {"buy": 2}
        assert [line.cost for line in await app.costs.summary("model")] == [4, 1]
        assert {line.name: line.cost for line in await app.costs.summary("session")} == {"": 6, "s": 1}
        assert [line.cost for line in await app.costs.summary("day")] == [7]
        assert (await app.costs.total()).cost == 7
        breakdown = (await app.costs.get_session_breakdown("s"))["other"]
        assert (breakdown.num_calls, breakdown.total_cost, breakdown.avg_cost) == (1, 1, 1)


async def test_a_run_at_work_is_counted_from_its_journal_and_once(any_machine: Machine) -> None:
    @member
    async def worker(ctx: Any) -> None:
        model = ScriptedModel(lambda _: "ok", price=DOLLAR)
        await ctx.model("one", model=model)
        await ctx.wait("go")
        await ctx.model("two", model=model)
        await ctx.wait("on")

    async with any_machine.app() as app:
        handle = await app.start(worker)

        async def cost() -> Decimal:
            return (await app.costs.total()).cost

        async def is_(value: int) -> bool:
            return await cost() == value

        await until(lambda: is_(1), "the first call")
        await until(lambda: handle.status == "suspended", "the suspension")
        assert await cost() == 1
        await handle.signal("go")
        await until(lambda: is_(2), "the second call")
        await until(lambda: handle.status == "suspended", "the suspension")
        assert await cost() == 2
        await handle.signal("on")
        await handle.result()
        assert await cost() == 2


async def test_costs_reported_from_outside_count_against_budgets(any_machine: Machine) -> None:
    alerts: list[Alert] = []
    async with any_machine.app(on_alert=alerts.append) as app:
        app.costs.set_agent_budget("shop", 5, alert_threshold=0.6)
        await app.costs.log_agent_cost("shop", "3.5", session="s", model="big", usage=Usage(10, 5))
        await app.costs.log_agent_cost("shop", 1, session="s", tool="search")
        assert [alert.spent for alert in alerts] == [Decimal("3.5")]
        result = await app.run(agent("ok", price=DOLLAR)[0], "hi")
        assert result.status == "exhausted"
        breakdown = (await app.costs.get_session_breakdown("s"))["shop"]
        assert (breakdown.num_calls, breakdown.total_cost, breakdown.tool_cost, breakdown.tokens) == (
            1, Decimal("4.5"), 1, 15,
        )  # fmt: skip
        assert [line.name for line in await app.costs.summary("tool")] == ["search"]


@pytest.mark.parametrize("name", ["cost_callback", "on_alert"])
def test_a_listener_that_would_have_to_be_awaited_is_refused(name: str) -> None:
    async def listener(*_: object) -> None: ...

    with pytest.raises(ConfigurationError, match=f"{name} must be a plain function"):
        Podium(**{name: listener})  # pyright: ignore[reportArgumentType]
