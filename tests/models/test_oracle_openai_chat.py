"""The Chat Completions codec and the official SDK agree: on what is asked, and on what every fixture says."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import OpenAI, pydantic_function_tool
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessageParam,
    ChatCompletionToolUnionParam,
)
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from podium.core.messages import (
    Media,
    Message,
    ModelRequest,
    OutputSpec,
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
from podium.models.openai.chat import ChatDialect, ChatStream, decode_reply, encode_request

FIXTURES = Path(__file__).parent / "fixtures/openai-chat"
MODEL = "gpt-5.4-mini"
DIALECT = ChatDialect(cache_key=True)
STRICT = ConfigDict(extra="forbid")
# As lists, because only so can pydantic be told to refuse fields that a typed dictionary does not have.
MESSAGES: TypeAdapter[Any] = TypeAdapter(list[ChatCompletionMessageParam], config=STRICT)
TOOLS: TypeAdapter[Any] = TypeAdapter(list[ChatCompletionToolUnionParam], config=STRICT)
BODIES: TypeAdapter[Any] = TypeAdapter(list[CompletionCreateParamsNonStreaming], config=STRICT)


def answering(content: bytes, content_type: str = "application/json") -> tuple[OpenAI, list[dict]]:
    """A client whose server always answers this, and the bodies it was sent."""
    bodies: list[dict] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        bodies.append(json.loads(request.content))
        return httpx2.Response(200, content=content, headers={"content-type": content_type})

    http = httpx2.Client(transport=httpx2.MockTransport(handler))
    return OpenAI(api_key="sk-test", base_url="https://api.openai.com/v1", http_client=http, max_retries=0), bodies


CLIENT, SENT = answering((FIXTURES / "text.json").read_bytes())


# ------------------------------------------------------------------------- what a user of the SDK would write instead


def content_of(message: Message) -> Any:
    if all(isinstance(part, Text) for part in message.parts):
        return message.text
    return [{"type": "text", "text": part.text} if isinstance(part, Text) else media_of(part) for part in message.parts]


def media_of(part: Any) -> dict:
    data = base64.b64encode(part.data).decode()
    match part.media_type:
        case "image/png" | "image/jpeg":
            return {"type": "image_url", "image_url": {"url": part.url or f"data:{part.media_type};base64,{data}"}}
        case "audio/wav":
            return {"type": "input_audio", "input_audio": {"data": data, "format": "wav"}}
        case _:
            file = {"filename": part.name, "file_data": f"data:{part.media_type};base64,{data}"}
            return {"type": "file", "file": file}


def messages_of(request: ModelRequest) -> list[dict]:
    found: list[dict] = []
    for message in request.messages:
        match message.role:
            case "system" | "user":
                name = {"name": message.name} if message.name else {}
                found.append({"role": message.role, "content": content_of(message), **name})
            case "assistant":
                calls = [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {
                            "name": call.name,
                            "arguments": json.dumps(call.args, ensure_ascii=False, separators=(",", ":")),
                        },
                    }
                    for call in message.tool_calls
                ]
                entry = {"role": "assistant", "content": message.text or (None if calls else "")}
                found.append({**entry, "tool_calls": calls} if calls else entry)
            case "tool":
                for part in message.parts:
                    assert isinstance(part, ToolResult)
                    failed = "Error: " if part.is_error else ""
                    found.append({"role": "tool", "tool_call_id": part.call_id, "content": failed + part.content})
    return found


def asked_by_the_sdk(request: ModelRequest, **more: Any) -> dict:
    given = request.settings
    options: dict[str, Any] = {
        "max_completion_tokens": given.max_output_tokens,
        "temperature": given.temperature,
        "top_p": given.top_p,
        "stop": list(given.stop) or None,
        "seed": given.seed,
        "reasoning_effort": given.reasoning_effort,
    }
    if request.tools:
        options["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            for tool in request.tools
        ]
        options["parallel_tool_calls"] = given.parallel_tool_calls
        names = [tool.name for tool in request.tools]
        choice: Any = given.tool_choice
        options["tool_choice"] = {"type": "function", "function": {"name": choice}} if choice in names else choice
    chosen = {name: value for name, value in options.items() if value is not None}
    CLIENT.chat.completions.create(model=MODEL, messages=messages_of(request), **{**chosen, **more})  # type: ignore[arg-type]
    return SENT.pop()


def check(request: ModelRequest, **more: Any) -> dict:
    """Our body is the SDK's body, and of the SDK's types throughout."""
    body = encode_request(request, MODEL, stream=False, dialect=DIALECT)
    key = {"prompt_cache_key": body["prompt_cache_key"]} if "prompt_cache_key" in body else {}
    assert body == asked_by_the_sdk(request, **key, **more)
    BODIES.validate_python([body])
    MESSAGES.validate_python(body["messages"])
    TOOLS.validate_python(body.get("tools", []))
    return body


# --------------------------------------------------------------------------------------------------------- requests

SEARCH = ToolSpec("search", "Search.", {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]})
NOW = ToolSpec("now", "The time.", {"type": "object", "properties": {}})
CORPUS = {
    "plain": ModelRequest([user("hi")]),
    "system and agent": ModelRequest([system("Be brief."), user("Grüße 👋")], agent="shop"),
    "caching off": ModelRequest([system("Be brief."), user("x")], settings=Settings(prompt_cache="off")),
    "every setting": ModelRequest(
        [user("x")],
        settings=Settings(
            max_output_tokens=9, temperature=0.0, top_p=0.5, stop=("a", "b"), seed=0, reasoning_effort="low"
        ),
    ),
    "images and files": ModelRequest(
        [
            user(
                [
                    Text("Look:"),
                    Media("image/png", b"\x89PNG"),
                    Media("image/jpeg", url="https://x/y.jpg"),
                    Media("application/pdf", b"%PDF", name="a.pdf"),
                    Media("audio/wav", b"RIFF"),
                ]
            )
        ]
    ),
    "tools and results": ModelRequest(
        [
            user("x", name="Ada"),
            assistant(
                Thinking("hm", "sig", "anthropic"), "Looking.", ToolCall("search", {"q": "é"}, "c1"),
                ToolCall("now", {}, "c2"),
            ),
            tool_results(ToolResult("c1", "search", "one"), ToolResult("c2", "now", "no clock", is_error=True)),
            assistant("Done."),
            user("More."),
        ],
        (SEARCH, NOW),
        Settings(parallel_tool_calls=False, tool_choice="required"),
    ),
    "one tool chosen": ModelRequest([user("x")], (SEARCH, NOW), Settings(tool_choice="now")),
}  # fmt: skip


@pytest.mark.parametrize("request_", CORPUS.values(), ids=list(CORPUS))
def test_our_body_is_that_of_the_sdk(request_):
    check(request_)


def test_the_types_of_the_sdk_refuse_a_field_they_do_not_have():
    for adapter, value in ((MESSAGES, {"role": "user", "content": "x"}), (BODIES, {"model": "m", "messages": []})):
        adapter.validate_python([value])
        with pytest.raises(ValidationError):
            adapter.validate_python([{**value, "hologram": 1}])


class Tent(BaseModel):
    """A tent."""

    name: str
    price: float | None
    colours: list[str]


def test_an_output_schema_of_the_sdk_is_asked_for_as_the_sdk_asks():
    CLIENT.chat.completions.with_raw_response.parse(
        model=MODEL, messages=[{"role": "user", "content": "x"}], response_format=Tent
    )
    theirs = SENT.pop()
    assert theirs.pop("stream") is False  # which is what leaving it out means
    spec = OutputSpec("Tent", theirs["response_format"]["json_schema"]["schema"])
    assert encode_request(ModelRequest([user("x")], output=spec), MODEL, stream=False) == theirs


def test_the_parameters_of_a_tool_of_the_sdk_are_sent_as_they_are():
    function: Any = pydantic_function_tool(Tent)["function"]
    tool = ToolSpec(function["name"], function["description"], function["parameters"])
    (sent,) = encode_request(ModelRequest([user("x")], (tool,)), MODEL, stream=False)["tools"]
    assert sent["function"] == {key: value for key, value in function.items() if key != "strict"}


def test_a_streamed_request_is_that_of_the_sdk():
    client, bodies = answering((FIXTURES / "text.sse").read_bytes(), "text/event-stream")
    for _ in client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "x"}],
        stream=True,
        stream_options={"include_usage": True},
    ):
        pass
    assert encode_request(ModelRequest([user("x")]), MODEL, stream=True) == bodies[0]


WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
NAMES = st.text("abcXYZ_-09", min_size=1, max_size=12)
ARGS = st.dictionaries(
    WORDS, st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | WORDS, st.lists, max_leaves=4), max_size=3
)
CALLS = st.lists(st.tuples(NAMES, ARGS, NAMES), min_size=1, max_size=3, unique_by=lambda call: call[2])


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    found = [system(draw(WORDS))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        found.append(user(draw(WORDS), name=draw(st.none() | NAMES)))
        if draw(st.booleans()):
            calls = [ToolCall(name, args, id) for name, args, id in draw(CALLS)]
            found.append(assistant(*([Text(draw(WORDS))] if draw(st.booleans()) else []), *calls))
            found.append(
                tool_results(*[ToolResult(str(c.id), c.name, draw(WORDS), draw(st.booleans())) for c in calls])
            )
        else:
            found.append(assistant(draw(WORDS)))
    return found


REQUESTS = st.builds(
    ModelRequest,
    conversations(),
    st.just(()) | st.just((SEARCH, NOW)),
    st.builds(
        Settings,
        max_output_tokens=st.none() | st.integers(1, 99),
        temperature=st.none() | st.floats(0, 2),
        top_p=st.none() | st.floats(0, 1),
        stop=st.lists(WORDS, max_size=2).map(tuple),
        seed=st.none() | st.integers(0, 9),
        tool_choice=st.sampled_from([None, "auto", "none", "required", "search"]),
        reasoning_effort=st.sampled_from([None, "none", "low", "max"]),
        parallel_tool_calls=st.none() | st.booleans(),
        prompt_cache=st.sampled_from([None, "5m", "off"]),
    ),
    agent=st.just("") | NAMES,
)


@settings(max_examples=40, deadline=None)
@given(REQUESTS)
def test_the_body_of_any_request_is_that_of_the_sdk(request_):
    check(request_)


# ---------------------------------------------------------------------------------------------------------- replies

WHOLE = [path for path in sorted(FIXTURES.glob("*.json")) if not path.name.startswith("error-")]
STREAMED = sorted(FIXTURES.glob("*.sse"))


def agrees(theirs: ChatCompletion, ours: Any) -> None:
    message = theirs.choices[0].message
    assert ours.message.text == (message.content or "") + (message.refusal or "")
    calls: Any = message.tool_calls or []
    assert [(call.id, call.name, call.args) for call in ours.message.tool_calls] == [
        (call.id, call.function.name, json.loads(call.function.arguments)) for call in calls
    ]
    assert ours.model == theirs.model
    counts: Any = theirs.usage
    assert (ours.usage.input_tokens, ours.usage.output_tokens) == (counts.prompt_tokens, counts.completion_tokens)
    assert ours.usage.cache_read_tokens == counts.prompt_tokens_details.cached_tokens
    assert ours.usage.cache_write_tokens == counts.prompt_tokens_details.cache_write_tokens
    assert ours.usage.reasoning_tokens == counts.completion_tokens_details.reasoning_tokens


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_the_sdk_reads_every_body_as_we_do(path):
    theirs = ChatCompletion.model_validate_json(path.read_bytes())
    if not path.name.startswith("bad-"):
        agrees(theirs, decode_reply(path.read_bytes()))


@pytest.mark.parametrize("path", STREAMED, ids=lambda path: path.stem)
def test_the_sdk_reads_every_event_of_every_stream(path):
    events = [json.loads(line[6:]) for line in path.read_text("utf-8").splitlines() if line.startswith("data: {")]
    for event in events:
        if "error" not in event:
            ChatCompletionChunk.model_validate(event)


@pytest.mark.parametrize(
    "path", [path for path in STREAMED if not path.name.startswith(("bad-", "azure-cut"))], ids=lambda path: path.stem
)
def test_what_the_sdk_puts_together_from_a_stream_is_what_we_do(path):
    client, _ = answering(path.read_bytes(), "text/event-stream")
    with client.chat.completions.stream(model=MODEL, messages=[{"role": "user", "content": "x"}]) as stream:
        theirs = stream.get_final_completion()
    decoder = ChatStream()
    decoder.feed(path.read_bytes())
    agrees(theirs, decoder.finish())
