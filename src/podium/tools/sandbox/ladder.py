"""How well this machine can isolate: each rung is tried by making a real box, once per process, and remembered.

A   namespaces, a root of its own, Landlock, seccomp, and a control group as hard bound of memory and processes
B   the same with a watchdog instead of the control group
C   bwrap makes the namespaces, where only it is allowed to
D   Landlock, seccomp and limits without namespaces: only for `floor="D"`
"""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import threading
from typing import Any, Final

from . import profile
from .exchange import Outcome, Request, exchange
from .inside import kernel, landlock
from .pool import POOL
from .result import Missing, Rung, SandboxUnavailable

RUNGS: Final[tuple[Rung, ...]] = ("A", "B", "C", "D")
_LINUX: Final = "run Podium on Linux (in a virtual machine, or a container that may make user namespaces)"
_REMEDIES: Final = {
    "namespaces": (
        "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1, "
        "kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces=10000), or install bubblewrap "
        'and say floor="C"; in a container allow unshare and mount (Docker: --cap-add SYS_ADMIN '
        "--security-opt seccomp=unconfined --security-opt apparmor=unconfined)"
    ),
    "mounts": (
        "let the process mount a fresh /proc (Docker: --security-opt systempaths=unconfined; Podman: "
        "--security-opt unmask=ALL)"
    ),
    "cgroup": "run as root, or in a delegated group (systemd-run --user --scope -p Delegate=yes), for hard bounds",
    "landlock": "use Linux 5.13 or newer with landlock in the kernel parameter lsm=",
    "bwrap": "install bubblewrap (the program bwrap), and run as an ordinary user",
    "machine": "use a machine with x86_64 or aarch64",
    "system": _LINUX,
    "python": (
        "use a Python that the user can read and execute without passing private folders, such as the system's own"
    ),
}
_OTHER: Final = "look for what confines this process itself (a container's seccomp profile, an LSM)"


class Ladder:
    """What was found out about this machine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tried: dict[Rung, Missing | None] = {}

    def best(self, floor: Rung) -> Rung:
        """The best rung that is not below `floor`. Blocks while it tries. Raises SandboxUnavailable."""
        missing: list[Missing] = []
        with self._lock:
            for rung in RUNGS[: RUNGS.index(floor) + 1]:
                if rung not in self._tried:
                    self._tried[rung] = _try(rung)
                found = self._tried[rung]
                if found is None:
                    return rung
                missing.append(found)
        raise SandboxUnavailable(_worst(missing), floor)

    def known(self, floor: Rung) -> Rung | None:
        """What `best` found before; None when it has to try."""
        for rung in RUNGS[: RUNGS.index(floor) + 1]:
            if rung not in self._tried:
                return None
            if self._tried[rung] is None:
                return rung
        return None

    def refused(self) -> list[Missing]:
        """What rungs lacked that were tried in vain; what matters most last."""
        return _worst([found for rung in RUNGS if (found := self._tried.get(rung)) is not None])


LADDER: Final = Ladder()


def _worst(missing: list[Missing]) -> list[Missing]:
    """The step that matters most last: what kept rung B from working, not that bwrap is missing as well."""
    return sorted(missing, key=lambda each: (each.rung == "B", each.step in ("system", "machine")))


def _try(rung: Rung) -> Missing | None:
    """Make a box of this rung and run `true` in it."""
    if sys.platform != "linux":
        return _missing(rung, "system", 0, f"{sys.platform} has none of what isolates a program here")
    if kernel.MACHINE not in kernel.MACHINES:
        return _missing(rung, "machine", 0, f"system calls of {kernel.MACHINE} are not known to Podium")
    if landlock.version() == 0:
        return _missing(rung, "landlock", errno.EOPNOTSUPP, "this kernel has no Landlock")
    if rung == "C" and (profile.bwrap() is None or os.getuid() == 0):
        return _missing(rung, "bwrap", 0, "there is no bwrap on PATH" if os.getuid() else "for root it adds nothing")
    try:
        outcome = asyncio.run(_true(rung))
    except OSError as error:
        step = "python" if isinstance(error, PermissionError) else "process"
        return _missing(rung, step, error.errno or 0, error.strerror or str(error))
    if outcome.failed is not None:
        failed = outcome.failed
        return _missing(rung, failed["step"], failed["errno"], failed["text"])
    if outcome.end is None or outcome.end["status"] != 0:
        return _missing(rung, "process", 0, _why(outcome))
    return None


def _why(outcome: Outcome) -> str:
    if outcome.end is not None and outcome.end["not_started"]:
        return f"a program could not be confined: {outcome.end['not_started']}"
    if outcome.end is not None:
        return f"/bin/true ended with status {outcome.end['status']}"
    return "the box ended without a word" if outcome.limit is None else "the box was not made in time"


async def _true(rung: Rung) -> Outcome:
    spec: dict[str, Any] = profile.Profile().spec(rung)
    return await exchange(POOL.take(spec), Request(argv=("/bin/true",)))


def _missing(rung: Rung, step: str, number: int, text: str) -> Missing:
    return Missing(rung, step, number, text, _REMEDIES.get(step, _OTHER))
