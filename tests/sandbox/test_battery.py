"""Hostile programs get nothing out of a box, and every one of them would without it: `python -m battery` as tests."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import pytest
from battery.harness import PROBES, Row, as_somebody, boxed
from battery.world import SECRET

from podium.core.errors import ConfigurationError
from podium.tools.sandbox import Sandbox, SandboxUnavailable

try:
    Sandbox().rung()
except SandboxUnavailable as unavailable:
    pytest.skip(str(unavailable), allow_module_level=True)

ROOT = os.getuid() == 0
SAMPLE = [
    "canary_file",
    "any_environment",
    "process_vm_readv",
    "host_mem_file",
    "canary_write",
    "core_pattern",
    "root_folder",
    "mount_tmpfs",
    "user_namespace",
    "open_by_handle",
    "io_uring_setup",
    "netlink",
    "int80_call",
    "is_root",
    "has_capabilities",
    "kill_victim",
    "kill_group_0",
    "daemon",
    "tcp_loopback",
    "unix_abstract",
    "inherited",
    "forged_success",
    "link_as_file",
    "memory_many",
    "fork_bomb",
    "disk_fill",
    "endless_output",
]
Runs: TypeAlias = dict[tuple[str, str], "Future[list[Row] | str]"]


def test_the_battery_is_large_and_names_its_probes_once() -> None:
    assert len(PROBES) >= 200
    assert [name for name, n in Counter(probe.name for probe in PROBES).items() if n > 1] == []
    assert len({probe.kind for probe in PROBES}) >= 12
    assert sum("bites" in (probe.root, probe.user) for probe in PROBES) >= 150


def test_a_sample_of_every_class_is_blocked() -> None:
    rows = as_somebody("A" if ROOT else "B", user=not ROOT, only=f"^({'|'.join(SAMPLE)})$", seconds=120)
    assert not isinstance(rows, str), rows
    assert {row.name for row in rows} == set(SAMPLE)
    assert [row for row in rows if row.outcome != "blocked"] == []


@pytest.mark.parametrize("name", ["../escape", "/etc/escape", "a/../../escape", "", ".", "a\0b", "..", "a//../..//b"])
def test_a_file_cannot_be_put_outside_the_work_dir(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"files"):
        Sandbox(files={name: b"x"}).run_sync(["true"])


async def test_nothing_is_left_for_the_next_run() -> None:
    box = Sandbox(timeout=30)
    left = await box.python(
        "import os, sys\n"
        "for place in ('/tmp', '/box', '/dev/shm'): open(place + '/left', 'w').write('x')\n"
        "os.environ['LEFT'] = 'x'; sys.modules['left'] = sys; import builtins; builtins.left = 1"
    )
    assert left.success, left.error
    found = await box.python(
        "import os, sys, builtins\n"
        "result = [p for p in ('/tmp', '/box', '/dev/shm') if os.path.exists(p + '/left')], 'LEFT' in os.environ, "
        "'left' in sys.modules, hasattr(builtins, 'left')"
    )
    assert found.value == [[], False, False, False]


async def test_with_a_network_only_the_listed_hosts_are_within_reach() -> None:
    rows = [await boxed(probe, ["example.com"]) for probe in PROBES if "network" in probe.judge.split()]
    assert len(rows) >= 9
    assert [row for row in rows if row.outcome != "blocked"] == []


@pytest.fixture(scope="module")
def runs() -> Iterator[Runs]:
    """The whole matrix, some at a time."""
    matrix = [("bare", "root"), ("bare", "user"), ("A", "root"), ("A", "user"), ("B", "root"), ("B", "user")]
    with ThreadPoolExecutor(3) as pool:
        yield {(mode, who): pool.submit(as_somebody, mode, user=who == "user") for mode, who in matrix}


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "who"), [("A", "root"), ("A", "user"), ("B", "root"), ("B", "user")])
def test_every_probe_is_blocked(runs: Runs, mode: str, who: str) -> None:
    rows = runs[mode, who].result()
    if isinstance(rows, str):
        pytest.skip(rows)
    if mode == "A" and {row.rung for row in rows} == {"B"}:
        pytest.skip("control groups cannot be used here")
    assert {row.rung for row in rows} == {mode}
    assert len(rows) == len(PROBES)
    assert [row for row in rows if row.outcome != "blocked"] == []


@pytest.mark.slow
@pytest.mark.parametrize(("who", "least"), [("root", 150), ("user", 100)])
def test_without_a_sandbox_the_probes_bite(runs: Runs, who: str, least: int) -> None:
    rows = runs["bare", who].result()
    if isinstance(rows, str):
        pytest.skip(rows)
    outcomes = Counter(row.outcome for row in rows)
    assert outcomes["void"] == 0, [row for row in rows if row.outcome == "void"]
    assert outcomes["escaped"] >= least
    # Another kernel may lack one or the other; here each that says so bites.
    assert outcomes["blocked"] <= 10, [row for row in rows if row.outcome == "blocked"]
    assert all(re.search(r"\w+ \w+", row.detail) for row in rows if row.outcome == "apart")
    assert not any(SECRET.decode() in row.detail for row in rows)
