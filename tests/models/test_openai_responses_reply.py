"""The Responses codec: replies, streams in any chunking, and servers that deviate."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.core.deltas import TextDelta, ThinkingDelta, ToolCallDelta
from podium.core.errors import (
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
    Thinking,
    ToolCall,
    user,
)
from podium.core.usage import Usage
from podium.models.openai.codecs import ResponsesCodec
from podium.models.openai.responses import (
    PROVIDER,
    RESPONSES,
    ResponsesDialect,
    ResponsesStream,
    decode_reply,
    encode_request,
)

FIXTURES = Path(__file__).parent / "fixtures/openai-responses"
STREAMS = [path for path in sorted(FIXTURES.glob("*.sse")) if not path.name.startswith("bad-")]


def read(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def stream(data: bytes, size: int = 10**9):
    decoder = ResponsesStream(model="m", server="http://h")
    deltas = []
    for start in range(0, len(data), size):
        deltas += decoder.feed(data[start : start + size])
    return deltas, decoder.finish()


def sse(*events: object) -> bytes:
    return "".join(f"data: {json.dumps(each)}\n\n" for each in events).encode()


def ended(*output: dict, **more: object) -> dict:
    return {
        "type": "response.completed",
        "response": {"model": "m-1", "status": "completed", "output": [*output], **more},
    }


def message(*content: dict, **more: object) -> dict:
    return {"type": "message", "role": "assistant", "content": list(content), **more}


def said(text: str, **more: object) -> dict:
    return {"type": "output_text", "text": text, **more}


def call(name: str, arguments: object, call_id: str = "c1", **more: object) -> dict:
    return {"type": "function_call", "name": name, "arguments": arguments, "call_id": call_id, **more}


def body_of(*messages, dialect: ResponsesDialect = RESPONSES, **options) -> dict:
    return encode_request(ModelRequest(messages, **options), "gpt-6-sol", stream=False, dialect=dialect)


def joined(deltas: list, kind: type) -> str:
    return "".join(delta.text for delta in deltas if type(delta) is kind)


# ---------------------------------------------------------------------------------------------------------- replies


def test_a_reply_keeps_reasoning_commentary_and_calls_in_order():
    reply = decode_reply(read("reasoning-tools.json"))
    reasoning, commentary, wish = reply.message.parts
    assert isinstance(reasoning, Thinking)
    assert isinstance(commentary, Thinking)
    assert reasoning.text.endswith("Two persons: query for that.")
    assert (commentary.text, reply.message.text) == ("Let me look in the catalogue.", "")
    assert wish == ToolCall("search", {"query": "two person tent"}, "call_D4")
    assert (reply.finish, reply.model) == ("tool_calls", "gpt-6-sol-2026-09-30")
    assert reply.usage == Usage(512, 224, 256, 0, 192)


def test_cached_and_written_tokens_are_counted():
    assert decode_reply(read("text.json")).usage == Usage(2006, 12, 1920, 64, 0)


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": None, "input_tokens_details": []}, "many"])
def test_missing_or_strange_token_counts_are_zero(usage):
    assert decode_reply(ended(message(said("x")), usage=usage)["response"]).usage == Usage()


def test_citations_are_kept_beside_the_text():
    reply = decode_reply(read("web-search.json"))
    assert reply.message.text == "The Alta 2 is this year's pick for two people."
    search, *_, kept = reply.message.parts
    assert isinstance(search, Raw)
    assert isinstance(kept, Raw)
    assert search.data["type"] == "web_search_call"
    assert kept.data["annotations"][0][0]["url"] == "https://example.org/tents"


def test_an_unknown_item_and_an_unknown_part_are_kept_and_go_back():
    hologram = {"type": "hologram", "id": "h1", "x": 1}
    odd = {"type": "output_audio", "transcript": "hi"}
    reply = decode_reply(ended(hologram, message(said("x"), odd))["response"])
    assert reply.message.parts[0] == Raw(PROVIDER, hologram)
    items = body_of(user("x"), reply.message)["input"][1:]
    assert items[0] == hologram
    assert items[1]["content"] == [{"type": "output_text", "text": "x"}, odd]


def test_a_refusal_is_text_with_its_own_finish():
    reply = decode_reply(read("refusal.json"))
    assert (reply.message.text, reply.finish) == ("I can't help with that request.", "refusal")


@pytest.mark.parametrize(
    ("name", "finish"), [("length", "length"), ("length-call", "length"), ("content-filter", "content_filter")]
)
def test_an_incomplete_answer_says_why_it_ended(name, finish):
    assert decode_reply(read(f"{name}.json")).finish == finish


def test_arguments_cut_by_the_output_limit_say_so():
    (wish,) = decode_reply(read("length-call.json")).message.tool_calls
    assert "max_output_tokens" in (wish.invalid or "")


def test_an_answer_withheld_as_a_whole_raises_and_names_the_filter():
    filtered = {"hate": {"filtered": True, "severity": "high"}, "violence": {"filtered": False}}
    with pytest.raises(ContentFiltered, match=r"Filtered: hate$") as caught:
        decode_reply(
            {
                "status": "incomplete",
                "incomplete_details": {"reason": "content_filter"},
                "output": [],
                "content_filters": [{"blocked": True, "content_filter_results": filtered}],
            }
        )
    assert caught.value.data["filters"] == ["hate"]


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        ("server_error", "boom", Overloaded),
        ("rate_limit_exceeded", "slow", RateLimited),
        ("vector_store_timeout", "late", ModelTimeout),
        ("invalid_prompt", "no", BadRequest),
        ("invalid_prompt", "flagged as potentially violating our usage policy", ContentFiltered),
        ("bio_policy", "no", ContentFiltered),
        ("misalignment_policy_violation", "no", ContentFiltered),
        ("image_content_policy_violation", "no", ContentFiltered),
        ("image_too_large", "no", BadRequest),
        ("data_residency_mismatch", "no", BadRequest),
        ("context_length_exceeded", "no", ContextTooLong),
        ("brand_new", "no", Overloaded),
    ],
)
def test_a_failed_answer_becomes_the_error_its_code_means(code, text, kind):
    with pytest.raises(kind) as caught:
        decode_reply({"status": "failed", "error": {"code": code, "message": text}, "output": []})
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("body", "kind", "remedy"),
    [
        ({"status": "failed", "error": None, "output": []}, Overloaded, "no reason"),
        ({"status": "cancelled", "output": []}, MalformedReply, "cancelled"),
        ({"status": "queued", "output": []}, BadRequest, "background"),
        ({"choices": [{"message": {"content": "hi"}}]}, MalformedReply, "openai:NAME"),
    ],
)
def test_an_answer_that_is_none_says_what_to_do(body, kind, remedy):
    with pytest.raises(kind, match=remedy):
        decode_reply(body)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"output": null}', b"<html>", b"[]", b"\xff\xfe", b"null"])
def test_a_body_without_an_answer_is_malformed(body):
    with pytest.raises(MalformedReply):
        decode_reply(body)


def test_a_stream_where_a_body_was_expected_is_read_as_one():
    assert decode_reply(read("text.sse")).message.text == "Grüße 👋 from the 漢字 shop."


# ---------------------------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_a_stream_gives_the_same_reply_as_the_whole_body_and_deltas_that_add_up(path):
    deltas, reply = stream(path.read_bytes())
    assert reply == decode_reply(path.with_suffix(".json").read_bytes())
    assert joined(deltas, TextDelta) == reply.message.text
    offset = 0
    for delta in deltas:
        if type(delta) is TextDelta:
            assert delta.offset == offset
            offset += len(delta.text)


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_a_stream_fed_byte_by_byte_gives_the_same(path):
    assert stream(path.read_bytes(), 1) == stream(path.read_bytes())


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(STREAMS), st.lists(st.integers(1, 3000), max_size=30), st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_chunking_of_a_stream_gives_the_same_deltas_and_reply(path, cuts, newline):
    data = path.read_text("utf-8").replace("\n", newline).encode()
    decoder = ResponsesStream()
    deltas, at = [], 0
    for size in cuts:
        deltas += decoder.feed(data[at : at + size])
        at += size
    deltas += decoder.feed(data[at:])
    assert (deltas, decoder.finish()) == stream(path.read_bytes())


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(STREAMS), st.data())
def test_a_truncated_stream_is_malformed_with_what_came_unless_its_end_had_come(path, data):
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    decoder = ResponsesStream(model="m", server="s")
    deltas = decoder.feed(whole[:cut])
    if decoder.complete or json_ended(whole[:cut]):
        assert decoder.finish() == stream(whole)[1]
        return
    with pytest.raises(MalformedReply) as caught:
        decoder.finish()
    assert caught.value.transient
    # It may hold more than was handed on: an event without its blank line counts at the end.
    assert caught.value.data.get("partial", "").startswith(joined(deltas, TextDelta))


def json_ended(data: bytes) -> bool:
    """Whether the last event is whole but for its blank line, and is the one that ends the answer."""
    last = data.rstrip(b"\n").rpartition(b"\n")[2]
    return last.startswith((b'data: {"type":"response.completed"', b'data: {"type":"response.incomplete"')) and is_json(
        last.removeprefix(b"data: ")
    )


def is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 20))
def test_no_bytes_whatever_break_the_decoder_in_another_way_than_a_model_error(noise, size):
    with pytest.raises(MalformedReply):
        stream(b"data: " + noise + b"\n\n", size)


JSON = st.recursive(
    st.sampled_from([None, True, -1, 0, 3, "", "a", "message", "function_call", "reasoning"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "id", "item", "delta", "text", "content", "summary", "arguments", "call_id", "name",
                         "output_index", "item_id", "content_index", "response", "output", "error", "usage", "status"]),
        inner, max_size=5),
    max_leaves=12,
)  # fmt: skip
EVENT = st.sampled_from(
    [
        *(f"response.{end}" for end in ("created", "completed", "incomplete", "failed", "queued")),
        *(f"response.output_item.{step}" for step in ("added", "done")),
        *(
            f"response.{text}.{step}"
            for text in ("output_text", "refusal", "function_call_arguments", "reasoning_summary_text")
            for step in ("delta", "done")
        ),
        "response.output_text.annotation.added",
        "response.hologram.delta",
        "error",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(EVENT, st.dictionaries(st.sampled_from(
    ["item", "delta", "text", "output_index", "item_id", "content_index", "response", "annotation", "arguments"]),
    JSON, max_size=5)), max_size=8))  # fmt: skip
def test_events_of_any_shape_end_in_a_reply_or_a_model_error(events):
    data = sse(*[{"type": name, **fields} for name, fields in events])
    try:
        _, reply = stream(data)
    except ModelError:
        return
    body_of(user("x"), reply.message)


def test_reasoning_and_calls_are_handed_on_as_they_come():
    deltas, _ = stream(read("reasoning-tools.sse"))
    assert joined(deltas, ThinkingDelta) == (
        "**Choosing a tool**\n\nThe user wants tents.\n\n**Wording**\n\nTwo persons: query for that."
        "Let me look in the catalogue."
    )
    calls = [delta for delta in deltas if type(delta) is ToolCallDelta]
    assert calls[0] == ToolCallDelta(0, "search")
    assert "".join(delta.arguments for delta in calls) == '{"query":"two person tent"}'


def test_parallel_calls_are_told_apart_in_the_deltas():
    deltas, reply = stream(read("tools.sse"))
    for position, wish in enumerate(reply.message.tool_calls):
        text = "".join(delta.arguments for delta in deltas if delta.index == position)
        assert json.loads(text) == wish.args


DONE = {"type": "response.output_item.done", "output_index": 0}
ADDED = {"type": "response.output_item.added", "output_index": 0}
ARGUMENTS = {"type": "response.function_call_arguments.delta", "output_index": 0}
WORDS = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0}
A, B = ToolCall("f", {"x": 1}, "a"), ToolCall("g", {"y": 2}, "b")
FA, GB = call("f", '{"x":1}', "a", id="fa"), call("g", '{"y":2}', "b", id="gb")


@pytest.mark.parametrize(
    "events",
    [
        # nothing but the end
        [ended(FA, GB)],
        # nothing but finished items, and an end without them
        [{**DONE, "item": FA}, {**DONE, "output_index": 1, "item": GB}, ended()],
        # one index for all, with and without announcements
        [{**DONE, "item": FA}, {**DONE, "item": GB}, ended(FA, GB)],
        [{**ADDED, "item": {**FA, "arguments": ""}}, {**ARGUMENTS, "item_id": "fa", "delta": '{"x":1}'},
         {**DONE, "item": FA}, {**ADDED, "item": {**GB, "arguments": ""}},
         {**ARGUMENTS, "item_id": "gb", "delta": '{"y":2}'}, {**DONE, "item": GB}, ended()],
        # interleaved by id, without any index
        [{**ADDED, "output_index": None, "item": {**FA, "arguments": ""}},
         {**ADDED, "output_index": None, "item": {**GB, "arguments": ""}},
         {**ARGUMENTS, "output_index": None, "item_id": "gb", "delta": '{"y":'},
         {**ARGUMENTS, "output_index": None, "item_id": "fa", "delta": '{"x":1}'},
         {**ARGUMENTS, "output_index": None, "item_id": "gb", "delta": "2}"}, ended()],
        # another id with every event: the index tells
        [{**ADDED, "item": {**FA, "id": "p", "arguments": ""}}, {**ARGUMENTS, "item_id": "q", "delta": '{"x":1}'},
         {**DONE, "item": {**FA, "id": "r"}},
         {**ADDED, "output_index": 1, "item": {**GB, "id": "s"}},
         {**DONE, "output_index": 1, "item": {**GB, "id": "t"}},
         ended({**FA, "id": "u"}, {**GB, "id": "v"})],
        # fragments before the item is announced
        [{**ARGUMENTS, "item_id": "fa", "delta": '{"x":1}'}, {**ADDED, "item": {**FA, "arguments": ""}},
         {**DONE, "item": FA}, {**DONE, "output_index": 1, "item": GB}, ended(FA, GB)],
        # announced twice
        [{**ADDED, "item": FA}, {**ADDED, "item": FA}, {**DONE, "item": FA},
         {**DONE, "output_index": 1, "item": GB}, ended()],
        # the end knows of a call that the stream did not tell
        [{**ADDED, "item": FA}, {**DONE, "item": FA}, ended(FA, GB)],
        # arguments as an object, and [DONE] instead of an end
        [{**DONE, "item": {**FA, "arguments": {"x": 1}}}, {**DONE, "output_index": 1, "item": GB}, None],
    ],
)  # fmt: skip
def test_calls_are_understood_from_whatever_a_server_sends(events):
    data = b"".join(sse(event) if event else b"data: [DONE]\n\n" for event in events)
    deltas, reply = stream(data)
    assert list(reply.message.tool_calls) == [A, B]
    assert reply.finish == "tool_calls"
    for position, wish in enumerate([A, B]):
        mine = [delta for delta in deltas if delta.index == position]
        assert [delta.name for delta in mine if delta.name] == [wish.name]
        assert json.loads("".join(delta.arguments for delta in mine)) == wish.args


@pytest.mark.parametrize(
    "events",
    [
        [{**WORDS, "delta": "hel"}, {**WORDS, "delta": "lo"}, ended()],
        [{**WORDS, "delta": "hel"}, ended(message(said("hello")))],
        [{**DONE, "item": message(said("hello"))}, ended()],
        [{**DONE, "item": {"type": "message", "content": "hello"}}, ended()],
        [{"type": "response.output_text.done", "text": "hello"}, ended(message(said("hello")))],
        [{**WORDS, "delta": "hello"}, {"type": "response.completed", "response": None}],
        [{"type": "response.hologram.delta", "delta": "?"}, {**WORDS, "delta": "hello"}, ended()],
    ],
)
def test_text_is_understood_from_whatever_a_server_sends(events):
    deltas, reply = stream(sse(*events))
    assert (reply.message.text, joined(deltas, TextDelta), reply.finish) == ("hello", "hello", "stop")


def test_the_finished_text_wins_over_pieces_that_differ():
    _, reply = stream(sse({**WORDS, "delta": "helo"}, ended(message(said("hello")))))
    assert reply.message.text == "hello"


def test_one_id_for_two_calls_is_given_to_the_first_only():
    reply = decode_reply(ended(call("f", "{}", "a"), call("g", "{}", "a"))["response"])
    assert [wish.id for wish in reply.message.tool_calls] == ["a", None]


def test_half_surrogate_pairs_in_two_events_become_the_character_they_are():
    halves = (r"a\ud83d", r"\udc4b b")
    data = "".join(f'data: {{"type":"{WORDS["type"]}","delta":"{half}"}}\n\n' for half in halves).encode()
    deltas, reply = stream(data + sse(ended()))
    assert reply.message.text == "a👋 b"
    assert deltas == [TextDelta("a"), TextDelta("👋 b", offset=1)]


@pytest.mark.parametrize(
    ("name", "kind", "partial"),
    [
        ("bad-error.sse", RateLimited, ""),
        ("bad-failed.sse", Overloaded, "Half of"),
        ("bad-truncated.sse", MalformedReply, "This answer stops in"),
        ("bad-empty.sse", MalformedReply, ""),
    ],
)
def test_a_stream_that_fails_raises_with_what_came_before(name, kind, partial):
    with pytest.raises(kind) as caught:
        stream(read(name))
    assert caught.value.data.get("partial", "") == partial
    assert caught.value.transient


@pytest.mark.parametrize(
    "error",
    [
        {"type": "error", "error": {"message": "slow down", "code": 429}},
        {"error": {"message": "slow down", "type": "rate_limit_error"}},
        {"type": "error", "code": "rate_limit_exceeded", "message": "slow down"},
    ],
)
def test_an_error_object_of_any_form_in_a_stream_is_raised(error):
    with pytest.raises(RateLimited) as caught:
        stream(sse({**WORDS, "delta": "so far"}, error))
    assert caught.value.data["partial"] == "so far"


# ----------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("name", "status", "kind", "remedy"),
    [
        ("error-400-encrypted", 400, BadRequest, "encrypted_reasoning=False"),
        ("error-400-context", 400, ContextTooLong, "Shorten"),
        ("error-400-invalid-prompt", 400, ContentFiltered, "Change the prompt"),
        ("error-404-item", 404, BadRequest, "store"),
    ],
)
def test_a_refusal_of_the_server_says_what_to_do(name, status, kind, remedy):
    error = ResponsesCodec("m", "http://h", RESPONSES).error(status, read(f"{name}.json"))
    assert type(error) is kind
    assert remedy in str(error)
