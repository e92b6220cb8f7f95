"""The official SDK as a judge of the Messages codec: the same bodies for the same requests, the same answers read."""

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

import anthropic
import httpx2
import pytest
from anthropic import transform_schema
from anthropic.types import ErrorResponse, RawMessageStreamEvent
from anthropic.types import Message as Theirs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from podium.core.messages import (
    AnyPart,
    Media,
    Message,
    ModelRequest,
    OutputSpec,
    Raw,
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
from podium.models.anthropic import ClaudeModel
from podium.models.anthropic.reply import ClaudeStream, decode_reply
from podium.models.anthropic.request import BEFORE, Dialect, encode_request
from podium.models.anthropic.schema import adapted
from podium.models.anthropic.turns import FIELDS
from podium.models.transport import HttpTransport

FIXTURES = Path(__file__).parent / "fixtures" / "anthropic"
ANSWERS = sorted(path.name for path in FIXTURES.glob("*.json") if not path.name.startswith("error-"))
ERRORS = sorted(path.name for path in FIXTURES.glob("error-*.json"))
STREAMS = sorted(path.name for path in FIXTURES.glob("*.sse"))
WHOLE = [name for name in STREAMS if not name.startswith("bad-")]
MODEL = "claude-haiku-5-5"
KEY = "sk-ant-test"
HELLO = (FIXTURES / "text.json").read_bytes()


class Official:
    """The SDK on a network of our own: what it sends, and what it makes of `answer`."""

    def __init__(self, answer: bytes = HELLO, status: int = 200) -> None:
        self.seen: list[httpx2.Request] = []
        kind = "application/json" if answer.startswith(b"{") else "text/event-stream"

        def handle(request: httpx2.Request) -> httpx2.Response:
            self.seen.append(request)
            return httpx2.Response(status, content=answer, headers={"content-type": kind})

        http = httpx2.Client(transport=httpx2.MockTransport(handle))
        self.client = anthropic.Anthropic(
            api_key=KEY, base_url="https://api.anthropic.com", http_client=http, max_retries=0, open_telemetry=False
        )

    def body(self, **arguments: Any) -> dict[str, Any]:
        self.client.messages.create(**arguments)
        return json.loads(self.seen.pop().content)


@cache
def official() -> Official:
    return Official()


# ------------------------------------------------------------------------------------- our request, as an SDK call


def block(part: AnyPart) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": part.args}
    if isinstance(part, ToolResult):
        failed = {"is_error": True} if part.is_error else {}
        return {"type": "tool_result", "tool_use_id": part.call_id, "content": part.content, **failed}
    if isinstance(part, Thinking):
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    if isinstance(part, Raw):
        return part.data
    kind = "image" if part.media_type.startswith("image/") else "document"
    source: dict[str, Any] = {"type": "url", "url": part.url}
    if part.data and part.media_type == "text/plain":
        source = {"type": "text", "media_type": "text/plain", "data": part.data.decode()}
    elif part.data:
        source = {"type": "base64", "media_type": part.media_type, "data": base64.b64encode(part.data).decode()}
    return {"type": kind, "source": source, **({"title": part.name} if part.name else {})}


CHOICES = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}


def call(request: ModelRequest) -> dict[str, Any]:
    """The arguments of `messages.create` that say the same."""
    asked = request.settings
    found: dict[str, Any] = {"model": MODEL, "max_tokens": asked.max_output_tokens or 8192}
    instructions = [block(part) for message in request.messages if message.role == "system" for part in message.parts]
    if instructions:
        found["system"] = instructions
    found["messages"] = [
        {
            "role": "assistant" if message.role == "assistant" else "user",
            "content": [block(part) for part in message.parts],
        }
        for message in request.messages
        if message.role != "system"
    ]
    if request.tools:
        found["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in request.tools
        ]
        if asked.tool_choice:
            found["tool_choice"] = dict(CHOICES.get(asked.tool_choice, {"type": "tool", "name": asked.tool_choice}))
        if asked.parallel_tool_calls is False and asked.tool_choice != "none":
            found.setdefault("tool_choice", {"type": "auto"})["disable_parallel_tool_use"] = True
    if asked.reasoning_effort:
        found["thinking"] = {"type": "adaptive"}
        found["output_config"] = {"effort": asked.reasoning_effort}
    if request.output:
        schema = {"type": "json_schema", "schema": transform_schema(request.output.schema)}
        found["output_config"] = {**found.get("output_config", {}), "format": schema}
    if asked.stop:
        found["stop_sequences"] = list(asked.stop)
    return found


def unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: unmarked(each) for name, each in value.items() if name != "cache_control"}
    return [unmarked(each) for each in value] if isinstance(value, list) else value


SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
SEARCH = ToolSpec("search", "Search.", SCHEMA)
NOW = ToolSpec("now", "The time.", {"type": "object", "properties": {}})
TALK = (
    system("Be brief."), user([Text("What is this?"), Media("image/png", b"\x89PNG")]),
    assistant(Thinking("hm", "sig", "anthropic"), "Looking.", ToolCall("search", {"q": "é"}, "c1"),
              ToolCall("now", {}, "c2")),
    tool_results(ToolResult("c1", "search", "one"), ToolResult("c2", "now", "failed", True)),
)  # fmt: skip
HAND_MADE = {
    "plain": ModelRequest([user("hi")]),
    "system": ModelRequest([system("a"), system("b"), user("hi")]),
    "conversation": ModelRequest(TALK, (SEARCH, NOW)),
    "chosen": ModelRequest([user("hi")], (SEARCH,), Settings(tool_choice="search", parallel_tool_calls=False)),
    "required": ModelRequest([user("hi")], (SEARCH,), Settings(tool_choice="required")),
    "none": ModelRequest([user("hi")], (SEARCH,), Settings(tool_choice="none", parallel_tool_calls=False)),
    "effort": ModelRequest([user("hi")], settings=Settings(reasoning_effort="xhigh", max_output_tokens=64)),
    "stop": ModelRequest([user("hi")], settings=Settings(stop=("END", "STOP"))),
    "structured": ModelRequest([user("hi")], output=OutputSpec("s", SCHEMA), settings=Settings(reasoning_effort="low")),
    "files": ModelRequest([user([Media("application/pdf", b"%PDF", name="a.pdf"), Media("text/plain", b"hello"),
                                 Media("image/webp", url="https://x/y"), Media("application/pdf", url="https://x/z")])]),
    "redacted": ModelRequest([user("hi"), assistant(Raw("anthropic", {"type": "redacted_thinking", "data": "x"}), "a"),
                              user("b")]),
}  # fmt: skip


@pytest.mark.parametrize("name", HAND_MADE)
@pytest.mark.parametrize("stream", [False, True])
def test_a_request_made_by_hand_has_the_body_the_sdk_writes(name, stream):
    request = HAND_MADE[name]
    ours = unmarked(encode_request(request, MODEL, stream=stream))
    sdk = official() if not stream else Official((FIXTURES / "text.sse").read_bytes())
    assert ours == sdk.body(**call(request), **({"stream": True} if stream else {}))


WORDS = st.text("abcé漢👋 \n", min_size=1, max_size=8).filter(str.strip)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
FILES = st.sampled_from(
    [Media("image/png", b"x"), Media("application/pdf", b"%PDF", name="a"), Media("text/plain", b"t")]
)
LEAVES = st.sampled_from(
    [{"type": "string"}, {"type": "integer"}, {"type": "boolean", "description": "d"}, {"enum": ["a", 1, None]},
     {"type": "string", "format": "date"}, {"type": "string", "maxLength": 3, "title": "T"}, {"const": "x"},
     {"type": "number", "minimum": 0, "description": "n"}, {"type": "string", "format": "color", "default": "red"},
     {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}, {"$ref": "#/$defs/P"}]
)  # fmt: skip
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda items, least: {"type": "array", "items": items, "minItems": least}, inner, st.integers(0, 2)),
        st.builds(
            lambda fields: {"type": "object", "properties": fields, "required": list(fields)[:1]},
            st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=3),
        ),
        st.builds(lambda choices: {"oneOf": choices}, st.lists(inner, min_size=1, max_size=2)),
    ),
    max_leaves=5,
).map(lambda schema: {**schema, "$defs": {"P": {"type": "object", "properties": {"x": {"type": "integer"}}}}})


@st.composite
def requests(draw: st.DrawFn) -> ModelRequest:
    messages = [system(draw(WORDS)) for _ in range(draw(st.integers(0, 2)))]
    for number in range(draw(st.integers(1, 3))):
        messages.append(user([*draw(st.lists(FILES, max_size=1)), Text(draw(WORDS))]))
        thoughts = draw(st.lists(st.builds(Thinking, WORDS, WORDS, st.just("anthropic")), max_size=1))
        calls = [
            ToolCall(draw(st.sampled_from(["search", "now"])), draw(st.dictionaries(WORDS, VALUES, max_size=2)), id)
            for id in (f"c{number}_{index}" for index in range(draw(st.integers(0, 2))))
        ]
        messages.append(assistant(*thoughts, draw(WORDS), *calls))
        if calls:
            messages.append(
                tool_results(
                    *(ToolResult(each.id or "", each.name, draw(WORDS), draw(st.booleans())) for each in calls)
                )
            )
            messages.append(assistant(draw(WORDS)))
    messages.append(user(draw(WORDS)))
    asked = Settings(
        max_output_tokens=draw(st.none() | st.integers(1, 9999)),
        stop=tuple(draw(st.lists(WORDS, max_size=2))),
        reasoning_effort=draw(st.sampled_from([None, "low", "medium", "high", "xhigh", "max"])),
        parallel_tool_calls=draw(st.sampled_from([None, False])),
        tool_choice=draw(st.sampled_from([None, "auto", "none", "required", "search"])),
        prompt_cache=draw(st.sampled_from([None, "5m", "1h", "off"])),
    )
    output = draw(st.none() | SCHEMAS.map(lambda schema: OutputSpec("out", schema)))
    return ModelRequest(messages, draw(st.sampled_from([(), (SEARCH, NOW)])), asked, output)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests())
def test_any_request_has_the_body_the_sdk_writes(request):
    assert unmarked(encode_request(request, MODEL, stream=False)) == official().body(**call(request))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SCHEMAS)
def test_any_schema_is_adapted_as_the_sdk_does(schema):
    assert adapted(schema) == transform_schema(schema)


class Place(BaseModel):
    city: str = Field(min_length=1, description="Where.")
    zip: str | None = None


class Person(BaseModel):
    """A person."""

    name: str
    born: int = Field(ge=0, le=2026)
    kind: Literal["a", "b"] = "a"
    homes: list[Place] = Field(min_length=2)


def test_a_pydantic_model_gives_the_format_that_the_sdks_parse_sends():
    sdk = Official((FIXTURES / "structured.json").read_bytes().replace(b"name", b"nome"))
    with pytest.raises(ValueError, match="name"):  # its answer is another's; only what it asked for matters here
        sdk.client.messages.parse(
            model=MODEL, max_tokens=8192, messages=[{"role": "user", "content": "x"}], output_format=Person
        )
    asked = ModelRequest([user("x")], output=OutputSpec("Person", Person.model_json_schema()))
    assert (
        encode_request(asked, MODEL, stream=False)["output_config"] == json.loads(sdk.seen[0].content)["output_config"]
    )


def test_marks_for_the_cache_are_what_the_sdk_lets_one_say():
    request = ModelRequest(TALK, (SEARCH, NOW), Settings(prompt_cache="1h"))
    arguments = call(request)
    mark = {"type": "ephemeral", "ttl": "1h"}
    for place in (arguments["system"][-1], arguments["tools"][-1], arguments["messages"][0]["content"][-1]):
        place["cache_control"] = mark
    arguments["messages"][-1]["content"][-1]["cache_control"] = mark
    assert encode_request(request, MODEL, stream=False) == official().body(**arguments)


def test_sampling_settings_of_the_version_before_go_out_as_the_sdks_extra_body():
    asked = ModelRequest([user("hi")], settings=Settings(temperature=0.0, top_p=0.5, extra={"top_k": 3}))
    ours = encode_request(asked, MODEL, stream=False, dialect=Dialect(version=BEFORE))
    assert ours == official().body(**call(asked), extra_body={"temperature": 0.0, "top_p": 0.5, "top_k": 3})


async def test_address_and_headers_are_the_sdks():
    seen: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, content=HELLO, headers={"content-type": "application/json"})

    transport = HttpTransport(mock=httpx2.MockTransport(handle))
    await ClaudeModel(MODEL, api_key=KEY, base_url="https://api.anthropic.com", transport=transport).request(
        ModelRequest([user("hi")])
    )
    await transport.aclose()
    sdk = Official()
    sdk.body(**call(ModelRequest([user("hi")])))
    sdk.client.messages.create(**call(ModelRequest([user("hi")])))
    (ours,), (theirs,) = seen, sdk.seen
    assert (ours.method, ours.url) == (theirs.method, theirs.url)
    for name in ("anthropic-version", "authorization", "x-api-key", "content-type"):
        assert ours.headers.get(name) == theirs.headers.get(name)


# ------------------------------------------------------------------------------------------------- fixtures, read twice

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def payloads(name: str) -> list[dict[str, Any]]:
    lines = (FIXTURES / name).read_text("utf-8").splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


@pytest.mark.parametrize("name", STREAMS)
def test_every_event_we_keep_is_one_the_sdk_knows(name):
    for payload in payloads(name):
        if payload["type"] == "error":
            assert ErrorResponse.model_validate(payload).error.type == payload["error"]["type"]
        elif payload["type"] != "ping":  # which the SDK drops before it looks
            event = EVENT.validate_python(payload)
            assert event.type == payload["type"]
            assert not event.model_extra


def read_alike(ours: Reply, theirs: Theirs) -> None:
    assert ours.message.text == "".join(each.text for each in theirs.content if each.type == "text")
    calls = [] if theirs.stop_reason == "refusal" else [each for each in theirs.content if each.type == "tool_use"]
    for mine, other in zip(ours.message.tool_calls, calls, strict=True):
        assert (mine.name, mine.id) == (other.name, other.id)
        assert mine.args == ({} if mine.invalid else other.input)
    thoughts = [part for part in ours.message.parts if isinstance(part, Thinking)]
    assert [(part.text, part.signature) for part in thoughts] == [
        (each.thinking, each.signature) for each in theirs.content if each.type == "thinking"
    ]
    kept = [part.data for part in ours.message.parts if isinstance(part, Raw) and part.data["type"] != FIELDS]
    known = ("text", "tool_use", "thinking")
    assert kept == [each.to_dict() for each in theirs.content if each.type not in known]
    cited = [c for part in ours.message.parts if isinstance(part, Raw) for c in part.data.get("citations", [])]
    assert cited == [c.to_dict() for each in theirs.content if each.type == "text" for c in each.citations or []]
    counts = theirs.usage
    read, wrote = counts.cache_read_input_tokens or 0, counts.cache_creation_input_tokens or 0
    assert ours.usage.input_tokens == counts.input_tokens + read + wrote
    assert ours.usage.output_tokens == counts.output_tokens
    assert (ours.usage.cache_read_tokens, ours.usage.cache_write_tokens) == (read, wrote)
    assert counts.cache_creation is not None
    assert ours.usage.cache_write_long_tokens == counts.cache_creation.ephemeral_1h_input_tokens
    details = counts.output_tokens_details
    assert ours.usage.reasoning_tokens == (details.thinking_tokens if details else 0)
    assert ours.model == theirs.model


@pytest.mark.parametrize("name", [name for name in ANSWERS if name != "refusal.json"])
def test_every_answer_we_keep_is_read_as_the_sdk_reads_it(name):
    data = (FIXTURES / name).read_bytes()
    theirs = Theirs.model_validate_json(data)
    assert not theirs.model_extra
    assert Official(data).client.messages.create(**call(HAND_MADE["plain"])) == theirs
    read_alike(decode_reply(data), theirs)


@pytest.mark.parametrize("name", WHOLE)
def test_every_stream_we_keep_adds_up_to_what_the_sdk_adds_up(name):
    data = (FIXTURES / name).read_bytes()
    with Official(data).client.messages.stream(**call(HAND_MADE["plain"])) as stream:
        theirs = stream.get_final_message()
    decoder = ClaudeStream()
    decoder.feed(data)
    read_alike(decoder.finish(), theirs)


def test_what_the_sdk_sends_back_of_an_answer_is_what_we_send_back():
    for name in ("thinking.json", "web-search.json", "tools.json", "called-by-code.json", "pause.json"):
        data = (FIXTURES / name).read_bytes()
        said = Message("assistant", decode_reply(data).message.parts)
        request = ModelRequest([user("q"), said, user("more")])
        theirs = official().body(
            model=MODEL,
            max_tokens=8192,
            messages=[{"role": "user", "content": [{"type": "text", "text": "q"}]},
                      Theirs.model_validate_json(data).to_param(),
                      {"role": "user", "content": [{"type": "text", "text": "more"}]}],
        )  # fmt: skip
        for each in theirs["messages"][1]["content"]:
            if each["type"] == "tool_use" and each.get("caller") == {"type": "direct"}:
                del each["caller"]  # the usual case, which need not be said
        assert encode_request(request, MODEL, stream=False) == theirs


@pytest.mark.parametrize("name", ERRORS)
def test_every_refusal_we_keep_is_one_the_sdk_reads(name):
    data = (FIXTURES / name).read_bytes()
    status = int(name.removeprefix("error-")[:3])
    with pytest.raises(anthropic.APIStatusError) as caught:
        Official(data, status).client.messages.create(**call(HAND_MADE["plain"]))
    assert caught.value.status_code == status
    assert caught.value.type == json.loads(data)["error"]["type"]
    if status != 413:  # its type is in the reference of errors, not among the SDK's
        assert ErrorResponse.model_validate_json(data).error.type == caught.value.type
