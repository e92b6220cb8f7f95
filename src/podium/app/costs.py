"""`app.costs`: where money went, by agent, model, tool, session, run or day.

What runs used is read from their rows, and for runs at work from their journals; what was spent outside runs, from
what was reported. Nothing is kept here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from podium.core import money
from podium.core.budgets import Amount, Budget
from podium.core.costs import DAY, CostRow
from podium.core.errors import ConfigurationError
from podium.core.records import Status
from podium.core.state import fold
from podium.core.usage import FREE, NO_USAGE, Usage
from podium.ports import Clock, Spending, Store

from .budgets import BudgetBook
from .pricing import Pricing

By = Literal["agent", "model", "tool", "session", "run", "day"]
BY: tuple[By, ...] = ("agent", "model", "tool", "session", "run", "day")


class Breakdown(msgspec.Struct, frozen=True):
    """What one agent used in a session. Money is US dollars."""

    num_calls: int
    total_cost: Decimal
    avg_cost: Decimal
    """`total_cost / num_calls`; 0 without calls."""
    tool_cost: Decimal
    """The part of `total_cost` that tools cost."""
    tokens: int


class CostLine(msgspec.Struct, frozen=True):
    """One line of a summary. Money is US dollars."""

    name: str
    """What the line is of: an agent, a model, a tool, a session, a run or a day (`2026-11-21`)."""
    calls: int = 0
    cost: Decimal = FREE
    usage: Usage = NO_USAGE
    uncertain: Decimal = FREE
    """Reserved by calls whose outcome nobody knows, and so perhaps paid."""
    unpriced: int = 0
    """Calls whose price nobody knows. They are not in `cost`."""
    hits: int = 0
    """Replies of models and results of tools from a cache."""
    saved: Decimal = FREE
    """What those caches saved, and prompt caches (reads that cost less, minus writes that cost more)."""


class _Entry(msgspec.Struct):
    run: str
    session: str
    row: CostRow


class AgentCostTracker:
    """The costs of everything a store holds."""

    def __init__(self, store: Callable[[], Store], clock: Clock, budgets: BudgetBook, prices: Pricing) -> None:
        self._store, self._clock, self._budgets, self._prices = store, clock, budgets, prices

    async def log_agent_cost(
        self,
        agent: str,
        cost: Decimal | float | str,
        *,
        session: str = "",
        model: str = "",
        tool: str = "",
        usage: Usage = NO_USAGE,
        tenant: str = "",
    ) -> None:
        """Report a cost (US dollars) that arose outside any run; runs report their own.

        It counts against the budgets of the agent, the session, the tenant and all. Raises ConfigurationError for what
        is no sum of money.
        """
        spent = money.amount(cost, "cost")
        now = self._clock.time()
        row = CostRow(int(now // DAY), agent, "tool" if tool else "model", tool or model, 1, str(spent), usage)
        charges = self._budgets.policy.charges((), agent=agent, session=session, tenant=tenant, at=now)
        amount = Amount(money.pico(spent), usage.total_tokens, 0 if tool else 1)
        for crossing in await self._store().spend(Spending(session, now, row), amount, charges):
            self._budgets.alert(crossing)

    async def get_session_breakdown(self, session: str) -> dict[str, Breakdown]:
        """What each agent used in a session, by its name."""
        found: dict[str, list[CostRow]] = {}
        async for entry in self._entries(0.0):
            if entry.session == session and not entry.row.free:
                found.setdefault(entry.row.agent, []).append(entry.row)
        return {agent: _breakdown(rows) for agent, rows in found.items()}

    def set_agent_budget(self, agent: str, daily_budget: Decimal | float | str, alert_threshold: float = 0.8) -> None:
        """Limit what an agent may spend each day (UTC), in US dollars; an alert is given at that part of it."""
        self._budgets.set(f"agent:{agent}", Budget(usd=daily_budget, per="day", alert=alert_threshold))

    async def summary(self, by: By = "agent", *, since: float = 0.0) -> list[CostLine]:
        """Lines by agent, model, tool, session, run or day, dearest first (days: newest first).

        `since` is epoch seconds; it counts by whole days (UTC). Raises ConfigurationError for another `by`.
        """
        if by not in BY:
            raise ConfigurationError(f"costs can be shown by {', '.join(BY)}, not by {by!r}")
        lines: dict[str, _Sum] = {}
        async for entry in self._entries(since):
            if entry.row.free or (by in ("model", "tool") and entry.row.kind != by):
                continue
            lines.setdefault(_name(entry, by), _Sum()).add(entry.row, self._saved(entry.row))
        found = [sum_.line(name) for name, sum_ in lines.items()]
        found.sort(key=(lambda line: line.name) if by == "day" else lambda line: (line.cost, line.calls), reverse=True)
        return found

    async def total(self, *, since: float = 0.0) -> CostLine:
        """Everything together."""
        whole = _Sum()
        async for entry in self._entries(since):
            whole.add(entry.row, self._saved(entry.row))
        return whole.line("total")

    async def tool_rows(self, since: float = 0.0) -> list[CostRow]:
        """What every tool was used for since that day (UTC, epoch seconds): what its statistics are made of."""
        return [entry.row async for entry in self._entries(since) if entry.row.kind == "tool"]

    def _saved(self, row: CostRow) -> Decimal:
        """What prompt caching saved: prices are of one call, so without tiers for a sum of many."""
        if not row.usage.cache_read_tokens and not row.usage.cache_write_tokens:
            return FREE
        price = self._prices.named(row.name)
        return FREE if price is None else msgspec.structs.replace(price, tiers=()).saved(row.usage)

    async def _entries(self, since: float) -> AsyncGenerator[_Entry]:
        first = int(since // DAY)
        store = self._store()
        at_work = {row.id: row for row in await store.rows(status=(Status.RUNNING, Status.PENDING), limit=1_000_000)}
        for costs in await store.costs(first * DAY):
            if costs.run not in at_work:
                for row in costs.rows:
                    if row.day >= first:
                        yield _Entry(costs.run, costs.session, row)
        for run in at_work.values():
            for row in fold(await store.read(run.id)).facts.costs.rows():
                if row.day >= first:
                    yield _Entry(run.id, run.session, row)
        for spending in await store.spendings(first * DAY):
            yield _Entry("", spending.session, spending.row)


class _Sum:
    __slots__ = ("calls", "cost", "hits", "saved", "uncertain", "unpriced", "usage")

    def __init__(self) -> None:
        self.calls = self.hits = self.unpriced = 0
        self.cost = self.uncertain = self.saved = FREE
        self.usage = NO_USAGE

    def add(self, row: CostRow, saved: Decimal) -> None:
        self.calls += row.calls
        self.hits += row.hits
        self.unpriced += row.unpriced
        self.cost += Decimal(row.cost)
        self.uncertain += Decimal(row.uncertain)
        self.saved += Decimal(row.saved) + saved
        self.usage += row.usage

    def line(self, name: str) -> CostLine:
        return CostLine(name, self.calls, self.cost, self.usage, self.uncertain, self.unpriced, self.hits, self.saved)


def _name(entry: _Entry, by: By) -> str:
    if by == "session":
        return entry.session
    if by == "run":
        return entry.run
    if by == "day":
        return f"{datetime.fromtimestamp(entry.row.day * DAY, UTC):%Y-%m-%d}"
    return entry.row.agent if by == "agent" else entry.row.name


def _breakdown(rows: list[CostRow]) -> Breakdown:
    calls = sum(row.calls for row in rows if row.kind == "model")
    total = sum((Decimal(row.cost) for row in rows), FREE)
    tools = sum((Decimal(row.cost) for row in rows if row.kind == "tool"), FREE)
    tokens = sum(row.usage.total_tokens for row in rows)
    return Breakdown(calls, total, total / calls if calls else FREE, tools, tokens)
