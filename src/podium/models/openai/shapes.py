"""What OpenAI's two wires say in the same way: schemas that can be enforced, files, results, and the cache's key.

`chat_request` and `responses_request` stand on it. It is pure, and knows neither wire as a whole.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any, cast

from podium.core.errors import BadRequest
from podium.core.messages import Media, ModelRequest, OutputSpec, ToolResult, ToolSpec
from podium.models.reading import Json

_KEY_LENGTH = 64
"""Characters of `prompt_cache_key` that OpenAI and Azure accept; a longer one is refused with 400."""


def word(text: str) -> str:
    """`text` as the names of tools, schemas and participants must be: letters, digits, `_` and `-`, at most 64."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)[:64]


def parameters_of(tool: ToolSpec) -> Json:
    """A tool's parameters; a tool without any has an empty object, which every server understands."""
    return tool.parameters or {"type": "object", "properties": {}}


def json_schema_of(output: OutputSpec) -> Json:
    """An answer's form, with `strict` if it can be enforced exactly."""
    return {"name": word(output.name) or "output", "schema": output.schema, "strict": strict_ready(output.schema)}


def chosen_tool(request: ModelRequest) -> str | None:
    """The one tool that must be called, when `tool_choice` names one. Raises BadRequest when it is not offered."""
    choice = request.settings.tool_choice
    if choice in (None, "auto", "none", "required"):
        return None
    names = [tool.name for tool in request.tools]
    if choice not in names:
        raise BadRequest(f"tool_choice {choice!r} is not among the tools offered: {', '.join(names)}")
    return choice


def result_text(result: ToolResult) -> str:
    """A tool's result as the model reads it. Neither wire has a field for failure, so the text says it."""
    return f"Error: {result.content}" if result.is_error else result.content


def address_of(part: Media) -> str:
    """A file as an address: its own, or a `data:` URL that holds it. Raises BadRequest for a file that is nowhere."""
    if part.data:
        return f"data:{part.media_type};base64,{base64.b64encode(part.data).decode()}"
    if not part.url:
        raise BadRequest(f"a {part.media_type} file has neither data nor url: pass Media(..., data=...)")
    return part.url


def file_name(part: Media) -> str:
    """A file's name, made up from its type when it has none."""
    subtype = part.media_type.partition("/")[2]
    return part.name or f"file.{re.sub(r'[^a-z0-9].*', '', subtype) or 'bin'}"


def cache_key(request: ModelRequest) -> str | None:
    """What brings requests with the same beginning to the same cache: the agent's name and a digest of its prompt.

    None when caching is off, or when there is nothing stable to name. At most 64 characters. The guide:
    https://developers.openai.com/api/docs/guides/prompt-caching
    """
    if request.settings.prompt_cache == "off":
        return None
    digest = hashlib.blake2b(digest_size=8)
    prompted = False
    for message in request.messages:
        if message.role != "system":
            break
        prompted = True
        digest.update(message.text.encode("utf-8", "replace"))
    if not prompted and not request.agent:
        return None
    name = word(request.agent)[: _KEY_LENGTH - 17]
    return f"{name}-{digest.hexdigest()}" if prompted and name else digest.hexdigest() if prompted else name


_NOT_STRICT = frozenset(
    {"default", "allOf", "oneOf", "not", "if", "patternProperties", "prefixItems", "uniqueItems", "propertyNames"}
)


def strict_ready(schema: Mapping[str, Any]) -> bool:
    """Whether the provider can enforce `schema` exactly; asking for `strict` otherwise is refused with 400."""
    if _NOT_STRICT & schema.keys():
        return False
    properties = cast("Json", schema.get("properties", {}))
    if schema.get("type") == "object" or properties:
        closed = schema.get("additionalProperties") is False
        if not closed or set(cast("list[str]", schema.get("required", []))) != set(properties):
            return False
    children: list[object] = [*properties.values(), *cast("Json", schema.get("$defs", {})).values()]
    children += [schema["items"]] if "items" in schema else []
    children += cast("list[object]", schema.get("anyOf", []))
    return all(isinstance(child, dict) and strict_ready(cast("Json", child)) for child in children)
