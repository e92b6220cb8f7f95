"""The gate: checks that turn a proposed action into a verdict.

Checks are pure and see values only. The runtime asks the gate at one place, for every action; nothing here performs
anything, and nothing here knows how a hold is waited for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .approvals import Approval, approvals
from .budgets import Budgets
from .gate import Cause, Chain, Explanation, default_gate
from .permissions import Grants, permissions
from .predicates import When

if TYPE_CHECKING:
    from .enforce import PolicyCheck
    from .rules import AgentTable, LabelTest, Policy, PrincipalTest, RoleTable, Rule, ToolTable

__all__ = [
    "AgentTable",
    "Approval",
    "Budgets",
    "Cause",
    "Chain",
    "Explanation",
    "Grants",
    "LabelTest",
    "Policy",
    "PolicyCheck",
    "PrincipalTest",
    "RoleTable",
    "Rule",
    "ToolTable",
    "When",
    "approvals",
    "default_gate",
    "permissions",
]

_LATER = {"PolicyCheck": "enforce"} | dict.fromkeys(
    ("AgentTable", "LabelTest", "Policy", "PrincipalTest", "RoleTable", "Rule", "ToolTable"), "rules"
)
"""What only programs with a policy need, loaded when it is first used."""


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = value
    return value
