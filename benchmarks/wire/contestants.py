"""Those who are measured: the floor, Podium and the official SDK, each asking the same over the same wire.

The floor is the least that does the work: httpx2, `json`, and the text joined. The SDKs are used as their documents
say, without retries: with the plainest stream they have, which yields bare events, and with the helper that ends in a
whole message with its counts, as Podium's does, where they have one. Every contestant must come to the same text.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2

from podium.core.deltas import Delta
from podium.core.errors import ConfigurationError
from podium.models import resolve
from podium.models.transport import HttpTransport

from .payloads import request

Json = dict[str, Any]
Ask = Callable[[], Awaitable[str]]

KEY = "sk-bench-0123456789abcdef0123456789abcdef"


@dataclass(frozen=True)
class Contestant:
    """Somebody who asks for a whole answer (None: another of its kind does) and for a stream, and returns the text."""

    name: str
    call: Ask | None
    stream: Ask
    close: Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Wire:
    """One protocol: how Podium names it, and where its text is for the floor."""

    name: str
    model: str
    """The name Podium resolves."""
    base: str
    """The path that a base URL ends in."""
    whole: Callable[[Json], str]
    piece: Callable[[Json], str]
    sdk: Callable[[str, Json], list[Contestant]]
    """The official SDK, given a base URL and the body Podium sends: bare events first, then whole messages."""


def _chat_piece(event: Json) -> str:
    return event["choices"][0]["delta"].get("content") or "" if event["choices"] else ""


def _responses_piece(event: Json) -> str:
    return event["delta"] if event["type"] == "response.output_text.delta" else ""


def _claude_piece(event: Json) -> str:
    return event["delta"]["text"] if event["type"] == "content_block_delta" else ""


def _gemini_text(event: Json) -> str:
    return event["candidates"][0]["content"]["parts"][0]["text"]


def _named(distribution: str, how: str = "") -> str:
    return f"{distribution} {importlib.metadata.version(distribution)}{how and f' {how}'}"


async def _nothing() -> None:
    """Closed by another."""


def _openai(base: str, body: Json) -> list[Contestant]:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key=KEY, base_url=base, max_retries=0)
    whole = {name: value for name, value in body.items() if name not in ("stream", "stream_options")}

    async def call() -> str:
        reply = await client.chat.completions.create(**whole)
        return reply.choices[0].message.content or ""

    async def stream() -> str:
        chunks = await client.chat.completions.create(**body)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices])

    async def helper() -> str:
        async with client.chat.completions.stream(**whole, stream_options={"include_usage": True}) as events:
            async for _ in events:
                pass
            return (await events.get_final_completion()).choices[0].message.content or ""

    return [
        Contestant(_named("openai"), call, stream, client.close),
        Contestant(_named("openai", "stream()"), None, helper, _nothing),
    ]


def _responses(base: str, body: Json) -> list[Contestant]:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key=KEY, base_url=base, max_retries=0)
    whole = {name: value for name, value in body.items() if name != "stream"}

    async def call() -> str:
        return (await client.responses.create(**whole)).output_text

    async def stream() -> str:
        events = await client.responses.create(**body)
        return "".join([event.delta async for event in events if event.type == "response.output_text.delta"])

    async def helper() -> str:
        async with client.responses.stream(**whole) as events:
            async for _ in events:
                pass
            return (await events.get_final_response()).output_text

    return [
        Contestant(_named("openai"), call, stream, client.close),
        Contestant(_named("openai", "stream()"), None, helper, _nothing),
    ]


def _anthropic(base: str, body: Json) -> list[Contestant]:
    from anthropic import AsyncAnthropic

    client = AsyncAnthropic(api_key=KEY, base_url=base, max_retries=0)
    whole = {name: value for name, value in body.items() if name != "stream"}

    async def call() -> str:
        return (await client.messages.create(**whole)).content[0].text

    async def stream() -> str:
        events = await client.messages.create(**body)
        return "".join([event.delta.text async for event in events if event.type == "content_block_delta"])

    async def helper() -> str:
        async with client.messages.stream(**whole) as events:
            async for _ in events:
                pass
            return await events.get_final_text()

    return [
        Contestant(_named("anthropic"), call, stream, client.close),
        Contestant(_named("anthropic", "stream()"), None, helper, _nothing),
    ]


def _gemini(base: str, body: Json) -> list[Contestant]:
    from google import genai
    from google.genai import types

    client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=base, api_version="v1"))
    declared = [
        types.FunctionDeclaration(
            name=tool["name"],
            description=tool["description"],
            parameters_json_schema=tool.get("parametersJsonSchema") or tool.get("parameters"),
        )
        for group in body["tools"]
        for tool in group["functionDeclarations"]
    ]
    config = types.GenerateContentConfig(
        system_instruction=body["systemInstruction"]["parts"][0]["text"],
        tools=[types.Tool(function_declarations=declared)],
        max_output_tokens=1024,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    asked: Any = {"model": "gemini-3.5-flash", "contents": body["contents"], "config": config}

    async def call() -> str:
        return (await client.aio.models.generate_content(**asked)).text or ""

    async def stream() -> str:
        chunks = await client.aio.models.generate_content_stream(**asked)
        return "".join([chunk.text or "" async for chunk in chunks])

    return [Contestant(_named("google-genai"), call, stream, client.aio.aclose)]


def _ollama(base: str, body: Json) -> list[Contestant]:
    from ollama import AsyncClient

    client = AsyncClient(host=base)
    known = inspect.signature(client.chat).parameters.keys() - {"stream"}  # it lacks what the server took up lately
    whole = {name: value for name, value in body.items() if name in known}

    async def call() -> str:
        return (await client.chat(**whole, stream=False)).message.content or ""

    async def stream() -> str:
        parts = await client.chat(**whole, stream=True)
        return "".join([part.message.content or "" async for part in parts])

    return [Contestant(_named("ollama"), call, stream, client.close)]


WIRES = {
    wire.name: wire
    for wire in (
        Wire(
            "openai", "openai:gpt-6-sol", "/v1", lambda b: b["choices"][0]["message"]["content"], _chat_piece, _openai
        ),
        Wire(
            "openai-responses",
            "openai-responses:gpt-6-sol",
            "/v1",
            lambda b: b["output"][0]["content"][0]["text"],
            _responses_piece,
            _responses,
        ),
        Wire(
            "anthropic", "anthropic:claude-sonnet-5-5", "", lambda b: b["content"][0]["text"], _claude_piece, _anthropic
        ),
        Wire("gemini", "gemini:gemini-3.5-flash", "", _gemini_text, _gemini_text, _gemini),
        Wire(
            "ollama",
            "ollama:llama3.2",
            "",
            lambda b: b["message"]["content"],
            lambda e: e["message"]["content"],
            _ollama,
        ),
    )
}


async def recorded(wire: Wire, base: str, *, stream: bool) -> httpx2.Request:
    """What Podium sends on this wire: the floor sends the same, and the SDK is asked the same."""
    seen: list[httpx2.Request] = []

    def answer(asked: httpx2.Request) -> httpx2.Response:
        seen.append(asked)
        return httpx2.Response(500)

    transport = HttpTransport(mock=httpx2.MockTransport(answer))
    model = resolve(wire.model, base_url=base, api_key=KEY, transport=transport)
    try:
        await model.request(request(), (lambda _delta: None) if stream else None)
    except ConfigurationError:
        raise
    except Exception:
        if not seen:
            raise
    await transport.aclose()
    return seen[0]


async def floor(wire: Wire, base: str) -> Contestant:
    """The least that does the work."""
    whole = await recorded(wire, base, stream=False)
    streamed = await recorded(wire, base, stream=True)
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    one, many = json.loads(whole.content), json.loads(streamed.content)
    call_url, stream_url = str(whole.url), str(streamed.url)
    client = httpx2.AsyncClient()

    async def call() -> str:
        answer = await client.post(call_url, content=json.dumps(one), headers=headers)
        return wire.whole(json.loads(answer.content))

    async def stream() -> str:
        pieces: list[str] = []
        sent = json.dumps(many)
        async with client.stream("POST", stream_url, content=sent, headers=headers) as answer:
            async for line in answer.aiter_lines():
                data = line[6:] if line.startswith("data: ") else line if line.startswith("{") else ""
                if data and data != "[DONE]":
                    pieces.append(wire.piece(json.loads(data)))
        return "".join(pieces)

    return Contestant("floor", call, stream, client.aclose)


def podium(wire: Wire, base: str) -> Contestant:
    """Podium's model, as an agent uses it: the request is encoded, deltas are handed on, the reply is built."""
    transport = HttpTransport()
    model = resolve(wire.model, base_url=base, api_key=KEY, transport=transport)
    asked = request()

    async def call() -> str:
        return (await model.request(asked)).message.text

    async def stream() -> str:
        deltas: list[Delta] = []
        return (await model.request(asked, deltas.append)).message.text

    return Contestant("podium", call, stream, transport.aclose)


async def sdks(wire: Wire, base: str) -> list[Contestant]:
    """The provider's own package, in the ways in which it streams."""
    body: Json = json.loads((await recorded(wire, base, stream=True)).content)
    return wire.sdk(base, body)
