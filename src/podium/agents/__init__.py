"""Agents: the loop of model and tools, on the same `ctx` that users' own members have.

Knows ports, core values and schemas. It does not know how a step is performed, recorded or replayed.
"""

from .agent import Agent
from .member import FunctionMember, Runnable, member
from .review import Review
from .role import Role

__all__ = ["Agent", "FunctionMember", "Review", "Role", "Runnable", "member"]
