"""What an app was given, made into the parts it is assembled from: its gate, its rates, its listeners."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from podium.core.errors import ConfigurationError
from podium.policy import Approval, Chain, Grants, default_gate
from podium.policy.approvals import unlike
from podium.ports import Clock, Gate
from podium.runtime.services import Rates

if TYPE_CHECKING:
    from podium.policy import Policy


def gate_of(
    gate: Gate | None,
    policy: Policy | Mapping[str, Any] | str | None,
    approvals: Sequence[Approval],
    grants: Callable[[str], frozenset[str] | None],
) -> Gate:
    """The gate of an app: the one given, with the app's own checks if it is a Chain, or one made from a policy.

    Raises ConfigurationError for what does not go together.
    """
    if gate is not None and policy is not None:
        raise ConfigurationError("give gate= or policy=: a gate of your own may hold the check PolicyCheck(policy)")
    if isinstance(gate, Chain):
        return gate.with_checks(Grants(grants), *unlike(approvals))
    if gate is not None and approvals:
        raise ConfigurationError("approvals= need a gate of checks: give gate=Chain([...]), or leave gate= out")
    return gate or default_gate(policy=policy, grants=grants, asking=unlike(approvals))


def rates_of(limits: Mapping[str, Any] | None, clock: Clock) -> Rates | None:
    """Limits per minute by model; None without any. Raises ConfigurationError."""
    if not limits:
        return None
    from podium.models.rates import Rate
    from podium.models.rates import Rates as Limiter

    given = {name: limit for name, limit in limits.items() if isinstance(limit, Rate)}
    others = {name: limit for name, limit in limits.items() if name not in given}
    return Limiter({**given, **Limiter.parse(others)}, clock)


def plain_functions(**listeners: Callable[..., Any] | None) -> None:
    """Refuse listeners that would have to be awaited: they are told in the middle of a run, which does not wait."""
    for name, listener in listeners.items():
        if inspect.iscoroutinefunction(listener):
            raise ConfigurationError(f"{name} must be a plain function: let it start a task, or put into a queue")
