"""Answers of Claude: whole bodies, streams in any chunking, refusals, errors, and servers that deviate."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    ModelRequest,
    Raw,
    Reply,
    Text,
    Thinking,
    ToolCall,
    ToolSpec,
    assistant,
    user,
)
from podium.core.usage import Usage
from podium.models.anthropic.failure import claude_error
from podium.models.anthropic.reply import ClaudeStream, decode_reply
from podium.models.anthropic.request import BEFORE, encode_request
from podium.models.anthropic.turns import FIELDS

FIXTURES = Path(__file__).parent / "fixtures" / "anthropic"
STREAMS = sorted(path.name for path in FIXTURES.glob("*.sse") if not path.name.startswith("bad-"))
MODEL = "claude-sonnet-5-5"
SEARCH = ToolSpec("search", "Search.", {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]})
NOW = ToolSpec("now", "The time.", {})
MINE = Thinking("hm", "sig", "anthropic")


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def said(text: str, **more) -> dict:
    return {"type": "text", "text": text, **more}


def turns(*messages):
    return encode_request(ModelRequest(messages), MODEL, stream=False)["messages"]


def sse(*events: dict) -> bytes:
    return "".join(f"event: {each.get('type')}\ndata: {json.dumps(each)}\n\n" for each in events).encode()


def stream(data: bytes, size: int = 10**9):
    decoder = ClaudeStream(model="m", server="http://h")
    deltas = []
    for start in range(0, len(data), size):
        deltas += decoder.feed(data[start : start + size])
    return deltas, decoder.finish()


def finished(decoder: ClaudeStream) -> Reply | ModelError:
    try:
        return decoder.finish()
    except ModelError as error:
        return error


def whole(*content: object, reason: str | None = "end_turn", **more: object):
    return decode_reply(json.dumps({"type": "message", "content": content, "stop_reason": reason, **more}).encode())


START = {"type": "message_start", "message": {"model": "m-1", "usage": {"input_tokens": 3, "output_tokens": 1}}}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}
CALLED = {"type": "message_delta", "delta": {"stop_reason": "tool_use"}}
STOP = {"type": "message_stop"}


def begin(index: int | None, block: object) -> dict:
    return {"type": "content_block_start", "index": index, "content_block": block}


def piece(index: int | None, kind: str, **fields: object) -> dict:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


# ------------------------------------------------------------------------------------------------------------ replies

WEATHER = ToolCall("weather", {"city": "Zürich", "days": 2}, "toolu_01A09q90qw90lq917835lq9")
PARIS = ToolCall("weather", {"city": "Paris"}, "toolu_01B11b22cc33dd44ee55ff6")


def test_a_whole_reply_keeps_text_and_parallel_calls_in_order():
    reply = decode_reply(fixture("tools.json"))
    assert reply.message == assistant("I'll look up both cities.", WEATHER, PARIS)
    assert (reply.finish, reply.model, reply.usage) == ("tool_calls", MODEL, Usage(412, 97))


def test_thoughts_keep_their_signature_and_hidden_ones_are_kept_raw():
    reply = decode_reply(fixture("thinking.json"))
    thought, hidden, text, call = reply.message.parts
    assert isinstance(thought, Thinking)
    assert thought.provider == "anthropic"
    assert thought.signature
    assert isinstance(hidden, Raw)
    assert hidden.data["type"] == "redacted_thinking"
    assert (text, call) == (Text("Zürich first."), ToolCall("weather", {"city": "Zürich"}, "toolu_01Zurich"))
    assert reply.usage == Usage(518, 203, reasoning_tokens=131)


def test_a_thought_whose_text_is_left_out_is_kept_for_its_signature():
    (deltas, reply) = stream(fixture("thinking-omitted.sse"))
    thought = reply.message.parts[0]
    assert isinstance(thought, Thinking)
    assert (thought.text, bool(thought.signature)) == ("", True)
    assert deltas == [TextDelta("42.")]


@pytest.mark.parametrize(
    "name", ["thinking.json", "tools.json", "web-search.json", "called-by-code.json", "pause.json"]
)
def test_an_answer_goes_back_as_it_came(name):
    content = json.loads(fixture(name))["content"]
    reply = decode_reply(fixture(name))
    (_, sent) = turns(user("q"), reply.message)
    for block in content:
        if block["type"] == "tool_use" and block.get("caller") == {"type": "direct"}:
            del block["caller"]  # the usual case need not be said
    assert sent == {"role": "assistant", "content": content}


def test_citations_stay_beside_their_text_and_server_tools_are_kept_raw():
    reply = stream(fixture("web-search.sse"))[1]
    assert reply.message.text == "I'll search.The tallest tent is 35 m high."
    kinds = [part.data["type"] for part in reply.message.parts if isinstance(part, Raw)]
    assert kinds == ["server_tool_use", "web_search_tool_result", FIELDS]
    (search,) = [part.data for part in reply.message.parts if isinstance(part, Raw) and "input" in part.data]
    assert search["input"] == {"query": "tallest tent in the world"}
    assert not reply.message.tool_calls
    assert reply.usage.input_tokens == 6039


@pytest.mark.parametrize("name", ["cached.json", "cached.sse"])
def test_input_includes_what_the_cache_wrote_and_read(name):
    reply = decode_reply(fixture(name))
    assert reply.usage == Usage(
        input_tokens=21 + 1800 + 18808,
        output_tokens=14,
        cache_read_tokens=18808,
        cache_write_tokens=1800,
        cache_write_long_tokens=1500,
    )


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": None, "cache_creation": []}, "many", [1]])
def test_missing_or_strange_token_counts_are_zero(usage):
    assert whole(said("x"), usage=usage).usage == Usage()


@pytest.mark.parametrize(
    ("name", "finish", "text"),
    [
        ("text.json", "stop", "Grüße 👋 from Claude."),
        ("length.json", "length", "It all began when"),
        ("stop-sequence.json", "stop", "one, two, "),
        ("context-full.json", "length", "The last words that fit"),
        ("pause.json", "pause_turn", "Let me search for that."),
        ("refusal-text.json", "refusal", "I can explain how vaccines work, but"),
        ("empty.json", "stop", ""),
    ],
)
def test_the_reason_for_stopping_becomes_our_word_for_it(name, finish, text):
    reply = decode_reply(fixture(name))
    assert (reply.finish, reply.message.text) == (finish, text)


def test_an_unknown_reason_is_the_providers_word_and_calls_without_a_reason_are_calls():
    assert whole(said("x"), reason="tired").finish == "tired"
    assert whole(said("x"), reason=None).finish == "stop"
    assert whole({"type": "tool_use", "id": "a", "name": "f", "input": {}}, reason=None).finish == "tool_calls"


def test_an_answer_withheld_as_a_whole_raises_with_its_category():
    with pytest.raises(ContentFiltered, match=r"cyber\): This request could enable cyber harm\. Change") as caught:
        decode_reply(fixture("refusal.json"))
    assert caught.value.data == {"status": 200, "category": "cyber"}
    assert not caught.value.transient


def test_a_refusal_in_the_middle_keeps_the_text_and_makes_no_call():
    deltas, reply = stream(fixture("refusal.sse"))
    assert reply.message == assistant("I can explain how vaccines work, but")
    assert reply.finish == "refusal"
    assert [type(delta) for delta in deltas].count(ToolCallDelta) == 2


@pytest.mark.parametrize(
    ("given", "args", "why"),
    [
        ({}, {}, None),
        (None, {}, None),
        ({"a": 1}, {"a": 1}, None),
        ('{"a": 1}', {"a": 1}, None),
        ("{", {}, "not valid JSON"),
        ([1], {}, "must be a JSON object"),
        ({"a": 2**70}, {}, "64 bits"),
        ({"a": float("nan")}, {}, "not valid JSON"),
    ],
)
def test_arguments_are_an_object_or_the_call_says_why_not(given, args, why):
    (found,) = whole({"type": "tool_use", "id": "c", "name": "f", "input": given}, reason="tool_use").message.tool_calls
    assert found.args == args
    assert (found.invalid is None) == (why is None)
    assert (why or "") in (found.invalid or "")


@pytest.mark.parametrize("name", ["length-call.json", "length-call.sse"])
def test_a_call_cut_by_the_output_limit_is_not_made_without_its_arguments(name):
    reply = decode_reply(fixture(name))
    (call,) = reply.message.tool_calls
    assert reply.finish == "length"
    assert "max_output_tokens" in (call.invalid or "")


def test_calls_with_one_id_or_without_a_name_are_kept_apart():
    same = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    first, second, third = whole(same, same, {"type": "tool_use", "id": "b"}).message.tool_calls
    assert (first.id, second.id) == ("a", None)
    assert "named no tool" in (third.invalid or "")


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"content": null}', b'{"content": "x"}', b"<html>", b"[]", b"\xff\xfe", b"null"]
)
def test_a_body_without_an_answer_is_malformed(body):
    with pytest.raises(MalformedReply):
        decode_reply(body)


def test_a_server_of_another_wire_is_named_with_the_remedy():
    with pytest.raises(MalformedReply, match="use openai:m"):
        decode_reply(b'{"choices": [{"message": {"content": "hi"}}]}', model="m")
    with pytest.raises(MalformedReply, match="use openai:m"):
        stream(b'data: {"choices": [{"delta": {"content": "hi"}}]}\n\n')


def test_a_stream_where_a_body_was_expected_is_read_as_one():
    assert decode_reply(fixture("text.sse")).message.text == "Grüße 👋 from Claude."


# ------------------------------------------------------------------------------------------------------------ streams


def test_a_stream_gives_deltas_with_offsets_and_the_whole_reply():
    deltas, reply = stream(fixture("tools.sse"))
    assert deltas == [
        TextDelta("I'll look up"),
        TextDelta(" both cities.", offset=12),
        ToolCallDelta(0, "weather"),
        ToolCallDelta(0, "", '{"city"'),
        ToolCallDelta(0, "", ': "Zür', offset=7),
        ToolCallDelta(0, "", 'ich", "days"', offset=13),
        ToolCallDelta(0, "", ": 2}", offset=25),
        ToolCallDelta(1, "weather"),
        ToolCallDelta(1, "", '{"ci'),
        ToolCallDelta(1, "", 'ty": "Paris"}', offset=4),
        ToolCallDelta(2, "now"),
    ]
    assert reply.message == assistant(
        "I'll look up both cities.", WEATHER, PARIS, ToolCall("now", {}, "toolu_01Nothing")
    )
    assert (reply.finish, reply.model) == ("tool_calls", MODEL)
    assert reply.usage == Usage(412 + 310, 97, 0, 310)


def test_thoughts_stream_as_thinking_and_offsets_run_over_blocks():
    deltas, reply = stream(fixture("thinking.sse"))
    assert deltas[:2] == [
        ThinkingDelta("Two cities; "),
        ThinkingDelta("the tool takes one — zuerst Zürich.", offset=12),
    ]
    assert isinstance(reply.message.parts[0], Thinking)
    assert reply.message.parts[0].text == "Two cities; the tool takes one — zuerst Zürich."
    texts = [delta for delta in stream(fixture("web-search.sse"))[0] if isinstance(delta, TextDelta)]
    text = "".join(delta.text for delta in texts)
    assert all(text[delta.offset :].startswith(delta.text) for delta in texts)


@pytest.mark.parametrize("name", ["text", "cached", "stop-sequence", "web-search", "length-call"])
def test_a_stream_says_the_same_as_the_whole_answer(name):
    streamed, answered = stream(fixture(f"{name}.sse"))[1], decode_reply(fixture(f"{name}.json"))
    assert streamed.finish == answered.finish
    assert streamed.message.text == answered.message.text
    assert streamed.usage == answered.usage


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(STREAMS),
    st.lists(st.integers(1, 700), max_size=40),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.booleans(),
)
def test_any_chunking_of_a_stream_gives_the_same_deltas_and_reply(name, cuts, newline, commented):
    recorded = fixture(name)
    data = (b": hello\n\n" if commented else b"") + recorded.replace(b"\n", newline)
    decoder = ClaudeStream()
    deltas, at = [], 0
    for size in cuts:
        deltas += decoder.feed(data[at : at + size])
        at += size
    deltas += decoder.feed(data[at:])
    assert (deltas, decoder.finish()) == stream(recorded)


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_fed_byte_by_byte_gives_the_same(name):
    assert stream(fixture(name), 1) == stream(fixture(name))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(STREAMS), st.floats(0, 1))
def test_a_stream_cut_anywhere_is_the_answer_or_malformed_with_the_text_so_far(name, share):
    recorded = fixture(name)
    expected = stream(recorded)[1]
    decoder = ClaudeStream(model="m", server="h")
    came = recorded[: int(len(recorded) * share)]
    said = "".join(delta.text for delta in decoder.feed(came) if isinstance(delta, TextDelta))
    outcome = finished(decoder)
    if isinstance(outcome, Reply):
        assert outcome.message == expected.message
    else:
        assert isinstance(outcome, MalformedReply)
        partial = outcome.data.get("partial", "")  # one event more, if only its blank line was cut off
        assert partial.startswith(said)
        assert expected.message.text.startswith(partial)
        assert not said or "in the middle of the answer" in str(outcome)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 20))
def test_no_bytes_whatever_break_the_decoder_in_another_way_than_a_model_error(noise, size):
    with pytest.raises(MalformedReply):
        stream(b"data: " + noise + b"\n\n", size)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(
        ["type", "text", "id", "name", "input", "thinking", "signature", "partial_json", "citations", "caller", "usage",
         "stop_reason", "content", "error", "model"]), inner, max_size=4),
    max_leaves=6,
)  # fmt: skip
KINDS = st.sampled_from(
    ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
     "message_stop", "ping", "error", "new"]
)  # fmt: skip
BLOCKS = st.sampled_from(
    ["text", "thinking", "tool_use", "server_tool_use", "text_delta", "input_json_delta", "thinking_delta",
     "signature_delta", "citations_delta", "new_delta"]
)  # fmt: skip


@st.composite
def strange_events(draw) -> dict:
    inner = draw(JSON)
    if isinstance(inner, dict) and draw(st.booleans()):
        inner["type"] = draw(BLOCKS)
    event = {"type": draw(KINDS), "index": draw(st.none() | st.integers(0, 2) | st.text(max_size=1))}
    for name in ("message", "content_block", "delta", "usage", "error"):
        if draw(st.booleans()):
            event[name] = inner
    return event


@settings(max_examples=300, deadline=None)
@given(st.lists(strange_events(), max_size=8), st.booleans())
def test_no_events_whatever_break_the_decoder_in_another_way_than_a_model_error(events, ended):
    tail = [END, STOP] if ended else []
    with contextlib.suppress(ModelError):
        reply = stream(sse(*events, *tail))[1]
        assert turns(user("q"), reply.message, user("more"))


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        # beginnings left out
        ([piece(0, "text_delta", text="a"), piece(0, "text_delta", text="b")], assistant("ab")),
        # all of the text in the beginning
        ([begin(0, said("ab"))], assistant("ab")),
        # one index for every block
        ([begin(0, said("")), piece(0, "text_delta", text="a"), begin(0, said("")), piece(0, "text_delta", text="b")],
         assistant("a", "b")),
        # no index
        ([begin(None, said("")), piece(None, "text_delta", text="a")], assistant("a")),
        # arguments as an object, or as text, in the beginning
        ([begin(0, {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}})],
         assistant(ToolCall("f", {"x": 1}, "a"))),
        ([begin(0, {"type": "tool_use", "id": "a", "name": "f", "input": '{"x": 1}'})],
         assistant(ToolCall("f", {"x": 1}, "a"))),
        # fragments win over the beginning
        ([begin(0, {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}),
          piece(0, "input_json_delta", partial_json='{"x": 2}')], assistant(ToolCall("f", {"x": 2}, "a"))),
        # arguments of nobody
        ([piece(0, "input_json_delta", partial_json="{}")],
         assistant(ToolCall("unnamed", {}, None, "the model named no tool"))),
        # beginnings that say nothing
        ([begin(0, None), piece(0, "text_delta", text="a"), begin(1, {}), piece(1, "thinking_delta", thinking="b")],
         assistant("a", Thinking("b", None, "anthropic"))),
        # nulls
        ([begin(0, None), begin(1, said("a")), piece(1, "text_delta", text=None)], assistant("a")),
        # a block of a kind nobody knows, with fragments nobody knows
        ([begin(0, {"type": "compaction", "content": None}), piece(0, "compaction_delta", content="so "),
          piece(0, "compaction_delta", content="far")],
         assistant(Raw("anthropic", {"type": "compaction", "content": "so far"}))),
        # a thought without a signature
        ([begin(0, {"type": "thinking"}), piece(0, "thinking_delta", thinking="hm"), begin(1, said("a"))],
         assistant(Thinking("hm", None, "anthropic"), "a")),
        # events nobody knows
        ([{"type": "message_progress", "percent": 3}, begin(0, said("a")), {"no": "type"}], assistant("a")),
    ],
)  # fmt: skip
def test_a_stream_that_deviates_is_read_as_it_was_meant(events, expected):
    assert stream(sse(START, *events, END, STOP))[1].message == expected


def test_half_surrogate_pairs_in_two_events_become_the_character_they_are():
    halves = (r"a\ud83d", r"\udc4b b")
    data = "".join(
        f'data: {{"type":"content_block_delta","index":0,"delta":{{"type":"text_delta","text":"{half}"}}}}\n\n'
        for half in halves
    ).encode()
    deltas, reply = stream(data + sse(END))
    assert reply.message.text == "a👋 b"
    assert deltas == [TextDelta("a"), TextDelta("👋 b", offset=1)]


def test_a_stream_is_whole_with_a_reason_or_the_end_and_a_done_mark_is_ignored():
    text = begin(0, said("hi"))
    for tail in ([END], [STOP], [END, STOP]):
        data = sse(START, text, *tail) + b"data: [DONE]\n\n"
        assert stream(data)[1].message.text == "hi"
    decoder = ClaudeStream()
    decoder.feed(sse(START, text))
    assert not decoder.complete
    decoder.feed(sse(END))
    assert decoder.complete


def test_counts_are_totals_and_a_later_one_replaces_an_earlier_one():
    late = {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 9, "output_tokens": 7}}
    assert stream(sse(START, begin(0, said("a")), late, END, STOP))[1].usage == Usage(9, 5)
    silent = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"input_tokens": None}}
    assert stream(sse(START, begin(0, said("a")), silent))[1].usage == Usage(3, 1)


def test_a_truncated_stream_is_malformed_and_keeps_what_came():
    with pytest.raises(MalformedReply) as caught:
        stream(fixture("bad-truncated.sse"))
    assert caught.value.data["partial"] == "Half of it"
    assert caught.value.transient


@pytest.mark.parametrize(
    "data", [b"", fixture("bad-empty.sse"), b": ping\n\n", b"hello there", sse(START), sse(START, STOP), sse(STOP)]
)
def test_an_empty_stream_is_malformed(data):
    with pytest.raises(MalformedReply, match="no answer"):
        stream(data)


def test_noise_in_the_middle_of_a_stream_keeps_what_came():
    with pytest.raises(MalformedReply) as caught:
        stream(sse(START, begin(0, said("so far"))) + b"data: <html>\n\n")
    assert caught.value.data["partial"] == "so far"


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, Overloaded, 529),
        ({"type": "rate_limit_error", "message": "slow down"}, RateLimited, 429),
        ({"type": "api_error", "message": "boom"}, Overloaded, 500),
        ({"type": "timeout_error", "message": "late"}, ModelTimeout, 504),
        ({"type": "authentication_error", "message": "invalid x-api-key"}, AuthenticationFailed, 401),
        ({"type": "invalid_request_error", "message": "no"}, BadRequest, 400),
        ({"type": "new_error", "message": "?"}, Overloaded, 503),
        ("plain words", Overloaded, 503),
    ],
)
def test_an_error_inside_a_stream_is_raised_with_what_came_before_it(error, kind, status):
    with pytest.raises(kind) as caught:
        stream(sse(START, begin(0, said("so far")), {"type": "error", "error": error}))
    assert caught.value.data["partial"] == "so far"
    assert caught.value.data["status"] == status


def test_the_recorded_overload_is_transient():
    with pytest.raises(Overloaded, match="Overloaded") as caught:
        stream(fixture("bad-overloaded.sse"))
    assert caught.value.transient
    assert caught.value.data["request_id"] == "req_011Bad"


# ------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("name", "kind", "advice"),
    [
        ("400", BadRequest, "Correct the request"),
        ("400-context", ContextTooLong, "Shorten"),
        ("400-context-limit", ContextTooLong, "max_output_tokens"),
        ("400-credit", BadRequest, "no credit"),
        ("400-temperature", BadRequest, BEFORE),
        ("401", AuthenticationFailed, "ANTHROPIC_API_KEY"),
        ("402", BadRequest, "no credit"),
        ("403", AuthenticationFailed, "ANTHROPIC_API_KEY"),
        ("404", BadRequest, "model's name"),
        ("413", ContextTooLong, "Shorten"),
        ("429", RateLimited, "Wait"),
        ("429-spent", BadRequest, "no credit"),
        ("429-ramp", RateLimited, "Wait"),
        ("500", Overloaded, "Try again"),
        ("504", ModelTimeout, "Try again"),
        ("529", Overloaded, "Try again"),
    ],
)
def test_a_refusal_becomes_the_error_that_says_what_to_do(name, kind, advice):
    body = fixture(f"error-{name}.json")
    status = int(name[:3])
    error = claude_error(status, body, model="m", server="http://h", retry_after=4.0, secrets=["req_nothing"])
    assert type(error) is kind
    assert advice in str(error)
    assert json.loads(body)["error"]["message"][:20] in str(error)
    assert f"HTTP {status}" in str(error)
    assert "\n" not in str(error)
    assert error.data["request_id"] == "req_011CSHoEeqs5C35K2UUqR7Fy"
    assert error.data["retry_after"] == 4.0


@pytest.mark.parametrize("body", [b"", b"Bad Gateway", b"<h1>Oh</h1>", b"[]", b'{"error": "x"}', b'{"error": null}'])
def test_a_refusal_of_another_server_is_read_as_far_as_it_goes(body):
    assert type(claude_error(502, body, model="m", server="h")) is Overloaded


def test_a_refusal_that_echoes_a_key_does_not_get_it_into_the_message():
    body = json.dumps({"error": {"type": "billing_error", "message": "no credit on my-own-secret-1"}}).encode()
    assert "my-own-secret-1" not in str(claude_error(402, body, model="m", server="h", secrets=["my-own-secret-1"]))
