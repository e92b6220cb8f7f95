"""The system call filter of a box, assembled by hand: what a payload may not ask of the kernel.

Foreign architectures are killed; x32 calls, clone3 (its flags are behind a pointer, so libc falls back to clone) and
calls newer than this list answer ENOSYS; the rest of the list answers EPERM. Sockets are allowed by family. It knows
nothing of files: `landlock` and the mounts judge those.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable
from typing import Final

from .kernel import LIBC, X86, checked, no_new_privileges

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LD, _JEQ, _JGE, _JGT, _JSET, _AND, _RET = 0x20, 0x15, 0x35, 0x25, 0x45, 0x54, 0x06
_EPERM, _ENOSYS, _EAFNOSUPPORT = 1, 38, 97
_NR, _ARCH = 0, 4
_CLONE_NEW: Final = 0x7E020080
"""Every CLONE_NEW* flag, among them CLONE_NEWTIME (0x80)."""
NEWEST: Final = 462
"""mseal (Linux 6.10): calls above it are unknown here, so they are not there."""
AF_UNIX, AF_INET, AF_INET6 = 1, 2, 10

# (x86_64, aarch64); None where the machine has no such call.
_DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "create_module": (174, None),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "get_kernel_syms": (177, None),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioperm": (173, None),
    "iopl": (172, None),
    "ioprio_set": (251, 30),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "lsm_set_self_attr": (460, 460),
    "mbind": (237, 235),
    "memfd_secret": (447, 447),
    "migrate_pages": (256, 238),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "query_module": (178, None),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "sched_setattr": (314, 274),
    "sched_setscheduler": (144, 119),
    "semget": (64, 190),
    "set_mempolicy": (238, 237),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "setpriority": (141, 140),
    "settimeofday": (164, 170),
    "shmget": (29, 194),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "sysfs": (139, None),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "ustat": (136, None),
    "vhangup": (153, 58),
    "vmsplice": (278, 75),
}
_MEMFD: Final = (319, 279)
_MMAP: Final = (9, 222)
_MAP_SHARED, _MAP_ANONYMOUS = 0x01, 0x20
_COLUMN: Final = 0 if X86 else 1
_AUDIT_ARCH: Final = 0xC000003E if X86 else 0xC00000B7
_CLONE, _CLONE3 = (56, 435) if X86 else (220, 435)
_IOCTL: Final = 16 if X86 else 29
_SOCKET: Final = 41 if X86 else 198
_PRLIMIT: Final = 302 if X86 else 261
_TERMINAL_INPUT: Final = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX type into a terminal."""


class _Program:
    """Instructions with jumps over the next `n`."""

    def __init__(self) -> None:
        self.code: list[tuple[int, int, int, int]] = []

    def add(self, op: int, value: int, yes: int = 0, no: int = 0) -> None:
        self.code.append((op, yes, no, value))

    def load(self, offset: int) -> None:
        self.add(_LD, offset)

    def argument(self, index: int) -> None:
        """Load the low word of an argument (both machines are little-endian)."""
        self.load(16 + 8 * index)

    def answer(self, value: int) -> None:
        self.add(_RET, value)

    def refuse(self, number: int, errno: int) -> None:
        self.add(_JEQ, number, 0, 1)
        self.answer(_ERRNO | errno)

    def only_for(self, number: int, block: _Program) -> None:
        """Run `block`, which always answers, for the call `number`; else go on with the number loaded."""
        self.add(_JEQ, number, 0, len(block.code))
        self.code += block.code

    def packed(self) -> bytes:
        return b"".join(struct.pack("=HBBI", op, yes, no, value) for op, yes, no, value in self.code)


def _clone() -> _Program:
    block = _Program()
    block.argument(0)
    block.add(_JSET, _CLONE_NEW, 0, 1)
    block.answer(_ERRNO | _EPERM)
    block.answer(_ALLOW)
    return block


def _ioctl() -> _Program:
    block = _Program()
    block.argument(1)
    for request in _TERMINAL_INPUT:
        block.refuse(request, _EPERM)
    block.answer(_ALLOW)
    return block


def _socket(families: tuple[int, ...]) -> _Program:
    block = _Program()
    block.argument(0)
    for index, family in enumerate(families):
        block.add(_JEQ, family, len(families) - index)
    block.answer(_ERRNO | _EAFNOSUPPORT)
    block.argument(1)
    block.add(_AND, 0xF)
    for kind in (3, 10):  # SOCK_RAW, SOCK_PACKET
        block.refuse(kind, _EPERM)
    block.answer(_ALLOW)
    return block


def _own_limits() -> _Program:
    block = _Program()
    block.argument(0)
    block.add(_JEQ, 0, 1, 0)  # itself
    block.answer(_ERRNO | _EPERM)
    block.answer(_ALLOW)
    return block


def _mmap() -> _Program:
    """No shared memory without a file: pages that no process maps any more would still be there, and nobody's."""
    block = _Program()
    block.argument(3)
    block.add(_JSET, _MAP_ANONYMOUS, 0, 2)
    block.add(_JSET, _MAP_SHARED, 0, 1)
    block.answer(_ERRNO | _EPERM)
    block.answer(_ALLOW)
    return block


def program(*, memfd: bool, families: Iterable[int] = (AF_UNIX,)) -> bytes:
    """The filter as BPF.

    Args:
        memfd: whether memory that belongs to no process may be made; only where a cgroup counts it.
        families: address families of sockets.
    """
    body = _Program()
    body.load(_ARCH)
    body.add(_JEQ, _AUDIT_ARCH, 1, 0)
    body.answer(_KILL)
    body.load(_NR)
    body.add(_JGT, NEWEST, 0, 1)  # x32 calls (0x40000000 and up) among them
    body.answer(_ERRNO | _ENOSYS)
    body.refuse(_CLONE3, _ENOSYS)
    body.only_for(_CLONE, _clone())
    body.only_for(_IOCTL, _ioctl())
    body.only_for(_SOCKET, _socket(tuple(families)))
    body.only_for(_PRLIMIT, _own_limits())
    numbers = [entry[_COLUMN] for entry in _DENIED.values()]
    if not memfd:
        numbers.append(_MEMFD[_COLUMN])
        body.only_for(_MMAP[_COLUMN], _mmap())
    for number in numbers:
        if number is not None:
            body.refuse(number, _EPERM)
    body.answer(_ALLOW)
    return body.packed()


class _Fprog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def install(code: bytes) -> None:
    """Confine this process, and all it starts, for good."""
    no_new_privileges()
    buffer = ctypes.create_string_buffer(code, len(code))
    given = _Fprog(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    checked(LIBC.prctl(22, ctypes.c_ulong(2), ctypes.byref(given), 0, 0), "seccomp")
