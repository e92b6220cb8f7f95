"""Requests to Claude: turns, files, tools, thinking and schemas as the Messages wire wants them."""

import json

import pytest
from inline_snapshot import snapshot

from podium.core.errors import (
    BadRequest,
)
from podium.core.messages import (
    Media,
    Message,
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
from podium.models.anthropic.request import BEFORE, Dialect, encode_request

MODEL = "claude-sonnet-5-5"
SEARCH = ToolSpec("search", "Search.", {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]})
NOW = ToolSpec("now", "The time.", {})
MINE = Thinking("hm", "sig", "anthropic")


def encode(*messages, tools=(), model=MODEL, output=None, stream=False, dialect=None, **options):
    request = ModelRequest(messages or (user("hi"),), tools, Settings(**options), output)
    return encode_request(request, model, stream=stream, dialect=dialect or Dialect())


def turns(*messages):
    return encode(*messages)["messages"]


def said(text: str, **more) -> dict:
    return {"type": "text", "text": text, **more}


# ------------------------------------------------------------------------------------------------- turns and settings


def test_a_conversation_with_tools_and_settings_becomes_a_body():
    body = encode(
        system("Be brief."),
        system("Be kind."),
        user([Text("What is this?"), Media("image/png", b"\x89PNG"), Media("image/jpeg", url="https://x/y.jpg")]),
        assistant(MINE, "Looking.", ToolCall("search", {"q": "é"}, "c1"), ToolCall("search", {"q": "b"}, "c2")),
        tool_results(ToolResult("c1", "search", "one"), ToolResult("c2", "search", "two", True)),
        tools=(SEARCH, NOW),
        stream=True,
        max_output_tokens=900,
        stop=("END",),
        parallel_tool_calls=False,
        reasoning_effort="high",
        extra={"metadata": {"user_id": "u1"}},
        prompt_cache="off",
    )
    assert body == snapshot(
        {
            "model": "claude-sonnet-5-5",
            "max_tokens": 900,
            "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}],
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "What is this?"},
                        {
                            "type": "image",
                            "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw=="},
                        },
                        {"type": "image", "source": {"type": "url", "url": "https://x/y.jpg"}},
                    ],
                },
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "sig"},
                        {"type": "text", "text": "Looking."},
                        {"type": "tool_use", "id": "c1", "name": "search", "input": {"q": "é"}},
                        {"type": "tool_use", "id": "c2", "name": "search", "input": {"q": "b"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "c1", "content": "one"},
                        {"type": "tool_result", "tool_use_id": "c2", "content": "two", "is_error": True},
                    ],
                },
            ],
            "tools": [
                {
                    "name": "search",
                    "input_schema": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
                    "description": "Search.",
                },
                {"name": "now", "input_schema": {"type": "object", "properties": {}}, "description": "The time."},
            ],
            "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
            "thinking": {"type": "adaptive"},
            "output_config": {"effort": "high"},
            "stop_sequences": ["END"],
            "metadata": {"user_id": "u1"},
            "stream": True,
        }
    )


def test_messages_of_one_role_are_merged_and_results_come_first():
    found = turns(
        user("a"), user("b"), assistant("c"), assistant(ToolCall("f", {}, "c1"), ToolCall("f", {}, "c2")),
        user("wait"), tool_results(ToolResult("c1", "f", "1")), tool_results(ToolResult("c2", "f", "2")), user("go"),
    )  # fmt: skip
    assert [(turn["role"], [block["type"] for block in turn["content"]]) for turn in found] == [
        ("user", ["text", "text"]),
        ("assistant", ["text", "tool_use", "tool_use"]),
        ("user", ["tool_result", "tool_result", "text", "text"]),
    ]
    assert [block["tool_use_id"] for block in found[2]["content"][:2]] == ["c1", "c2"]


def test_a_later_system_message_is_told_in_the_users_turn():
    found = turns(system("front"), user("a"), assistant("b"), system("Now in French."), user("c"))
    assert found[2]["content"] == [said("<system-reminder>\nNow in French.\n</system-reminder>"), said("c")]


def test_a_named_speaker_is_named_in_the_text():
    found = turns(Message("user", (Text("hello"),), "ada"), user([Media("image/png", b"x")], "bob"))
    assert [block.get("text") for block in found[0]["content"]] == ["ada: hello", "bob:", None]


def test_what_the_wire_refuses_as_empty_is_left_out():
    found = turns(
        user("a"), user(" "), assistant("\n", ToolCall("f", {}, "c1")),
        tool_results(ToolResult("c1", "f", ""), ToolResult("c9", "f", "", is_error=True)), assistant(""), user("b"),
    )  # fmt: skip
    assert [block["type"] for turn in found for block in turn["content"]] == [
        "text", "tool_use", "tool_result", "tool_result", "text",
    ]  # fmt: skip
    silent, failed = found[2]["content"][:2]
    assert "content" not in silent
    assert failed["content"]


@pytest.mark.parametrize("messages", [(), (system("only"),), (user(" "),), (assistant(Thinking("a", "b", "gemini")),)])
def test_a_conversation_without_anything_to_answer_is_refused(messages):
    with pytest.raises(BadRequest, match="user message"):
        encode_request(ModelRequest(messages), MODEL, stream=False)


def test_a_conversation_that_the_assistant_begins_gets_a_users_turn_in_front():
    assert [turn["role"] for turn in turns(assistant("Welcome!"), user("hi"))] == ["user", "assistant", "user"]


def test_only_its_own_signed_thoughts_and_raw_blocks_go_back():
    redacted = {"type": "redacted_thinking", "data": "xyz"}
    (_, answer, _) = turns(
        user("q"),
        assistant(
            MINE, Thinking("old", "sig0"), Thinking("no signature", None, "anthropic"), Thinking("g", "s", "gemini"),
            Thinking("", "empty", "anthropic"), Raw("anthropic", redacted), Raw("openai", {"type": "reasoning"}), "ok",
        ),
        user("more"),
    )  # fmt: skip
    assert answer["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "thinking", "thinking": "old", "signature": "sig0"},
        {"type": "thinking", "thinking": "", "signature": "empty"},
        redacted,
        said("ok"),
    ]


def test_an_answer_cut_off_while_thinking_does_not_end_a_turn_in_a_thought():
    assert turns(user("a"), assistant(MINE), user("b")) == [{"role": "user", "content": [said("a"), said("b")]}]
    assert turns(user("a"), assistant("b", MINE))[1]["content"] == [said("b")]
    merged = turns(user("a"), assistant(MINE), assistant("b"))
    assert [block["type"] for block in merged[1]["content"]] == ["thinking", "text"]


def test_ids_and_names_of_other_providers_are_made_acceptable_and_stay_paired():
    found = turns(
        user("a"), assistant(ToolCall("no.such:tool", {}, "functions.f:0"), ToolCall("f", {}, "functions.f_0")),
        tool_results(ToolResult("functions.f:0", "f", "x"), ToolResult("functions.f_0", "f", "y")),
    )  # fmt: skip
    calls = [block["id"] for block in found[1]["content"]]
    assert calls == [block["tool_use_id"] for block in found[2]["content"]]
    assert len(set(calls)) == 2
    assert all(id.replace("_", "").isalnum() for id in calls)
    assert found[1]["content"][0]["name"] == "no_such_tool"


def test_an_image_that_a_tool_returned_stands_in_its_result():
    picture = Media("image/png", b"\x89PNG")
    found = turns(
        user("a"), assistant(ToolCall("f", {}, "c1"), ToolCall("g", {}, "c2")),
        Message("tool", (ToolResult("c1", "f", "see"), picture, ToolResult("c2", "g", "no", True), picture)),
    )[2]["content"]  # fmt: skip
    assert [block["type"] for block in found] == ["tool_result", "tool_result", "image"]
    assert [block["type"] for block in found[0]["content"]] == ["text", "image"]
    assert found[1]["content"] == "no"  # an error may hold only text


@pytest.mark.parametrize(
    ("media", "block"),
    [
        (Media("application/pdf", b"%PDF", name="a.pdf"),
         {"type": "document", "title": "a.pdf",
          "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}}),
        (Media("application/pdf", url="https://x/a.pdf"),
         {"type": "document", "source": {"type": "url", "url": "https://x/a.pdf"}}),
        (Media("text/csv", "ä,b".encode(), name="t.csv"),
         {"type": "document", "title": "t.csv", "source": {"type": "text", "media_type": "text/plain", "data": "ä,b"}}),
        (Media("application/json", b"{}"),
         {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "{}"}}),
        (Media("image/jpg", b"x"),
         {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "eA=="}}),
        (Media("image/png", url="data:image/webp;base64,eA=="),
         {"type": "image", "source": {"type": "base64", "media_type": "image/webp", "data": "eA=="}}),
    ],
)  # fmt: skip
def test_a_file_becomes_the_block_of_its_kind(media, block):
    assert turns(user([media]))[0]["content"] == [block]


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        (user([Media("image/tiff", b"x")]), "convert"),
        (user([Media("audio/mpeg", b"x")]), "text instead"),
        (user([Media("application/pdf")]), "data="),
        (user([Media("text/plain", url="https://x")]), "data="),
        (user([Media("text/plain", b"\xff\xfe\x00")]), "UTF-8"),
        (user([Media("text/plain", b" ")]), "empty"),
        (user([Media("image/png", url="data:image/png,abc")]), "base64"),
        (assistant(Media("image/png", b"x")), "user message"),
    ],
)
def test_a_file_the_wire_cannot_carry_is_refused_with_the_remedy(message, remedy):
    with pytest.raises(BadRequest, match=remedy):
        encode(user("x"), message)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        ({"tool_choice": "search", "parallel_tool_calls": False},
         {"type": "tool", "name": "search", "disable_parallel_tool_use": True}),
        ({"parallel_tool_calls": True}, None),
    ],
)  # fmt: skip
def test_the_choice_of_a_tool_is_said_in_the_wires_words(options, expected):
    assert encode(tools=(SEARCH,), model="claude-haiku-5-5", **options).get("tool_choice") == expected


@pytest.mark.parametrize(
    ("model", "options", "match"),
    [
        (MODEL, {"tool_choice": "other"}, "search"),
        (MODEL, {"tool_choice": "required"}, "cannot be made to call"),
        ("claude-opus-5-5", {"tool_choice": "search"}, "cannot be made to call"),
        ("claude-fable-5-1", {"tool_choice": "search"}, "cannot be made to call"),
        ("claude-opus-4-7", {"tool_choice": "required", "reasoning_effort": "low"}, "cannot think and"),
    ],
)
def test_a_choice_the_model_cannot_follow_is_refused(model, options, match):
    with pytest.raises(BadRequest, match=match):
        encode(tools=(SEARCH,), model=model, **options)


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "sent"),
    [
        (MODEL, "high", {"type": "adaptive"}, "high"),
        (MODEL, "minimal", {"type": "adaptive"}, "low"),
        (MODEL, "none", {"type": "between_tools"}, None),
        ("claude-opus-5", "none", {"type": "disabled"}, None),
        ("claude-opus-4-8", "none", None, None),
        ("claude-opus-4-6", "max", {"type": "adaptive"}, "max"),
        ("claude-haiku-4-5-20251001", "medium", {"type": "enabled", "budget_tokens": 4096}, None),
        ("claude-sonnet-4-20250514", "low", {"type": "enabled", "budget_tokens": 2048}, None),
        ("claude-3-5-haiku-latest", "none", None, None),
        ("kimi-k3", "low", {"type": "adaptive"}, "low"),
        (MODEL, None, None, None),
    ],
)
def test_reasoning_effort_is_said_as_the_model_understands_it(model, effort, thinking, sent):
    body = encode(model=model, reasoning_effort=effort)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == sent


@pytest.mark.parametrize(
    ("model", "options", "match"),
    [
        ("claude-opus-5-5", {"reasoning_effort": "none"}, "always thinks"),
        (MODEL, {"reasoning_effort": "huge"}, "none, minimal, low"),
        ("claude-3-5-sonnet-20241022", {"reasoning_effort": "low"}, "does not think"),
        ("claude-haiku-4-5", {"reasoning_effort": "low", "max_output_tokens": 1000}, "2048"),
        (MODEL, {"seed": 1}, "seed"),
        (MODEL, {"stop": (" \n",)}, "stop"),
        (MODEL, {"prompt_cache": "2h"}, "5m, 1h or off"),
        (MODEL, {"extra": {"messages": []}}, "conversation"),
    ],
)
def test_a_setting_that_would_be_refused_is_refused_at_once_and_named(model, options, match):
    with pytest.raises(BadRequest, match=match):
        encode(model=model, **options)


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"top_p": 0.9}, {"extra": {"top_k": 3}}])
def test_sampling_settings_need_the_version_before(options):
    with pytest.raises(BadRequest, match=f'version="{BEFORE}"'):
        encode(**options)
    body = encode(dialect=Dialect(version=BEFORE), **options)
    assert {"temperature", "top_p", "top_k"} & body.keys()


def test_summaries_of_thinking_are_asked_for_or_left_out():
    def thinking(shown, **options):
        return encode(dialect=Dialect(show_thinking=shown), **options).get("thinking")

    assert thinking(True) == {"type": "adaptive", "display": "summarized"}
    assert thinking(False, reasoning_effort="low") == {"type": "adaptive", "display": "omitted"}
    assert thinking(False) is None
    assert thinking(None, extra={"thinking": {"type": "disabled"}}) == {"type": "disabled"}


def test_extra_is_merged_object_by_object_and_its_tools_stand_behind_ours():
    web = {"type": "web_search_20260209", "name": "web_search"}
    extra = {"output_config": {"task_budget": {"total": 1}}, "tools": [web], "model": "other", "stream": True}
    body = encode(tools=(SEARCH,), reasoning_effort="low", extra=extra, prompt_cache="off")
    assert body["output_config"] == {"effort": "low", "task_budget": {"total": 1}}
    assert [tool["name"] for tool in body["tools"]] == ["search", "web_search"]
    assert body["model"] == MODEL
    assert "stream" not in body


def test_tools_can_be_strict_where_their_schema_allows_it_and_stream_eagerly():
    anything = ToolSpec("any", "", {"type": "object", "additionalProperties": True})
    strict, loose = encode(tools=(SEARCH, anything), dialect=Dialect(strict_tools=True, eager_input=True))["tools"]
    assert strict["strict"] is True
    assert strict["input_schema"]["additionalProperties"] is False
    assert "strict" not in loose
    assert "description" not in loose
    assert strict["eager_input_streaming"]
    assert loose["eager_input_streaming"]
    assert "additionalProperties" not in SEARCH.parameters


# ------------------------------------------------------------------------------------------------------------ schemas

PERSON = {
    "type": "object",
    "title": "Person",
    "properties": {
        "name": {"type": "string", "description": "Full name.", "minLength": 1},
        "age": {"type": ["integer", "null"], "minimum": 0},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2},
        "home": {"$ref": "#/definitions/Place", "description": "Where."},
    },
    "required": ["name"],
    "definitions": {"Place": {"properties": {"city": {"type": "string", "format": "iban"}}}},
}


def test_a_schema_is_adapted_in_a_copy():
    before = json.dumps(PERSON)
    body = encode(output=OutputSpec("person", PERSON))
    assert json.dumps(PERSON) == before
    assert "system" not in body
    assert body["output_config"]["format"] == snapshot(
        {
            "type": "json_schema",
            "schema": {
                "$defs": {
                    "Place": {
                        "type": "object",
                        "properties": {"city": {"type": "string", "description": "{format: iban}"}},
                        "additionalProperties": False,
                    }
                },
                "type": "object",
                "title": "Person",
                "properties": {
                    "name": {"type": "string", "description": "Full name.\n\n{minLength: 1}"},
                    "age": {"anyOf": [{"type": "integer", "description": "{minimum: 0}"}, {"type": "null"}]},
                    "tags": {
                        "type": "array",
                        "items": {"enum": ["a", "b"]},
                        "description": "{minItems: 2}",
                    },
                    "home": {"$ref": "#/$defs/Place"},
                },
                "additionalProperties": False,
                "required": ["name"],
            },
        }
    )


TREE = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/T"}}}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "object"},
        {},
        {"type": "array"},
        {"type": "array", "items": True},
        {"$ref": "#/$defs/T", "$defs": {"T": TREE}},
        {"$ref": "#"},
        {"$ref": "#/$defs/missing"},
        {"type": "object", "properties": {"x": {}}},
    ],
)
def test_a_schema_that_would_lose_its_meaning_is_said_in_words(schema):
    body = encode(system("Be brief."), user("x"), output=OutputSpec("out", schema))
    assert "output_config" not in body
    assert body["system"][0]["text"] == "Be brief."
    assert json.dumps(schema, separators=(",", ":")) in body["system"][1]["text"]


def test_a_model_that_cannot_be_held_to_a_schema_is_told_it():
    body = encode(model="claude-sonnet-4-20250514", output=OutputSpec("p", {"enum": ["a"]}))
    assert '{"enum":["a"]}' in body["system"][0]["text"]


def test_a_schema_and_an_effort_stand_side_by_side():
    body = encode(output=OutputSpec("p", {"enum": ["a"]}), reasoning_effort="low")
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": {"enum": ["a"]}}, "effort": "low"}
