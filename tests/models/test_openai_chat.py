"""The Chat Completions codec: bodies, replies, streams in any chunking, and servers that deviate."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot

from podium.core.deltas import TextDelta, ThinkingDelta, ToolCallDelta
from podium.core.errors import (
    AuthenticationFailed,
    BadRequest,
    ContentFiltered,
    ContextTooLong,
    MalformedReply,
    ModelError,
    ModelTimeout,
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
from podium.models.errors import model_error
from podium.models.one_line import one_line
from podium.models.openai.chat import ChatDialect, ChatStream, decode_reply, encode_request, strict_ready
from podium.models.openai.refusals import refusal

SEARCH = ToolSpec("search", "Search.", {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]})


def sse(*payloads: object, done: bool = True, newline: str = "\n") -> bytes:
    lines = [f"data: {json.dumps(each, ensure_ascii=False)}{newline * 2}" for each in payloads]
    return "".join([*lines, f"data: [DONE]{newline * 2}" if done else ""]).encode()


def chunk(delta: dict, finish: str | None = None, **more: object) -> dict:
    return {"model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def call(arguments: object = None, **fields: object) -> dict:
    function = {key: fields.pop(key) for key in ("name",) if key in fields}
    if arguments is not None:
        function["arguments"] = arguments
    return {**fields, "function": function}


def stream(data: bytes, size: int = 10**9):
    decoder = ChatStream(model="m", server="http://h")
    deltas = []
    for start in range(0, len(data), size):
        deltas += decoder.feed(data[start : start + size])
    return deltas, decoder.finish()


def whole(message: dict, finish: str | None = "stop", **more: object):
    body = {"model": "m-1", "choices": [{"message": {"role": "assistant", **message}, "finish_reason": finish}], **more}
    return decode_reply(json.dumps(body).encode())


# --------------------------------------------------------------------------------------------------------- encoding


def test_a_conversation_with_tools_and_settings_becomes_a_body():
    request = ModelRequest(
        messages=[
            system("Be brief."),
            user([Text("What is this?"), Media("image/png", b"\x89PNG"), Media("image/jpeg", url="https://x/y.jpg")]),
            assistant(Thinking("hm"), "Looking.", ToolCall("search", {"q": "é"}, "c1"), ToolCall("search", {"q": "b"})),
            tool_results(ToolResult("c1", "search", "one"), ToolResult("call_2_1", "search", "two", True)),
        ],
        tools=(SEARCH,),
        settings=Settings(
            max_output_tokens=9, temperature=0.5, stop=("END",), seed=1, tool_choice="search",
            parallel_tool_calls=False, reasoning_effort="low", extra={"metadata": {"k": "v"}},
        ),
    )  # fmt: skip
    assert encode_request(request, "gpt", stream=True) == snapshot(
        {
            "model": "gpt",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
                        {"type": "image_url", "image_url": {"url": "https://x/y.jpg"}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": "Looking.",
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q":"é"}'}},
                        {
                            "id": "call_2_1",
                            "type": "function",
                            "function": {"name": "search", "arguments": '{"q":"b"}'},
                        },
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "one"},
                {"role": "tool", "tool_call_id": "call_2_1", "content": "Error: two"},
            ],
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "search",
                        "description": "Search.",
                        "parameters": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
                    },
                }
            ],
            "tool_choice": {"type": "function", "function": {"name": "search"}},
            "parallel_tool_calls": False,
            "max_completion_tokens": 9,
            "temperature": 0.5,
            "stop": ["END"],
            "seed": 1,
            "reasoning_effort": "low",
            "metadata": {"k": "v"},
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    )


def test_an_output_schema_becomes_a_response_format_and_is_strict_only_if_it_can_be():
    closed = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "integer"}}},
        "required": ["a"],
        "additionalProperties": False,
    }
    body = encode_request(ModelRequest([user("x")], output=OutputSpec("my out!", closed)), "m", stream=False)
    assert body == snapshot(
        {
            "model": "m",
            "messages": [{"role": "user", "content": "x"}],
            "response_format": {
                "type": "json_schema",
                "json_schema": {
                    "name": "my_out_",
                    "schema": {
                        "type": "object",
                        "properties": {"a": {"type": "array", "items": {"type": "integer"}}},
                        "required": ["a"],
                        "additionalProperties": False,
                    },
                    "strict": True,
                },
            },
        }
    )
    assert strict_ready(closed)
    assert not strict_ready({**closed, "required": []})
    assert not strict_ready({"type": "object", "properties": {}})


def test_files_travel_by_value_and_a_file_by_address_is_refused_with_the_remedy():
    files = user([Media("application/pdf", b"%PDF", name="a.pdf"), Media("audio/mpeg", b"ID3")])
    assert encode_request(ModelRequest([files]), "m", stream=False)["messages"][0]["content"] == snapshot(
        [
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="}},
            {"type": "input_audio", "input_audio": {"data": "SUQz", "format": "mp3"}},
        ]
    )
    with pytest.raises(BadRequest, match="data="):
        encode_request(ModelRequest([user([Media("application/pdf", url="https://x/a.pdf")])]), "m", stream=False)


def test_the_dialect_chooses_the_limit_field_the_usage_option_and_whether_thinking_goes_back():
    dialect = ChatDialect("max_tokens", stream_usage=False, echo_thinking=True)
    request = ModelRequest([assistant(Thinking("hm"), "ok")], settings=Settings(max_output_tokens=5))
    body = encode_request(request, "m", stream=True, dialect=dialect)
    assert body["max_tokens"] == 5
    assert "stream_options" not in body
    assert body["messages"] == [{"role": "assistant", "content": "ok", "reasoning_content": "hm"}]


def test_thinking_of_other_providers_is_never_echoed():
    parts = (
        Thinking("a", "sig", "anthropic"),
        Thinking("b", None, "gemini"),
        Thinking("c"),
        Thinking("d", None, "openai"),
    )
    for echo, expected in ((True, {"reasoning_content": "cd"}), (False, {})):
        body = encode_request(
            ModelRequest([assistant(*parts, "ok")]), "m", stream=False, dialect=ChatDialect(echo_thinking=echo)
        )
        assert body["messages"] == [{"role": "assistant", "content": "ok", **expected}]


def test_the_cache_key_is_sent_only_where_the_dialect_knows_it():
    request = ModelRequest([system("Be brief."), user("x")], agent="shop")
    assert "prompt_cache_key" not in encode_request(request, "m", stream=False)
    body = encode_request(request, "m", stream=False, dialect=ChatDialect(cache_key=True))
    assert body["prompt_cache_key"].startswith("shop-")


KNOWN = ChatDialect(known_as="openai:gpt-6-sol")
OLDER = ChatDialect(known_as="openai:gpt-4o")
FIRST = ChatDialect(known_as="openai:o3")


@pytest.mark.parametrize(
    ("dialect", "given", "tools", "remedy"),
    [
        (KNOWN, Settings(temperature=0.5), (), r'no temperature while.*reasoning_effort="none"'),
        (KNOWN, Settings(top_p=0.5, reasoning_effort="low"), (), r"no top_p while it reasons"),
        (KNOWN, Settings(stop=("END",)), (), "no stop: leave it out"),
        (KNOWN, Settings(), (SEARCH,), "use openai-responses:gpt-6-sol"),
        (FIRST, Settings(temperature=0.0), (), "no temperature: leave it out"),
    ],
)
def test_what_a_model_is_known_to_refuse_is_refused_before_anything_is_sent(dialect, given, tools, remedy):
    with pytest.raises(BadRequest, match=remedy):
        encode_request(ModelRequest([user("x")], tools, given), "m", stream=False, dialect=dialect)


@pytest.mark.parametrize(
    ("dialect", "given", "tools"),
    [
        (KNOWN, Settings(temperature=1, top_p=1.0, seed=1, max_output_tokens=9), ()),
        (KNOWN, Settings(temperature=0.5, reasoning_effort="none"), (SEARCH,)),
        (OLDER, Settings(temperature=0.5, top_p=0.1, stop=("END",), seed=1), (SEARCH,)),
        (ChatDialect(known_as="openai:brand-new"), Settings(temperature=0.5, stop=("END",)), (SEARCH,)),
        (ChatDialect(), Settings(temperature=0.5, stop=("END",)), (SEARCH,)),
    ],
)
def test_what_a_model_takes_or_nobody_knows_is_sent(dialect, given, tools):
    body = encode_request(ModelRequest([user("x")], tools, given), "m", stream=False, dialect=dialect)
    assert body.get("temperature") == given.temperature
    assert body.get("stop", []) == list(given.stop)


def test_a_file_that_is_nowhere_is_refused():
    with pytest.raises(BadRequest, match="data="):
        encode_request(ModelRequest([user([Media("image/png")])]), "m", stream=False)


def test_a_tool_choice_that_is_not_offered_is_refused():
    with pytest.raises(BadRequest, match="search"):
        encode_request(ModelRequest([user("x")], (SEARCH,), Settings(tool_choice="other")), "m", stream=False)


# ---------------------------------------------------------------------------------------------------------- replies


def test_a_whole_reply_keeps_thinking_text_and_parallel_calls_in_order():
    reply = whole(
        {
            "reasoning_content": "hm",
            "content": "Let me look.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": "a"}'}},
                {"id": "c2", "type": "function", "function": {"name": "not_offered", "arguments": ""}},
            ],
        },
        "stop",
        usage={
            "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
    )  # fmt: skip
    assert reply.message == assistant(
        Thinking("hm"), "Let me look.", ToolCall("search", {"q": "a"}, "c1"), ToolCall("not_offered", {}, "c2")
    )
    assert (reply.finish, reply.model, reply.usage) == ("tool_calls", "m-1", Usage(10, 5, 4, 2, 3))


def test_reasoning_counted_beside_the_answer_is_added_to_the_output():
    usage = {
        "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 18,
        "completion_tokens_details": {"reasoning_tokens": 3},
    }  # fmt: skip
    assert whole({"content": "x"}, usage=usage).usage == Usage(10, 8, 0, 0, 3)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None, "prompt_tokens_details": []}, "many"])
def test_missing_or_strange_token_counts_are_zero(usage):
    assert whole({"content": "x"}, usage=usage).usage == Usage()


def test_content_in_parts_is_joined_and_an_unknown_part_is_kept():
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "a"},
        "b",
        {"type": "hologram", "x": 1},
    ]
    kept = Raw("openai", {"type": "hologram", "x": 1})
    assert whole({"content": parts}).message == assistant(Thinking("hm"), "ab", kept)


def test_content_that_is_one_part_instead_of_a_list_is_read():
    assert whole({"content": {"type": "text", "text": "a"}}).message == assistant("a")


def test_a_refusal_is_text_with_its_own_finish():
    reply = whole({"content": None, "refusal": "No."})
    assert (reply.message.text, reply.finish) == ("No.", "refusal")


def test_an_answer_withheld_as_a_whole_raises_and_one_cut_short_is_kept():
    with pytest.raises(ContentFiltered):
        whole({"content": None}, "content_filter")
    assert whole({"content": "so far"}, "content_filter").finish == "content_filter"


@pytest.mark.parametrize(
    ("arguments", "args", "why"),
    [
        ("", {}, None),
        ("  ", {}, None),
        (None, {}, None),
        ('{"a": 1}', {"a": 1}, None),
        ({"a": 1}, {"a": 1}, None),
        ('{"a": ', {}, "not valid JSON"),
        ("[1]", {}, "must be a JSON object"),
        ("null", {}, "must be a JSON object"),
        ('"x"', {}, "must be a JSON object"),
        ("rm -rf", {}, "not valid JSON"),
        ('{"a": 123456789012345678901234567890}', {}, "64 bits"),
        ('{"a": NaN}', {}, "not valid JSON"),
        ("{" * 5000, {}, "not valid JSON"),
        ('{"a":' * 5000, {}, ""),
    ],
)
def test_arguments_are_an_object_or_the_call_says_why_not(arguments, args, why):
    message = {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": arguments}}]}
    (found,) = whole(message).message.tool_calls
    assert found.args == args
    assert (found.invalid is None) == (why is None)
    assert (why or "") in (found.invalid or "")


def test_arguments_cut_by_the_output_limit_say_so():
    message = {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a": "lo'}}]}
    reply = whole(message, "length")
    assert reply.finish == "length"
    assert "max_output_tokens" in (reply.message.tool_calls[0].invalid or "")


@pytest.mark.parametrize("body", [b"", b"{}", b'{"choices": []}', b'{"choices": [{}]}', b"<html>", b"[]", b"\xff\xfe"])
def test_a_body_without_an_answer_is_malformed(body):
    with pytest.raises(MalformedReply):
        decode_reply(body)


def test_a_stream_where_a_body_was_expected_is_read_as_one():
    assert decode_reply(sse(chunk({"content": "hi"}, "stop"))).message.text == "hi"


# ---------------------------------------------------------------------------------------------------------- streams

RECORDED = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": "Zuerst …"}),
    chunk({"content": "Grüße 👋"}),
    chunk({"content": " and 漢字"}),
    chunk({"tool_calls": [call("", index=0, id="c1", name="search", type="function")]}),
    chunk({"tool_calls": [call('{"q": "é', index=0)]}),
    chunk({"tool_calls": [call('{"q"', index=1, id="c2", name="search"), call('"}', index=0)]}),
    chunk({"tool_calls": [call(': "b"}', index=1)]}),
    chunk({}, "tool_calls"),
    {"model": "m-1", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 9}},
]


def test_a_stream_gives_deltas_with_offsets_and_the_whole_reply():
    deltas, reply = stream(sse(*RECORDED))
    assert deltas == [
        ThinkingDelta("Zuerst …"),
        TextDelta("Grüße 👋"),
        TextDelta(" and 漢字", offset=7),
        ToolCallDelta(0, "search"),
        ToolCallDelta(0, "", '{"q": "é'),
        ToolCallDelta(1, "search", '{"q"'),
        ToolCallDelta(0, "", '"}', offset=8),
        ToolCallDelta(1, "", ': "b"}', offset=4),
    ]
    assert reply.message == assistant(
        Thinking("Zuerst …"),
        "Grüße 👋 and 漢字",
        ToolCall("search", {"q": "é"}, "c1"),
        ToolCall("search", {"q": "b"}, "c2"),
    )
    assert (reply.finish, reply.usage, reply.model) == ("tool_calls", Usage(7, 9), "m-1")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 2000), max_size=40), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_any_chunking_of_a_stream_gives_the_same_deltas_and_reply(cuts, newline, commented):
    data = (b": hello\n\n" if commented else b"") + sse(*RECORDED, newline=newline)
    expected = stream(sse(*RECORDED))
    decoder = ChatStream()
    deltas, at = [], 0
    for size in cuts:
        deltas += decoder.feed(data[at : at + size])
        at += size
    deltas += decoder.feed(data[at:])
    assert (deltas, decoder.finish()) == expected


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_stream_fed_byte_by_byte_gives_the_same(newline):
    assert stream(sse(*RECORDED, newline=newline), 1) == stream(sse(*RECORDED))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 20))
def test_no_bytes_whatever_break_the_decoder_in_another_way_than_a_model_error(noise, size):
    with pytest.raises(MalformedReply):
        stream(b"data: " + noise + b"\n\n", size)


LOOSE = st.recursive(
    st.sampled_from([None, True, -1, 0, 3, 1.5, "", "a", "stop", "tool_calls"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "text", "id", "index", "function", "name", "arguments", "thinking", "prompt_tokens",
                         "usage", "content_filter_results"]), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
MESSAGES = st.dictionaries(
    st.sampled_from(["content", "reasoning", "refusal", "tool_calls", "function_call"]), LOOSE, max_size=4
)
CHOICES = st.lists(
    st.fixed_dictionaries({}, optional={
        "delta": LOOSE | MESSAGES, "message": LOOSE | MESSAGES, "finish_reason": LOOSE, "index": LOOSE,
        "error": LOOSE}),
    max_size=2,
)  # fmt: skip
CHUNKS = st.fixed_dictionaries(
    {}, optional={"choices": LOOSE | CHOICES, "usage": LOOSE, "x_groq": LOOSE, "model": LOOSE, "error": LOOSE}
)


@settings(max_examples=200, deadline=None)
@given(st.lists(CHUNKS, max_size=5), st.booleans())
def test_chunks_and_bodies_of_any_shape_end_in_a_reply_or_a_model_error(chunks, done):
    with contextlib.suppress(ModelError):
        _, reply = stream(sse(*chunks, done=done))
        encode_request(ModelRequest([reply.message]), "m", stream=False)
    for each in chunks:
        with contextlib.suppress(ModelError):
            decode_reply(json.dumps(each).encode())


A, B = ToolCall("f", {"x": 1}, "a"), ToolCall("g", {"y": 2}, "b")


@pytest.mark.parametrize(
    ("fragments", "expected"),
    [
        # name and id repeated in every delta
        ([[call("", index=0, id="a", name="f")], [call('{"x":', index=0, id="a", name="f")],
          [call("1}", index=0, id="a", name="f")], [call("", index=0, id="a", name="f")]], [A]),
        # index 0 for every call, told apart by id
        ([[call('{"x":1}', index=0, id="a", name="f")], [call('{"y":2}', index=0, id="b", name="g")]], [A, B]),
        # no index
        ([[call("", id="a", name="f")], [call('{"x":1}')], [call("", id="b", name="g")], [call('{"y":2}')]], [A, B]),
        # no index, interleaved by id
        ([[call('{"x"', id="a", name="f"), call('{"y"', id="b", name="g")],
          [call(":1}", id="a"), call(":2}", id="b")]], [A, B]),
        # neither index nor id, whole calls in one event
        ([[call({"x": 1}, name="f"), call('{"y":2}', name="g")]],
         [ToolCall("f", {"x": 1}), ToolCall("g", {"y": 2})]),
        # neither, whole calls in two events; the same tool twice
        ([[call('{"x":1}', name="f")], [call('{"x":1}', name="f")]],
         [ToolCall("f", {"x": 1}), ToolCall("f", {"x": 1})]),
        # a new id for every fragment
        ([[call("", index=0, id="a", name="f")], [call('{"x":', index=0, id="q")], [call("1}", index=0, id="r")]], [A]),
        # the name in pieces, and growing
        ([[call("", index=0, id="a", name="f")], [call("", index=0, name="oo")], [call("{}", index=0)]],
         [ToolCall("foo", {}, "a")]),
        # indexes that begin at 1, and out of order
        ([[call('{"x":1}', index=1, id="a", name="f")], [call('{"y":2}', index=0, id="b", name="g")]], [A, B]),
        # no arguments at all
        ([[call(None, index=0, id="a", name="f")]], [ToolCall("f", {}, "a")]),
        # one id for two calls
        ([[call('{"x":1}', index=0, id="a", name="f"), call('{"y":2}', index=1, id="a", name="g")]],
         [A, ToolCall("g", {"y": 2})]),
        # no name
        ([[call("{}", index=0, id="a")]], [ToolCall("unnamed", {}, "a", "the model named no tool")]),
    ],
)  # fmt: skip
def test_fragments_of_calls_are_joined_as_the_server_meant_them(fragments, expected):
    events = [chunk({"tool_calls": each}) for each in fragments]
    _, reply = stream(sse(*events, chunk({}, "stop")))
    assert list(reply.message.tool_calls) == expected
    assert reply.finish == "tool_calls"


def test_two_names_for_one_unfinished_call_make_it_invalid_rather_than_wrong():
    fragments = [call('{"x":', index=0, id="a", name="f"), call("1}", index=0, name="delete")]
    _, reply = stream(sse(*[chunk({"tool_calls": [each]}) for each in fragments], chunk({}, "tool_calls")))
    (found,) = reply.message.tool_calls
    assert (found.name, found.args) == ("f", {})
    assert "two tools" in (found.invalid or "")


def test_half_surrogate_pairs_in_two_events_become_the_character_they_are():
    halves = (r"a\ud83d", r"\udc4b b")
    data = "".join(f'data: {{"choices":[{{"delta":{{"content":"{half}"}}}}]}}\n\n' for half in halves).encode()
    deltas, reply = stream(data + sse(chunk({}, "stop")))
    assert reply.message.text == "a👋 b"
    assert deltas == [TextDelta("a"), TextDelta("👋 b", offset=1)]


def test_a_stream_without_done_is_whole_if_it_gave_a_finish_reason_or_the_final_counts():
    assert stream(sse(chunk({"content": "hi"}, "stop"), done=False))[1].message.text == "hi"
    counts = {"choices": [], "usage": {"prompt_tokens": 1}}
    assert stream(sse(chunk({"content": "hi"}), counts, done=False))[1].usage == Usage(1)


def test_a_last_event_without_its_blank_line_still_counts():
    data = sse(chunk({"content": "hi"}), done=False) + b"data: " + json.dumps(chunk({}, "stop")).encode()
    assert stream(data)[1].finish == "stop"


def test_token_counts_may_come_with_every_chunk_and_the_last_wins():
    chunks = [chunk({"content": "a"}, usage={"prompt_tokens": 3, "completion_tokens": n}) for n in (1, 2)]
    assert stream(sse(*chunks, chunk({}, "stop")))[1].usage == Usage(3, 2)


@pytest.mark.parametrize("lost", [b"\n", b"NE]\n\n", b"[DONE]\n\n", b"1}}\n\ndata: [DONE]\n\n"])
def test_what_is_lost_after_the_answer_does_no_harm(lost):
    whole = sse(chunk({"content": "hi"}), chunk({}, "stop"), {"choices": [], "usage": {"prompt_tokens": 1}})
    assert whole.endswith(lost)
    assert stream(whole.removesuffix(lost))[1].message.text == "hi"


def test_a_truncated_refusal_is_kept_too():
    with pytest.raises(MalformedReply) as caught:
        stream(sse(chunk({"refusal": "I can"}), chunk({"refusal": "not"}), done=False))
    assert caught.value.data["partial"] == "I cannot"


def test_a_truncated_stream_is_malformed_and_keeps_what_came():
    with pytest.raises(MalformedReply) as caught:
        stream(sse(chunk({"content": "Half of"}), chunk({"content": " it"}), done=False))
    assert caught.value.data["partial"] == "Half of it"
    assert caught.value.transient


@pytest.mark.parametrize("data", [b"", b"data: [DONE]\n\n", b": ping\n\n", b"hello there", sse({"choices": []})])
def test_an_empty_stream_is_malformed(data):
    with pytest.raises(MalformedReply):
        stream(data)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"error": {"message": "slow down", "code": 429}}, RateLimited),
        ({"error": {"message": "boom", "type": "server_error"}}, Overloaded),
        ({"error": "model 'x' not found"}, BadRequest),
        ({"object": "error", "message": "maximum context length is 8 tokens"}, ContextTooLong),
        ({"error": {"message": "x", "code": "invalid_api_key"}}, AuthenticationFailed),
    ],
)
def test_an_error_inside_a_stream_is_raised_with_what_came_before_it(error, kind):
    with pytest.raises(kind) as caught:
        stream(sse(chunk({"content": "so far"}), error))
    assert caught.value.data["partial"] == "so far"


# ----------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("status", "body", "kind", "transient"),
    [
        (401, b'{"error": {"message": "bad key"}}', AuthenticationFailed, False),
        (403, b"Forbidden", AuthenticationFailed, False),
        (429, b'{"error": {"message": "slow"}}', RateLimited, True),
        (429, b'{"error": {"message": "pay", "code": "insufficient_quota"}}', BadRequest, False),
        (400, b'{"error": {"message": "long", "code": "context_length_exceeded"}}', ContextTooLong, False),
        (413, b"too large", ContextTooLong, False),
        (400, b'{"error": {"message": "no", "code": "content_filter"}}', ContentFiltered, False),
        (400, b'{"error": {"message": "no such field"}}', BadRequest, False),
        (422, b'{"detail": [{"msg": "field required"}]}', BadRequest, False),
        (404, b"<html><head><style>x</style></head><h1>Not Found</h1></html>", BadRequest, False),
        (301, b"", BadRequest, False),
        (408, b"", ModelTimeout, True),
        (409, b"", Overloaded, True),
        (500, b"Internal Server Error", Overloaded, True),
        (529, b'{"error": {"message": "overloaded"}}', Overloaded, True),
    ],
)
def test_a_status_and_body_become_the_error_that_says_what_to_do(status, body, kind, transient):
    error = model_error(status, body, model="m", server="http://h/v1")
    assert type(error) is kind
    assert error.transient is transient
    assert error.data["status"] == status
    assert str(status) in str(error)
    assert "http://h/v1" in str(error)
    assert "\n" not in str(error)
    assert "style" not in str(error)


FIXTURES = Path(__file__).parent / "fixtures/openai-chat"


@pytest.mark.parametrize(
    ("name", "status", "kind", "remedy"),
    [
        ("error-401", 401, AuthenticationFailed, "OPENAI_API_KEY"),
        ("error-429", 429, RateLimited, "Wait"),
        ("error-429-quota", 429, BadRequest, "credit"),
        ("error-400-context", 400, ContextTooLong, "Shorten"),
        ("error-400-max-tokens", 400, BadRequest, 'max_tokens_field="max_completion_tokens"'),
        ("error-400-cache-key", 400, BadRequest, "cache_key=False"),
        ("error-400-azure-filter", 400, ContentFiltered, "Filtered: hate, jailbreak"),
        ("error-404", 404, BadRequest, "model's name"),
        ("error-500", 500, Overloaded, "again"),
    ],
)
def test_a_refusal_of_openai_or_azure_says_what_to_do(name, status, kind, remedy):
    error = refusal(status, (FIXTURES / f"{name}.json").read_bytes(), model="m", server="http://h/v1")
    assert type(error) is kind
    assert remedy in str(error)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("Unrecognized request argument supplied: max_completion_tokens", 'max_tokens_field="max_tokens"'),
        ("extra fields not permitted: stream_options", "stream_usage=False"),
        (
            "Function tools with reasoning_effort are not supported for gpt-5.6 in /v1/chat/completions",
            "openai-responses",
        ),
    ],
)
def test_a_field_that_a_server_does_not_know_can_be_left_out_and_the_error_says_how(text, remedy):
    error = refusal(400, json.dumps({"error": {"message": text}}).encode(), model="m", server="s")
    assert type(error) is BadRequest
    assert remedy in str(error)


def test_advice_on_fields_is_not_given_for_a_wrong_value():
    body = json.dumps({"error": {"message": "max_completion_tokens is too large: 99"}}).encode()
    assert "max_tokens_field" not in str(refusal(400, body, model="m", server="s"))


def test_a_server_that_echoes_a_key_does_not_get_it_into_the_message():
    body = b'{"error": {"message": "Incorrect API key provided: sk-proj-abcdef123456; token my-own-secret-1"}}'
    error = model_error(401, body, model="m", secrets=["my-own-secret-1"])
    assert "abcdef" not in str(error)
    assert "my-own-secret-1" not in str(error)


def test_a_long_error_text_is_cut_to_one_short_line():
    text = one_line("x\n" * 5000)
    assert len(text) <= 400
    assert "\n" not in text
