"""What the processes of a box use, read from /proc: where no control group counts, this is all that is known.

It judges nothing but sums; a process that ended meanwhile counts as nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_BUFFERS: Final = 2 * 212_992
"""Bytes a socket may keep for its reader: Linux's largest buffer, which is counted twice over (socket(7))."""
_SOCKETS: Final = ("unix", "tcp", "tcp6", "udp", "udp6")
_LOCK: Final = 256
"""Bytes of the kernel for one lock on a range of a file, and for one mapping."""


class Seen:
    """CPU time of processes as it was when they were last looked at, kept after they are gone."""

    def __init__(self) -> None:
        self._gone = 0.0
        self._running: dict[tuple[int, int], float] = {}

    def total(self, pids: Sequence[int]) -> float:
        """Seconds of those that run and those that ran: no more than they used."""
        now = {found[0]: found[1] for pid in pids if (found := _own(pid)) is not None}
        self._gone += sum(spent for key, spent in self._running.items() if key not in now)
        self._running = now
        return self._gone + sum(now.values())


def exceeds(pids: Sequence[int], bound: int) -> bool:
    """Whether all of them together have more than `bound` bytes of memory, or hide how much they have."""
    mapped = list(map(_mapped, pids))
    unseen = _count(_SOCKETS, "/proc/net/{}") * _BUFFERS + _count(("locks",), "/proc/{}", heading=0) * _LOCK
    unseen += sum(lines for lines, _ in mapped) * _LOCK
    # Shared pages count in each process that has them: only when that sum is too much is the exact one taken.
    if sum(map(_resident, pids)) + unseen > bound and sum(map(_proportional, pids)) + unseen > bound:
        return True
    return any(zero for _, zero in mapped)


def threads(pid: int) -> int:
    """How many threads it has."""
    return int(_from(f"/proc/{pid}/stat", lambda raw: int(_fields(raw)[17])))


def cpu(pid: int) -> float:
    """CPU seconds of it and of the children that it waited for."""
    return _from(f"/proc/{pid}/stat", lambda raw: sum(map(int, _fields(raw)[11:15])) / _TICKS)


def _own(pid: int) -> tuple[tuple[int, int], float] | None:
    """CPU seconds of it alone, under a key that no later process has."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = _fields(file.read())
        return (pid, int(fields[19])), sum(map(int, fields[11:13])) / _TICKS
    except (OSError, ValueError, IndexError):
        return None


def _fields(raw: bytes) -> list[bytes]:
    return raw.rpartition(b")")[2].split()


def _from(path: str, read: Callable[[bytes], float]) -> float:
    try:
        with open(path, "rb") as file:
            return read(file.read())
    except (OSError, ValueError, IndexError):
        return 0  # it ended meanwhile


def _resident(pid: int) -> float:
    """Its pages, those that were swapped out, and the tables that the kernel keeps of them."""
    return _from(f"/proc/{pid}/status", lambda raw: sum(_kilobytes(raw, name) for name in ("VmRSS", "VmSwap", "VmPTE")))


def _proportional(pid: int) -> float:
    """Its share of memory. One that hides its share is counted with all it has."""

    def share(raw: bytes) -> float:
        return _kilobytes(raw, "Pss") + _kilobytes(raw, "SwapPss")

    shared = _from(f"/proc/{pid}/smaps_rollup", share)
    if not shared:
        return _resident(pid)
    return shared + _from(f"/proc/{pid}/status", lambda raw: _kilobytes(raw, "VmPTE"))


def _kilobytes(raw: bytes, name: str) -> int:
    """A line such as `VmRSS:  1234 kB`, in bytes; 0 without one."""
    words = raw.partition(f"\n{name}:".encode())[2].split(None, 1)
    return int(words[0]) * 1024 if words else 0


def _count(names: Sequence[str], path: str, *, heading: int = 1) -> int:
    """Lines of such files: sockets and locks that no process holds any more but that are on their way among them."""
    return int(sum(_from(path.format(name), lambda raw: max(0, raw.count(b"\n") - heading)) for name in names))


def _mapped(pid: int) -> tuple[int, bool]:
    """How many mappings it has, and whether it shares memory through /dev/zero: its pages are no process's, and there
    is no honest use for that."""
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            raw = file.read()
    except OSError:
        return 0, False
    zero = b"/dev/zero" in raw and any(
        b"/dev/zero" in line and line.split(b" ", 2)[1][3:4] == b"s" for line in raw.splitlines()
    )
    return raw.count(b"\n"), zero
