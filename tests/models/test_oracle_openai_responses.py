"""The Responses codec and the official SDK agree: on what is asked, what every fixture says, and what goes back."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import OpenAI
from openai.types.responses import Response, ResponseStreamEvent, ToolParam
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from openai.types.responses.response_input_item_param import ResponseInputItemParam
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
from podium.models.openai.responses import ResponsesDialect, ResponsesStream, decode_reply, encode_request

FIXTURES = Path(__file__).parent / "fixtures/openai-responses"
MODEL = "gpt-6-sol"
DIALECT = ResponsesDialect(cache_key=True)
STRICT = ConfigDict(extra="forbid")
# As lists, because only so can pydantic be told to refuse fields that a typed dictionary does not have.
ITEMS: TypeAdapter[Any] = TypeAdapter(list[ResponseInputItemParam], config=STRICT)
TOOLS: TypeAdapter[Any] = TypeAdapter(list[ToolParam], config=STRICT)
BODIES: TypeAdapter[Any] = TypeAdapter(list[ResponseCreateParamsNonStreaming], config=STRICT)
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


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


def content_of(message: Message) -> list[dict]:
    return [
        {"type": "input_text", "text": part.text} if isinstance(part, Text) else media_of(part)
        for part in message.parts
    ]


def media_of(part: Any) -> dict:
    address = f"data:{part.media_type};base64,{base64.b64encode(part.data).decode()}"
    if part.media_type.startswith("image/"):
        return {"type": "input_image", "detail": "auto", "image_url": part.url or address}
    if part.url:
        return {"type": "input_file", "file_url": part.url}
    return {"type": "input_file", "filename": part.name, "file_data": address}


def items_of(messages: list[Message]) -> list[dict]:
    found: list[dict] = []
    for message in messages:
        match message.role:
            case "system" | "user":
                found.append({"type": "message", "role": message.role, "content": content_of(message)})
            case "assistant":
                if texts := [part.text for part in message.parts if isinstance(part, Text) and part.text]:
                    content = [{"type": "output_text", "text": text} for text in texts]
                    found.append({"type": "message", "role": "assistant", "content": content})
                for call in message.tool_calls:
                    arguments = json.dumps(call.args, ensure_ascii=False, separators=(",", ":"))
                    found.append(
                        {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments}
                    )
            case "tool":
                for part in message.parts:
                    assert isinstance(part, ToolResult)
                    output = ("Error: " if part.is_error else "") + part.content
                    found.append({"type": "function_call_output", "call_id": part.call_id, "output": output})
    return found


def asked_by_the_sdk(request: ModelRequest, **more: Any) -> dict:
    given = request.settings
    messages = list(request.messages)
    options: dict[str, Any] = {
        "max_output_tokens": given.max_output_tokens,
        "temperature": given.temperature,
        "top_p": given.top_p,
        "reasoning": {"effort": given.reasoning_effort} if given.reasoning_effort else None,
        "instructions": messages.pop(0).text if messages[0].role == "system" else None,
    }
    if request.tools:
        options["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
                "strict": tool.parameters.get("additionalProperties") is False,
            }
            for tool in request.tools
        ]
        options["parallel_tool_calls"] = given.parallel_tool_calls
        names = [tool.name for tool in request.tools]
        choice: Any = given.tool_choice
        options["tool_choice"] = {"type": "function", "name": choice} if choice in names else choice
    chosen = {name: value for name, value in options.items() if value is not None}
    CLIENT.responses.create(
        model=MODEL,
        input=items_of(messages),  # type: ignore[arg-type]
        store=False,
        include=["reasoning.encrypted_content"],
        **{**chosen, **more},
    )
    return SENT.pop()


def check(request: ModelRequest) -> dict:
    """Our body is the SDK's body, and of the SDK's types throughout."""
    body = encode_request(request, MODEL, stream=False, dialect=DIALECT)
    key = {"prompt_cache_key": body["prompt_cache_key"]} if "prompt_cache_key" in body else {}
    assert body == asked_by_the_sdk(request, **key)
    BODIES.validate_python([{**body, "input": stored(body["input"])}])
    TOOLS.validate_python(body.get("tools", []))
    return body


def stored(items: list[dict]) -> list[dict]:
    """The items, with what the SDK's type of an assistant message wants of stored ones: id, status, annotations."""
    found = []
    for item in items:
        if item.get("role") == "assistant":
            content = [{"annotations": [], **part} for part in item["content"]]
            found.append({"id": "msg_1", "status": "completed", **item, "content": content})
        else:
            found.append(item)
    return found


# --------------------------------------------------------------------------------------------------------- requests

SEARCH = ToolSpec("search", "Search.", {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]})
NOW = ToolSpec("now", "The time.", {"type": "object", "properties": {}, "required": [], "additionalProperties": False})
CORPUS = {
    "plain": ModelRequest([user("hi")]),
    "system and agent": ModelRequest([system("Be brief."), user("Grüße 👋")], agent="shop"),
    "caching off": ModelRequest([system("Be brief."), user("x")], settings=Settings(prompt_cache="off")),
    "every setting": ModelRequest(
        [user("x")], settings=Settings(max_output_tokens=9, temperature=0.0, top_p=0.5, reasoning_effort="xhigh")
    ),
    "images and files": ModelRequest(
        [
            user(
                [
                    Text("Look:"),
                    Media("image/png", b"\x89PNG"),
                    Media("image/jpeg", url="https://x/y.jpg"),
                    Media("application/pdf", b"%PDF", name="a.pdf"),
                    Media("application/pdf", url="https://x/a.pdf"),
                ]
            )
        ]
    ),
    "tools and results": ModelRequest(
        [
            user("x"),
            assistant(
                Thinking("hm", "sig", "anthropic"), "Looking.", ToolCall("search", {"q": "é"}, "c1"),
                ToolCall("now", {}, "c2"),
            ),
            tool_results(ToolResult("c1", "search", "one"), ToolResult("c2", "now", "no clock", is_error=True)),
            assistant("Done."),
            system("Now in German."),
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
    item = {"type": "function_call_output", "call_id": "c", "output": "x"}
    for adapter, value in ((ITEMS, item), (BODIES, {"model": "m", "input": []})):
        adapter.validate_python([value])
        with pytest.raises(ValidationError):
            adapter.validate_python([{**value, "hologram": 1}])


def test_a_result_with_an_image_is_of_the_types_of_the_sdk():
    message = Message("tool", (ToolResult("c1", "shoot", "done"), Media("image/png", b"\x89PNG")))
    (item,) = encode_request(ModelRequest([message]), MODEL, stream=False)["input"]
    ITEMS.validate_python([item])
    assert [part["type"] for part in item["output"]] == ["input_text", "input_image"]


class Tent(BaseModel):
    """A tent."""

    name: str
    price: float | None
    colours: list[str]


def test_an_output_schema_of_the_sdk_is_asked_for_as_the_sdk_asks():
    CLIENT.responses.with_raw_response.parse(model=MODEL, input="x", text_format=Tent)
    theirs = SENT.pop()["text"]
    spec = OutputSpec("Tent", theirs["format"]["schema"])
    assert encode_request(ModelRequest([user("x")], output=spec), MODEL, stream=False)["text"] == theirs


def test_a_streamed_request_is_that_of_the_sdk():
    client, bodies = answering((FIXTURES / "text.sse").read_bytes(), "text/event-stream")
    for _ in client.responses.create(
        model=MODEL,
        input=items_of([user("x")]),  # type: ignore[arg-type]
        store=False,
        include=["reasoning.encrypted_content"],
        stream=True,
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
        found.append(user(draw(WORDS)))
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
GOOD = [path for path in WHOLE if not path.name.startswith("bad-")]
STREAMED = sorted(FIXTURES.glob("*.sse"))


def agrees(theirs: Response, ours: Any) -> None:
    answers: list[Any] = [item for item in theirs.output if item.type == "message" and item.phase != "commentary"]
    parts = [part for item in answers for part in item.content]
    assert ours.message.text == "".join(part.text if part.type == "output_text" else part.refusal for part in parts)
    calls = [(item.call_id, item.name, item.arguments) for item in theirs.output if item.type == "function_call"]
    found = ours.message.tool_calls
    assert [(call.id, call.name) for call in found] == [(id, name) for id, name, _ in calls]
    for call, (_, _, arguments) in zip(found, calls, strict=True):
        assert call.invalid or call.args == json.loads(arguments)
    assert ours.model == theirs.model
    counts: Any = theirs.usage
    assert (ours.usage.input_tokens, ours.usage.output_tokens) == (counts.input_tokens, counts.output_tokens)
    assert ours.usage.cache_read_tokens == counts.input_tokens_details.cached_tokens
    assert ours.usage.cache_write_tokens == counts.input_tokens_details.cache_write_tokens
    assert ours.usage.reasoning_tokens == counts.output_tokens_details.reasoning_tokens


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_the_sdk_reads_every_body_as_we_do(path):
    theirs = Response.model_validate_json(path.read_bytes())
    if path in GOOD:
        agrees(theirs, decode_reply(path.read_bytes()))


@pytest.mark.parametrize("path", STREAMED, ids=lambda path: path.stem)
def test_the_sdk_reads_every_event_of_every_stream(path):
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("data: "):
            event = EVENT.validate_json(line[6:])
            assert not type(event).__name__.startswith("Unknown")
            assert event.type == json.loads(line[6:])["type"]


@pytest.mark.parametrize(
    "path", [path for path in STREAMED if path.with_suffix(".json") in GOOD], ids=lambda path: path.stem
)
def test_what_the_sdk_puts_together_from_a_stream_is_what_we_do(path):
    client, _ = answering(path.read_bytes(), "text/event-stream")
    text, arguments = "", ""
    last: Any = None
    event: Any
    with client.responses.stream(model=MODEL, input="x") as stream:
        for event in stream:
            if event.type in ("response.output_text.delta", "response.refusal.delta"):
                text += event.delta
            elif event.type == "response.function_call_arguments.delta":
                arguments += event.delta
            elif event.type in ("response.completed", "response.incomplete"):
                last = event.response
    assert last is not None
    decoder = ResponsesStream()
    deltas: list[Any] = decoder.feed(path.read_bytes())
    agrees(last, decoder.finish())
    # Commentary is text to the SDK and thinking to us.
    said = [delta for delta in deltas if hasattr(delta, "text") and not delta.text.startswith("**")]
    assert "".join(delta.arguments for delta in deltas if hasattr(delta, "arguments")) == arguments
    assert text in "".join(delta.text for delta in said)


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_what_goes_back_is_what_the_sdk_would_send_back(path):
    """The SDK's way is to append `response.output`: ours drops what only a stored item needs, and nothing else."""
    theirs = [item.model_dump(exclude_none=True) for item in Response.model_validate_json(path.read_bytes()).output]
    CLIENT.responses.create(model=MODEL, input=theirs)  # type: ignore[arg-type]
    theirs = SENT.pop()["input"]
    ours = encode_request(
        ModelRequest([user("x"), decode_reply(path.read_bytes()).message]), MODEL, stream=False
    )["input"][1:]  # fmt: skip
    ITEMS.validate_python(stored(ours))
    for item in theirs:
        if item["type"] in ("message", "function_call"):
            del item["id"], item["status"]
        for part in item.get("content", ()):
            part.pop("logprobs", None)
            if not part.get("annotations"):
                part.pop("annotations", None)
            if part["type"] == "refusal":  # what was said is sent back as text
                part.update(type="output_text", text=part.pop("refusal"))
    for item in [*ours, *theirs]:
        if item["type"] == "function_call":
            item["arguments"] = readable(item["arguments"])
    assert ours == theirs


def readable(arguments: str) -> object:
    """What the arguments say; those of a call that was cut off are sent back as none."""
    try:
        return json.loads(arguments)
    except ValueError:
        return {}
