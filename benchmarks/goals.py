"""The goals of the design, by metric. Set on one machine; `times` says the same against the baseline of the run.

Where a figure has a baseline, the ratio is the goal that travels: another machine moves ours and the baseline alike.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """Met when the median is not above `value` (in the metric's unit), or the ratio not above `times`."""

    value: float
    times: float | None = None


GOALS: dict[str, Goal] = {
    "import.agent": Goal(150),
    "install.distributions": Goal(20),
    "turn.20": Goal(45, 10),
    "turn.200": Goal(45, 10),
    "turn.1000": Goal(45, 10),
    "durable.20": Goal(90, 3.6),
    "durable.200": Goal(90, 3.6),
    "durable.1000": Goal(90, 3.6),
    "durable.bytes.20": Goal(700),
    "durable.bytes.200": Goal(700),
    "durable.bytes.1000": Goal(700),
    "resume.1000": Goal(40, 5),
    "fanout.parallel": Goal(2, 5.3),
    "chain.1000": Goal(25, 4.2),
    "concurrent.cpu": Goal(0.4, 9.3),
    "concurrent.memory": Goal(15),
    "message.call": Goal(30, 6),
    "gate.p99": Goal(200),
    "policy.spread.p99": Goal(200),
    "policy.one_tool.p99": Goal(200),
}
