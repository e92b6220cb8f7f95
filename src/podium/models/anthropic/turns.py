"""Our messages as the wire's turns: user and assistant by turns, each a list of blocks.

What a message becomes never depends on what follows it, so that a conversation that grows keeps its beginning, and
with it the prompt cache and the provider's check of earlier thoughts. Pure; settings and tools are `request`'s.

The wire: https://platform.claude.com/docs/en/api/messages/create (as of 2026-11).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import cast

from podium.core.errors import BadRequest
from podium.core.messages import AnyPart, Media, Message, Raw, Text, Thinking, ToolCall, ToolResult
from podium.models.reading import Json

PROVIDER = "anthropic"
"""The provider named in `Raw` and `Thinking` parts."""
FIELDS = "fields"
"""The type of a `Raw` part that holds further fields of the block before it: citations of a text, a call's caller."""

_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
_TEXTS = ("application/json", "application/xml", "application/yaml", "application/x-yaml", "application/toml")
_WORD = re.compile(r"[A-Za-z0-9_-]{1,128}")
_THOUGHTS = ("thinking", "redacted_thinking")
_BEGINNING = "(The conversation begins with your words.)"
_FAILED = "The tool failed and did not say why."


def instructions_of(messages: Sequence[Message]) -> tuple[list[str], Sequence[Message]]:
    """The texts of the system messages at the front, and the messages after them."""
    front = 0
    while front < len(messages) and messages[front].role == "system":
        front += 1
    return [message.text for message in messages[:front] if message.text.strip()], messages[front:]


def turns_of(messages: Sequence[Message]) -> list[Json]:
    """The turns. Raises BadRequest for a file that the wire cannot carry, and when there is nothing to answer."""
    turns = _Turns()
    for position, message in enumerate(messages):
        if message.role == "assistant":
            turns.assistant(_said(message, position))
        elif message.role == "tool":
            turns.results(message)
        elif message.role == "system":
            # The wire's own system turn may stand only right before an answer: what this message becomes would
            # depend on what follows, and not every model takes it. So it is told within the user's turn.
            if message.text.strip():
                turns.user([_text(f"<system-reminder>\n{message.text}\n</system-reminder>")])
        else:
            turns.user(_blocks(_named(message)))
    return turns.closed()


class _Turns:
    """Turns being put together. The results of calls come first in the turn that answers them."""

    def __init__(self) -> None:
        self._turns: list[Json] = []
        self._results = 0

    def user(self, blocks: list[Json]) -> None:
        if blocks:
            self._open("user").extend(blocks)

    def assistant(self, blocks: list[Json]) -> None:
        if not blocks:
            return
        if not self._turns:
            self.user([_text(_BEGINNING)])  # a conversation has to begin with the user
        self._open("assistant").extend(blocks)

    def results(self, message: Message) -> None:
        results: list[Json] = []
        others: list[Json] = []
        for part in message.parts:
            if type(part) is ToolResult:
                results.append(_result(part))
            elif type(part) is Media and results and "is_error" not in results[-1]:
                results[-1]["content"] = [*_texts(results[-1].get("content")), _media(part)]
            else:
                others += _blocks((part,))
        if not results and not others:
            return
        content = self._open("user")
        content[self._results : self._results] = results
        self._results += len(results)
        content += others

    def closed(self) -> list[Json]:
        if self._turns and self._turns[-1]["role"] == "assistant":
            self._end_answer()
        if not self._turns:
            raise BadRequest("Claude answers messages, not instructions alone: add a user message with some text")
        return self._turns

    def _open(self, role: str) -> list[Json]:
        if role == "user" and self._turns and self._turns[-1]["role"] == "assistant":
            self._end_answer()
        if not self._turns or self._turns[-1]["role"] != role:
            self._turns.append({"role": role, "content": []})
            self._results = 0
        return self._turns[-1]["content"]

    def _end_answer(self) -> None:
        """An answer cut off while thinking: a turn that ends in a thought is refused."""
        content: list[Json] = self._turns[-1]["content"]
        while content and content[-1]["type"] in _THOUGHTS:
            content.pop()
        if not content:
            self._turns.pop()


def _texts(content: object) -> list[Json]:
    if isinstance(content, list):
        return cast("list[Json]", content)
    return [_text(content)] if isinstance(content, str) else []


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _named(message: Message) -> Sequence[AnyPart]:
    """The parts, with the speaker's name in front: the wire has no field for it."""
    if not message.name or not message.parts:
        return message.parts
    first, *rest = message.parts
    if type(first) is Text:
        return (Text(f"{message.name}: {first.text}"), *rest)
    return (Text(f"{message.name}:"), first, *rest)


def _blocks(parts: Sequence[AnyPart]) -> list[Json]:
    found: list[Json] = []
    for part in parts:
        if type(part) is Text:
            if part.text.strip():  # an empty one is refused
                found.append(_text(part.text))
        elif type(part) is Media:
            found.append(_media(part))
        elif type(part) is Raw and part.provider == PROVIDER and part.data.get("type") not in (None, FIELDS):
            found.append(dict(part.data))
    return found


# --------------------------------------------------------------------------------------------------- the model's words


def _said(message: Message, position: int) -> list[Json]:
    found: list[Json] = []
    calls = 0
    for part in message.parts:
        if type(part) is ToolCall:
            found.append(
                {
                    "type": "tool_use",
                    "id": call_id(part.id or f"call_{position}_{calls}"),
                    "name": part.name
                    if _WORD.fullmatch(part.name)
                    else re.sub(r"[^A-Za-z0-9_-]", "_", part.name)[:128],
                    "input": part.args,
                }
            )
            calls += 1
        elif type(part) is Thinking:
            if part.signature is not None and part.provider in (None, PROVIDER):
                found.append({"type": "thinking", "thinking": part.text, "signature": part.signature})
        elif type(part) is Media:
            raise BadRequest("Claude takes no media in assistant messages: move it into a user message")
        elif type(part) is Raw and part.provider == PROVIDER and part.data.get("type") == FIELDS:
            about = "text" if "citations" in part.data else "tool_use"
            if found and found[-1]["type"] == about:
                found[-1].update({name: value for name, value in part.data.items() if name != "type"})
        else:
            found += _blocks((part,))
    return found


def call_id(id: str) -> str:
    """`id` as the wire accepts it: one of another provider with other characters becomes a digest of itself."""
    return (
        id
        if _WORD.fullmatch(id)
        else "toolu_" + hashlib.blake2b(id.encode(errors="replace"), digest_size=12).hexdigest()
    )


def _result(part: ToolResult) -> Json:
    found: Json = {"type": "tool_result", "tool_use_id": call_id(part.call_id)}
    if part.content.strip():
        found["content"] = part.content
    if part.is_error:
        found.setdefault("content", _FAILED)  # an error without words is refused
        found["is_error"] = True
    return found


# --------------------------------------------------------------------------------------------------------------- files


def _media(part: Media) -> Json:
    media_type = part.media_type.partition(";")[0].strip().lower()
    if media_type == "image/jpg":
        media_type = "image/jpeg"
    if media_type.startswith("image/"):
        if media_type not in _IMAGES and not part.url:
            raise BadRequest(f"Claude reads no {media_type} images: convert it to one of {', '.join(_IMAGES)}")
        return {"type": "image", "source": _source(part, media_type)}
    found: Json = {"type": "document", "source": {}}
    if media_type == "application/pdf":
        found["source"] = _source(part, media_type)
    elif media_type.startswith("text/") or media_type in _TEXTS:
        found["source"] = {"type": "text", "media_type": "text/plain", "data": _decoded(part)}
    else:
        raise BadRequest(f"Claude reads images, PDF and text, not {part.media_type}: pass the file's text instead")
    if part.name:
        found["title"] = part.name
    return found


def _source(part: Media, media_type: str) -> Json:
    if part.data:
        data = base64.b64encode(part.data).decode()
    elif not part.url:
        raise BadRequest(f"a {part.media_type} file has neither data nor url: pass Media(..., data=...)")
    elif not part.url.startswith("data:"):
        return {"type": "url", "url": part.url}
    else:
        head, _, data = part.url.partition(",")
        media_type = head[5:].partition(";")[0] or media_type
        if not head.endswith(";base64"):
            raise BadRequest(f"a data: address of a {part.media_type} file must hold base64: pass Media(..., data=...)")
    return {"type": "base64", "media_type": media_type, "data": data}


def _decoded(part: Media) -> str:
    if not part.data:
        raise BadRequest(f"Claude takes a {part.media_type} file by value only: read it and pass Media(..., data=...)")
    try:
        text = part.data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadRequest(f"the {part.media_type} file {part.name or ''} is not UTF-8 text: decode it first") from None
    if not text.strip():
        raise BadRequest(f"the {part.media_type} file {part.name or ''} is empty: leave it out")
    return text
