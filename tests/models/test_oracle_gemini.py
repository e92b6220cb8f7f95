"""The official SDK as a judge of the Gemini codec: the same bodies for the same requests, and the same answers read."""

import base64
import json
import logging
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import pytest
from google import genai
from google.genai import types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podium.core.messages import (
    Media,
    Message,
    ModelRequest,
    OutputSpec,
    Reply,
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
from podium.models.gemini import GeminiModel, VertexModel
from podium.models.gemini.reply import GeminiStream, decode_reply
from podium.models.gemini.request import encode_request
from podium.models.transport import HttpTransport

FIXTURES = Path(__file__).parent / "fixtures" / "gemini"
ANSWERS = sorted(path.name for path in FIXTURES.glob("*.json") if path.name != "quota.json")
STREAMS = sorted(path.name for path in FIXTURES.glob("*.sse"))
MODEL = "gemini-3-flash"
HELLO = b'{"candidates": [{"content": {"parts": [{"text": "hello"}]}, "finishReason": "STOP"}]}'

logging.getLogger("google_genai").setLevel(logging.ERROR)  # it warns of parts that are no text, at each answer


class Official:
    """The SDK on a network of our own: what it sends, and what it makes of `answer`."""

    def __init__(self, answer: bytes = HELLO, content_type: str = "application/json", **options: Any) -> None:
        self.seen: list[httpx2.Request] = []
        self._answer, self._type = answer, content_type
        client = httpx2.Client(transport=httpx2.MockTransport(self._handle))
        asynchronous = httpx2.AsyncClient(transport=httpx2.MockTransport(self._handle))
        http = types.HttpOptions(httpx_client=client, httpx_async_client=asynchronous)
        self.client = genai.Client(http_options=http, api_key="key", **options)

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request)
        return httpx2.Response(200, content=self._answer, headers={"content-type": self._type})

    def body(self, request: ModelRequest) -> dict[str, Any]:
        self.client.models.generate_content(model=MODEL, contents=spoken(request), config=configured(request))
        body = json.loads(self.seen.pop().content)
        if not body["generationConfig"]:  # it says even that there is nothing to say
            del body["generationConfig"]
        return body


# ------------------------------------------------------------------------------------- our request, as an SDK call


def spoken(request: ModelRequest) -> Any:
    return [
        types.Content(role="model" if message.role == "assistant" else "user", parts=pieces(message))
        for message in request.messages
        if message.role != "system"
    ]


def pieces(message: Message) -> list[types.Part]:
    found: list[types.Part] = []
    for part in message.parts:
        if isinstance(part, Text):
            found.append(types.Part(text=part.text))
        elif isinstance(part, ToolCall):
            call = types.FunctionCall(id=part.id, name=part.name, args=part.args)
            found.append(types.Part(function_call=call, thought_signature=opened(part.signature)))
        elif isinstance(part, ToolResult):
            response = {"error" if part.is_error else "output": part.content}
            answer = types.FunctionResponse(id=part.call_id, name=part.name, response=response)
            found.append(types.Part(function_response=answer))
        elif isinstance(part, Media) and part.data:
            found.append(types.Part(inline_data=types.Blob(mime_type=part.media_type, data=part.data)))
        elif isinstance(part, Media):
            found.append(types.Part(file_data=types.FileData(mime_type=part.media_type, file_uri=part.url)))
        elif isinstance(part, Thinking) and part.text:
            found.append(types.Part(text=part.text, thought=True, thought_signature=opened(part.signature)))
        elif isinstance(part, Thinking):
            found[-1].thought_signature = opened(part.signature)
    return found


def opened(signature: str | None) -> bytes | None:
    return base64.b64decode(signature) if signature else None


LEVELS = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "XHIGH"}


def configured(request: ModelRequest) -> types.GenerateContentConfig:
    asked = request.settings
    instructions = [types.Part(text=message.text) for message in request.messages if message.role == "system"]
    config = types.GenerateContentConfig(
        system_instruction=types.Content(parts=instructions) if instructions else None,
        max_output_tokens=asked.max_output_tokens,
        temperature=asked.temperature,
        top_p=asked.top_p,
        stop_sequences=list(asked.stop) or None,
        seed=asked.seed,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    if asked.reasoning_effort:
        level = types.ThinkingLevel(LEVELS[asked.reasoning_effort])
        config.thinking_config = types.ThinkingConfig(thinking_level=level, include_thoughts=True)
    if request.tools:
        declared = [
            types.FunctionDeclaration(
                name=tool.name, description=tool.description, parameters_json_schema=tool.parameters
            )
            for tool in request.tools
        ]
        config.tools = [types.Tool(function_declarations=declared)]
        if asked.tool_choice:
            calling = types.FunctionCallingConfig(mode=types.FunctionCallingConfigMode.ANY)
            if asked.tool_choice in ("auto", "none"):
                calling.mode = types.FunctionCallingConfigMode(asked.tool_choice.upper())
            elif asked.tool_choice != "required":
                calling.allowed_function_names = [asked.tool_choice]
            config.tool_config = types.ToolConfig(function_calling_config=calling)
    if request.output:
        config.response_mime_type = "application/json"
        config.response_json_schema = request.output.schema
    return config


OURS = {"args", "response", "parametersJsonSchema", "responseJsonSchema"}
"""What is a person's own data, whose names and values no wire may touch."""


def in_one_form(value: Any) -> Any:
    """A body with names and base64 in one form. Google's servers read both of each, and the SDK mixes them."""
    if isinstance(value, list):
        return [in_one_form(each) for each in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for key, each in value.items():
        first, *rest = key.split("_")
        name = first + "".join(word.title() for word in rest)
        if name in ("thoughtSignature", "data"):
            found[name] = each.replace("-", "+").replace("_", "/")
        else:
            found[name] = each if name in OURS else in_one_form(each)
    return found


@cache
def apis() -> tuple[Official, ...]:
    """The Gemini API and Vertex AI: the same wire, and one codec of ours for both."""
    return Official(), Official(vertexai=True)


def same(request: ModelRequest) -> None:
    ours = in_one_form(json.loads(json.dumps(encode_request(request, MODEL))))
    for official in apis():
        assert ours == in_one_form(official.body(request))


# ----------------------------------------------------------------------------------------------------- the requests

SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}, "n": {"type": "integer"}}, "required": ["q"]}
SEARCH = ToolSpec("search", "Search the catalogue.", SCHEMA)
FETCH = ToolSpec("fetch", "Fetch.", {"type": "object", "properties": {"u": {"anyOf": [{"type": "string"}]}}})
SIGNATURE = base64.b64encode(b"\xfb\xff signed \xfe").decode()

CORPUS = {
    "a question": ModelRequest([user("hi")]),
    "instructions and settings": ModelRequest(
        [system("Be brief."), system("Be kind."), user("hi"), assistant("hello"), user("again")],
        settings=Settings(max_output_tokens=5, temperature=0.0, top_p=0.5, stop=("a", "b"), seed=-7),
    ),
    "files": ModelRequest(
        [user([Text("see"), Media("image/png", bytes(range(256))), Media("video/mp4", url="gs://b/v.mp4")])]
    ),
    "a conversation with tools": ModelRequest(
        [
            user("find"),
            assistant(
                "Looking.",
                ToolCall("search", {"q": "é", "deep_one": {"a_b": [1, 2.5, None]}}, "1", signature=SIGNATURE),
                ToolCall("fetch", {}, "2"),
            ),
            tool_results(ToolResult("1", "search", "found"), ToolResult("2", "fetch", "gone", True)),
            assistant(Thinking("hm", SIGNATURE, "gemini"), "Found.", Thinking("", SIGNATURE, "gemini")),
            user("thanks"),
        ],
        (SEARCH, FETCH),
        Settings(tool_choice="auto"),
    ),
    "one tool only": ModelRequest([user("x")], (SEARCH, FETCH), Settings(tool_choice="fetch")),
    "any tool": ModelRequest([user("x")], (SEARCH,), Settings(tool_choice="required")),
    "no tool": ModelRequest([user("x")], (SEARCH,), Settings(tool_choice="none")),
    "an output schema": ModelRequest([user("x")], output=OutputSpec("out", SCHEMA)),
    "a schema beside tools": ModelRequest([user("x")], (SEARCH,), output=OutputSpec("out", SCHEMA)),
    **{f"effort {effort}": ModelRequest([user("x")], settings=Settings(reasoning_effort=effort)) for effort in LEVELS},
}  # fmt: skip


@pytest.mark.parametrize("name", CORPUS)
def test_the_sdk_sends_the_same_body(name):
    same(CORPUS[name])


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
NAMES = st.sampled_from(["search", "fetch"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=5,
)
MEDIA = st.builds(Media, st.just("image/png"), st.binary(min_size=1, max_size=9))
TEXTS = st.builds(Text, TEXT)
QUESTION = st.lists(TEXTS | MEDIA, min_size=1, max_size=3).map(user)
SIGNED = st.binary(min_size=1, max_size=9).map(lambda data: base64.b64encode(data).decode())


@st.composite
def turns(draw: st.DrawFn) -> list[Message]:
    """A model's turn with calls (the first of them signed) and their results, or one with text alone."""
    if not draw(st.booleans()):
        return [assistant(draw(TEXTS), Thinking("", draw(SIGNED), "gemini"))]
    names = draw(st.lists(NAMES, min_size=1, max_size=3))
    args = st.dictionaries(st.sampled_from(["q", "n", "x"]), VALUES, max_size=3)
    calls = [
        ToolCall(name, draw(args), f"id{index}", signature=None if index else draw(SIGNED))
        for index, name in enumerate(names)
    ]
    results = [ToolResult(f"id{index}", name, draw(TEXT), draw(st.booleans())) for index, name in enumerate(names)]
    return [assistant(*calls), tool_results(*results)]


REQUESTS = st.builds(
    lambda instruction, pairs, last, tools, asked, output: ModelRequest(
        [
            *([system(instruction)] if instruction else []),
            *(message for question, turn in pairs for message in (question, *turn)),
            last,
        ],
        tools,
        asked,
        output,
    ),
    st.none() | TEXT,
    st.lists(st.tuples(QUESTION, turns()), max_size=3),
    QUESTION,
    st.sampled_from([(), (SEARCH,), (SEARCH, FETCH)]),
    st.builds(
        Settings,
        max_output_tokens=st.none() | st.integers(1, 10**5),
        temperature=st.none() | st.floats(0, 2),
        top_p=st.none() | st.floats(0, 1),
        stop=st.lists(TEXT, max_size=3).map(tuple),
        seed=st.none() | st.integers(-(2**31), 2**31 - 1),
        tool_choice=st.sampled_from([None, "auto", "none", "required", "search"]),
        reasoning_effort=st.sampled_from([None, *LEVELS]),
    ),
    st.none() | st.just(OutputSpec("out", SCHEMA)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(REQUESTS)
def test_the_sdk_sends_the_same_body_for_any_request_that_both_can_say(request):
    same(request)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "options",
    [{}, {"vertexai": True}, {"vertexai": True, "project": "p", "location": "us-central1"},
     {"vertexai": True, "project": "p", "location": "global"}, {"vertexai": True, "project": "p", "location": "eu"}],
)  # fmt: skip
async def test_the_sdk_asks_the_same_address_with_the_same_key(options, stream, monkeypatch):
    for name in ("GOOGLE_GEMINI_BASE_URL", "GOOGLE_VERTEX_BASE_URL", "GOOGLE_GENAI_API_VERSION", "GOOGLE_CLOUD_PROJECT",
                 "GOOGLE_CLOUD_LOCATION"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    official = Official(b"data: " + HELLO + b"\n\n" if stream else HELLO, **options)
    asked = official.client.models.generate_content_stream if stream else official.client.models.generate_content
    list(asked(model=MODEL, contents="hi"))
    seen: list[httpx2.Request] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, content=HELLO, headers={"content-type": "application/json"})

    transport = HttpTransport(mock=httpx2.MockTransport(handler))
    place = {name: value for name, value in options.items() if name != "vertexai"}
    if options:
        model = VertexModel(MODEL, api_key="key", transport=transport, **place)
    else:
        model = GeminiModel(MODEL, api_key="key", transport=transport)
    await model.request(ModelRequest([user("hi")]), (lambda delta: None) if stream else None)
    await transport.aclose()
    assert (seen[0].method, seen[0].url) == (official.seen[0].method, official.seen[0].url)
    assert seen[0].headers["x-goog-api-key"] == official.seen[0].headers["x-goog-api-key"]


# ------------------------------------------------------------------------------------------------------ the answers


def usage_in(counts: types.GenerateContentResponseUsageMetadata | None) -> Usage:
    if counts is None:
        return Usage()
    thoughts = counts.thoughts_token_count or 0
    given = (counts.prompt_token_count or 0) + (counts.tool_use_prompt_token_count or 0)
    return Usage(
        given, (counts.candidates_token_count or 0) + thoughts, counts.cached_content_token_count or 0, 0, thoughts
    )


def media_in(reply: Reply) -> list[tuple[str | None, bytes | None]]:
    return [(part.media_type, part.data) for part in reply.message.parts if isinstance(part, Media)]


def thinking_in(reply: Reply) -> str:
    return "".join(part.text for part in reply.message.parts if isinstance(part, Thinking))


@pytest.mark.parametrize("name", ANSWERS)
def test_every_recorded_answer_is_one_to_the_sdk_which_reads_the_same_in_it(name):
    body = (FIXTURES / name).read_bytes()
    types.GenerateContentResponse.model_validate_json(body)
    read = Official(body).client.models.generate_content(model=MODEL, contents="x")
    if name.startswith(("blocked", "malformed")):  # of which we make an error, and the SDK an answer without text
        assert not read.function_calls
        return
    reply = decode_reply(body)
    parts = read.parts or []
    assert reply.message.text == (read.text or "")
    assert thinking_in(reply) == "".join(part.text or "" for part in parts if part.thought)
    assert [(call.name, call.args, call.id) for call in reply.message.tool_calls] == [
        (call.name, call.args or {}, call.id) for call in read.function_calls or []
    ]
    assert media_in(reply) == [
        (part.inline_data.mime_type, part.inline_data.data) for part in parts if part.inline_data
    ]
    assert (reply.usage, reply.model) == (usage_in(read.usage_metadata), read.model_version)


@pytest.mark.parametrize("name", STREAMS)
async def test_every_recorded_stream_is_one_to_the_sdk_which_reads_the_same_in_it(name):
    data = (FIXTURES / name).read_bytes()
    for event in data.decode().split("\r\n\r\n")[:-1]:
        types.GenerateContentResponse.model_validate_json(event.removeprefix("data: "))
    official = Official(data, "text/event-stream", vertexai=True)
    chunks = [
        chunk async for chunk in await official.client.aio.models.generate_content_stream(model=MODEL, contents="x")
    ]
    parts = [part for chunk in chunks for part in chunk.parts or []]
    decoder = GeminiStream()
    decoder.feed(data)
    reply = decoder.finish()
    assert reply.message.text == "".join(chunk.text or "" for chunk in chunks)
    assert thinking_in(reply) == "".join(part.text or "" for part in parts if part.thought)
    began = [part.function_call for part in parts if part.function_call and part.function_call.name]
    assert [(call.name, call.id) for call in reply.message.tool_calls] == [(call.name, call.id) for call in began]
    for ours, theirs in zip(reply.message.tool_calls, began, strict=True):
        assert theirs.will_continue or ours.args == (theirs.args or {})
    signatures = [base64.b64encode(part.thought_signature).decode() for part in parts if part.thought_signature]
    sent = encode_request(ModelRequest([user("x"), reply.message]), MODEL)["contents"][1]["parts"]
    assert [part["thoughtSignature"] for part in sent if "thoughtSignature" in part] == signatures
    assert (reply.usage, reply.model) == (usage_in(chunks[-1].usage_metadata), chunks[-1].model_version)
