"""Each provider is given a tool in its own form."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from podium.tools import forms, tool


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Parameters(BaseModel):
    model_config = ConfigDict(extra="allow")
    type: str = Field(pattern="^object$")
    properties: dict[str, dict[str, Any]]


class _Function(_Strict):
    name: str
    description: str
    parameters: _Parameters


class _Chat(_Strict):
    type: str = Field(pattern="^function$")
    function: _Function


class _Responses(_Function):
    type: str = Field(pattern="^function$")
    strict: bool


@tool(effect="read")
def find(query: str, limit: int = 3) -> dict[str, int]:
    """Find products."""
    return {query: limit}


def test_each_form_carries_name_description_and_schema_under_the_providers_names() -> None:
    schema = find.spec.parameters
    assert forms.anthropic(find.spec) == {"name": "find", "description": "Find products.", "input_schema": schema}
    gemini = {"name": "find", "description": "Find products.", "parametersJsonSchema": schema}
    assert forms.gemini(find.spec) == gemini
    assert _Chat.model_validate(forms.openai_chat(find.spec)).function.name == "find"
    assert _Responses.model_validate(forms.openai_responses(find.spec)).strict is False


def test_mcp_says_what_the_effect_and_reach_mean_for_a_client() -> None:
    careful = forms.mcp(find.spec)["annotations"]
    assert careful == {"readOnlyHint": False, "idempotentHint": False, "destructiveHint": True, "openWorldHint": True}
    known = forms.mcp(find.spec, effect="read", reach="none")["annotations"]
    assert known == {"readOnlyHint": True, "idempotentHint": True, "destructiveHint": False, "openWorldHint": False}


@pytest.mark.parametrize(("returns", "expected"), [(str, False), (dict[str, int], True), (list[int], False)])
def test_mcp_gets_an_output_schema_only_for_objects(returns: Any, expected: bool) -> None:
    def f() -> None: ...

    f.__annotations__ = {"return": returns}
    assert ("outputSchema" in forms.mcp(tool(effect="read")(f).spec)) is expected
