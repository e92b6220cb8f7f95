"""The Gemini codec: bodies, replies, streams in any chunking, signatures, and servers that deviate."""

import base64
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
from podium.models.gemini.failure import GEMINI, VERTEX, gemini_error
from podium.models.gemini.reply import GeminiStream, decode_reply
from podium.models.gemini.request import encode_request

FIXTURES = Path(__file__).parent / "fixtures" / "gemini"
STREAMS = sorted(FIXTURES.glob("*.sse"))
SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
SEARCH = ToolSpec("search", "Search.", SCHEMA)
NOW = ToolSpec("now", "The time.", {"type": "object", "properties": {}})
FOREIGN = "skip_thought_signature_validator"


def fixture(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def encode(*messages, tools=(), model: str = "gemini-3-flash", output=None, include_thoughts=None, **options):
    request = ModelRequest(messages, tools, Settings(**options), output)
    return encode_request(request, model, include_thoughts=include_thoughts)


def sse(*payloads: object) -> bytes:
    return "".join(f"data: {json.dumps(each, ensure_ascii=False)}\r\n\r\n" for each in payloads).encode()


def chunk(*parts: dict, finish: str | None = None, **more: object) -> dict:
    candidate: dict = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": "m-1", **more}


def whole(*parts: dict, finish: str | None = "STOP", **more: object):
    return decode_reply(json.dumps(chunk(*parts, finish=finish, **more)).encode(), model="m", server="http://h")


def stream(data: bytes, size: int = 10**9):
    decoder = GeminiStream(model="m", server="http://h")
    deltas = []
    for start in range(0, len(data), size):
        deltas += decoder.feed(data[start : start + size])
    return deltas, decoder.finish()


def call(name: str = "", args: object = None, **more: object) -> dict:
    fields = {"name": name, "args": args, **more}
    return {"functionCall": {key: value for key, value in fields.items() if value not in ("", None)}}


# --------------------------------------------------------------------------------------------------------- encoding


def test_a_conversation_with_tools_and_settings_becomes_a_body():
    body = encode(
        system("Be brief."),
        system("Be kind."),
        user([Text("What is this?"), Media("image/png", b"\x89PNG"), Media("video/mp4", url="https://x/y.mp4")]),
        assistant("Looking.", ToolCall("search", {"q": "é"}, "c1", signature="SIG"), ToolCall("now", {}, "c2")),
        tool_results(ToolResult("c1", "search", '{"id": 12345678901234567890}'), ToolResult("c2", "now", "no", True)),
        tools=(SEARCH, NOW),
        max_output_tokens=9, temperature=0.5, top_p=0.9, stop=("END",), seed=1, tool_choice="search",
        reasoning_effort="low", extra={"safetySettings": [], "generationConfig": {"topK": 4}},
    )  # fmt: skip
    assert body == {
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "What is this?"},
                    {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
                    {"fileData": {"mimeType": "video/mp4", "fileUri": "https://x/y.mp4"}},
                ],
            },
            {
                "role": "model",
                "parts": [
                    {"text": "Looking."},
                    {"functionCall": {"name": "search", "args": {"q": "é"}, "id": "c1"}, "thoughtSignature": "SIG"},
                    {"functionCall": {"name": "now", "args": {}, "id": "c2"}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {
                        "functionResponse": {
                            "name": "search",
                            "response": {"output": '{"id": 12345678901234567890}'},
                            "id": "c1",
                        }
                    },
                    {"functionResponse": {"name": "now", "response": {"error": "no"}, "id": "c2"}},
                ],
            },
        ],
        "tools": [
            {
                "functionDeclarations": [
                    {"name": "search", "description": "Search.", "parametersJsonSchema": SCHEMA},
                    {"name": "now", "description": "The time."},
                ]
            }
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["search"]}},
        "generationConfig": {
            "maxOutputTokens": 9,
            "temperature": 0.5,
            "topP": 0.9,
            "stopSequences": ["END"],
            "seed": 1,
            "thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True},
            "topK": 4,
        },
        "safetySettings": [],
    }


@pytest.mark.parametrize(("choice", "mode"), [("auto", "AUTO"), ("none", "NONE"), ("required", "ANY")])
def test_a_tool_choice_becomes_a_mode(choice, mode):
    body = encode(user("x"), tools=(SEARCH,), tool_choice=choice)
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": mode}}


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        ("gemini-3-pro-preview", "minimal", {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        ("models/gemini-3.1-flash", "max", {"thinkingLevel": "XHIGH", "includeThoughts": True}),
        ("gemini-flash-latest", "high", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-3-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-flash", "low", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-pro", "xhigh", {"thinkingBudget": 24576, "includeThoughts": True}),
    ],
)
def test_reasoning_effort_becomes_a_level_or_for_older_models_a_budget(model, effort, config):
    assert encode(user("x"), model=model, reasoning_effort=effort)["generationConfig"]["thinkingConfig"] == config


def test_thoughts_can_be_asked_for_or_not_whatever_the_effort():
    assert encode(user("x"), include_thoughts=True)["generationConfig"] == {"thinkingConfig": {"includeThoughts": True}}
    quiet = encode(user("x"), reasoning_effort="low", include_thoughts=False)
    assert quiet["generationConfig"]["thinkingConfig"] == {"thinkingLevel": "LOW", "includeThoughts": False}
    assert "generationConfig" not in encode(user("x"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"seed": 2**31}, "seed"),
        ({"reasoning_effort": "huge"}, "minimal"),
        ({"reasoning_effort": "low", "model": "gemini-2.0-flash"}, "leave it out"),
        ({"tools": (SEARCH,), "tool_choice": "other"}, "search"),
        ({"tools": (SEARCH,), "parallel_tool_calls": False}, "leave the setting out"),
    ],
)
def test_what_the_wire_cannot_say_is_refused_by_name_before_anything_is_sent(options, says):
    with pytest.raises(BadRequest, match=says):
        encode(user("x"), **options)


def test_instructions_alone_and_media_without_content_are_refused_with_the_remedy():
    with pytest.raises(BadRequest, match="add a user message"):
        encode(system("x"))
    with pytest.raises(BadRequest, match="url"):
        encode(user([Media("image/png")]))


def test_an_output_schema_is_the_providers_json_mode_except_beside_tools_of_older_models():
    output = OutputSpec("out", SCHEMA)
    config = {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
    assert encode(user("x"), output=output, tools=(SEARCH,))["generationConfig"] == config
    assert encode(user("x"), output=output, model="gemini-2.5-flash")["generationConfig"] == config
    older = encode(system("s"), user("x"), output=output, tools=(SEARCH,), model="gemini-2.5-flash")
    assert "generationConfig" not in older
    assert '{"type":"object","properties":{"q":' in older["systemInstruction"]["parts"][1]["text"]


def test_extra_tools_stand_beside_ours_and_a_cache_stands_for_instructions_and_tools():
    both = encode(user("x"), tools=(NOW,), extra={"tools": [{"googleSearch": {}}]})
    assert [list(tool) for tool in both["tools"]] == [["functionDeclarations"], ["googleSearch"]]
    cached = encode(
        system("s"), user("x"), tools=(NOW,), tool_choice="auto", extra={"cachedContent": "cachedContents/1"}
    )
    assert cached == {"contents": [{"role": "user", "parts": [{"text": "x"}]}], "cachedContent": "cachedContents/1"}


@pytest.mark.parametrize("choice", [None, "5m", "1h", "off"])
def test_prompt_caching_is_the_providers_own_and_changes_nothing(choice):
    assert encode(user("x"), tools=(SEARCH,), prompt_cache=choice) == encode(user("x"), tools=(SEARCH,))


def test_all_results_of_one_turn_stand_alone_in_one_content_and_their_media_follow():
    picture = Media("image/png", b"p")
    message = tool_results(ToolResult("a", "f", "1"))
    with_picture = type(message)("tool", (ToolResult("b", "g", "2"), picture))
    calls = assistant(ToolCall("f", {}, "a"), ToolCall("g", {}, "b"))
    contents = encode(user("x"), calls, message, with_picture, model="gemini-2.5-pro")["contents"]
    assert [[next(iter(part)) for part in content["parts"]] for content in contents] == [
        ["text"],
        ["functionCall", "functionCall"],
        ["functionResponse", "functionResponse"],
        ["inlineData"],
    ]


def test_a_call_without_an_id_gets_a_result_without_one():
    contents = encode(user("x"), assistant(ToolCall("f", {})), tool_results(ToolResult("made-up", "f", "1")))[
        "contents"
    ]
    assert "id" not in contents[1]["parts"][0]["functionCall"]
    assert "id" not in contents[2]["parts"][0]["functionResponse"]


def test_what_other_providers_thought_and_kept_is_not_sent():
    summary = Thinking("a summary", None, "gemini")
    message = assistant(Thinking("hm"), Thinking("hm", "S", "anthropic"), Raw("openai", {"type": "x"}), summary)
    assert encode(user("x"), message, user("y"))["contents"] == [
        {"role": "user", "parts": [{"text": "x"}]},
        {"role": "user", "parts": [{"text": "y"}]},
    ]


def test_calls_of_other_providers_are_marked_for_models_that_want_signatures_and_only_for_them():
    foreign = assistant(ToolCall("f", {}, "a"), ToolCall("g", {}, "b"))
    for model in ("gemini-3-pro", "gemini-flash-latest"):
        first, second = encode(user("x"), foreign, model=model)["contents"][1]["parts"]
        assert (first["thoughtSignature"], "thoughtSignature" in second) == (FOREIGN, False)
    for model in ("gemini-2.5-pro", "gemma-3-27b-it"):
        assert FOREIGN not in json.dumps(encode(user("x"), foreign, model=model))


def test_a_data_address_travels_by_value():
    body = encode(user([Media("image/png", url="data:image/png;base64,iVBORw==")]))
    assert body["contents"][0]["parts"] == [{"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}}]


@pytest.mark.parametrize("name", ["text.json", "calls.json", "image.json", "thinking.sse", "calls.sse"])
def test_every_signature_goes_back_unchanged_on_the_part_it_came_with(name):
    reply = decode_reply(fixture(name))
    sent = encode(user("x"), reply.message)["contents"][1]["parts"]
    documents = [fixture(name)] if name.endswith(".json") else fixture(name).split(b"data: ")[1:]
    came = [part for each in documents for part in json.loads(each)["candidates"][0]["content"]["parts"]]
    assert [part for part in sent if "thoughtSignature" in part] == [
        part for part in came if "thoughtSignature" in part
    ]
    assert "".join(part.get("text", "") for part in sent) == reply.message.text


def test_a_signed_thought_goes_back_with_its_text_and_a_signature_that_stands_alone_as_an_empty_part():
    reply = whole({"text": "hm", "thought": True, "thoughtSignature": "A"}, {"thoughtSignature": "B"}, {"text": "ok"})
    sent = encode(user("x"), reply.message)["contents"][1]["parts"]
    assert sent == [
        {"text": "hm", "thought": True, "thoughtSignature": "A"},
        {"thoughtSignature": "B"},
        {"text": "ok"},
    ]
    lonely = encode(user("x"), assistant(Thinking("", "S", "gemini"), "hi"))["contents"][1]["parts"]
    assert lonely == [{"text": "", "thoughtSignature": "S"}, {"text": "hi"}]


# ---------------------------------------------------------------------------------------------------------- replies


def test_a_reply_with_thinking_text_and_usage():
    reply = decode_reply(fixture("text.json"))
    assert reply.message == assistant(
        Thinking("**Weighing the question**\n\nThe user wants the capital of Österreich.", None, "gemini"),
        "Vienna (Wien) 🎡",
        Thinking("", "CpwBAb4+9vsn2rA0Zk1tYXJrZWQgdGV4dA==", "gemini"),
    )
    assert (reply.finish, reply.model, reply.cost) == ("stop", "gemini-3.1-pro-preview-11-2026", None)
    assert reply.usage == Usage(412, 65, 256, 0, 58)


def test_parallel_calls_keep_their_ids_and_the_signature():
    reply = decode_reply(fixture("calls.json"))
    assert reply.message == assistant(
        "Let me look both up.",
        ToolCall(
            "get_weather", {"city": "Paris", "days": 2, "detail": {"wind": True}}, "fc_1",
            signature="CiQBj6w9a2F0aG91Z2h0IHNpZ25hdHVyZQ==",
        ),
        ToolCall("get_weather", {"city": "Zürich"}, "fc_2"),
        ToolCall("now", {}, "fc_3"),
    )  # fmt: skip
    assert (reply.finish, reply.usage) == ("tool_calls", Usage(130, 181, 0, 0, 140))


def test_an_image_is_media_and_what_tools_of_the_provider_did_is_kept_and_sent_back():
    image = decode_reply(fixture("image.json")).message.parts[1]
    assert isinstance(image, Media)
    assert (image.media_type, image.data[:4]) == ("image/png", b"\x89PNG")
    reply = decode_reply(fixture("grounded.json"))
    assert reply.message.text == "2 to the tenth is 1024, as the encyclopedia says."
    assert reply.usage == Usage(116, 43, 0, 0, 12)
    about = reply.message.parts[-1]
    assert isinstance(about, Raw)
    assert about.data["candidate"]["groundingMetadata"]["groundingChunks"][0]["web"]["title"] == "example.org"
    sent = encode(user("x"), reply.message)["contents"][1]["parts"]
    assert [next(iter(part)) for part in sent] == ["executableCode", "codeExecutionResult", "text"]


@pytest.mark.parametrize(("name", "reason"), [("blocked_prompt", "PROHIBITED_CONTENT"), ("blocked_answer", "SAFETY")])
def test_what_a_filter_withheld_as_a_whole_is_an_error_with_its_reason(name, reason):
    body = fixture(f"{name}.json")
    for read in (decode_reply, lambda body: stream(sse(json.loads(body)))):
        with pytest.raises(ContentFiltered, match=reason) as caught:
            read(body)
        assert not caught.value.transient


def test_an_answer_cut_by_a_filter_keeps_what_came_and_says_so():
    _, reply = stream(fixture("blocked_midway.sse"))
    assert (reply.message.text, reply.finish) == ("The first lines are ", "content_filter")


def test_a_call_that_could_not_be_read_is_no_answer_and_may_be_tried_again():
    with pytest.raises(MalformedReply, match=r"MALFORMED_FUNCTION_CALL.*default_api") as caught:
        decode_reply(fixture("malformed_call.json"))
    assert caught.value.data["partial"] == "I will book it."
    assert caught.value.transient


@pytest.mark.parametrize(
    ("finish", "parts", "expected"),
    [
        ("MAX_TOKENS", [{"text": "so far"}], "length"),
        ("MAX_TOKENS", [], "length"),
        ("CONTINUATION", [{"text": "so far"}], "length"),
        ("STOP", [], "stop"),
        ("STOP", [call("f", {})], "tool_calls"),
        ("FUNCTION_CALL", [call("f", {})], "tool_calls"),
        ("FUNCTION_CALL", [{"text": "x"}], "stop"),
        ("UNEXPECTED_TOOL_CALL", [call("f", {})], "tool_calls"),
        ("OTHER", [{"text": "x"}], "OTHER"),
        ("TOO_MANY_TOOL_CALLS", [{"text": "x"}], "TOO_MANY_TOOL_CALLS"),
        ("OF_TOMORROW", [{"text": "x"}], "OF_TOMORROW"),
        ("SAFETY", [{"text": "x"}], "content_filter"),
        (None, [{"text": "x"}], "stop"),
    ],
)
def test_why_the_model_stopped_has_one_word_for_all_providers_or_the_providers_own(finish, parts, expected):
    assert whole(*parts, finish=finish).finish == expected


@pytest.mark.parametrize(
    ("finish", "kind"),
    [
        ("OTHER", MalformedReply),
        ("UNEXPECTED_TOOL_CALL", MalformedReply),
        ("MALFORMED_RESPONSE", MalformedReply),
        ("NO_IMAGE", MalformedReply),
        ("MODEL_ARMOR", ContentFiltered),
        ("MISSING_THOUGHT_SIGNATURE", BadRequest),
    ],
)
def test_an_end_without_an_answer_is_an_error_that_names_it(finish, kind):
    with pytest.raises(kind, match=finish if kind is not BadRequest else "signatures"):
        whole(finish=finish)


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        (None, Usage()),
        ({}, Usage()),
        ({"promptTokenCount": None, "candidatesTokenCount": "many"}, Usage()),
        ({"promptTokenCount": 5, "thoughtsTokenCount": 3, "totalTokenCount": 10}, Usage(5, 5, 0, 0, 3)),
        ({"promptTokenCount": 5, "candidatesTokenCount": 2, "cachedContentTokenCount": 4}, Usage(5, 2, 4)),
    ],
)
def test_token_counts_have_one_meaning_even_if_some_are_missing(counts, usage):
    assert whole({"text": "x"}, usageMetadata=counts).usage == usage


@pytest.mark.parametrize(
    ("args", "expected", "why"),
    [
        (None, {}, None),
        ({"a": 1}, {"a": 1}, None),
        ('{"a": 1}', {"a": 1}, None),
        ('{"a": ', {}, "not valid JSON"),
        ([1], {}, "must be a JSON object"),
        ({"a": 2**70}, {}, "64 bits"),
    ],
)
def test_arguments_are_an_object_or_the_call_says_why_not(args, expected, why):
    (found,) = whole(call("f", args)).message.tool_calls
    assert found.args == expected
    assert (found.invalid is None) == (why is None)
    assert (why or "") in (found.invalid or "")


def test_a_call_without_a_name_is_invalid_and_two_calls_with_one_id_are_told_apart():
    (nameless,) = whole(call(id="a")).message.tool_calls
    assert nameless.invalid
    first, second = whole(call("f", {}, id="a"), call("f", {}, id="a")).message.tool_calls
    assert (first.id, second.id) == ("a", None)


def test_a_second_candidate_an_unknown_part_and_a_thought_image_do_not_become_the_answer():
    body = chunk({"text": "one"}, {"hologram": {"x": 1}}, finish="STOP")
    image = {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}, "thought": True}
    body["candidates"][0]["content"]["parts"].append(image)
    body["candidates"].append({"index": 1, "content": {"parts": [{"text": "two"}]}, "finishReason": "STOP"})
    kept = (Raw("gemini", {"hologram": {"x": 1}}), Raw("gemini", image))
    assert decode_reply(json.dumps(body).encode()).message == assistant("one", *kept)


def test_base64_of_either_alphabet_is_read_and_what_is_none_is_kept():
    data = bytes(range(240, 256))
    for encoded in (base64.b64encode(data), base64.urlsafe_b64encode(data).rstrip(b"=")):
        blob = {"inlineData": {"mimeType": "a/b", "data": encoded.decode(), "displayName": "n"}}
        assert whole(blob).message.parts == (Media("a/b", data, name="n"),)
    broken = {"inlineData": {"mimeType": "a/b", "data": "!!"}}
    assert whole(broken).message.parts == (Raw("gemini", broken),)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"null", b"[]", b"[1]", b"<html>", b"\xff\xfe", b'{"candidates": null}', b'{"candidates": []}',
        b'{"candidates": [{}]}', b'{"candidates": [null]}', b'{"candidates": [{"content": null}]}',
        b'{"usageMetadata": {"promptTokenCount": 3}}',
    ],
)  # fmt: skip
def test_a_body_without_an_answer_is_malformed(body):
    with pytest.raises(MalformedReply):
        decode_reply(body)


def test_a_stream_or_a_list_where_a_body_was_expected_is_read_as_one():
    events = [chunk({"text": "a"}), chunk({"text": "b"}, finish="STOP")]
    assert decode_reply(sse(*events)).message == assistant("ab")
    assert decode_reply(json.dumps(events).encode()).message == assistant("ab")


# ---------------------------------------------------------------------------------------------------------- streams


def test_a_stream_gives_deltas_with_offsets_and_the_whole_reply():
    deltas, reply = stream(fixture("thinking.sse"))
    assert deltas == [
        ThinkingDelta("**Zuerst …**\n\n"),
        ThinkingDelta("I compare both.", offset=14),
        TextDelta("Grüße 👋"),
        TextDelta(" and 漢字 ", offset=7),
        TextDelta("to you.", offset=15),
    ]
    assert reply.message == assistant(
        Thinking("**Zuerst …**\n\nI compare both.", None, "gemini"),
        "Grüße 👋 and 漢字 to you.",
        Raw("gemini", {"text": "", "thoughtSignature": "CpwBAb4+9vtTdHJlYW0gc2lnbmF0dXJl"}),
    )
    assert reply.usage == Usage(35, 109, 0, 0, 98)


def test_streamed_calls_without_ids_are_one_each():
    deltas, reply = stream(fixture("calls.sse"))
    assert deltas == [
        TextDelta("Looking it up."),
        ToolCallDelta(0, "search", '{"q":"é","limit":3}'),
        ToolCallDelta(1, "search", '{"q":"漢字 👋"}'),
        ToolCallDelta(2, "now"),
    ]
    assert reply.message.tool_calls == (
        ToolCall("search", {"q": "é", "limit": 3}, signature="AQIDBAUGBwgJCgsMDQ4P"),
        ToolCall("search", {"q": "漢字 👋"}),
        ToolCall("now"),
    )


def test_arguments_that_come_by_path_are_put_together():
    deltas, reply = stream(fixture("partial_arguments.sse"))
    booked = {
        "place": {"city": "New Yörk"},
        "guests": [{"full name": "Ada"}, {"full name": "Bob"}],
        "nights": 2,
        "late": True,
        "note": None,
    }
    assert reply.message.tool_calls == (
        ToolCall("book", booked, "fc_9", signature="CiQBcGFydGlhbA=="),
        ToolCall("now", {}, "fc_10"),
    )
    assert deltas[0] == ToolCallDelta(0, "book")
    assert isinstance(deltas[1], ToolCallDelta)
    assert json.loads(deltas[1].arguments) == booked


@pytest.mark.parametrize(
    "path", ["", "$", "city", "$[0]", "$.a[1]", "$.a[x]", "$..a", "$.taken.deep", "$['a", "$.a b", "$.a[999999999]"]
)
def test_an_argument_that_fits_nowhere_makes_the_call_invalid_rather_than_wrong(path):
    pieces = [{"jsonPath": "$.taken", "stringValue": "x"}, {"jsonPath": path, "stringValue": "v"}]
    (found,) = whole(call("f", partialArgs=pieces)).message.tool_calls
    assert (found.name, found.args) == ("f", {})
    assert "the server" in (found.invalid or "")


@pytest.mark.parametrize("after", [[], [call("g", {})]])
def test_a_call_that_never_ended_is_invalid(after):
    started = call("f", partialArgs=[{"jsonPath": "$.a", "stringValue": "x"}], willContinue=True)
    found = whole(started, *after).message.tool_calls[0]
    assert (found.name, found.args) == ("f", {})
    assert "never finished" in (found.invalid or "")


def test_text_with_a_signature_is_not_joined_to_text_without():
    _, reply = stream(sse(chunk({"text": "a"}), chunk({"text": "b", "thoughtSignature": "S"}), chunk(finish="STOP")))
    assert reply.message == assistant("a", "b", Thinking("", "S", "gemini"))
    sent = encode(user("x"), reply.message)["contents"][1]["parts"]
    assert sent == [{"text": "a"}, {"text": "b", "thoughtSignature": "S"}]


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(STREAMS), st.lists(st.integers(1, 900), max_size=40), st.booleans())
def test_any_chunking_of_a_recorded_stream_gives_the_same_deltas_and_reply(path, cuts, commented):
    data = (b": hello\n\n" if commented else b"") + path.read_bytes()
    decoder = GeminiStream()
    deltas, at = [], 0
    for size in cuts:
        deltas += decoder.feed(data[at : at + size])
        at += size
    deltas += decoder.feed(data[at:])
    assert (deltas, decoder.finish()) == stream(path.read_bytes())


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.name)
def test_a_recorded_stream_fed_byte_by_byte_gives_the_same(path):
    assert stream(path.read_bytes(), 1) == stream(path.read_bytes())


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(STREAMS), st.data())
def test_a_recorded_stream_cut_anywhere_before_its_end_is_a_typed_error_with_what_came(path, data):
    recorded = path.read_bytes()
    last = recorded.rindex(b"data: ")
    cut = data.draw(st.integers(0, last))
    decoder = GeminiStream()
    decoder.feed(recorded[:cut])
    with pytest.raises(MalformedReply) as caught:
        decoder.finish()
    assert caught.value.data.get("partial", "") == decoder.text
    assert caught.value.transient


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(1, 20))
def test_no_bytes_whatever_break_the_decoder_in_another_way_than_a_model_error(noise, size):
    with pytest.raises(ModelError):
        stream(b"data: " + noise + b"\n\n", size)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["text", "thought", "functionCall", "name", "args", "partialArgs", "jsonPath", "stringValue",
                         "willContinue", "inlineData", "data", "mimeType", "fileData", "thoughtSignature", "x"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(st.lists(JSON, max_size=4), JSON, JSON)
def test_no_json_whatever_breaks_the_decoder_in_another_way_than_a_model_error(parts, usage, more):
    body = {
        "candidates": [{"content": {"parts": parts}, "finishReason": "STOP", "groundingMetadata": more}],
        "usageMetadata": usage,
        "promptFeedback": more,
        "modelVersion": more,
    }
    reply = decode_reply(json.dumps(body).encode())
    encode_request(ModelRequest([user("x"), reply.message]), "gemini-3-pro")
    assert stream(sse(body))[1] == reply


def test_half_surrogate_pairs_in_two_events_become_the_character_they_are():
    halves = (r"a\ud83d", r"\udc4b b")
    events = [f'data: {{"candidates":[{{"content":{{"parts":[{{"text":"{half}"}}]}}}}]}}\n\n' for half in halves]
    deltas, reply = stream("".join(events).encode() + sse(chunk(finish="STOP")))
    assert reply.message.text == "a👋 b"
    assert deltas == [TextDelta("a"), TextDelta("👋 b", offset=1)]


def test_a_stream_that_ends_with_done_or_in_an_event_without_its_blank_line_is_whole():
    assert stream(sse(chunk({"text": "hi"})) + b"data: [DONE]\n\n")[1].message.text == "hi"
    assert stream(sse(chunk({"text": "hi"}, finish="STOP")).rstrip())[1].message.text == "hi"


@pytest.mark.parametrize("event", [b"oops", b"[1]", b'{"candidates": [{"con'])
def test_an_event_that_cannot_be_read_is_malformed_and_keeps_what_came_before_it(event):
    with pytest.raises(MalformedReply, match="base_url") as caught:
        stream(sse(chunk({"text": "so far"})) + b"data: " + event + b"\n\n")
    assert caught.value.data["partial"] == "so far"


@pytest.mark.parametrize("data", [b"", b"data: [DONE]\n\n", b": ping\n\n", b"hello there", sse({"candidates": []})])
def test_an_empty_stream_is_malformed(data):
    with pytest.raises(MalformedReply):
        stream(data)


def test_json_that_is_no_stream_is_read_all_the_same():
    refused = {"error": {"code": 403, "message": "denied", "status": "PERMISSION_DENIED"}}
    for body in (refused, [refused]):
        with pytest.raises(AuthenticationFailed):
            stream(json.dumps(body, indent=2).encode(), 7)
    assert stream(json.dumps(chunk({"text": "hi"}, finish="STOP"), indent=2).encode())[1].message.text == "hi"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}, RateLimited),
        ({"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}, Overloaded),
        ({"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}, AuthenticationFailed),
        ("boom", Overloaded),
    ],
)
def test_an_error_inside_a_stream_is_raised_with_what_came_before_it(error, kind):
    with pytest.raises(kind) as caught:
        stream(sse(chunk({"text": "so far"}), {"error": error}))
    assert caught.value.data["partial"] == "so far"


# ----------------------------------------------------------------------------------------------------------- errors


def refused(status: int, message: str, code: str = "INVALID_ARGUMENT", **more: object) -> bytes:
    return json.dumps({"error": {"code": status, "message": message, "status": code, **more}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "transient"),
    [
        (400, refused(400, "API key not valid. Please pass a valid API key."), AuthenticationFailed, False),
        (403, refused(403, "Permission denied", "PERMISSION_DENIED"), AuthenticationFailed, False),
        (401, refused(401, "Request had invalid authentication credentials.", "UNAUTHENTICATED"), AuthenticationFailed,
         False),
        (400, refused(400, "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
         ContextTooLong, False),
        (400, refused(400, 'Invalid JSON payload received. Unknown name "x"'), BadRequest, False),
        (404, refused(404, "models/x is not found for API version v1", "NOT_FOUND"), BadRequest, False),
        (429, fixture("quota.json"), RateLimited, True),
        (500, refused(500, "An internal error has occurred.", "INTERNAL"), Overloaded, True),
        (503, refused(503, "The model is overloaded.", "UNAVAILABLE"), Overloaded, True),
        (504, refused(504, "Deadline expired", "DEADLINE_EXCEEDED"), ModelTimeout, True),
        (502, b"<html>Bad Gateway</html>", Overloaded, True),
        (500, b"", Overloaded, True),
    ],
)  # fmt: skip
def test_a_status_and_body_become_the_error_that_says_what_to_do(status, body, kind, transient):
    error = gemini_error(status, body, model="m", server="http://h/v1", hints=GEMINI, secrets=["abcdef"])
    assert type(error) is kind
    assert error.transient is transient
    assert error.data["status"] == status


def test_the_wait_a_quota_error_asks_for_is_read_and_a_header_wins():
    body = fixture("quota.json")
    assert gemini_error(429, body, model="m", server="h", hints=GEMINI).data["retry_after"] == 34.074824224
    assert gemini_error(429, body, model="m", server="h", hints=GEMINI, retry_after=2.0).data["retry_after"] == 2.0
    with pytest.raises(RateLimited) as caught:
        stream(sse(json.loads(body)))
    assert caught.value.data["retry_after"] == 34.074824224


@pytest.mark.parametrize("delay", ["", "soon", "1e9s", "-1s", 5, None, "9" * 400 + "s"])
def test_a_wait_that_is_none_is_left_out(delay):
    body = refused(429, "x", details=[None, {"retryDelay": delay}])
    assert "retry_after" not in gemini_error(429, body, model="m", server="h", hints=GEMINI).data


def test_errors_name_what_holds_the_credentials_of_each_api():
    body = refused(401, "no", "UNAUTHENTICATED")
    assert "GEMINI_API_KEY" in str(gemini_error(401, body, model="m", server="h", hints=GEMINI))
    assert "gcloud auth" in str(gemini_error(401, body, model="m", server="h", hints=VERTEX))
    assert "v1beta" in str(gemini_error(404, body, model="m", server="h", hints=GEMINI))
