"""The app: store, gate, tools, members and dispatcher put together, from one configuration.

The only module that knows all parts. It belongs to one event loop, the one it is entered on.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import random
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from podium import targets
from podium.agents.member import RunOptions
from podium.core.budgets import Alert
from podium.core.budgets import budget as budget_of
from podium.core.codec import digest_of
from podium.core.deltas import Transient
from podium.core.errors import ConfigurationError, NestedRun, RunBusy, RunConflict, RunError, RunNotFound
from podium.core.messages import Message
from podium.core.records import Principal, Record, Started, Status
from podium.dispatch import LocalDispatcher
from podium.policy.approvals import Approval
from podium.ports import Clock, Gate, Member, Model, RunRow, SessionRow, Store, Tool
from podium.runtime.bounded import Blocked, at_once
from podium.runtime.clock import SystemClock
from podium.runtime.desk import Desk
from podium.runtime.driver import Driven, Driver, Options
from podium.runtime.fork import fork as _fork
from podium.runtime.handle import Handle
from podium.runtime.results import Pending, RunResult
from podium.runtime.services import Limits, Services
from podium.runtime.streams import Stream
from podium.runtime.vault import Vault, secrets_of
from podium.schema import dump
from podium.stores.owner import this_owner
from podium.tools.registry import ToolRegistry

from .accepting import accepted, charges_of, new_run_id
from .audit import Audit, store_file
from .budgets import BudgetBook
from .choices import ModelChoices
from .costs import AgentCostTracker
from .deciding import EditReferee
from .following import followed
from .inbox import inbox as _inbox
from .loops import background_loop, running_loop
from .named_models import NamedModels
from .opening import open_store
from .outcomes import Outcomes
from .pricing import Pricing
from .servers import Servers
from .sessions import Session, session_of
from .settings import gate_of, plain_functions, rates_of
from .shown import SecretsFilter

if TYPE_CHECKING:
    from podium.policy import Policy
    from podium.tools.mcp import MCPServer, MCPTools

T = TypeVar("T")

_log = logging.getLogger("podium")

_inside: contextvars.ContextVar[str] = contextvars.ContextVar("podium_run", default="")
"""The run whose member (or tool) the present code belongs to: only to answer a nested `run` with its remedy."""


class Podium:
    """The assembly of everything a run needs.

    `url` is `":memory:"` (nothing is kept), `"sqlite:///path.db"` or a plain path. `members` are those that may be
    resumed by name; `tools` (or a ToolRegistry) those that plain members may call by name; `model` is the default for
    agents without one.
    `budgets` maps scopes (`all`, `run`, `agent:NAME`, `session:ID`, `tenant:ID`, `*` for each) to a Budget or to US
    dollars; `prices` maps model names to a Price or a table of US dollars per million tokens; `rates` maps model names
    (`anthropic:*` for all of a provider) to limits per minute, `{"requests": 50, "tokens": 40000}`.
    A `gate` of your own that is no `Chain` decides alone: permissions of the registry then count only if it asks them.
    `policy` says who may call what: a Policy, plain values in its form, or the path of a file that holds it.
    `approvals` say which tool calls wait for a person; with `self_approval=False` never for whoever is behind the run.
    `mcp` are MCP servers (`MCPTools`), not entered: the app reaches one when a tool of it is first needed.
    `secrets` are texts to keep out of everything that is written, beside those of the environment whose names say so.
    `cost_callback(agent, cost)` is called for every paid call, `on_alert(alert)` when a budget is nearly used up. Use
    it as an async context manager.
    """

    def __init__(
        self,
        url: str | Path = ":memory:",
        *,
        members: Sequence[Member] = (),
        tools: Sequence[Tool] | ToolRegistry = (),
        model: Model | str | None = None,
        base_url: str | None = None,
        gate: Gate | None = None,
        clock: Clock | None = None,
        store: Store | None = None,
        limits: Limits | None = None,
        budgets: Mapping[str, Any] | None = None,
        prices: Mapping[str, Any] | None = None,
        rates: Mapping[str, Any] | None = None,
        cost_callback: Callable[[str, Decimal], Any] | None = None,
        on_alert: Callable[[Alert], Any] | None = None,
        secrets: Sequence[str] = (),
        keep: int | None = None,
        policy: Policy | Mapping[str, Any] | str | None = None,
        approvals: Sequence[Approval] = (),
        self_approval: bool = True,
        mcp: Sequence[MCPTools | MCPServer] = (),
    ) -> None:
        self.url = str(url)
        self.clock: Clock = clock or SystemClock()
        registry = tools if isinstance(tools, ToolRegistry) else ToolRegistry(tools)
        self.tools = registry.within(lambda since: self.costs.tool_rows(since))
        """What members may name, and what agents may use of it: see ToolRegistry."""
        self.mcp = Servers(self.tools, mcp)
        self.gate: Gate = gate_of(gate, policy, approvals, self.tools.grants)
        self._self_approval = self_approval
        self.limits = limits or Limits()
        self._models = NamedModels(model, base_url)
        self._prices = Pricing(prices, self.clock)
        self.budgets = BudgetBook(budgets, lambda: self.store, self.clock, on_alert)
        self.costs = AgentCostTracker(lambda: self.store, self.clock, self.budgets, self._prices)
        self.choices = ModelChoices(lambda: self.store, self.clock)
        self.audit = Audit(lambda: self.store, self.clock, None if store is not None else store_file(self.url))
        plain_functions(cost_callback=cost_callback, on_alert=on_alert)
        self._cost_callback = cost_callback
        self._rates = rates_of(rates, self.clock)
        self._members: dict[str, Member] = {member.name: member for member in members}
        self._named = frozenset(self._members)
        self._starting: set[str] = set()
        self._own: set[str] = set()
        """Runs this app has driven: it may take them up again when they are due."""
        self._options: dict[str, Options] = {}
        self._given_store = store
        self._store: Store | None = None
        self._driver: Driver | None = None
        self._dispatcher: LocalDispatcher | None = None
        self._desk: Desk | None = None
        self._outcomes = Outcomes(lambda: self.store, self._members)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._failures: dict[str, BaseException] = {}
        self._secrets = tuple(secrets)
        self._filter: logging.Filter | None = None
        self._keep = keep
        self._finished: list[str] = []

    @classmethod
    def load(cls, path: str | Path | None = None, **options: Any) -> Podium:
        """The app that `podium.toml` (or the file at `path`) and `PODIUM_*` variables describe.

        `options` are those of the constructor, and win. Raises ConfigurationError for what cannot be read.
        """
        from podium import config

        return cls(**{**config.load(path).described, **options})

    # -------------------------------------------------------------------------------------------------------- opening

    async def open(self) -> Podium:
        """Open the store and begin to listen, on the running loop. Raises a StoreError."""
        loop = asyncio.get_running_loop()
        if self._store is not None:
            if self._loop is not loop:
                raise RunError("this app belongs to another event loop: make one app for each loop")
            return self
        self._loop = loop
        store = self._store = self._given_store or open_store(self.url, self.clock)
        services = Services(
            store=store,
            clock=self.clock,
            gate=self.gate,
            owner=this_owner(),
            model=self._models,
            tools=self.mcp,
            limits=self.limits,
            random=random.SystemRandom().random,
            new_run=self._register,
            woken=self._wake,
            dump=dump,
            prices=self._prices,
            vault=self._vault(),
            budgets=self.budgets.policy,
            rates=self._rates,
            choices=self.choices.current,
            alert=self.budgets.alert,
            apart=not self._self_approval,
            paid=None if self._cost_callback is None else self._paid,
        )
        await self.choices.refresh()
        self._driver = Driver(services)
        self._desk = Desk(
            store,
            self.clock,
            self._posted,
            referee=EditReferee(self.gate, self.tools, lambda: self._members),
            vault=services.vault,
        )
        self._dispatcher = LocalDispatcher(
            store,
            self.clock,
            drive=self._due,
            mail=self._driver.notify,
            driven=lambda: list(driver.active) if (driver := self._driver) is not None else [],
            poll=self.limits.poll if store.shared else None,
        )
        self._dispatcher.start()
        self.tools.opened()
        self.mcp.opened(services.vault.know)
        return self

    async def close(self) -> None:
        """Unload what runs (it can be resumed), and let go of the store."""
        store, self._store = self._store, None
        self.tools.closed()
        if self._filter is not None:
            _log.removeFilter(self._filter)
            self._filter = None
        if store is None or self._driver is None or self._dispatcher is None:
            return
        await self._dispatcher.close()
        await self._driver.close()
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        await self.mcp.close()
        await self._models.aclose()
        await self.audit.keep(store)
        await store.close()

    async def __aenter__(self) -> Podium:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def store(self) -> Store:
        """The open store. Raises RunError when the app is not open."""
        if self._store is None:
            raise RunError("the app is not open: use `async with Podium(...) as app:`")
        return self._store

    @property
    def desk(self) -> Desk:
        """Approvals, answers, signals and cancellation, by run id."""
        return _opened(self._desk)

    # ------------------------------------------------------------------------------------------------------- starting

    async def start(
        self,
        member: Member,
        input: Any = None,
        *,
        run_id: str | None = None,
        idempotency_key: str | None = None,
        session: str | None = None,
        budget: Any = None,
        queue: str | None = None,
        principal: Principal | None = None,
        deps: Any = None,
        message_history: Sequence[Message] = (),
        timeout: float | None = None,
    ) -> Handle:
        """Accept a run durably, begin to drive it, and return a handle.

        An existing `run_id` with the same member and input is attached to; with others it is a RunConflict.
        """
        options = RunOptions(
            session=session,
            run_id=run_id or (f"run-{digest_of(idempotency_key).hex()}" if idempotency_key else None),
            budget=budget,
            principal=principal,
            deps=deps,
            message_history=message_history,
            timeout=timeout,
        )
        _not_yet(queue)
        await self.open()
        row, fresh = await self._accept(member, input, options)
        try:
            if not row.status.over and row.status is not Status.SUSPENDED:
                self._spawn(row.id, member, Options(deps=options.deps, fresh=fresh))
        finally:
            self._starting.discard(row.id)
        return Handle(self, row.id)

    async def run(self, member: Member, input: Any = None, *, options: RunOptions | None = None) -> RunResult[Any]:
        """Run a member until it is over or waits for somebody. See `member.run`."""
        options = options or RunOptions()
        _not_nested("run")
        await self.open()
        row, fresh = await self._accept(member, input, options)
        if fresh is None:
            if row.status.over:
                self._starting.discard(row.id)
                return await self._outcomes.recorded(row.id)
            if row.id in _opened(self._driver).active:
                self._starting.discard(row.id)
                return await self.settled(row.id, over=False)
        return await self._drive(row.id, member, Options(deps=options.deps, fresh=fresh))

    def run_sync(self, member: Member, input: Any = None, *, options: RunOptions | None = None) -> RunResult[Any]:
        """`run` from synchronous code; see `member.run_sync`."""
        if _inside.get():
            raise NestedRun(
                f"`run_sync` was called inside run {_inside.get()}: use `await ctx.call(member, input)` there"
            )
        return self._sync(self.run(member, input, options=options))

    def _sync(self, working: Coroutine[Any, Any, T]) -> T:
        loop = self._loop or background_loop()
        if loop is running_loop():
            working.close()
            raise RunError("run_sync on the app's own event loop would wait for itself: use `await member.run(...)`")
        return asyncio.run_coroutine_threadsafe(working, loop).result()

    async def stream(
        self, member: Member, input: Any = None, *, options: RunOptions | None = None
    ) -> AsyncGenerator[Record | Transient, None]:
        """Run a member and yield every record and delta. See `member.stream`."""
        options = options or RunOptions()
        _not_nested("stream")
        await self.open()
        row, fresh = await self._accept(member, input, options)
        driver = _opened(self._driver)
        stream = Stream()
        driver.listen(row.id).append(stream)
        try:
            await driver.flushed(row.id)
            recorded = await self.store.read(row.id)
            for seq, record in enumerate(recorded, 1):
                stream.record(seq, record)
            if row.status.over:
                self._starting.discard(row.id)
                stream.end()
            elif row.id not in driver.active:
                task = self._spawn(row.id, member, Options(deps=options.deps, fresh=fresh))
                task.add_done_callback(lambda _: stream.end())
            async for event in stream.events(suspension_after=len(recorded)):
                yield event
            self._raise_failure(row.id)
        finally:
            driver.unlisten(row.id, stream)

    # ------------------------------------------------------------------------------------------------------- resuming

    async def resume(
        self, run_id: str, member: Member | None = None, *, deps: Any = None, steal: bool = False, upgrade: bool = False
    ) -> RunResult[Any]:
        """Take a run up again and drive it until it is over or waits. One that is over gives its result.

        The member is given, or found by name among the app's members, or loaded from the recorded TARGET. `steal`
        takes the lease of a driver that may still live; `upgrade` uses the agents' present configuration.
        Raises RunNotFound, RunBusy, ReplayMismatch, ConfigurationError when the member cannot be found.
        """
        await self.open()
        row = await self.store.row(run_id)
        if row is None:
            raise RunNotFound(f"there is no run {run_id} in {self.url}; `podium runs` lists them")
        if member is not None and member.name != row.member:
            raise RunConflict(f"run {run_id} is one of {row.member!r}, not of {member.name!r}")
        if member is not None:
            self._members.setdefault(member.name, member)
        if row.status.over:
            return await self._outcomes.recorded(run_id)
        found = member or self.find(row)
        self._members.setdefault(found.name, found)
        if run_id in _opened(self._driver).active:
            return await self.settled(run_id, over=False)
        return await self._drive(run_id, found, Options(deps=deps, steal=steal, upgrade=upgrade))

    def find(self, row: RunRow) -> Member:
        """The member of a run: by name, or by its TARGET. Raises ConfigurationError."""
        known = self._members.get(row.member)
        if known is not None:
            return known
        if row.target:
            return targets.load(row.target)
        raise ConfigurationError(
            f"the member {row.member!r} of run {row.id} is not known here: pass it to resume, or list it in "
            f"Podium(..., members=[...])"
        )

    async def fork(
        self,
        run_id: str,
        *,
        at: str,
        member: Member | None = None,
        effects: str = "hold",
        new_id: str | None = None,
        budget: Any = None,
    ) -> Handle:
        """A new run that shares this one's history up to the step `at`, which it performs anew.

        Copied receipts cost nothing. Waits and approvals are not copied. With `effects="hold"` every idempotent or
        write action after the cut waits for a person; `"allow"` lets them run. `budget` is the fork's own; without
        one it has as much as the run had.
        """
        await self.open()
        row = await self.store.row(run_id)
        if row is None:
            raise RunNotFound(f"there is no run {run_id}")
        found = member or self.find(row)
        self._members.setdefault(found.name, found)
        fresh = new_id or new_run_id()
        limit = None if budget is None else budget_of(budget)
        charges = None if limit is None else charges_of(fresh, limit)
        seconds = None if limit is None else limit.seconds
        new = await _fork(self.store, row, at, fresh, effects, self.clock.time(), charges, seconds)
        self._spawn(new, found, Options())
        return Handle(self, new)

    def handle(self, run_id: str) -> Handle:
        """A handle on any run of the store."""
        return Handle(self, run_id)

    async def inbox(
        self,
        *,
        roles: Sequence[str] | None = None,
        principal: Principal | None = None,
        why: Sequence[str] = (),
        untrusted: bool | None = None,
        prefix: str = "",
        newest_first: bool = False,
        limit: int = 100,
        after: Pending | None = None,
    ) -> list[Pending]:
        """Everything that waits for a person, over all runs, the longest waiting first.

        `roles` keeps what these roles may decide, `principal` what this person may approve; `why` is among `approval`,
        `review`, `ask`, `in_doubt`; `untrusted` is whether the agent had seen untrusted text; `prefix` begins the ids
        of the runs. The next page comes with the last item of this one as `after`.
        """
        await self.open()
        return await _inbox(
            self.store,
            self.desk,
            roles=roles,
            principal=principal,
            why=why,
            untrusted=untrusted,
            prefix=prefix,
            newest_first=newest_first,
            limit=limit,
            after=after,
        )

    async def runs(
        self, *, status: Sequence[Status] = (), session: str | None = None, prefix: str = "", limit: int = 100
    ) -> list[RunRow]:
        """Runs, newest first."""
        await self.open()
        return await self.store.rows(status=status, session=session, prefix=prefix, limit=limit)

    async def session(self, name: str) -> Session:
        """A conversation with all its messages; an empty one when nobody has used that name yet."""
        await self.open()
        return session_of(name, await self.store.session(name), await self.store.turns(name))

    async def sessions(self, limit: int = 100) -> list[SessionRow]:
        """The conversations of this store, most recently used first."""
        await self.open()
        return await self.store.session_rows(limit)

    async def row(self, run_id: str) -> RunRow | None:
        """A run's row."""
        return await self.store.row(run_id)

    def status(self, run_id: str) -> Status:
        """A run's present state. Raises RunNotFound."""
        row = at_once(self.store.row(run_id))
        if isinstance(row, Blocked):
            row.coroutine.close()
            raise RunError("this store answers only asynchronously: use `await app.row(run_id)`")
        if row is None:
            raise RunNotFound(f"there is no run {run_id} in {self.url}")
        return row.status

    async def settled(self, run_id: str, *, over: bool) -> RunResult[Any]:
        """The result of a run once it is over, or (without `over`) once it does nothing any more."""
        await self.open()
        while True:
            row = await self.store.row(run_id)
            if row is None:
                raise RunNotFound(f"there is no run {run_id}")
            if row.status.over or (not over and row.status is Status.SUSPENDED):
                return await self._outcomes.recorded(run_id)
            self._raise_failure(run_id)
            future = asyncio.get_running_loop().create_future()
            waiting = self._waiting.setdefault(run_id, [])
            waiting.append(future)
            # Another process may end it: nobody tells us, so look now and then.
            await asyncio.wait({future}, timeout=self.limits.poll if self.store.shared else None)
            if future in waiting:
                waiting.remove(future)

    def follow(self, run_id: str, *, stop_at_suspension: bool) -> AsyncGenerator[Record | Transient, None]:
        """A run's records from the first, then what is live; also of a run that another process drives.

        It listens from the moment of the call: nothing that passes by later is missed. Ends when the run is over (or,
        with `stop_at_suspension`, waits for somebody). Raises RunNotFound when it is read.
        """
        stream = Stream()
        if self._driver is not None:
            self._driver.listen(run_id).append(stream)
        return self._follow(run_id, stream, stop_at_suspension=stop_at_suspension)

    async def _follow(
        self, run_id: str, stream: Stream, *, stop_at_suspension: bool
    ) -> AsyncGenerator[Record | Transient, None]:
        await self.open()
        async for event in followed(
            _opened(self._driver),
            self.store,
            run_id,
            stream,
            poll=self.limits.poll,
            stop_at_suspension=stop_at_suspension,
        ):
            yield event

    # ------------------------------------------------------------------------------------------------------- internals

    async def _accept(self, member: Member, input: Any, options: RunOptions) -> tuple[RunRow, Started | None]:
        """The run's row, and what it starts with if it is new."""
        limit = self.budgets.policy.run if options.budget is None else budget_of(options.budget)
        if self.store.shared:
            await self.choices.refresh()
        new, started = accepted(
            member,
            input,
            options,
            target=self._register(member),
            now=self.clock.time(),
            budget=limit,
            policy=self.gate.version,
            mask=_opened(self._driver).services.vault.mask,
        )
        run_id = new.id
        self._starting.add(run_id)
        try:
            row = await self.store.create(new)
            if row is not None:
                return row, started
            row = await self.store.row(run_id)
        except BaseException:
            self._starting.discard(run_id)
            raise
        if row is None or (row.digest and row.digest != new.digest) or row.member != member.name:
            self._starting.discard(run_id)
            raise RunConflict(f"run {run_id} exists with another member or input: choose another run_id, or resume it")
        return row, None

    def _register(self, member: Member) -> str:
        self._members.setdefault(member.name, member)
        return str(getattr(member, "target", "") or "")

    async def _drive(self, run_id: str, member: Member, options: Options) -> RunResult[Any]:
        self._failures.pop(run_id, None)
        token = _inside.set(run_id)
        began = time.perf_counter()
        self._starting.add(run_id)
        self._own.add(run_id)
        if options.deps is not None or self._members.get(member.name) is not member:
            self._options[run_id] = msgspec.structs.replace(options, fresh=None)
        try:
            driven = await _opened(self._driver).drive(run_id, member, options)
            if driven.status.over:
                self._own.discard(run_id)
                self._options.pop(run_id, None)
        finally:
            _inside.reset(token)
            self._starting.discard(run_id)
            self._tell(run_id)
            if self.audit.ran() and self._store is not None:
                task = asyncio.get_running_loop().create_task(self.audit.keep(self._store))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        return await self._result(driven, began)

    def _spawn(self, run_id: str, member: Member, options: Options) -> asyncio.Task[Any]:
        self._starting.add(run_id)
        task = asyncio.get_running_loop().create_task(self._background(run_id, member, options))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _background(self, run_id: str, member: Member, options: Options) -> None:
        try:
            await self._drive(run_id, member, options)
        except RunBusy:
            return  # Whoever drives it will end it; `settled` looks at the store.
        except Exception as error:  # noqa: BLE001  (kept for whoever asks for the result; nobody else would see it)
            self._failures[run_id] = error
            self._tell(run_id)

    def _raise_failure(self, run_id: str) -> None:
        """Raise why the last background drive of a run stopped without an end."""
        error = self._failures.get(run_id)
        if error is not None:
            raise error

    async def _result(self, driven: Driven, began: float) -> RunResult[Any]:
        run = driven.run
        if driven.status is Status.SUSPENDED:
            if run.next_due_at is not None:
                _opened(self._dispatcher).wake(run.id, run.lease.wake_seq, at=run.next_due_at)
        elif not run.closed:
            return await self._outcomes.recorded(run.id)  # It was over before this drive.
        result: RunResult[Any] = RunResult(
            run.id,
            driven.status,
            driven.output,
            run.facts,
            run.kept,
            error=run.ending,
            duration=time.perf_counter() - began,
            pinned=await self._outcomes.pinned(run.facts.pins),
        )
        if self._keep is not None and driven.status.over:
            await self._forget(run.id, self._keep)
        return result

    async def _forget(self, run_id: str, keep: int) -> None:
        """In an app that keeps few runs, drop the oldest finished one."""
        self._finished.append(run_id)
        if len(self._finished) > keep:
            await self.store.forget(self._finished.pop(0), key=self.audit.key.made())

    async def _posted(self, row: RunRow) -> None:
        if not await _opened(self._driver).notify(row.id):
            self._wake(row)

    def _wake(self, row: RunRow) -> None:
        """A run may go on: drive it, if its member is known here."""
        driver = self._driver
        if driver is None or self._store is None or row.id in driver.active or row.id in self._starting:
            return
        if row.status.over or row.status is Status.SUSPENDED:
            return
        options = self._options.get(row.id, Options())
        member = self._members.get(row.member)
        if member is not None:
            self._spawn(row.id, member, options)

    def _due(self, row: RunRow) -> None:
        """The dispatcher found a run that nobody drives."""
        driver = self._driver
        if driver is None or row.id in driver.active or row.id in self._starting:
            return
        if row.member not in self._named and (row.id not in self._own or row.status is Status.RUNNING):
            return  # Of another process, or left by a crash: whoever lists the member, or says `resume`, takes it up.
        member = self._members.get(row.member)
        if member is not None:
            self._spawn(row.id, member, self._options.get(row.id, Options()))

    def _tell(self, run_id: str) -> None:
        for future in self._waiting.pop(run_id, ()):
            if not future.done():
                future.set_result(None)

    def _vault(self) -> Vault:
        vault = Vault(self.audit.key.wanted, (*self._secrets, *secrets_of(os.environ)))
        self._filter = SecretsFilter(vault)
        _log.addFilter(self._filter)
        return vault

    def _paid(self, agent: str, cost: str) -> None:
        """Tell whoever wants to know that a call was paid; a listener's own error is logged, not raised."""
        if self._cost_callback is not None:
            try:
                self._cost_callback(agent, Decimal(cost))
            except Exception:  # noqa: BLE001  (a listener must not end the run that told it)
                _log.exception("cost_callback failed for %s of agent %s", cost, agent)


def _opened(part: T | None) -> T:
    if part is None:
        raise RunError("the app is not open: use `async with Podium(...) as app:`")
    return part


def _not_nested(called: str) -> None:
    inside = _inside.get()
    if inside:
        raise NestedRun(
            f"`{called}` was called inside run {inside}: use `await ctx.call(member, input)` or `ctx.spawn` there"
        )


def _not_yet(queue: str | None) -> None:
    if queue is not None:
        raise ConfigurationError("queues come with a later release; leave queue= out")
