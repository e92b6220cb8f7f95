"""Mistakes in a policy that is valid: names that nothing has, rules that never decide, grants that give too much.

Pure functions of a policy and of what is known of agents and tools. What is not known is not complained about: without
any agents, only the policy itself is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from podium.ports import Tool
from podium.ports.selectors import (
    EFFECTS,
    REACHES,
    Selector,
    Traits,
    named,
    nearest,
    rank,
    selected,
    selector,
    selectors,
)

from .coverage import shadowing
from .enforce import CompiledRule, PolicyCheck, granting
from .predicates import pointer
from .rules import ROLE, AgentTable, Policy

Severity: TypeAlias = Literal["error", "warning"]
Where: TypeAlias = tuple[str | int, ...]

_HARMFUL: Final = ("destructive", "spend")
_LISTED: Final = 5


class Finding(msgspec.Struct, frozen=True):
    """One mistake. `where` is the path of its table or key in the file; `remedy` says what to do."""

    code: str
    severity: Severity
    where: Where
    message: str
    remedy: str

    @property
    def place(self) -> str:
        """The path as it is written: `policy.rules[2].tools`."""
        return "policy" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.where)


class Known(msgspec.Struct, frozen=True):
    """What is known beside the policy."""

    agents: Mapping[str, Mapping[str, Tool]] = {}
    """Members by name, with their tools; empty when nothing is known of members."""
    tools: Mapping[str, Tool] = {}
    """All tools by name."""


def lint(policy: Policy, known: Known | None = None) -> list[Finding]:
    """All findings, in the order of the file."""
    looked = _Looking(policy, known or Known())
    found = [
        *looked.roles(),
        *looked.agents(),
        *looked.tables(),
        *looked.rules(),
        *looked.whole(),
        *looked.tools(),
    ]
    return list(dict.fromkeys(found))


class _Looking:
    """One look at a policy, with what is known worked out once."""

    def __init__(self, policy: Policy, known: Known) -> None:
        self.policy = policy
        self.known = known
        self.check = PolicyCheck(policy)
        tools = {name: tool for held in known.agents.values() for name, tool in held.items()} | dict(known.tools)
        self.all_tools = tools
        self.traits = {name: self.check.traits(name, tool) for name, tool in tools.items()}
        self.pairs = [
            (agent, self.check.traits(name, tool))
            for agent, held in known.agents.items()
            for name, tool in held.items()
        ]

    # --------------------------------------------------------------------------------------------------------- roles

    def roles(self) -> Iterator[Finding]:
        used = {role for table in self.policy.agents.values() for role in table.roles}
        for name, table in self.policy.roles.items():
            where = ("roles", name)
            if name not in used:
                yield _warning("unused-role", where, f"no agent has the role {name!r}", "remove it, or give it to one")
            yield from self._selectors((*where, "tools"), selectors(table.tools))
            yield from self._broad((*where, "tools"), selectors(table.tools), f"the role {name!r}")

    def _known_role(self, where: Where, role: str) -> Iterator[Finding]:
        if role not in self.policy.roles:
            yield _error(
                "unknown-role",
                where,
                f"there is no role {role!r}{nearest(role, self.policy.roles)}",
                "define or rename it",
            )

    def _people(self, where: Where, roles: Iterable[str]) -> Iterator[Finding]:
        """Roles of people, which the policy may list."""
        held = self.policy.principal_roles
        for role in roles if held else ():
            if not any(named((role,), each) for each in held):
                yield _error(
                    "unknown-principal-role",
                    where,
                    f"nobody can hold the role {role!r}{nearest(role, held)}",
                    "rename it, or add it to principal_roles",
                )

    # -------------------------------------------------------------------------------------------------------- agents

    def agents(self) -> Iterator[Finding]:
        for name, table in self.policy.agents.items():
            where = ("agents", name)
            if name != "*":
                yield from self._agent_name(where, name)
            for role in table.roles:
                yield from self._known_role((*where, "roles"), role)
            chosen = selectors(table.tools)
            yield from self._selectors((*where, "tools"), chosen)
            yield from self._broad((*where, "tools"), chosen, "every agent" if name == "*" else f"agent {name!r}")
            if name == "*":
                yield from self._for_everybody(where, table)
            else:
                yield from self._not_held(where, name, chosen)

    def _agent_name(self, where: Where, pattern: str) -> Iterator[Finding]:
        agents = self.known.agents
        if agents and not any(named((pattern,), name) for name in agents):
            yield _error(
                "unknown-agent", where, f"there is no agent {pattern!r}{nearest(pattern, agents)}", "rename it"
            )

    def _for_everybody(self, where: Where, table: AgentTable) -> Iterator[Finding]:
        writes = [
            name for name, traits in self.traits.items() if _writes(traits) and granting(self.policy, table, traits)
        ]
        if writes:
            yield _warning(
                "write-for-everyone",
                where,
                f"every agent without a table may call {_listed(writes)}, which write",
                "grant tools that write to the agents that need them, by name",
            )

    def _not_held(self, where: Where, agent: str, chosen: Sequence[Selector]) -> Iterator[Finding]:
        held = self.known.agents.get(agent)
        if not held:
            return
        for each in chosen:
            if each.kind == "name" and not each.wild and each.wanted not in held and each.wanted in self.all_tools:
                yield _warning(
                    "grant-without-tool",
                    (*where, "tools"),
                    f"{agent} is granted {each.wanted!r}, which its code does not give it",
                    f"remove the grant, or pass the tool: Agent({agent!r}, tools=[...])",
                )

    # ------------------------------------------------------------------------------------------------------ selectors

    def _selectors(self, where: Where, chosen: Iterable[Selector]) -> Iterator[Finding]:
        """Selectors that select nothing that is known."""
        if not self.traits:
            return
        for each in chosen:
            if any(each.matches(traits) for traits in self.traits.values()):
                continue
            if each.kind == "name" and not each.wild:
                there = nearest(each.wanted, self.traits)
                yield _error("unknown-tool", where, f"there is no tool {each.wanted!r}{there}", "rename or remove it")
            else:
                yield _warning(
                    "selects-nothing", where, f"{each.text!r} selects no tool there is", "correct or remove it"
                )

    def _broad(self, where: Where, chosen: Iterable[Selector], who: str) -> Iterator[Finding]:
        """Grants by wildcard of what should be granted by name."""
        for each in chosen:
            if each.text == "*":
                yield _warning("grants-everything", where, f"{who} is granted every tool there is", "list its tools")
            if not (each.wild and each.kind == "name") and each.kind not in ("effect", "capability"):
                continue
            reached: dict[str, list[str]] = {}
            for name, traits in self.traits.items():
                if each.matches(traits):
                    reached.setdefault(traits.reach, []).append(name)
            harmful = [name for reach in _HARMFUL for name in reached.get(reach, ())]
            if harmful:
                message = f"{each.text!r} grants {who} {_listed(harmful)}, with reach destructive or spend"
                yield _error("broad-grant", where, message, "grant each of them by name")
            if outside := reached.get("external"):
                message = f"{each.text!r} grants {who} {_listed(outside)}, with reach external"
                yield _warning("broad-grant", where, message, "grant them by name, or declare their reach")

    # --------------------------------------------------------------------------------------------------- tools tables

    def tables(self) -> Iterator[Finding]:
        for name, table in self.policy.tools.items():
            where = ("tools", name)
            chosen = selector(name)
            yield from self._selectors(where, [chosen])
            yield from self._people((*where, "roles"), table.roles)
            yield from self._people((*where, "approvers"), table.approvers)
            for tool in self.all_tools.values():
                if not chosen.matches(Traits(tool.name, tool.effect, tool.reach, tool.tags, tool.capabilities)):
                    continue
                for what, values, said, declared in (
                    ("effect", EFFECTS, table.effect, tool.effect),
                    ("reach", REACHES, table.reach, tool.reach),
                ):
                    if said is not None and rank(values, said) < rank(values, declared):
                        yield _warning(
                            "looser-override",
                            (*where, what),
                            f"{what} = {said!r} has no force: {tool.name} declares {declared}",
                            "remove it: a policy makes tools stricter only",
                        )

    # ---------------------------------------------------------------------------------------------------------- rules

    def rules(self) -> Iterator[Finding]:
        for position, compiled in enumerate(self.check.rules):
            rule = compiled.rule
            where = ("rules", position)
            for pattern in rule.agents:
                if pattern.startswith(ROLE):
                    yield from self._known_role((*where, "agents"), pattern.removeprefix(ROLE))
                else:
                    yield from self._agent_name((*where, "agents"), pattern)
            yield from self._selectors((*where, "tools"), compiled.selectors)
            yield from self._people((*where, "approvers"), rule.approvers)
            if rule.principal is not None:
                yield from self._people((*where, "principal"), rule.principal.roles)
            yield from self._reached(where, position, compiled)
            yield from self._arguments(where, compiled)
            if rule.then != "deny" and "tool" in rule.kinds:
                yield from self._asked_anyway(where, compiled)
            everybody = not compiled.conditions and not rule.agents
            if rule.then == "allow" and "tool" in rule.kinds and everybody:
                yield from self._broad((*where, "tools"), compiled.selectors, "every agent")

    def _reached(self, where: Where, position: int, compiled: CompiledRule) -> Iterator[Finding]:
        rule = compiled.rule
        earlier = shadowing(self.policy, self.check.rules[:position], compiled, self._concerned)
        if earlier is not None:
            yield _error(
                "unreachable-rule",
                where,
                f"the rule {rule.name!r} never decides: {earlier!r} before it fits every call that it fits",
                f"put it before {earlier!r}, or remove it",
            )
        elif self.pairs and rule.kinds == ("tool",) and not self._concerned(compiled):
            selects = not compiled.selectors or any(selected(compiled.selectors, each) for _, each in self.pairs)
            yield _error(
                "never-matches",
                where,
                f"the rule {rule.name!r} fits no call that an agent can make"
                + ("" if selects else ": it selects no tool that one of them has"),
                "correct its agents and tools, or grant the tool in the agent's table",
            )

    def _concerned(self, compiled: CompiledRule) -> frozenset[tuple[str, str]] | None:
        """The known agents and tools that a rule can come to be asked about; None when none are known."""
        if not self.pairs:
            return None
        return frozenset(
            (agent, traits.name)
            for agent, traits in self.pairs
            if compiled.concerns(self.policy, agent, traits) and self.check.reaches_rules(agent, traits)
        )

    def _arguments(self, where: Where, compiled: CompiledRule) -> Iterator[Finding]:
        """Questions about arguments that the tools do not have."""
        rule = compiled.rule
        if rule.kinds != ("tool",):
            return
        chosen = [tool for name, tool in self.all_tools.items() if _means(compiled, self.traits[name])]
        for index, when in enumerate(rule.when):
            path = pointer(when.arg)
            if not path or path[0] == "*" or not chosen:
                continue
            lacking = [tool.name for tool in chosen if not _takes(tool, path[0])]
            there = sorted({name for tool in chosen for name in _parameters(tool)})
            if len(lacking) == len(chosen):
                yield _error(
                    "unknown-argument",
                    (*where, "when", index),
                    f"{_listed(lacking)} {_has(lacking)} no argument {path[0]!r}{nearest(path[0], there)}",
                    "rename it: a missing argument counts as the stricter reading",
                )
            elif lacking and rule.then != "allow" and when.missing == "stricter":
                yield _warning(
                    "stricter-for-others",
                    (*where, "when", index),
                    f"{_listed(lacking)} {_has(lacking)} no argument {path[0]!r}, so the rule fits each of their calls",
                    'name the tools it is for, or say missing = "fails"',
                )

    def _asked_anyway(self, where: Where, compiled: CompiledRule) -> Iterator[Finding]:
        asking = [
            name
            for name, tool in self.all_tools.items()
            if tool.approval == "always" and compiled.selectors and _means(compiled, self.traits[name])
        ]
        if asking:
            again = "all the same" if compiled.then == "allow" else "twice"
            yield _warning(
                "asks-anyway",
                where,
                f'{_listed(asking)} {_has(asking)} approval="always" in code, so a person is asked {again}',
                "take approval= out of the code and let the policy ask",
            )

    # ------------------------------------------------------------------------------------------------------ the whole

    def whole(self) -> Iterator[Finding]:
        policy = self.policy
        for position, compiled in enumerate(self.check.rules):
            rule = compiled.rule
            everything = not rule.agents and not compiled.conditions and rule.cost_above is None
            if (
                everything
                and (not rule.tools or "*" in rule.tools)
                and "tool" in rule.kinds
                and rule.then != policy.default
            ):
                yield (_error if rule.then == "allow" else _warning)(
                    "contradictory-default",
                    ("rules", position),
                    f"the rule {rule.name!r} fits every call, so default = {policy.default!r} never holds",
                    f"say default = {rule.then!r} and remove the rule" if rule.then != "ask" else "remove default",
                )
        if policy.default == "allow" and not policy.rules and not policy.agents and not policy.tools:
            yield _warning(
                "allows-everything", (), "the policy allows every call", "add tables and rules, or remove it"
            )
        if policy.default == "deny" and not policy.agents and not any(rule.then != "deny" for rule in policy.rules):
            yield _error(
                "denies-everything", (), "no tool may be called: nothing grants or allows one", "add [policy.agents]"
            )
        for agent, held in self.known.agents.items():
            never = [name for name, tool in held.items() if not self._ever(agent, self.check.traits(name, tool))]
            if never:
                table = policy.granted(agent)
                yield _warning(
                    "never-allowed",
                    ("agents", table[0]) if table else (),
                    f"{agent} has {_listed(never)}, which the policy never lets it call",
                    f'grant them: [policy.agents.{agent}] tools = ["{never[0]}"], or take them from the agent',
                )

    def _ever(self, agent: str, traits: Traits) -> bool:
        if not self.check.reaches_rules(agent, traits):
            return False
        rules = [each for each in self.check.rules if each.concerns(self.policy, agent, traits)]
        for each in rules:
            if "tool" in each.rule.kinds and each.then != "deny":
                return True
            if "tool" in each.rule.kinds and not each.conditions:
                return False
        return self.check.granted(agent, traits)

    def tools(self) -> Iterator[Finding]:
        undeclared = sorted(name for name, tool in self.all_tools.items() if not tool.declared)
        if undeclared:
            yield _warning(
                "undeclared-effect",
                (),
                f"{_listed(undeclared)} {_has(undeclared)} no declared effect, so each counts as a write",
                'declare it: @tool(effect="read"), "idempotent" or "write"',
            )


def _means(compiled: CompiledRule, traits: Traits) -> bool:
    return not compiled.selectors or selected(compiled.selectors, traits) is not None


def _writes(traits: Traits) -> bool:
    return traits.effect == "write"


def _parameters(tool: Tool) -> Mapping[str, Any]:
    return tool.spec.parameters.get("properties") or {}


def _takes(tool: Tool, argument: str) -> bool:
    return argument in _parameters(tool) or tool.spec.parameters.get("additionalProperties") not in (None, False)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _has(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _finding(severity: Severity) -> Callable[[str, Where, str, str], Finding]:
    def make(code: str, where: Where, message: str, remedy: str) -> Finding:
        return Finding(code, severity, where, message, remedy)

    return make


_error = _finding("error")
_warning = _finding("warning")
