"""Hosts in odd states: a box is the same, or says in one line why there is none, and costs the host nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from podium import ConfigurationError, Sandbox
from podium.tools.sandbox.boxes import TEMPLATE
from podium.tools.sandbox.pool import POOL

pytestmark = pytest.mark.usefixtures("box_here")
HOST = """
import os, signal, sys
from pathlib import Path
from podium import Sandbox
{before}
result = Sandbox().run_sync(["grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"])
Path(sys.argv[1]).write_text(repr(result.output.split()))
"""


CLEAN = "['SigBlk:', '0000000000000000', 'SigIgn:', '0000000000000000']"


@pytest.mark.parametrize(
    ("before", "shell"),
    [
        ("signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())", 'exec "$@"'),
        ("[signal.signal(n, signal.SIG_IGN) for n in (signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR1)]", 'exec "$@"'),
        ("", 'exec "$@" <&- >&- 2>&-'),
        ("", 'umask 0777; exec "$@"'),
        ("", 'mkdir "$0"; cd "$0"; rmdir "$0"; exec "$@"'),
        ("", 'unset HOME; TMPDIR=/proc PYTHONOPTIMIZE=2 PYTHONHASHSEED=0 LC_ALL=C exec "$@"'),
    ],
    ids=["signals blocked", "signals ignored", "no standard streams", "umask", "no current folder", "environment"],
)
def test_a_box_inherits_nothing_of_an_odd_host(before: str, shell: str, tmp_path: Path) -> None:
    told = tmp_path / "told"
    told.touch()
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    argv = ["/bin/sh", "-c", shell, str(tmp_path / "host"), sys.executable, "-c", HOST.format(before=before), str(told)]
    done = subprocess.run(argv, env=env, check=False, capture_output=True, text=True, timeout=120)
    assert (told.read_text() or done.stderr[-500:]) == CLEAN


async def test_a_host_without_descriptors_is_told_and_loses_none() -> None:
    box = Sandbox(warm=0)
    assert (await box.run(["true"])).success
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = _descriptors()
    taken: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before) + 20, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(9):  # a box takes ten
            os.close(taken.pop())
            with pytest.raises(ConfigurationError, match="Too many open files"):
                await box.run(["true"])
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert _descriptors() == before
    assert (await box.run(["true"])).success


async def test_a_host_without_a_folder_for_temporary_files_is_told_when_one_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    assert (await Sandbox().run(["true"])).success
    with pytest.raises(ConfigurationError, match="set TMPDIR to a writable folder"):
        await Sandbox(network=True).run(["true"])


async def test_a_box_that_cannot_be_made_does_not_end_those_that_run() -> None:
    POOL.close()
    TEMPLATE.close()  # so that its only child is the box of this test
    slow = asyncio.create_task(Sandbox(warm=0).shell("sleep 5; echo still here"))
    while (template := TEMPLATE.pid) is None or not _children(template):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    held = resource.prlimit(template, resource.RLIMIT_NOFILE)
    resource.prlimit(template, resource.RLIMIT_NOFILE, (3, held[1]))  # it cannot take what the host hands over
    try:
        failed = await Sandbox(warm=0).run(["true"])
    finally:
        resource.prlimit(template, resource.RLIMIT_NOFILE, held)
    assert (failed.success, failed.exit_code) == (False, None)
    assert (await slow).output == "still here\n"
    assert TEMPLATE.pid == template


def _descriptors() -> set[int]:
    return {int(each.name) for each in Path("/proc/self/fd").iterdir()}


def _children(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()
