"""Ways to be given what nobody decided: amounts that read as less, limits and streams beside the answer's guards, words
that come late or under another's name, and edits of what was hidden."""

from __future__ import annotations

from typing import Any

import pytest
from harness import Machine, until

from podium import Agent, Approval, Review, ToolCall, member, tool
from podium.core.deltas import TextDelta, ThinkingDelta
from podium.core.errors import ConfigurationError, RequestError
from podium.core.messages import Message, Reply, Text
from podium.models import ScriptedModel
from podium.ports import ToolContext
from podium.tools.described import DescribedTool

done: list[Any] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    done.clear()


@tool(effect="write")
def transfer(amount: str) -> str:
    """Transfer an amount that is written as text, as money often is."""
    done.append(float(amount))
    return "transferred"


@tool(effect="write", approval="always")
def pay(amount: float) -> str:
    """Pay."""
    done.append(amount)
    return "paid"


def clerk(call: ToolCall, of: Any) -> Agent[Any, Any]:
    return Agent("clerk", ScriptedModel([call, "done"]), [of])


# ------------------------------------------------------------------------------------------------- what is asked about


@pytest.mark.parametrize("amount", ["0" * 64 + "1000000", "1." + "0" * 62 + "e6", " " * 70 + "5000"])
async def test_an_amount_too_long_to_read_is_asked_about_and_not_read_in_part(machine: Machine, amount: str) -> None:
    async with machine.app(approvals=[Approval(tools="transfer", cost_above=100, cost="amount")]) as app:
        result = await clerk(ToolCall("transfer", {"amount": amount}), transfer).run("go", app=app)
    assert (result.status, done) == ("suspended", [])


@pytest.mark.parametrize("options", [{"name": "tool"}, {"tools": "tool"}])
def test_no_approval_goes_by_the_name_of_what_tools_ask_for_themselves(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="give another name="):
        Approval(**options)


# ------------------------------------------------------------------------------------------ what is given out, and when


def reviewed(*replies: Any, **options: Any) -> Agent[Any, Any]:
    review = Review(0.9, confidence=lambda _: 0.1)
    return Agent("doctor", ScriptedModel(list(replies)), review=review, **options)


async def test_an_answer_under_review_is_not_shown_piece_by_piece(machine: Machine) -> None:
    async with machine.app() as app:
        events = [event async for event in app.stream(reviewed("It is nothing at all."), "Coughing")]
    assert [event for event in events if isinstance(event, TextDelta | ThinkingDelta)] == []


async def test_an_answer_that_was_sent_back_is_not_what_was_reached_when_a_limit_ends_the_run(machine: Machine) -> None:
    @tool(effect="read")
    def look() -> str:
        """Look."""
        return "nothing"

    async with machine.app() as app:
        agent = reviewed("a rash word", ToolCall("look"), tools=[look], max_iterations=2)
        handle = await app.start(agent, "Coughing")
        await handle.settled()
        await handle.answer(value="say more")
        result = await handle.result()
        again = await app.handle(handle.run_id).result()
    assert (result.status, result.output, again.output) == ("exhausted", None, None)


NO_KEYS = {
    "default": "allow",
    "rules": [
        {
            "name": "no-codes",
            "kinds": ["answer"],
            "when": [{"arg": "", "op": "matches", "value": "code [0-9]+", "missing": "fails"}],
            "then": "deny",
        }
    ],
}


async def test_what_was_reached_when_a_limit_ends_a_run_passes_the_gate_like_an_answer(machine: Machine) -> None:
    def chatty(text: str) -> Agent[Any, Any]:
        parts = (Text(text), ToolCall("nothing", {}))
        return Agent("chatty", ScriptedModel([Reply(Message("assistant", parts))]), max_iterations=1)

    async with machine.app(policy=NO_KEYS) as app:
        told = await chatty("the code 4711").run("go", app=app)
        harmless = await chatty("the weather").run("go", app=app)
        recorded = await app.handle(told.run_id).result()
        verdicts = [
            (entry.verdict, entry.rule)
            async for entry in app.audit.show(told.run_id)
            if entry.event == "gate" and entry.name == "answer"
        ]
    assert (told.status, told.output, recorded.output) == ("failed", None, None)
    assert verdicts == [("deny", "policy:no-codes")]
    assert (harmless.status, harmless.output) == ("exhausted", "the weather")


# ------------------------------------------------------------------------------------------------- words that come late


async def asked(handle: Any) -> bool:
    return "approval" in [item.why for item in await handle.pending()]


async def test_a_call_that_is_approved_while_its_run_is_being_cancelled_is_not_made(machine: Machine) -> None:
    async with machine.app() as app:
        handle = await app.start(clerk(ToolCall("pay", {"amount": 5}), pay), "go")
        [item] = (await handle.settled()).pending
        await handle.cancel()
        await handle.approve(item.request)
        result = await handle.result()
    assert (result.status, done) == ("cancelled", [])


async def test_what_must_still_happen_when_a_run_is_cancelled_may_be_approved(machine: Machine) -> None:
    @member
    async def careful(ctx: Any, _input: Any) -> None:
        """Pay back at the end, whatever happens."""
        try:
            await ctx.wait("never")
        finally:
            async with ctx.cleanup():
                await ctx.tool(pay, {"amount": 1})

    async with machine.app() as app:
        handle = await app.start(careful, None)
        await handle.settled()
        await handle.cancel()
        await until(lambda: asked(handle), "the approval of the clean-up")
        await handle.approve()
        result = await handle.result()
    assert (result.status, done) == ("cancelled", [1])


async def test_a_signal_named_like_a_request_neither_hides_it_nor_keeps_anybody_from_deciding(machine: Machine) -> None:
    async with machine.app() as app:
        handle = await app.start(clerk(ToolCall("pay", {"amount": 5}), pay), "go")
        [item] = (await handle.settled()).pending
    async with machine.app() as elsewhere:  # which cannot drive the run, so the mail lies there
        await elsewhere.desk.signal(handle.run_id, item.request, "approve")
        assert [each.request for each in await elsewhere.inbox()] == [item.request]
        await elsewhere.desk.reject(handle.run_id, item.request)
    assert done == []


# ----------------------------------------------------------------------------------------------------- what was hidden


HOSTS = [{"name": "a", "password": "correct horse 11"}, {"name": "b", "password": "correct horse 22"}]


async def test_an_edit_cannot_move_what_was_hidden_from_whoever_makes_it(machine: Machine) -> None:
    @tool(effect="write", approval="always")
    def deploy(hosts: list[dict[str, str]], note: str = "") -> str:
        """Deploy."""
        done.append((hosts, note))
        return "deployed"

    async with machine.app() as app:
        handle = await app.start(clerk(ToolCall("deploy", {"hosts": HOSTS}), deploy), "go")
        [item] = (await handle.settled()).pending
        shown = item.args["hosts"]
        for edit in ({"hosts": shown[1:]}, {"note": "the password is [redacted]"}, {"hosts": [*shown, shown[0]]}):
            with pytest.raises(RequestError, match="where no hidden value was"):
                await handle.approve(edit=edit)
        await handle.approve(edit={"hosts": [{**shown[0], "name": "c"}, shown[1]], "note": "moved"})
        await handle.result()
    assert done == [([{"name": "c", "password": "correct horse 11"}, HOSTS[1]], "moved")]


async def test_a_tool_that_uses_its_arguments_up_is_given_them_again_and_tells_no_secret_of_theirs(
    machine: Machine,
) -> None:
    async def call(args: dict[str, Any], _ctx: ToolContext) -> Any:
        done.append(sorted(args["login"]))
        raise ConnectionError(f"refused for {args['login'].pop('password')}")

    login = DescribedTool(
        "log_in",
        description="Log in.",
        parameters={"type": "object", "properties": {"login": {"type": "object"}}},
        call=call,
        effect="read",
        retries=1,
    )
    secret = {"login": {"user": "ada", "password": "correct horse 11"}}
    async with machine.app() as app:
        handle = await app.start(clerk(ToolCall("log_in", secret), login), "go")
        await until(lambda: len(done) == 1, "the first attempt")
        await machine.clock.advance(60)
        result = await handle.result()
    [error] = [step.error for step in result.steps if step.name == "log_in"]
    assert error == "ToolError: ConnectionError: refused for [redacted]"
    assert done == [["password", "user"]] * 2, "and another attempt is given what the first was"
