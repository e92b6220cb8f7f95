"""The registry: which tools there are, in which versions, and which agent may use which.

A `ToolRegistry` is a mapping from names to tools (each name's default version), so the runtime looks tools up in it and
people in their listings. It decides nothing: what it says about an agent's permissions, the gate enforces. It knows no
run and no store; `within` gives it a source of what tools were used for, which is the app's to read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from podium.core.costs import CostRow
from podium.core.errors import ConfigurationError
from podium.ports import Effect, Reach, Tool, tools_in
from podium.ports.selectors import named, permitted, selector

from .statistics import ToolCost, ToolStats, costs_of, stats_of

Usage: TypeAlias = Callable[[float], Awaitable[Sequence[CostRow]]]
"""What tools were used for since a day (UTC, epoch seconds)."""
T = TypeVar("T", bound=Tool)


class ToolRow(msgspec.Struct, frozen=True):
    """One version of a tool, as listings show it."""

    name: str
    version: str
    default: bool
    """Whether its name alone means this version."""
    description: str
    effect: Effect
    declared: bool
    """Whether the effect was declared; an undeclared one is `write`."""
    reach: Reach
    requires_network: bool
    deterministic: bool
    cost: str
    """US dollars per execution."""
    cache: float | None
    """For how many seconds a result may be given again; None is not at all."""
    roles: tuple[str, ...]
    tags: tuple[str, ...]
    capabilities: tuple[str, ...]
    deprecated: str | None = None
    """What to know before using it; None when it is not deprecated."""
    use: str = ""
    """What to use in place of a deprecated version."""


class _Name:
    """The versions that go by one name."""

    __slots__ = ("pinned", "preferred", "versions")

    def __init__(self) -> None:
        self.versions: dict[str, Tool] = {}
        """In the order of registration."""
        self.preferred = ""
        self.pinned = False

    @property
    def default(self) -> Tool:
        return self.versions[self.preferred]


class _State:
    """What registries of one origin share: an app's sees what is registered with the one it was given."""

    def __init__(self) -> None:
        self.names: dict[str, _Name] = {}
        self.permissions: dict[str, frozenset[str]] = {}
        self.deprecated: dict[tuple[str, str], tuple[str, str]] = {}
        self.warned: set[tuple[str, str]] = set()
        self.sources: list[Usage] = []


class ToolRegistry(Mapping[str, Tool]):
    """Tools by name, several versions of each, with permissions of agents.

    It may be changed while an app runs; the next call sees the change. Agents keep the tool objects they were made
    with: only names are looked up here, and the version with which an interrupted call began.
    """

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._state = _State()
        self._usage: Usage | None = None
        for tool in tools_in(tools, "the tools of a registry"):
            self.register(tool)

    # ------------------------------------------------------------------------------------------------------ tools

    def register(self, tool: T, *, default: bool | None = None) -> T:
        """Add a tool, and give it back. Another version of a known name stands beside the earlier ones.

        `default` says whether its name alone means this version; left out, it does, unless another is pinned. The same
        tool again changes nothing. Raises ConfigurationError for what is no tool, and for another tool of the same name
        and version: an interrupted run could not tell which of them it had begun.
        """
        tools_in([tool], "a registry")
        entry = self._state.names.get(tool.name)
        known = None if entry is None else entry.versions.get(tool.version)
        if known is not None and known is not tool:
            raise ConfigurationError(
                f"there is a tool {tool.name!r} of version {tool.version!r}: give this one another version= or name=, "
                f"or unregister({tool.name!r}, {tool.version!r}) first"
            )
        if entry is None:
            entry = self._state.names[tool.name] = _Name()
        entry.versions[tool.version] = tool
        if default or not entry.preferred or (default is None and known is None and not entry.pinned):
            entry.preferred = tool.version
        return tool

    def unregister(self, name: str, version: str | None = None) -> None:
        """Forget one version, or the name with all of them. Raises ConfigurationError for what is not there.

        When the default version goes, the newest of the others is the default, and nothing is pinned any more.
        """
        entry = self._entry(name, version)
        gone = list(entry.versions) if version is None else [version]
        for each in gone:
            del entry.versions[each]
            self._state.deprecated.pop((name, each), None)
            self._state.warned.discard((name, each))
        if not entry.versions:
            del self._state.names[name]
        elif entry.preferred not in entry.versions:
            entry.preferred, entry.pinned = list(entry.versions)[-1], False

    def pin(self, name: str, version: str) -> None:
        """Let a name mean this version, whatever is registered later. Raises ConfigurationError for an unknown one."""
        entry = self._entry(name, version)
        entry.preferred, entry.pinned = version, True

    def unpin(self, name: str) -> None:
        """Let a name mean the version that was registered last, now and from now on."""
        entry = self._entry(name, None)
        entry.preferred, entry.pinned = list(entry.versions)[-1], False

    def deprecate(self, name: str, version: str, message: str = "", *, use: str = "") -> None:
        """Mark a version as one to leave: it works, listings say so, and its first call warns in the log `podium`.

        `message` says why, `use` what to use in its place. Raises ConfigurationError for an unknown version.
        """
        self._entry(name, version)
        self._state.deprecated[name, version] = (message, use)
        self._state.warned.discard((name, version))

    def called(self, tool: Tool) -> None:
        """A tool is about to be executed: the first time, a deprecated one is pointed out in the log."""
        state = self._state
        if not state.deprecated:
            return
        key = (tool.name, tool.version)
        found = state.deprecated.get(key)
        if found is None or key in state.warned:
            return
        import logging  # here, so that a registry does not load it

        state.warned.add(key)
        message, use = found
        told = "".join((f": {message}" if message else "", f"; use {use}" if use else ""))
        logging.getLogger("podium").warning('version %s of tool "%s" is deprecated%s', tool.version, tool.name, told)

    # ----------------------------------------------------------------------------------------------------- finding

    def __getitem__(self, name: str) -> Tool:
        entry = self._state.names.get(name)
        if entry is None:
            raise KeyError(f"there is no tool {name!r}; the tools are: {self._known()}")
        return entry.default

    def __contains__(self, name: object) -> bool:
        return name in self._state.names

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._state.names))  # a copy: a tool may be registered meanwhile

    def __len__(self) -> int:
        return len(self._state.names)

    def __repr__(self) -> str:
        return f"<ToolRegistry {', '.join(self) or 'without tools'}>"

    def get(self, name: str, version: str | None = None) -> Tool | None:  # pyright: ignore[reportIncompatibleMethodOverride]  (a version is what people ask for; a default is not)
        """A tool by name, in its default version or the one asked for; None when it is not here."""
        entry = self._state.names.get(name)
        if entry is None:
            return None
        return entry.default if version is None else entry.versions.get(version)

    def versions(self, name: str) -> tuple[str, ...]:
        """The versions of a name in the order of their registration; none for an unknown one."""
        entry = self._state.names.get(name)
        return () if entry is None else tuple(entry.versions)

    def find(
        self,
        name: str = "*",
        *,
        tag: str | None = None,
        capability: str | None = None,
        effect: Effect | None = None,
        network: bool | None = None,
        deterministic: bool | None = None,
    ) -> tuple[Tool, ...]:
        """The tools (in their default version) that fit everything said; `name` is a pattern such as `github_*`.

        `network=False` finds tools that declare no need of it. Outside a sandbox nothing holds them to that.
        """
        return tuple(
            [
                tool
                for tool in self.values()
                if named((name,), tool.name)
                and (tag is None or tag in tool.tags)
                and (capability is None or capability in tool.capabilities)
                and (effect is None or tool.effect == effect)
                and (network is None or tool.network == network)
                and (deterministic is None or tool.deterministic == deterministic)
            ]
        )

    def list_tools(self) -> list[ToolRow]:
        """Every version of every tool, by the order of registration."""
        return [
            self._row(tool, default=tool.version == entry.preferred)
            for entry in self._state.names.values()
            for tool in entry.versions.values()
        ]

    def _row(self, tool: Tool, *, default: bool) -> ToolRow:
        message, use = self._state.deprecated.get((tool.name, tool.version), (None, ""))
        return row_of(tool, default=default, deprecated=message, use=use)

    # ------------------------------------------------------------------------------------------------- permissions

    def set_tool_permissions(self, agent: Any, tools: Iterable[str | Tool] | None) -> None:
        """Let an agent (or its name) use these tools and no others, whatever it was given; None sets it free again.

        Each is a tool, a name, a pattern of names (`github_*`), or what a tool says of itself: `tag:x`,
        `capability:x`, `effect:read`, `reach:none`. Raises ConfigurationError for what means no tool.
        """
        name = _name(agent)
        if tools is None:
            self._state.permissions.pop(name, None)
            return
        words = frozenset(_words(tools))
        for word in words:
            try:
                selector(word)
            except ConfigurationError as error:
                raise ConfigurationError(
                    f"{word[:80]!r} permits no tool: write a name, a pattern such as 'github_*', 'tag:NAME', "
                    f"'capability:NAME', 'effect:read' or 'reach:none' ({error})"
                ) from None
        self._state.permissions[name] = words

    def grants(self, agent: str) -> frozenset[str] | None:
        """What was set for an agent, as it was written; None for nothing. The gate asks this at every call."""
        permissions = self._state.permissions
        return permissions.get(agent) if permissions else None

    def permissions(self, agent: Any) -> frozenset[str] | None:
        """The names of the registered tools an agent may use; None when nothing was set for it."""
        words = self.grants(_name(agent))
        if words is None:
            return None
        return frozenset([tool.name for tool in self.values() if permitted(words, tool.name, tool)])

    def tools_for(self, agent: Any) -> list[Tool]:
        """The registered tools that an agent was permitted, to make it with; none when nothing was set for it."""
        words = self.grants(_name(agent)) or frozenset()
        return [tool for tool in self.values() if permitted(words, tool.name, tool)]

    def refusal(self, agent: str, tool: Tool) -> str | None:
        """Why an agent may not use a tool, and what would let it; None when it may."""
        words = self.grants(agent)
        if words is None or permitted(words, tool.name, tool):
            return None
        return (
            f"{agent} may not call {tool.name}; it may call: {', '.join(sorted(words)) or 'none'} "
            f"(set_tool_permissions({agent!r}, [...]) changes that)"
        )

    # -------------------------------------------------------------------------------------------------- statistics

    def within(self, usage: Usage) -> ToolRegistry:
        """This registry, with a source of what its tools were used for. Both share all tools and permissions.

        Between `opened` and `closed` of the one that is returned, this one answers from that source too.
        """
        inside = ToolRegistry()
        inside._state, inside._usage = self._state, usage
        return inside

    def opened(self) -> None:
        """The source can be read now."""
        if self._usage is not None and self._usage not in self._state.sources:
            self._state.sources.append(self._usage)

    def closed(self) -> None:
        """The source cannot be read any more."""
        if self._usage is not None and self._usage in self._state.sources:
            self._state.sources.remove(self._usage)

    async def get_tool_cost_report(self, *, since: float = 0.0) -> dict[str, ToolCost]:
        """Executions, total and average cost of each tool that was used, dearest first, from the runs' journals.

        `since` is epoch seconds; it counts by whole days (UTC). Raises ConfigurationError outside an app.
        """
        return costs_of(await self._rows(since))

    async def get_tool_stats(self, *, since: float = 0.0, agent: str | None = None) -> dict[str, ToolStats]:
        """Executions, success rate, times and hits of each tool that was used, by name, of one agent or of all.

        `since` is as above. Raises ConfigurationError outside an app.
        """
        rows = await self._rows(since)
        return stats_of(row for row in rows if agent is None or row.agent == agent)

    async def _rows(self, since: float) -> Sequence[CostRow]:
        sources = self._state.sources
        usage = self._usage or (sources[0] if len(sources) == 1 else None)
        if usage is None:
            why = "in no open app" if not sources else "in several apps"
            raise ConfigurationError(
                f"this registry is {why}, so there is no one journal to report on: make the app with "
                "Podium(tools=registry), and ask app.tools"
            )
        return await usage(since)

    # ------------------------------------------------------------------------------------------------------ inside

    def _entry(self, name: str, version: str | None) -> _Name:
        entry = self._state.names.get(name)
        if entry is None:
            raise ConfigurationError(f"there is no tool {name!r}; the tools are: {self._known()}")
        if version is not None and version not in entry.versions:
            known = ", ".join(entry.versions)
            raise ConfigurationError(f"tool {name!r} has no version {version!r}; its versions are: {known}")
        return entry

    def _known(self) -> str:
        return ", ".join(list(self)[:50]) or "none"


def row_of(tool: Tool, *, default: bool = True, deprecated: str | None = None, use: str = "") -> ToolRow:
    """A tool as listings show it."""
    return ToolRow(
        tool.name,
        tool.version,
        default,
        tool.description,
        tool.effect,
        tool.declared,
        tool.reach,
        tool.network,
        tool.deterministic,
        tool.cost,
        tool.cache,
        tool.roles,
        tool.tags,
        tool.capabilities,
        deprecated,
        use,
    )


def _words(given: Iterable[str | Tool]) -> Iterator[str]:
    for each in (given,) if isinstance(given, str) else given:
        yield each if isinstance(each, str) else _name(each, "a tool")


def _name(agent: Any, what: str = "an agent") -> str:
    if isinstance(agent, str):
        return agent
    name = getattr(agent, "name", None)
    if not isinstance(name, str):
        raise ConfigurationError(f"{agent!r} is not {what}: give its name, or {what.partition(' ')[2]} itself")
    return name
