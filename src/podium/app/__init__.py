"""The app: the only place that knows all parts and puts them together."""

from podium import ports

from .accepting import new_run_id
from .audit import Audit, AuditReport, Erasure, Exported
from .budgets import BudgetBook, BudgetState, Used
from .choices import ChoiceVersion, ModelChoices
from .costs import AgentCostTracker, Breakdown, CostLine
from .default import DefaultRunner
from .podium import Podium
from .servers import Servers, ServerState
from .sessions import Session, SessionMessage

ports.set_default_runner(DefaultRunner())

__all__ = [
    "AgentCostTracker",
    "Audit",
    "AuditReport",
    "Breakdown",
    "BudgetBook",
    "BudgetState",
    "ChoiceVersion",
    "CostLine",
    "DefaultRunner",
    "Erasure",
    "Exported",
    "ModelChoices",
    "Podium",
    "ServerState",
    "Servers",
    "Session",
    "SessionMessage",
    "Used",
    "new_run_id",
]
