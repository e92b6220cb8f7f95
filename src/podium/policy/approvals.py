"""Approval: some tool calls wait for a person.

A tool says so itself (`approval="always"`, or a predicate over its arguments), an agent does (`Agent(approvals=[…])`),
or the app does for all of them (`Podium(approvals=[…])`). What a decision covers is one exact call; the runtime binds
it to the digest of that call and uses it once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias, cast

import msgspec

from podium.core.actions import Kind
from podium.core.codec import digest_of
from podium.core.errors import ConfigurationError
from podium.core.labels import Integrity
from podium.core.redaction import redact_text
from podium.ports import Deny, HoldFor, Proposal, Verdict
from podium.ports.selectors import named, selected, selectors, traits_of

from .predicates import Question, When

RULE = "approval:tool"
DEFAULT_EXPIRY = 7 * 24 * 3600.0
"""Seconds until silence counts as a refusal."""
_MOST_PROMPT: Final = 500
_MOST_AMOUNT: Final = 64
"""Characters of an amount that is written as text."""

Condition: TypeAlias = Callable[[dict[str, Any]], bool] | When | Mapping[str, Any] | Sequence[When | Mapping[str, Any]]
"""A predicate over the resolved arguments, or questions about them as data, all of which must hold."""


class Approval:
    """Which calls wait for a person, and for whom. Every condition that is given must hold; none is every call.

    `tools` are names, names with `*`, `tag:X`, `capability:X`, `effect:X` or `reach:X`. `agents` are names of the
    members that ask. `when` is a predicate over the resolved arguments, or questions as data (`podium.policy.When`, or
    its table); one that raises, or cannot be answered, asks. `cost_above` is in US dollars, compared with what the tool
    says it costs, or with `cost`: the name of an argument that holds the amount, or a function of the arguments; an
    amount that cannot be read asks. `untrusted` is whether the agent has seen untrusted text, `kinds` are names (with
    `*`) of sensitive kinds of data it has seen (`secret`, `pii.*`).
    `roles` may decide (anybody when empty), within `expires` seconds (seven days), after which the call is refused.
    `self_approval=False` keeps whoever is behind the run from deciding. `prompt` is what they are shown: a text, or a
    function of the arguments. `name` names the rule in the journal; the default is made of the conditions.
    Two approvals that both ask want one decision each. Raises ConfigurationError.
    """

    kinds: frozenset[Kind] = frozenset({Kind.TOOL})
    """The kinds of actions this check looks at."""

    def __init__(
        self,
        *,
        tools: str | Sequence[str] = (),
        agents: str | Sequence[str] = (),
        when: Condition | None = None,
        cost_above: Decimal | float | str | None = None,
        cost: str | Callable[[dict[str, Any]], Any] | None = None,
        untrusted: bool | None = None,
        kinds: str | Sequence[str] = (),
        roles: str | Sequence[str] = (),
        expires: float | None = None,
        self_approval: bool = True,
        prompt: str | Callable[[dict[str, Any]], str] = "",
        name: str = "",
    ) -> None:
        self._tools = selectors(_texts(tools))
        self._agents = _texts(agents)
        self._test, self._questions = _condition(when)
        self._above = None if cost_above is None else _amount(cost_above)
        if cost_above is not None and self._above is None:
            raise ConfigurationError(f"cost_above is an amount in US dollars, not {cost_above!r}")
        if cost is not None and self._above is None:
            raise ConfigurationError("cost= says what an amount is read from: give cost_above= too")
        self._cost = cost
        self._untrusted = untrusted
        self._kinds = _texts(kinds)
        self.roles = _texts(roles)
        if expires is not None and not (math.isfinite(expires) and expires > 0):
            raise ConfigurationError(f"expires is in seconds and more than 0, not {expires!r}")
        self.expires = expires if expires is not None else DEFAULT_EXPIRY
        self.self_approval = self_approval
        self._prompt = prompt
        for_whom = (f" for {'|'.join(self.roles)}" if self.roles else "") + ("" if self_approval else " by another")
        self.name = f"approval:{name or self._described()}{for_whom}"
        """The rule, as the journal names it."""
        if self.name == RULE:
            raise ConfigurationError(
                "an approval cannot be named 'tool', by which a tool's own approval= goes: give another name="
            )
        self.version = digest_of((self.name, self._data())).hex()
        """What a gate's version is made of: change the approval, and calls that wait are asked about again."""

    def __call__(self, proposal: Proposal) -> Verdict | None:
        """Hold the call until somebody has decided; None when this approval does not concern it."""
        if self.name in proposal.approved or not self._concerns(proposal):
            return None
        unclear = self._asked_of_arguments(proposal.args)
        if unclear is None:
            return None
        return HoldFor(self.name, self._shown(proposal, unclear), self.roles, self.expires, self.self_approval)

    def __repr__(self) -> str:
        return f"Approval({self.name.removeprefix('approval:')!r})"

    def _concerns(self, proposal: Proposal) -> bool:
        """Whether who calls what, at which price and with which label, is what this asks about."""
        if self._agents and not named(self._agents, proposal.subject):
            return False
        if self._tools and selected(self._tools, traits_of(proposal.name, proposal.tool)) is None:
            return False
        label = proposal.label
        if self._untrusted is not None and self._untrusted != (label.integrity is Integrity.UNTRUSTED):
            return False
        if self._kinds and not any(named(self._kinds, kind) for kind in label.kinds):
            return False
        if self._above is None or self._cost is not None:
            return True
        cost = _amount(proposal.tool.cost or "0") if proposal.tool is not None else None
        return cost is None or cost > self._above

    def _asked_of_arguments(self, args: Any) -> str | None:
        """None when the arguments do not ask; otherwise why it cannot be said whether they do, or nothing."""
        unclear = ""
        try:
            if self._test is not None and not self._test(args):
                return None
            if self._cost is not None:
                given = args.get(self._cost) if isinstance(self._cost, str) else self._cost(args)
                amount = _amount(given)
                if amount is None:
                    unclear = "the amount cannot be read"
                elif self._above is not None and amount <= self._above:
                    return None
        except Exception as error:  # noqa: BLE001  (a user's function: asking a person is the only safe reading)
            unclear = f"the condition failed: {type(error).__name__}"
        for question in self._questions:
            answer = question.ask(args, "any")
            if answer is False:
                return None
            if answer is None:
                unclear = f"{question.text} cannot be said"
        return unclear

    def _shown(self, proposal: Proposal, unclear: str) -> str:
        text = self._prompt
        if callable(text):
            try:
                text = str(text(proposal.args))
            except Exception as error:  # noqa: BLE001  (a user's function: a missing sentence must not lose the hold)
                text, unclear = "", unclear or f"the prompt failed: {type(error).__name__}"
        shown = redact_text(text) or _wanted(proposal)
        return (shown if not unclear else f"{shown} ({unclear})")[:_MOST_PROMPT]

    def _described(self) -> str:
        parts = [each.text for each in self._tools] or ["any tool"]
        parts += [f"when {question.text}" for question in self._questions]
        parts += [f"by {agent}" for agent in self._agents]
        parts += [] if self._above is None else [f"above ${self._above:f}"]
        parts += [] if self._untrusted is None else ["untrusted" if self._untrusted else "trusted"]
        parts += [f"seen {kind}" for kind in self._kinds]
        return ", ".join(parts)[:120]

    def _data(self) -> list[Any]:
        """Everything that tells this approval from another; functions go by their names."""
        return [
            [each.text for each in self._tools],
            self._agents,
            _name(self._test),
            [msgspec.to_builtins(each.when, enc_hook=repr) for each in self._questions],
            str(self._above),
            self._cost if isinstance(self._cost, str) else _name(self._cost),
            self._untrusted,
            self._kinds,
            self.roles,
            self.expires,
            self.self_approval,
        ]


class Approvals:
    """Holds calls of tools that ask for approval, and of agents that do, until one was given for this very call."""

    name = "approval"
    kinds = frozenset({Kind.TOOL})

    def __call__(self, proposal: Proposal) -> Verdict | None:
        """Hold, unless neither agent nor tool asks or this call is already approved."""
        for check in proposal.asks:
            verdict = check(proposal)
            if isinstance(verdict, HoldFor | Deny):  # an agent can be stricter with itself, never laxer
                return verdict
        tool = proposal.tool
        if tool is None or tool.approval == "never" or RULE in proposal.approved:
            return None
        if tool.approval != "always":
            try:
                wanted = tool.approval(proposal.args)
            except Exception as error:  # noqa: BLE001  (a user's predicate: failing closed is the only safe reading)
                return Deny("approval:predicate", f"the approval rule of {proposal.name} failed: {error!r}")
            if not wanted:
                return None
        return HoldFor(RULE, _wanted(proposal), expires=DEFAULT_EXPIRY)


approvals = Approvals()


def unlike(given: Sequence[Approval]) -> tuple[Approval, ...]:
    """The approvals, each known by a name of its own. Raises ConfigurationError for two of one name."""
    seen: set[str] = set()
    if isinstance(given, Approval):
        raise ConfigurationError(f"approvals= is a list: write approvals=[{given!r}]")
    for each in given:
        if not isinstance(each, Approval):  # pyright: ignore[reportUnnecessaryIsInstance]  (a caller without types)
            raise ConfigurationError(f"approvals= takes Approval values, not {each!r}")
        if each.name in seen:
            name = each.name.removeprefix("approval:")
            raise ConfigurationError(
                f"two approvals are named {name!r}: one decision would lift both; give each a name"
            )
        seen.add(each.name)
    return tuple(given)


def _wanted(proposal: Proposal) -> str:
    return f"{proposal.subject or 'The run'} wants to call {proposal.name}"


def _texts(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _condition(
    when: Condition | None,
) -> tuple[Callable[[dict[str, Any]], bool] | None, tuple[Question, ...]]:
    if when is None:
        return None, ()
    if callable(when):
        return when, ()
    several = cast("object", [when] if isinstance(when, When | Mapping) else when)
    if isinstance(several, str) or not isinstance(several, Sequence):
        raise ConfigurationError(
            f"when={when!r} is no condition: write a function of the arguments, or a question as data, such as "
            '{"arg": "amount", "op": ">", "value": 100}'
        )
    return None, tuple(Question(_when(each)) for each in cast("Sequence[When | Mapping[str, Any]]", several))


def _when(given: When | Mapping[str, Any]) -> When:
    if isinstance(given, When):
        return given
    try:
        return msgspec.convert(dict(given), When)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"when={dict(given)!r} is no question about arguments: {error}") from None


def _amount(given: Any) -> Decimal | None:
    """US dollars, or None for what is no finite number."""
    if isinstance(given, bool) or not isinstance(given, int | float | str | Decimal):
        return None
    text = str(given).strip()
    if len(text) > _MOST_AMOUNT:
        return None  # Never cut: a part of a number is another number.
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


def _name(function: Any) -> str:
    return "" if function is None else str(getattr(function, "__qualname__", type(function).__qualname__))
