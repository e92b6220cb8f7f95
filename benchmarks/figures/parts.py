"""Parts by themselves: the gate's word, the store's group commit, and how often the disk is asked to be sure."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import bare
from measure import HERE, Pairs, Settings, alternate, report, skipped, timed
from podium import Agent, Context, Label, Podium, Principal, member, tool
from podium.core.actions import Kind
from podium.core.codec import digest_of
from podium.core.records import Started, encode_record
from podium.policy import default_gate
from podium.ports import Lease, NewRun, Proposal, Writer
from podium.runtime.clock import SystemClock
from podium.stores.sqlite import SqliteStore
from shapes import checked, scripted

RECORD = b"y" * 300


# ---------------------------------------------------------------------------------------------------------- the gate


def _large(args: dict[str, Any]) -> bool:
    return args["a"] > 1_000_000


@tool(effect="write", roles=("clerk",), approval=_large)
async def careful(a: int, b: int) -> str:
    """A tool with a role and a rule for approval."""
    return str(a + b)


def gate(settings: Settings) -> None:
    """CPU microseconds of one verdict: the default gate, an agent with twenty tools, a role and an approval rule."""
    args = {"a": 1, "b": 2}
    chain = default_gate()
    proposal = Proposal(
        kind=Kind.TOOL,
        name="careful",
        args=args,
        digest=digest_of(args),
        subject="adder",
        grants=frozenset({"careful", *(f"tool_{index}" for index in range(19))}),
        principal=Principal("ann", ("clerk",)),
        label=Label(),
        tool=careful,
        key="adder.1/turn.3/careful.1",
        run_id="run-1",
    )
    count = settings.size(20_000)
    middle, high = Pairs(), Pairs()
    for _ in range(settings.repetitions):
        for judge, found_middle, found_high in (
            (_pass, middle.bare, high.bare),
            (chain.judge, middle.ours, high.ours),
        ):
            times = _each(judge, proposal, count)
            found_middle.append(times[count // 2] / 1e3)
            found_high.append(times[min(count - 1, count * 99 // 100)] / 1e3)
    report("gate.p50", middle, "us CPU, the clock included", baseline="an empty function", calls=count)
    report("gate.p99", high, "us CPU, the clock included", baseline="an empty function", calls=count)


def _pass(proposal: Proposal) -> None:
    del proposal


def _each(judge: Callable[[Proposal], object], proposal: Proposal, count: int) -> list[int]:
    clock = time.thread_time_ns
    times: list[int] = []
    for _ in range(count):
        start = clock()
        judge(proposal)
        times.append(clock() - start)
    return sorted(times)


# --------------------------------------------------------------------------------------------------------- the store


async def store(settings: Settings) -> None:
    """CPU microseconds a record of 300 bytes, committed when the writer says so, against raw inserts."""
    count = settings.size(2000, 10)
    for together in (1, 100):
        runs = settings.size(together, min(2, together))
        groups = max(1, count // runs)

        async def ours(runs: int = runs, groups: int = groups) -> float:
            with settings.temporary() as folder:
                opened = SqliteStore.open(folder / "x.db", clock=SystemClock())
                writers = [await _writer(opened, f"run-{index}") for index in range(runs)]
                with timed() as clock:
                    for _ in range(groups):
                        for writer in writers:
                            writer.append(RECORD)
                        for writer in writers:
                            barrier = writer.barrier()
                            if barrier is not None:
                                await barrier
                await opened.close()
            return clock.cpu / (groups * runs) * 1e6

        async def plain(runs: int = runs, groups: int = groups) -> float:
            table = "create table log(id integer primary key, body blob)"
            with settings.temporary() as folder:
                connection = bare.database(folder / "x.db", table=table)
                with timed() as clock:
                    for _ in range(groups):
                        if runs > 1:
                            connection.execute("begin immediate")
                        for _ in range(runs):
                            connection.execute("insert into log(body) values(?)", (RECORD,))
                        if runs > 1:
                            connection.execute("commit")
                connection.close()
            return clock.cpu / (groups * runs) * 1e6

        pairs = await alternate(ours, plain, settings.repetitions)
        what = f"{runs} runs append one record each, then one commit" if runs > 1 else "one record, one commit"
        report(f"store.group_{together}", pairs, "us CPU a record", baseline="raw SQLite inserts", what=what)


async def _writer(opened: SqliteStore, run: str) -> Writer:
    await opened.create(NewRun(run, "adder", "", (encode_record(Started(run, "adder", 0.0)),), 0.0))
    lease = await opened.acquire(run, "benchmark", 600.0)
    if not isinstance(lease, Lease):
        raise TypeError(f"the lease of a fresh run is taken: {lease}")
    return opened.writer(lease, 1)


# --------------------------------------------------------------------------------------------------------- the syncs

SYNCS = ("read", "idempotent", "write", "model", "call")


def syncs(settings: Settings) -> None:
    """fsync and fdatasync calls a turn on SQLite, by what the turn does, as strace counts them.

    The difference of a longer and a shorter run, so that opening, finishing and closing do not count.
    """
    strace = shutil.which("strace")
    if strace is None:
        skipped("syncs", "strace is not installed")
        return
    short, long = (2, 4) if settings.tiny else (20, 60)
    for kind in SYNCS:
        with settings.temporary() as folder:
            counts: list[int] = []
            for turns in (short, long):
                log = folder / f"{turns}.log"
                told = json.dumps(["figures.parts:syncing", settings.__dict__, [kind, turns]])
                trace = [strace, "-f", "-qq", "-e", "trace=fsync,fdatasync,sync_file_range", "-o", str(log)]
                done = subprocess.run(
                    [*trace, sys.executable, str(HERE / "run.py"), "--call", told],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                if done.returncode:
                    skipped(f"syncs.{kind}", (done.stderr.strip().splitlines() or ["strace failed"])[-1])
                    return
                counts.append(log.read_text(encoding="utf-8").count("sync("))
        report(f"syncs.{kind}", [(counts[1] - counts[0]) / (long - short)], "syncs a turn", counted=counts)


async def syncing(settings: Settings, kind: str, turns: int) -> int:
    """A run whose turns are of one kind, on SQLite."""

    @tool(effect="write" if kind == "write" else "idempotent" if kind == "idempotent" else "read")
    async def act(a: int, b: int) -> str:
        """Do something."""
        await asyncio.sleep(0)
        return str(a + b)

    @member
    async def ask(ctx: Context, input: Any) -> str:
        model = scripted(0)
        for index in range(turns):
            await ctx.model(f"question {index}", model=model)
        return "done"

    @member
    async def inner(ctx: Context, input: Any) -> Any:
        return input

    @member
    async def outer(ctx: Context, input: Any) -> str:
        for index in range(turns):
            await ctx.call(inner, index)
        return "done"

    whole: Any = {"model": ask, "call": outer}.get(kind) or Agent[Any, str](
        "actor", scripted(turns, "act"), [act], max_iterations=turns + 5
    )
    with settings.temporary() as folder:
        async with Podium(f"sqlite:///{folder}/x.db") as app:
            checked(await whole.run("go", app=app))
    return turns
