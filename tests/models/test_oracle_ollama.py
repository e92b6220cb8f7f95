"""The official client as a judge of the Ollama codec: equal bodies for equal requests, and the same answers read."""

import json
from pathlib import Path

import httpx
import ollama
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podium.core.messages import (
    Media,
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
from podium.models.ollama.reply import OllamaStream, decode_reply
from podium.models.ollama.request import Dialect, encode_request

FIXTURES = Path(__file__).parent / "fixtures" / "ollama"
ANSWERS = sorted(path.name for path in FIXTURES.glob("*.json") if not path.name.startswith("error-"))
STREAMS = sorted(path.name for path in FIXTURES.glob("*.ndjson"))
MODEL = "qwen3:8b"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Where."}, "days": {"type": "integer"}},
    "required": ["city"],
}
PNG = b"\x89PNG\r\n\x1a\n"


class Official:
    """The official client on a network of our own: what it sends, and what it makes of `answer`."""

    def __init__(self, answer: bytes, content_type: str = "application/json") -> None:
        self.seen: list[httpx.Request] = []
        self._answer, self._type = answer, content_type
        self.client = ollama.Client("http://127.0.0.1:11434", transport=httpx.MockTransport(self._handle))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        return httpx.Response(200, content=self._answer, headers={"content-type": self._type})

    def body(self, request: ModelRequest, dialect: Dialect, *, stream: bool) -> dict:
        asked = request.settings
        options = {
            **dialect.options,
            "num_predict": asked.max_output_tokens,
            "temperature": asked.temperature,
            "top_p": asked.top_p,
            "seed": asked.seed,
            "stop": list(asked.stop) or None,
        }
        answer = self.client.chat(
            MODEL,
            [said for message in request.messages for said in spoken(message)],
            tools=[declared(tool) for tool in request.tools] or None,
            stream=stream,
            think=dialect.think,
            format=None if request.output is None else request.output.schema,
            options={name: value for name, value in options.items() if value is not None} or None,
            keep_alive=dialect.keep_alive,
        )
        if stream:
            list(answer)
        (sent,) = self.seen
        assert str(sent.url) == "http://127.0.0.1:11434/api/chat"
        body = json.loads(sent.content)
        if not body["tools"]:  # it says even that there is nothing to say
            del body["tools"]
        return body


def declared(tool: ToolSpec) -> dict:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def spoken(message) -> list[dict]:
    results = [part for part in message.parts if type(part) is ToolResult]
    if results:
        return [
            {
                "role": "tool",
                "tool_name": part.name,
                "content": f"Error: {part.content}" if part.is_error else part.content,
            }
            for part in results
        ]
    said: dict = {"role": message.role, "content": message.text}
    if images := [part.data for part in message.parts if type(part) is Media]:
        said["images"] = [ollama.Image(value=image) for image in images]
    if thought := "".join(part.text for part in message.parts if type(part) is Thinking):
        said["thinking"] = thought
    if calls := message.tool_calls:
        said["tool_calls"] = [{"function": {"name": call.name, "arguments": call.args}} for call in calls]
    return [said]


def sayable(body: dict) -> dict:
    """Our body without what the official client cannot say: `truncate`, the ids of calls, and an empty content."""
    body = json.loads(json.dumps(body))
    body.pop("truncate", None)
    for message in body["messages"]:
        message.pop("tool_call_id", None)
        if not message["content"]:
            del message["content"]
        for call in message.get("tool_calls", ()):
            call.pop("id", None)
    return body


CALL = ToolCall("weather", {"city": "Oslo", "days": None}, "c1")
CORPUS = {
    "plain": ModelRequest([user("hi")]),
    "settings": ModelRequest(
        [system("Be brief."), user("hi")],
        settings=Settings(max_output_tokens=9, temperature=0.0, top_p=1.0, stop=("a", "b"), seed=3),
    ),
    "image": ModelRequest([user([Text("What?"), Media("image/png", PNG)])]),
    "tools": ModelRequest([user("Weather?")], (ToolSpec("weather", "The forecast.", SCHEMA),)),
    "conversation": ModelRequest(
        [
            user("Weather?"),
            assistant(Thinking("Hm.", provider="ollama"), "I look.", CALL, ToolCall("clock", {})),
            tool_results(ToolResult("c1", "weather", "rain"), ToolResult("c2", "clock", "broken", is_error=True)),
            assistant("Rain."),
            user("Thanks."),
        ]
    ),
    "schema": ModelRequest([user("hi")], output=OutputSpec("answer", SCHEMA)),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", CORPUS)
def test_the_official_client_sends_the_same_body(name, stream):
    dialect = Dialect(think="low", keep_alive="10m", options={"num_ctx": 4096})
    official = Official(b'{"message": {"role": "assistant", "content": "x"}, "done": true}\n')
    theirs = official.body(CORPUS[name], dialect, stream=stream)
    assert sayable(encode_request(CORPUS[name], MODEL, stream=stream, dialect=dialect)) == theirs


NAMES = st.from_regex(r"[a-z][a-z_]{0,10}", fullmatch=True)
SAID = st.text(max_size=20)
ARGS = st.dictionaries(
    NAMES, st.none() | st.booleans() | st.integers(-9, 9) | SAID | st.lists(SAID, max_size=2), max_size=3
)
CALLS = st.builds(ToolCall, NAMES, ARGS, st.none() | NAMES)
ROUNDS = st.tuples(SAID, st.lists(CALLS, max_size=2), SAID).map(
    lambda drawn: [
        assistant(*([drawn[0]] if drawn[0] else []), *drawn[1]),
        *([tool_results(*[ToolResult("id", call.name, drawn[2]) for call in drawn[1]])] if drawn[1] else []),
        user(drawn[2]),
    ]
)
TOOLS = st.lists(st.builds(ToolSpec, NAMES, SAID, st.just(SCHEMA)), max_size=2).map(tuple)
SETTINGS = st.builds(
    Settings,
    max_output_tokens=st.none() | st.integers(1, 99),
    temperature=st.none() | st.floats(0, 2),
    top_p=st.none() | st.floats(0, 1),
    stop=st.lists(SAID.filter(bool), max_size=2).map(tuple),
    seed=st.none() | st.integers(0, 2**31 - 1),
)
REQUESTS = st.builds(
    lambda start, rounds, tools, chosen: ModelRequest([*start, *[m for each in rounds for m in each]], tools, chosen),
    st.sampled_from([[user("go")], [system("Be brief."), user("go")], [user([Text("see"), Media("image/png", PNG)])]]),
    st.lists(ROUNDS, max_size=2),
    TOOLS,
    SETTINGS,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(REQUESTS, st.sampled_from([None, True, False, "high"]))
def test_the_official_client_sends_the_same_body_for_any_request(request, think):
    dialect = Dialect(think=think)
    official = Official(b'{"message": {"role": "assistant", "content": "x"}, "done": true}')
    theirs = official.body(request, dialect, stream=False)
    assert sayable(encode_request(request, MODEL, stream=False, dialect=dialect)) == theirs


@pytest.mark.parametrize("name", ANSWERS)
def test_the_official_types_read_every_answer_as_we_do(name):
    body = (FIXTURES / name).read_bytes()
    ollama.ChatResponse.model_validate_json(body)
    theirs = Official(body).client.chat(MODEL, [{"role": "user", "content": "hi"}])
    if not name.startswith("bad-"):
        agree([theirs], decode_reply(body))


@pytest.mark.parametrize("name", STREAMS)
def test_the_official_types_read_every_line_of_a_stream_as_we_do(name):
    data = (FIXTURES / name).read_bytes()
    official = Official(data, "application/x-ndjson").client
    asked = official.chat(MODEL, [{"role": "user", "content": "hi"}], stream=True)
    if name == "bad-error.ndjson":
        with pytest.raises(ollama.ResponseError, match="unexpected EOF"):
            list(asked)
        return
    chunks = [ollama.ChatResponse.model_validate(chunk.model_dump()) for chunk in asked]
    if not name.startswith("bad-"):
        stream = OllamaStream()
        stream.feed(data)
        agree(chunks, stream.finish())


def agree(chunks: list[ollama.ChatResponse], reply) -> None:
    """What the official client's chunks add up to is our reply."""
    last = chunks[-1]
    assert last.done
    assert "".join(chunk.message.content or "" for chunk in chunks) == reply.message.text
    thought = "".join(part.text for part in reply.message.parts if type(part) is Thinking)
    assert "".join(chunk.message.thinking or "" for chunk in chunks) == thought
    calls = [call.function for chunk in chunks for call in chunk.message.tool_calls or ()]
    assert [(call.name, dict(call.arguments)) for call in calls] == [(c.name, c.args) for c in reply.message.tool_calls]
    assert (last.prompt_eval_count or 0, last.eval_count or 0) == (reply.usage.input_tokens, reply.usage.output_tokens)
    assert last.model == reply.model
    assert (last.done_reason or "stop") == ("stop" if reply.finish == "tool_calls" else reply.finish)
