"""Requests and tokens per minute, by model, queued fairly: see `limits`."""

from .limits import PAUSE, Rates, Standing, Waiting
from .line import Rate, Ticket

__all__ = ["PAUSE", "Rate", "Rates", "Standing", "Ticket", "Waiting"]
