"""A tool around another, which tells a plan when it is about to act, and when it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from podium.core.labels import Label
from podium.core.messages import ToolSpec
from podium.ports import Effect, Reach, Tool, ToolContext

from .plan import FaultPlan, Point


class FaultyTool:
    """A `Tool` around another: the points `before tool` (it has not acted) and `after tool` (it has)."""

    def __init__(self, tool: Tool, plan: FaultPlan) -> None:
        self.inner = tool
        self.plan = plan
        self.name: str = tool.name
        self.description: str = tool.description
        self.version: str = tool.version
        self.effect: Effect = tool.effect
        self.declared: bool = tool.declared
        self.reach: Reach = tool.reach
        self.deterministic: bool = tool.deterministic
        self.blocking: bool = tool.blocking
        self.timeout: float | None = tool.timeout
        self.retries: int = tool.retries
        self.network: bool = tool.network
        self.approval: Literal["always", "never"] | Callable[[dict[str, Any]], bool] = tool.approval
        self.cost: str = tool.cost
        self.roles: tuple[str, ...] = tool.roles
        self.label: Label = tool.label
        self.reconcile: Callable[..., Any] | None = tool.reconcile
        self.tags: tuple[str, ...] = tool.tags
        self.capabilities: tuple[str, ...] = tool.capabilities
        self.cache: float | None = tool.cache

    @property
    def spec(self) -> ToolSpec:
        """As of the wrapped tool."""
        return self.inner.spec

    def resolve(self, args: dict[str, Any]) -> dict[str, Any]:
        """As of the wrapped tool."""
        return self.inner.resolve(args)

    async def invoke(self, args: dict[str, Any], ctx: ToolContext) -> Any:
        """Call the wrapped tool between the two points."""
        await self.plan.arrive(Point("before", "tool", ctx.run_id, ctx.key))
        value = await self.inner.invoke(args, ctx)
        await self.plan.arrive(Point("after", "tool", ctx.run_id, ctx.key))
        return value

    async def settle(self, key: str, args: dict[str, Any]) -> Any:
        """As of the wrapped tool."""
        return await self.inner.settle(key, args)
