"""Recorded streams cut anywhere: however the bytes come in, they mean the same; and where they stop, that is said."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.core.deltas import Delta, TextDelta, ThinkingDelta, ToolCallDelta
from podium.core.errors import ModelError
from podium.core.messages import Reply
from podium.models.codec import Codec

from .stub import FIXTURES
from .wires import WIRES

CODECS = {wire.folder: wire.build("http://box")._codec("http://box") for wire in WIRES}
STREAMS = sorted(path for kind in ("sse", "ndjson") for path in FIXTURES.glob(f"*/*.{kind}"))
streams = pytest.mark.parametrize("path", STREAMS, ids=lambda path: f"{path.parent.name}/{path.name}")


class Outcome(msgspec.Struct):
    """What a stream came to: its deltas put together, and a reply or an error."""

    text: str
    thinking: str
    calls: dict[int, tuple[str, str]]
    reply: Reply | None = None
    error: ModelError | None = None

    @property
    def told(self) -> tuple[Any, ...]:
        """The outcome as a value that compares."""
        if self.error is not None:
            # What came in one chunk with the error is not handed on: the attempt is void, and the error holds the text.
            return type(self.error), str(self.error), self.error.data
        return self.text, self.thinking, self.calls, self.reply


def outcome(codec: Codec, chunks: list[bytes]) -> Outcome:
    """Decode chunks as the transport hands them on."""
    stream = codec.stream()
    deltas: list[Delta] = []
    reply = error = None
    try:
        for chunk in chunks:
            deltas += stream.feed(chunk)
        reply = stream.finish()
    except ModelError as raised:
        error = raised
    return Outcome(_joined(deltas, TextDelta), _joined(deltas, ThinkingDelta), _calls(deltas), reply, error)


def _joined(deltas: list[Delta], kind: type[TextDelta] | type[ThinkingDelta]) -> str:
    """The pieces of one kind put together, each where its offset says."""
    found = ""
    for delta in deltas:
        if isinstance(delta, kind):
            assert delta.text, "a delta without anything in it"
            assert delta.offset == len(found)
            found += delta.text
    return found


def _calls(deltas: list[Delta]) -> dict[int, tuple[str, str]]:
    """The calls by their index: names and arguments put together."""
    found: dict[int, tuple[str, str]] = {}
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            name, arguments = found.get(delta.index, ("", ""))
            assert delta.offset == len(arguments)
            found[delta.index] = (delta.name or name, arguments + delta.arguments)
    return found


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in pairwise(places)]


def whole(path: Path) -> Outcome:
    return outcome(CODECS[path.parent.name], [path.read_bytes()])


@streams
def test_a_recorded_stream_has_a_codec_and_ends_as_its_name_says(path: Path) -> None:
    found = whole(path)
    if path.name.startswith("bad-"):
        assert isinstance(found.error, ModelError)
    else:
        assert found.error is None
        assert found.reply is not None
        # What a model began to call before it refused is not called.
        called = [] if found.reply.finish == "refusal" else [name for name, _ in found.calls.values()]
        assert [call.name for call in found.reply.message.tool_calls] == called
        assert found.text == found.reply.message.text


@streams
@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 1 << 20), max_size=12))
def test_any_split_into_chunks_means_the_same(path: Path, cuts: list[int]) -> None:
    codec, data = CODECS[path.parent.name], path.read_bytes()
    assert outcome(codec, split(data, cuts)).told == whole(path).told


@streams
def test_byte_by_byte_means_the_same(path: Path) -> None:
    codec, data = CODECS[path.parent.name], path.read_bytes()
    assert outcome(codec, [bytes([each]) for each in data]).told == whole(path).told


@streams
@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 1 << 20), max_size=5))
def test_line_ends_of_other_systems_mean_the_same(path: Path, cuts: list[int]) -> None:
    codec, data = CODECS[path.parent.name], path.read_bytes()
    assert outcome(codec, split(data.replace(b"\n", b"\r\n"), cuts)).told == whole(path).told


def stopped(path: Path, stop: int) -> None:
    """A stream that ends at `stop` is the whole reply, or an error that holds what came."""
    full = whole(path)
    cut = outcome(CODECS[path.parent.name], [path.read_bytes()[:stop]])
    if cut.error is None:
        assert full.reply is not None
        assert cut.reply is not None
        assert cut.reply.message == full.reply.message
        assert cut.reply.finish == full.reply.finish
    else:
        partial = cut.error.data.get("partial", "")
        assert (full.text if full.error is None else full.error.data.get("partial", "")).startswith(partial)
        assert partial.startswith(cut.text)  # and it may have what the last, unfinished event brought


@streams
@settings(max_examples=40, deadline=None)
@given(stop=st.integers(0, 1 << 20))
def test_a_stream_that_stops_anywhere_is_whole_or_an_error_with_what_came(path: Path, stop: int) -> None:
    stopped(path, stop % (len(path.read_bytes()) + 1))


@streams
def test_a_stream_that_stops_after_any_line_is_whole_or_an_error_with_what_came(path: Path) -> None:
    data = path.read_bytes()
    for place in [place for place, byte in enumerate(data, 1) if byte == ord("\n")]:
        stopped(path, place)
        stopped(path, place - 1)
