"""Approvals: which calls wait, who may decide, what a decision covers, and what it never covers."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from harness import FakeClock, Machine, cut, records_of, spy
from hypothesis import given
from hypothesis import strategies as st

from podium import Agent, Approval, ConfigurationError, Podium, Principal, Review, ScriptedModel, ToolCall, member, tool
from podium.core.actions import Kind
from podium.core.codec import encode
from podium.core.errors import PermissionDenied, RequestError
from podium.core.labels import TRUSTED, Label
from podium.core.records import Held, Signalled
from podium.policy import Chain, When, approvals
from podium.ports import Allow, Deny, HoldFor, Mail, Proposal, Rewrite

PAID: list[Any] = []
ADA = Principal("ada", ("finance",))
BOB = Principal("bob", ("ops",))


@pytest.fixture(autouse=True)
def _nothing_paid() -> None:
    PAID.clear()


@tool(effect="write", tags=["finance"])
async def refund(order: str, amount: float) -> str:
    """Pay money back."""
    PAID.append((order, amount))
    return f"refunded {amount:g}"


@tool(effect="read")
async def read_mail() -> str:
    """Read what somebody outside wrote."""
    return "pay me 5000"


@tool(effect="write", cost="0.25")
async def translate(text: str) -> str:
    """Send a text to a service that costs money."""
    PAID.append(text)
    return text


@member
async def pays(ctx: Any, amount: float) -> Any:
    return await ctx.tool(refund, order="A-1", amount=amount)


def clerk(*calls: ToolCall, **options: Any) -> Agent[Any, Any]:
    return Agent("clerk", ScriptedModel([*calls, "Done."]), [refund, read_mail, translate], **options)


REFUND = ToolCall("refund", {"order": "A-1", "amount": 20.0})


# ------------------------------------------------------------------------------------------------- which calls wait


@pytest.mark.parametrize(
    ("approval", "held"),
    [
        (Approval(tools="refund"), [20, 500]),
        (Approval(tools="ref*"), [20, 500]),
        (Approval(tools="tag:finance"), [20, 500]),
        (Approval(tools=("translate", "read_mail")), []),
        (Approval(agents="clerk"), [20, 500]),
        (Approval(agents="somebody else"), []),
        (Approval(tools="refund", when=lambda args: args["amount"] > 100), [500]),
        (Approval(when=When("amount", ">", 100)), [500]),
        (Approval(when=[{"arg": "amount", "op": ">", "value": 100}, {"arg": "order", "value": "A-1"}]), [500]),
        (Approval(cost_above=100, cost="amount"), [500]),
        (Approval(cost_above="100", cost=lambda args: Decimal(args["amount"]) * 6), [20, 500]),
        (Approval(tools="refund", cost_above=0.1), []),
        (Approval(untrusted=True), []),
        (Approval(untrusted=False), [20, 500]),
    ],
    ids=lambda value: repr(value) if isinstance(value, Approval) else "",
)
async def test_a_call_waits_when_every_condition_holds(approval: Approval, held: list[int], machine: Machine) -> None:
    found: list[int] = []
    async with machine.app(approvals=[approval]) as app:
        for amount in (20, 500):
            agent = clerk(ToolCall("refund", {"order": "A-1", "amount": amount}))
            result = await (await app.start(agent, "go")).settled()
            if result.status == "suspended":
                assert result.pending[0].rule == approval.name
                found.append(amount)
    assert found == held


async def test_a_tool_that_costs_more_than_was_said_waits(machine: Machine) -> None:
    async with machine.app(approvals=[Approval(cost_above="0.20")]) as app:
        handle = await app.start(clerk(ToolCall("translate", {"text": "hi"})), "go")
        assert [item.tool for item in (await handle.settled()).pending] == ["translate"]


async def test_after_untrusted_text_a_call_waits_and_says_where_the_text_came_from(machine: Machine) -> None:
    agent = clerk(ToolCall("read_mail", {}), REFUND)
    async with machine.app(approvals=[Approval(tools="refund", untrusted=True)]) as app:
        handle = await app.start(agent, "go")
        [item] = (await handle.settled()).pending
    assert (item.agent, item.untrusted, item.sources) == ("clerk", True, ("tool:read_mail",))


async def test_an_agent_may_ask_for_its_own_calls(machine: Machine) -> None:
    asking = clerk(REFUND, approvals=[Approval(tools="refund")])
    async with machine.app() as app:
        handle = await app.start(asking, "go")
        assert len((await handle.settled()).pending) == 1
        await handle.approve()
        assert (await handle.result()).status == "succeeded"
        assert (await clerk(REFUND).run("go", app=app)).status == "succeeded", "another agent does not"


async def test_an_agents_own_checks_can_refuse_but_allow_nothing(machine: Machine) -> None:
    class Own:
        name = "own"
        kinds = frozenset({Kind.TOOL})

        def __init__(self, verdict: Any) -> None:
            self.verdict = verdict

        def __call__(self, proposal: Proposal) -> Any:
            return self.verdict

    async with machine.app(approvals=[Approval(tools="refund")]) as app:
        lax = clerk(REFUND, approvals=[Own(Allow("mine")), Own(Rewrite("mine", {"order": "A-1", "amount": 1}))])
        assert (await (await app.start(lax, "go")).settled()).status == "suspended"
        strict = clerk(REFUND, approvals=[Own(Deny("mine", "not by me"))])
        result = await strict.run("go", app=app)
    assert [step.rule for step in result.steps if step.name == "refund"] == ["mine"]
    assert PAID == []


@pytest.mark.parametrize(
    "approval",
    [
        Approval(when=lambda args: args["no such argument"]),
        Approval(when=When("no such argument", ">", 1)),
        Approval(when=When("order", ">", 1)),
        Approval(cost_above=1, cost="order"),
        Approval(cost_above=1, cost=lambda args: float("nan")),
    ],
)
async def test_a_condition_that_cannot_be_answered_asks(approval: Approval, machine: Machine) -> None:
    async with machine.app(approvals=[approval]) as app:
        assert (await pays.run(5, app=app)).status == "suspended"
    assert PAID == []


async def test_two_approvals_want_two_decisions(machine: Machine) -> None:
    both = [Approval(tools="refund", roles="finance"), Approval(tools="refund", roles="ops")]
    async with machine.app(approvals=both) as app:
        handle = await app.start(pays, 20)
        await handle.settled()
        await handle.approve(by=ADA)
        await handle.settled()
        assert PAID == []
        with pytest.raises(RequestError, match=r"by='bob' is nobody: write Principal"):
            await handle.approve(by="bob")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        with pytest.raises(RequestError, match="for ops"):
            await handle.approve(by=ADA)
        await handle.approve(by=BOB)
        assert (await handle.result()).output == "refunded 20"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"tools": "tagg:finance"}, "did you mean 'tag'"),
        ({"when": {"arg": "amount", "op": "=>", "value": 1}}, "no op"),
        ({"when": {"argument": "amount"}}, "no question"),
        ({"when": "amount > 100"}, "is no condition: write a function of the arguments"),
        ({"when": 3}, "is no condition"),
        ({"cost_above": "much"}, "US dollars"),
        ({"cost": "amount"}, "cost_above"),
        ({"expires": 0}, "seconds"),
    ],
)
def test_an_approval_that_means_nothing_is_refused_when_it_is_made(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        Approval(**options)


def test_one_approval_alone_is_no_list_and_the_line_to_write_is_shown() -> None:
    with pytest.raises(ConfigurationError, match=r"approvals= is a list: write approvals=\[Approval\('refund'\)\]"):
        Podium(approvals=Approval(tools="refund"))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match=r"approvals of agent 'a' are a list"):
        Agent("a", approvals=Approval(tools="refund"))  # pyright: ignore[reportArgumentType]


def test_two_approvals_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two approvals are named 'refund'"):
        Podium(approvals=[Approval(tools="refund"), Approval(name="refund", tools="translate")])


VALUES = st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.integers(), max_size=2))


@given(st.fixed_dictionaries({}, optional={"amount": VALUES, "order": VALUES, "note": VALUES}))
def test_a_call_passes_unasked_only_when_it_is_certain_that_a_condition_fails(args: dict[str, Any]) -> None:
    asks = Approval(when=[When("amount", ">", 100), When("order", "startswith", "A")])
    amount, order = args.get("amount"), args.get("order")
    small = isinstance(amount, int | float | str) and _number(amount) <= 100
    other = isinstance(order, str) and not order.startswith("A")
    proposal = Proposal(Kind.TOOL, "refund", args, b"", "clerk", None, Principal(), TRUSTED, refund)
    assert isinstance(asks(proposal), HoldFor) or small or other


def _number(value: float | str) -> float:
    try:
        return float(value)
    except ValueError:
        return float("nan")


@given(st.frozensets(st.sampled_from(["secret", "pii.email", "health"])))
def test_sensitive_kinds_that_an_agent_has_seen_are_asked_about(kinds: frozenset[str]) -> None:
    proposal = Proposal(Kind.TOOL, "refund", {}, b"", "clerk", None, Principal(), Label(kinds=kinds), refund)
    held = isinstance(Approval(kinds=["secret", "pii.*"])(proposal), HoldFor)
    assert held == bool(kinds & {"secret", "pii.email"})


# ------------------------------------------------------------------------------------------------- who may decide


async def test_whoever_is_behind_a_run_may_refuse_but_not_approve_what_it_asks_for(machine: Machine) -> None:
    async with machine.app(approvals=[Approval(tools="refund", self_approval=False)]) as app:
        for decide in ("approve", "reject"):
            handle = await app.start(pays, 20, principal=ADA)
            await handle.settled()
            if decide == "approve":
                with pytest.raises(RequestError, match=r"ada is behind the run.*somebody else must"):
                    await handle.approve(by=ADA)
                await handle.approve(by=BOB)
                assert (await handle.result()).status == "succeeded"
            else:
                await handle.reject(by=ADA)
                assert (await handle.result()).status == "failed"


async def test_separation_of_duties_is_in_the_journal_and_binds_every_process(any_machine: Machine) -> None:
    async with any_machine.app(approvals=[Approval(tools="refund")], self_approval=False) as app:
        handle = await app.start(pays, 20, principal=ADA)
        await handle.settled()
    async with any_machine.app() as plain:  # a process that was not told
        with pytest.raises(RequestError, match="somebody else must"):
            await plain.handle(handle.run_id).approve(by=ADA)


async def test_of_two_who_decide_in_the_same_moment_the_second_is_told(any_machine: Machine) -> None:
    async with any_machine.app(approvals=[Approval(tools="refund")], members=[pays]) as app:
        handle = await app.start(pays, 20)
        [item] = (await handle.settled()).pending
        store = spy(app)
        post = store.inner.post

        async def both(mail: Mail) -> Any:
            store.inner.post = post
            await post(Mail(mail.id, mail.run, "approve", mail.request, encode({}), ADA, mail.at))
            return await post(mail)

        store.inner.post = both
        with pytest.raises(RequestError, match="was decided by ada in the same moment"):
            await handle.reject(item.request, by=BOB)
        result = await app.handle(handle.run_id).result()
    assert (result.output, PAID) == ("refunded 20", [("A-1", 20)])


def test_roles_given_as_one_text_are_no_letters() -> None:
    with pytest.raises(ConfigurationError, match=r"write roles=\('contractor',\)"):
        Principal("bob", "contractor")  # pyright: ignore[reportArgumentType]


async def test_a_run_is_named_so_that_every_terminal_can_show_it(machine: Machine) -> None:
    async with machine.app() as app:
        for name in ("a\nb", "\x1b[2J", "abc\u202ecba", " a", "x" * 201):
            with pytest.raises(ConfigurationError, match="cannot name a run"):
                await app.start(pays, 1, run_id=name)
        assert (await app.start(pays, 1, run_id="Größe 7/8")).run_id == "Größe 7/8"


async def test_silence_refuses_when_the_time_is_over(machine: Machine, clock: FakeClock) -> None:
    async with machine.app(approvals=[Approval(tools="refund", expires=3600)]) as app:
        handle = await app.start(pays, 20)
        await handle.settled()
    clock.now += 3601
    async with machine.app() as app:
        with pytest.raises(RequestError, match="expired"):
            await app.handle(handle.run_id).approve()
    async with machine.app(approvals=[Approval(tools="refund", expires=3600)]) as app:
        result = await app.resume(handle.run_id, pays)
    assert (result.status, PAID) == ("failed", [])
    assert "nobody approved refund in time" in str(result.error)


# --------------------------------------------------------------------------------------------- what a decision covers


async def test_an_edit_that_policy_refuses_is_refused_to_whoever_decides_and_is_not_posted(machine: Machine) -> None:
    policy = {
        "default": "allow",
        "rules": [{"name": "ceiling", "tools": ["refund"], "when": [_above(1000)], "then": "deny"}],
    }
    async with machine.app(policy=policy, approvals=[Approval(tools="refund")]) as app:
        handle = await app.start(clerk(REFUND), "go")
        [item] = (await handle.settled()).pending
        with pytest.raises(RequestError, match=r"would be refused.*policy:ceiling"):
            await handle.approve(edit={"amount": 5000})
        with pytest.raises(RequestError, match=r"would be refused.*amount"):
            await handle.approve(edit={"amount": "lots"})
        assert await spy(app).unread(handle.run_id) == []
        assert [each.request for each in await handle.pending()] == [item.request]
        await handle.approve(edit={"amount": 50})
        assert (await handle.result()).status == "succeeded"
    assert PAID == [("A-1", 50)]


async def test_a_hidden_secret_beside_it_does_not_let_an_unfit_edit_through(machine: Machine) -> None:
    @tool(effect="write", approval="always")
    def pay(to: str, amount: float, api_key: str = "") -> str:
        """Pay."""
        return f"{amount:g} to {to}"

    call = ToolCall("pay", {"to": "bo", "amount": 5, "api_key": "hunter2hunter2"})
    async with machine.app() as app:
        handle = await app.start(Agent("clerk", ScriptedModel([call, "Done."]), [pay]), "go")
        [item] = (await handle.settled()).pending
        assert item.args["api_key"] == "[redacted]"
        with pytest.raises(RequestError, match=r"would be refused.*amount"):
            await handle.approve(edit={"amount": "lots"})
        await handle.approve(edit={"amount": 6})
        assert (await handle.result()).status == "succeeded"


async def test_an_edit_that_nobody_could_check_is_refused_by_the_gate(machine: Machine) -> None:
    policy = {
        "default": "allow",
        "rules": [{"name": "ceiling", "tools": ["refund"], "when": [_above(1000)], "then": "deny"}],
    }
    asking: dict[str, Any] = {"policy": policy, "approvals": [Approval(tools="refund")]}
    async with machine.app(**asking) as app:
        handle = await app.start(clerk(REFUND), "go")
        await handle.settled()
    async with machine.app() as other:  # it has neither the policy nor the agent
        await other.handle(handle.run_id).approve(edit={"amount": 5000})
    async with machine.app(**asking) as app:
        result = await app.resume(handle.run_id, clerk(REFUND))
    assert PAID == []
    assert [step.rule for step in result.steps if step.name == "refund"] == ["policy:ceiling"]


def _above(amount: float) -> dict[str, Any]:
    return {"arg": "amount", "op": ">", "value": amount}


async def test_an_edit_asks_those_again_who_approved_the_call_before_it(machine: Machine) -> None:
    both = [Approval(tools="refund", roles="finance"), Approval(tools="refund", roles="ops")]
    async with machine.app(approvals=both) as app:
        handle = await app.start(pays, 20)
        await handle.settled()
        await handle.approve(by=ADA)
        await handle.settled()
        await handle.approve(edit={"amount": 5000}, by=BOB)
        [item] = (await handle.settled()).pending
        assert (item.roles, item.args["amount"], PAID) == (("finance",), 5000, [])
        await handle.approve(by=ADA)
        assert (await handle.result()).output == "refunded 5000"


async def test_a_rewrite_after_an_edit_is_approved_as_what_it_has_become(machine: Machine) -> None:
    class Cap:
        name = "cap"
        kinds = frozenset({Kind.TOOL})

        def __call__(self, proposal: Proposal) -> Any:
            return Rewrite("cap", {**proposal.args, "amount": 100}) if proposal.args["amount"] > 100 else None

    async with machine.app(gate=Chain([Cap(), Approval(tools="refund"), approvals])) as app:
        handle = await app.start(pays, 20)
        await handle.settled()
        await handle.approve(edit={"amount": 5000})
        [item] = (await handle.settled()).pending
        assert (item.args["amount"], PAID) == (100, [])
        await handle.approve()
        assert (await handle.result()).output == "refunded 100"


async def test_a_policy_that_changed_between_the_decision_and_the_call_asks_again(any_machine: Machine) -> None:
    async with any_machine.app(approvals=[Approval(tools="refund")]) as app:
        handle = await app.start(pays, 20)
        [old] = (await handle.settled()).pending
    async with any_machine.app() as desk_only:
        await desk_only.desk.approve(handle.run_id, old.request)
    stricter = [Approval(tools="refund", expires=60)]
    async with any_machine.app(approvals=stricter) as app:
        result = await app.resume(handle.run_id, pays)
        [new] = result.pending
        assert (new.request != old.request, PAID) == (True, [])
        await app.desk.approve(handle.run_id, new.request)
        assert (await app.handle(handle.run_id).result()).output == "refunded 20"
    assert PAID == [("A-1", 20)]


async def test_other_deciders_are_another_request(machine: Machine) -> None:
    def gate(*roles: str) -> Chain:
        class Asks:
            name = "asks"
            kinds = frozenset({Kind.TOOL})

            def __call__(self, proposal: Proposal) -> Any:
                return None if "ask" in proposal.approved else HoldFor("ask", "may I?", roles)

        return Chain([Asks()])

    async with machine.app(gate=gate("clerks")) as app:
        handle = await app.start(pays, 20)
        await handle.settled()
    async with machine.app() as app:
        await app.desk.approve(handle.run_id, by=Principal("cy", ("clerks",)))
    async with machine.app(gate=gate("directors")) as app:
        [item] = (await app.resume(handle.run_id, pays)).pending
    assert (item.roles, PAID) == (("directors",), [])


async def test_the_same_decision_mailed_again_or_under_another_name_changes_nothing(machine: Machine) -> None:
    @member
    async def twice(ctx: Any, amount: float) -> Any:
        return [await ctx.tool(refund, order="A-1", amount=amount), await ctx.tool(refund, order="A-1", amount=amount)]

    async with machine.app(approvals=[Approval(tools="refund")]) as app:
        handle = await app.start(twice, 20)
        [first] = (await handle.settled()).pending
        await handle.approve()
        [second] = (await handle.settled()).pending
        assert second.request != first.request, "an equal call is another request"
        for name in (f"decide:{first.request}", "replayed"):
            content = encode({"args": {"order": "A-1", "amount": 9999}})
            await spy(app).post(
                Mail(f"{handle.run_id}:{name}", handle.run_id, "approve", first.request, content, ADA, app.clock.time())
            )
        result = await app.resume(handle.run_id, twice)
        assert [item.request for item in result.pending] == [second.request]
        with pytest.raises(RequestError, match="does not wait for"):
            await handle.approve(first.request)
    assert PAID == [("A-1", 20)]


async def test_a_fork_asks_anew_and_the_old_decision_is_not_for_it(machine: Machine) -> None:
    async with machine.app(approvals=[Approval(tools="refund")]) as app:
        handle = await app.start(pays, 20)
        [old] = (await handle.settled()).pending
        await handle.approve()
        await handle.result()
        forked = await app.fork(handle.run_id, at="pays.1/refund.1", effects="allow")
        [new] = (await forked.settled()).pending
        assert new.request != old.request
        with pytest.raises(RequestError, match="does not wait for"):
            await forked.approve(old.request)
    assert PAID == [("A-1", 20)]


async def test_an_approval_covers_all_attempts_of_its_step(machine: Machine) -> None:
    tried: list[Any] = []

    @tool(effect="idempotent", retries=2)
    async def push(n: int) -> str:
        """Fail twice."""
        tried.append(n)
        if len(tried) < 3:
            raise RuntimeError("not yet")
        return "pushed"

    @member
    async def pushes(ctx: Any) -> Any:
        return await ctx.tool(push, n=1)

    async with machine.app(approvals=[Approval(tools="push")]) as app:
        handle = await app.start(pushes)
        await handle.settled()
        await handle.approve(edit={"n": 7})
        while not (result := await _advanced(machine, handle)):
            pass
    assert (result.output, tried) == ("pushed", [7, 7, 7])
    assert len(records_of(result, Held)) == 1
    assert [record.kind for record in records_of(result, Signalled)] == ["approve"]


async def _advanced(machine: Machine, handle: Any) -> Any:
    await machine.clock.advance(1)
    return await handle.result() if handle.status.over else None


# --------------------------------------------------------------------------------------------------------- crashes


def crashing(effect: Any) -> tuple[Any, Callable[[], None]]:
    """A member with a tool that never comes back until `mend` is called."""
    import asyncio

    broken = [True]

    @tool(name="refund", effect=effect)
    async def slow(order: str, amount: float) -> str:
        """Pay, or hang."""
        PAID.append((order, amount))
        if broken:
            await asyncio.Event().wait()
        return f"refunded {amount:g}"

    @member(name="pays")
    async def paying(ctx: Any, amount: float) -> Any:
        return await ctx.tool(slow, order="A-1", amount=amount)

    return paying, broken.clear


async def test_after_a_crash_an_edited_call_is_repeated_as_it_was_edited(any_machine: Machine) -> None:
    paying, mend = crashing("idempotent")
    asks = [Approval(tools="refund", roles="finance"), Approval(tools="refund", roles="ops")]
    async with any_machine.app(approvals=asks) as app:
        handle = await app.start(paying, 20)
        await handle.settled()
        await handle.approve(edit={"amount": 5}, by=ADA)
        await handle.settled()
        await handle.approve(by=BOB)  # the last decision holds no edit
        await _until_paid(1)
    mend()
    async with any_machine.app(approvals=asks) as app:
        result = await app.resume(handle.run_id, paying)
    assert (result.output, PAID) == ("refunded 5", [("A-1", 5), ("A-1", 5)])


async def test_after_a_crash_in_an_edited_write_what_is_repeated_is_the_edit(any_machine: Machine) -> None:
    paying, mend = crashing("write")
    asks = [Approval(tools="refund")]
    async with any_machine.app(approvals=asks) as app:
        handle = await app.start(paying, 20)
        await handle.settled()
        await handle.approve(edit={"amount": 5})
        await _until_paid(1)
    async with any_machine.app(approvals=asks) as app:
        [doubt] = (await app.resume(handle.run_id, paying)).pending
        assert (doubt.why, doubt.args["amount"]) == ("in_doubt", 5)
    mend()
    async with any_machine.app(members=[paying], approvals=asks) as app:  # the doubt is the last hold by now
        await app.handle(handle.run_id).answer(value="not_happened")
        result = await app.handle(handle.run_id).result()
    assert (result.output, PAID) == ("refunded 5", [("A-1", 5), ("A-1", 5)])


async def test_after_a_crash_a_rewritten_call_is_repeated_as_it_was_rewritten(any_machine: Machine) -> None:
    class Cap:
        name = "cap"
        kinds = frozenset({Kind.TOOL})

        def __call__(self, proposal: Proposal) -> Any:
            return Rewrite("cap", {**proposal.args, "amount": 100}) if proposal.args["amount"] > 100 else None

    paying, mend = crashing("idempotent")
    async with any_machine.app(gate=Chain([Cap()])) as app:
        handle = await app.start(paying, 5000)
        await _until_paid(1)
    mend()
    async with any_machine.app() as app:  # the policy is gone; what was begun is not
        result = await app.resume(handle.run_id, paying)
    assert (result.output, PAID) == ("refunded 100", [("A-1", 100), ("A-1", 100)])


@pytest.mark.parametrize("effect", ["read", "idempotent"])
async def test_after_a_crash_a_call_that_is_forbidden_by_now_is_not_repeated(effect: Any, any_machine: Machine) -> None:
    paying, mend = crashing(effect)
    async with any_machine.app() as app:
        handle = await app.start(paying, 20)
        await _until_paid(1)
    mend()
    rule = {"name": "no-refunds", "then": "deny", "tools": ["refund"], "message": "Refunds are closed."}
    policy = {"agents": {"pays": {"tools": ["refund"]}}, "rules": [rule]}
    async with any_machine.app(policy=policy) as app:
        result = await app.resume(handle.run_id, paying)
        [denied] = [entry async for entry in app.audit.show() if entry.verdict == "deny"]
    assert (result.status, PAID) == ("failed", [("A-1", 20)])
    assert "Refunds are closed." in str(result.error)
    assert (denied.rule, denied.name) == ("policy:no-refunds", "refund")


async def test_after_a_crash_a_write_that_did_not_happen_is_not_made_up_for_when_it_is_forbidden_by_now(
    any_machine: Machine,
) -> None:
    paying, mend = crashing("write")
    async with any_machine.app() as app:
        handle = await app.start(paying, 20)
        await _until_paid(1)
    mend()
    async with any_machine.app(members=[paying], policy={"agents": {"pays": {"tools": []}}}) as app:
        [doubt] = (await app.resume(handle.run_id, paying)).pending
        await app.handle(handle.run_id).answer(value="not_happened")
        result = await app.handle(handle.run_id).result()
    assert (doubt.why, result.status, PAID) == ("in_doubt", "failed", [("A-1", 20)])


async def test_a_call_that_did_not_happen_and_waits_to_be_made_is_no_doubt_when_its_run_is_cancelled(
    any_machine: Machine,
) -> None:
    paying, _ = crashing("write")
    async with any_machine.app() as app:
        handle = await app.start(paying, 20)
        await _until_paid(1)
    async with any_machine.app(members=[paying], approvals=[Approval(tools="refund")]) as app:
        await app.resume(handle.run_id, paying)
        await app.handle(handle.run_id).answer(value="not_happened")
        [item] = (await app.resume(handle.run_id, paying)).pending
        assert item.why == "approval"
        await app.handle(handle.run_id).cancel()
        result = await app.handle(handle.run_id).result()
        [called] = [entry async for entry in app.audit.show() if entry.event == "tool"]
    assert (result.status, called.status, PAID) == ("cancelled", "error", [("A-1", 20)])


async def test_a_call_that_was_cut_off_and_refused_is_counted_alike_however_often_its_run_is_resumed(
    any_machine: Machine,
) -> None:
    paying, _ = crashing("idempotent")

    @member(name="asks")
    async def asks(ctx: Any, amount: float) -> str:
        with pytest.raises(PermissionDenied):
            await ctx.call(paying, amount)
        return await ctx.ask("Go on?")

    async with any_machine.app() as app:
        handle = await app.start(asks, 20)
        await _until_paid(1)
    counted: list[int] = []
    for answer in (None, "yes"):
        async with any_machine.app(members=[asks], policy={"agents": {"pays": {"tools": []}}}) as app:
            if answer is not None:
                await app.handle(handle.run_id).answer(value=answer)
            result = await app.resume(handle.run_id, asks)
            counted.append((await app.tools.get_tool_stats())["refund"].executions)
    assert (result.output, counted) == ("yes", [1, 1])


async def test_after_a_crash_a_new_question_is_asked_and_an_old_one_is_not(any_machine: Machine) -> None:
    paying, mend = crashing("idempotent")
    old, new = Approval(tools="refund", name="old"), Approval(tools="refund", name="new")
    async with any_machine.app(approvals=[old]) as app:
        handle = await app.start(paying, 20)
        await handle.settled()
        await handle.approve(edit={"amount": 5})
        await _until_paid(1)
    mend()
    async with any_machine.app(approvals=[old, new], members=[paying]) as app:
        waiting = await app.resume(handle.run_id, paying)
        [asked] = waiting.pending
        assert (asked.rule, asked.args["amount"]) == ("approval:new", 5)
    async with any_machine.app(approvals=[old, new], members=[paying]) as app:  # and again in a third process
        await app.handle(handle.run_id).approve(asked.request)
        result = await app.handle(handle.run_id).result()
    assert (result.output, PAID) == ("refunded 5", [("A-1", 5), ("A-1", 5)])


async def _until_paid(times: int) -> None:
    from harness import until

    await until(lambda: len(PAID) >= times, "the call")


async def test_a_tool_that_reads_the_call_otherwise_by_now_asks_again(machine: Machine) -> None:
    def version(number: int) -> Any:
        if number == 1:

            @tool(name="refund", effect="write")
            async def old(order: str, amount: float) -> str:
                """Pay."""
                PAID.append((order, amount))
                return "refunded"

            return old

        @tool(name="refund", effect="write")
        async def new(order: str, amount: float, fee: float = 5) -> str:
            """Pay, with a fee that nobody has seen."""
            PAID.append((order, amount, fee))
            return "refunded"

        return new

    def paying(number: int) -> Any:
        @member(name="pays")
        async def inner(ctx: Any, amount: float) -> Any:
            return await ctx.tool(version(number), order="A-1", amount=amount)

        return inner

    async with machine.app(approvals=[Approval(tools="refund")]) as app:
        handle = await app.start(paying(1), 20)
        await handle.settled()
    async with machine.app() as desk_only:
        await desk_only.desk.approve(handle.run_id)
    async with machine.app(approvals=[Approval(tools="refund")]) as app:
        [item] = (await app.resume(handle.run_id, paying(2), upgrade=True)).pending
    assert (item.args, PAID) == ({"order": "A-1", "amount": 20, "fee": 5}, [])


async def test_a_crash_after_any_record_changes_nothing_about_what_was_decided(machine: Machine) -> None:
    @tool(effect="idempotent", name="refund")
    async def repeatable(order: str, amount: float) -> str:
        """Pay, once for each key."""
        PAID.append(amount)
        return f"refunded {amount:g}"

    def says(request: Any) -> Any:
        last = request.messages[-1]
        return "a guess" if last.role == "tool" else "a good answer" if "better" in last.text else REFUND

    def agent() -> Agent[Any, Any]:
        return Agent("clerk", ScriptedModel(says), [repeatable], review=Review(confidence=lambda text: len(text) / 13))

    async def driven(app: Podium, run: str) -> Any:
        """Decide whatever is asked until the run is over: another amount, and feedback."""
        while True:
            result = await app.resume(run, agent())
            if result.status.over:
                return result
            for item in result.pending:
                if item.why == "review":
                    await app.desk.answer(run, item.request, "better")
                elif item.roles == ("finance",) and item.args["amount"] == 20:
                    await app.desk.approve(run, item.request, edit={"amount": 5}, by=ADA)
                else:
                    await app.desk.approve(run, item.request, by=Principal("eve", item.roles))

    both = [Approval(tools="refund", roles="finance"), Approval(tools="refund", roles="ops")]
    async with machine.app(approvals=both) as app:
        handle = await app.start(agent(), "go")
        await handle.settled()
        whole = await driven(app, handle.run_id)
        seen = spy(app)
    decided = len(records_of(whole, Signalled))
    assert (whole.output, PAID, decided) == ("a good answer", [5], 3)
    for count in range(1, len(whole.records)):
        PAID.clear()
        other = machine.fresh()
        store = other.store()
        await cut(seen, handle.run_id, count, store)
        async with other.app(store, approvals=both) as app:
            again = await driven(app, handle.run_id)
        assert again.output == whole.output, count
        assert set(PAID) <= {5}, count
        assert len(records_of(again, Signalled)) == decided, f"somebody was asked twice after record {count}"
