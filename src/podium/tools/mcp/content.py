"""What servers send (content blocks, resources, prompt messages) as plain JSON and as messages, within bounds.

Pure functions over the SDK's values; nothing here talks to a server. Results are what a tool call gives: JSON that a
journal can hold and a model can read. Binary data stays base64, as it came.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from typing import Any, Final, cast

from podium.core.errors import ToolValidationError
from podium.core.messages import AnyPart, Media, Message, Text

CUT: Final = "\n[cut: {kept} of {all} characters]"


def result_of(result: Any, limit: int) -> Any:
    """The value of a `CallToolResult` that is no error: its structured content, its text, or a list of blocks.

    Structured content passes whole or not at all: half a JSON value means something else. Raises ToolValidationError
    (of the result: the call has happened) when it is larger than `limit` characters.
    """
    structured = result.structured_content
    if structured is not None and all(block.type == "text" for block in result.content):
        size = len(json.dumps(structured, ensure_ascii=False, default=str))
        if size > limit:
            raise ToolValidationError(
                f"the result has {size} characters, more than output_limit={limit}: ask for less", where="result"
            )
        return structured
    value = blocks_of(result.content, limit)
    if structured is not None:
        return {"structured": structured, "content": value}
    return value


def blocks_of(content: Sequence[Any], limit: int) -> Any:
    """Content blocks as JSON: a text alone is text, several texts are joined by newlines, anything else is a list."""
    if all(block.type == "text" for block in content):
        return cut("\n".join(block.text for block in content), limit)
    blocks: list[Any] = []
    left = limit
    for block in content:
        plain = _block(block, left)
        blocks.append(plain)
        left = max(0, left - len(json.dumps(plain, ensure_ascii=False)))
    return blocks


def cut(text: str, limit: int) -> str:
    """`text`, at most `limit` characters of it, and then a note that says so."""
    return text if len(text) <= limit else text[:limit] + CUT.format(kept=limit, all=len(text))


def error_text(result: Any, limit: int) -> str:
    """What a result that is an error says."""
    texts = [block.text for block in result.content if block.type == "text"]
    if texts:
        return cut("\n".join(texts), limit)
    return cut(json.dumps(result.structured_content, ensure_ascii=False), limit) if result.structured_content else ""


def _block(block: Any, limit: int) -> dict[str, Any]:
    if block.type == "text":
        return {"type": "text", "text": cut(block.text, limit)}
    if block.type in {"image", "audio"}:
        return {"type": block.type, "mime_type": block.mime_type, **_data(block.data, limit)}
    if block.type == "resource_link":
        fields = {"uri": block.uri, "name": block.name, "description": block.description, "mime_type": block.mime_type}
        return {"type": "resource_link", **{key: value for key, value in fields.items() if value is not None}}
    return {"type": "resource", **contents_of(block.resource, limit)}


def contents_of(resource: Any, limit: int) -> dict[str, Any]:
    """The contents of a resource: `uri`, perhaps `mime_type`, and `text`, or `data` as base64."""
    plain: dict[str, Any] = {"uri": resource.uri}
    if resource.mime_type is not None:
        plain["mime_type"] = resource.mime_type
    text = getattr(resource, "text", None)
    return plain | ({"text": cut(text, limit)} if text is not None else _data(resource.blob, limit))


def _data(encoded: str, limit: int) -> dict[str, Any]:
    if len(encoded) <= limit:
        return {"data": encoded}
    # A piece of an image is no image.
    return {"omitted": f"{len(encoded) * 3 // 4} bytes of data, more than output_limit={limit} allows"}


def message_of(message: Any, limit: int) -> Message:
    """A `PromptMessage` as a message of ours."""
    return Message(message.role, (_part(message.content, limit),))


def _part(block: Any, limit: int) -> AnyPart:
    if block.type == "text":
        return Text(cut(block.text, limit))
    if block.type in {"image", "audio"} and len(block.data) <= limit:
        return Media(block.mime_type, data=_bytes(block.data))
    if block.type == "resource":
        plain = contents_of(block.resource, limit)
        if "data" in plain:
            return Media(
                plain.get("mime_type", "application/octet-stream"), data=_bytes(plain["data"]), name=plain["uri"]
            )
        return Text(cast("str", plain.get("text", plain.get("omitted", ""))))
    return Text(json.dumps(_block(block, limit), ensure_ascii=False))


def _bytes(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ToolValidationError("the server sent data that is not base64", where="result") from None
