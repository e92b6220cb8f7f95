"""The program as a whole: help, version, settings, `init`, `doctor`, and errors that are one line."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from podium import __version__
from podium.cli.program import MODULES, build

from .conftest import Done

Podium = Callable[..., Done]
COMMANDS = [command for _, commands in MODULES for command in commands]


def test_the_version_is_printed(podium: Podium):
    assert podium("--version") == (0, f"podium {__version__}\n", "")


def test_help_groups_all_commands_and_lists_the_exit_codes(podium: Podium):
    for done in (podium("--help"), podium()):
        assert done.code == 0
        assert all(re.search(rf"\b{command}\b", done.out) for command in COMMANDS)
        assert "Decisions" in done.out
        assert "Exit codes: 0 succeeded" in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_json(command: str):
    result = CliRunner().invoke(build(command), [command, "--help"])
    assert result.exit_code == 0
    assert "Example:" in result.output
    assert f"podium {command}" in result.output
    assert "--json" in result.output
    assert "\x1b" not in result.output


def test_one_command_imports_neither_the_others_nor_the_terminal():
    code = (
        "import sys; from podium.cli import main; main(['--version']);"
        "print([name for name in ('rich.live', 'podium.app', 'pydantic', 'sqlite3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["show", "nope"], 2, "there is no run 'nope' in this store: `podium runs` lists those there are"),
        (["resume", "nope"], 2, "there is no run 'nope'"),
        (["approve", "nope"], 2, "there is no run 'nope'"),
        (["approve", "r1"], 6, "run r1 waits for no approval"),
        (["approve", "r1", "--args", "{"], 2, "--args is not JSON"),
        (["approve", "r1", "--args", "[1]"], 2, "--args must be a JSON object"),
        (["answer", "r1", "a", "b", "c"], 2, "give one VALUE"),
        (["fork", "r1", "--at", "nope.1"], 2, "run r1 has no step 'nope.1'"),
        (["fork", "r1", "--at", "echo.1", "--effects", "maybe"], 2, "--effects"),
        (["run", "team.py"], 2, "'team.py' is not a TARGET"),
        (["run", "team.py:nobody"], 2, "team.py has no 'nobody'; members found there: asker"),
        (["run", "nowhere.py:x"], 2, "there is no file nowhere.py"),
        (["run", "no_such_module:x"], 2, "there is no module 'no_such_module'"),
        (["run", "broken.py:x"], 2, "loading broken.py failed: ZeroDivisionError"),
        (["run", "team.py:echo", "--json-input", "{"], 2, "--json-input is not JSON"),
        (["run", "team.py:echo", "a", "--json-input", "1"], 2, "give INPUT or --json-input, not both"),
        (["run", "team.py:echo", "@nowhere.txt"], 2, "nowhere.txt cannot be read"),
        (["run", "team.py:echo", "@binary"], 2, "binary is not UTF-8"),
        (["run", "team.py:echo", "--follow"], 2, "--follow prints lines of JSON"),
        (["run"], 2, "Missing argument 'TARGET'"),
        (["run", "team.py:echo", "--nope"], 2, "No such option: --nope"),
        (["dance"], 2, "No such command 'dance'"),
        (["inbox"], 2, "podium approve, without a name, lists what waits for a person"),
        (["run", "teams.py:mkae"], 2, "teams.py has no 'mkae': did you mean 'make'?"),
        (["runs", "--status", "tired"], 2, "--status is one of pending,"),
        (["runs", "--store", "nope://x"], 2, "'nope://x' is not a store"),
        (["runs", "--store", "broken.py"], 7, "broken.py is not a Podium store"),
        (["runs", "--store", "foreign.db"], 7, "foreign.db"),
        (["run", "team.py:echo", "--store", "broken.py"], 7, "broken.py is not a Podium store"),
        (["run", "team.py:echo", "--store", "team.py/x.db"], 7, "team.py"),
        (["show", "r1", "--store", "nowhere.db"], 2, "there is no store nowhere.db yet"),
        (["show", "r1", "--step", "echo.1", "--records"], 2, "give --step or --records, not both"),
        (["show", ""], 2, "there is no run ''"),
        (["show", "\x1b[2J"], 2, "there is no run '\\x1b[2J'"),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_code(
    podium: Podium, folder: Path, arguments: list[str], code: int, line: str
):
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "teams.py").write_text("def make():\n    pass\n")
    (folder / "binary").write_bytes(b"\xff\xfe\xff")
    connection = sqlite3.connect(folder / "foreign.db")
    connection.execute("CREATE TABLE songs (name)")
    connection.commit()
    connection.close()
    podium("run", "team.py:echo", "x", "--run-id", "r1")
    done = podium(*arguments)
    assert done.code == code
    assert done.out == ""
    assert done.err.startswith("podium: ")
    assert done.err.count("\n") == 1
    assert line in done.err


def test_a_damaged_store_is_one_line(podium: Podium, folder: Path):
    podium("run", "team.py:echo", "x", "--run-id", "r1")
    file = folder / ".podium" / "podium.db"
    data = bytearray(file.read_bytes())
    data[1024:] = b"\xa5" * (len(data) - 1024)
    file.write_bytes(data)
    for name in ("podium.db-wal", "podium.db-shm"):
        (file.parent / name).unlink(missing_ok=True)
    done = podium("show", "r1")
    assert done.code == 7
    assert done.err.count("\n") == 1


def test_an_unexpected_error_is_named_in_one_line(podium: Podium, monkeypatch: pytest.MonkeyPatch):
    def burn(*_: object) -> None:
        raise RuntimeError("the house is on fire")

    monkeypatch.setattr("podium.cli.options.settings", burn)
    monkeypatch.setattr("podium.cli.runs.settings", burn)
    done = podium("runs")
    assert done.code == 1
    assert done.err == "podium: RuntimeError: the house is on fire (run with PODIUM_DEBUG=1 for the traceback)\n"


# -------------------------------------------------------------------------------------------------------- settings


def test_flags_win_over_the_environment_and_that_over_the_file(
    podium: Podium, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    (folder / "podium.toml").write_text('store = "file.db"\nmodel = "offline"\n[limits]\ntool_timeout = 5\n')
    assert podium("run", "team.py:plain", "hello").code == 0
    assert (folder / "file.db").exists()
    monkeypatch.setenv("PODIUM_STORE", "environment.db")
    podium("run", "team.py:plain", "hello")
    assert (folder / "environment.db").exists()
    podium("run", "team.py:plain", "hello", "--store", "flag.db")
    assert (folder / "flag.db").exists()
    monkeypatch.setenv("PODIUM_MODEL", "nonsense")
    assert podium("run", "team.py:plain", "hello").code == 2
    assert podium("run", "team.py:plain", "hello", "--model", "offline").code == 0


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("stroe = 'x'", "podium.toml: unknown key 'stroe'; known are store, model, base_url, [limits]"),
        ("[limits]\nleash = 1", "podium.toml: unknown key 'leash' in [limits]; known are lease,"),
        ("[limits]\nlease = 'long'", "podium.toml: limits.lease must be a number above 0"),
        ("store = 7", "podium.toml: store must be a text"),
        ("limits = 7", "podium.toml: limits is a table"),
        ("store = ", "podium.toml is not valid TOML"),
    ],
)
def test_a_mistake_in_the_settings_is_one_clear_line(podium: Podium, folder: Path, text: str, line: str):
    (folder / "podium.toml").write_text(text)
    done = podium("runs")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert line in done.err


# ------------------------------------------------------------------------------------------------- init and doctor


def test_what_init_writes_runs_from_the_first_command_to_the_tests(
    podium: Podium, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    done = podium("init", "shop")
    assert done.code == 0
    assert "podium approve last" in done.out
    monkeypatch.chdir(folder / "shop")
    assert podium("run", "team.py:support", "Refund order A-1001").code == 3
    approved = podium("approve", "last")
    assert approved.code == 0
    assert "order A-1001 was refunded" in approved.out
    assert (folder / "shop" / "refunds.jsonl").read_text() == '{"order": "A-1001"}\n'
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "2 passed" in tested.stdout, tested.stdout
    ruff = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "."], capture_output=True, text=True, check=False
    )
    assert ruff.returncode == 0, ruff.stdout


def test_init_overwrites_nothing(podium: Podium, folder: Path):
    before = (folder / "team.py").read_text()
    done = podium("init")
    assert done.code == 2
    assert "team.py is there already" in done.err
    assert (folder / "team.py").read_text() == before
    assert not (folder / "podium.toml").exists()


def test_doctor_tells_what_works_and_leaves_no_trace(podium: Podium, folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-value")
    before = sorted(folder.iterdir())
    document = podium("doctor", "--json")
    checks = {check["name"]: check for check in document.json["checks"]}
    assert document.json["ok"] is True
    assert checks["offline"]["ok"]
    assert checks["openai"]["ok"]
    assert "journal mode wal" in checks["store"]["detail"]
    assert "secret" not in document.out
    assert all(check["ok"] or check["remedy"] for check in checks.values())
    plain = podium("doctor")
    assert plain.code == 0
    assert "not a terminal" in plain.out
    assert sorted(folder.iterdir()) == before


def test_doctor_fails_when_the_store_cannot_be_used(podium: Podium, folder: Path):
    (folder / "junk.db").write_text("not a database, whatever its name says" * 40)
    done = podium("doctor", "--store", "junk.db")
    assert done.code == 7
    assert "BROKEN" in done.out
    assert "not a Podium store" in done.out
