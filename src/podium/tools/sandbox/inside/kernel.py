"""System calls that Python has no function for, by ctypes. Every failure is an OSError that names the call."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import Final

LIBC: Final = ctypes.CDLL(None, use_errno=True)
MACHINE: Final = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
X86: Final = MACHINE == "x86_64"
MACHINES: Final = ("x86_64", "aarch64")
"""Machines whose system call numbers are known here."""

PIVOT_ROOT: Final = 155 if X86 else 41
CAPSET: Final = 126 if X86 else 91
LANDLOCK_CREATE, LANDLOCK_ADD, LANDLOCK_RESTRICT = 444, 445, 446

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000

RDONLY, NOSUID, NODEV, NOEXEC = 1, 2, 4, 8
REMOUNT, BIND, REC, PRIVATE = 32, 4096, 16384, 1 << 18
DETACH: Final = 2

_PDEATHSIG, _DUMPABLE, _CAPBSET_DROP, _SUBREAPER, _NO_NEW_PRIVS, _AMBIENT = 1, 4, 24, 36, 38, 47
_CAPABILITY_V3: Final = 0x20080522


def checked(result: int, what: str) -> int:
    """`result`, or OSError with the errno of the call named `what`."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags` for new ones."""
    checked(LIBC.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """mount(2)."""
    done = LIBC.mount(_bytes(source), _bytes(target), _bytes(kind), ctypes.c_ulong(flags), _bytes(data))
    checked(done, f"mount {kind or source or ''} on {target}")


def unmount(target: str) -> None:
    """Detach a mount with all below it."""
    checked(LIBC.umount2(_bytes(target), DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root; the old one is then at `old`."""
    checked(LIBC.syscall(ctypes.c_long(PIVOT_ROOT), _bytes(new), _bytes(old)), "pivot_root")


def sethostname(name: str) -> None:
    """The host name in this UTS namespace."""
    raw = name.encode()
    checked(LIBC.sethostname(raw, len(raw)), "sethostname")


def prctl(option: int, value: int = 0, third: int = 0) -> int:
    """prctl(2)."""
    word = ctypes.c_ulong
    return checked(LIBC.prctl(option, word(value), word(third), word(0), word(0)), f"prctl {option}")


def die_with_parent() -> None:
    """Be killed when the thread that forked this process ends."""
    prctl(_PDEATHSIG, 9)


def undumpable() -> None:
    """Keep others of the same user from reading this process's memory, environment and descriptors."""
    prctl(_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent ended (where there is no pid namespace)."""
    prctl(_SUBREAPER, 1)


def no_new_privileges() -> None:
    """No execve gains privileges from now on."""
    prctl(_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Give up every capability: bounding, ambient, permitted, effective, inheritable."""
    drop_capabilities_bounding()
    clear_capabilities()


def drop_capabilities_bounding() -> None:
    """Keep anything started from here from ever having a capability. Those held now stay."""
    for capability in range(64):
        if LIBC.prctl(_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) < 0 and ctypes.get_errno() != errno.EINVAL:
            break  # no CAP_SETPCAP: NO_NEW_PRIVS alone then keeps the set from mattering
    LIBC.prctl(_AMBIENT, ctypes.c_ulong(4), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def clear_capabilities() -> None:
    """Empty the permitted, effective and inheritable sets."""
    header = struct.pack("=Ii", _CAPABILITY_V3, 0)
    checked(LIBC.syscall(ctypes.c_long(CAPSET), header, bytes(24)), "capset")
