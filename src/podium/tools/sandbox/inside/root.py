"""The root of a box: an empty tmpfs with what the payload may read mounted read-only, and one sized tmpfs to write in.

It runs as process 1 of the box in a new mount namespace. The allow-list of folders comes from the host.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from . import kernel
from .kernel import BIND, DETACH, LIBC, NODEV, NOEXEC, NOSUID, PRIVATE, RDONLY, REC, REMOUNT

SYSTEM: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
ETC: Final = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/crypto-policies",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)
_DEVICES: Final = ("null", "zero", "full", "random", "urandom")
_PROC_READ_ONLY: Final = ("sys", "sysrq-trigger", "irq", "bus", "fs")
_INODES: Final = 8192
_AT_EMPTY_PATH, _AT_RECURSIVE, _MOUNT_SETATTR = 0x1000, 0x8000, 442
WORK: Final = "/box"
"""The work dir, HOME and current folder of the payload."""
WRITABLE: Final = (WORK, "/tmp", "/dev/shm")  # noqa: S108 (inside the box)
DEVICES: Final = tuple(f"/dev/{name}" for name in _DEVICES)


def build(spec: Mapping[str, Any], owner: int) -> None:
    """Make the root and enter it. `owner` is the payload's user, as this namespace numbers it."""
    os.umask(0o022)
    kernel.mount(None, "/", None, REC | PRIVATE)
    opened = _open_sources(spec["mounts"])
    new = "/tmp" if os.path.isdir("/tmp") else "/mnt"  # noqa: S108 (only a place to mount on, in this namespace)
    kernel.mount("tmpfs", new, "tmpfs", NOSUID | NODEV, "size=1m,nr_inodes=4096,mode=755")
    _system(new, opened)
    _writable(new, spec["disk_mb"], owner)
    for source, target in spec["mounts"]:
        if source in opened:
            _bind(opened[source], new + target, os.path.isdir(f"/proc/self/fd/{opened[source]}"))
    for path in [*ETC, *(f"/dev/{name}" for name in _DEVICES)]:
        if path in opened:
            folder = os.path.isdir(f"/proc/self/fd/{opened[path]}")
            _bind(opened[path], new + path, folder, device=path.startswith("/dev/"))
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{new}/dev/{name}")
    _texts(new, owner)
    _proc(new)
    for descriptor in opened.values():
        os.close(descriptor)
    os.chdir(new)
    os.mkdir("old")
    kernel.pivot_root(".", "old")
    kernel.unmount("/old")
    os.rmdir("/old")
    kernel.mount(None, "/", None, REMOUNT | BIND | RDONLY | NOSUID | NODEV)
    os.chdir(WORK)
    kernel.sethostname("box")


def _open_sources(mounts: Sequence[Sequence[str]]) -> dict[str, int]:
    """Descriptors of everything to be mounted: the new root may be mounted over it."""
    paths = ["/usr", *(f"/{name}" for name in SYSTEM), *ETC, *(f"/dev/{name}" for name in _DEVICES)]
    opened: dict[str, int] = {}
    for path in [*paths, *(source for source, _ in mounts)]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            opened[path] = os.open(path, os.O_PATH | os.O_CLOEXEC)
    return opened


def _system(new: str, opened: Mapping[str, int]) -> None:
    _bind(opened["/usr"], f"{new}/usr", True)
    for name in SYSTEM:
        path = f"/{name}"
        if os.path.islink(path):
            os.symlink(os.readlink(path).lstrip("/"), new + path)
        elif path in opened:
            _bind(opened[path], new + path, True)


def _writable(new: str, megabytes: int, owner: int) -> None:
    """One tmpfs for all that can be written, so that its size bounds their sum."""
    store = f"{new}/store"
    os.mkdir(store)
    kernel.mount("tmpfs", store, "tmpfs", NOSUID | NODEV, f"size={megabytes}m,nr_inodes={_INODES},mode=755")
    for path in WRITABLE:
        part = store + "/" + os.path.basename(path)
        os.mkdir(part)
        os.chmod(part, 0o700 if path == WORK else 0o1777)
        os.makedirs(new + path)
        if path == WORK:
            os.chown(part, owner, owner)
        kernel.mount(part, new + path, None, BIND)
    checked = LIBC.umount2(os.fsencode(store), DETACH)
    kernel.checked(checked, "umount store")
    os.rmdir(store)


def _bind(descriptor: int, target: str, folder: bool, *, device: bool = False) -> None:
    """Mount what `descriptor` is at `target`, read-only with everything below it."""
    if folder:
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "ab"):
            pass
    kernel.mount(f"/proc/self/fd/{descriptor}", target, None, BIND | REC)
    # A device node is written through; NODEV would switch it off.
    attributes = NOSUID | NOEXEC if device else NOSUID | NODEV | RDONLY
    given = struct.pack("=QQQQ", attributes, 0, 0, 0)
    flags = ctypes.c_uint(0 if device else _AT_RECURSIVE)
    done = LIBC.syscall(
        ctypes.c_long(_MOUNT_SETATTR), -100, os.fsencode(target), flags, given, ctypes.c_size_t(len(given))
    )
    kernel.checked(done, f"mount_setattr {target}")


def _texts(new: str, owner: int) -> None:
    os.makedirs(f"{new}/etc", exist_ok=True)
    texts = {
        "passwd": f"box:x:{owner}:{owner}:box:{WORK}:/bin/sh\n",
        "group": f"box:x:{owner}:\n",
        "hosts": "127.0.0.1 localhost\n::1 localhost\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
        "resolv.conf": "",
    }
    for name, text in texts.items():
        with open(f"{new}/etc/{name}", "w", encoding="utf-8") as file:
            file.write(text)


def _proc(new: str) -> None:
    os.mkdir(f"{new}/proc")
    kernel.mount("proc", f"{new}/proc", "proc", NOSUID | NODEV | NOEXEC, "hidepid=2")
    for name in _PROC_READ_ONLY:
        path = f"{new}/proc/{name}"
        if os.path.exists(path):
            kernel.mount(path, path, None, BIND | REC)
            kernel.mount(None, path, None, BIND | REMOUNT | RDONLY | NOSUID | NODEV | NOEXEC)
