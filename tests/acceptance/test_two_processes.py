"""Two processes, one run: one drives; one that was frozen does no more harm; one that is dead keeps nobody waiting."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import FILE, STEPS, chain

from podium import Podium, RunBusy
from podium.core.records import Ended, Resumed

ALL = [f"r:chain.1/{name}.{n}" for n in range(1, STEPS + 1) for name in ("pay", "post")]
"""The effects of a whole run, each once."""


def cli(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "podium", *words], capture_output=True, text=True, timeout=60)


def stolen(db: Path) -> subprocess.CompletedProcess[str]:
    return cli("resume", "r", "--steal", "--store", str(db), "--target", f"{FILE}:chain", "--quiet")


async def count(db: Path) -> int:
    async with Podium(db) as app:
        return len(await app.store.read("r"))


async def test_the_second_process_is_told_who_drives_the_run_and_for_how_long(
    db: Path, effects: Callable[[], list[str]], child: Callable
) -> None:
    first = child("drive", db, "r", led=True)
    first.led_to("looking 2")
    async with Podium(db) as app:
        row = await app.row("r")
        assert row is not None
        assert str(first.process.pid) in row.owner
        with pytest.raises(RunBusy, match=r"for at least \d+ s more.*podium resume r --steal") as caught:
            await app.resume("r", chain)
        assert row.owner in str(caught.value)
        with pytest.raises(RunBusy):
            await chain.run(STEPS, app=app, run_id="r")
    command = cli("resume", "r", "--store", str(db), "--target", f"{FILE}:chain")
    assert command.returncode == 6
    assert row.owner in command.stderr
    assert effects() == ALL[:4], "neither of them acted"
    first.go_on()
    assert first.rest()[-1] == "succeeded"
    assert effects() == ALL


@pytest.mark.parametrize("place", ["looking 2", "posting 2"])
async def test_a_process_thawed_after_its_run_was_taken_over_stops_and_does_nothing_more(
    place: str, db: Path, effects: Callable[[], list[str]], child: Callable
) -> None:
    frozen = child("drive", db, "r", led=True)
    frozen.led_to(place)
    frozen.freeze()
    before = effects()
    thief = stolen(db)
    assert thief.returncode == 0, thief.stderr
    after, recorded = effects(), await count(db)
    frozen.thaw()
    frozen.go_on()
    # A read needs nothing durable before it, so one may still look before the refusal of what went before is known.
    assert [line for line in frozen.rest() if not line.startswith("looking ")] == ["LeaseLost"]
    assert effects() == after, "nothing that changes the world was started"
    assert await count(db) == recorded, "nothing was recorded"
    in_flight = before[-1:] if place == "posting 2" else []
    assert sorted(after) == sorted(ALL + in_flight), "once each, but for the one in flight, under its own key"


async def test_a_write_in_flight_when_its_process_froze_is_asked_about_and_not_repeated(
    db: Path, effects: Callable[[], list[str]], child: Callable
) -> None:
    frozen = child("drive", db, "r", led=True)
    frozen.led_to("paying 2")
    frozen.freeze()
    thief = stolen(db)
    assert thief.returncode == 3, thief.stderr
    recorded = await count(db)
    frozen.thaw()
    frozen.go_on()
    assert frozen.rest() == ["LeaseLost"]
    assert await count(db) == recorded
    async with Podium(db, members=[chain]) as app:
        handle = app.handle("r")
        [item] = await handle.pending()
        assert (item.why, item.tool) == ("in_doubt", "pay")
        await handle.answer(value="happened", result="paid 2, as the bank says")
        result = await handle.result()
        assert result.output[4] == "paid 2, as the bank says"
        records = await app.store.read("r")
    assert effects() == ALL
    ended = [record.key for record in records if isinstance(record, Ended)]
    assert len(ended) == len(set(ended)), "each step was recorded by one process"


async def test_the_run_of_a_killed_process_goes_on_at_once(
    db: Path, effects: Callable[[], list[str]], child: Callable
) -> None:
    killed = child("drive", db, "r", led=True)
    killed.led_to("looking 3")
    killed.kill()
    async with Podium(db) as app:
        result = await app.resume("r", chain)
    assert result.status == "succeeded"
    assert effects() == ALL
    [resumed] = [record for record in result.records if isinstance(record, Resumed)]
    assert resumed.stolen_until is None, "the lease was known to be free, and not taken from anybody"
