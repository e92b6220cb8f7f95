"""Whether one rule stands in the way of another: whether it fits every call that the other fits.

The answer is yes only when it is certain; two rules that together cover a third are not noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, cast

from podium.ports.selectors import Selector, glob, wild

from .enforce import CompiledRule
from .predicates import When, number
from .rules import LabelTest, Policy, PrincipalTest, Rule

Concerned = Callable[[CompiledRule], "frozenset[tuple[str, str]] | None"]
"""The known agents and tools that a rule can concern; None when none are known."""

_ORDERS: Final = {"<": (False, True), "<=": (False, False), ">": (True, True), ">=": (True, False)}
"""Of each order: whether it is upwards, and whether it leaves its own value out."""


def shadowing(policy: Policy, earlier: Sequence[CompiledRule], rule: CompiledRule, concerned: Concerned) -> str | None:
    """The name of the first earlier rule that fits every call that `rule` fits, or None."""
    known = concerned(rule)
    for each in earlier:
        if not set(rule.rule.kinds) <= set(each.rule.kinds) or not _conditions(each.rule, rule.rule):
            continue
        others = concerned(each)
        if known and others is not None and rule.rule.kinds == ("tool",):
            covers = known <= others
        else:
            covers = (
                _agents(each.rule, rule.rule) and _tools(each.selectors, rule.selectors) and _cost(each.rule, rule.rule)
            )
        if covers:
            return each.rule.name
    return None


def _agents(wide: Rule, narrow: Rule) -> bool:
    return not wide.agents or (bool(narrow.agents) and all(_within(each, wide.agents) for each in narrow.agents))


def _tools(wide: Sequence[Selector], narrow: Sequence[Selector]) -> bool:
    if not wide:
        return True
    return bool(narrow) and all(
        any(_within(each.wanted, [other.wanted]) for other in wide if other.kind == each.kind)
        or any(other.text == "*" for other in wide)
        for each in narrow
    )


def _cost(wide: Rule, narrow: Rule) -> bool:
    if wide.cost_above is None:
        return True
    return narrow.cost_above is not None and float(narrow.cost_above) >= float(wide.cost_above)


def _within(name: str, patterns: Iterable[str]) -> bool:
    """Whether every name that fits `name` fits one of the patterns, as far as texts tell."""
    for pattern in patterns:
        if name == pattern or pattern == "*":
            return True
        if not wild(pattern):
            continue
        if not wild(name) and glob(pattern).fullmatch(name):
            return True
        if pattern.endswith("*") and not wild(pattern[:-1]) and name.startswith(pattern[:-1]):
            return True
    return False


def _conditions(wide: Rule, narrow: Rule) -> bool:
    """Whether all that `wide` asks is granted by what `narrow` asks."""
    return (
        _models(wide, narrow)
        and _principal(wide.principal, narrow.principal)
        and _label(wide.label, narrow.label)
        and all(
            any(_implies(have, need, alike=(narrow.then == "allow") == (wide.then == "allow")) for have in narrow.when)
            for need in wide.when
        )
    )


def _models(wide: Rule, narrow: Rule) -> bool:
    return not wide.models or (bool(narrow.models) and all(_within(each, wide.models) for each in narrow.models))


def _lists(wide: tuple[str, ...], narrow: tuple[str, ...]) -> bool:
    return not wide or (bool(narrow) and all(_within(each, wide) for each in narrow))


def _principal(wide: PrincipalTest | None, narrow: PrincipalTest | None) -> bool:
    if wide is None:
        return True
    have = narrow or PrincipalTest()
    return _lists(wide.ids, have.ids) and _lists(wide.roles, have.roles) and _lists(wide.tenants, have.tenants)


def _label(wide: LabelTest | None, narrow: LabelTest | None) -> bool:
    if wide is None:
        return True
    have = narrow or LabelTest()
    same = wide.untrusted is None or wide.untrusted == have.untrusted
    return same and _lists(wide.kinds, have.kinds) and _lists(wide.sources, have.sources)


def _implies(have: When, need: When, *, alike: bool) -> bool:
    """Whether arguments that answer `have` with yes answer `need` so too. `alike`: `*` means the same in both."""
    if have.arg != need.arg or ("*" in have.arg and not alike):
        return False
    if have == need:
        return True
    if "*" in have.arg or have.ignore_case != need.ignore_case or "holds" in (have.missing, need.missing):
        return False
    if need.op == "present":
        return have.op != "not present"
    if need.op in _ORDERS:
        return _within_order(have, need)
    wanted = _values(have) if have.op in ("==", "in") else []
    if need.op == "in":
        return bool(wanted) and all(any(_same(each, other) for other in _values(need)) for each in wanted)
    if need.op == "startswith" and isinstance(need.value, str):
        texts = _values(have) if have.op in ("==", "in", "startswith") else []
        return bool(texts) and all(isinstance(each, str) and each.startswith(need.value) for each in texts)
    return False


def _within_order(have: When, need: When) -> bool:
    limit = number(need.value)
    numbers = [number(value) for value in _values(have)]
    if limit is None or not numbers or None in numbers:
        return False
    if have.op in ("==", "in"):
        return all(_beyond(value, False, need.op, limit) for value in numbers)
    if have.op not in _ORDERS or _ORDERS[have.op][0] is not _ORDERS[need.op][0]:
        return False
    return _beyond(numbers[0], _ORDERS[have.op][1], need.op, limit)


def _values(when: When) -> list[Any]:
    return list(cast("Sequence[Any]", when.value)) if isinstance(when.value, list | tuple) else [when.value]


def _beyond(value: Any, open_: bool, op: str, limit: Any) -> bool:
    """Whether everything from `value` on (itself too, unless `open_`) passes the limit."""
    upwards, strict = _ORDERS[op]
    if value == limit:
        return open_ or not strict
    return value > limit if upwards else value < limit


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and a == b
