"""What a life is told and what it tells: the values that cross between the test and the process that lives it."""

from __future__ import annotations

from typing import Any

import msgspec

RUN = "crashtest"
"""The id of every life's run, so that keys, child runs and idempotency keys are the same in all of them."""


class Step(msgspec.Struct, frozen=True):
    """A tool call or model call that was at work."""

    key: str
    name: str
    kind: str
    effect: str
    run: str


class Change(msgspec.Struct, frozen=True):
    """Something that appeared in the world, and what was at work then."""

    effect: str
    during: tuple[Step, ...]
    after: str
    """The last record before it."""


class Line(msgspec.Struct, frozen=True):
    """A record of a finished life, as far as a judge needs it."""

    run: str
    type: str
    key: str = ""
    kind: str = ""
    name: str = ""
    effect: str = ""
    attempt: int = 0
    epoch: int = 0
    error: str = ""
    request: str = ""
    digest: str = ""
    value: Any = None


class Job(msgspec.Struct, frozen=True):
    """A life to live."""

    folder: str
    input: Any = None
    answers: dict[str, Any] = {}
    kill: tuple[int, str] | None = None
    """Record number and `before` or `after`."""
    observe: bool = False
    """Whether to look at the world at every record."""
    resume: bool = False
    changes: tuple[Change, ...] = ()
    """What the uninterrupted run did to the world, and when."""
    results: dict[str, Any] = {}
    """What its tools returned, by `run key`."""
    allow_real_models: bool = False
    model: str = "offline"
    patience: float = 5.0
    """Real seconds that a run may take between two stops, unless it asks something."""


class Life(msgspec.Struct, frozen=True):
    """What a life came to."""

    status: str = ""
    output: Any = None
    error: str = ""
    cost: str = "0"
    uncertain: str = "0"
    effects: dict[str, int] = {}
    lines: tuple[Line, ...] = ()
    asked: tuple[str, ...] = ()
    """Keys of steps in doubt."""
    holds: int = 0
    timers: int = 0
    changes: tuple[Change, ...] = ()
    points: tuple[tuple[str, str, str], ...] = ()
    """Record, run and key of every boundary, in order."""
    failure: str = ""
    """The name of the error that stopped the drive."""
    message: str = ""
