"""Every example of the documentation is run as a reader would run it, and prints what the page says it prints.

The pages of providers talk to a mock of the providers on this machine; all others talk to nobody.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import types
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from pages import ROOT, Block, all_pages, blocks, commands, matches

from wires.mockserver import MockServer

pytestmark = pytest.mark.usefixtures("offline")

SECONDS = 60
"""Longer than any example takes on a busy machine."""
BIN = Path(sys.executable).parent
MEASUREMENTS = {"benchmarks.md"}
"""Pages that hold results of long commands instead of examples."""
PAGES = [page for page in all_pages() if page.parent.name not in {"decisions", "providers"}]
PROVIDERS = [page for page in all_pages() if page.parent.name == "providers"]
SETTINGS = ("PODIUM_", "ANTHROPIC_", "OPENAI_", "AZURE_", "GEMINI_", "GOOGLE_", "OLLAMA_")
"""What the settings of the person who runs the tests begin with, beside all keys and addresses."""
SAID = "Hello from the mock."
"""What the mock of the providers says to anybody."""


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An empty folder to work in, no keys, and no way out: neither here nor in the processes that are started."""
    for variable in list(os.environ):
        if variable.endswith(("_API_KEY", "_BASE_URL")) or variable.startswith(SETTINGS):
            monkeypatch.delenv(variable)
    for variable in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    for variable in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{variable}_NAME", "Ada")
        monkeypatch.setenv(f"{variable}_EMAIL", "ada@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:inline_snapshot")  # which a reader does not have, and which talks in CI
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)
    yield
    for module in set(sys.modules) - known:
        if getattr(sys.modules[module], "__file__", None) and str(tmp_path) in str(sys.modules[module].__file__):
            del sys.modules[module]


@contextlib.contextmanager
def within(seconds: int, what: str) -> Generator[None]:
    """An example that hangs fails, and says where."""

    def late(number: int, frame: object) -> None:
        raise TimeoutError(what)

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Reader:
    """Reads a page from top to bottom and does what it says, with one namespace for the whole page."""

    def __init__(self, page: Path) -> None:
        self.page = page
        self.module = types.ModuleType("documentation")
        self.printed: str | None = None
        self.executed = 0

    def read(self, block: Block) -> None:
        if block.marker == "skip":
            assert len(block.detail) > 10, self.at(block, "says `skip` without a reason")
        elif block.marker == "file":
            Path(block.detail).write_text(block.text, "utf-8")
        elif block.marker == "output":
            self.compare(block)
        elif block.language == "python":
            self.printed = self.python(block)
        elif block.marker == "run":
            self.printed = self.shell(block)

    def python(self, block: Block) -> str:
        self.executed += 1
        code = compile("\n" * (block.line - 1) + block.text, str(self.page), "exec", dont_inherit=True)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), within(SECONDS, self.at(block, "does not come to an end")):
            exec(code, self.module.__dict__)  # noqa: S102  (running the documentation is what this is for)
        return printed.getvalue()

    def shell(self, block: Block) -> str:
        self.executed += 1
        done = subprocess.run(["sh", "-ec", block.text], capture_output=True, text=True, timeout=SECONDS, check=False)
        expected = int(block.detail.removeprefix("exit ")) if block.detail else 0
        told = f"{block.text}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == expected, self.at(block, told)
        return done.stdout

    def compare(self, block: Block) -> None:
        assert self.printed is not None, self.at(block, "is the output of nothing")
        assert matches(block.text, self.printed), self.at(
            block, f"the example prints\n\n{self.printed}\nand the page says\n\n{block.text}"
        )

    def at(self, block: Block, what: str) -> str:
        return f"{name(self.page)}:{block.line}: {what}"


def read(page: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Block, str | None]]:
    """A page read to its end: its blocks, each with what was printed last when it had been read."""
    reader = Reader(page)
    monkeypatch.setitem(sys.modules, "documentation", reader.module)
    found: list[tuple[Block, str | None]] = []
    for block in blocks(page):
        reader.read(block)
        found.append((block, reader.printed))
    assert reader.executed or page.name in MEASUREMENTS, f"{name(page)} has no example that is run"
    return found


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_examples_of_a_page_run_offline_and_print_what_it_says(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(page, monkeypatch)


@pytest.mark.parametrize("page", PROVIDERS, ids=name)
def test_the_examples_of_a_provider_run_against_a_mock_of_it(
    page: Path, monkeypatch: pytest.MonkeyPatch, mock: MockServer
) -> None:
    for variable, value in {
        "ANTHROPIC_BASE_URL": mock.url,
        "ANTHROPIC_API_KEY": "key",
        "OPENAI_BASE_URL": f"{mock.url}/v1",
        "OPENAI_API_KEY": "key",
        "AZURE_OPENAI_ENDPOINT": mock.url,
        "AZURE_OPENAI_API_KEY": "key",
        "GOOGLE_GEMINI_BASE_URL": mock.url,
        "GEMINI_API_KEY": "key",
        "GOOGLE_VERTEX_BASE_URL": mock.url,
        "GOOGLE_VERTEX_ACCESS_TOKEN": "token",
        "GOOGLE_CLOUD_PROJECT": "team",
        # The only versions the mock knows.
        "GOOGLE_GENAI_API_VERSION": "v1" if page.name == "vertex.md" else "v1beta",
        "OLLAMA_HOST": mock.url,
    }.items():
        monkeypatch.setenv(variable, value)
    answers = [printed for block, printed in read(page, monkeypatch) if "print(result.output)" in block.text]
    assert answers, f"{name(page)} has no example that prints an answer of its provider: print(result.output)"
    assert {str(answer).strip() for answer in answers} == {SAID}


@cache
def help_of(command: str) -> Any:
    done = subprocess.run([BIN / "podium", command, "--help"], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr[-400:]


@pytest.mark.parametrize("page", all_pages(), ids=name)
def test_every_podium_command_that_a_page_names_exists(page: Path) -> None:
    for block in blocks(page):
        if block.language == "sh":
            for command in commands(block):
                code, told = help_of(command)
                assert code == 0, f"{name(page)}:{block.line}: podium {command} --help: {told}"


@pytest.mark.parametrize("page", all_pages(), ids=name)
def test_only_known_markers_and_languages_are_used(page: Path) -> None:
    for block in blocks(page):
        where = f"{name(page)}:{block.line}"
        assert block.language, f"{where}: name the block's language"
        assert block.marker != "run" or block.language == "sh", f"{where}: only sh blocks are run"
        assert block.marker != "output" or block.language in {"text", "json", "markdown"}, f"{where}: not an output"
        assert block.language not in {"bash", "shell", "py"}, f"{where}: say sh or python"
