"""What the project promises about itself: its files agree with each other, its package is quick and well described."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import podium

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SOURCES = sorted((ROOT / "src" / "podium").rglob("*.py"))
PIN = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!+]+)")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return {normal(m[1]): m[2] for line in lines if (m := PIN.fullmatch(line))}


def required() -> set[str]:
    extras = PROJECT["project"]["optional-dependencies"].values()
    lines = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in extra)]
    return {normal(re.split(r"[<>=!~\[; ]", line)[0]) for line in lines}


def marked(comment: str) -> str:
    """The one-line command below a comment of the README."""
    found = re.search(rf"<!-- {comment} -->\n```sh\n(.*)\n```", (ROOT / "README.md").read_text("utf-8"))
    assert found, f"README.md has no command marked <!-- {comment} -->"
    return found[1]


def test_constraints_hold_names_and_versions_and_no_addresses() -> None:
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        assert line.startswith("#") or PIN.fullmatch(line), f"neither a comment nor name==version: {line}"


def test_everything_that_is_installed_for_ci_is_pinned() -> None:
    assert required() <= set(pins())


def test_base_install_is_at_most_twenty_distributions() -> None:
    found: set[str] = set()
    left = ["podium"]
    while left:
        name = normal(left.pop())
        if name not in found:
            found.add(name)
            requirements = [Requirement(line) for line in metadata.requires(name) or []]
            left += [one.name for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
    assert len(found) <= 20, sorted(found)


def test_ci_begins_with_the_test_command_of_the_readme() -> None:
    assert marked("tests") == "sh scripts/test"
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    extraction = re.search(r"awk '([^']+)' README\.md", script)
    assert extraction
    done = subprocess.run(
        ["awk", extraction[1], str(ROOT / "README.md")], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == marked("tests")
    assert script.index('bash -c "$command"') < script.index("scripts/check")


def test_the_commands_of_the_readme_are_one_line_each_and_name_files_that_exist() -> None:
    assert "pip install" in marked("review")
    assert marked("review").endswith("podium review")
    assert (ROOT / marked("tests").split()[1]).is_file()


@pytest.mark.parametrize("script", ["scripts/check", "scripts/pin", "scripts/test", "scripts/venv", ".ci/run"])
def test_scripts_can_be_run_and_stop_at_the_first_failure(script: str) -> None:
    path = ROOT / script
    assert path.stat().st_mode & 0o111, f"{script} is not executable"
    assert re.search(r"^set -eu", path.read_text("utf-8"), re.MULTILINE)
    shell = "bash" if "bash" in path.read_text("utf-8").partition("\n")[0] else "sh"
    subprocess.run([shell, "-n", str(path)], check=True, timeout=30)


@pytest.mark.parametrize("name", podium.__all__)
def test_every_public_name_loads_and_has_a_docstring(name: str) -> None:
    value = getattr(podium, name)
    if inspect.isclass(value) or inspect.isroutine(value):
        assert (value.__doc__ or "").strip(), f"podium.{name} has no docstring"


def test_public_names_are_sorted_and_complete() -> None:
    assert podium.__all__ == sorted(podium.__all__)
    assert sorted(podium._MODULE) == podium.__all__


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_every_module_opens_with_a_docstring(source: Path) -> None:
    assert ast.get_docstring(ast.parse(source.read_text("utf-8"))), f"{source.name} does not say what it is"


HEAVY = ("pydantic", "httpx2", "rich", "typer", "sqlite3", "anyio", "ssl", "podium.app")


def loaded_by(code: str) -> set[str]:
    ask = f"import sys; {code}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, timeout=60)
    assert not done.stderr, "importing is silent"
    return set(done.stdout.split())


def test_importing_podium_loads_nothing_heavy() -> None:
    assert loaded_by("import podium") == set()


def test_an_agent_is_made_without_anything_heavy() -> None:
    assert loaded_by("from podium import Agent, tool; Agent('a', 'offline')") == set()


def test_every_package_has_its_place_in_the_import_contract() -> None:
    contract = PROJECT["tool"]["importlinter"]["contracts"][0]
    placed = {part.strip() for layer in contract["layers"] for part in layer.split("|")}
    here = {
        path.stem
        for path in (ROOT / "src" / "podium").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").is_file()) and not path.stem.startswith("__")
    }
    assert contract["exhaustive"]
    assert here == placed, "a package without a place, or a place without a package"


def test_every_package_is_watched_for_cycles() -> None:
    watched = set(PROJECT["tool"]["importlinter"]["contracts"][1]["ancestors"])
    packages = {f"podium.{path.parent.name}" for path in SOURCES if path.name == "__init__.py"} - {"podium.podium"}
    top = {name for name in packages if (ROOT / "src" / "podium" / name.partition(".")[2]).is_dir()}
    assert {name for name in top if name != "podium.dispatch"} <= watched


def test_versions_agree_and_the_changelog_mentions_the_present_one() -> None:
    version = PROJECT["project"]["version"]
    assert version == podium.__version__
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_entry_points_lead_to_something() -> None:
    module, _, name = PROJECT["project"]["scripts"]["podium"].partition(":")
    ask = f"from {module} import {name}; assert callable({name})"
    subprocess.run([sys.executable, "-c", ask], check=True, timeout=60)  # as the installed script does it
    assert importlib.import_module(PROJECT["project"]["entry-points"]["pytest11"]["podium"])


def test_the_licence_is_the_one_that_is_declared() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")[:300]
