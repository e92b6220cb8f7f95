"""A tool's schema in the forms that providers and MCP ask for.

Pure functions from `ToolSpec` to plain dicts. They know the shapes and nothing else: no client, no credentials.
"""

from __future__ import annotations

from typing import Any

from podium.core.messages import ToolSpec
from podium.ports import Effect, Reach


def anthropic(spec: ToolSpec) -> dict[str, Any]:
    """A tool of the Anthropic Messages API."""
    return {"name": spec.name, "description": spec.description, "input_schema": spec.parameters}


def openai_chat(spec: ToolSpec) -> dict[str, Any]:
    """A tool of OpenAI Chat Completions and the servers compatible with it."""
    function = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
    return {"type": "function", "function": function}


def openai_responses(spec: ToolSpec) -> dict[str, Any]:
    """A tool of the OpenAI Responses API; not `strict`, which cannot say that a parameter may be left out."""
    return {
        "type": "function",
        "name": spec.name,
        "description": spec.description,
        "parameters": spec.parameters,
        "strict": False,
    }


def gemini(spec: ToolSpec) -> dict[str, Any]:
    """One entry of Gemini's `functionDeclarations`."""
    return {"name": spec.name, "description": spec.description, "parametersJsonSchema": spec.parameters}


def mcp(spec: ToolSpec, *, effect: Effect = "write", reach: Reach = "external") -> dict[str, Any]:
    """A tool as an MCP server lists it. The defaults are those of a tool that declares nothing: the careful ones.

    MCP's structured results are objects, so `outputSchema` is given only for a tool that returns one.
    """
    form: dict[str, Any] = {
        "name": spec.name,
        "description": spec.description,
        "inputSchema": spec.parameters,
        "annotations": {
            "readOnlyHint": effect == "read",
            "idempotentHint": effect != "write",
            "destructiveHint": effect != "read" and reach in {"external", "destructive", "spend"},
            "openWorldHint": reach not in {"none", "local_undoable", "local"},
        },
    }
    if spec.returns is not None and spec.returns.get("type") == "object":
        form["outputSchema"] = spec.returns
    return form
