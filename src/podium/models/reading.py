"""Reading what servers send: JSON whose shape nobody can be sure of, as values of known types. No I/O.

Servers leave out what they should send, and send `null`, numbers as texts or texts as numbers. Each function here gives
an empty value for what is not of its type, so that a codec says what it looks for and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

import msgspec

from podium.core.errors import MalformedReply

from .one_line import one_line

Json: TypeAlias = dict[str, Any]


def table(value: object) -> Json:
    """`value` if it is an object, else an empty one."""
    return cast("Json", value) if isinstance(value, dict) else {}


def tables(value: object) -> list[Json]:
    """The objects in a list; nothing of what is no list."""
    if not isinstance(value, list):
        return []
    return [cast("Json", item) for item in cast("list[object]", value) if isinstance(item, dict)]


def text(value: object) -> str:
    """`value` if it is a text, else an empty one."""
    return value if isinstance(value, str) else ""


def count(value: object) -> int:
    """`value` if it is a number that can be a count of tokens, else 0."""
    return max(0, int(value)) if isinstance(value, int | float) and abs(value) < 2**53 else 0


def fields_of(body: bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    """A refusal as an object, an empty one if it is none."""
    if not isinstance(body, bytes):
        return body
    try:
        return table(cast("object", msgspec.json.decode(body)))
    except (msgspec.DecodeError, RecursionError):
        return {}


def json_text(value: object) -> str:
    """`value` as compact JSON, as the arguments of a call are written."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def parse(data: bytes | str, *, model: str, server: str, wire: str, partial: str | Callable[[], str] = "") -> Json:
    """The JSON object in `data`. `wire` names the protocol; `partial` is (or gives) the text of the answer so far.

    Raises MalformedReply, with `data["partial"]` when there is one.
    """
    value = _json(data)
    if not isinstance(value, dict):
        start = (data if isinstance(data, str) else data[:300].decode("utf-8", "replace")).strip()
        so_far = partial if isinstance(partial, str) else partial()
        more: Json = {"partial": so_far} if so_far else {}
        raise MalformedReply(
            f"{server} did not answer model {model!r} with a JSON object but with {one_line(start[:80])!r}: "
            f"check that base_url is a server of {wire}",
            **more,
        )
    return cast("Json", value)


def _json(data: bytes | str) -> object:
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    try:
        # The standard library is slower and reads more: numbers out of range, and half surrogate pairs, which
        # `Characters` puts together again.
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def no_answer(model: str, server: str) -> MalformedReply:
    """The error for an answer with nothing in it."""
    return MalformedReply(
        f"{server} sent no answer for model {model!r}: try again; if it persists, look at the server's log"
    )


def cut_off(model: str, server: str, partial: str) -> MalformedReply:
    """The error for a stream that ended before its answer did. `data["partial"]` holds the text that came."""
    return MalformedReply(
        f"the stream of {server} for model {model!r} ended in the middle of the answer: try again", partial=partial
    )
