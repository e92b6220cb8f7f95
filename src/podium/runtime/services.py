"""What a drive needs from its surroundings, as one frozen value made by the assembly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from podium.core.actions import Retry
from podium.ports import Clock, Gate, Member, Model, RunRow, Store, Tool


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Times and sizes of the runtime. Seconds, bytes."""

    lease: float = 30.0
    """How long a lease lasts without being renewed."""
    margin: float = 5.0
    """An action starts only while the lease lasts at least this much longer."""
    short_wait: float = 30.0
    """Waits at most this long keep the run in memory."""
    idle: float = 0.05
    """How long nothing must happen before a run with foreign waits is unloaded."""
    blob: int = 64 * 1024
    """Values larger than this are stored apart from their record."""
    kept_input: int = 2048
    """Inputs of Calls larger than this are kept as a digest only."""
    tool_timeout: float = 60.0
    model_timeout: float = 300.0
    reconcile_timeout: float = 30.0
    grace: float = 5.0
    """How long a cancelled tool in a worker thread may take to notice."""
    poll: float = 0.5
    """How often another process's mail and wake-ups are looked for."""


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """The surroundings of every drive of one app."""

    store: Store
    clock: Clock
    gate: Gate
    owner: str
    """Who we are in leases."""
    model: Callable[[str], Model]
    """Model by name."""
    tools: Mapping[str, Tool]
    """Tools that plain members may name."""
    limits: Limits = Limits()
    retry: Retry = Retry()
    random: Callable[[], float]
    new_run: Callable[[Member], str]
    """The recorded target of a member that a run spawns."""
    woken: Callable[[RunRow], None]
    """Called when a run of this store may go on (its parent, a child that was spawned)."""
    dump: Callable[[Any], Any]
    """Any value to plain data. Raises when it cannot be."""
