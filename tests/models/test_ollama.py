"""The Ollama codec: what it asks, what it reads, and what it makes of refusals."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.core.deltas import TextDelta, ThinkingDelta, ToolCallDelta
from podium.core.errors import (
    AuthenticationFailed,
    BadRequest,
    ContextTooLong,
    MalformedReply,
    ModelError,
    Overloaded,
    RateLimited,
)
from podium.core.messages import (
    Media,
    ModelRequest,
    OutputSpec,
    Raw,
    Settings,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    ToolSpec,
    assistant,
    system,
    tool_results,
    user,
)
from podium.core.usage import Usage
from podium.models.ollama.codec import OllamaCodec
from podium.models.ollama.reply import OllamaStream, decode_reply
from podium.models.ollama.request import Dialect, encode_request

FIXTURES = Path(__file__).parent / "fixtures" / "ollama"
WEATHER = ToolSpec("weather", "The forecast.", {"type": "object", "properties": {"city": {"type": "string"}}})
PNG = b"\x89PNG\r\n"


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def encode(*messages, stream=False, tools=(), output=None, dialect=None, **settings):
    request = ModelRequest(list(messages), tools, Settings(**settings), output)
    return encode_request(request, "qwen3:8b", stream=stream, dialect=dialect or Dialect())


def streamed(data: bytes, *, size: int = 1 << 20):
    stream = OllamaStream(model="qwen3:8b", server="http://box")
    deltas = []
    for start in range(0, len(data), size):
        deltas += stream.feed(data[start : start + size])
    return deltas, stream.finish()


# --------------------------------------------------------------------------------------------------------- requests


def test_a_request_says_everything_that_the_wire_has_a_word_for():
    body = encode(
        system("Be brief."),
        user([Text("What is this?"), Media("image/png", PNG)]),
        tools=(WEATHER,),
        stream=True,
        dialect=Dialect(True, "30m", options={"num_ctx": 8192, "temperature": 1}),
        max_output_tokens=50,
        temperature=0.0,
        top_p=0.9,
        seed=7,
        stop=("END",),
    )
    assert body == {
        "model": "qwen3:8b",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is this?", "images": ["iVBORw0K"]},
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "weather", "description": "The forecast.", "parameters": WEATHER.parameters},
            }
        ],
        "think": True,
        "keep_alive": "30m",
        "truncate": False,
        "options": {
            "num_ctx": 8192,
            "num_predict": 50,
            "temperature": 0.0,
            "top_p": 0.9,
            "seed": 7,
            "stop": ["END"],
        },
        "stream": True,
    }


def test_a_plain_request_says_no_more_than_it_must():
    assert encode(user("hi")) == {
        "model": "qwen3:8b",
        "messages": [{"role": "user", "content": "hi"}],
        "truncate": False,
        "stream": False,
    }
    assert "truncate" not in encode(user("hi"), dialect=Dialect(truncate=True))


def test_calls_and_results_go_back_with_names_ids_and_failures():
    first, second = ToolCall("weather", {"city": "Oslo"}, "c1"), ToolCall("weather", {"city": "Rome"}, "c2")
    body = encode(
        user("Weather?"),
        assistant(Thinking("Two cities.", provider="ollama"), "I look.", first, second),
        tool_results(ToolResult("c1", "weather", "rain"), ToolResult("c2", "weather", "no such city", is_error=True)),
    )
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": "I look.",
            "thinking": "Two cities.",
            "tool_calls": [
                {"id": "c1", "function": {"name": "weather", "arguments": {"city": "Oslo"}}},
                {"id": "c2", "function": {"name": "weather", "arguments": {"city": "Rome"}}},
            ],
        },
        {"role": "tool", "tool_name": "weather", "tool_call_id": "c1", "content": "rain"},
        {"role": "tool", "tool_name": "weather", "tool_call_id": "c2", "content": "Error: no such city"},
    ]


def test_an_image_that_a_tool_returned_follows_as_the_users():
    body = encode(user("x"), tool_results(ToolResult("c1", "shot", "taken"), Media("image/png", PNG)))  # type: ignore[arg-type]
    assert [message["role"] for message in body["messages"]] == ["user", "tool", "user"]
    assert body["messages"][2]["images"] == ["iVBORw0K"]


@pytest.mark.parametrize("provider", [None, "anthropic", "openai"])
def test_the_thoughts_and_blocks_of_another_provider_are_not_sent(provider):
    parts = (Thinking("secret", "signature", provider), Raw("openai", {"type": "x"}), Text("Hello."))
    assert encode(user("hi"), assistant(*parts))["messages"][1] == {"role": "assistant", "content": "Hello."}


def test_a_schema_is_enforced_by_the_server_unless_tools_are_offered():
    output = OutputSpec("city", {"type": "object", "properties": {"name": {"type": "string"}}})
    assert encode(user("hi"), output=output)["format"] == output.schema
    with_tools = encode(system("Be brief."), user("hi"), output=output, tools=(WEATHER,))
    assert "format" not in with_tools
    assert with_tools["messages"][0]["content"].startswith("Be brief.\n\nWhen you call no tool")
    assert '"name":{"type":"string"}' in encode(user("hi"), output=output, tools=(WEATHER,))["messages"][0]["content"]
    not_offered = encode(user("hi"), output=output, tools=(WEATHER,), tool_choice="none")
    assert ("format" in not_offered, "tools" in not_offered) == (True, False)


@pytest.mark.parametrize(
    ("effort", "think"),
    [("none", False), ("minimal", "low"), ("low", "low"), ("medium", "medium"), ("xhigh", "high"), ("max", "max")],
)
def test_reasoning_effort_is_how_hard_the_model_thinks(effort, think):
    assert encode(user("hi"), reasoning_effort=effort, dialect=Dialect(True))["think"] == think


def test_extra_goes_into_the_body_and_its_options_to_the_others():
    body = encode(user("hi"), temperature=0.5, extra={"logprobs": True, "options": {"top_k": 5}, "model": "other"})
    assert body["options"] == {"temperature": 0.5, "top_k": 5}
    assert (body["logprobs"], body["model"]) == (True, "qwen3:8b")


@pytest.mark.parametrize(
    ("messages", "settings", "says"),
    [
        ([], {}, "no message"),
        ([user([Media("image/png", url="https://x/y.png")])], {}, r"by value only.*data="),
        ([user([Media("application/pdf", b"%PDF")])], {}, "images only, not application/pdf"),
        ([user("hi")], {"tool_choice": "required"}, "tool_choice 'required'.*leave the setting out"),
        ([user("hi")], {"tool_choice": "weather"}, "tool_choice 'weather'"),
        ([user("hi")], {"parallel_tool_calls": False}, "parallel_tool_calls=False"),
        ([user("hi")], {"reasoning_effort": "enormous"}, "'enormous' is unknown to Ollama"),
    ],
)
def test_what_the_wire_cannot_carry_is_refused_with_what_to_do(messages, settings, says):
    with pytest.raises(BadRequest, match=says):
        encode(*messages, tools=(WEATHER,), **settings)


def test_an_image_at_a_data_address_is_sent_by_value():
    body = encode(user([Media("image/png", url="data:image/png;base64,iVBORw0K")]))
    assert body["messages"][0]["images"] == ["iVBORw0K"]


# ---------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize("name", ["text", "thinking", "tools", "length"])
def test_a_stream_and_a_whole_answer_make_the_same_kind_of_reply(name):
    _, from_stream = streamed(fixture(f"{name}.ndjson"))
    whole = decode_reply(fixture(f"{name}.json"))
    assert from_stream.finish == whole.finish
    assert from_stream.model == whole.model == "qwen3:8b"
    assert from_stream.message.tool_calls == whole.message.tool_calls


def test_text_comes_in_pieces_with_their_offsets():
    deltas, reply = streamed(fixture("text.ndjson"))
    assert (
        "".join(delta.text for delta in deltas)
        == reply.message.text
        == "The capital of France is Paris 🗼, on the Seine."
    )
    assert [delta.offset for delta in deltas[:3]] == [0, 3, 11]
    assert reply.usage == Usage(31, 12)
    assert reply.finish == "stop"
    assert reply.cost is None


def test_thoughts_are_kept_as_this_providers_own():
    deltas, reply = streamed(fixture("thinking.ndjson"))
    thought = "Okay, the user asks for the capital."
    assert reply.message.parts == (Thinking(thought, None, "ollama"), Text("It is **Paris**."))
    assert "".join(delta.text for delta in deltas if type(delta) is ThinkingDelta) == thought
    assert [delta.offset for delta in deltas if type(delta) is TextDelta] == [0, 2, 5, 15]


def test_parallel_calls_are_whole_and_keep_their_ids():
    deltas, reply = streamed(fixture("tools.ndjson"))
    assert reply.finish == "tool_calls"
    assert reply.message.text == "I look it up."
    assert reply.message.tool_calls == (
        ToolCall("weather", {"city": "Zürich", "days": 3, "units": None}, "call_8x2kq1v0"),
        ToolCall("weather", {"city": "東京", "days": 1, "units": "metric"}, "call_r7m3n5p9"),
    )
    calls = [delta for delta in deltas if type(delta) is ToolCallDelta]
    assert [(call.index, call.name, json.loads(call.arguments)["days"]) for call in calls] == [
        (0, "weather", 3),
        (1, "weather", 1),
    ]


def test_calls_of_a_server_without_ids_have_none():
    _, reply = streamed(fixture("tools-without-ids.ndjson"))
    assert reply.message.tool_calls == (ToolCall("weather", {"city": "Oslo"}), ToolCall("clock", {}))
    assert reply.finish == "tool_calls"


def test_counts_that_are_left_out_are_zero_and_a_missing_reason_is_stop():
    assert streamed(fixture("cached.ndjson"))[1].usage == Usage(0, 12)
    assert streamed(fixture("without-reason.ndjson"))[1].finish == "stop"


def line(message=None, **fields) -> bytes:
    said = {} if message is None else {"message": message}
    return json.dumps({"model": "m", **said, "done": False, **fields}).encode() + b"\n"


DONE = line({"content": ""}, done=True, done_reason="stop")


@pytest.mark.parametrize(
    ("calls", "found"),
    [
        ([{"function": {"name": "f", "arguments": '{"a": 1}'}}], [ToolCall("f", {"a": 1})]),
        ([{"function": {"name": "f", "arguments": None}}], [ToolCall("f", {})]),
        ([{"id": "x", "function": {"name": "f"}}] * 2, [ToolCall("f", {}, "x"), ToolCall("f", {})]),
        ([None, "f", {"function": {"name": "g"}}], [ToolCall("g", {})]),
    ],
)
def test_calls_of_servers_that_deviate_are_read_as_they_are_meant(calls, found):
    assert list(streamed(line({"tool_calls": calls}) + DONE)[1].message.tool_calls) == found


@pytest.mark.parametrize(
    "call", [{"function": {"name": "f", "arguments": "{no"}}, {"function": {"arguments": {}}}, {"function": None}]
)
def test_a_call_that_cannot_be_read_is_marked_and_not_made(call):
    (found,) = streamed(line({"tool_calls": [call]}) + DONE)[1].message.tool_calls
    assert found.invalid


def test_nulls_blank_lines_line_ends_and_what_follows_the_end_do_no_harm():
    lines = line({"content": None, "thinking": None, "tool_calls": None}).replace(b"\n", b"\r\n") + b"\n\r\n"
    _, reply = streamed(lines + line({"content": "hi"}) + DONE + b"not json\n" + line({"content": "more"}))
    assert reply.message.parts == (Text("hi"),)


def test_a_field_of_a_message_without_a_name_here_is_kept_and_sent_back():
    _, reply = streamed(line({"content": "see", "images": ["AAAA"]}) + line({"images": ["BBBB"]}) + DONE)
    assert reply.message.parts == (Text("see"), Raw("ollama", {"images": ["AAAA", "BBBB"]}))
    assert encode(user("x"), reply.message)["messages"][1]["images"] == ["AAAA", "BBBB"]


def test_a_last_line_without_an_end_still_counts():
    assert streamed(line({"content": "hi"}) + DONE.rstrip())[1].message.text == "hi"


def test_a_stream_that_came_although_none_was_asked_for_is_read():
    assert decode_reply(fixture("text.ndjson")).message.text.startswith("The capital")


@pytest.mark.parametrize(
    ("data", "partial"),
    [
        (fixture("bad-truncated.ndjson"), "Half of an ans"),
        (fixture("bad-truncated.ndjson")[:-20], "Half of "),
        (line({"content": "x"}) + b"[1]\n", "x"),
        (line({"content": "x"}) + b"oh no", "x"),
        (b'{"model":"q', ""),
        (b"", None),
        (DONE.replace(b'"message"', b'"massage"'), None),
        (b"404 page not found", None),
    ],
)
def test_a_stream_that_is_cut_or_empty_is_malformed_with_what_came(data, partial):
    with pytest.raises(MalformedReply, match="http://box") as caught:
        streamed(data)
    assert caught.value.data.get("partial") == partial


def test_an_error_in_a_stream_is_the_error_it_means():
    with pytest.raises(Overloaded, match="unexpected EOF") as caught:
        streamed(fixture("bad-error.ndjson"))
    assert caught.value.data["partial"] == "Well, "


@pytest.mark.parametrize("body", [fixture("bad-load.json"), b"{}", b'{"message": null}', b"pong", b"[]", b"null", b""])
def test_a_body_without_an_answer_is_malformed(body):
    with pytest.raises(MalformedReply):
        decode_reply(body, model="m", server="http://box")


# ---------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("error-404", BadRequest, "`ollama pull qwen3:8b`"),
        ("error-400-tools", BadRequest, "c=tools"),
        ("error-400-thinking", BadRequest, "Leave think and reasoning_effort out"),
        ("error-400-think", BadRequest, "think=True or False"),
        ("error-400-context", ContextTooLong, r"8889 tokens.*num_ctx.*truncate=True"),
        ("error-400-prompt", ContextTooLong, "num_ctx"),
        ("error-401", AuthenticationFailed, "OLLAMA_API_KEY"),
        ("error-429", RateLimited, "hourly usage limit"),
        ("error-500-memory", BadRequest, "Choose a smaller model"),
        ("error-500", Overloaded, "runner process"),
        ("error-503", Overloaded, "maximum pending requests"),
    ],
)
def test_a_refusal_says_what_it_means_and_what_to_do(name, kind, says):
    status = int(name.split("-")[1])
    error = OllamaCodec("qwen3:8b", "http://box").error(status, fixture(f"{name}.json"), retry_after=3.0)
    assert type(error) is kind
    assert (error.data["status"], error.data["retry_after"]) == (status, 3.0)
    with pytest.raises(kind, match=says):
        raise error


def test_no_refusal_repeats_a_secret():
    codec = OllamaCodec("m", "http://box")
    error = codec.error(401, b'{"error": "bad key sk-abcdefgh"}', secrets=("sk-abcdefgh",))
    assert "sk-abcdefgh" not in str(error)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(["message", "model", "done", "done_reason", "error", "prompt_eval_count"])
MESSAGES = st.dictionaries(st.sampled_from(["content", "thinking", "tool_calls", "images", "role"]), VALUES)


@given(st.lists(st.dictionaries(FIELDS, VALUES | MESSAGES), max_size=4), st.integers(1, 40))
def test_whatever_a_server_sends_ends_in_a_reply_or_a_model_error(lines, size):
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    for read in (lambda: streamed(data, size=size)[1], lambda: decode_reply(data)):
        with contextlib.suppress(ModelError):
            assert read().message.role == "assistant"


@given(st.binary(max_size=60))
def test_bytes_that_are_no_answer_end_in_a_model_error(data):
    with pytest.raises(ModelError):
        streamed(data)
