"""A sandbox for tools: programs, code and functions that are not trusted, run where they can do no harm.

`Sandbox` is the door. The guarantees and their limits: docs/how-to/sandbox.md; why it is built like this:
docs/decisions/0016-sandbox.md.
"""

from .result import Limit, Missing, Rung, SandboxResult, SandboxUnavailable
from .sandbox import Sandbox, describe, probe

__all__ = ["Limit", "Missing", "Rung", "Sandbox", "SandboxResult", "SandboxUnavailable", "describe", "probe"]
