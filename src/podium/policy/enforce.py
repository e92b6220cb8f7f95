"""Judging by a policy: the check that a policy becomes in the gate.

For a tool call, in this order: what a tool's tables forbid; the agent's table, which is all it may call; the rules from
first to last, of which the first that fits decides; then the grant, or the default. Last, each table of the tool that
wants approval asks, unless a rule or another table asked already, of nobody but those whom it would ask. A condition
that cannot be answered (an argument is missing, or of another type) is taken in the stricter of both ways. Which rules
can concern an agent and a tool at all is worked out once for both, so a long policy costs no more than its part that
matters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from podium.core.actions import Kind
from podium.core.errors import PodiumError
from podium.core.labels import Integrity
from podium.ports import Allow, Deny, HoldFor, Proposal, Verdict
from podium.ports.selectors import (
    EFFECTS,
    REACHES,
    Selector,
    Traits,
    named,
    selected,
    selector,
    selectors,
    stricter,
    traits_of,
)
from podium.schema import dump

from .approvals import DEFAULT_EXPIRY
from .predicates import Answer, Quantifier, Question
from .rules import KINDS, ROLE, AgentTable, Policy, Rule, ToolTable

_MOST_PLANS: Final = 4096
DEFAULT: Final = "policy:default"


class Condition:
    """One condition of a rule: its words, and a question to a proposal."""

    __slots__ = ("ask", "text")

    def __init__(self, text: str, ask: Callable[[Proposal], Answer]) -> None:
        self.text = text
        self.ask = ask


class CompiledRule:
    """A rule ready to be asked. Static conditions are for `concerns`, the others for `fits`."""

    __slots__ = ("agents", "allow", "conditions", "kinds", "rule", "selectors", "then")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.then = rule.then
        self.kinds = frozenset(KINDS[kind] for kind in rule.kinds)
        self.selectors = selectors(rule.tools)
        self.allow = Allow(rule.id)
        self.conditions = tuple(_conditions(rule))

    def concerns(self, policy: Policy, agent: str, traits: Traits) -> bool:
        """Whether it can fit a call of this tool by this agent."""
        rule = self.rule
        if rule.agents and not any(_is_agent(policy, pattern, agent) for pattern in rule.agents):
            return False
        if self.selectors and selected(self.selectors, traits) is None:
            return False
        return rule.cost_above is None or Decimal(traits.cost) > Decimal(str(rule.cost_above))

    def fits(self, proposal: Proposal, notes: list[str] | None = None) -> Answer:
        """Whether all conditions hold; None when one cannot be answered and none fails."""
        whole: Answer = True
        for condition in self.conditions:
            answer = condition.ask(proposal)
            if notes is not None:
                notes.append(f"{condition.text}: {_SAID[answer]}")
            if answer is not True:
                if answer is False:
                    return False
                whole = None
        return whole


_SAID: Final[dict[Answer, str]] = {
    True: "yes",
    False: "no",
    None: "cannot be said (missing, or of another type), so the stricter reading holds",
}


def _is_agent(policy: Policy, pattern: str, agent: str) -> bool:
    if pattern.startswith(ROLE):
        return policy.has_role(agent, pattern.removeprefix(ROLE))
    return named((pattern,), agent)


def _conditions(rule: Rule) -> list[Condition]:
    found: list[Condition] = []
    who, label = rule.principal, rule.label
    if who is not None:
        if who.ids:
            found.append(_any_of("the principal is", who.ids, lambda proposal: (proposal.principal.id,)))
        if who.roles:
            found.append(_any_of("the principal has role", who.roles, lambda proposal: proposal.principal.roles))
        if who.tenants:
            found.append(_any_of("the tenant is", who.tenants, lambda proposal: (proposal.principal.tenant,)))
    if label is not None:
        if label.untrusted is not None:
            found.append(_untrusted(label.untrusted))
        if label.kinds:
            found.append(_any_of("what it has seen holds", label.kinds, lambda proposal: proposal.label.kinds))
        if label.sources:
            found.append(_any_of("it has seen text of", label.sources, lambda proposal: proposal.label.sources))
    if rule.models:
        found.append(_any_of("the model is", rule.models, lambda proposal: (proposal.name,), kind=Kind.MODEL))
    quantifier: Quantifier = "every" if rule.then == "allow" else "any"
    found.extend(_about_arguments(Question(when), quantifier) for when in rule.when)
    return found


def _any_of(
    text: str, patterns: tuple[str, ...], values: Callable[[Proposal], Any], kind: Kind | None = None
) -> Condition:
    def ask(proposal: Proposal) -> Answer:
        return (kind is not None and proposal.kind is not kind) or any(
            named(patterns, value) for value in values(proposal)
        )

    return Condition(f"{text} {' or '.join(patterns)}", ask)


def _untrusted(wanted: bool) -> Condition:
    def ask(proposal: Proposal) -> Answer:
        return (proposal.label.integrity is Integrity.UNTRUSTED) is wanted

    return Condition(f"it has seen {'untrusted text' if wanted else 'no untrusted text'}", ask)


def _about_arguments(question: Question, quantifier: Quantifier) -> Condition:
    ask = question.ask
    return Condition(question.text, lambda proposal: ask(proposal.args, quantifier))


class _Plan(msgspec.Struct, frozen=True):
    """What of a policy concerns one agent and one tool."""

    denied: Deny | None
    roles: tuple[tuple[str, tuple[str, ...]], ...]
    rules: tuple[CompiledRule, ...]
    otherwise: Verdict
    approvals: tuple[HoldFor, ...]
    notes: tuple[str, ...]
    """What the traits alone decided, in words."""


class PolicyCheck:
    """A policy as a check of the gate. `version` changes with the policy, and approvals are bound to it.

    Raises ConfigurationError for a policy that means nothing.
    """

    name = "policy"

    def __init__(self, policy: Policy) -> None:
        # A policy made in Python is held to what a file is: the types of its parts are checked here.
        self.policy = policy = Policy.parse(msgspec.to_builtins(policy))
        self.kinds = policy.covers
        self.version = f"{policy.version}:{policy.digest}" if policy.version else policy.digest
        self.rules = tuple(CompiledRule(rule) for rule in policy.rules)
        self._of_kind = {kind: tuple(rule for rule in self.rules if kind in rule.kinds) for kind in Kind}
        self._tables: tuple[tuple[str, Selector, ToolTable], ...] = tuple(
            (name, selector(name), table) for name, table in policy.tools.items()
        )
        self._plans: dict[tuple[str, Traits], _Plan] = {}

    def __call__(self, proposal: Proposal) -> Verdict | None:
        """The policy's verdict; None for a model call or an answer that no rule speaks of."""
        return self._judge(proposal, None)

    def explain(self, proposal: Proposal) -> tuple[Verdict | None, tuple[str, ...]]:
        """The same verdict, and what was asked on the way to it, in order."""
        notes: list[str] = []
        return self._judge(proposal, notes), tuple(notes)

    def traits(self, name: str, tool: Any) -> Traits:
        """The traits of a tool as this policy sees them: what it declares, made stricter by its tables."""
        declared = traits_of(name, tool)
        if tool is None:
            return declared
        effect, reach = declared.effect, declared.reach
        for _, chosen, table in self._tables:
            if chosen.matches(declared):
                effect = stricter(EFFECTS, effect, table.effect or "")
                reach = stricter(REACHES, reach, table.reach or "")
        return msgspec.structs.replace(declared, effect=effect, reach=reach)

    def reaches_rules(self, agent: str, traits: Traits) -> bool:
        """Whether the agent's table and the tool's cost let a call come as far as the rules."""
        return self._plan(agent, traits).denied is None

    def granted(self, agent: str, traits: Traits) -> bool:
        """Whether a call that no rule fits is allowed."""
        plan = self._plan(agent, traits)
        return plan.denied is None and type(plan.otherwise) is Allow

    # ---------------------------------------------------------------------------------------------------- judging

    def _judge(self, proposal: Proposal, notes: list[str] | None) -> Verdict | None:
        if proposal.kind is not Kind.TOOL:
            return self._first(self._of_kind[proposal.kind], _plain(proposal), None, notes)
        plan = self._planned(proposal)
        if notes is not None:
            notes.extend(plan.notes)
        if plan.denied is not None:
            return plan.denied
        for rule, roles in plan.roles:
            if not set(roles) & set(proposal.principal.roles):
                return Deny(
                    rule, f"{proposal.name} is for {_or(roles)}; {proposal.principal.id} holds none of these roles"
                )
        verdict = self._first(plan.rules, proposal, plan.otherwise, notes)
        if type(verdict) is Allow and plan.approvals:
            return self._still_wanted(plan, proposal.approved) or verdict
        return verdict

    def _still_wanted(self, plan: _Plan, approved: frozenset[str]) -> HoldFor | None:
        """The first approval of the tool's tables that nobody has given, nor one that was at least as strict."""
        given = [each for each in plan.approvals if each.rule in approved]
        given += [_hold(each.rule, "") for each in plan.rules if each.then == "ask" and each.rule.id in approved]
        return next((each for each in plan.approvals if not any(_covers(other, each) for other in given)), None)

    def _first(
        self, rules: Sequence[CompiledRule], proposal: Proposal, otherwise: Verdict | None, notes: list[str] | None
    ) -> Verdict | None:
        """The verdict of the first rule that fits, or `otherwise`."""
        floor: HoldFor | None = None
        for compiled in rules:
            if notes is None:
                answer = compiled.fits(proposal)
            else:
                asked: list[str] = []
                answer = compiled.fits(proposal, asked)
                notes.append(_told(compiled.rule, answer, asked))
            if answer is False:
                continue
            verdict = self._verdict(compiled, proposal)
            if answer is True or type(verdict) is Deny:
                return verdict if floor is None or type(verdict) is Deny else floor
            # It cannot be said whether this rule fits: an allow is passed over, an ask is the least that is done.
            if floor is None and type(verdict) is HoldFor:
                floor = verdict
        return otherwise if floor is None or type(otherwise) is Deny else floor

    def _verdict(self, compiled: CompiledRule, proposal: Proposal) -> Verdict:
        rule = compiled.rule
        if compiled.then == "allow" or (compiled.then == "ask" and rule.id in proposal.approved):
            return compiled.allow
        if compiled.then == "deny":
            what = {Kind.ANSWER: "give this answer", Kind.MODEL: f"ask {proposal.name}"}.get(
                proposal.kind, f"call {proposal.name} like this"
            )
            return Deny(
                rule.id, rule.message or f"{proposal.subject} may not {what}: the rule {rule.name!r} forbids it"
            )
        prompt = rule.message or f"{proposal.subject} wants to call {proposal.name}, which needs approval ({rule.name})"
        return _hold(rule, prompt)

    # --------------------------------------------------------------------------------------------------- planning

    def _planned(self, proposal: Proposal) -> _Plan:
        tool = proposal.tool
        if tool is None:
            key = (proposal.subject, Traits(proposal.name))
        else:
            key = (
                proposal.subject,
                Traits(proposal.name, tool.effect, tool.reach, tool.tags, tool.capabilities, tool.cost),
            )
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            plan = self._plans[key] = self._plan(proposal.subject, self.traits(proposal.name, tool))
        return plan

    def _plan(self, agent: str, traits: Traits) -> _Plan:
        tables = [(name, table) for name, chosen, table in self._tables if chosen.matches(traits)]
        notes: list[str] = []
        denied, otherwise = self._granted(agent, traits, notes)
        for name, table in tables:
            if denied is None and table.max_cost is not None and Decimal(traits.cost) > Decimal(str(table.max_cost)):
                said = f"{traits.name} costs ${traits.cost} a call, and the policy allows ${table.max_cost}"
                denied = Deny(f"policy:tools.{name}", said)
        return _Plan(
            denied,
            tuple((f"policy:tools.{name}", table.roles) for name, table in tables if table.roles),
            _reachable(rule for rule in self._of_kind[Kind.TOOL] if rule.concerns(self.policy, agent, traits)),
            otherwise,
            _approvals(agent, traits.name, tables),
            tuple(notes),
        )

    def _granted(self, agent: str, traits: Traits, notes: list[str]) -> tuple[Deny | None, Verdict]:
        """A refusal if the agent's table does not hold the tool, and the verdict when no rule has a word on it."""
        held = self.policy.granted(agent)
        if held is None:
            notes.append(
                f"no table for {agent} and none for '*': rules decide, then the default ({self.policy.default})"
            )
            if self.policy.default == "allow":
                return None, Allow(DEFAULT)
            return None, Deny(DEFAULT, f"{agent} may not call {traits.name}: no grant or rule of the policy allows it")
        name, table = held
        where = f"policy:agents.{name}"
        grant = granting(self.policy, table, traits)
        if grant:
            notes.append(f"[policy.agents.{name}] grants it by {grant}")
            return None, Allow(where)
        notes.append(f"[policy.agents.{name}] holds no grant of it")
        return Deny(where, f"{agent} may not call {traits.name}: the policy does not grant it"), Allow(where)


def granting(policy: Policy, table: AgentTable, traits: Traits) -> str:
    """The entry of an agent's table, or of one of its roles, that grants a tool; empty for none."""
    own = selected(selectors(table.tools), traits)
    if own is not None:
        return repr(own.text)
    for role in table.roles:
        found = selected(selectors(policy.roles[role].tools), traits) if role in policy.roles else None
        if found is not None:
            return f"{found.text!r} of the role {role}"
    return ""


def _reachable(rules: Any) -> tuple[CompiledRule, ...]:
    found: list[CompiledRule] = []
    for rule in rules:
        found.append(rule)
        if not rule.conditions:
            break  # It fits every call that comes this far.
    return tuple(found)


def _hold(rule: Rule, prompt: str) -> HoldFor:
    expires = DEFAULT_EXPIRY if rule.expires is None else rule.expires
    return HoldFor(rule.id, prompt, rule.approvers, expires, rule.self_approval)


def _approvals(agent: str, tool: str, tables: Sequence[tuple[str, ToolTable]]) -> tuple[HoldFor, ...]:
    found = [
        HoldFor(
            f"policy:tools.{name}",
            f"{agent} wants to call {tool}",
            table.approvers,
            DEFAULT_EXPIRY if table.expires is None else table.expires,
            table.self_approval,
        )
        for name, table in tables
        if table.approval == "always"
    ]
    # The strictest first, which may spare the others.
    return tuple(sorted(found, key=lambda each: -sum(_covers(each, other) for other in found)))


def _covers(given: HoldFor, wanted: HoldFor) -> bool:
    """Whether whoever may give one approval may give the other too, so that one word is enough for both."""
    if given.self_approval and not wanted.self_approval:
        return False
    return not wanted.roles or (bool(given.roles) and set(given.roles) <= set(wanted.roles))


def _plain(proposal: Proposal) -> Proposal:
    """An answer as plain data, so that a path leads into it whatever type the member gave."""
    if proposal.kind is not Kind.ANSWER or proposal.args is None or isinstance(proposal.args, str | int | float | bool):
        return proposal
    try:
        args = dump(proposal.args)
    except (PodiumError, TypeError, ValueError):
        args = None
    return msgspec.structs.replace(proposal, args=args)


def _told(rule: Rule, answer: Answer, asked: Sequence[str]) -> str:
    fits = {True: f"fits: {rule.then}", False: "does not fit", None: "may fit"}[answer]
    return f"rule {rule.name} {fits}" + (f" ({'; '.join(asked)})" if asked else "")


def _or(words: Sequence[str]) -> str:
    return " or ".join(words)


def policy_check(given: Policy | Mapping[str, Any] | str) -> PolicyCheck:
    """The check of a policy: a Policy, plain values in its form, or the path of a file. Raises ConfigurationError."""
    if isinstance(given, Policy):
        return PolicyCheck(given)
    return PolicyCheck(Policy.parse(given) if isinstance(given, Mapping) else Policy.load(given))
