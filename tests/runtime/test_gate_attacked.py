"""Ways round the gate: decisions used twice or for another call, doubts asked for in other words, verdicts in vain."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from harness import Machine

from podium import Agent, Approval, Podium, Principal, ToolCall, tool
from podium.core.actions import Kind
from podium.core.deltas import TextDelta
from podium.core.errors import ConfigurationError
from podium.core.labels import untrusted
from podium.models import FallbackModel, ScriptedModel
from podium.policy import Chain
from podium.ports import Allow, Deny, HoldFor, Rewrite
from podium.tools.described import DescribedTool

ADA = Principal("ada", ("finance",))
BOB = Principal("bob", ("ops",))

paid: list[Any] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    paid.clear()


@pytest.fixture
def machine() -> Machine:
    return Machine()


@tool(effect="write", name="refund")
def refund(amount: float) -> str:
    """Pay."""
    paid.append(amount)
    return f"refunded {amount:g}"


@tool(effect="write", name="refund", approval=lambda args: args["amount"] > 10)
def losing(amount: float, currency: str = "USD") -> str:
    """Pay, and lose the connection."""
    paid.append((amount, currency))
    raise RuntimeError("the connection is lost")


def clerk(*calls: ToolCall, of: Any = refund) -> Agent[Any, Any]:
    return Agent("clerk", ScriptedModel([*calls, "done"]), [of])


# ----------------------------------------------------------------------------------------------------- approvals


async def test_two_editors_who_take_back_each_others_words_are_asked_each_time(machine: Machine) -> None:
    asks = [Approval(tools="refund", roles="finance"), Approval(tools="refund", roles="ops")]
    async with machine.app(approvals=asks) as app:
        handle = await app.start(clerk(ToolCall("refund", {"amount": 20})), "go")
        words = [(ADA, 5, 20), (BOB, 20, 5), (ADA, 5, 20), (BOB, 20, 5)]
        for by, amount, expected in words:
            [item] = (await asyncio.wait_for(handle.settled(), 30)).pending
            assert (item.args["amount"], item.roles) == (expected, by.roles)
            await handle.approve(item.request, edit={"amount": amount}, by=by)
        await handle.settled()
        await handle.approve(by=ADA)
        result = await handle.result()
    assert (result.output, paid) == ("done", [20])


async def test_after_a_crash_two_editors_are_asked_nothing_again(machine: Machine) -> None:
    asks = [Approval(tools="refund", roles="finance"), Approval(tools="refund", roles="ops")]
    agent = clerk(ToolCall("refund", {"amount": 20}))
    async with machine.app(approvals=asks) as app:
        handle = await app.start(agent, "go")
        for by, amount in ((ADA, 5), (BOB, 20)):
            await handle.settled()
            await handle.approve(edit={"amount": amount}, by=by)
        await handle.settled()
    async with machine.app(approvals=asks) as app:
        [item] = (await app.resume(handle.run_id, agent)).pending
        assert (item.args, item.roles) == ({"amount": 20}, ("finance",))
        await app.desk.approve(handle.run_id, by=ADA)
        result = await app.resume(handle.run_id, agent)
    assert (result.output, paid) == ("done", [20])


async def test_an_approval_is_for_the_version_of_the_tool_that_was_approved(machine: Machine) -> None:
    def of(version: str) -> Any:
        async def call(args: dict[str, Any], _ctx: Any) -> str:
            paid.append((version, args["amount"]))
            return "refunded"

        amount = {"type": "object", "properties": {"amount": {"type": "number"}}}
        return DescribedTool(
            "refund", description="Pay.", parameters=amount, call=call, version=version, approval="always"
        )

    def agent(version: str) -> Agent[Any, Any]:
        return clerk(ToolCall("refund", {"amount": 20}), of=of(version))

    async with machine.app() as app:
        handle = await app.start(agent("a digest"), "go")
        [first] = (await handle.settled()).pending
    async with machine.app() as desk_only:
        await desk_only.desk.approve(handle.run_id)
    async with machine.app() as app:
        [again] = (await app.resume(handle.run_id, agent("another digest"))).pending
    assert (paid, again.args) == ([], first.args)
    assert again.request != first.request


# ------------------------------------------------------------------------------------------------------ in doubt


@pytest.mark.parametrize(
    ("second", "times"),
    [
        ({"amount": 5}, 1),
        ({"amount": 5.0, "currency": "USD"}, 1),
        ({"currency": "USD", "amount": "5"}, 1),
        ({"amount": 6}, 2),
        ({"amount": 5, "currency": "EUR"}, 2),
    ],
)
async def test_a_doubtful_call_in_other_words_is_held(machine: Machine, second: dict[str, Any], times: int) -> None:
    async with machine.app() as app:
        handle = await app.start(clerk(ToolCall("refund", {"amount": 5}), ToolCall("refund", second), of=losing), "go")
        await handle.settled()
        await handle.answer(value="happened", result="refunded")
        [item] = (await handle.settled()).pending
    assert (len(paid), item.why) == (times, "approval" if times == 1 else "in_doubt")
    assert times == 2 or item.rule == "act-once:repeat"


async def test_a_call_that_was_edited_into_what_is_in_doubt_is_held_when_it_is_asked_for(machine: Machine) -> None:
    calls = [ToolCall("refund", {"amount": 50}), ToolCall("refund", {"amount": 5})]
    agent = clerk(*calls, of=losing)
    async with machine.app() as app:
        handle = await app.start(agent, "go")
        await handle.settled()
        await handle.approve(edit={"amount": 5})
        await handle.settled()
        await handle.answer(value="happened", result="refunded")
        [item] = (await handle.settled()).pending
    assert (paid, item.rule) == ([(5, "USD")], "act-once:repeat")
    async with machine.app() as app:  # the doubt is in the journal, not in memory
        [item] = (await app.resume(handle.run_id, agent)).pending
    assert item.rule == "act-once:repeat"


# ------------------------------------------------------------------------------------- verdicts that came to nothing


class Says:
    """A check with one word on one kind of action."""

    name = "says"

    def __init__(self, kind: Kind, verdict: Any) -> None:
        self.kinds = frozenset({kind})
        self._verdict = verdict

    def __call__(self, proposal: Any) -> Any:
        return self._verdict


@pytest.mark.parametrize("verdict", [HoldFor("says", "?"), Rewrite("says", {"text": "another"}), Deny("says", "no")])
async def test_an_answer_that_a_check_does_not_allow_is_not_given(machine: Machine, verdict: Any) -> None:
    async with machine.app(gate=Chain([Says(Kind.ANSWER, verdict)])) as app:
        result = await clerk().run("go", app=app)
        verdicts = [
            (entry.name, entry.verdict, entry.rule) async for entry in app.audit.show() if entry.event == "gate"
        ]
    assert (result.status, result.output) == ("failed", None)
    assert verdicts == [("answer", "deny", "says")], "and the audit log says who refused it"


async def test_a_withheld_answer_is_not_shown_piece_by_piece(machine: Machine) -> None:
    async def told(gate: Chain) -> str:
        async with machine.app(gate=gate) as app:
            return "".join([event.text async for event in app.stream(clerk(), "go") if isinstance(event, TextDelta)])

    assert await told(Chain([])) == "done"
    assert await told(Chain([Says(Kind.ANSWER, Deny("says", "no"))])) == ""


@pytest.mark.parametrize("verdict", [HoldFor("says", "?"), Rewrite("says", {"text": "another"})])
async def test_a_verdict_that_no_model_call_can_meet_stops_the_run(machine: Machine, verdict: Any) -> None:
    async with machine.app(gate=Chain([Says(Kind.MODEL, verdict)])) as app:
        with pytest.raises(ConfigurationError, match="the check says"):
            await clerk().run("go", app=app)


async def test_a_refused_model_call_is_one_entry_of_the_audit_log(machine: Machine) -> None:
    async with machine.app(gate=Chain([Says(Kind.MODEL, Deny("says", "no"))])) as app:
        await clerk().run("go", app=app)
        verdicts = [(entry.name, entry.rule) async for entry in app.audit.show() if entry.event == "gate"]
    assert verdicts == [("model", "says")]


class Only:
    """A check that lets one model be asked, under a rule with a name."""

    name = "only"
    kinds = frozenset({Kind.MODEL, Kind.ANSWER})

    def __call__(self, proposal: Any) -> Any:
        if proposal.kind is Kind.ANSWER:
            return Allow("out")
        return Allow("in-house") if proposal.name.startswith("second") else Deny("abroad", "not that one")


async def test_the_audit_log_tells_which_model_of_a_chain_was_refused_and_what_let_the_others_pass(
    machine: Machine,
) -> None:
    chain = FallbackModel(ScriptedModel(["first"], name="first"), ScriptedModel(["done"], name="second"))
    async with machine.app(gate=Chain([Only()])) as app:
        result = await Agent("clerk", chain).run("go", app=app)
        verdicts = [
            (entry.name.split("-")[0], entry.verdict, entry.rule)
            async for entry in app.audit.show()
            if entry.event == "gate"
        ]
    assert result.output == "done"
    assert verdicts == [("first", "deny", "abroad"), ("second", "allow", "in-house"), ("answer", "allow", "out")]


async def test_the_audit_log_tells_what_a_reconcile_settled(machine: Machine) -> None:
    async def look(_key: str, _args: dict[str, Any]) -> str:
        return "it is there"

    @tool(effect="write", reconcile=look)
    def put(text: str) -> str:
        """Put, and lose the connection."""
        raise RuntimeError("the connection is lost")

    agent = clerk(ToolCall("put", {"text": "x"}), of=put)
    async with machine.app() as app:
        await agent.run("go", app=app)
        [entry] = [entry async for entry in app.audit.show() if entry.event == "tool"]
    assert (entry.success, entry.why) == (True, "act-once:reconciled")


# --------------------------------------------------------------------------------------------------------- the cache


async def test_two_servers_with_equal_tools_share_no_results(tmp_path: Path) -> None:
    def of(server: str) -> Any:
        async def call(_args: dict[str, Any], _ctx: Any) -> str:
            return f"from {server}"

        any_object = {"type": "object"}
        return DescribedTool(
            "search",
            description="Search.",
            parameters=any_object,
            call=call,
            effect="read",
            cache=60,
            label=untrusted(f"mcp:{server}"),
        )

    async with Podium(tmp_path / "runs.db") as app:
        told = [
            str((await clerk(ToolCall("search"), of=of(server)).run("go", app=app)).messages)
            for server in ("one", "two", "one")
        ]
    assert ["from one" in told[0], "from two" in told[1], "from one" in told[2]] == [True, True, True]


async def test_a_very_long_reply_does_not_break_the_messages_of_a_result(machine: Machine) -> None:
    long = ToolCall("refund", {"amount": 1, "why": "w" * 100_000})
    async with machine.app() as app:
        result = await clerk(long).run("go", app=app)
    assert [message.text for message in result.messages] == ["go", "[a long reply, which is not at hand here]", "done"]
