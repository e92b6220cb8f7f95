"""The launcher of one box: a child of the template that makes the namespaces and forks process 1 into them.

It stays outside as the parent of process 1, whose end it waits for; when the template dies, it dies, and the box too.

The spec of a box (JSON, from the host):

    rung            "A", "B", "C" or "D"
    argv, env       the payload's program
    mounts          [[source, target], ...]: what is mounted read-only besides the system's folders
    memory_mb, disk_mb, processes, cpu_seconds (or null)
    idle            seconds to wait for a call before giving up, or null when the call follows at once
    most_files, most_bytes   of what the payload leaves in its work dir
    network         null, or {"port", "socket", "argv"}: the relay inside and the host's proxy that it speaks to
    bwrap           rung C: the program, the Python to start inside, and the folders that it needs
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Generator, Sequence
from typing import Any, Final

from . import init, kernel, root, wire
from .cgroup import Bases, Group
from .init import Failed, step

PIPES: Final = 4
"""Descriptors that come with a spec: they become 0 (input), 1, 2 and 3 (the value) of the payload."""
_RESUME: Final = "import sys; sys.path.insert(0, sys.argv[1]); import inside.launch as l; l.resume()"
_SPARE: Final = 3
"""Processes of ours that the kernel counts with the payload's: the launcher, process 1, a relay."""


def launch(control: socket.socket, *, parent: int, name: str, bases: Bases | None, user: int | None) -> None:
    """Read a spec from `control`, make the box and stay until it is gone.

    Args:
        control: the host's end is the box's life: closing it ends the box.
        parent: the template, with which this process ends.
        name: of the control group, which the template removes.
        bases: where control groups can be made.
        user: the payload's user when this process is root; None in a user namespace.
    """
    kernel.die_with_parent()
    if os.getppid() != parent:
        return  # it ended before the line above
    try:
        spec, pipes = _receive(control)
    except EOFError:
        return
    spec["spare_processes"] = _SPARE if user is None else 1
    spec.setdefault("readable", ["/"])
    spec.setdefault("writable", list(root.WRITABLE))
    try:
        _make(control, spec, pipes, name=name, bases=bases, user=user)
    except Failed as error:
        init.tell(control, error)


def _receive(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The spec, and the descriptors that came with its first byte."""
    first, ancillary, _, _ = control.recvmsg(1, socket.CMSG_SPACE(PIPES * array.array("i").itemsize))
    if not first:
        raise EOFError
    pipes = array.array("i")
    for _, kind, data in ancillary:
        if kind == socket.SCM_RIGHTS:
            pipes.frombytes(data[: len(data) - len(data) % pipes.itemsize])
    message = wire.receive(control)
    if message is None:
        raise EOFError
    return message[0], list(pipes)


def _make(
    control: socket.socket,
    spec: dict[str, Any],
    pipes: Sequence[int],
    *,
    name: str,
    bases: Bases | None,
    user: int | None,
) -> None:
    rung = spec["rung"]
    group: Group | None = None
    if rung == "A":
        if bases is None:
            raise Failed("cgroup", OSError(0, "no memory and pids controllers that this user may make groups in"))
        with step("cgroup"):
            group = Group(bases, name, memory=spec["memory_mb"] << 20, processes=spec["processes"])
    if rung == "C":
        _through_bwrap(control, spec, pipes)
        return
    if rung == "D":
        _without_namespaces(control, spec, pipes, user)
        return
    flags = kernel.NEWNS | kernel.NEWPID | kernel.NEWNET | kernel.NEWIPC | kernel.NEWUTS | kernel.NEWCGROUP
    outer_user, outer_group = os.getuid(), os.getgid()
    with step("namespaces"):
        kernel.unshare(flags if user is not None else flags | kernel.NEWUSER)
        if user is None:
            _write("/proc/self/setgroups", "deny")
            _write("/proc/self/uid_map", f"1000 {outer_user} 1")
            _write("/proc/self/gid_map", f"1000 {outer_group} 1")
    with step("fork"):
        pid = os.fork()
    if pid == 0:
        with ended():
            kernel.die_with_parent()
            os.setsid()
            init.run(control, spec, lambda: init.made(control, pipes, spec, group, user))
    _wait(pid, control, pipes, group)


@contextlib.contextmanager
def ended() -> Generator[None]:
    """Leave this process at the end, whatever happens: nothing of the parent's may run in a forked child."""
    try:
        yield
    finally:
        os._exit(0)


def _wait(pid: int, control: socket.socket, pipes: Sequence[int], group: Group | None) -> None:
    for descriptor in pipes:
        os.close(descriptor)
    if group is not None:
        group.close()
    os.waitpid(pid, 0)
    control.close()


def _through_bwrap(control: socket.socket, spec: dict[str, Any], pipes: Sequence[int]) -> None:
    """Rung C: bwrap makes the namespaces and the mounts, and starts process 1 in them."""
    given = spec["bwrap"]
    told = os.memfd_create("spec")
    os.write(told, json.dumps(spec).encode())
    os.lseek(told, 0, os.SEEK_SET)
    descriptors = [told, control.fileno(), *pipes]
    size = str(spec["disk_mb"] << 20)
    argv = [given["program"], "--unshare-user", "--unshare-all", "--uid", "1000", "--gid", "1000"]
    argv += [
        "--disable-userns",
        "--as-pid-1",
        "--die-with-parent",
        "--new-session",
        "--clearenv",
        "--cap-drop",
        "ALL",
        "--hostname",
        "box",
    ]
    argv += ["--proc", "/proc", "--dev", "/dev"]
    for path in root.WRITABLE:
        argv += ["--size", size, "--tmpfs", path]
    for name in root.SYSTEM:
        path = f"/{name}"
        argv += ["--symlink", os.readlink(path), path] if os.path.islink(path) else ["--ro-bind-try", path, path]
    for path in ("/usr", *root.ETC):
        argv += ["--ro-bind-try", path, path]
    for source, target in [*given["mounts"], *spec["mounts"]]:
        argv += ["--ro-bind", source, target]
    argv += ["--remount-ro", "/", "--chdir", root.WORK, "--"]
    argv += [given["python"], "-I", "-S", "-c", _RESUME, given["folder"], *map(str, descriptors)]
    with step("fork"):
        pid = os.fork()
    if pid == 0:
        with ended():
            kernel.die_with_parent()
            for descriptor in descriptors:
                os.set_inheritable(descriptor, True)
            os.execve(argv[0], argv, {})
    for descriptor in (told, *pipes):
        os.close(descriptor)
    _, status = os.waitpid(pid, 0)
    if status != 0:
        init.tell(control, Failed("bwrap", OSError(0, f"{given['program']} ended with status {status}")))
    control.close()


def resume() -> None:
    """Be process 1 in what bwrap made."""
    told, own, *pipes = (int(word) for word in sys.argv[2:])
    for descriptor in (own, *pipes):
        os.set_inheritable(descriptor, False)
    with open(told, "rb") as file:
        spec = json.loads(file.read())
    control = socket.socket(fileno=own)
    kernel.undumpable()
    init.run(control, spec, lambda: init.Box(control, pipes, spec, group=None, user=None))


def _without_namespaces(control: socket.socket, spec: dict[str, Any], pipes: Sequence[int], user: int | None) -> None:
    """Rung D: a folder instead of a root, a sweep instead of a pid namespace."""
    work = tempfile.mkdtemp(prefix="podium-box-")
    if user is not None:
        os.chown(work, user, user)
    spec["writable"] = [work]
    spec["env"] = {**spec["env"], "HOME": work, "TMPDIR": work}
    system = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ssl/certs", "/etc/passwd"]
    spec["readable"] = [*system, "/proc/self", *(source for source, _ in spec["mounts"])]

    def make() -> init.Box:
        os.chdir(work)
        kernel.adopt_orphans()
        kernel.undumpable()
        return init.Box(control, pipes, spec, group=None, user=user, work=work)

    with step("fork"):
        pid = os.fork()
    if pid == 0:
        with ended():
            kernel.die_with_parent()
            init.run(control, spec, make)
    for descriptor in pipes:
        os.close(descriptor)
    os.waitpid(pid, 0)
    shutil.rmtree(work, ignore_errors=True)
    control.close()


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
