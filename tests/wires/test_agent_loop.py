"""Whole agents against a mock server that none of us wrote, on every wire: what comes back, fails, and is kept."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from podium import Agent, Podium, RunResult, tool
from podium.core.deltas import Reset, TextDelta, ThinkingDelta, ToolCallDelta
from podium.core.messages import Thinking, ToolResult
from podium.core.records import Retried
from podium.runtime.clock import SystemClock

from .mockserver import MockServer
from .wires import ADDRESSES, KEY, WIRES, Wire

wires = pytest.mark.parametrize("wire", WIRES, ids=str)
addresses = pytest.mark.parametrize("wire", [*WIRES, *ADDRESSES], ids=str)
ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
LONG = "Hello from the mock, at some length, so that it takes a few pieces to say it all. ✓ Grüße."
BROKEN = "This is a long answer that the server will never come to the end of, for the line breaks."


@tool(effect="read")
async def weather(city: str, days: int = 1) -> str:
    """The forecast for a city."""
    return f"{days} days of rain in {city}"


@tool(effect="read")
async def breaks() -> str:
    """Breaks."""
    raise RuntimeError("the roof is leaking")


class Hasty(SystemClock):
    """The machine's clock, with a memory of what was waited for between attempts, and no time for it."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().sleep(0)


class Desk:
    """An agent on one wire, with a place of its own at the mock server, and everything that a run of it told."""

    def __init__(self, wire: Wire, mock: MockServer, **options: Any) -> None:
        self.wire = wire
        self.mock = mock
        self.test = uuid.uuid4().hex
        self.clock = Hasty()
        self.model = wire.build(mock.url, headers={"x-test-id": self.test}, **options)
        self.agent = Agent("desk", self.model, [weather, breaks], "You are at a desk.")
        self.app = Podium(clock=self.clock)
        self.events: list[Any] = []

    async def ask(self, question: str, *, streamed: bool) -> RunResult[Any]:
        if streamed:
            async for event in self.agent.stream(question, app=self.app, run_id=self.test):
                self.events.append(event)
        return await self.agent.run(question, app=self.app, run_id=self.test)

    def heard(self, kind: type) -> list[Any]:
        """What was streamed of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def texts(self) -> str:
        """The text that was streamed: of several attempts of one call, that of the last."""
        found = ""
        for event in self.events:
            if isinstance(event, Reset):
                found = ""
            elif isinstance(event, TextDelta):
                assert event.offset == len(found)
                found += event.text
        return found

    def asked(self) -> list[dict[str, Any]]:
        """The requests as the server saw them."""
        return self.mock.journal(self.test)


@asynccontextmanager
async def at(wire: Wire, mock: MockServer, **options: Any) -> AsyncGenerator[Desk]:
    desk = Desk(wire, mock, **options)
    async with desk.app:
        try:
            yield desk
        finally:
            await desk.model.aclose()


def results(found: RunResult[Any]) -> list[ToolResult]:
    return [part for message in found.messages for part in message.parts if isinstance(part, ToolResult)]


def retried(found: RunResult[Any]) -> list[Retried]:
    return [record for record in found.records if isinstance(record, Retried)]


# ---------------------------------------------------------------------------------------------------------- answers


@addresses
@ways
async def test_an_answer_comes_back(wire: Wire, streamed: bool, mock: MockServer) -> None:
    async with at(wire, mock) as desk:
        result = await desk.ask("Please say hello at length.", streamed=streamed)
        assert (result.output, result.status) == (LONG, "succeeded")
        (asked,) = desk.asked()
        if streamed:
            assert desk.texts() == LONG
            assert len(desk.heard(TextDelta)) > 1
        else:
            assert asked["path"].split("?")[0].endswith(wire.path)


@addresses
@ways
async def test_a_tool_is_called_and_its_result_goes_back(wire: Wire, streamed: bool, mock: MockServer) -> None:
    async with at(wire, mock) as desk:
        result = await desk.ask("How is the weather in Oslo?", streamed=streamed)
        # The server gives this answer only to one who sends it the tool's own words.
        assert (result.output, result.status) == ("Take an umbrella to Oslo.", "succeeded")
        assert [(part.name, part.content) for part in results(result)] == [("weather", "2 days of rain in Oslo")]
        assert len(desk.asked()) == 2
        if streamed:
            assert "".join(delta.name for delta in desk.heard(ToolCallDelta)) == "weather"
            written = "".join(delta.arguments for delta in desk.heard(ToolCallDelta))
            assert json.loads(written) == {"city": "Oslo", "days": 2}


@wires
@ways
async def test_tools_called_side_by_side_are_told_apart(wire: Wire, streamed: bool, mock: MockServer) -> None:
    async with at(wire, mock) as desk:
        result = await desk.ask("Please compare two cities.", streamed=streamed)
        assert (result.output, result.status) == ("Zürich is drier.", "succeeded")
        assert [part.content for part in results(result)] == ["1 days of rain in Zürich", "3 days of rain in 東京"]
        assert len({part.call_id for part in results(result)}) == 2
        if streamed:
            assert {delta.index for delta in desk.heard(ToolCallDelta)} == {0, 1}


@wires
async def test_a_tool_that_fails_is_told_to_the_model(wire: Wire, mock: MockServer) -> None:
    async with at(wire, mock) as desk:
        result = await desk.ask("Please call a tool that fails.", streamed=False)
        assert result.output == "The tool failed."
        assert [part.is_error for part in results(result)] == [True]


@pytest.mark.parametrize("wire", [wire for wire in WIRES if wire.thinks], ids=str)
@ways
async def test_thinking_is_kept_apart_from_the_answer(wire: Wire, streamed: bool, mock: MockServer) -> None:
    thought = "Six times seven is forty-two, I am sure of it."
    async with at(wire, mock) as desk:
        result = await desk.ask("Please think before you answer.", streamed=streamed)
        assert result.output == "42"
        (thinking,) = [part for part in result.messages[-1].parts if isinstance(part, Thinking)]
        assert thinking.text == thought
        if streamed:
            assert "".join(delta.text for delta in desk.heard(ThinkingDelta)) == thought
            assert desk.texts() == "42"


# --------------------------------------------------------------------------------------------------------- failures


@addresses
@ways
async def test_a_rate_limit_is_waited_out_as_long_as_the_server_says(
    wire: Wire, streamed: bool, mock: MockServer
) -> None:
    async with at(wire, mock) as desk:
        result = await desk.ask("Now you are rate limited.", streamed=streamed)
        assert (result.output, result.status) == ("Thank you for waiting.", "succeeded")
        (first,) = retried(result)
        assert (first.error.type, first.error.data["status"]) == ("RateLimited", 429)
        assert first.error.data["retry_after"] == 7.0
        assert first.until - first.at == 7.0
        assert 7.0 in desk.clock.slept
        assert len(desk.asked()) == 2


@pytest.mark.parametrize(
    ("question", "answer", "kind"),
    [
        ("Please fall over once.", "Up again.", "Overloaded"),
        ("Please garble it once.", "Clear again.", "MalformedReply"),
        ("Please hang up once.", "Back again.", "Overloaded"),
    ],
    ids=["500", "malformed", "hung up"],
)
@wires
@ways
async def test_a_failure_that_may_pass_is_tried_again_and_recorded(
    wire: Wire, streamed: bool, question: str, answer: str, kind: str, mock: MockServer
) -> None:
    async with at(wire, mock) as desk:
        result = await desk.ask(question, streamed=streamed)
        assert (result.output, result.status) == (answer, "succeeded")
        assert [record.error.type for record in retried(result)] == [kind]
        assert len(desk.asked()) == 2


@wires
async def test_a_stream_that_breaks_off_is_begun_again_for_those_who_listen(wire: Wire, mock: MockServer) -> None:
    async with at(wire, mock) as desk:
        result = await desk.ask("Please break off once.", streamed=True)
        assert (result.output, result.status) == ("This is whole.", "succeeded")
        (first,) = retried(result)
        assert first.error.type == "MalformedReply"
        assert BROKEN.startswith(first.error.data["partial"])
        assert first.error.data["partial"]
        assert len(desk.heard(Reset)) == 1
        assert desk.texts() == "This is whole."


@wires
async def test_a_stream_that_always_breaks_off_fails_with_what_came(wire: Wire, mock: MockServer) -> None:
    async with at(wire, mock) as desk:
        result = await desk.ask("You always break off.", streamed=True)
        assert result.status == "failed"
        assert result.error is not None
        assert result.error.type == "MalformedReply"
        assert BROKEN.startswith(result.error.data["partial"])
        assert result.error.data["partial"]
        assert len(desk.asked()) == 3


@wires
async def test_a_server_that_always_falls_over_is_left_after_three_attempts(wire: Wire, mock: MockServer) -> None:
    async with at(wire, mock) as desk:
        result = await desk.ask("You always fall over.", streamed=False)
        assert result.status == "failed"
        assert result.error is not None
        assert result.error.type == "Overloaded"
        assert [record.attempt for record in retried(result)] == [1, 2]
        assert len(desk.asked()) == 3


@addresses
async def test_a_refused_key_is_not_tried_again_and_not_repeated(wire: Wire, mock: MockServer) -> None:
    async with at(wire, mock) as desk:
        result = await desk.ask("Please refuse the key.", streamed=False)
        assert result.status == "failed"
        assert result.error is not None
        assert result.error.type == "AuthenticationFailed"
        assert len(desk.asked()) == 1
        assert KEY not in repr(result.records)
