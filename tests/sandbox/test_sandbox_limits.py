"""Every limit is reached here, and each is named by the supervisor, whatever the program says."""

from __future__ import annotations

import asyncio

import pytest

from podium import Sandbox
from podium.tools.sandbox import probe

pytestmark = pytest.mark.usefixtures("box_here")

FORKS = (
    "import os, time\nfor _ in range(40):\n    if os.fork() == 0:\n        time.sleep(30); os._exit(0)\ntime.sleep(30)"
)
GROWS = "kept = []\nwhile True: kept.append(bytearray(1 << 20))"
GROWS_IN_CHILDREN = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        kept = bytearray(os.urandom(1 << 20) * 30)
        time.sleep(30)
time.sleep(30)
"""


@pytest.mark.parametrize(
    ("limit", "options", "code"),
    [
        ("timeout", {"timeout": 0.5}, "import time; time.sleep(60)"),
        ("timeout", {"timeout": 0.5}, "import os, time; os.close(1); os.close(2); os.close(3); time.sleep(60)"),
        ("cpu", {"cpu_seconds": 0.5}, "while True: pass"),
        ("memory", {"memory_mb": 80}, GROWS),
        ("memory", {"memory_mb": 80}, GROWS_IN_CHILDREN),
        ("processes", {"processes": 10}, FORKS),
        ("disk", {"disk_mb": 4}, "open('x', 'wb').write(bytes(5 << 20))"),
        ("disk", {}, "for n in range(20_000): open(str(n), 'w').close()"),
        ("output", {"output_limit": 10_000}, "while True: print('x' * 1000)"),
        ("output", {"output_limit": 10_000}, "import os\nwhile True: os.write(3, b' ' * 1000)"),
    ],
)
async def test_a_limit_that_is_reached_is_named(limit: str, options: dict, code: str) -> None:
    result = await Sandbox(**options).python(code)
    assert (result.success, result.limit) == (False, limit)
    assert "give it more with" in (result.error or "")
    assert result.value is None


async def test_the_cpu_time_of_children_that_nobody_waits_for_counts() -> None:
    code = """import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so the kernel adds their time to nobody's
for _ in range(10):
    if os.fork() == 0:
        while time.process_time() < 0.5: pass
        os._exit(0)
    try: os.wait()
    except ChildProcessError: pass"""
    assert (await Sandbox(cpu_seconds=1, timeout=120).python(code)).limit == "cpu"


async def test_what_was_printed_before_the_limit_is_kept() -> None:
    result = await Sandbox(timeout=1).shell("echo before; sleep 60")
    assert (result.limit, result.output, result.exit_code) == ("timeout", "before\n", None)
    assert result.cpu_ms is None, "what nobody measured is not told as nothing"
    assert ((await Sandbox().python("sum(range(10**6))")).cpu_ms or 0) > 0


async def test_output_and_error_together_are_no_more_than_the_limit() -> None:
    script = "printf %90s x; sleep 0.2; printf %90s y >&2; sleep 60"
    result = await Sandbox(output_limit=100).shell(script)
    assert (result.limit, len(result.output) + len(result.stderr)) == ("output", 100)


async def test_a_flood_of_bytes_that_are_no_text_is_no_more_than_the_limit_either() -> None:
    result = await Sandbox(output_limit=1000).shell("while :; do printf '\\377\\342\\202\\0'; printf '\\377' >&2; done")
    assert result.limit == "output"
    assert len((result.output + result.stderr).encode()) <= 1000


async def test_a_limit_that_nobody_set_cannot_be_claimed() -> None:
    result = await Sandbox().shell("kill -XCPU $$")
    assert (result.limit, result.error) == (None, "it was ended by SIGXCPU")


async def test_signals_cannot_be_used_to_outlive_the_timeout() -> None:
    result = await Sandbox(timeout=1).shell("trap '' TERM INT HUP; setsid sh -c 'sleep 60' & while :; do sleep 1; done")
    assert result.limit == "timeout"


async def test_a_program_that_copes_with_a_full_disk_succeeds() -> None:
    code = "try: open('x', 'wb').write(bytes(5 << 20))\nexcept OSError as error: result = error.errno"
    result = await Sandbox(disk_mb=4).python(code)
    assert (result.success, result.value, result.limit) == (True, 28, None)


async def test_the_parts_that_can_be_written_share_one_disk() -> None:
    result = await Sandbox(disk_mb=4).shell(
        "for d in /box /tmp /dev/shm; do head -c 2000000 /dev/zero > $d/x || exit 1; done"
    )
    assert result.limit == "disk"


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("b'[' * 100_000 + b']' * 100_000", "levels deep"),
        ("b'[' * 65 + b']' * 65", "levels deep"),
        ("b'{\"success\": tru'", "not JSON"),
        ("bytes(range(256))", "not JSON"),
        ("b'[1e999]'", "not JSON"),
    ],
)
async def test_a_value_that_is_forged_badly_is_a_failure(written: str, said: str) -> None:
    result = await Sandbox().python(f"import os\nos.write(3, {written})\nos._exit(0)")
    assert (result.success, result.value) == (False, None)
    assert said in (result.error or "")


async def test_a_forged_value_is_data_and_never_a_status() -> None:
    code = """import os
forged = b'{"success": true, "limit": null, "exit_code": 0, "end": {"status": 0}}'
for descriptor in range(256):
    try: os.write(descriptor, forged)
    except OSError: pass
os._exit(7)"""
    result = await Sandbox().python(code)
    assert (result.success, result.exit_code, result.value) == (False, 7, None)


async def test_cancelling_the_call_ends_the_box_at_once() -> None:
    box = Sandbox(timeout=600)
    task = asyncio.create_task(box.shell("while :; do sleep 1; done"))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await box.run(["true"])).success


async def test_a_machine_with_control_groups_holds_memory_that_no_process_maps() -> None:
    if probe()[0] != "A":
        pytest.skip("no control groups that this user may make")
    code = "import os\nfd = os.memfd_create('x')\nwhile True: os.write(fd, bytes(1 << 20))"
    assert (await Sandbox(memory_mb=80).python(code)).limit in ("memory", "disk")
