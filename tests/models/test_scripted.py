"""`ScriptedModel`: answers in order of the run's calls, objections, and a name that outlives the process."""

import subprocess
import sys

import pytest

from podium.core.deltas import TextDelta, ThinkingDelta, ToolCallDelta
from podium.core.errors import ConfigurationError, RateLimited, UnexpectedCall
from podium.core.messages import (
    ModelRequest,
    Reply,
    Text,
    Thinking,
    ToolCall,
    ToolSpec,
    assistant,
    user,
)
from podium.core.usage import Usage
from podium.models import ScriptedModel

CALL = ToolCall("search", {"q": "tents"})


def at(calls: dict[str, int], text: str = "hi", tools: tuple[ToolSpec, ...] = ()) -> ModelRequest:
    return ModelRequest([user(text)], tools, agent="shop", calls=calls)


@pytest.mark.parametrize(
    ("answer", "message", "finish"),
    [
        ("hello", assistant("hello"), "stop"),
        (CALL, assistant(CALL), "tool_calls"),
        ([CALL, CALL], assistant(CALL, CALL), "tool_calls"),
        ([Text("Looking."), CALL], assistant("Looking.", CALL), "tool_calls"),
        (["Looking.", CALL], assistant("Looking.", CALL), "tool_calls"),
        (assistant(Thinking("hm"), "so"), assistant(Thinking("hm"), "so"), "stop"),
    ],
)
@pytest.mark.parametrize("kind", ["list", "function", "async"])
async def test_an_answer_may_be_written_in_every_form(answer, message, finish, kind):
    async def later(request):
        return answer

    script = {"list": [answer], "function": lambda request: answer, "async": later}[kind]
    reply = await ScriptedModel(script).request(at({}))
    assert (reply.message, reply.finish, reply.cost) == (message, finish, "0")
    assert reply.usage.input_tokens > 0
    assert reply.usage.output_tokens > 0


async def test_a_whole_reply_is_given_as_it_is():
    reply = Reply(assistant("x"), Usage(1000, 5), "length", "m", "0.25")
    assert await ScriptedModel([reply]).request(at({})) is reply


async def test_the_place_in_the_list_is_the_number_of_calls_in_the_journal():
    model = ScriptedModel(["a", "b", "c", "d"])
    assert [(await model.request(at(calls))).message.text for calls in ({}, {"x": 1}, {"x": 1, "y": 2})] == [
        "a", "b", "d",
    ]  # fmt: skip


async def test_a_model_bound_to_agents_counts_only_their_calls():
    model = ScriptedModel(["a", "b", "c"])
    model.bind("shop")
    model.bind("shop")
    assert (await model.request(at({"shop": 1, "other": 5}))).message.text == "b"
    model.bind("desk")
    assert (await model.request(at({"shop": 1, "desk": 1, "other": 5}))).message.text == "c"


async def test_exceptions_are_raised_as_they_are():
    error = RateLimited("slow", retry_after=3)
    model = ScriptedModel([error, TimeoutError, ValueError("x")])
    with pytest.raises(RateLimited) as caught:
        await model.request(at({}))
    assert caught.value is error
    with pytest.raises(TimeoutError):
        await model.request(at({"a": 1}))
    with pytest.raises(ValueError, match="x"):
        await model.request(at({"a": 2}))


async def test_a_call_past_the_end_says_what_was_asked_and_finish_repeats_it():
    model = ScriptedModel(["only"])
    await model.request(at({}))
    model.finish()
    with pytest.raises(UnexpectedCall, match=r"call 2 by agent 'shop'.*1 steps.*'more\?'.*search"):
        await model.request(at({"shop": 1}, "more?", (ToolSpec("search", "", {}),)))
    with pytest.raises(AssertionError, match="past the end"):
        model.finish()


async def test_finish_names_the_steps_that_were_not_used():
    model = ScriptedModel(["a", CALL, RateLimited("x")])
    await model.request(at({}))
    with pytest.raises(AssertionError, match=r"2 of 3 steps.*#2 search\(q\).*#3 RateLimited"):
        model.finish()


async def test_requests_are_kept_in_order():
    model = ScriptedModel(lambda request: request.messages[-1].text.upper())
    first, second = at({}, "one"), at({}, "two")
    assert [(await model.request(each)).message.text for each in (first, second)] == ["ONE", "TWO"]
    assert model.requests == [first, second]
    model.finish()


async def test_a_subscriber_gets_the_text_in_pieces_with_offsets():
    deltas = []
    text = "The quick  brown fox\njumps over the lazy dog again and again. "
    reply = await ScriptedModel([[Thinking("hm"), Text(text), CALL, CALL]]).request(at({}), deltas.append)
    pieces = [delta for delta in deltas if isinstance(delta, TextDelta)]
    assert "".join(piece.text for piece in pieces) == reply.message.text == text
    assert len(pieces) > 2
    assert [piece.offset for piece in pieces] == [text.index(piece.text) for piece in pieces]
    assert deltas[0] == ThinkingDelta("hm")
    assert [delta for delta in deltas if isinstance(delta, ToolCallDelta)] == [
        ToolCallDelta(0, "search", '{"q": "tents"}'),
        ToolCallDelta(1, "search", '{"q": "tents"}'),
    ]


def test_the_name_is_the_same_in_another_process_and_differs_between_scripts():
    code = (
        "from podium.models import ScriptedModel; from podium.core.messages import ToolCall\n"
        "print(ScriptedModel(['a', ToolCall('search', {'q': 1, 'a': 2}), ValueError('x')]).name)"
    )
    name = ScriptedModel(["a", ToolCall("search", {"q": 1, "a": 2}), ValueError("x")]).name
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == name
    assert name.startswith("scripted-")
    assert len({name, ScriptedModel(["a"]).name, ScriptedModel(["b"]).name, ScriptedModel([["a"], "a"]).name}) == 4
    assert ScriptedModel(lambda _: "x", name="critic").name == "critic"


@pytest.mark.parametrize("script", ["hello", CALL, assistant("x"), [3], [[3]], [int], [None]])
def test_a_script_of_another_kind_is_refused_when_it_is_written(script):
    with pytest.raises(ConfigurationError):
        ScriptedModel(script)
