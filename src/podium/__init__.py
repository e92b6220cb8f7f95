"""Podium: teams of LLM agents as durable, governed, observable programs.

    from podium import Agent, tool

Everything public is here and loaded when it is first used, so that importing the package stays quick and silent.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

    from .agents import Agent, FunctionMember, Review, Role, member
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
        ToolUnavailable,
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
    from .policy import Policy
    from .policy.approvals import Approval
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
    from .tools import MCPTools, OpenAPITools, ToolExecutor, ToolRegistry, tool
    from .tools.sandbox import Sandbox, SandboxResult, SandboxUnavailable

__version__ = "0.1.0"

_WHERE = {
    "agents": ("Agent", "FunctionMember", "Review", "Role", "member"),
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
        "ToolUnavailable",
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
    "policy": ("Policy",),
    "policy.approvals": ("Approval",),
    "ports": ("Context", "Member", "Model", "Receipt", "Tool", "ToolContext"),
    "runtime.handle": ("Handle",),
    "runtime.results": ("Pending", "RunResult", "StepView"),
    "runtime.services": ("Limits",),
    "teams": ("MemberOutcome", "PRReviewOrchestrator", "Parallel", "PullRequest", "Router", "Sequential", "Supervisor"),
    "tools": ("MCPTools", "OpenAPITools", "ToolExecutor", "ToolRegistry", "tool"),
    "tools.sandbox": ("Sandbox", "SandboxResult", "SandboxUnavailable"),
}
_MODULE = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "Agent",
    "AgentCostTracker",
    "Alert",
    "Approval",
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
    "MCPTools",
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
    "OpenAPITools",
    "PRReviewOrchestrator",
    "Parallel",
    "Pending",
    "PermissionDenied",
    "Podium",
    "PodiumError",
    "Policy",
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
    "Review",
    "Role",
    "Router",
    "RunBusy",
    "RunConflict",
    "RunFailed",
    "RunNotFound",
    "RunResult",
    "Sandbox",
    "SandboxResult",
    "SandboxUnavailable",
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
    "ToolRegistry",
    "ToolResult",
    "ToolTimeoutError",
    "ToolUnavailable",
    "ToolValidationError",
    "Usage",
    "VertexModel",
    "member",
    "tool",
]

_SPELLED = {
    "AgentSession": "Session (await app.session(name))",
    "AgentState": "Session (await app.session(name))",
    "AgentConfig": "Agent (its configuration is pinned by itself)",
    "ApprovalRequired": 'Approval, or @tool(approval="always")',
    "AssistantAgent": "Agent",
    "AuditLog": "app.audit of a Podium; `podium audit show` prints it",
    "AuditLogger": "app.audit of a Podium; nothing has to be logged by hand",
    "BaseTool": "tool, a decorator; Tool is the protocol of what it makes",
    "ChatAgent": "Agent",
    "CodeInterpreterTool": "podium.tools.builtin.python_tool",
    "CodeExecutor": "Sandbox, or podium.tools.builtin.python_tool for agents",
    "Crew": "Sequential or Parallel (crews come with a later release)",
    "Command": "run.approve, run.reject and run.answer of a Handle",
    "DeferredToolRequests": "RunResult.pending of a run that waits",
    "DescribedTool": "podium.tools.DescribedTool",
    "DockerSandbox": "Sandbox, which needs no Docker",
    "FunctionTool": "tool, a decorator",
    "GuardrailFunctionOutput": "Policy, or a check: Podium(gate=default_gate().with_checks(check))",
    "HumanApproval": 'Approval: Podium(approvals=[Approval(tools=...)]), or @tool(approval="always")',
    "HumanInTheLoop": "Approval for calls, Review for answers, ctx.ask for questions",
    "HumanInterrupt": "Pending: RunResult.pending, or await app.inbox()",
    "HumanReview": "Review: Agent(review=Review(0.7))",
    "LLMAgent": "Agent",
    "LlmAgent": "Agent",
    "MCPClient": "MCPTools",
    "MCPServerHTTP": "MCPTools(url)",
    "MCPServerStdio": "MCPTools.stdio(command, args)",
    "MCPToolset": "MCPTools",
    "ModelRetry": "ToolError, which the model reads",
    "MultiServerMCPClient": "MCPTools, one for each server",
    "OpenAPIToolset": "OpenAPITools",
    "ParallelAgent": "Parallel",
    "PermissionDeniedError": "PermissionDenied",
    "PermissionManager": "Policy, or app.tools.set_tool_permissions(agent, [...])",
    "PythonREPLTool": "podium.tools.builtin.python_tool",
    "ReactAgent": "Agent",
    "RequestError": "podium.core.errors.RequestError",
    "RoleDefinition": "Role",
    "RunContext": "Context",
    "Runner": "Agent.run, or Podium",
    "SequentialAgent": "Sequential",
    "StateGraph": "Sequential, Parallel and Router, or an `async def` with @member (graphs come with a later release)",
    "StructuredTool": "tool, a decorator",
    "SupervisorAgent": "Supervisor",
    "Task": "an Agent with output=...",
    "ToolNode": "Agent(tools=[...]), which calls them",
    "ToolPermission": "Policy, or app.tools.set_tool_permissions(agent, [...])",
    "ToolSandbox": "Sandbox(timeout=, memory_mb=, network=): its run, shell, python and call, or @tool(sandbox=True)",
    "approve": "run.approve() of a Handle; `podium approve` on the command line",
    "calculator": "podium.tools.builtin.calculator",
    "create_agent": "Agent",
    "create_react_agent": "Agent",
    "default_gate": "podium.policy.default_gate",
    "document_tools": "podium.tools.builtin.document_tools",
    "fetch_tool": "podium.tools.builtin.fetch_tool",
    "file_tools": "podium.tools.builtin.file_tools",
    "function_tool": "tool",
    "get_tool_cost_report": "app.tools.get_tool_cost_report(), or a ToolExecutor's; `podium tools report` prints it",
    "get_tool_stats": "app.tools.get_tool_stats(), or a ToolExecutor's; `podium tools stats` prints it",
    "git_tools": "podium.tools.builtin.git_tools",
    "github_tools": "podium.tools.builtin.github_tools",
    "inbox": "app.inbox() of a Podium; `podium approve` without a name lists it",
    "interrupt": "ctx.ask in a member, or Approval for tool calls",
    "python_tool": "podium.tools.builtin.python_tool",
    "query_external_resource": "a tool of an MCP server: MCPTools(...).resource_tool()",
    "register_tool": "ToolRegistry.register, or app.tools.register(tool)",
    "set_tool_permissions": "app.tools.set_tool_permissions(agent, [...]), or that of a ToolRegistry",
    "shell_tool": "podium.tools.builtin.shell_tool",
    "sqlite_tools": "podium.tools.builtin.sqlite_tools",
}
"""Names that people look for, and what they want in Podium."""


def __getattr__(name: str) -> Any:
    module = _MODULE.get(name)
    if module is not None:
        value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        globals()[name] = value
        return value
    spelled = _SPELLED.get(name)
    if spelled is None:
        raise AttributeError(f"module 'podium' has no attribute {name!r}")
    told = f"podium has no {name!r}; in Podium it is {spelled}"
    # `from podium import X` puts its own words in place of an AttributeError's, and lets an ImportError through.
    caller = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    raise ImportError(told, name=__name__) if _asked_by_import(caller) else AttributeError(told)


def _asked_by_import(frame: FrameType) -> bool:
    """Whether the code of this frame stands at a `from … import`."""
    import dis

    return frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] == dis.opmap["IMPORT_FROM"]


def __dir__() -> list[str]:
    return __all__
