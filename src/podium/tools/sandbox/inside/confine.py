"""The last steps before the payload's program replaces this process: every confinement that a process puts on itself.

Order matters: the group and the limits first, then the user and the capabilities, then Landlock, then seccomp, which
would refuse the calls that the others need.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from typing import Any, Final

from . import kernel, landlock, root, seccomp
from .cgroup import Group

_OPEN_FILES: Final = 256
_MEGABYTE: Final = 1 << 20


def run_payload(
    spec: Mapping[str, Any],
    argv: Sequence[str] | None,
    pipes: Sequence[int],
    own: tuple[int, int],
    *,
    group: Group | None,
    user: int | None,
) -> None:
    """Become the payload's program, confined. Returns never; what fails is written to a pipe.

    Args:
        spec: the box (see `launch`).
        argv: the program and its arguments; None to read them from a pipe, when everything else is done.
        pipes: what become descriptors 0, 1, 2 and 3.
        own: a pipe for what fails, and the one that `argv` is read from. Both close when the program starts.
        group: the control group, on rung A.
        user: the user to become, when this process is root.
    """
    told = own[0]
    try:
        os.setsid()
        with contextlib.suppress(OSError):
            _write("/proc/self/oom_score_adj", b"1000")  # when the machine runs out of memory, this goes first
        if group is not None:
            group.enter()
        limits(spec, hard_memory=group is None)
        _become(user)
        _restrict(spec)
        told, named = _descriptors(pipes, own)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)  # the host, the template and Python ignore some; exec would keep that
        network = spec["network"]
        families = (seccomp.AF_UNIX, seccomp.AF_INET, seccomp.AF_INET6) if network else (seccomp.AF_UNIX,)
        seccomp.install(seccomp.program(memfd=group is not None, families=families))
        if argv is None:
            argv = _argv(named)
        os.execvpe(argv[0], list(argv), spec["env"])
    except OSError as error:
        with contextlib.suppress(OSError):
            os.write(told, f"{error.errno or 0}:{error.strerror or error}".encode()[:500])
    finally:
        os._exit(127)


def limits(spec: Mapping[str, Any], *, hard_memory: bool) -> None:
    """Limits of each process. `hard_memory` where no group bounds memory."""
    disk = spec["disk_mb"] * _MEGABYTE
    given = {
        "CORE": 1,  # 0 would still start a core_pattern pipe handler; 1 starts neither
        "FSIZE": 2 * disk + _MEGABYTE,
        "MEMLOCK": 65536,
        "MSGQUEUE": 0,
        "NOFILE": _OPEN_FILES,
        "NPROC": spec["processes"] + spec["spare_processes"],
        "NICE": 0,
        "RTPRIO": 0,
        "SIGPENDING": 1024,
    }
    if spec["cpu_seconds"] is not None:
        given["CPU"] = int(spec["cpu_seconds"]) + 1
    if hard_memory:
        # Twice what the watchdog allows: it sees growth at intervals, and this bounds what one process does between.
        given["DATA"] = 2 * spec["memory_mb"] * _MEGABYTE
    for name, value in given.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        _, most = resource.getrlimit(kind)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (value, value))


def _become(user: int | None) -> None:
    if user is None:
        kernel.drop_capabilities()
        return
    kernel.drop_capabilities_bounding()
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    kernel.clear_capabilities()


def _restrict(spec: Mapping[str, Any]) -> None:
    network = spec["network"]
    ports = [network["port"]] if network else []
    writing = [*spec["writable"], *root.DEVICES]
    landlock.restrict(reading=spec["readable"], writing=writing, connect=ports, bind=spec.get("bind"))


def _descriptors(pipes: Sequence[int], own: tuple[int, int]) -> tuple[int, int]:
    """Descriptors 0 to 3 are the pipes; our own two, which follow, close on exec; there are no others."""
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 64) for descriptor in (*pipes, *own)]
    for target, source in enumerate(high):
        os.dup2(source, target, inheritable=target < len(pipes))
    os.closerange(len(high), 65536)
    return len(pipes), len(pipes) + 1


def _argv(named: int) -> list[str]:
    with open(named, "rb", closefd=False) as words:
        text = words.read()
    if not text:
        os._exit(0)  # no call came
    return json.loads(text)


def _write(path: str, text: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text)
    finally:
        os.close(descriptor)
