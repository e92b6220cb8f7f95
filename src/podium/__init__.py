"""Podium: teams of LLM agents as durable, governed, observable programs.

    from podium import Agent, tool

Everything public is here and loaded when it is first used, so that importing the package stays quick and silent.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agents import Agent, FunctionMember, Role, member
    from .app import AgentCostTracker, Podium, Session
    from .core.actions import Retry
    from .core.budgets import Alert, Budget
    from .core.deltas import Progress, Reset, TextDelta, ThinkingDelta, ToolCallDelta
    from .core.errors import (
        BudgetExceeded,
        ConfigurationError,
        Exhausted,
        Failure,
        ModelError,
        NestedRun,
        NotDone,
        PermissionDenied,
        PodiumError,
        Rejected,
        ReplayMismatch,
        RunBusy,
        RunConflict,
        RunFailed,
        RunNotFound,
        ScopeError,
        SecurityError,
        StepFailed,
        StoreError,
        ToolError,
        ToolTimeoutError,
        ToolValidationError,
    )
    from .core.labels import Integrity, Label
    from .core.messages import Media, Message, ModelRequest, Reply, Settings, Text, Thinking, ToolCall, ToolResult
    from .core.prices import Price
    from .core.records import Principal, Status
    from .core.usage import Usage
    from .models import (
        AzureOpenAIModel,
        ClaudeModel,
        FallbackModel,
        GeminiModel,
        OfflineModel,
        OllamaModel,
        OpenAIModel,
        OpenAIResponsesModel,
        ScriptedModel,
        VertexModel,
    )
    from .models.rates import Rate
    from .ports import Context, Member, Model, Receipt, Tool, ToolContext
    from .runtime.handle import Handle
    from .runtime.results import Pending, RunResult, StepView
    from .runtime.services import Limits
    from .teams import (
        MemberOutcome,
        Parallel,
        PRReviewOrchestrator,
        PullRequest,
        Router,
        Sequential,
        Supervisor,
    )
    from .tools import ToolExecutor, tool

__version__ = "0.1.0"

_WHERE = {
    "agents": ("Agent", "FunctionMember", "Role", "member"),
    "app": ("AgentCostTracker", "Podium", "Session"),
    "core.actions": ("Retry",),
    "core.budgets": ("Alert", "Budget"),
    "core.deltas": ("Progress", "Reset", "TextDelta", "ThinkingDelta", "ToolCallDelta"),
    "core.errors": (
        "BudgetExceeded",
        "ConfigurationError",
        "Exhausted",
        "Failure",
        "ModelError",
        "NestedRun",
        "NotDone",
        "PermissionDenied",
        "PodiumError",
        "Rejected",
        "ReplayMismatch",
        "RunBusy",
        "RunConflict",
        "RunFailed",
        "RunNotFound",
        "ScopeError",
        "SecurityError",
        "StepFailed",
        "StoreError",
        "ToolError",
        "ToolTimeoutError",
        "ToolValidationError",
    ),
    "core.labels": ("Integrity", "Label"),
    "core.messages": (
        "Media",
        "Message",
        "ModelRequest",
        "Reply",
        "Settings",
        "Text",
        "Thinking",
        "ToolCall",
        "ToolResult",
    ),
    "core.prices": ("Price",),
    "core.records": ("Principal", "Status"),
    "core.usage": ("Usage",),
    "models": (
        "AzureOpenAIModel",
        "ClaudeModel",
        "FallbackModel",
        "GeminiModel",
        "OfflineModel",
        "OllamaModel",
        "OpenAIModel",
        "OpenAIResponsesModel",
        "ScriptedModel",
        "VertexModel",
    ),
    "models.rates": ("Rate",),
    "ports": ("Context", "Member", "Model", "Receipt", "Tool", "ToolContext"),
    "runtime.handle": ("Handle",),
    "runtime.results": ("Pending", "RunResult", "StepView"),
    "runtime.services": ("Limits",),
    "teams": ("MemberOutcome", "PRReviewOrchestrator", "Parallel", "PullRequest", "Router", "Sequential", "Supervisor"),
    "tools": ("ToolExecutor", "tool"),
}
_MODULE = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "Agent",
    "AgentCostTracker",
    "Alert",
    "AzureOpenAIModel",
    "Budget",
    "BudgetExceeded",
    "ClaudeModel",
    "ConfigurationError",
    "Context",
    "Exhausted",
    "Failure",
    "FallbackModel",
    "FunctionMember",
    "GeminiModel",
    "Handle",
    "Integrity",
    "Label",
    "Limits",
    "Media",
    "Member",
    "MemberOutcome",
    "Message",
    "Model",
    "ModelError",
    "ModelRequest",
    "NestedRun",
    "NotDone",
    "OfflineModel",
    "OllamaModel",
    "OpenAIModel",
    "OpenAIResponsesModel",
    "PRReviewOrchestrator",
    "Parallel",
    "Pending",
    "PermissionDenied",
    "Podium",
    "PodiumError",
    "Price",
    "Principal",
    "Progress",
    "PullRequest",
    "Rate",
    "Receipt",
    "Rejected",
    "ReplayMismatch",
    "Reply",
    "Reset",
    "Retry",
    "Role",
    "Router",
    "RunBusy",
    "RunConflict",
    "RunFailed",
    "RunNotFound",
    "RunResult",
    "ScopeError",
    "ScriptedModel",
    "SecurityError",
    "Sequential",
    "Session",
    "Settings",
    "Status",
    "StepFailed",
    "StepView",
    "StoreError",
    "Supervisor",
    "Text",
    "TextDelta",
    "Thinking",
    "ThinkingDelta",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolContext",
    "ToolError",
    "ToolExecutor",
    "ToolResult",
    "ToolTimeoutError",
    "ToolValidationError",
    "Usage",
    "VertexModel",
    "member",
    "tool",
]

_SPELLED = {
    "AgentState": "Session (await app.session(name))",
    "AgentConfig": "Agent (its configuration is pinned by itself)",
    "AssistantAgent": "Agent",
    "ChatAgent": "Agent",
    "Crew": "Sequential or Parallel (crews come with a later release)",
    "FunctionTool": "tool, a decorator",
    "LLMAgent": "Agent",
    "LlmAgent": "Agent",
    "ParallelAgent": "Parallel",
    "ReactAgent": "Agent",
    "RoleDefinition": "Role",
    "RunContext": "Context",
    "Runner": "Agent.run, or Podium",
    "SequentialAgent": "Sequential",
    "StateGraph": "Sequential, Parallel and Router, or an `async def` with @member (graphs come with a later release)",
    "StructuredTool": "tool, a decorator",
    "SupervisorAgent": "Supervisor",
    "Task": "an Agent with output=...",
    "ToolSandbox": "Sandbox (it comes with a later release)",
    "create_agent": "Agent",
    "create_react_agent": "Agent",
    "function_tool": "tool",
}


def __getattr__(name: str) -> Any:
    module = _MODULE.get(name)
    if module is not None:
        value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        globals()[name] = value
        return value
    spelled = _SPELLED.get(name)
    if spelled is not None:
        raise AttributeError(f"podium has no {name!r}; in Podium it is {spelled}")
    raise AttributeError(f"module 'podium' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
