"""What a machine can do, found out by doing it: as root, as an ordinary user, and where namespaces are refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from ordinary_user import run_as_ordinary

from podium.tools.sandbox import Missing, SandboxUnavailable, describe, probe
from podium.tools.sandbox.inside import seccomp

REFUSING = """
from podium import Sandbox, SandboxUnavailable
from podium.tools.sandbox.inside import seccomp

seccomp.install(seccomp.program(memfd=True))  # it refuses unshare, as many containers do
try:
    Sandbox().run_sync(["true"])
except SandboxUnavailable as error:
    print(error)
    print([(missing.rung, missing.step, missing.errno) for missing in error.missing])
"""


def test_root_gets_hard_bounds_where_control_groups_can_be_made(box_here: None) -> None:
    best, missing = probe()
    if os.getuid() != 0:
        pytest.skip("not root")
    assert best == "A" or missing[0].step == "cgroup"


def test_an_ordinary_user_gets_a_sandbox_that_works(box_here: None) -> None:
    code = """
from podium import Sandbox
box = Sandbox()
print(box.rung(), box.python_sync("import os; (os.getuid(), n * 2)", {"n": 21}).value)
print(box.shell_sync("id -u; cat /proc/self/uid_map; ls /home /root 2>&1 | wc -l").output)
print(Sandbox(memory_mb=80).python_sync("x = []\\nwhile True: x.append(bytearray(1 << 20))").limit)
print(Sandbox(processes=10).python_sync("import os, time\\nfor _ in range(40):\\n  os.fork() or time.sleep(9)").limit)
print(Sandbox(timeout=0.5).shell_sync("sleep 60").limit)
"""
    out = run_as_ordinary(code)
    assert "[1000, 42]" in out
    assert out.split()[0] in ("A", "B")
    assert out.split()[-3:] == ["memory", "processes", "timeout"]


@pytest.mark.parametrize("user", ["root", "ordinary"])
def test_where_namespaces_are_refused_the_error_names_the_step_its_errno_and_the_remedy(
    user: str, box_here: None
) -> None:
    if user == "ordinary":
        out = run_as_ordinary(REFUSING)
    else:
        done = subprocess.run([sys.executable, "-c", REFUSING], capture_output=True, text=True, timeout=60, check=False)
        out = done.stdout or done.stderr
    line, missing = out.strip().splitlines()
    assert line.startswith("no sandbox of rung B or better on this machine: namespaces: unshare: ")
    assert "Operation not permitted (errno 1); allow unprivileged user namespaces" in line
    assert "kernel.apparmor_restrict_unprivileged_userns" in line
    assert "('B', 'namespaces', 1)" in missing


def test_the_lowest_rung_is_only_for_those_who_ask_and_still_confines(box_here: None) -> None:
    code = REFUSING.partition("try:")[0] + (
        "box = Sandbox(floor='D')\n"
        "print(box.rung(), box.python_sync('1 + 1').value)\n"
        "print(box.shell_sync('cat /etc/hostname /proc/1/environ; echo x > /var/tmp/podium-x').exit_code)\n"
        "print(box.python_sync('import socket; socket.socket()').error)\n"
        "print(box.run_sync(['sh', '-c', 'pwd; echo hi > out']).files)\n"
    )
    out = run_as_ordinary(code).splitlines()
    assert out[0] == "D 2"
    assert out[1] != "0"
    assert "Address family not supported" in out[2]
    assert out[3] == "{'out': b'hi\\n'}"


def test_bwrap_makes_the_box_where_only_it_may() -> None:
    if shutil.which("bwrap") is None:
        pytest.skip("bwrap is not installed")
    code = """
from podium import Sandbox
from podium.tools.sandbox import Missing
from podium.tools.sandbox.ladder import LADDER
LADDER._tried.update({rung: Missing(rung, "namespaces", 1, "refused", "") for rung in "AB"})  # this machine allows them
box = Sandbox(floor="C")
print(box.rung(), box.python_sync("import os; (os.getuid(), os.listdir('/home'))").error)
print(box.shell_sync("cat /etc/shadow; echo x > /usr/x; id -u").output)
print(Sandbox(floor="C", memory_mb=80).python_sync("x = []\\nwhile True: x.append(bytearray(1 << 20))").limit)
print(Sandbox(floor="C", timeout=1).shell_sync("setsid sleep 60 & sleep 60").limit)
print(box.python_sync("import os\\ntry: os.kill(1, 9)\\nexcept OSError: pass\\n'alive'").value)
"""
    out = run_as_ordinary(code).split("\n")
    assert "FileNotFoundError" in out[0]
    assert [line for line in out[1:] if line] == ["1000", "memory", "timeout", "alive"]


def test_another_system_is_refused_with_what_to_do_instead() -> None:
    error = SandboxUnavailable([Missing("B", "system", 0, "darwin has none of what isolates", "run Podium on Linux")])
    assert str(error).endswith("system: darwin has none of what isolates; run Podium on Linux")


def test_doctor_says_what_it_found(box_here: None) -> None:
    ok, detail, _ = describe()
    assert ok
    assert detail.startswith(f"rung {probe()[0]}: ")


@pytest.mark.parametrize("memfd", [True, False])
@pytest.mark.parametrize("families", [(1,), (1, 2, 10)])
def test_every_jump_of_the_filter_lands_inside_it(memfd: bool, families: tuple[int, ...]) -> None:
    import struct

    code = list(struct.iter_unpack("=HBBI", seccomp.program(memfd=memfd, families=families)))
    assert len(code) < 4096
    assert code[-1][0] == 0x06  # every path ends with an answer
    for index, (op, yes, no, _) in enumerate(code):
        if op & 0x07 == 0x05:
            assert index + 1 + max(yes, no) < len(code)
        assert max(yes, no) <= 255
