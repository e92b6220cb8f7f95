"""Faults on purpose: fail, kill, delay or call a function at a named point of a run.

A `FaultPlan` says what happens where; `FaultyStore` and `FaultyTool` wrap any store and any tool and tell the plan
where a run is. The runtime has no test hooks: whatever must be durable passes its store, so there a run can be met.

Points are named `before X` and `after X`. `X` is a record (`Started, Resumed, Began, Held, Retried, Ended, Signalled,
Suspended, Finished`): *before* is just before it is handed to the store's group, *after* is when it is durable. Or `X`
is `commit` (a barrier, and a group that became durable), `transition` (of the run's row), `post` (mail from outside)
or `tool` (the call of a `FaultyTool`).

`plan` says what happens where; `store` (with its `writer`) and `tool` are the wrappers.
"""

from .plan import Delay, Do, Fail, Fault, FaultPlan, Kill, Point
from .store import FaultyStore
from .tool import FaultyTool
from .writer import FaultyWriter

__all__ = ["Delay", "Do", "Fail", "Fault", "FaultPlan", "FaultyStore", "FaultyTool", "FaultyWriter", "Kill", "Point"]
