"""What every store refuses, and in which words: a program that changes its store meets the same errors.

The caller raises what it is given. This module knows neither files nor SQL.
"""

from __future__ import annotations

from podium.core.errors import ConfigurationError, Erased, LeaseLost, RunConflict, RunNotFound
from podium.core.records import Status
from podium.ports import SessionRow


def no_run(run_id: str) -> RunNotFound:
    """There is no run of this id."""
    return RunNotFound(f"no run {run_id!r} in this store: `podium runs` lists those there are")


def not_over(run_id: str, status: Status, verb: str) -> RunConflict:
    """One may `verb` only a run that is over."""
    return RunConflict(f"run {run_id} is {status.value}, not over: cancel it before you {verb} it")


def lease_lost(run_id: str, epoch: int) -> LeaseLost:
    """The run has another driver, or none."""
    return LeaseLost(
        f"run {run_id}: this process no longer drives it (its epoch {epoch} is over); nothing more was recorded"
    )


def not_read(run_id: str, records: int, seq: int) -> ValueError:
    """A writer was asked for that begins elsewhere than at the journal's end."""
    return ValueError(f"run {run_id} has {records} records, not {seq}: read the journal first")


def changed_meanwhile(run_id: str) -> RunConflict:
    """What was to be erased is not what was looked at."""
    return RunConflict(f"run {run_id} was changed while it was erased: try again")


def no_content(address: str) -> Erased:
    """There is no blob at this address."""
    return Erased(f"the content {address} was erased, or never stored here; only its digest is left")


def is_to_branch(session: str, upto: int, new: str, source: SessionRow | None, taken: SessionRow | None) -> bool:
    """Whether a session `new` is to be made of the first `upto` messages of `source`; False when it was made already.

    `taken` is the session that has its name. Raises ConfigurationError.
    """
    if taken is not None:
        if taken.parent == session and taken.messages == upto:
            return False
        raise ConfigurationError(f"a session {new!r} exists already: choose another name for the branch")
    if source is None:
        raise ConfigurationError(f"no session {session!r} to branch from")
    if not 0 <= upto <= source.messages:
        raise ConfigurationError(f"session {session!r} has {source.messages} messages, not {upto}")
    return True
