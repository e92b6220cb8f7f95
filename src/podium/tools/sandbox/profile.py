"""What a box is made with: its bounds and its environment, checked. Boxes of one profile are alike."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from podium.core.errors import ConfigurationError

from . import sources
from .result import Rung
from .sources import Mount

PORT: Final = 3128
"""Where the relay listens in a box that has a network: the port of HTTP proxies."""
SOCKET: Final = "/run/podium/proxy"
_ENVIRONMENT: Final = {
    "HOME": "/box",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "TMPDIR": "/tmp",  # noqa: S108 (inside the box)
    "USER": "box",
}
PRELOAD: Final = "PODIUM_PRELOAD"
"""How the interpreter in a box is told what to import before its call comes."""
_PROXIES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
_FOLDER: Final = Path(__file__).parent
_MOST_MEGABYTES: Final = 1 << 20


def bwrap() -> str | None:
    """The program of rung C, when it is installed."""
    return shutil.which("bwrap")


def _through_bwrap() -> dict[str, Any]:
    python = sources.interpreter()
    return {
        "program": bwrap(),
        "python": python.program,
        "mounts": [*python.mounts, (str(_FOLDER), str(_FOLDER))],
        "folder": str(_FOLDER),
    }


def encodable(text: object) -> bool:
    """Whether it is text that a program can be given: without NUL and unpaired surrogates, but for bytes in names."""
    try:
        return isinstance(text, str) and b"\0" not in text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """See `Sandbox` for the meaning of each."""

    memory_mb: int = 512
    cpu_seconds: float | None = None
    processes: int = 64
    disk_mb: int = 64
    env: Mapping[str, str] = {}
    most_files: int = 100
    most_bytes: int = 16 << 20

    def __post_init__(self) -> None:
        for name in ("memory_mb", "disk_mb"):
            if not 1 <= getattr(self, name) <= _MOST_MEGABYTES:
                raise ConfigurationError(f"{name}={getattr(self, name)!r}: give megabytes, 1 to {_MOST_MEGABYTES}")
        if not 1 <= self.processes <= 32768:
            raise ConfigurationError(f"processes={self.processes!r}: give 1 to 32768")
        if self.cpu_seconds is not None and not 0 < self.cpu_seconds < 1e9:
            raise ConfigurationError(f"cpu_seconds={self.cpu_seconds!r}: give seconds above 0, or leave it out")
        for name, value in cast("Mapping[object, object]", self.env).items():
            if not name or "=" in str(name) or name == PRELOAD or not encodable(name) or not encodable(value):
                raise ConfigurationError(f"env: {str(name)[:40]!r} is no name and text of an environment variable")

    def spec(
        self,
        rung: Rung,
        *,
        argv: list[str] | None = None,
        mounts: list[Mount] | None = None,
        proxy: str | None = None,
        relay: list[str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The profile as a launcher reads it (`inside.launch`).

        Args:
            rung: how it is confined.
            argv: the program; None when it comes with the call.
            mounts: what may be read besides the system's folders.
            proxy: the socket of the host's proxy; None is no network.
            relay: the program that carries connections to it.
            env: more of the environment, from ourselves.
        """
        network = None
        proxies: dict[str, str] = {}
        given = list(mounts or ())
        if proxy is not None:
            network = {"port": PORT, "argv": relay}
            given.append((proxy, SOCKET))
            proxies = {**dict.fromkeys(_PROXIES, f"http://127.0.0.1:{PORT}"), "NO_PROXY": "", "no_proxy": ""}
        return {
            "rung": rung,
            "argv": argv,
            "env": {**_ENVIRONMENT, **proxies, **self.env, **(env or {})},
            "mounts": given,
            "memory_mb": self.memory_mb,
            "disk_mb": self.disk_mb,
            "processes": self.processes,
            "cpu_seconds": self.cpu_seconds,
            "network": network,
            "bwrap": _through_bwrap() if rung == "C" else None,
            "most_files": self.most_files,
            "most_bytes": self.most_bytes,
        }
