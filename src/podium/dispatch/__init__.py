"""Dispatch: who is told that a run may go on. A hint only; the run's row is the truth."""

from .local import LocalDispatcher

__all__ = ["LocalDispatcher"]
