"""Landlock: which files, ports, signals and abstract sockets a box reaches, whatever the mounts say."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable, Sequence
from typing import Final

from .kernel import LANDLOCK_ADD, LANDLOCK_CREATE, LANDLOCK_RESTRICT, LIBC, checked, no_new_privileges

_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE = 1, 2, 4, 8, 1 << 14
_READING: Final = _EXECUTE | _READ | _LIST
_OF_FILES: Final = _EXECUTE | _WRITE | _READ | _TRUNCATE
_RIGHTS: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_ALL: Final = (1 << 16) - 1
_MAKE_DEVICES: Final = (1 << 6) | (1 << 11)
"""Making character and block devices: never, not even in the work dir."""
_BIND_TCP, _CONNECT_TCP = 1, 2
_PATH, _PORT = 1, 2


def version() -> int:
    """Landlock's ABI version here; 0 when the kernel has none."""
    return max(0, LIBC.syscall(ctypes.c_long(LANDLOCK_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint(1)))


def _rule(ruleset: int, kind: int, attributes: bytes, what: str) -> None:
    done = LIBC.syscall(ctypes.c_long(LANDLOCK_ADD), ruleset, kind, attributes, ctypes.c_uint(0))
    checked(done, f"landlock rule for {what}")


def restrict(
    *, reading: Iterable[str], writing: Iterable[str], connect: Sequence[int] = (), bind: int | None = None
) -> None:
    """Confine this process, and all it starts, for good.

    Args:
        reading: files and folders that may be read and executed.
        writing: those that may be changed as well.
        connect: TCP ports that may be connected to (from ABI 4; before that the network namespace and seccomp are
            alone).
        bind: a TCP port that may be listened on.

    From ABI 6, signals and abstract sockets do not reach anybody outside.
    """
    abi = version()
    handled = _RIGHTS.get(abi, _ALL)
    attributes = struct.pack("=QQQ", handled, _BIND_TCP | _CONNECT_TCP, 3)
    attributes = attributes[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    created = LIBC.syscall(
        ctypes.c_long(LANDLOCK_CREATE), attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0)
    )
    ruleset = checked(created, "landlock")
    try:
        for path in reading:
            _allow(ruleset, path, _READING & handled)
        for path in writing:
            _allow(ruleset, path, handled & ~_MAKE_DEVICES)
        if abi >= 4:
            for port in connect:
                _rule(ruleset, _PORT, struct.pack("=QQ", _CONNECT_TCP, port), f"port {port}")
            if bind is not None:
                _rule(ruleset, _PORT, struct.pack("=QQ", _BIND_TCP, bind), f"port {bind}")
        no_new_privileges()
        checked(LIBC.syscall(ctypes.c_long(LANDLOCK_RESTRICT), ruleset, ctypes.c_uint(0)), "landlock restrict")
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return  # what cannot be named cannot be given
    try:
        if not os.path.isdir(path):
            rights &= _OF_FILES | (1 << 15)
        _rule(ruleset, _PATH, struct.pack("=Qi", rights, opened), path)
    finally:
        os.close(opened)
