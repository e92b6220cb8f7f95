"""What a drive needs from its surroundings, as one frozen value made by the assembly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from podium.core.actions import Retry
from podium.core.budgets import Charge, Crossing
from podium.core.choices import Choice
from podium.core.errors import ConfigurationError
from podium.core.prices import Price
from podium.ports import Clock, Gate, Member, Model, RunRow, Store, Tool

from .vault import Vault


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
    cache: int = 64 * 1024 * 1024
    """What all cached replies and results together may have."""
    tools_at_once: int = 16
    """How many tools of one run are called at once; further calls wait their turn."""


class Prices(Protocol):
    """What models cost."""

    def price(
        self, model: Model, answered: str | None = None, context: Mapping[str, Any] | None = None
    ) -> Price | None:
        """The price of a model, or of the exact one that answered; None when nobody knows.

        `context` is what was sent beside the usual settings.
        """
        ...

    def max_output(self, model: Model) -> int | None:
        """The most tokens a model writes in one answer, when that is known."""
        ...


class Budgets(Protocol):
    """Budgets wider than a run: of an agent's day, a session, a tenant, everything."""

    def charges(
        self, own: tuple[Charge, ...], *, agent: str, session: str, tenant: str, at: float
    ) -> tuple[Charge, ...]:
        """All charges in force for a call, those of the run (`own`) among them, in the order of their accounts."""
        ...


class Unreachable(ConfigurationError):
    """What a tool comes from cannot be reached now. Nothing was done."""


class Tools(Protocol):
    """The tools that can be found by name."""

    def get(self, name: str, version: str | None = None) -> Tool | None:
        """A tool in the version asked for, or in the one that its name alone means; None when there is none."""
        ...

    async def bring(self, names: Sequence[str]) -> tuple[Tool, ...]:
        """The tools of names and patterns, in order, each once, after whatever it takes to have them.

        Raises ConfigurationError that says which cannot be had and why; Unreachable when that may pass.
        """
        ...

    def called(self, tool: Tool) -> None:
        """Called when a tool is about to be executed, wherever it is from."""
        ...


class Place(Protocol):
    """One call's place in the line for a model."""

    @property
    def waiting(self) -> bool:
        """Whether the call may not be made yet."""
        ...


class Rates(Protocol):
    """Limits per minute on the calls of models. Every place is settled or withdrawn in the end."""

    def enter(self, model: str, run: str, tokens: int) -> Any:
        """Ask to call `model` with about so many tokens: a `Place`, or None when nothing limits it."""
        ...

    async def wait(self, ticket: Any) -> None:
        """Until the call may be made. Cancelled, the place is given up."""
        ...

    def settle(self, ticket: Any, tokens: int | None = None) -> None:
        """The call is over and used so many tokens; None when nobody knows."""
        ...

    def withdraw(self, ticket: Any) -> None:
        """The call is never made."""
        ...

    def refused(self, model: str, retry_after: float | None = None) -> None:
        """The provider refused a call: nobody calls this model for so many seconds."""
        ...


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """The surroundings of every drive of one app."""

    store: Store
    clock: Clock
    gate: Gate
    owner: str
    """Who we are in leases."""
    model: Callable[[str], Model]
    """Model by name."""
    tools: Tools
    """Tools that agents and plain members may name, and the versions with which interrupted calls began."""
    limits: Limits = Limits()
    retry: Retry = Retry()
    random: Callable[[], float]
    new_run: Callable[[Member], str]
    """The recorded target of a member that a run spawns."""
    woken: Callable[[RunRow], None]
    """Called when a run of this store may go on (its parent, a child that was spawned)."""
    dump: Callable[[Any], Any]
    """Any value to plain data. Raises when it cannot be."""
    prices: Prices
    vault: Vault
    """What keeps secrets out of records."""
    budgets: Budgets | None = None
    """Budgets wider than a run; None when there are none."""
    rates: Rates | None = None
    """Limits per minute on the calls of models."""
    choices: Callable[[str], Choice | None] = lambda _: None
    """The model chosen for an agent in place of its own, by the agent's name."""
    alert: Callable[[Crossing], None] = lambda _: None
    """Called when a budget is nearly used up."""
    apart: bool = False
    """Whether nobody may approve what a run of their own waits for."""
    paid: Callable[[str, str], None] | None = None
    """Called with agent and cost (US dollars) for every paid call, when it is journaled."""
