"""The Responses codec: what is asked and what goes back; and the model that asks it."""

import json
from pathlib import Path

import httpx2
import pytest
from inline_snapshot import snapshot

from podium import Agent, tool
from podium.core.deltas import TextDelta
from podium.core.errors import (
    AuthenticationFailed,
    BadRequest,
    MalformedReply,
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
from podium.models import resolve
from podium.models.openai import OpenAIModel, OpenAIResponsesModel
from podium.models.openai.responses import (
    PROVIDER,
    RESPONSES,
    ResponsesDialect,
    decode_reply,
    encode_request,
)
from podium.models.transport import HttpTransport

from .loopback import serving

FIXTURES = Path(__file__).parent / "fixtures/openai-responses"
SEARCH = ToolSpec("search", "Search.", {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]})


def read(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def body_of(*messages, dialect: ResponsesDialect = RESPONSES, **options) -> dict:
    return encode_request(ModelRequest(messages, **options), "gpt-6-sol", stream=False, dialect=dialect)


def joined(deltas: list, kind: type) -> str:
    return "".join(delta.text for delta in deltas if type(delta) is kind)


# --------------------------------------------------------------------------------------------------------- encoding


def test_a_conversation_with_tools_and_settings_becomes_a_body():
    request = ModelRequest(
        messages=[
            system("Be brief."),
            system("Be kind."),
            user([Text("What is this?"), Media("image/png", b"\x89PNG"), Media("image/jpeg", url="https://x/y.jpg")]),
            assistant("Looking.", ToolCall("search", {"q": "é"}, "c1"), ToolCall("search", {"q": "b"})),
            tool_results(ToolResult("c1", "search", "one"), ToolResult("call_3_1", "search", "two", True)),
            system("Answer now."),
        ],
        tools=(SEARCH,),
        settings=Settings(
            max_output_tokens=9, temperature=0.5, top_p=0.9, tool_choice="search", parallel_tool_calls=False,
            reasoning_effort="low", extra={"metadata": {"k": "v"}},
        ),
    )  # fmt: skip
    assert encode_request(request, "gpt-6-sol", stream=True) == snapshot(
        {
            "model": "gpt-6-sol",
            "input": [
                {
                    "type": "message",
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "What is this?"},
                        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw==", "detail": "auto"},
                        {"type": "input_image", "image_url": "https://x/y.jpg", "detail": "auto"},
                    ],
                },
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Looking."}]},
                {"type": "function_call", "call_id": "c1", "name": "search", "arguments": '{"q":"é"}'},
                {"type": "function_call", "call_id": "call_3_1", "name": "search", "arguments": '{"q":"b"}'},
                {"type": "function_call_output", "call_id": "c1", "output": "one"},
                {"type": "function_call_output", "call_id": "call_3_1", "output": "Error: two"},
                {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Answer now."}]},
            ],
            "store": False,
            "instructions": "Be brief.\n\nBe kind.",
            "tools": [
                {
                    "type": "function",
                    "name": "search",
                    "description": "Search.",
                    "parameters": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
                    "strict": False,
                }
            ],
            "tool_choice": {"type": "function", "name": "search"},
            "parallel_tool_calls": False,
            "max_output_tokens": 9,
            "temperature": 0.5,
            "top_p": 0.9,
            "reasoning": {"effort": "low"},
            "include": ["reasoning.encrypted_content"],
            "metadata": {"k": "v"},
            "stream": True,
        }
    )


def test_an_output_schema_becomes_a_text_format():
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    spec = OutputSpec("my out!", {**schema, "additionalProperties": False})
    assert body_of(user("x"), output=spec)["text"] == {
        "format": {"type": "json_schema", "name": "my_out_", "schema": spec.schema, "strict": True}
    }
    assert body_of(user("x"), output=OutputSpec("o", schema))["text"]["format"]["strict"] is False


def test_only_system_messages_are_input_because_a_request_without_input_is_refused():
    body = body_of(system("Say hello."))
    assert "instructions" not in body
    assert body["input"][0]["role"] == "system"


def test_who_speaks_is_said_in_the_text_because_the_wire_has_no_field_for_it():
    assert body_of(user("hi", name="Ada L"))["input"][0]["content"] == [
        {"type": "input_text", "text": "Ada_L: "},
        {"type": "input_text", "text": "hi"},
    ]


def test_media_after_a_result_is_part_of_the_result_and_media_alone_is_the_users():
    image = Media("image/png", b"\x89PNG")
    picture = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw==", "detail": "auto"}
    both = tool_results(ToolResult("c1", "shoot", "done"), image, ToolResult("c2", "look", "no"))  # type: ignore[arg-type]
    assert body_of(both)["input"] == [
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_text", "text": "done"}, picture],
        },
        {"type": "function_call_output", "call_id": "c2", "output": "no"},
    ]
    assert body_of(tool_results(image))["input"] == [{"type": "message", "role": "user", "content": [picture]}]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("media", "part"),
    [
        (
            Media("application/pdf", b"%PDF", name="a.pdf"),
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERg=="},
        ),
        (
            Media("text/csv", b"a"),
            {"type": "input_file", "filename": "file.csv", "file_data": "data:text/csv;base64,YQ=="},
        ),
        (Media("application/pdf", url="https://x/a.pdf"), {"type": "input_file", "file_url": "https://x/a.pdf"}),
    ],
)
def test_files_travel_by_value_or_by_address(media, part):
    assert body_of(user([media]))["input"][0]["content"] == [part]


@pytest.mark.parametrize(
    ("request_", "remedy"),
    [
        (ModelRequest([user("x")], settings=Settings(stop=("END",))), "no stop: leave it out"),
        (ModelRequest([user("x")], settings=Settings(seed=1)), r"no seed.*openai:NAME"),
        (ModelRequest([user("x")], settings=Settings(stop=("a",), seed=1)), "no stop and no seed: leave them out"),
        (ModelRequest([user("x")], (SEARCH,), Settings(tool_choice="other")), "search"),
        (ModelRequest([user([Media("audio/wav", b"RIFF")])]), "Chat Completions"),
        (ModelRequest([user([Media("image/png")])]), "data="),
        (ModelRequest([assistant(Media("image/png", b"x"))]), "user message"),
    ],
)
def test_what_the_wire_cannot_carry_is_refused_with_the_remedy(request_, remedy):
    with pytest.raises(BadRequest, match=remedy):
        encode_request(request_, "m", stream=False)


def test_extra_adds_tools_and_inclusions_and_joins_groups_instead_of_replacing_them():
    extra = {
        "tools": [{"type": "web_search"}],
        "include": ["web_search_call.action.sources", "reasoning.encrypted_content"],
        "reasoning": {"summary": "auto"},
        "text": {"verbosity": "low"},
        "store": True,
        "model": "other",
    }
    output = OutputSpec("o", {"type": "object"})
    body = body_of(
        user("x"), tools=(SEARCH,), output=output, settings=Settings(reasoning_effort="high", extra=extra)
    )  # fmt: skip
    assert [tool["type"] for tool in body["tools"]] == ["function", "web_search"]
    assert body["include"] == ["reasoning.encrypted_content", "web_search_call.action.sources"]
    assert body["reasoning"] == {"effort": "high", "summary": "auto"}
    assert sorted(body["text"]) == ["format", "verbosity"]
    assert (body["store"], body["model"]) == (True, "gpt-6-sol")


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("gpt-6-sol", True),
        ("o4-mini", True),
        ("gpt-5.4-mini", True),
        ("my-deployment", True),
        ("gpt-4o", False),
        ("gpt-4.1-mini", False),
        ("ft:gpt-4o-mini:team::x", False),
        ("gpt-5-chat-latest", False),
        ("gpt-3.5-turbo", False),
    ],
)
def test_encrypted_reasoning_is_asked_of_models_that_may_reason(model, asked):
    request = ModelRequest([user("x")])
    assert ("include" in encode_request(request, model, stream=False)) is asked
    for choice in (True, False):
        dialect = ResponsesDialect(encrypted_reasoning=choice)
        assert ("include" in encode_request(request, model, stream=False, dialect=dialect)) is choice


def test_thinking_of_other_providers_and_unsigned_thinking_are_left_out():
    parts = [
        Thinking("a", "sig", "anthropic"),
        Thinking("b", '{"id":"rs","encrypted_content":"x","pieces":[]}', "azure"),
        Thinking("c"),
        Thinking("d", "not json"),
        Thinking("e", "[1]"),
        Raw("openai", {"type": "hologram"}),
    ]
    assert body_of(user("x"), assistant(*parts, "ok"))["input"][1:] == [
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]}
    ]


def test_reasoning_that_led_to_nothing_is_left_out_because_the_server_would_refuse_it():
    reply = decode_reply(read("length.json"))
    thinking, text = reply.message.parts
    assert [item["type"] for item in body_of(assistant(thinking, text))["input"]] == ["reasoning", "message"]
    assert body_of(user("x"), assistant(thinking))["input"][1:] == []


def test_reasoning_that_only_the_server_could_find_goes_back_only_if_it_is_stored_there():
    thinking = Thinking("why", '{"id":"rs_1","pieces":[["summary_text",3]]}', PROVIDER)
    item = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "why"}]}
    assert body_of(assistant(thinking, "ok"), dialect=ResponsesDialect(store=True))["input"][0] == item
    assert body_of(assistant(thinking, "ok"))["input"][0]["type"] == "message"


def test_reasoning_whose_text_was_redacted_goes_back_redacted():
    thinking, *rest = decode_reply(read("reasoning-tools.json")).message.parts
    assert isinstance(thinking, Thinking)
    changed = Thinking("[redacted]", thinking.signature, thinking.provider)
    (item, *_) = body_of(assistant(changed, *rest))["input"]
    assert item["summary"] == [{"type": "summary_text", "text": "[redacted]"}]
    assert item["encrypted_content"]


@pytest.mark.parametrize("name", ["reasoning-tools", "open-reasoning", "web-search", "tools"])
def test_what_a_reply_held_goes_back_as_it_came(name):
    output = json.loads(read(f"{name}.json"))["output"]
    items = body_of(user("x"), decode_reply(read(f"{name}.json")).message)["input"][1:]
    assert [item["type"] for item in items] == [item["type"] for item in output]
    for item, original in zip(items, output, strict=True):
        if item["type"] == "function_call":
            assert json.loads(item.pop("arguments")) == json.loads(original["arguments"])
        if item["type"] == "message":
            for part, before in zip(item.pop("content"), original["content"], strict=True):
                assert part.items() <= before.items()
                assert part.get("annotations", []) == before["annotations"]
        assert item.items() <= original.items()
        if item["type"] not in ("message", "function_call"):
            assert item == original


# ------------------------------------------------------------------------------------------------------ cache's key


def key_of(request: ModelRequest) -> object:
    return encode_request(request, "m", stream=False, dialect=ResponsesDialect(cache_key=True)).get("prompt_cache_key")


def test_the_cache_key_is_stable_for_an_agent_and_its_prompt_and_differs_between_them():
    def request(agent: str, prompt: str, text: str) -> ModelRequest:
        return ModelRequest([system(prompt), user(text)], agent=agent)

    first = key_of(request("shop", "Be brief.", "one"))
    assert first == key_of(request("shop", "Be brief.", "two"))
    assert isinstance(first, str)
    assert first.startswith("shop-")
    assert len({first, key_of(request("desk", "Be brief.", "x")), key_of(request("shop", "Be kind.", "x"))}) == 3


def test_the_cache_key_fits_the_servers_limit_and_is_left_out_when_caching_is_off():
    long = ModelRequest([system("Be brief."), user("x")], agent="é" * 200)
    assert len(str(key_of(long))) <= 64
    assert key_of(ModelRequest([user("x")], agent="shop")) == "shop"
    assert key_of(ModelRequest([user("x")])) is None
    off = ModelRequest([system("Be brief.")], agent="shop", settings=Settings(prompt_cache="off"))
    assert key_of(off) is None
    assert "prompt_cache_key" not in encode_request(long, "m", stream=False)
    own = ModelRequest([system("Be brief.")], settings=Settings(extra={"prompt_cache_key": "mine"}))
    assert key_of(own) == "mine"


# ------------------------------------------------------------------------------------------------------------ model

KEY = "sk-test-0123456789abcdef"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("suffix", ["", "/", "/responses", "/chat/completions"])
@pytest.mark.parametrize("streamed", [True, False])
async def test_the_model_asks_responses_with_the_key_and_gives_the_reply(suffix, streamed):
    async def handler(exchange):
        if streamed:
            await exchange.answer(200, read("text.sse"), content_type="text/event-stream")
        else:
            await exchange.answer(200, read("text.json"), content_type="application/json")

    deltas = []
    async with serving(handler) as server:
        model = OpenAIResponsesModel("gpt-6-sol", base_url=server.url + suffix, api_key=KEY)
        reply = await model.request(ModelRequest([user("hi")]), deltas.append if streamed else None)
        await model.aclose()
    (seen,) = server.exchanges
    assert model.name == "openai-responses:gpt-6-sol"
    assert seen.path == "/v1/responses"
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert (seen.body.get("stream", False), seen.body["store"]) == (streamed, False)
    assert reply.message.text == "Grüße 👋 from the 漢字 shop."
    assert bool(deltas) is streamed


@pytest.mark.parametrize("whole", [True, False])
async def test_a_connection_lost_in_a_stream_is_malformed_unless_the_answer_had_ended(whole):
    async def handler(exchange):
        await exchange.begin_stream()
        data = read("text.sse")
        await exchange.piece(data if whole else data.partition(b"event: response.output_text.done")[0])
        exchange.drop()

    deltas = []
    async with serving(handler) as server:
        model = OpenAIResponsesModel("gpt-6-sol", base_url=server.url, api_key=KEY)
        if whole:
            reply = await model.request(ModelRequest([user("hi")]), deltas.append)
            assert reply.message.text == joined(deltas, TextDelta)
        else:
            with pytest.raises(MalformedReply) as caught:
                await model.request(ModelRequest([user("hi")]), deltas.append)
            assert caught.value.data["partial"] == joined(deltas, TextDelta) != ""
        await model.aclose()


@pytest.mark.parametrize("build", [OpenAIModel, OpenAIResponsesModel])
async def test_the_listing_of_models_proves_the_key(build):
    seen = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append((request.method, str(request.url), request.headers["authorization"]))
        return httpx2.Response(200 if request.headers["authorization"].endswith(KEY) else 401, json={"data": []})

    transport = HttpTransport(mock=httpx2.MockTransport(handler))
    assert "HTTP 200" in await build("m", api_key=KEY, transport=transport).check()
    with pytest.raises(AuthenticationFailed, match="OPENAI_API_KEY"):
        await build("m", api_key="wrong", transport=transport).check()
    await transport.aclose()
    assert seen[0] == ("GET", "https://api.openai.com/v1/models", f"Bearer {KEY}")


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_agent_sends_reasoning_and_results_back_in_the_next_turn(streamed):
    @tool(effect="read")
    def search(query: str) -> str:
        """Search the catalogue."""
        return f"Alta 2 for {query}"

    async def handler(exchange):
        name = "text" if len(server.exchanges) == 2 else "reasoning-tools"
        streams = exchange.body.get("stream")
        form, kind = ("sse", "text/event-stream") if streams else ("json", "application/json")
        await exchange.answer(200, read(f"{name}.{form}"), content_type=kind)

    async with serving(handler) as server:
        model = OpenAIResponsesModel("gpt-6-sol", base_url=server.url, api_key=KEY)
        agent = Agent("shop", model=model, tools=[search], system_prompt="Be brief.")
        if streamed:
            stream = agent.stream("A tent for two?")
            async for _ in stream:
                pass
        else:
            result = await agent.run("A tent for two?")
            assert result.output == "Grüße 👋 from the 漢字 shop."
        await model.aclose()
    first, second = (exchange.body for exchange in server.exchanges)
    assert (first["instructions"], first.get("stream", False)) == ("Be brief.", streamed)
    assert second["input"][: len(first["input"])] == first["input"]
    reasoning, commentary, wish, result = second["input"][len(first["input"]) :]
    assert reasoning == json.loads(read("reasoning-tools.json"))["output"][0]
    assert commentary["phase"] == "commentary"
    assert wish["call_id"] == result["call_id"] == "call_D4"
    assert result["output"] == "Alta 2 for two person tent"


async def test_the_model_is_found_by_name_and_takes_its_address_from_the_environment(monkeypatch):
    async with serving(lambda exchange: exchange.answer(200, read("text.json"))) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        model = resolve("openai-responses:gpt-6-sol")
        assert isinstance(model, OpenAIResponsesModel)
        await model.request(ModelRequest([user("hi")]))
        await model.aclose()
    assert "prompt_cache_key" not in server.exchanges[0].body


def test_the_options_of_the_model_reach_the_body():
    model = OpenAIResponsesModel("m", store=True, encrypted_reasoning=False, reasoning_summary="auto", cache_key=True)
    body = model._codec("s").encode(ModelRequest([user("x")], agent="shop"), stream=False)
    assert "include" not in body
    assert (body["store"], body["reasoning"], body["prompt_cache_key"]) == (True, {"summary": "auto"}, "shop")


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        (None, True),
        ("https://eu.api.openai.com/v1", True),
        ("https://res.openai.azure.com/openai/v1", True),
        ("http://localhost:8000/v1", False),
        ("https://openrouter.ai/api/v1", False),
    ],
)
def test_the_cache_key_goes_to_openai_and_azure_only(url, sent):
    model = OpenAIResponsesModel("m", base_url=url)
    assert (
        "prompt_cache_key" in model._codec("s").encode(ModelRequest([system("s"), user("x")]), stream=False)
    ) is sent
