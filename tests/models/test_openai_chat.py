"""The Chat Completions codec: bodies, replies, streams in any chunking, and servers that deviate."""

import json

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
                {"role": "tool", "tool_call_id": "call_2_1", "content": "two"},
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


def test_a_server_that_echoes_a_key_does_not_get_it_into_the_message():
    body = b'{"error": {"message": "Incorrect API key provided: sk-proj-abcdef123456; token my-own-secret-1"}}'
    error = model_error(401, body, model="m", secrets=["my-own-secret-1"])
    assert "abcdef" not in str(error)
    assert "my-own-secret-1" not in str(error)


def test_a_long_error_text_is_cut_to_one_short_line():
    text = one_line("x\n" * 5000)
    assert len(text) <= 400
    assert "\n" not in text
