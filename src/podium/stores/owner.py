"""Who drives a run: the text in a lease's `owner`, and the proof that its process is gone.

A lease normally ends by expiry. When the process that held it is *proven* dead (same host, same boot, same process
and time namespace), the run can go on at once. Everything short of a proof counts as alive: a wrong "dead" would let
two drivers work at the same time until fencing stops one of them. This module knows nothing of stores.
"""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path

_LINUX = "linux"
_PROC = Path("/proc")


def this_owner() -> str:
    """An owner text for this process, new at each call.

    `linux/HOST/BOOT/NAMESPACES/PID/START/NONCE` where `/proc` says so, else `other/HOST/PID/NONCE`, for which
    `is_dead` never has a proof.
    """
    pid, nonce = os.getpid(), secrets.token_hex(4)
    host = socket.gethostname().replace("/", "_")[:32]
    place, own = _place(), _process(pid)
    if place is None or own is None:
        return f"other/{host}/{pid}/{nonce}"
    return f"{_LINUX}/{host}/{place}/{pid}/{own[1]}/{nonce}"


def is_dead(owner: str) -> bool:
    """Whether the owner's process is proven not to exist any more.

    True only on the same boot, process namespace and time namespace, when the process id is free, belongs to a
    process with another start time, or to one that has exited (a zombie). False for anything else.
    """
    parts = owner.split("/")
    if len(parts) != 7 or parts[0] != _LINUX or not (parts[4].isdigit() and parts[5].isdigit()):
        return False
    _, _, boot, namespaces, pid, start, _ = parts
    if _place() != f"{boot}/{namespaces}":
        return False
    try:
        # Asked before /proc, because a /proc mounted with hidepid hides processes that live.
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    seen = _process(int(pid))
    return seen is not None and (seen[0] in "ZX" or seen[1] != start)


def _place() -> str | None:
    """`BOOT/PIDNS.TIMENS`: where a process id and a start time mean the same thing; None if it cannot be told."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip().replace("-", "")
        if (_PROC / "self").readlink().name != str(os.getpid()):
            return None  # this /proc belongs to another process namespace
        namespaces = _namespace("pid") + "." + _namespace("time")
    except (OSError, ValueError):
        return None
    return f"{boot}/{namespaces}"


def _namespace(kind: str) -> str:
    try:
        return (_PROC / f"self/ns/{kind}").readlink().name.partition("[")[2].rstrip("]")
    except FileNotFoundError:
        return ""  # kernels before 5.6 have no time namespaces


def _process(pid: int) -> tuple[str, str] | None:
    """State letter and start time (clock ticks since boot) of a process; None if they cannot be read."""
    try:
        text = (_PROC / str(pid) / "stat").read_text("utf-8", "replace")
    except OSError:
        return None
    # The command's name stands in brackets and may hold anything, brackets too: count from the last one.
    fields = text.rpartition(")")[2].split()
    return (fields[0], fields[19]) if len(fields) > 19 else None
