"""The gate's word under a policy of two hundred rules."""

from __future__ import annotations

import time
from typing import Any

from measure import Pairs, Settings, report
from podium import Principal, tool
from podium.core.actions import Kind
from podium.core.labels import TRUSTED
from podium.policy import default_gate
from podium.ports import Proposal

RULES = 200


@tool(effect="write", reach="spend", tags=["finance"])
async def refund(order: str, amount: float, note: str = "") -> str:
    """Give money back."""
    return order + note + str(amount)


def _when(index: int) -> list[dict[str, Any]]:
    """Questions of all sorts, none of which the measured calls answer with yes."""
    sorts: tuple[list[dict[str, Any]], ...] = (
        [{"arg": "amount", "op": ">", "value": 10_000 + index}],
        [{"arg": "note", "op": "matches", "value": f"secret-{index}[a-z]+x"}],
        [{"arg": "order", "op": "in", "value": [f"B-{index}-{number}" for number in range(20)]}],
        [{"arg": "note", "op": "contains", "value": f"word{index}"}, {"arg": "amount", "op": ">", "value": 5}],
    )
    return sorts[index % len(sorts)]


def _policy(every: int) -> dict[str, Any]:
    """Two hundred rules that deny, of which one in `every` is about the tool, and one that allows."""
    rules: list[dict[str, Any]] = [
        {
            "name": f"rule-{index}",
            "tools": ["refund" if index % every == 0 else f"tool_{index}"],
            "when": _when(index),
            "then": "deny",
        }
        for index in range(RULES)
    ]
    last = {
        "name": "small",
        "tools": ["refund"],
        "when": [{"arg": "amount", "op": "<=", "value": 100}],
        "then": "allow",
    }
    return {"agents": {"support": {"tools": ["tag:finance"]}}, "rules": [*rules, last]}


def policy(settings: Settings) -> None:
    """CPU microseconds of one verdict, over the gate without a policy; arguments differ from call to call."""
    count = settings.size(20_000)
    for name, every in (("spread", 20), ("one_tool", 1)):
        middle, high = Pairs(), Pairs()
        plain, ruled = default_gate(), default_gate(policy=_policy(every))
        for _ in range(settings.repetitions):
            for gate, found_middle, found_high in ((plain, middle.bare, high.bare), (ruled, middle.ours, high.ours)):
                times = _each(gate, count)
                found_middle.append(times[count // 2] / 1e3)
                found_high.append(times[min(count - 1, count * 99 // 100)] / 1e3)
        report(f"policy.{name}.p50", middle, "us CPU, the clock included", baseline="no policy", calls=count)
        report(f"policy.{name}.p99", high, "us CPU, the clock included", baseline="no policy", calls=count)


def _each(gate: Any, count: int) -> list[int]:
    clock = time.thread_time_ns
    times: list[int] = []
    for index in range(count):
        args = {
            "order": f"A-{index}",
            "amount": 50.0 + index % 10,
            "note": f"customer {index} wants the money back, please",
        }
        proposal = Proposal(
            Kind.TOOL, "refund", args, b"", "support", frozenset({"refund"}), Principal(), TRUSTED, refund
        )
        start = clock()
        gate.judge(proposal)
        times.append(clock() - start)
    return sorted(times)
