"""The template: a small process that forks a launcher for each box, and cleans up behind it.

The host starts it by `exec` with a clean environment, so nothing of the host's memory is in it, and talks to it over
one socket: each message is one byte with the box's own socket attached. What a box is to do goes over that socket and
is never seen here. It ends with the host, however that ended, and takes all boxes with it.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pwd
import select
import signal
import socket
import sys
import time
from types import FrameType
from typing import Any, Final

from . import cgroup, init, launch
from .cgroup import Bases

_FIRST_USER: Final = 0x70000000
"""Users of boxes under root: from a range that systemd's map of numbers leaves unused."""
_USERS: Final = 4096
_ENDING: Final = 6.0
"""Seconds for the boxes to end when the host is gone."""


class Users:
    """Users for boxes, one each. An abstract socket is the lock: it is this machine's, and ends with this process."""

    def __init__(self) -> None:
        self._first = _first_user()
        self._next = os.getpid() % _USERS

    def take(self) -> tuple[int, socket.socket]:
        """A user that no other box has."""
        for _ in range(_USERS):
            self._next = (self._next + 1) % _USERS
            user = self._first + self._next
            lock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                lock.bind(f"\0podium-box-user-{user}")
            except OSError:
                lock.close()
                continue
            if _known(user):
                lock.close()
                continue
            return user, lock
        raise OSError("all users for boxes are taken")


def _known(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


def _first_user() -> int:
    """Where the range starts: in a container with few users, at the end of those it has."""
    best = 0
    with contextlib.suppress(OSError), open("/proc/self/uid_map", encoding="ascii") as lines:
        for line in lines:
            inside, _, count = map(int, line.split())
            best = max(best, inside + count)
    return _FIRST_USER if best >= _FIRST_USER + _USERS or best <= 2 * _USERS else best - _USERS - 16


def _noted(number: int, frame: FrameType | None) -> None:
    """A child ended: the wake-up pipe has it."""


class _Template:
    def __init__(self, host: socket.socket) -> None:
        self.host = host
        self.bases: Bases | None = None
        self.users = Users() if os.getuid() == 0 else None
        self.boxes: dict[int, tuple[str, socket.socket | None]] = {}
        self.made = 0
        self.stale: list[str] = []

    def serve(self) -> None:
        self.bases = cgroup.find(f"{os.getpid()}-probe")
        if self.bases is not None:
            self.stale = cgroup.abandoned(self.bases)  # tried again until their last processes are gone
        gc.collect()
        gc.freeze()
        read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _noted)
        waiting = select.poll()
        waiting.register(self.host, select.POLLIN | select.POLLHUP)
        waiting.register(read, select.POLLIN)
        with contextlib.suppress(OSError):
            waiting.register(os.pidfd_open(int(sys.argv[1])), select.POLLIN)
        while True:
            ready = dict(waiting.poll(1000 if self.stale else None))
            if read in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(read, 4096)
            self.reap()
            if ready.keys() - {read} and not self.box(ready):
                return self.end()

    def box(self, ready: dict[int, int]) -> bool:
        """Fork a launcher for the box that was asked for; False when the host is gone."""
        if self.host.fileno() not in ready:
            return False  # the host's process ended, though somebody still holds its socket
        message, descriptors, _, _ = socket.recv_fds(self.host, 1, 1)
        if not message:
            return False
        if not descriptors:
            return True  # it found no place among ours, and is closed: the host reads that its box ended
        try:
            self._fork(descriptors[0])
        except OSError as error:  # the user's last process, say: the boxes there are go on
            with socket.socket(fileno=os.dup(descriptors[0])) as control:
                init.tell(control, init.Failed("fork", error))
        finally:
            os.close(descriptors[0])
        return True

    def _fork(self, descriptor: int) -> None:
        self.made += 1
        name = f"{os.getpid()}-{self.made}"
        user, lock = self.users.take() if self.users is not None else (None, None)
        own = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            if lock is not None:
                lock.close()
            raise
        if pid == 0:
            with launch.ended():
                self._become_launcher()
                control = socket.socket(fileno=_only(descriptor))
                launch.launch(control, parent=own, name=name, bases=self.bases, user=user)
        self.boxes[pid] = (name, lock)

    def _become_launcher(self) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.host.detach()

    def reap(self) -> None:
        """Remove what ended boxes leave behind."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            name, lock = self.boxes.pop(pid, ("", None))
            if lock is not None:
                lock.close()
            if name:
                self.stale.append(name)
        if self.bases is not None:
            self.stale = [name for name in self.stale if not cgroup.remove(self.bases, name)]
        else:
            self.stale.clear()

    def end(self) -> None:
        """Wait for the boxes, which end with the host's sockets, then end them; clean up behind them."""
        started = time.monotonic()
        while (self.boxes or self.stale) and (passed := time.monotonic() - started) < _ENDING:
            if passed > _ENDING / 2:
                for pid in self.boxes:
                    os.kill(pid, signal.SIGKILL)
            self.reap()
            time.sleep(0.005)


def _only(descriptor: int) -> int:
    """Close all descriptors but the standard ones and this one, which becomes 3."""
    if descriptor != 3:
        os.dup2(descriptor, 3, inheritable=False)
    os.closerange(4, 65536)
    return 3


def main() -> Any:
    """Serve the host whose process id is the first argument, on the socket that is the standard input."""
    host = socket.socket(fileno=os.dup(0))
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.set_inheritable(host.fileno(), False)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # what the host's thread blocked came along, SIGCHLD perhaps
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends with the host, not before: Ctrl-C reaches the whole group
    os.chdir("/")
    _Template(host).serve()
