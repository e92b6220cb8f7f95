"""A policy as a value: who may call what, on which conditions. Read `docs/how-to/permissions.md` for its meaning.

These are frozen values that say no more than a file can. Judging by them is `enforce`'s part, finding mistakes in them
`lint`'s.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec

from podium.core.actions import Kind
from podium.core.codec import digest_of
from podium.core.errors import ConfigurationError
from podium.core.money import amount
from podium.ports import Effect, Reach
from podium.ports.selectors import nearest, selectors, wild

from .file import entry, read, section
from .predicates import Question, When

Then: TypeAlias = Literal["allow", "ask", "deny"]
Default: TypeAlias = Literal["allow", "deny"]
Subject: TypeAlias = Literal["tool", "model", "answer"]

KINDS: Final[dict[str, Kind]] = {"tool": Kind.TOOL, "model": Kind.MODEL, "answer": Kind.ANSWER}
ROLE: Final = "role:"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MOST_RULES: Final = 2000
_MOST_ENTRIES: Final = 10_000
_MOST_PROMPT: Final = 2000


class RoleTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[policy.roles.NAME]`: grants that several agents share."""

    tools: tuple[str, ...] = ()


class AgentTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[policy.agents.NAME]`: everything an agent may call. `*` for the name is every agent without a table."""

    roles: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()


class ToolTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[policy.tools.SELECTOR]`: what holds for a tool whoever calls it. It only makes the tool's own word stricter."""

    roles: tuple[str, ...] = ()
    """Roles of the principal, one of which is needed."""
    approval: Literal["always", "never"] = "never"
    approvers: tuple[str, ...] = ()
    """Roles of those who may approve."""
    expires: float | None = None
    """Seconds after which silence is a refusal."""
    self_approval: bool = True
    """Whether the principal behind the run may approve."""
    max_cost: float | str | None = None
    """The most that one execution may cost, in US dollars."""
    effect: Effect | None = None
    reach: Reach | None = None


class PrincipalTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who is behind the run: each list that is given must have one that fits; `*` stands for any characters."""

    ids: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()


class LabelTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the agent has seen when it asks. Each part that is given must fit."""

    untrusted: bool | None = None
    """Whether it has seen untrusted text."""
    kinds: tuple[str, ...] = ()
    """Sensitive kinds of data, one of which it has seen: `secret`, `pii.*`."""
    sources: tuple[str, ...] = ()
    """Where untrusted text came from: `tool:fetch`."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[[policy.rules]]`. All of its conditions must hold; a condition that is left out holds always."""

    name: str
    then: Then
    agents: tuple[str, ...] = ()
    """Names of agents, with `*`, or `role:NAME` for all agents that have this role."""
    tools: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    kinds: tuple[Subject, ...] = ("tool",)
    when: tuple[When, ...] = ()
    cost_above: float | str | None = None
    """US dollars that one execution of the tool costs more than."""
    principal: PrincipalTest | None = None
    label: LabelTest | None = None
    message: str = ""
    """What is said: to the model with a deny, to the person with an ask."""
    approvers: tuple[str, ...] = ()
    expires: float | None = None
    self_approval: bool = True

    @property
    def id(self) -> str:
        """The name under which verdicts are recorded."""
        return f"policy:{self.name}"


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who may call what. `Policy.load("podium.toml")`, `Policy.parse({...})`, or made from its parts.

    `default` is the verdict on a tool call that neither a grant nor a rule speaks of. `principal_roles` are the roles
    that people can hold, if you want `podium policy check` to find those that nobody has.
    """

    version: str = ""
    default: Default = "deny"
    principal_roles: tuple[str, ...] = ()
    roles: dict[str, RoleTable] = {}
    agents: dict[str, AgentTable] = {}
    tools: dict[str, ToolTable] = {}
    rules: tuple[Rule, ...] = ()

    @classmethod
    def parse(cls, table: Mapping[str, Any], where: str = "policy") -> Policy:
        """A policy from plain values, in the form of a file. Raises ConfigurationError that names the key."""
        return _parsed(table, where)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        """The policy under `[policy]` of a TOML file. Raises ConfigurationError: one line with the file and the key."""
        tables, _ = read(path)
        if "policy" not in tables:
            raise ConfigurationError(f"{path} has no [policy] table: every table of a policy begins with it")
        return _parsed(tables["policy"], f"{path}: policy")

    @property
    def digest(self) -> str:
        """The same for equal policies, whatever the comments of their files; approvals are bound to it."""
        return digest_of(msgspec.to_builtins(self)).hex()

    @property
    def covers(self) -> frozenset[Kind]:
        """The kinds of actions it has a word on: tools always, others where a rule names them."""
        return frozenset({Kind.TOOL, *(KINDS[kind] for rule in self.rules for kind in rule.kinds)})

    def granted(self, agent: str) -> tuple[str, AgentTable] | None:
        """The table that holds for an agent, with its name; None when every tool its code gave it is left to rules."""
        for name in (agent, "*"):
            if name in self.agents:
                return name, self.agents[name]
        return None

    def has_role(self, agent: str, role: str) -> bool:
        """Whether an agent has one of the policy's roles."""
        table = self.granted(agent)
        return table is not None and role in table[1].roles


_SECTIONS: Final[dict[str, type[RoleTable | AgentTable | ToolTable]]] = {
    "roles": RoleTable,
    "agents": AgentTable,
    "tools": ToolTable,
}


def _parsed(given: object, where: str) -> Policy:
    table = section(given, where)
    unknown = next((key for key in table if key not in Policy.__struct_fields__), None)
    if unknown is not None:
        raise ConfigurationError(f"{where}: unknown key {unknown!r}{nearest(unknown, Policy.__struct_fields__)}")
    values: dict[str, Any] = {key: value for key, value in table.items() if key not in (*_SECTIONS, "rules")}
    for name, kind in _SECTIONS.items():
        if name in table:
            entries = section(table[name], f"{where}.{name}")
            values[name] = {key: entry(value, kind, f"{where}.{name}.{key}") for key, value in entries.items()}
    rules = table.get("rules", ())
    if not isinstance(rules, list | tuple):
        raise ConfigurationError(f"{where}.rules must be a list: write [[policy.rules]] above each rule")
    values["rules"] = tuple(
        entry(rule, Rule, f"{where}.rules[{position}]") for position, rule in enumerate(cast("list[Any]", rules))
    )
    policy = entry(values, Policy, where)
    try:
        validate(policy)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}.{error}") from None
    return policy


def validate(policy: Policy) -> None:
    """That every part means something. Raises ConfigurationError that begins with the part: `rules[2].when[0]: ...`."""
    for name, role in policy.roles.items():
        _at(f"roles.{name}.tools", lambda role=role: selectors(role.tools))
    for name, agent in policy.agents.items():
        if name != "*" and wild(name):
            _refuse(f"agents.{name}", 'use a name, or "*" for every agent without a table')
        _at(f"agents.{name}.tools", lambda agent=agent: selectors(agent.tools))
    for name, tool in policy.tools.items():
        _at(f"tools.{name}", lambda name=name: selectors([name]))
        _money(f"tools.{name}.max_cost", tool.max_cost)
        _asking(f"tools.{name}", tool, asks=tool.approval == "always", remedy='say approval = "always"')
    if len(policy.rules) > _MOST_RULES:
        _refuse("rules", f"there are {len(policy.rules)}, and {_MOST_RULES} at most")
    seen: set[str] = set()
    for position, rule in enumerate(policy.rules):
        where = f"rules[{position}]"
        if not _NAME.fullmatch(rule.name) or rule.name == "default":
            _refuse(f"{where}.name", f"{rule.name[:80]!r} is no name of a rule: letters, digits, '_' and '-', up to 64")
        if rule.name in seen:
            _refuse(f"{where}.name", f"there is a rule named {rule.name!r} before: verdicts are recorded by name")
        seen.add(rule.name)
        _rule(where, rule)


def _rule(where: str, rule: Rule) -> None:
    _at(f"{where}.tools", lambda: selectors(rule.tools))
    _asking(where, rule, asks=rule.then == "ask", remedy='they belong to then = "ask"')
    _money(f"{where}.cost_above", rule.cost_above)
    if not rule.kinds:
        _refuse(f"{where}.kinds", "is empty: leave it out for tools")
    if "tool" not in rule.kinds and (rule.tools or rule.cost_above is not None):
        _refuse(where, "tools and cost_above are about tool calls, which are not among its kinds")
    if "model" not in rule.kinds and rule.models:
        _refuse(f"{where}.models", 'is about model calls: say kinds = ["model"]')
    if rule.then == "ask" and rule.kinds != ("tool",):
        _refuse(f"{where}.then", "only tool calls can wait for a person: use deny, or a rule of its own for tools")
    if "model" in rule.kinds and rule.when:
        _refuse(f"{where}.when", "a model call has no arguments that a rule can ask about")
    if len(rule.message) > _MOST_PROMPT:
        _refuse(f"{where}.message", f"is longer than {_MOST_PROMPT} characters")
    if len(rule.when) > 100 or len(rule.agents) + len(rule.tools) + len(rule.models) > _MOST_ENTRIES:
        _refuse(where, "is too long: split it")
    for position, when in enumerate(rule.when):
        _at(f"{where}.when[{position}]", lambda when=when: Question(when))


def _asking(where: str, table: Rule | ToolTable, *, asks: bool, remedy: str) -> None:
    if not asks and (table.approvers or table.expires is not None or not table.self_approval):
        _refuse(where, f"approvers, expires and self_approval say how a person is asked: {remedy}")
    if table.expires is not None and not 0 < table.expires < 10**9:
        _refuse(f"{where}.expires", f"must be a number of seconds above 0, not {table.expires:g}")


def _money(where: str, given: float | str | None) -> None:
    if given is not None:
        amount(given, where)


def _at(where: str, check: Any) -> None:
    try:
        check()
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def _refuse(where: str, why: str) -> None:
    raise ConfigurationError(f"{where}: {why}")
