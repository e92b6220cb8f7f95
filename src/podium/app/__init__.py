"""The app: the only place that knows all parts and puts them together."""

from podium import ports

from .default import DefaultRunner
from .podium import Podium, new_run_id
from .sessions import Session, SessionMessage

ports.set_default_runner(DefaultRunner())

__all__ = ["DefaultRunner", "Podium", "Session", "SessionMessage", "new_run_id"]
