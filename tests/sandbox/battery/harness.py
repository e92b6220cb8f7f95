"""Runs probes, in a box or bare, and judges each: did it get what it wanted, or leave a trace where it should not?"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from . import probes, probes_kernel, probes_limits, probes_second
from .delegated import delegated
from .probes import Probe
from .world import PROJECT, SECRET, World, plant

PROBES: list[Probe] = [
    *probes.READING, *probes.PEEKING, *probes.WRITING,
    *probes_kernel.MOUNTING, *probes_kernel.SURFACE, *probes_kernel.BECOMING, *probes_kernel.SIGNALS,
    *probes_kernel.SURVIVING,
    *probes_limits.NETWORK, *probes_limits.DESCRIPTORS, *probes_limits.RESULTS, *probes_limits.LIMITS,
    *probes_second.COUNTED, *probes_second.HOLDING, *probes_second.OVERWRITING, *probes_second.LEFT_BEHIND,
]  # fmt: skip

BOX_SECONDS = 12.0
HELD_SECONDS = 2.0
"""How long a probe that never ends may run in a box."""
BARE_SECONDS = 3.5
SLACK = 20.0
"""Seconds after its timeout in which a call must have returned: generous, for a machine that does other things."""
OUTPUT = 256 * 1024
BROKEN = r"(Name|Attribute|Type|Syntax|Indentation|Import|Index|Unbound\w*|ctypes\.Argument)Error\b|ModuleNotFoundError"
"""A probe that ends like this has a mistake of its own and shows nothing."""
USER = 48213
"""An ordinary user that nobody else is."""


class Row(msgspec.Struct, frozen=True):
    """What became of one probe. `outcome`: escaped, blocked, or void (it never began: nothing was shown)."""

    name: str
    kind: str
    outcome: str
    detail: str
    rung: str


class Ran(NamedTuple):
    """A run as the judges see it. `result` is the sandbox's, None when bare."""

    output: bytes
    files: Mapping[str, bytes]
    seconds: float
    late: bool
    result: Any = None


def _files(ran: Ran) -> str | None:
    for name, data in ran.files.items():
        if name.startswith("/") or ".." in name.split("/"):
            return f"a file is named {name!r}"
        if SECRET in data:
            return f"{name!r} holds the secret"
    return None


def _finite(value: Any) -> str | None:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError as error:
        return f"the value is not JSON: {error}"
    return None


def _encodable(value: Any) -> str | None:
    try:
        msgspec.json.encode(value)
    except (ValueError, UnicodeError) as error:
        return f"the value cannot be written as UTF-8: {error}"
    return None


JUDGES: dict[str, Callable[[World, Ran], str | None]] = {
    "world": lambda world, _: world.touched(),
    "victim": lambda world, _: world.signalled(),
    "urgent": lambda world, _: world.urged(),
    "survivor": lambda world, _: world.survived(),
    "network": lambda world, _: world.contacted(),
    "returned": lambda _, ran: f"it came back after {ran.seconds:.1f} s" if ran.late else None,
    "quick": lambda _, ran: f"it came back after {ran.seconds:.1f} s" if ran.late else None,
    "flood": lambda _, ran: f"{len(ran.output)} bytes came out" if len(ran.output) > OUTPUT + 65536 else None,
    "files": lambda _, ran: _files(ran),
    "answered": lambda _, __: None,  # an exception in the supervisor is an escape by itself
    "failed": lambda _, ran: "it passed as a success" if ran.result and ran.result.success else None,
    "limited": lambda _, ran: None if not ran.result or ran.result.limit else "no limit is said to have stopped it",
    "small": lambda _, ran: "the value is large" if ran.result and len(repr(ran.result.value)) > 4 * OUTPUT else None,
    "finite": lambda _, ran: _finite(ran.result.value) if ran.result else None,
    "encodable": lambda _, ran: _encodable(ran.result.value) if ran.result else None,
}


def judge(probe: Probe, world: World, ran: Ran) -> tuple[str, str]:
    """Outcome and detail of a run."""
    if world.mark.encode() in ran.output:
        after = ran.output.split(world.mark.encode(), 1)[1].split(b"\n")[0]
        return "escaped", after.decode("utf-8", "replace").strip()
    for name in probe.judge.split():
        trace = JUDGES[name](world, ran)
        if trace is not None:
            return "escaped", trace
    said = ran.output[-300:].decode("utf-8", "replace")
    if b"START" not in ran.output:
        return "void", f"it never began: {said or (ran.result.error if ran.result else '')}"
    last = [line for line in ran.output.decode("utf-8", "replace").splitlines() if line.strip()][-1:]
    if last and re.match(BROKEN, last[0]):
        return "void", last[0]
    limit = f"[{ran.result.limit}] " if ran.result is not None and ran.result.limit else ""
    return "blocked", limit + (last[0][-110:] if last else "")


# ------------------------------------------------------------------------------------------------------------- in a box


def _box(timeout: float, network: bool | Sequence[str]) -> Any:
    from podium.tools.sandbox import Sandbox

    return Sandbox(
        timeout=timeout,
        network=network,
        memory_mb=96,
        cpu_seconds=6,
        processes=16,
        disk_mb=16,
        output_limit=OUTPUT,
        floor="B",
    )


async def boxed(probe: Probe, network: bool | Sequence[str] = False) -> Row:
    """Run a probe in a box. With a `network` a probe may well get a socket: then only what it reached counts."""
    held = "returned" in probe.judge or "limited" in probe.judge
    box = _box(HELD_SECONDS if held else BOX_SECONDS, network)
    world = await asyncio.to_thread(World)
    rung, result = "", None
    start = time.monotonic()
    try:
        try:
            run = box.shell(world.script(probe.code)) if probe.lang == "sh" else box.python(world.program(probe.code))
            async with asyncio.timeout(box.timeout + 3 * SLACK):
                result = await run
        except Exception as error:  # noqa: BLE001 (whatever the supervisor lets through is what the probe achieved)
            return Row(
                probe.name, probe.kind, "escaped", f"the call raised {type(error).__name__}: {error}"[:300], rung
            )
        seconds = time.monotonic() - start
        output = (result.output + result.stderr).encode("utf-8", "replace")
        if network:
            output = output.replace(world.mark.encode(), b"")
        ran = Ran(output, result.files, seconds, seconds > box.timeout + SLACK, result)
        outcome, detail = await asyncio.to_thread(judge, probe, world, ran)
        return Row(probe.name, probe.kind, outcome, detail, result.rung)
    finally:
        await asyncio.to_thread(world.close)


async def all_boxed(chosen: Sequence[Probe], *, side_by_side: int = 2) -> list[Row]:
    """Run probes in boxes, some at a time."""
    room = asyncio.Semaphore(side_by_side)

    async def one(probe: Probe) -> Row:
        async with room:
            return await boxed(probe)

    return list(await asyncio.gather(*(one(probe) for probe in chosen)))


# --------------------------------------------------------------------------------------------------------------- bare


def bare(probe: Probe) -> Row:
    """Run a probe with nothing around it but bounds that keep this machine usable."""
    why = probe.root if os.getuid() == 0 else probe.user
    if why != "bites":
        return Row(probe.name, probe.kind, "apart", why, "bare")
    world = World()
    work = Path(tempfile.mkdtemp(prefix="podium-battery-work-"))
    if probe.lang == "sh":
        argv = ["/bin/sh", "-c", world.script(probe.code)]
    else:
        argv = [sys.executable, "-I", "-c", world.program(probe.code)]
    try:
        ran = _run_bare(argv, work)
        outcome, detail = judge(probe, world, ran)
        return Row(probe.name, probe.kind, outcome, detail, "bare")
    finally:
        _end_descendants(world.victim.pid)
        world.close()
        shutil.rmtree(work, ignore_errors=True)


def _run_bare(argv: list[str], work: Path) -> Ran:
    start = time.monotonic()
    process = subprocess.Popen(
        argv, cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, close_fds=False,
        preexec_fn=_bounds,
    )  # fmt: skip
    assert process.stdout is not None
    kept = bytearray()
    stream = process.stdout

    def read() -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(stream.fileno(), 65536):
                if len(kept) < 4 << 20:
                    kept.extend(data)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(BARE_SECONDS)
    late = reader.is_alive() or (process.poll() is None and _still(process, start))
    seconds = time.monotonic() - start
    files: dict[str, bytes] = {}
    for entry in sorted(work.iterdir())[:50]:
        with contextlib.suppress(OSError):
            if entry.is_file() and entry.stat().st_size < 1 << 20:
                files[entry.name] = entry.read_bytes()
    if process.poll() is None:
        process.kill()
    process.wait()
    return Ran(bytes(kept), files, seconds, late)


def _still(process: subprocess.Popen[bytes], start: float) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(max(0.1, BARE_SECONDS - (time.monotonic() - start)))
        return False
    return True


def _bounds() -> None:
    for kind, most in ((resource.RLIMIT_AS, 4 << 30), (resource.RLIMIT_CPU, 30)):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(kind, (most, hard))


def _end_descendants(spare: int) -> None:
    """Kill what a bare probe left. Its orphans come to this process (it is their subreaper), so only they are met."""
    for _ in range(50):
        left = [pid for pid in _descendants(os.getpid()) if pid != spare]
        if not left:
            return
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
        for pid in left:
            with contextlib.suppress(OSError):
                os.waitpid(pid, os.WNOHANG)


def _descendants(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, left = list[int](), [root]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found


# --------------------------------------------------------------------------------------------- the whole, as somebody


def inside(mode: str, only: str, path: str) -> None:
    """Run the battery in this process and write the rows to `path`."""
    with contextlib.suppress(PermissionError):
        os.setpgid(0, 0)  # the group that a bare kill(0) reaches
    plant()
    chosen = [probe for probe in PROBES if re.search(only, probe.name) or probe.kind == only]
    if mode == "bare":
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
        rows = [bare(probe) for probe in chosen]
    else:
        rows = asyncio.run(all_boxed(chosen))
    Path(path).write_bytes(msgspec.json.encode(rows))


def interpreter_for(user: int) -> tuple[str, dict[str, str]] | str:
    """A Python that `user` can run with Podium on its path, and its environment; or why there is none."""
    import site

    paths = [PROJECT / "src", PROJECT / "tests" / "sandbox", *map(Path, site.getsitepackages())]
    env = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": ":".join(map(str, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": "/",
    }
    for program in (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}"):
        try:
            tried = subprocess.run(
                [program, "-c", "import battery.harness, podium"], env=env, user=user, group=user, extra_groups=[],
                capture_output=True, timeout=60, check=False, cwd="/",
            )  # fmt: skip
        except OSError:
            continue
        if tried.returncode == 0:
            return program, env
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"no Python {version} that an ordinary user can read has Podium's packages"


def as_somebody(mode: str, *, user: bool, only: str = "", seconds: float = 580) -> list[Row] | str:
    """Run the battery in a process of its own: as root or an ordinary user; rung "A", "B" or "bare".

    Root has rung B by hiding the control groups (in a mount namespace of that process alone); an ordinary user has rung
    A by a control group that root delegates. Gives the reason instead of rows when this machine cannot.
    """
    root = os.getuid() == 0
    program: str = sys.executable
    env = {**os.environ, "PYTHONPATH": f"{PROJECT / 'src'}:{PROJECT / 'tests' / 'sandbox'}"}
    drop: list[str] = []
    if user and root:
        found = interpreter_for(USER)
        if isinstance(found, str):
            return found
        program, env = found
        drop = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    if not user and not root:
        return "this process is not root"
    with contextlib.ExitStack() as stack:
        enter: list[str] | str = []
        if mode == "B" and not user:
            hide = 'mount --make-rprivate / && mount -t tmpfs -o ro,size=4k none /sys/fs/cgroup && exec "$@"'
            enter = ["unshare", "-m", "/bin/sh", "-c", hide, "battery"]
        if mode == "A" and user and root:
            enter = stack.enter_context(delegated(USER))
            if isinstance(enter, str):
                return enter
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="podium-battery-rows-", ignore_cleanup_errors=True)
        )
        Path(folder).chmod(0o777)
        rows = f"{folder}/rows.json"
        argv = [*enter, *drop, program, "-m", "battery", "--inside", mode, "--only", only, "--rows", rows]
        done = subprocess.run(
            argv, env=env, cwd=folder, timeout=seconds, check=False, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, start_new_session=True,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"the battery failed: {done.stdout[-1000:]}{done.stderr[-3000:]}")
        return msgspec.json.decode(Path(rows).read_bytes(), type=list[Row])
