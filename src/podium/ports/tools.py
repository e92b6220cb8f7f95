"""The port of tools, and what a tool may know of its call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol, TypeAlias, cast

from podium.core.errors import ConfigurationError
from podium.core.labels import Label
from podium.core.messages import ToolSpec

Effect: TypeAlias = Literal["read", "idempotent", "write"]
Reach: TypeAlias = Literal["none", "local_undoable", "local", "external", "destructive", "spend"]


class ToolContext:
    """What a tool may know of the call it serves. Injected into a parameter named `ctx`; not part of the schema."""

    __slots__ = ("_cancelled", "_report", "agent", "attempt", "deadline", "deps", "idempotency_key", "key", "run_id")

    def __init__(
        self,
        *,
        run_id: str,
        key: str,
        agent: str = "",
        attempt: int = 1,
        deadline: float | None = None,
        idempotency_key: str = "",
        deps: Any = None,
        report: Callable[[str, float | None], None] | None = None,
    ) -> None:
        self.run_id = run_id
        self.key = key
        self.agent = agent
        self.attempt = attempt
        self.deadline = deadline
        """Epoch seconds by which the result is due."""
        self.idempotency_key = idempotency_key
        """The same over retries, resumes and workers; new after a fork."""
        self.deps = deps
        self._report = report
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether the run was cancelled: a synchronous tool should stop and return."""
        return self._cancelled

    def cancel(self) -> None:
        """Tell the tool to stop. Called by the runtime."""
        self._cancelled = True

    def report(self, message: str, fraction: float | None = None) -> None:
        """Show progress (0 to 1) to live subscribers; never journaled. Safe from any thread."""
        if self._report is not None:
            self._report(message, fraction)


class Tool(Protocol):
    """A tool as the runtime meets it. `podium.tools.tool` makes one from a function."""

    name: str
    description: str
    version: str
    effect: Effect
    declared: bool
    """Whether the effect was declared; an undeclared one is `write`, with a hint."""
    reach: Reach
    deterministic: bool
    blocking: bool
    """Whether it runs in a worker thread, where it cannot be interrupted."""
    timeout: float | None
    """Seconds; None is the runtime's default."""
    retries: int
    network: bool
    approval: Literal["always", "never"] | Callable[[dict[str, Any]], bool]
    cost: str
    """US dollars per execution, as a decimal string."""
    roles: tuple[str, ...]
    """Roles of the principal that may use it; empty is anybody."""
    label: Label
    """The label of its results."""
    reconcile: Callable[..., Any] | None
    tags: tuple[str, ...]
    """Words that policies, approvals and registries know it by."""
    capabilities: tuple[str, ...]
    """What it can do for somebody who does not know its name (`web-search`)."""
    cache: float | None
    """For how many seconds a result may be given again for equal arguments; None is not at all. Never for a `write`."""

    @property
    def spec(self) -> ToolSpec:
        """The tool as a model sees it."""
        ...

    def resolve(self, args: dict[str, Any]) -> dict[str, Any]:
        """`args` checked and completed with defaults, as plain JSON values.

        Raises ToolValidationError with a message a model can act on.
        """
        ...

    async def invoke(self, args: dict[str, Any], ctx: ToolContext) -> Any:
        """Run with resolved arguments; the value is plain JSON. Whatever it raises, the runtime catches.

        Raises ToolValidationError when the result does not fit the declared return type.
        """
        ...

    async def settle(self, key: str, args: dict[str, Any]) -> Any:
        """Ask `reconcile` what came of a call whose outcome is unknown: the result, or raises NotDone."""
        ...


def tools_in(given: Iterable[Tool], where: str) -> list[Tool]:
    """The tools of a list. Raises ConfigurationError, naming `where` it stands, for anything but tools in a list."""
    value = cast("object", given)
    if is_tool(value):
        raise ConfigurationError(f"{where} are a list: write [{cast('Tool', value).name}]")
    if not isinstance(value, Iterable):
        raise ConfigurationError(f"{where} are a list of tools, not {_shown(value)}{_remedy(value)}")
    found: list[Tool] = []
    for each in cast("Iterable[object]", value):
        if not is_tool(each):
            raise ConfigurationError(f"{_shown(each)} in {where} is not a tool{_remedy(each)}")
        found.append(cast("Tool", each))
    return found


def is_tool(value: object) -> bool:
    """Whether something is a tool, as far as can be seen; a class of tools is none."""
    return hasattr(value, "effect") and hasattr(value, "invoke") and not isinstance(value, type)


def _shown(value: object) -> str:
    return repr(value)[:200]


def _remedy(value: object) -> str:
    """The end of an error: what makes tools of this."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return ": unpack it, as in [*file_tools(...), search]"
    if hasattr(type(value), "tools"):
        return ": enter it with `async with`, and give [*server.tools]"
    return ": decorate the function with @tool(effect=...)" if callable(value) else ": give what @tool makes"
