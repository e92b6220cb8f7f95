"""The steps of a run as a tree of scopes, with what each branch cost. Pure: from a folded journal to lines.

A scope without a step of its own (`turn.3`) is not a line; it stays in the names of the steps below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

import msgspec

from podium.core.state import History
from podium.core.usage import FREE, NO_USAGE, Usage
from podium.runtime.results import StepView, view_of

from .attempts import Attempt, Attempts, payment
from .words import clip, money, seconds, tokens, visible

Line = list[tuple[str, str]]
"""Pieces of a line with their styles; plain output leaves the styles out."""

NOISE = frozenset({"read", "remember", "emit"})
"""Kinds that the live tree leaves out."""

_SIGNS = {
    "ok": ("✓", "green"),
    "error": ("✗", "red"),
    "exhausted": ("!", "yellow"),
    "unknown": ("?", "yellow"),
    "waiting": ("◷", "magenta"),
    "running": ("•", "cyan"),
}
_WIDEST = 60


class Node(msgspec.Struct):
    """A step, the steps in its scope, and the sums of both."""

    label: str
    step: StepView
    children: list[Node]
    cost: Decimal = FREE
    uncertain: Decimal = FREE
    reserved: Decimal = FREE
    unpriced: int = 0
    usage: Usage = NO_USAGE
    cached: bool = False
    failed: tuple[Attempt, ...] = ()
    """Attempts before the one that the step shows."""

    @property
    def finished(self) -> bool:
        """Whether the step is over."""
        return self.step.status not in {"running", "waiting"}


def grow(history: History, attempts: Attempts | None = None, *, without: frozenset[str] = frozenset()) -> list[Node]:
    """The roots. `attempts` are the failed ones of the same journal. Steps of the kinds in `without` are left out;
    their cost still counts."""
    nodes: dict[str, Node] = {}
    roots: list[Node] = []
    for key, state in history.steps.items():
        above = _above(key, nodes)
        label = visible(key[len(above) + 1 :] if above else key)
        view = view_of(state, history)
        failed = () if attempts is None else attempts.of(key)
        paid = payment(state, failed)
        node = Node(label, view, [], paid.cost, paid.uncertain, paid.reserved, paid.unpriced, failed=failed)
        node.cached = state.ended is not None and state.ended.cached
        if view.usage is not None:
            node.usage = view.usage
        nodes[key] = node
        if view.kind not in without:
            (nodes[above].children if above else roots).append(node)
    for key in reversed(nodes):
        above = _above(key, nodes)
        if above:
            outer, inner = nodes[above], nodes[key]
            outer.cost += inner.cost
            outer.uncertain += inner.uncertain
            outer.reserved += inner.reserved
            outer.unpriced += inner.unpriced
            outer.usage += inner.usage
    return roots


def _above(key: str, nodes: dict[str, Node]) -> str:
    """The nearest scope of a key that is itself a step; empty at the root."""
    scope = key.rpartition("/")[0]
    while scope and scope not in nodes:
        scope = scope.rpartition("/")[0]
    return scope


def lines(roots: Iterable[Node], *, now: float | None = None, fold: bool = False) -> list[Line]:
    """The tree for people. `now` counts the time of running steps; `fold` closes branches that are over."""
    drawn = list(_drawn(list(roots), "", fold=fold, top=True))
    width = min(_WIDEST, max((len(guide) + len(node.label) for guide, node in drawn), default=0))
    return [_line(guide, node, width, now) for guide, node in drawn]


def _drawn(nodes: list[Node], indent: str, *, fold: bool, top: bool) -> Iterator[tuple[str, Node]]:
    for index, node in enumerate(nodes):
        last = index == len(nodes) - 1
        yield "" if top else indent + ("└─ " if last else "├─ "), node
        if node.children and not (fold and node.finished and not top):
            yield from _drawn(node.children, "" if top else indent + ("   " if last else "│  "), fold=fold, top=False)


def _line(guide: str, node: Node, width: int, now: float | None) -> Line:
    step = node.step
    sign, colour = _SIGNS.get(step.status, (" ", ""))
    name = clip(node.label, max(8, width - len(guide)))
    line: Line = [(sign, colour), (" ", ""), (guide, "dim"), (name.ljust(max(0, width - len(guide))), "")]
    line.append((f"  {step.kind:<5}", "dim"))
    facts = [visible(step.name)] if step.kind == "model" else []
    if step.status != "ok":
        facts.append(step.status)
    duration = step.duration
    if duration is None and now is not None and step.started is not None:
        duration = now - step.started
    if duration is not None:
        facts.append(seconds(duration))
    if node.cached:
        facts.append("from the cache")
    elif node.cost or node.unpriced:
        facts.append(money(node.cost, node.unpriced))
    if node.uncertain:
        facts.append(f"{money(node.uncertain)} uncertain")
    if node.reserved:
        facts.append(f"{money(node.reserved)} reserved")
    if spent := tokens(node.usage):
        facts.append(spent)
    if step.attempt > 1:
        others = {attempt.name for attempt in node.failed if attempt.name not in ("", step.name)}
        after = f" after {', '.join(visible(name) for name in sorted(others))}" if others else ""
        facts.append(f"attempt {step.attempt}{after}")
    if step.effect and step.effect != "read":
        facts.append(step.effect)
    if step.rule:
        facts.append(f"rule {visible(step.rule)}")
    line.append(("  " + ", ".join(facts) if facts else "", ""))
    if step.error:
        line.append((f"  {clip(visible(step.error), 160)}", "red"))
    return line
