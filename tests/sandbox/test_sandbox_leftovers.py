"""Nothing of a box is left: no process, mount, file, control group or user, however the call or the host ended."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from podium import Sandbox
from podium.tools.sandbox.boxes import TEMPLATE
from podium.tools.sandbox.pool import POOL

pytestmark = pytest.mark.usefixtures("box_here")

HOST = """
import asyncio, sys
from podium import Sandbox
from podium.tools.sandbox.boxes import TEMPLATE

async def main():
    box = Sandbox(timeout=600, warm=2)
    await box.run(["true"])
    running = [asyncio.create_task(box.shell("setsid sleep 600 & sleep 600")) for _ in range(2)]
    await asyncio.sleep(2)
    print(TEMPLATE.pid, flush=True)
    await asyncio.gather(*running)

asyncio.run(main())
"""


def below(pid: int) -> set[int]:
    """All descendants of a process."""
    found: set[int] = set()
    pending = [pid]
    while pending:
        current = pending.pop()
        try:
            words = Path(f"/proc/{current}/task/{current}/children").read_text().split()
        except OSError:
            continue
        found |= {int(word) for word in words}
        pending += [int(word) for word in words]
    return found


def groups(template: int) -> list[Path]:
    """Control groups that a template made."""
    pattern = f"podium-box-{template}-*"
    return list(Path("/sys/fs/cgroup").rglob(pattern)) if Path("/sys/fs/cgroup").is_dir() else []


def gone(condition: Callable[[], object], what: str) -> None:
    """Wait until there is nothing more: the kernel takes a box apart after its last process was killed."""
    deadline = time.monotonic() + 60
    while found := condition():
        assert time.monotonic() < deadline, f"still there: {what}: {found}"
        time.sleep(0.05)


def descriptors(pid: int | str) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def mounts() -> str:
    return Path("/proc/self/mountinfo").read_text()


def folders() -> set[Path]:
    """What a box without namespaces would work in."""
    return set(Path(tempfile.gettempdir()).glob("podium-box-*"))


def template_pid() -> int:
    assert TEMPLATE.pid is not None
    return TEMPLATE.pid


async def leaves_nothing(calls: int) -> None:
    """Make calls that end in every way, and compare the machine before and after."""
    box = Sandbox(warm=0, timeout=0.3)
    await box.run(["true"])
    POOL.close()
    template = template_pid()
    gone(lambda: below(template), "processes")
    before = descriptors("self"), descriptors(template), mounts()
    files = folders()
    for index in range(calls):
        if index % 4 == 0:
            await box.python("n", {"n": index})
        elif index % 4 == 1:
            await box.shell("setsid sleep 60 & touch /tmp/x /box/x; exit 1")
        elif index % 4 == 2:
            assert (await box.shell("sleep 60")).limit == "timeout"
        else:
            task = asyncio.create_task(box.run(["sleep", "60"]))
            await asyncio.sleep(0.02)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    gone(lambda: below(template), "processes")
    gone(lambda: groups(template), "control groups")
    gone(lambda: descriptors(template) != before[1], "users' locks in the template")
    assert (descriptors("self"), mounts()) == (before[0], before[2])
    assert folders() == files
    assert template_pid() == template


async def test_a_few_calls_leave_nothing() -> None:
    await leaves_nothing(8)


@pytest.mark.slow
async def test_two_hundred_calls_leave_nothing() -> None:
    await leaves_nothing(200)


async def test_a_cancelled_call_leaves_no_process() -> None:
    box = Sandbox(timeout=600, warm=0)
    POOL.close()
    await box.run(["true"])
    template = template_pid()
    gone(lambda: below(template), "processes")
    task = asyncio.create_task(box.shell("setsid sleep 600 & sleep 600"))
    await asyncio.to_thread(gone, lambda: len(below(template)) < 4, "no processes yet")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    gone(lambda: below(template), "processes")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_host_takes_its_boxes_with_it(how: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", HOST], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        template = int(host.stdout.readline())
        boxes = below(template)
        assert len(boxes) >= 8  # two calls, with launcher, process 1, shell and sleep
        host.send_signal(how)
        host.wait()
    gone(lambda: {pid for pid in {template, *boxes} if Path(f"/proc/{pid}").exists()}, "processes")
    gone(lambda: groups(template), "control groups")


@pytest.mark.slow
def test_a_killed_template_takes_its_boxes_with_it_and_the_next_call_starts_another() -> None:
    box = Sandbox(warm=1)
    box.run_sync(["true"])
    template = template_pid()
    boxes = below(template)
    os.kill(template, signal.SIGKILL)
    gone(lambda: {pid for pid in boxes if Path(f"/proc/{pid}").exists()}, "processes")
    assert box.run_sync(["true"]).success
    assert template_pid() != template
    gone(lambda: groups(template), "control groups")  # the next one sweeps


def test_boxes_that_wait_are_bounded_and_used_once() -> None:
    box = Sandbox(warm=1, env={"KIND": "leftovers"})
    first = box.python_sync("import os; os.stat('/box').st_ino, os.listdir('/box')", files={"a": b""})
    waiting = POOL.waiting()
    second = box.python_sync("import os; os.listdir('/box')")
    assert first.value[1] == ["a"]
    assert second.value == []
    assert 1 <= POOL.waiting() <= 16
    assert POOL.waiting() == waiting


def test_a_fork_of_the_host_does_not_take_the_parents_boxes() -> None:
    code = """
import os
from podium import Sandbox
box = Sandbox(warm=1)
box.run_sync(["true"])
pid = os.fork()
if pid == 0:
    os._exit(0 if box.run_sync(["echo", "child"]).output == "child\\n" else 1)
_, status = os.waitpid(pid, 0)
print(status, box.run_sync(["echo", "parent"]).output)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "0 parent\n\n", done.stderr
