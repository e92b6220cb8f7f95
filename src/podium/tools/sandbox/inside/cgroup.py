"""Control groups: the hard bounds of memory and processes, in version 1 or 2 of the interface.

A group is made beside or below this process's own, so a limit that this process is under stays in force.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

ROOT: Final = "/sys/fs/cgroup"
NAME: Final = "podium-box-"


class Bases:
    """Where groups can be made: for version 2 one folder, for version 1 one for each controller."""

    def __init__(self, version: int, folders: dict[str, str]) -> None:
        self.version, self.folders = version, folders

    def paths(self, name: str) -> list[str]:
        """The folders of the group `name`."""
        return sorted({f"{folder}/{NAME}{name}" for folder in self.folders.values()})


def find(name: str) -> Bases | None:
    """Where groups can be made, found by making one; None where that is not allowed."""
    for bases in _candidates():
        try:
            Group(bases, name, memory=64 << 20, processes=8).close()
        except OSError:
            remove(bases, name)
            continue
        remove(bases, name)
        return bases
    return None


def _candidates() -> list[Bases]:
    own: dict[str, str] = {}
    with contextlib.suppress(OSError), open("/proc/self/cgroup", encoding="utf-8") as lines:
        for line in lines:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            for controller in controllers.split(","):
                own[controller] = path
    found: list[Bases] = []
    if "" in own:
        for mount in (ROOT, f"{ROOT}/unified"):
            here = (mount + own[""]).rstrip("/")
            # Beside its own group: in its own, only leaves may hold processes.
            folders = dict.fromkeys([here, here.rpartition("/")[0] if here != mount else here])
            usable = (each for each in folders if _holds(f"{each}/cgroup.subtree_control", {"memory", "pids"}))
            found += [Bases(2, {"": folder}) for folder in usable]
    if "memory" in own and "pids" in own:
        folders = {
            name: (f"{ROOT}/{name}{own[name]}").rstrip("/") for name in ("memory", "pids", "cpuacct") if name in own
        }
        found.append(Bases(1, folders))
        if "cpuacct" in folders:  # counts CPU time; where it is not ours to use, processes are asked for theirs
            found.append(Bases(1, {name: folders[name] for name in ("memory", "pids")}))
    return found


def _holds(path: str, words: set[str]) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            return words <= set(file.read().split())
    except OSError:
        return False


class Group:
    """One box's group, as descriptors: they go on working when the box can no longer see these folders."""

    def __init__(self, bases: Bases, name: str, *, memory: int, processes: int) -> None:
        self.join: list[int] = []
        self.events: dict[str, int] = {}
        self._cpu: int | None = None
        self._version = bases.version
        try:
            for controller, base in bases.folders.items():
                folder = f"{base}/{NAME}{name}"
                os.mkdir(folder, 0o755)
                self.join.append(os.open(f"{folder}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
                self._limit(folder, controller, memory, processes)
        except BaseException:
            self.close()
            raise

    def _limit(self, folder: str, controller: str, memory: int, processes: int) -> None:
        if controller in ("", "cpuacct"):
            name = "cpuacct.usage" if controller else "cpu.stat"
            with contextlib.suppress(FileNotFoundError):
                self._cpu = os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        if controller in ("", "pids"):
            _write(f"{folder}/pids.max", str(processes))
            self._watch("processes", f"{folder}/pids.events")
        if controller == "":
            _write(f"{folder}/memory.max", str(memory))
            with contextlib.suppress(OSError):
                _write(f"{folder}/memory.swap.max", "0")
            with contextlib.suppress(OSError):
                _write(f"{folder}/memory.oom.group", "1")
            self._watch("memory", f"{folder}/memory.events")
        elif controller == "memory":
            _write(f"{folder}/memory.limit_in_bytes", str(memory))
            with contextlib.suppress(OSError):  # absent without swap accounting
                _write(f"{folder}/memory.memsw.limit_in_bytes", str(memory))
            self._watch("memory", f"{folder}/memory.oom_control")

    def _watch(self, limit: str, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.events[limit] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def reached(self, limit: str) -> bool:
        """Whether `memory` killed somebody, or `processes` refused one."""
        event = self.events.get(limit)
        if event is None:
            return False
        words = {"memory": ("oom_kill",), "processes": ("max",)}[limit]
        lines = os.pread(event, 4096, 0).decode("ascii", "replace").splitlines()
        return any(line.split()[0] in words and int(line.split()[1]) > 0 for line in lines if " " in line)

    def spent(self) -> float | None:
        """CPU seconds of all that ran in it; None where that is not counted."""
        if self._cpu is None:
            return None
        words = os.pread(self._cpu, 4096, 0).split()
        if self._version == 1:
            return int(words[0]) / 1e9
        return int(words[words.index(b"usage_usec") + 1]) / 1e6 if b"usage_usec" in words else None

    def enter(self) -> None:
        """Put the calling process into the group."""
        for descriptor in self.join:
            os.write(descriptor, b"0")

    def close(self) -> None:
        """Close the descriptors; the folders stay."""
        for descriptor in [*self.join, *self.events.values(), *([] if self._cpu is None else [self._cpu])]:
            os.close(descriptor)
        self.join, self.events, self._cpu = [], {}, None


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def remove(bases: Bases, name: str) -> bool:
    """Remove the group's folders; False while a process is still in one."""
    gone = True
    for path in bases.paths(name):
        try:
            os.rmdir(path)
        except FileNotFoundError:
            continue
        except OSError:
            gone = False
    return gone


def abandoned(bases: Bases) -> list[str]:
    """Names of groups whose makers are gone: one that was killed could not remove them."""
    found: set[str] = set()
    for folder in set(bases.folders.values()):
        with contextlib.suppress(OSError):
            names = (entry.removeprefix(NAME) for entry in os.listdir(folder) if entry.startswith(NAME))
            found |= {name for name in names if _is_orphan(name.partition("-")[0])}
    return sorted(found)


def _is_orphan(maker: str) -> bool:
    return maker.isdigit() and not os.path.exists(f"/proc/{maker}")
