"""Boxes as the host sees them: the template process that makes them, and the descriptors of one of them.

It starts nothing by itself and knows no event loop; `exchange` speaks with a box, `pool` keeps some in advance.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .inside import wire

_START: Final = "import sys; sys.path.insert(0, sys.argv[2]); import inside.template as t; t.main()"
_PATIENCE: Final = 10.0
"""Seconds for the template to end its boxes when the host ends."""


class Box:
    """One box: its socket, and the host's ends of the payload's pipes. Closing it ends everything in it."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.made = time.monotonic()
        ends = _pipes(4)
        try:
            self.control, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError:
            _close(ends)
            raise
        self.control.setblocking(False)
        self.stdin = ends[0][1]
        self.stdout, self.stderr, self.value = (read for read, _ in ends[1:])
        self.given = [ends[0][0], *(write for _, write in ends[1:])]
        for descriptor in (self.stdin, self.stdout, self.stderr, self.value):
            os.set_blocking(descriptor, False)
        self.closed = False
        rights = array.array("i", self.given)
        self.control.sendmsg([b"S"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        self.unsent = wire.packed(spec)
        """What `exchange` has yet to send: a spec is larger than the socket's buffer when its arguments are."""
        with contextlib.suppress(BlockingIOError):
            self.unsent = self.unsent[self.control.send(self.unsent) :]

    def handed_over(self) -> None:
        """Close what now is the launcher's."""
        self.theirs.close()
        for descriptor in self.given:
            os.close(descriptor)
        self.given = []

    def close_stdin(self) -> None:
        """The payload reads the end of its input."""
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def close(self) -> None:
        """End the box at once, and all that runs in it."""
        if self.closed:
            return
        self.closed = True
        self.handed_over()
        self.control.close()
        self.close_stdin()
        for descriptor in (self.stdout, self.stderr, self.value):
            os.close(descriptor)

    def alive(self) -> bool:
        """Whether the box has said nothing yet: one that waits for a call is silent, and says so when it fails."""
        try:
            self.control.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


def _pipes(count: int) -> list[tuple[int, int]]:
    """All of them, or none: a process that has few descriptors left must not lose more at each attempt."""
    made: list[tuple[int, int]] = []
    try:
        made.extend(os.pipe2(os.O_CLOEXEC) for _ in range(count))
    except OSError:
        _close(made)
        raise
    return made


def _close(pipes: list[tuple[int, int]]) -> None:
    for pipe in pipes:
        for descriptor in pipe:
            os.close(descriptor)


class Template:
    """The process that forks boxes. Started on first use; again when it is gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def box(self, spec: Mapping[str, Any]) -> Box:
        """Ask for a box. It is made while we go on. Raises OSError when the template cannot be started."""
        box = Box(spec)
        try:
            with self._lock:
                self._ask(box)
        except BaseException:
            box.close()
            raise
        box.handed_over()
        return box

    def _ask(self, box: Box) -> None:
        for _ in range(2):
            if self._socket is None:
                self._start()
            assert self._socket is not None  # noqa: S101 (started above)
            try:
                socket.send_fds(self._socket, [b"B"], [box.theirs.fileno()])
            except (BrokenPipeError, ConnectionResetError):
                self._stop()
                continue
            return
        raise OSError("the process that makes sandboxes does not stay alive")

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _START, str(os.getpid()), str(Path(__file__).parent)],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={"LANG": "C.UTF-8"},
                    cwd="/",
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        self._socket = ours

    def _stop(self) -> None:
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE)
        self._socket = self._process = None

    @property
    def pid(self) -> int | None:
        """The template's process id while there is one."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """End all boxes and the template; the next box starts a new one."""
        with self._lock:
            self._stop()

    def forget(self) -> None:
        """In a forked child: the template belongs to the parent."""
        self._lock = threading.Lock()
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            self._process.returncode = 0  # not this process's child: nothing is to be waited for
        self._socket = self._process = None


TEMPLATE: Final = Template()
atexit.register(TEMPLATE.close)
os.register_at_fork(after_in_child=TEMPLATE.forget)
