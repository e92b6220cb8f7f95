"""A control group that root hands to an ordinary user, as `systemd-run --user -p Delegate=yes` would.

Version 1 of the interface alone: with version 2, systemd does it (and only there are unprivileged groups usual).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Generator
from pathlib import Path

from podium.tools.sandbox.inside.cgroup import ROOT


@contextlib.contextmanager
def delegated(user: int) -> Generator[list[str] | str]:
    """The start of a command line that puts what follows into a group of `user`'s; why it cannot be had otherwise."""
    made: list[Path] = []
    try:
        why = _make(made, user)
        enter = "".join(f"echo $$ > {folder}/cgroup.procs && " for folder in made)
        yield why or ["/bin/sh", "-c", f'{enter}exec "$@"', "delegated"]
    finally:
        for folder in made:
            _remove(folder)


def _make(made: list[Path], user: int) -> str:
    try:
        for base in _own():
            folder = base / f"podium-delegated-{os.getpid()}"
            folder.mkdir()
            made.append(folder)
            for path in (folder, folder / "cgroup.procs", folder / "tasks"):
                os.chown(path, user, user)
    except OSError as error:
        return f"root cannot delegate a control group here: {error}"
    return ""


def _own() -> list[Path]:
    own: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        own |= dict.fromkeys(controllers.split(","), path)
    if not {"memory", "pids"} <= own.keys():
        raise FileNotFoundError("no control groups of version 1 for memory and processes")
    return [Path(f"{ROOT}/{name}{own[name]}") for name in ("memory", "pids")]


def _remove(folder: Path) -> None:
    for _ in range(100):
        for line in (folder / "cgroup.procs").read_text(encoding="ascii").split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line), signal.SIGKILL)
        for below in folder.glob("*/"):
            with contextlib.suppress(OSError):
                below.rmdir()
        with contextlib.suppress(OSError):
            folder.rmdir()
            return
        time.sleep(0.05)
