"""Python as a user without privileges, for tests that start as root."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORDINARY = 65533
"""A user that nobody is."""


@functools.cache
def ordinary_python() -> list[str] | None:
    """A command that starts this Python (or the system's, of the same version) as a user without privileges."""
    packages = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    path = os.pathsep.join([str(ROOT / "src"), *packages])
    for python in dict.fromkeys([os.path.realpath(sys.executable), "/usr/bin/python3"]):
        code = "import os, sys, msgspec, podium; assert os.access(sys.executable, os.X_OK); "
        code += "assert sys.version_info[:2] == tuple(map(int, sys.argv[1:]))"
        command = as_ordinary(python, path)
        version = [str(part) for part in sys.version_info[:2]]
        try:
            done = subprocess.run(
                [*command, "-c", code, *version], capture_output=True, timeout=60, check=False, cwd="/"
            )
        except OSError:
            continue
        if done.returncode == 0:
            return command
    return None


def as_ordinary(python: str, path: str) -> list[str]:
    """A command line that becomes an ordinary user and starts `python`."""
    bwrap = shutil.which("bwrap")
    programs = os.pathsep.join(["/usr/bin", "/bin", *([str(Path(bwrap).parent)] if bwrap else [])])
    environment = ["env", "-i", "HOME=/tmp", f"PATH={programs}", f"PYTHONPATH={path}", "PYTHONDONTWRITEBYTECODE=1"]
    drop = ["setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups"] if os.getuid() == 0 else []
    return [*environment, *drop, python]


def run_as_ordinary(code: str) -> str:
    """What `code` prints when an ordinary user runs it; skips where no such user can read this Python."""
    command = ordinary_python()
    if command is None:
        pytest.skip("an ordinary user cannot read this Python, and the system has none of the same version")
    done = subprocess.run([*command, "-c", code], capture_output=True, text=True, timeout=120, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout
