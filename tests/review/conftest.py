"""A git repository in a temporary folder, cut off from the configuration of the machine."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from reviewed_repository import Done, Sandbox

from podium.cli import main

sys.path.insert(0, str(Path(__file__).parent.parent))  # for the server on loopback, in tests/models


@pytest.fixture(autouse=True)
def quiet_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CEILING_DIRECTORIES": str(tmp_path.parent),
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path / "repository")


@pytest.fixture
def new_sandbox(tmp_path: Path) -> Callable[[str], Sandbox]:
    return lambda name: Sandbox(tmp_path / name)


@pytest.fixture
def podium(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Call the command line in this process, in the sandbox; its streams are no terminals."""
    for name in [name for name in os.environ if name.startswith(("PODIUM_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(sandbox.root)

    def call(*arguments: str, stdin: str | bytes = b"") -> Done:
        given = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
        capfd.readouterr()
        code = main(list(arguments))
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        assert "\x1b" not in out + err
        return Done(int(code), out, err)

    return call


@pytest.fixture
def process(podium: Callable[..., Done], sandbox: Sandbox) -> Callable[..., subprocess.Popen[str]]:
    """Start the command line as a process, in the sandbox."""
    del podium  # its environment is wanted

    def start(*arguments: str, python: str = sys.executable, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [python, "-m", "podium", *arguments],
            cwd=sandbox.root,
            env=os.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
