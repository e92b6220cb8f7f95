"""The app: store, gate, tools, members and dispatcher put together, from one configuration.

The only module that knows all parts. It belongs to one event loop, the one it is entered on.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import random
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

import msgspec

from podium import targets
from podium.agents.member import RunOptions
from podium.core.budgets import Alert, Budget, Charge
from podium.core.budgets import budget as budget_of
from podium.core.codec import digest_of, encode
from podium.core.deltas import Transient
from podium.core.errors import ConfigurationError, NestedRun, RunBusy, RunConflict, RunError, RunNotFound
from podium.core.messages import Message
from podium.core.records import NIL, Principal, Record, Started, Status, encode_record
from podium.dispatch import LocalDispatcher
from podium.policy import default_gate
from podium.ports import Clock, Gate, Member, Model, NewRun, RunRow, SessionRow, Store, Tool
from podium.runtime.bounded import Blocked, at_once
from podium.runtime.clock import SystemClock
from podium.runtime.desk import Desk
from podium.runtime.driver import Driven, Driver, Options
from podium.runtime.fork import fork as _fork
from podium.runtime.handle import Handle
from podium.runtime.results import RunResult
from podium.runtime.services import Limits, Rates, Services
from podium.runtime.streams import Stream
from podium.schema import dump
from podium.stores.owner import this_owner

from .budgets import BudgetBook
from .choices import ModelChoices
from .costs import AgentCostTracker
from .loops import background_loop, running_loop
from .opening import open_store
from .outcomes import Outcomes
from .pricing import Pricing
from .sessions import Session, session_of

T = TypeVar("T")

_log = logging.getLogger("podium")

_inside: contextvars.ContextVar[str] = contextvars.ContextVar("podium_run", default="")
"""The run whose member (or tool) the present code belongs to: only to answer a nested `run` with its remedy."""


class Podium:
    """The assembly of everything a run needs.

    `url` is `":memory:"` (nothing is kept), `"sqlite:///path.db"` or a plain path. `members` are those that may be
    resumed by name; `tools` those that plain members may call by name; `model` is the default for agents without one.
    `budgets` maps scopes (`all`, `run`, `agent:NAME`, `session:ID`, `tenant:ID`, `*` for each) to a Budget or to US
    dollars; `prices` maps model names to a Price or a table of US dollars per million tokens; `rates` maps model names
    (`anthropic:*` for all of a provider) to limits per minute, `{"requests": 50, "tokens": 40000}`.
    `cost_callback(agent, cost)` is called for every paid call, `on_alert(alert)` when a budget is nearly used up. Use
    it as an async context manager.
    """

    def __init__(
        self,
        url: str | Path = ":memory:",
        *,
        members: Sequence[Member] = (),
        tools: Sequence[Tool] = (),
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
        keep: int | None = None,
    ) -> None:
        self.url = str(url)
        self.clock: Clock = clock or SystemClock()
        self.gate: Gate = gate or default_gate()
        self.limits = limits or Limits()
        self.tools: dict[str, Tool] = {tool.name: tool for tool in tools}
        self.default_model = model
        self._base_url = base_url
        self._prices = Pricing(prices, self.clock)
        self.budgets = BudgetBook(budgets, lambda: self.store, self.clock, on_alert)
        self.costs = AgentCostTracker(lambda: self.store, self.clock, self.budgets, self._prices)
        self.choices = ModelChoices(lambda: self.store, self.clock)
        _plain(cost_callback=cost_callback, on_alert=on_alert)
        self._cost_callback = cost_callback
        self._rates = _rates(rates, self.clock)
        self._models: dict[str, Model] = {}
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
        self._keep = keep
        self._finished: list[str] = []

    @classmethod
    def load(cls, path: str | Path | None = None, **options: Any) -> Podium:
        """The app that `podium.toml` (or the file at `path`) and `PODIUM_*` variables describe.

        `options` are those of the constructor, and win. Raises ConfigurationError for what cannot be read.
        """
        from podium import config

        found = config.load(path)
        described: dict[str, Any] = {
            "url": found.store,
            "model": found.model,
            "base_url": found.base_url,
            "limits": found.limits,
            "budgets": found.budgets,
            "prices": found.prices,
            "rates": found.rates,
        }
        return cls(**{**described, **options})

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
            model=self._model,
            tools=self.tools,
            limits=self.limits,
            random=random.SystemRandom().random,
            new_run=self._register,
            woken=self._wake,
            dump=dump,
            prices=self._prices,
            budgets=self.budgets.policy,
            rates=self._rates,
            choices=self.choices.current,
            alert=self.budgets.alert,
            paid=None if self._cost_callback is None else self._paid,
        )
        await self.choices.refresh()
        self._driver = Driver(services)
        self._desk = Desk(store, self.clock, self._posted)
        self._dispatcher = LocalDispatcher(
            store,
            self.clock,
            drive=self._due,
            mail=self._driver.notify,
            driven=lambda: list(driver.active) if (driver := self._driver) is not None else [],
            poll=self.limits.poll if store.shared else None,
        )
        self._dispatcher.start()
        return self

    async def close(self) -> None:
        """Unload what runs (it can be resumed), and let go of the store."""
        store, self._store = self._store, None
        if store is None or self._driver is None or self._dispatcher is None:
            return
        await self._dispatcher.close()
        await self._driver.close()
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        for model in self._models.values():
            aclose = getattr(model, "aclose", None)
            if aclose is not None:
                await aclose()
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
        fresh = new_id or new_run_id()
        limit = None if budget is None else budget_of(budget)
        charges = None if limit is None else _charges(fresh, limit)
        seconds = None if limit is None else limit.seconds
        new = await _fork(self.store, row, at, fresh, effects, self.clock.time(), charges, seconds)
        self._spawn(new, found, Options())
        return Handle(self, new)

    def handle(self, run_id: str) -> Handle:
        """A handle on any run of the store."""
        return Handle(self, run_id)

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
        driver = _opened(self._driver)
        if stream not in driver.listen(run_id):
            driver.listen(run_id).append(stream)

        async def look() -> None:
            # Nobody tells us what another process writes: look again and again.
            seen = 0
            while True:
                await driver.flushed(run_id)
                row = await self.store.row(run_id)
                for record in await self.store.read(run_id, seen):
                    seen += 1
                    stream.record(seen, record)
                if row is None or row.status.over or (stop_at_suspension and row.status is Status.SUSPENDED):
                    stream.end()
                    return
                await asyncio.sleep(self.limits.poll)

        looker = asyncio.get_running_loop().create_task(look())
        looker.add_done_callback(lambda _: stream.end())
        try:
            if await self.store.row(run_id) is None:
                raise RunNotFound(f"there is no run {run_id} in {self.url}")
            async for event in stream.events():
                yield event
            if looker.done() and not looker.cancelled():
                looker.result()
        finally:
            looker.cancel()
            await asyncio.wait({looker})
            driver.unlisten(run_id, stream)

    # ------------------------------------------------------------------------------------------------------- internals

    async def _accept(self, member: Member, input: Any, options: RunOptions) -> tuple[RunRow, Started | None]:
        """The run's row, and what it starts with if it is new."""
        run_id = options.run_id or new_run_id()
        now = self.clock.time()
        input, history = _conversation(input, options.message_history)
        plain = dump(input)
        digest = digest_of((member.name, plain, history))
        target = self._register(member)
        limit = self.budgets.policy.run if options.budget is None else budget_of(options.budget)
        if self.store.shared:
            await self.choices.refresh()
        started = Started(
            run_id,
            member.name,
            now,
            NIL if plain is None else msgspec.Raw(encode(plain)),
            target=target,
            principal=options.principal or Principal(),
            session=options.session or "",
            deadline=_deadline(now, options.timeout, limit),
            history=history,
            charges=_charges(run_id, limit),
        )
        new = NewRun(run_id, member.name, target, (encode_record(started),), now, "", options.session or "", digest)
        self._starting.add(run_id)
        try:
            row = await self.store.create(new)
            if row is not None:
                return row, started
            row = await self.store.row(run_id)
        except BaseException:
            self._starting.discard(run_id)
            raise
        if row is None or (row.digest and row.digest != digest) or row.member != member.name:
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
            await self.store.forget(self._finished.pop(0))

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

    def _paid(self, agent: str, cost: str) -> None:
        """Tell whoever wants to know that a call was paid; a listener's own error is logged, not raised."""
        if self._cost_callback is not None:
            try:
                self._cost_callback(agent, Decimal(cost))
            except Exception:  # noqa: BLE001  (a listener must not end the run that told it)
                _log.exception("cost_callback failed for %s of agent %s", cost, agent)

    def _model(self, name: str) -> Model:
        """A model by name; the app's default for an empty one."""
        if not name:
            default = self.default_model
            if default is None:
                raise ConfigurationError(
                    'the agent has no model: pass model="openai:NAME" (or "offline", which needs no key) to the agent '
                    "or to Podium(...)"
                )
            if not isinstance(default, str):
                return default
            name = default
        model = self._models.get(name)
        if model is None:
            from podium.models import resolve

            base_url = None if name == "offline" else self._base_url
            model = self._models[name] = resolve(name, base_url=base_url)
        return model


def _plain(**listeners: Callable[..., Any] | None) -> None:
    """Refuse listeners that would have to be awaited: they are told in the middle of a run, which does not wait."""
    for name, listener in listeners.items():
        if inspect.iscoroutinefunction(listener):
            raise ConfigurationError(f"{name} must be a plain function: let it start a task, or put into a queue")


def _charges(run_id: str, limit: Budget | None) -> tuple[Charge, ...]:
    charge = None if limit is None else limit.charge(f"run:{run_id}")
    return () if charge is None else (charge,)


def _deadline(now: float, timeout: float | None, limit: Budget | None) -> float | None:
    """When a run's time is over: after its timeout or the seconds of its budget, whatever is sooner."""
    given = [seconds for seconds in (timeout, None if limit is None else limit.seconds) if seconds is not None]
    return now + min(given) if given else None


def _rates(limits: Mapping[str, Any] | None, clock: Clock) -> Rates | None:
    if not limits:
        return None
    from podium.models.rates import Rate
    from podium.models.rates import Rates as Limiter

    given = {name: limit for name, limit in limits.items() if isinstance(limit, Rate)}
    others = {name: limit for name, limit in limits.items() if name not in given}
    return Limiter({**given, **Limiter.parse(others)}, clock)


def new_run_id() -> str:
    """A fresh run id: sorts by time (milliseconds), then chance."""
    return f"run-{int(time.time() * 1000):011x}{secrets.token_hex(4)}"


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


def _conversation(input: Any, history: Sequence[Message]) -> tuple[Any, tuple[Message, ...]]:
    """Messages given as the input are part of the conversation the run was given."""
    if isinstance(input, Message):
        return None, (*history, input)
    items = cast("Sequence[object]", input) if isinstance(input, list | tuple) else ()
    if items:
        messages = [item for item in items if isinstance(item, Message)]
        if len(messages) == len(items):
            return None, (*history, *messages)
    return cast("Any", input), tuple(history)
