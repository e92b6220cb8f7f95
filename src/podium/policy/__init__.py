"""The gate: checks that turn a proposed action into a verdict.

Checks are pure and see values only. The runtime asks the gate at one place, for every action; nothing here performs
anything, and nothing here knows how a hold is waited for.
"""

from .approvals import approvals
from .budgets import Budgets
from .gate import Chain, default_gate
from .permissions import permissions

__all__ = ["Budgets", "Chain", "approvals", "default_gate", "permissions"]
