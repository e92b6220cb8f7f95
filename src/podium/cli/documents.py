"""What `--json` prints: plain documents with a stable shape. docs/how-to/command-line.md lists their fields.

Fields are added, never renamed or removed. Money is a decimal string of US dollars, times are epoch seconds.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec

from podium.core.codec import readable
from podium.core.deltas import Transient
from podium.core.errors import PodiumError
from podium.core.records import RECORDS, Record
from podium.core.state import History, StepState
from podium.runtime.results import Pending, RunResult, StepView
from podium.schema import dump

from .attempts import Attempts
from .attempts import document as paid
from .standing import Standing

if TYPE_CHECKING:
    from podium.app.costs import CostLine


def write(document: object, *, line: bool = False) -> None:
    """Print a document on stdout: indented, or (`line`) on a line of its own that is sent at once."""
    data = msgspec.json.encode(document, enc_hook=str)
    text = (data if line else msgspec.json.format(data, indent=2)).decode("utf-8", "replace")
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def plain(value: object) -> Any:
    """Any output as plain data; its `repr` if it is not data."""
    try:
        return readable(dump(value))
    except (PodiumError, TypeError, ValueError):
        return repr(value)


def outcome(result: RunResult[Any]) -> dict[str, Any]:
    """How a run stands after a drive."""
    error = result.error
    return {
        "run_id": result.run_id,
        "status": result.status.value,
        "output": plain(result.output),
        "error": None
        if error is None
        else {"type": error.type, "message": error.message, "data": readable(error.data)},
        "pending": [waiting(item) for item in result.pending],
        "cost": str(result.cost),
        "uncertain_cost": str(result.uncertain_cost),
        "unpriced": result.unpriced,
        "usage": readable(result.usage),
        "agents": result.agents_invoked,
        "models": list(result.history.facts.models),
        "steps": len(result.history.steps),
        "duration": round(result.duration, 6),
    }


def waiting(item: Pending) -> dict[str, Any]:
    """Something a run waits for."""
    return readable(item)


def row(each: Standing, costs: CostLine | None = None) -> dict[str, Any]:
    """A line of `podium runs`. `costs` are what its calls came to by now."""
    found = each.row
    return {
        "run_id": found.id,
        "member": found.member,
        "target": found.target,
        "status": found.status.value,
        "state": each.state,
        "created": found.created,
        "updated": found.updated,
        "wake_at": found.wake_at,
        "cost": found.cost if costs is None else str(costs.cost),
        "uncertain_cost": "0" if costs is None else str(costs.uncertain),
        "unpriced": 0 if costs is None else costs.unpriced,
        "records": found.seq,
        "session": found.session,
        "parent": found.parent,
        "pending": [waiting(item) for item in each.pending],
    }


def step(view: StepView, state: StepState, attempts: Attempts) -> dict[str, Any]:
    """A step of `podium show`."""
    return {**readable(view), **paid(state, attempts.of(view.key))}


def steps(result: RunResult[Any]) -> list[dict[str, Any]]:
    """The steps of a run."""
    attempts = Attempts(result.records)
    return [step(view, result.history.steps[view.key], attempts) for view in result.steps]


def beginning(history: History) -> dict[str, Any]:
    """What a run was started with."""
    started = history.facts.started
    if started is None:
        return {}
    return {
        "input": readable(started.input),
        "principal": readable(started.principal),
        "deadline": started.deadline,
        "forked_from": started.forked_from,
        "forked_at": started.forked_at,
        "history": readable(started.history),
    }


def event(seq: int, happened: Record | Transient) -> dict[str, Any]:
    """A line of `tail --json` and `run --json --follow`: a record with its number, or something that passes by."""
    named = readable(happened)
    if isinstance(happened, RECORDS):
        return {"seq": seq, **named, "type": type(happened).__name__.lower()}
    return named
