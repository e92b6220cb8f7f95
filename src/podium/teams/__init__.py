"""Team patterns: members made of members, one module a pattern.

Each is an ordinary member on `ctx`; nothing here has powers that a user's own member lacks.
"""

from .parallel import MemberOutcome, Parallel
from .pr_review import PRReviewOrchestrator, PullRequest, ReviewFeedback, ReviewResult
from .router import Router
from .sequence import Sequential
from .supervisor import Supervisor

__all__ = [
    "MemberOutcome",
    "PRReviewOrchestrator",
    "Parallel",
    "PullRequest",
    "ReviewFeedback",
    "ReviewResult",
    "Router",
    "Sequential",
    "Supervisor",
]
