"""What an offline answer may be made of: the results and texts of a conversation, as values and as prose.

Everything is taken from the conversation and cut to fixed limits; nothing here invents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec

from podium.core.messages import Message, ModelRequest, ToolResult

MAX_TEXT = 200_000
"""Characters of one text that are read."""
MAX_NODES = 50_000
"""Values visited when looking into JSON."""
MAX_LINES = 4_000
_MARK = "Offline extract"

_DECODER = json.JSONDecoder()
# Only what can become an object or a list of objects, texts or lists; most braces of code cannot.
_JSON_BEGINS = re.compile(r"\{(?=\s*[\"}])|\[(?=\s*[\"{\[])")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\"'(A-Z0-9])|\n+")


class Sources(msgspec.Struct, frozen=True):
    """The material of one answer."""

    question: str
    """The last user text without the JSON in it; all of it as lines when it is nothing but JSON."""
    given: Mapping[str, Any]
    """The fields of JSON objects in the last user text, by name."""
    instructions: str
    values: tuple[Any, ...]
    """JSON found in tool results, then in the last user text."""
    results: tuple[str, ...]
    """Lines of prose from tool results, and one line for each flat object in them."""
    failures: tuple[str, ...]
    called: frozenset[str]
    """Tools called since the last user message."""


def sources_of(request: ModelRequest) -> Sources:
    """Read a conversation. Results of earlier questions count only when there are none for the last one."""
    messages = request.messages
    start = max((at for at, message in enumerate(messages) if message.role == "user"), default=0)
    instructions = " ".join(message.text for message in messages if message.role == "system")[:MAX_TEXT]
    recent = messages[start:]
    found = _results(recent) or _results(messages[:start])
    values: list[Any] = []
    lines: list[str] = []
    failures: list[str] = []
    for result in found:
        if result.is_error:
            failures.append(f"{result.name} failed: {' '.join(result.content.split())[:300]}")
            continue
        inside, prose = embedded_json(result.content)
        values += inside
        lines += sentences(prose)
        for value in inside:
            lines += rendered(value)
    asked = messages[start].text if start < len(messages) and messages[start].role == "user" else ""
    inside, question = embedded_json(asked)
    given: dict[str, Any] = {}
    for value in inside:
        if isinstance(value, dict):
            given = {**cast("dict[str, Any]", value), **given}
    return Sources(
        question=question or "\n".join(line for value in inside for line in rendered(value)),
        given=given,
        instructions=instructions,
        values=(*values, *inside),
        results=tuple(dict.fromkeys(lines))[:MAX_LINES],
        failures=tuple(failures),
        called=frozenset(call.name for message in recent for call in message.tool_calls),
    )


def _results(messages: Sequence[Message]) -> list[ToolResult]:
    return [part for message in messages for part in message.parts if isinstance(part, ToolResult)]


def embedded_json(text: str) -> tuple[list[Any], str]:
    """JSON objects and lists found in `text`, and the text without them. A text that is JSON is one value."""
    text = text[:MAX_TEXT]
    try:
        return [json.loads(text)], ""
    except (ValueError, RecursionError):
        pass
    values: list[Any] = []
    prose: list[str] = []
    at = 0
    # A failed attempt costs what was read of it; braces of code fail soon, a cut document does not. Attempts end once
    # they have cost a few times the text.
    budget = 4 * len(text) + 1000
    for match in _JSON_BEGINS.finditer(text):
        if match.start() < at or budget <= 0:
            continue
        try:
            value, end = _DECODER.raw_decode(text, match.start())
        except json.JSONDecodeError as error:
            budget -= error.pos - match.start() + error.pos // 64 + 1  # making the error counts lines up to its place
            continue
        except RecursionError:
            budget = 0
            continue
        if not _telling(value):
            continue
        values.append(value)
        prose.append(text[at : match.start()])
        at = end
    return values, " ".join([*prose, text[at:]]).strip()


def _telling(value: object) -> bool:
    """Whether a value found in prose is data: an object, or a list of objects or texts, and not a footnote's `[1]`."""
    if isinstance(value, list):
        return any(isinstance(item, dict | str) for item in cast("list[object]", value))
    return bool(value)


def walk(values: Sequence[object]) -> Iterator[object]:
    """Every value inside `values`, in reading order."""
    stack = list(reversed(values))
    for _ in range(MAX_NODES):
        if not stack:
            return
        value = stack.pop()
        yield value
        stack += reversed(children(value))


def children(value: object) -> list[object]:
    """The values directly inside a list or an object."""
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []


def rendered(value: object) -> list[str]:
    """JSON as lines for people: one for each object without objects inside, and for each plain value."""
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        if not any(isinstance(inner, dict | list) for inner in fields.values()):
            return [", ".join(f"{name}: {_plain(inner)}" for name, inner in fields.items())]
        lines: list[str] = []
        for name, inner in fields.items():
            lines += [f"{name}: {line}" for line in rendered(inner)][:MAX_LINES]
        return lines
    if isinstance(value, list):
        return [line for item in cast("list[object]", value)[:MAX_LINES] for line in rendered(item)]
    return sentences(value) if isinstance(value, str) else [_plain(value)]


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def sentences(text: str) -> list[str]:
    """`text` as sentences and lines, without list marks and without what only says that it is an offline extract."""
    found: list[str] = []
    for piece in _SENTENCE.split(text[:MAX_TEXT])[:MAX_LINES]:
        line = " ".join(piece.split()).removeprefix("- ").removeprefix("* ")
        if line and not line.startswith(_MARK) and any(map(str.isalnum, line)):
            found.append(line[:600])
    return found
