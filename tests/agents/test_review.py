"""Review: an answer of low confidence waits for a person, and what the person says becomes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from harness import FakeClock, Machine
from hypothesis import given
from hypothesis import strategies as st

from podium import Agent, ConfigurationError, Podium, Principal, Review, RunResult, ScriptedModel, member
from podium.agents.review import certain
from podium.core.errors import RequestError


@dataclass
class Verdict:
    text: str
    confidence: float = 0.0


def grader(*answers: str, review: Review | None = None, **options: Any) -> tuple[Agent[Any, Any], ScriptedModel]:
    model = ScriptedModel(list(answers))
    return Agent("judge", model, output=Verdict, review=review or Review(), **options), model


async def waiting(app: Podium, agent: Agent[Any, Any]) -> tuple[Any, Any]:
    """A handle on a run of the agent, and what it waits for."""
    handle = await app.start(agent, "Is it safe?")
    result = await handle.settled()
    assert result.status == "suspended", result
    [item] = result.pending
    return handle, item


def said(model: ScriptedModel) -> str:
    """The last thing the model was told."""
    return model.requests[-1].messages[-1].text


LOW = '{"text": "maybe", "confidence": 0.4}'
HIGH = '{"text": "yes", "confidence": 0.9}'


async def test_a_confident_answer_waits_for_nobody(machine: Machine) -> None:
    agent, _ = grader(HIGH)
    async with machine.app() as app:
        result = await agent.run("Is it safe?", app=app)
    assert (result.status, result.output) == ("succeeded", Verdict("yes", 0.9))


async def test_an_answer_below_the_threshold_waits_and_shows_what_it_is_and_how_sure(machine: Machine) -> None:
    agent, _ = grader(LOW)
    async with machine.app() as app:
        handle, item = await waiting(app, agent)
        assert (item.why, item.agent, item.confidence) == ("review", "judge", 0.4)
        assert item.output == {"text": "maybe", "confidence": 0.4}
        assert item.choices == ("approve", "edit", "reject", "feedback")
        await handle.approve(item.request)
        assert (await handle.result()).output == Verdict("maybe", 0.4)


async def test_an_edit_replaces_only_the_fields_it_names(machine: Machine) -> None:
    agent, _ = grader(LOW)
    async with machine.app() as app:
        handle, _ = await waiting(app, agent)
        await handle.approve(edit={"text": "no"})
        assert (await handle.result()).output == Verdict("no", 0.4)


async def test_an_edit_that_does_not_fit_the_output_type_is_refused_before_it_is_posted(machine: Machine) -> None:
    agent, _ = grader(LOW)
    async with machine.app() as app:
        handle, item = await waiting(app, agent)
        with pytest.raises(RequestError, match=r"does not fit.*confidence"):
            await handle.approve(edit={"confidence": "very"})
        with pytest.raises(RequestError, match="no field 'txet'; its fields are text, confidence"):
            await handle.approve(edit={"txet": "no"})
        assert [each.request for each in await handle.pending()] == [item.request]


async def test_an_unfit_edit_that_nobody_could_check_is_asked_about_again(machine: Machine) -> None:
    agent, _ = grader(LOW)
    async with machine.app() as app:
        handle, item = await waiting(app, agent)
    async with machine.app() as other:  # it does not know the agent, so it cannot tell
        await other.handle(handle.run_id).approve(edit={"confidence": "very"})
    async with machine.app() as app:
        result = await app.resume(handle.run_id, agent)
        [again] = result.pending
        assert again.request != item.request
        assert "does not fit" in again.prompt
        await app.handle(handle.run_id).approve(edit={"text": "no"})
        assert (await app.handle(handle.run_id).result()).output == Verdict("no", 0.4)


async def test_a_rejected_answer_fails_the_run_with_the_reviewers_words(machine: Machine) -> None:
    agent, _ = grader(LOW)
    async with machine.app() as app:
        handle, _ = await waiting(app, agent)
        await handle.reject(message="not good enough", by=Principal("ada"))
        result = await handle.result()
    assert (result.status, result.output) == ("failed", None)
    assert str(result.error) == "Rejected: ada rejected the answer: not good enough"


async def test_feedback_reaches_the_model_which_answers_again(machine: Machine) -> None:
    agent, model = grader(LOW, HIGH)
    async with machine.app() as app:
        handle, _ = await waiting(app, agent)
        await handle.answer(value="look at the brakes")
        result = await handle.result()
    assert result.output == Verdict("yes", 0.9)
    assert said(model).endswith("asks for a better one: look at the brakes")


async def test_after_the_last_round_feedback_is_not_offered_any_more(machine: Machine) -> None:
    agent, model = grader(LOW, LOW, review=Review(rounds=1))
    async with machine.app() as app:
        handle, _ = await waiting(app, agent)
        await handle.answer(value="again")
        [item] = (await handle.settled()).pending
        assert "feedback" not in item.choices
        with pytest.raises(RequestError, match="no round left"):
            await handle.answer(value="again")
        await handle.approve()
        assert (await handle.result()).status == "succeeded"
    assert len(model.requests) == 2


async def test_feedback_is_not_offered_when_the_model_may_not_be_asked_again(machine: Machine) -> None:
    agent, _ = grader(LOW, max_iterations=1)
    async with machine.app() as app:
        _, item = await waiting(app, agent)
    assert item.choices == ("approve", "edit", "reject")


@pytest.mark.parametrize(
    ("on_expiry", "status", "output"), [("reject", "failed", None), ("accept", "succeeded", Verdict("maybe", 0.4))]
)
async def test_silence_is_a_rejection_unless_it_was_said_to_be_consent(
    on_expiry: Any, status: str, output: Any, machine: Machine, clock: FakeClock
) -> None:
    agent, _ = grader(LOW, review=Review(expires=3600, on_expiry=on_expiry))
    async with machine.app() as app:
        handle, _ = await waiting(app, agent)
    clock.now += 3601
    async with machine.app() as app:
        result: RunResult[Any] = await app.resume(handle.run_id, agent)
    assert (result.status, result.output) == (status, output)


async def test_only_the_roles_that_were_named_decide_and_never_whoever_is_behind_the_run(machine: Machine) -> None:
    agent, _ = grader(LOW, review=Review(roles="editor", self_approval=False))
    async with machine.app() as app:
        handle = await app.start(agent, "Is it safe?", principal=Principal("ada", ("editor",)))
        await handle.settled()
        with pytest.raises(RequestError, match="for editor"):
            await handle.approve(by=Principal("bob"))
        with pytest.raises(RequestError, match="somebody else must"):
            await handle.approve(by=Principal("ada", ("editor",)))
        await handle.approve(by=Principal("eve", ("editor",)))
        assert (await handle.result()).status == "succeeded"


async def test_a_review_survives_a_restart_and_asks_the_model_nothing_twice(any_machine: Machine) -> None:
    agent, model = grader(LOW, HIGH)
    async with any_machine.app() as app:
        handle, _ = await waiting(app, agent)
    async with any_machine.app(members=[agent]) as app:
        await app.handle(handle.run_id).answer(value="better")
        assert (await app.handle(handle.run_id).result()).output == Verdict("yes", 0.9)
    assert len(model.requests) == 2


async def test_a_run_that_waits_keeps_the_threshold_it_began_with(machine: Machine) -> None:
    agent, _ = grader(LOW)
    async with machine.app() as app:
        handle, item = await waiting(app, agent)
    laxer = agent.replace(review=Review(0.1))
    async with machine.app() as app:
        result = await app.resume(handle.run_id, laxer)
        assert [each.request for each in result.pending] == [item.request]


async def test_confidence_may_be_a_function_of_a_text_and_is_measured_once(machine: Machine) -> None:
    seen: list[str] = []

    def length(text: str) -> float:
        seen.append(text)
        return 0.1 * len(text)

    agent = Agent("judge", ScriptedModel(["short"]), review=Review(confidence=length))
    async with machine.app() as app:
        handle, item = await waiting(app, agent)
    assert item.confidence == 0.5
    async with machine.app(members=[agent]) as app:
        await app.handle(handle.run_id).approve(edit="something longer")
        assert (await app.handle(handle.run_id).result()).output == "something longer"
    assert seen == ["short"], "what was measured is in the journal"


async def test_confidence_may_be_what_another_member_gives_the_answer(machine: Machine) -> None:
    @member
    async def scorer(ctx: Any, answer: Any) -> Any:
        return {"score": 0.2 if "maybe" in answer else 1.0}

    agent = Agent("judge", ScriptedModel(["maybe", "certainly"]), review=Review(confidence=scorer))
    async with machine.app() as app:
        handle, item = await waiting(app, agent)
        assert item.confidence == 0.2
        await handle.answer(value="be sure")
        assert (await handle.result()).output == "certainly"


async def test_a_function_that_breaks_is_no_confidence_at_all(machine: Machine) -> None:
    agent = Agent("judge", ScriptedModel(["x"]), review=Review(confidence=lambda answer: 1 / 0))
    async with machine.app() as app:
        _, item = await waiting(app, agent)
    assert item.confidence == 0


async def test_a_secret_in_an_answer_is_not_shown_to_the_reviewer(machine: Machine) -> None:
    agent, _ = grader('{"text": "the key is AKIAIOSFODNN7EXAMPLE", "confidence": 0.1}')
    async with machine.app() as app:
        _, item = await waiting(app, agent)
    assert "AKIAIOSFODNN7EXAMPLE" not in str(item)


def test_an_answer_without_the_field_is_refused_when_the_agent_is_made() -> None:
    with pytest.raises(ConfigurationError, match=r"no field 'confidence'.*confidence=FUNCTION"):
        Agent("judge", review=Review())
    with pytest.raises(ConfigurationError, match="no field 'sureness'"):
        Agent("judge", output=Verdict, review=Review(confidence="sureness"))


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan, True])
def test_a_threshold_outside_its_range_is_refused(threshold: Any) -> None:
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        Review(threshold)


@given(st.one_of(st.floats(), st.integers(), st.text(), st.none(), st.booleans(), st.lists(st.floats())))
def test_whatever_is_no_number_between_0_and_1_is_no_confidence(value: Any) -> None:
    sure = certain(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    assert sure == (value if number and 0 <= value <= 1 else 0)
