"""Whole agents against recorded answers: what the third-party mock server does not serve."""

from __future__ import annotations

from typing import Any

import pytest

from podium import Agent, Podium, RunResult, Thinking
from podium.core.actions import Retry
from podium.core.records import Retried
from podium.core.usage import Usage

from .stub import Recording, answering
from .wires import ANTHROPIC, CHAT, GEMINI, KEY, OLLAMA, RESPONSES, WIRES, Wire


async def asked(wire: Wire, url: str, *, streamed: bool = False, **options: Any) -> RunResult[Any]:
    """What a run of a plain agent came to."""
    model = wire.build(url, **options)
    agent = Agent("desk", model, system_prompt="You are at a desk.", retry=Retry(first=0.001))
    async with Podium() as app:
        if streamed:
            async for _ in agent.stream("Hello?", app=app, run_id="one"):
                pass
        result = await agent.run("Hello?", app=app, run_id="one")
    await model.aclose()
    return result


# Input with what was read from and written to a cache, output with reasoning: one meaning, whatever the wire says.
COUNTED = [
    (ANTHROPIC, "cached.json", Usage(20629, 14, 18808, 1800, 0, 1500)),
    (ANTHROPIC, "cached.sse", Usage(20629, 14, 18808, 1800, 0, 1500)),
    (CHAT, "text.json", Usage(2006, 12, 1920, 64)),
    (CHAT, "text.sse", Usage(2006, 12, 1920, 64)),
    (RESPONSES, "text.json", Usage(2006, 12, 1920, 64)),
    (RESPONSES, "text.sse", Usage(2006, 12, 1920, 64)),
    (GEMINI, "text.json", Usage(412, 65, 256, 0, 58)),
    (GEMINI, "thinking.sse", Usage(35, 109, 0, 0, 98)),
    (OLLAMA, "text.json", Usage(31, 12)),
    (OLLAMA, "cached.ndjson", Usage(0, 12)),
]


@pytest.mark.parametrize(("wire", "name", "usage"), COUNTED, ids=lambda value: str(value).split("(")[0])
async def test_what_a_cache_saved_is_in_the_usage_of_the_run(wire: Wire, name: str, usage: Usage) -> None:
    async with answering(f"{wire.folder}/{name}") as server:
        result = await asked(wire, server.url, streamed=not name.endswith(".json"))
    assert (result.status, result.usage) == ("succeeded", usage)
    assert result.output


@pytest.mark.parametrize(("version", "name"), [("v1", "text.json"), ("v1", "thinking.sse"), ("v1beta", "text.json")])
async def test_gemini_is_asked_at_the_version_that_was_chosen(version: str, name: str) -> None:
    streamed = name.endswith(".sse")
    async with answering(f"gemini/{name}") as server:
        result = await asked(GEMINI, server.url, streamed=streamed, api_version=version)
    assert result.status == "succeeded"
    method = "streamGenerateContent?alt=sse" if streamed else "generateContent"
    assert server.exchanges[0].path == f"/{version}/models/gemini-3-flash:{method}"
    assert server.exchanges[0].headers["x-goog-api-key"] == KEY


REFUSED = [
    (ANTHROPIC, 400, "error-400.json", "BadRequest"),
    (ANTHROPIC, 400, "error-400-context.json", "ContextTooLong"),
    (ANTHROPIC, 400, "error-400-credit.json", "BadRequest"),
    (ANTHROPIC, 404, "error-404.json", "BadRequest"),
    (ANTHROPIC, 413, "error-413.json", "ContextTooLong"),
    (CHAT, 400, "error-400-context.json", "ContextTooLong"),
    (CHAT, 400, "error-400-azure-filter.json", "ContentFiltered"),
    (CHAT, 400, "error-400-max-tokens.json", "BadRequest"),
    (CHAT, 429, "error-429-quota.json", "BadRequest"),
    (RESPONSES, 400, "error-400-context.json", "ContextTooLong"),
    (RESPONSES, 400, "error-400-encrypted.json", "BadRequest"),
    (GEMINI, 200, "blocked_prompt.json", "ContentFiltered"),
    (OLLAMA, 400, "error-400-tools.json", "BadRequest"),
    (OLLAMA, 400, "error-400-context.json", "ContextTooLong"),
    (OLLAMA, 404, "error-404.json", "BadRequest"),
    (OLLAMA, 500, "error-500-memory.json", "BadRequest"),
]


@pytest.mark.parametrize(("wire", "status", "name", "kind"), REFUSED, ids=str)
async def test_what_a_provider_will_never_accept_is_asked_once(wire: Wire, status: int, name: str, kind: str) -> None:
    async with answering(Recording(f"{wire.folder}/{name}", status)) as server:
        result = await asked(wire, server.url)
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.type == kind
    assert len(server.exchanges) == 1
    assert KEY not in repr(result.records)


AGAIN = [
    (ANTHROPIC, Recording("anthropic/error-529.json", 529), "cached.sse", "Overloaded"),
    (ANTHROPIC, Recording("anthropic/bad-overloaded.sse"), "cached.sse", "Overloaded"),
    (CHAT, Recording("openai-chat/bad-truncated.sse"), "text.sse", "MalformedReply"),
    (CHAT, Recording("openai-chat/bad-empty.sse"), "text.sse", "MalformedReply"),
    (RESPONSES, Recording("openai-responses/bad-truncated.sse"), "text.sse", "MalformedReply"),
    (GEMINI, Recording("gemini/quota.json", 429, {"retry_after": "0"}), "thinking.sse", "RateLimited"),
    (OLLAMA, Recording("ollama/bad-error.ndjson"), "text.ndjson", "Overloaded"),
    (OLLAMA, Recording("ollama/bad-truncated.ndjson"), "text.ndjson", "MalformedReply"),
]


@pytest.mark.parametrize(("wire", "first", "then", "kind"), AGAIN, ids=lambda value: getattr(value, "name", None))
async def test_a_recorded_failure_that_may_pass_is_tried_again(
    wire: Wire, first: Recording, then: str, kind: str
) -> None:
    async with answering(first, f"{wire.folder}/{then}") as server:
        result = await asked(wire, server.url, streamed=True)
    assert result.status == "succeeded"
    assert [record.error.type for record in result.records if isinstance(record, Retried)] == [kind]
    assert len(server.exchanges) == 2


def test_every_wire_has_recordings_of_answers_and_of_streams() -> None:
    for wire in WIRES:
        kinds = {path.suffix for path in Recording(wire.folder).path.iterdir()}
        assert ".json" in kinds
        assert kinds & {".sse", ".ndjson"}


@pytest.mark.parametrize("name", ["thinking.json", "thinking.ndjson"])
async def test_what_ollamas_models_think_is_kept_apart_from_the_answer(name: str) -> None:
    async with answering(f"ollama/{name}") as server:
        result = await asked(OLLAMA, server.url, streamed=not name.endswith(".json"))
    answer = result.messages[-1]
    thoughts = "".join(part.text for part in answer.parts if isinstance(part, Thinking))
    assert result.status == "succeeded"
    assert thoughts
    assert result.output == answer.text
    assert thoughts not in answer.text
