"""Hypothesis strategies for every message part and every journal record."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from podium.core.actions import Kind
from podium.core.codec import DIGEST_BYTES, encode
from podium.core.errors import Failure
from podium.core.labels import Integrity, Label
from podium.core.messages import Media, Message, Raw, Reply, Text, Thinking, ToolCall, ToolResult
from podium.core.records import (
    Began,
    Ended,
    Finished,
    Held,
    Hold,
    Outcome,
    Principal,
    Resumed,
    Retried,
    Signalled,
    Started,
    Status,
    Suspended,
)
from podium.core.transcript import FromPin, FromSession, FromSteps, Inline
from podium.core.usage import Usage

text = st.text(max_size=8)
number = st.integers(-(2**53), 2**53)
count = st.integers(0, 2**31)
when = st.floats(0, 2e9, allow_nan=False)
scalar = st.none() | st.booleans() | number | st.floats(allow_nan=False, allow_infinity=False) | text
plain = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=6
)
args = st.dictionaries(text, plain, max_size=3)
raw = plain.map(lambda value: msgspec.Raw(encode(value)))
money = st.none() | st.decimals(0, 1000, places=6).map(str)
digest = st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES)
names = st.lists(text, max_size=3).map(tuple)
positions = st.lists(st.integers(1, 99), max_size=3).map(tuple)
key = st.lists(st.tuples(st.sampled_from(["a", "turn", "search"]), st.integers(1, 9)), min_size=1, max_size=3).map(
    lambda pairs: "/".join(f"{name}.{ordinal}" for name, ordinal in pairs)
)

parts = st.one_of(
    st.builds(Text, text),
    st.builds(Media, text, st.binary(max_size=6), st.none() | text, st.none() | text),
    st.builds(ToolCall, text, args, st.none() | text, st.none() | text),
    st.builds(ToolResult, text, text, text, st.booleans()),
    st.builds(Thinking, text, st.none() | text),
    st.builds(Raw, text, args),
)
messages = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    st.lists(parts, max_size=3).map(tuple),
    st.none() | text,
)
usages = st.builds(Usage, count, count, count, count, count)
replies = st.builds(Reply, messages, usages, text, st.none() | text, money)
labels = st.builds(
    Label, st.sampled_from(Integrity), st.frozensets(text, max_size=3), st.none() | st.frozensets(text, max_size=3),
    st.frozensets(text, max_size=2),
)  # fmt: skip
failures = st.builds(Failure, text, text, args)
principals = st.builds(Principal, text, names, text)
holds = st.builds(
    Hold, text, st.sampled_from(["ask", "approval", "in_doubt", "signal", "sleep", "child"]), text, st.none() | when,
    names, names, digest, raw,
)  # fmt: skip
origins = st.one_of(
    st.builds(FromSteps, positions),
    st.builds(Inline, messages),
    st.just(FromPin()),
    st.builds(FromSession, text, count, count),
)
kinds = st.sampled_from(Kind)

started = st.builds(
    Started, text, text, when, raw, st.just(1), text, principals, text, st.none() | when, text, text, text,
    st.sampled_from(["allow", "hold"]), st.none() | labels, st.lists(messages, max_size=2).map(tuple),
)  # fmt: skip
resumed = st.builds(Resumed, count, text, when, st.none() | when)
began = st.builds(
    Began, key, count, kinds, text, digest, when, count, count, text, text, text, raw, count,
    st.lists(origins, max_size=2).map(tuple), st.none() | holds, money, positions, text, st.none() | when,
)  # fmt: skip
held = st.builds(Held, key, count, kinds, text, digest, when, holds, text, raw, positions)
retried = st.builds(Retried, key, count, when, when, failures, money, money)
ended = st.builds(
    Ended, key, when, st.sampled_from(Outcome), raw, st.none() | failures, st.none() | usages, money,
    st.none() | labels, count, st.booleans(), text, count, st.none() | kinds, text, st.just(b"") | digest, positions,
    text,
)  # fmt: skip
signalled = st.builds(
    Signalled, text, st.sampled_from(["approve", "answer", "signal", "cancel"]), text, when, raw, principals
)
suspended = st.builds(Suspended, when, st.none() | when)
finished = st.builds(Finished, st.sampled_from(Status), when, raw, st.none() | failures, text)
records: st.SearchStrategy[Any] = st.one_of(
    started, resumed, began, held, retried, ended, signalled, suspended, finished
)
