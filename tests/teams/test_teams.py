"""Team patterns: members made of members."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from harness import Machine, cut, spy

from podium import (
    Agent,
    ConfigurationError,
    MemberOutcome,
    Parallel,
    PRReviewOrchestrator,
    PullRequest,
    Router,
    RunFailed,
    ScriptedModel,
    Sequential,
    member,
)


def adds(text: str) -> Any:
    @member(name=f"adds_{text}", capabilities=[f"add {text}"])
    async def body(ctx: Any, input: Any) -> Any:
        return f"{input}{text}"

    return body


@member
async def fails(ctx: Any, input: Any) -> Any:
    """Always fails."""
    raise ValueError(f"cannot do {input}")


@member
async def exhausts(ctx: Any, input: Any) -> Any:
    from podium import Exhausted

    raise Exhausted("enough", partial="half")


# ------------------------------------------------------------------------------------------------------- sequential


async def test_a_sequence_hands_each_output_to_the_next(any_machine: Machine) -> None:
    async with any_machine.app() as app:
        result = await Sequential(adds("a"), adds("b"), adds("c")).run("-", app=app)
    assert result.output == "-abc"


async def test_a_failing_member_ends_a_sequence_with_its_error(machine: Machine) -> None:
    called: list[str] = []

    @member
    async def never(ctx: Any, input: Any) -> None:
        called.append("never")

    async with machine.app() as app:
        result = await Sequential(adds("a"), fails, never).run("-", app=app)
    assert result.status == "failed"
    assert "cannot do -a" in str(result.error)
    assert called == []


async def test_a_sequence_resumes_after_its_finished_members(machine: Machine) -> None:
    calls: list[str] = []

    @member
    async def first(ctx: Any, input: Any) -> str:
        calls.append("first")
        return "one"

    @member
    async def asks(ctx: Any, input: Any) -> Any:
        return [input, await ctx.ask("go on?")]

    async with machine.app() as app:
        result = await Sequential(first, asks).run("x", app=app)
    async with machine.app() as app:
        await app.handle(result.run_id).answer(value="yes")
        assert (await app.resume(result.run_id, Sequential(first, asks))).output == ["one", "yes"]
    assert calls == ["first"]


# --------------------------------------------------------------------------------------------------------- parallel


async def test_parallel_members_get_the_same_input_and_answer_in_member_order(any_machine: Machine) -> None:
    async with any_machine.app() as app:
        team = Parallel(adds("a"), adds("b"))
        result = await team.run("-", app=app, run_id="r1")
        assert [(outcome.member, outcome.output, outcome.ok) for outcome in result.output] == [
            ("adds_a", "-a", True), ("adds_b", "-b", True),
        ]  # fmt: skip
        assert all(isinstance(outcome, MemberOutcome) for outcome in result.output)
    async with any_machine.app() as app:
        assert (await app.resume("r1", team)).output == result.output


async def test_parallel_members_really_run_side_by_side(machine: Machine) -> None:
    both = asyncio.Barrier(2)

    def meets(name: str) -> Any:
        async def answer(_: Any) -> str:
            await both.wait()
            return name

        return Agent(name, ScriptedModel(answer))

    async with machine.app() as app:
        result = await Parallel(meets("a"), meets("b")).run("go", app=app)
    assert [outcome.output for outcome in result.output] == ["a", "b"]


async def test_one_failure_does_not_lose_the_others(machine: Machine) -> None:
    async with machine.app() as app:
        result = await Parallel(adds("a"), fails, exhausts).run("-", app=app)
    one, two, three = result.output
    assert (one.ok, two.ok, three.ok) == (True, False, False)
    assert "cannot do -" in str(two.error)
    assert (three.output, three.error.type) == ("half", "Exhausted")
    assert result.status == "succeeded"


async def test_a_team_whose_members_all_fail_fails_and_says_why_each(machine: Machine) -> None:
    other = member(name="other")(fails.function)
    async with machine.app() as app:
        result = await Parallel(fails, other).run("-", app=app)
    assert result.status == "failed"
    assert "fails" in str(result.error)
    assert "other" in str(result.error)


async def test_join_may_be_a_function_or_a_member(machine: Machine) -> None:
    @member
    async def joins(ctx: Any, outcomes: Any) -> str:
        return "+".join(outcome["output"] for outcome in outcomes)

    async with machine.app() as app:
        by_function = Parallel(adds("a"), adds("b"), join=lambda found: [outcome.output for outcome in found])
        assert (await by_function.run("-", app=app)).output == ["-a", "-b"]
        assert (await Parallel(adds("a"), adds("b"), join=joins).run("-", app=app)).output == "-a+-b"


# ----------------------------------------------------------------------------------------------------------- router


def desk() -> list[Any]:
    return [member(name=name, description=f"Does {name}.")(_echo(name)) for name in ("billing", "support")]


def _echo(name: str) -> Any:
    async def body(ctx: Any, input: Any) -> str:
        return f"{name}: {input}"

    return body


async def test_a_model_routes_by_the_members_descriptions(machine: Machine) -> None:
    model = ScriptedModel(["support"])
    async with machine.app() as app:
        assert (await Router(desk(), model).run("help", app=app)).output == "support: help"
    assert "Does billing." in model.requests[0].messages[0].text


@pytest.mark.parametrize("reply", ["billing", '"billing"', " billing. ", "`billing`"])
async def test_a_route_is_understood_however_the_model_wraps_it(machine: Machine, reply: str) -> None:
    async with machine.app() as app:
        assert (await Router(desk(), ScriptedModel([reply])).run("pay", app=app)).output == "billing: pay"


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_function_routes_once_and_its_answer_is_kept(machine: Machine, asynchronous: bool) -> None:
    calls: list[str] = []

    async def classify_async(input: str) -> str:
        calls.append(input)
        return "ask"

    def classify(input: str) -> str:
        calls.append(input)
        return "ask"

    @member
    async def asks(ctx: Any, input: Any) -> Any:
        return await ctx.ask("which?")

    router = Router({"ask": asks}, classify=classify_async if asynchronous else classify)
    async with machine.app() as app:
        result = await router.run("x", app=app)
    async with machine.app() as app:
        await app.handle(result.run_id).answer(value=1)
        assert (await app.resume(result.run_id, router)).output == 1
    assert calls == ["x"]


async def test_an_unknown_route_names_the_known_ones_or_goes_to_the_default(machine: Machine) -> None:
    async with machine.app() as app:
        result = await Router(desk(), classify=lambda _: "sales").run("x", app=app)
        assert result.error is not None
        assert result.error.type == "UnknownRoute"
        assert "billing, support" in result.error.message
        router = Router(desk(), classify=lambda _: "sales", default="support")
        assert (await router.run("x", app=app)).output == "support: x"


def test_a_router_that_cannot_route_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="classify="):
        Router(desk())
    with pytest.raises(ConfigurationError, match="default"):
        Router(desk(), classify=str, default="nobody")
    with pytest.raises(ConfigurationError, match="share a name"):
        Router([adds("a"), adds("a")], classify=str)


# ------------------------------------------------------------------------------------------------------------ making


def test_a_team_of_nothing_or_of_plain_functions_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no members"):
        Sequential()
    with pytest.raises(ConfigurationError, match="@member"):
        Parallel(lambda ctx, given: None)  # pyright: ignore[reportArgumentType]


def test_a_team_offers_what_its_members_offer() -> None:
    assert Sequential(adds("a"), adds("b"), adds("a")).capabilities == ("add a", "add b")


async def test_teams_nest_and_survive_a_crash_after_any_record(any_machine: Machine) -> None:
    def team() -> Any:
        agent = Agent("writer", ScriptedModel(lambda request: f"<{request.messages[-1].text}>"))
        inner = Parallel(agent, adds("b"), join=lambda found: "/".join(str(outcome.output) for outcome in found))
        routed = Router({"x": Sequential(inner, adds("!"))}, classify=lambda _: "x")
        return Sequential(adds("a"), routed, name="all")

    async with any_machine.app() as app:
        whole = await team().run("-", app=app)
        seen = spy(app)
    assert whole.output == "<-a>/-ab!"
    assert whole.agents_invoked == ["writer"]
    for count in range(1, len(whole.records)):
        other = any_machine.fresh()
        async with other.app() as app:
            await cut(seen, whole.run_id, count, spy(app))
            assert (await app.resume(whole.run_id, team())).output == whole.output, count


# ------------------------------------------------------------------------------------------------------ pull requests

PR = PullRequest(title="Add tents", diff="+tent", files_changed=("tents.py",), additions=1)


async def test_reviewers_each_see_the_whole_change_and_their_feedback_is_kept_in_order(machine: Machine) -> None:
    seen: list[str] = []

    def reviewer(name: str) -> Any:
        @member(name=name)
        async def body(ctx: Any, input: str) -> str:
            seen.append(input)
            return f"{name} likes it"

        return body

    review = PRReviewOrchestrator()
    review.register_reviewer(reviewer("style"))
    review.register_reviewer(reviewer("security"))
    async with machine.app() as app:
        result = await review.review_pr(PR, app=app)
    assert [(item.reviewer, item.feedback) for item in result.reviews] == [
        ("style", "style likes it"), ("security", "security likes it"),
    ]  # fmt: skip
    assert (result.pr_title, result.total_reviewers) == ("Add tents", 2)
    assert "2 of 2" in result.summary
    assert all(part in seen[0] for part in ("Add tents", "tents.py", "+tent"))


async def test_a_reviewer_that_fails_is_named_and_an_editor_writes_the_summary(machine: Machine) -> None:
    editor = Agent("editor", ScriptedModel(["all in all: fine"]))
    async with machine.app() as app:
        review = PRReviewOrchestrator([adds("a"), fails], editor=editor)
        result = await review.review_pr({"title": "Add tents"}, app=app)
        plain = await PRReviewOrchestrator([adds("a"), fails]).review_pr(PR, app=app)
    assert result.summary == "all in all: fine"
    assert result.reviews[1].error is not None
    assert "1 of 2" in plain.summary
    assert "fails" in plain.summary


async def test_a_review_without_reviewers_or_title_or_with_two_of_one_name_is_refused(machine: Machine) -> None:
    review = PRReviewOrchestrator([adds("a")])
    with pytest.raises(ConfigurationError, match="adds_a"):
        review.register_reviewer(adds("a"))
    async with machine.app() as app:
        with pytest.raises(ConfigurationError, match="title"):
            await review.review_pr({"diff": "x"}, app=app)
        with pytest.raises((ConfigurationError, RunFailed), match="register_reviewer"):
            await PRReviewOrchestrator().review_pr(PR, app=app)
        with pytest.raises(RunFailed, match="every member failed"):
            await PRReviewOrchestrator([fails]).review_pr(PR, app=app)
