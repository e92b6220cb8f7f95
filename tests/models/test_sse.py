"""Server-sent events: payloads from bytes, whatever the pieces they come in."""

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from podium.models.sse import EventStream


def payloads(*chunks: bytes) -> list[str]:
    stream = EventStream()
    found = [payload for chunk in chunks for payload in stream.feed(chunk)]
    return found + stream.end()


@pytest.mark.parametrize(
    ("sent", "payload"),
    [
        (b"data: one\n\n", ["one"]),
        (b"data:one\n\ndata:  two\n\n", ["one", " two"]),
        (b"data: one\ndata: more\ndata\ndata:\n\n", ["one\nmore\n\n"]),
        (b"data: one\r\n\r\ndata: two\r\rdata: three\n\r\n", ["one", "two", "three"]),
        (b"event: x\nid: 7\nretry: 5\n: a comment\ndata: one\nother: y\ndatum: z\n\n", ["one"]),
        (b"\xef\xbb\xbfdata: one\n\n", ["one"]),
        (b"\xef\xbb\xbfdata: one", ["one"]),
        (b"\n\n\ndata: one\n\n\n\n", ["one"]),
        (b"data: the last, without its blank line", ["the last, without its blank line"]),
        (b"data: one\n\nda", ["one"]),
        (b"event: nothing\n\n", []),
        (b"", []),
        ("data: größer 🙂\n\n".encode(), ["größer 🙂"]),
        (b"data: broken \xf0\x9f\n\n", ["broken �"]),
    ],
)
def test_the_data_of_each_event_come_out(sent, payload):
    assert payloads(sent) == payload
    assert payloads(*[sent[index : index + 1] for index in range(len(sent))]) == payload


def test_an_event_comes_out_with_the_bytes_that_complete_it():
    stream = EventStream()
    assert stream.feed(b"data: on") == []
    assert stream.feed(b"e\n") == []
    assert stream.feed(b"\ndata: two\n\nda") == ["one", "two"]
    assert stream.feed(b"ta: three\r\n\r") == ["three"]
    assert stream.feed(b"\n") == []
    assert stream.end() == []


def test_a_line_end_cut_in_two_is_one():
    assert payloads(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == ["a\nb"]


lines = st.sampled_from([b"data: x", b"data:", b"data", b"", b"", b"event: e", b": c", "data: é🙂".encode(), b"\xff"])
ends = st.sampled_from([b"\n", b"\r\n", b"\r"])


@settings(max_examples=300)
@given(st.lists(st.tuples(lines, ends), max_size=12), st.lists(st.integers(0, 90), max_size=8))
@example([(b"data: x", b"\r\n"), (b"", b"\r\n")], [8])
def test_any_split_of_the_bytes_gives_the_same_payloads(written, cuts):
    sent = b"".join(line + end for line, end in written)
    places = sorted({0, len(sent), *[cut % (len(sent) + 1) for cut in cuts]})
    chunks = [sent[start:end] for start, end in pairwise(places)]
    assert payloads(*chunks) == payloads(sent)
