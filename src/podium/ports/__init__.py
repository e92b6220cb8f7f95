"""The Protocols through which the parts of Podium meet.

Everything that could have a second implementation is named here: a model, a tool, a store, a clock, a gate. The
runtime speaks only to these; `podium.app` decides which implementation stands behind each. Every port with more than
one implementation has a conformance kit in `podium.testing`.
Each module here is one port, met through this package, but for `selectors`: how all parts say which tools they mean.
"""

from .assembly import Dispatcher, Runner, default_runner, set_default_runner
from .audit import Evidence, Proofs, Removal, Replacement
from .clock import Clock, Timer
from .gate import Allow, Check, Deny, Gate, HoldFor, Proposal, Rewrite, Verdict
from .ledger import Ledger, Reservation, RunCosts, Settlement, Spending
from .members import Context, History, Member, Receipt, Step
from .models import Emitter, Fallback, Model
from .shelf import Cache, CacheEntry, CacheSize, CacheUse, Version, Versions
from .store import (
    Attachment,
    Blob,
    Busy,
    Journal,
    Lease,
    Mail,
    Mailbox,
    NewRun,
    RunRow,
    SessionEntry,
    SessionRow,
    Sessions,
    SessionTurn,
    Store,
    Transition,
    Writer,
)
from .tools import Effect, Reach, Tool, ToolContext, is_tool, tools_in

__all__ = [
    "Allow",
    "Attachment",
    "Blob",
    "Busy",
    "Cache",
    "CacheEntry",
    "CacheSize",
    "CacheUse",
    "Check",
    "Clock",
    "Context",
    "Deny",
    "Dispatcher",
    "Effect",
    "Emitter",
    "Evidence",
    "Fallback",
    "Gate",
    "History",
    "HoldFor",
    "Journal",
    "Lease",
    "Ledger",
    "Mail",
    "Mailbox",
    "Member",
    "Model",
    "NewRun",
    "Proofs",
    "Proposal",
    "Reach",
    "Receipt",
    "Removal",
    "Replacement",
    "Reservation",
    "Rewrite",
    "RunCosts",
    "RunRow",
    "Runner",
    "SessionEntry",
    "SessionRow",
    "SessionTurn",
    "Sessions",
    "Settlement",
    "Spending",
    "Step",
    "Store",
    "Timer",
    "Tool",
    "ToolContext",
    "Transition",
    "Verdict",
    "Version",
    "Versions",
    "Writer",
    "default_runner",
    "is_tool",
    "set_default_runner",
    "tools_in",
]
