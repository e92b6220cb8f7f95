"""Process 1 of a box: it builds the root, starts the payload, watches it, and reports to the host.

It is trusted and the payload is not. The payload cannot signal it (process 1 of a pid namespace), read it (not
dumpable) or write to its socket (closed on exec). When it ends, the kernel ends everything in the box; it ends by
itself as soon as the host closes the socket.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final

from . import confine, files, kernel, root, usage, wire
from .cgroup import Group

_TICK: Final = 50
"""Milliseconds between looks at a running payload."""
_MEGABYTE: Final = 1 << 20


class Failed(Exception):
    """A step of making the box was refused."""

    def __init__(self, step: str, error: OSError) -> None:
        super().__init__(f"{step}: {error}")
        self.step, self.errno = step, error.errno or 0
        self.text = error.strerror or str(error)


@contextlib.contextmanager
def step(name: str) -> Generator[None]:
    """Name the step whose OSError this is."""
    try:
        yield
    except OSError as error:
        raise Failed(name, error) from error


class Box:
    """What process 1 knows about its box."""

    def __init__(
        self,
        control: socket.socket,
        pipes: Sequence[int],
        spec: Mapping[str, Any],
        *,
        group: Group | None,
        user: int | None,
        work: str = root.WORK,
    ) -> None:
        self.control, self.pipes, self.spec = control, pipes, spec
        self.group, self.user, self.work = group, user, work
        self.namespaced = spec["rung"] != "D"
        self.limit: str | None = None
        self.full = self.crowded = False
        self.seen = usage.Seen()
        self.payload = 0
        self.status: int | None = None

    @property
    def owner(self) -> int:
        """The payload's user as this process numbers it."""
        return os.getuid() if self.user is None else self.user

    # ------------------------------------------------------------------------------------------------ from start to end

    def serve(self) -> None:
        """Start the payload, wait for it, report. A box that nobody calls for `idle` seconds ends by itself."""
        idle = self.spec["idle"]
        argv = self.spec["argv"]
        if self.spec["network"] is not None:
            self._relay()
        read, write = os.pipe2(os.O_CLOEXEC)
        failed = self.start(argv, read)
        named = self._call(idle)
        if named is None:
            return
        if argv is None:
            with contextlib.suppress(BrokenPipeError), open(write, "wb") as words:
                words.write(json.dumps(named).encode())
        self.control.sendall(wire.packed({"started": True}))
        self.watch()
        self.report(failed)

    def _call(self, idle: float | None) -> list[str] | None:
        """Wait for the call and put its files in place; the program it names, or None when there is no call."""
        waiting = select.poll()
        waiting.register(self.control, select.POLLIN)
        if not waiting.poll(None if idle is None else idle * 1000):
            return None
        message = wire.receive(self.control)
        if message is None:
            return None
        header, blob = message
        with step("files"):
            files.put(self.work, wire.cut(blob, header["files"]), self.owner)
        return header["argv"]

    def _relay(self) -> None:
        """Start the relay that carries connections to the host's proxy, and wait until it listens."""
        read, write = os.pipe2(os.O_CLOEXEC)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        with step("fork"):
            pid = os.fork()
        network = self.spec["network"]
        if pid == 0:
            spec = {**self.spec, "bind": network["port"]}
            confine.run_payload(
                spec, network["argv"], (null, write, null, null), (null, null), group=self.group, user=self.user
            )
        os.close(write)
        os.close(null)
        with open(read, "rb") as ready, step("relay"):
            if not ready.readline():
                raise OSError(0, "it did not start")

    def start(self, argv: Sequence[str] | None, named: int) -> int:
        """Fork the payload; returns the pipe that says why its program did not start.

        Without `argv` it confines itself and waits at the pipe `named` for the program that comes with the call.
        """
        read, write = os.pipe2(os.O_CLOEXEC)
        with step("fork"):
            self.payload = os.fork()
        if self.payload == 0:
            confine.run_payload(self.spec, argv, self.pipes, (write, named), group=self.group, user=self.user)
        os.close(write)
        os.close(named)
        for descriptor in self.pipes:
            os.close(descriptor)
        return read

    def watch(self) -> None:
        """Wait until the payload ended, or passed a limit, or the host went away (then this process ends)."""
        ended = os.pidfd_open(self.payload)
        waiting = select.poll()
        waiting.register(self.control, select.POLLIN | select.POLLHUP)
        waiting.register(ended, select.POLLIN)
        while self.status is None and self.limit is None:
            ready = dict(waiting.poll(_TICK))
            if self.control.fileno() in ready:
                self.end_all()
                os._exit(0)  # the host needs no report: it ended the call, or itself
            self._look(last=ended in ready)
            self._reap()
        os.close(ended)

    def report(self, failed: int) -> None:
        """End everything else in the box, and tell the host what became of the payload."""
        why = os.read(failed, 500).decode("utf-8", "replace") if self.limit is None else ""
        self.end_all()
        self._ask_group()
        collected, left_out = files.collect(self.work, count=self.spec["most_files"], size=self.spec["most_bytes"])
        header = {
            "status": self.status,
            "not_started": why,
            "limit": self.limit,
            "full": self.full,
            "crowded": self.crowded,
            "cpu": self._spent(),
            "files": [(name, len(content)) for name, content in collected],
            "left_out": left_out,
        }
        self.control.sendall(wire.packed({"end": header}, b"".join(content for _, content in collected)))

    # ---------------------------------------------------------------------------------------------------- looking

    def _reap(self) -> None:
        while True:
            try:
                pid, status, used = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.payload:
                self.status = status
                # It may have passed the bound, and been refused more (RLIMIT_DATA), between two looks.
                if self.group is None and status and used.ru_maxrss * 1024 > self.spec["memory_mb"] * _MEGABYTE:
                    self.limit = "memory"

    def end_all(self) -> None:
        """Kill and reap all others in the box."""
        deadline = time.monotonic() + 10
        while True:
            if self.namespaced:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(-1, signal.SIGKILL)
            else:
                for pid in self._pids():
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                while True:
                    pid, status = os.waitpid(-1, 0 if self.namespaced else os.WNOHANG)
                    if pid == self.payload:
                        self.status = status
                    if pid == 0:
                        break
                if not self._pids() or time.monotonic() > deadline:
                    return
                continue
            return

    def _look(self, *, last: bool) -> None:
        self._ask_group()
        spent = self.spec["cpu_seconds"]
        if self.group is None or spent is not None or last:
            self._measure(spent)
        room = os.statvfs(self.work)
        if self.namespaced:
            self.full = self.full or room.f_bfree == 0 or room.f_ffree == 0
        elif self._used() > self.spec["disk_mb"] * _MEGABYTE:
            self.limit = self.limit or "disk"

    def _ask_group(self) -> None:
        if self.group is None:
            return
        if self.group.reached("memory"):
            self.limit = "memory"
        self.crowded = self.crowded or self.group.reached("processes")

    def _measure(self, cpu_seconds: float | None) -> None:
        """Memory, processes and CPU time of all that run in the box, from /proc."""
        pids = self._pids()
        if cpu_seconds is not None and self._spent(pids) > cpu_seconds:
            self.limit = "cpu"
        if self.group is not None:
            return
        if usage.exceeds(pids, self.spec["memory_mb"] * _MEGABYTE):
            self.limit = "memory"
        if sum(map(usage.threads, pids)) >= self.spec["processes"]:
            self.crowded = True

    def _spent(self, pids: Sequence[int] | None = None) -> float:
        """CPU seconds of the box: of those that ended and of those that run."""
        if self.group is not None and (counted := self.group.spent()) is not None:
            return counted
        found = self._pids() if pids is None else pids
        own = resource.getrusage(resource.RUSAGE_CHILDREN)
        told = own.ru_utime + own.ru_stime + sum(map(usage.cpu, found))
        # Nobody is told of those whose parent ignores their end, but while they lived they were seen.
        return max(told, self.seen.total(found))

    def _pids(self) -> list[int]:
        if self.namespaced:
            return [int(name) for name in os.listdir("/proc") if name.isdigit() and name != "1"]
        found, pending = list[int](), [os.getpid()]
        while pending:
            with contextlib.suppress(OSError), open(f"/proc/{(pid := pending.pop())}/task/{pid}/children") as children:
                below = [int(word) for word in children.read().split()]
                found += below
                pending += below
        return found

    def _used(self) -> int:
        total = 0
        for folder, _, names in os.walk(self.work):
            for name in names:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512
        return total


def run(control: socket.socket, spec: Mapping[str, Any], make: Callable[[], Box]) -> None:
    """Be process 1: make the box and serve it. A step that fails is told to the host."""
    try:
        make().serve()
    except Failed as error:
        tell(control, error)
    except BrokenPipeError:
        pass
    except Exception as error:  # noqa: BLE001 (the outermost edge: whatever it is, the host is told)
        tell(control, Failed("box", OSError(0, f"{type(error).__name__}: {error}")))


def tell(control: socket.socket, error: Failed) -> None:
    """Tell the host that a step failed."""
    with contextlib.suppress(OSError):
        control.sendall(wire.packed({"failed": {"step": error.step, "errno": error.errno, "text": error.text}}))


def loopback_up() -> None:
    """Bring up the loopback interface of this network namespace."""
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        fcntl.ioctl(asking, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS: UP, RUNNING


def made(
    control: socket.socket, pipes: Sequence[int], spec: Mapping[str, Any], group: Group | None, user: int | None
) -> Box:
    """A box in the namespaces this process is in."""
    with step("mounts"):
        root.build(spec, os.getuid() if user is None else user)
    kernel.undumpable()
    if spec["network"] is not None:
        with step("loopback"):
            loopback_up()
    return Box(control, pipes, spec, group=group, user=user)
