"""The gate: what it lets pass, what it refuses, and that nothing gets round it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from harness import Machine, records_of

from podium import Agent, ConfigurationError, PermissionDenied, Principal, ScriptedModel, ToolCall, member, tool
from podium.core.actions import Kind
from podium.core.records import Began
from podium.policy import Chain, default_gate
from podium.ports import Allow, Deny, HoldFor, Rewrite

DONE: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    DONE.clear()


@tool(effect="write")
async def pay(amount: int) -> str:
    """Pay."""
    DONE.append(amount)
    return f"paid {amount}"


@tool(effect="read", roles=["manager"])
async def books() -> str:
    """Open the books."""
    DONE.append("books")
    return "books"


class Check:
    def __init__(self, judge: Any, *kinds: Kind) -> None:
        self.name = "check"
        self.kinds = frozenset(kinds or (Kind.TOOL,))
        self._judge = judge
        self.seen: list[Any] = []

    def __call__(self, proposal: Any) -> Any:
        self.seen.append(proposal)
        return self._judge(proposal)


def distinct(values: Iterable[Any]) -> list[Any]:
    """In order, without repetitions."""
    return list(dict.fromkeys(values))


@member
async def pays(ctx: Any, amount: int) -> Any:
    return await ctx.tool(pay, amount=amount)


async def test_an_agent_may_call_only_the_tools_it_was_given_whatever_its_model_says(machine: Machine) -> None:
    model = ScriptedModel([ToolCall("pay", {"amount": 5}), "ok"])
    async with machine.app(tools=[pay]) as app:
        result = await Agent("shop", model).run("pay", app=app)
    assert result.output == "ok"
    [part] = model.requests[1].messages[-1].parts
    assert "no tool named 'pay'" in part.content  # pyright: ignore[reportAttributeAccessIssue]
    assert DONE == []
    [step] = [step for step in result.steps if step.name == "pay"]
    assert step.rule == "permission:not-granted"


async def test_a_tool_for_a_role_asks_the_principal_behind_the_run(any_machine: Machine) -> None:
    @member
    async def opens(ctx: Any) -> Any:
        return await ctx.tool(books)

    async with any_machine.app() as app:
        assert (await opens.run(app=app)).status == "failed"
        assert (await opens.run(app=app, principal=Principal("bob", ("clerk",)))).status == "failed"
        assert DONE == []
        assert (await opens.run(app=app, principal=Principal("ann", ("manager",)))).output == "books"


async def test_a_denial_names_its_rule_and_the_tool_is_not_called(machine: Machine) -> None:
    gate = default_gate().with_checks(Check(lambda p: Deny("limit", "not today")))

    @member
    async def tries(ctx: Any) -> Any:
        try:
            return await ctx.tool(pay, amount=5)
        except PermissionDenied as error:
            return [str(error), error.data["rule"]]

    async with machine.app(gate=gate) as app:
        result = await app.run(tries)
    assert result.output == ["not today", "limit"]
    assert DONE == []


async def test_a_rewrite_passes_the_whole_gate_again_and_is_what_is_done(machine: Machine) -> None:
    check = Check(lambda p: Rewrite("cap", {"amount": 10}) if p.args["amount"] > 10 else Allow("cap"))
    async with machine.app(gate=default_gate().with_checks(check)) as app:
        result = await app.run(pays, 500)
    assert result.output == "paid 10"
    # A check is pure, so how often it is asked about one proposal is nobody's business; in which order is.
    assert distinct(proposal.args["amount"] for proposal in check.seen) == [500, 10]
    assert DONE == [10]


async def test_a_gate_that_keeps_rewriting_is_refused_after_three_times(machine: Machine) -> None:
    check = Check(lambda p: Rewrite("spin", {"amount": p.args["amount"] + 1}))
    async with machine.app(gate=default_gate().with_checks(check)) as app:
        result = await app.run(pays, 1)
    assert result.status == "failed"
    assert "keeps rewriting" in str(result.error)
    assert distinct(proposal.args["amount"] for proposal in check.seen) == [1, 2, 3, 4]
    assert DONE == []


async def test_a_hold_of_one_check_does_not_lift_the_hold_of_another(machine: Machine) -> None:
    def asks(rule: str) -> Check:
        return Check(lambda p: None if rule in p.approved else HoldFor(rule, f"{rule}?"))

    async with machine.app(gate=Chain([asks("one"), asks("two")])) as app:
        handle = await app.start(pays, 5)
        assert [item.prompt for item in (await handle.settled()).pending] == ["one?"]
        await handle.approve()
        assert [item.prompt for item in (await handle.settled()).pending] == ["two?"]
        assert DONE == []
        await handle.approve()
        assert (await handle.result()).output == "paid 5"


async def test_a_changed_policy_version_asks_again(machine: Machine) -> None:
    def gate(version: str) -> Chain:
        return Chain([Check(lambda p: None if "ask" in p.approved else HoldFor("ask", "may I?"))], version=version)

    async with machine.app(gate=gate("1")) as app:
        handle = await app.start(pays, 5)
        old = (await handle.settled()).pending[0].request
    async with machine.app(gate=gate("2")) as app:
        result = await app.resume(handle.run_id, pays)
        assert result.status == "suspended"
        assert [item.request for item in result.pending] != [old]
        await app.handle(handle.run_id).approve()
        assert (await app.handle(handle.run_id).result()).output == "paid 5"


async def test_the_rule_that_allowed_is_in_the_beginning_of_the_step(machine: Machine) -> None:
    async with machine.app(gate=Chain([Check(lambda p: Allow("budget:ok"))])) as app:
        result = await app.run(pays, 5)
    [began] = [record for record in records_of(result, Began) if record.kind is Kind.TOOL]
    assert began.rule == "budget:ok"


async def test_a_check_that_concerns_models_can_refuse_a_call(machine: Machine) -> None:
    gate = default_gate().with_checks(Check(lambda p: Deny("models", "no models today"), Kind.MODEL))
    model = ScriptedModel(["never"])
    async with machine.app(gate=gate) as app:
        result = await Agent("shop", model).run("hi", app=app)
    assert result.status == "failed"
    assert "no models today" in str(result.error)
    assert model.requests == []


async def test_a_check_that_concerns_answers_can_refuse_the_output(machine: Machine) -> None:
    check = Check(lambda p: Deny("leak", "that is secret") if "secret" in str(p.args) else None, Kind.ANSWER)

    @member
    async def says(ctx: Any, what: str) -> str:
        return what

    async with machine.app(gate=default_gate().with_checks(check)) as app:
        assert (await app.run(says, "hello")).output == "hello"
        result = await says.run("a secret", app=app, run_id="r1")
        assert result.status == "failed"
        assert result.output is None
        again = await app.handle("r1").result()
    assert again.output is None, "a withheld answer was given out by reading the journal"


async def test_a_check_sees_who_asks_for_what_and_with_which_label(machine: Machine) -> None:
    check = Check(lambda p: None)
    model = ScriptedModel([ToolCall("pay", {"amount": 5}), "ok"])
    async with machine.app(gate=default_gate().with_checks(check)) as app:
        result = await Agent("shop", model, [pay]).run("go", app=app, principal=Principal("ann", (), "acme"))
    [proposal] = check.seen
    assert (proposal.name, proposal.args, proposal.subject) == ("pay", {"amount": 5}, "shop")
    assert (proposal.grants, proposal.principal.tenant) == (frozenset({"pay"}), "acme")
    assert (proposal.key, proposal.run_id) == ("shop.1/turn.1/pay.1", result.run_id)


async def test_the_gate_judges_resolved_arguments(machine: Machine) -> None:
    @tool(effect="read")
    async def search(query: str, limit: int = 5) -> str:
        """Search."""
        return query

    check = Check(lambda p: None)

    @member
    async def body(ctx: Any) -> Any:
        return await ctx.tool(search, query="x")

    async with machine.app(gate=default_gate().with_checks(check)) as app:
        await app.run(body)
    assert check.seen[0].args == {"query": "x", "limit": 5}


async def test_an_approval_rule_that_breaks_fails_closed(machine: Machine) -> None:
    @tool(effect="write", approval=lambda args: args["no such argument"])
    async def act(amount: int) -> str:
        """Act."""
        DONE.append(amount)
        return "x"

    @member
    async def body(ctx: Any) -> Any:
        return await ctx.tool(act, amount=1)

    async with machine.app() as app:
        result = await app.run(body)
    assert result.status == "failed"
    assert DONE == []


async def test_a_check_that_breaks_fails_closed(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    def breaks(_: Any) -> Any:
        raise RuntimeError("the check broke")

    async with machine.app(gate=default_gate().with_checks(Check(breaks))) as app:
        result = await app.run(pays, 5)
        verdicts = [entry async for entry in app.audit.show() if entry.event == "gate"]
    assert result.status == "failed"
    assert DONE == []
    assert [(entry.name, entry.verdict, entry.rule) for entry in verdicts] == [("pay", "deny", "check:broken")]
    assert "the check broke" in caplog.text, "whoever runs the program learns why"
    assert result.error is not None
    assert "(RuntimeError)" in str(result.error)
    assert "the check broke" not in str(result.error), "what it raised may tell anything, and models read this"


def test_a_gate_with_more_checks_still_asks_for_approval_last() -> None:
    check = Check(lambda p: None)
    names = [one.name for one in default_gate().with_checks(check).checks]
    assert names == ["permission", "check", "approval"]
    assert issubclass(ConfigurationError, Exception)
