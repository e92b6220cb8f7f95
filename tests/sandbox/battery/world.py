"""What a hostile program would like to reach on this machine: canaries made for one probe, and whether one was touched.

Nothing of value is risked: files, processes and sockets are made for the probe and removed after it.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[3]
PRELUDE = (Path(__file__).parent / "prelude.txt").read_text("utf-8")
SECRET = b"CANARY-" + secrets.token_hex(20).encode()[:25]
_IN_MEMORY = ctypes.create_string_buffer(SECRET, 32)
_URGENT: list[int] = []


def plant() -> None:
    """Put the secret where a run could inherit it: this process's environment, memory and descriptors."""
    os.environ["BATTERY_SECRET"] = SECRET.decode()
    descriptor, path = tempfile.mkstemp(prefix="podium-battery-")
    os.write(descriptor, SECRET)
    Path(path).unlink()
    os.dup2(descriptor, 77, inheritable=True)
    signal.signal(signal.SIGURG, lambda *_: _URGENT.append(1))


class World:
    """Canaries for one probe. `facts` is what the probe is told: where they are, never what is in them."""

    def __init__(self) -> None:
        self.mark = "GOT-" + secrets.token_hex(8)
        self.token = "bt" + secrets.token_hex(6)
        self.folder = Path(tempfile.mkdtemp(prefix="podium-battery-"))
        self.folder.chmod(0o777)  # whoever the probe becomes, only the sandbox keeps it out
        self.secret, self.writable = self.folder / "secret", self.folder / "writable"
        self.secret.write_bytes(SECRET)
        self.writable.write_text("untouched")
        self.secret.chmod(0o644)
        self.writable.chmod(0o666)
        self.victim = subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)
        self._sockets: dict[str, socket.socket] = {}
        self.abstract = self.token + "-abstract"
        for name, family, kind, address in (
            ("tcp", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)),
            ("tcp6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0)),
            ("udp", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)),
            ("unix", socket.AF_UNIX, socket.SOCK_STREAM, str(self.folder / "stream")),
            ("unix_dgram", socket.AF_UNIX, socket.SOCK_DGRAM, str(self.folder / "datagram")),
            ("abstract", socket.AF_UNIX, socket.SOCK_STREAM, "\0" + self.abstract),
        ):
            with contextlib.suppress(OSError):  # a machine without IPv6
                self._sockets[name] = _bound(family, kind, address)
        for name in ("stream", "datagram"):
            (self.folder / name).chmod(0o777)
        self._before = self._state()
        self._urgent = len(_URGENT)

    @property
    def facts(self) -> dict[str, Any]:
        """What the probe sees as `W`."""
        ports = {
            name: self._sockets[name].getsockname()[1] if name in self._sockets else 9
            for name in ("tcp", "tcp6", "udp")
        }
        return {
            "mark": self.mark,
            "token": self.token,
            "world": str(self.folder),
            "secret": str(self.secret),
            "writable": str(self.writable),
            "project": str(PROJECT),
            "digest": hashlib.sha256(SECRET).hexdigest(),
            "pid": os.getpid(),
            "address": ctypes.addressof(_IN_MEMORY),
            "victim": self.victim.pid,
            "victim_name": "/bin/sleep",
            "unix": str(self.folder / "stream"),
            "unix_dgram": str(self.folder / "datagram"),
            "abstract": self.abstract,
            "hostname": socket.gethostname(),
            **ports,
        }

    def program(self, code: str) -> str:
        """A probe in Python with what it needs."""
        return f"WORLD = {json.dumps(self.facts)!r}\n{PRELUDE}\n{code.strip()}\n"

    def script(self, code: str) -> str:
        """A probe for the shell."""
        facts = self.facts
        names = {"MARK": "mark", "SECRET": "secret", "TOKEN": "token", "TCP": "tcp"}
        return "".join(f"{name}={facts[key]}; " for name, key in names.items()) + "echo START\n" + code

    # What changed outside. Each gives a line when the probe reached it.

    def touched(self) -> str | None:
        """The canary file or its folder is not as it was."""
        now = self._state()
        return None if now == self._before else f"outside changed: {self._before} -> {now}"

    def signalled(self) -> str | None:
        """The canary process is gone."""
        time.sleep(0.1)
        return None if self.victim.poll() is None else f"the victim ended with {self.victim.returncode}"

    def urged(self) -> str | None:
        """This process got the signal of the probes."""
        time.sleep(0.05)
        return "the harness was signalled" if len(_URGENT) > self._urgent else None

    def contacted(self) -> str | None:
        """Something arrived at a canary socket."""
        for name, one in self._sockets.items():
            with contextlib.suppress(BlockingIOError):
                if one.type == socket.SOCK_STREAM:
                    one.accept()[0].close()
                else:
                    one.recv(100)
                return f"{name} was reached"
        return None

    def survivors(self) -> list[int]:
        """Processes that carry this probe's token in their name or arguments."""
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    arguments = (entry / "cmdline").read_bytes()
                    # The harness's own runs carry it inside their program text, which `START` begins.
                    named = self.token.encode() in arguments and b"WORLD" not in arguments and b"START" not in arguments
                    if named or (entry / "comm").read_text().strip() == self.token[:15]:
                        found.append(int(entry.name))
        return found

    def survived(self, grace: float = 3.0) -> str | None:
        """A process of the probe is there after the run. The kernel gets `grace` seconds to take it down."""
        end = time.monotonic() + grace
        while (left := self.survivors()) and time.monotonic() < end:
            time.sleep(0.05)
        return f"processes {left} live on" if left else None

    def close(self) -> None:
        """Remove everything."""
        self.victim.kill()
        self.victim.wait()
        for one in self._sockets.values():
            one.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _state(self) -> tuple[Any, ...]:
        names = sorted(entry.name for entry in self.folder.iterdir())
        try:
            about = self.writable.stat()
            extra = os.listxattr(self.writable)
            text = self.writable.read_bytes()[:64]
        except OSError:
            return (names, None)
        return (names, about.st_mode, about.st_uid, about.st_mtime_ns, about.st_nlink, extra, text)


def _bound(family: int, kind: int, address: Any) -> socket.socket:
    one = socket.socket(family, kind)
    one.bind(address)
    if kind == socket.SOCK_STREAM:
        one.listen(4)
    one.setblocking(False)
    return one
