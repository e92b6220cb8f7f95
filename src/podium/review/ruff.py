"""The linter ruff as an analyser: Python files at the reviewed revision, rules by reviewer, changed lines only.

The files are written to a temporary folder and judged there, without the configuration of the reviewed repository
and without running anything of it. Ruff is optional (the extra `review`); where it is missing there is a note instead
of findings.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec

from podium.core.errors import ConfigurationError
from podium.review.change import Change, FileChange, Status
from podium.review.credentials import mask
from podium.review.findings import REVIEWERS, Finding, Severity
from podium.review.paths import Kind, kind_of
from podium.tools.builtin.process import Output, run

MISSING = "ruff is not installed, Python files were not linted: pip install 'podium[review]'"
_MAX_FILES = 300
_SUFFIXES = (".py", ".pyi", ".pyw")


class Analysis(msgspec.Struct, frozen=True):
    """What an analyser found, and a note on what it could not do (else empty)."""

    findings: tuple[Finding, ...] = ()
    note: str = ""


SELECT = {
    "security": ("S", "PLE2502", "PLE2510", "PLE2512", "PLE2513", "PLE2514", "PLE2515"),
    "correctness": (
        "E7", "E9", "F", "B", "PLE0", "PLE1", "PLW01", "PLW0602", "PLW0711", "PLW1501", "PLW1508", "PLW1509",
        "PLW3301", "ASYNC", "RUF006", "RUF016", "RUF018", "RUF021", "RUF040", "PIE794", "PIE796", "PT015", "DTZ",
        "LOG", "BLE", "T100",
    ),
    "maintainability": (
        "C4", "C90", "ERA", "N80", "N81", "PERF", "PIE790", "PLR0911", "PLR0912", "PLR0913", "PLR0915", "PLR1711",
        "PLR1714", "PLR5501", "PTH", "SIM", "UP",
    ),
}  # fmt: skip
"""Which rules speak for which reviewer."""
# Asserts, and how a program is found on PATH, are not faults by themselves; longer or shorter names are taste.
_IGNORE = (
    "S101",
    "S404",
    "S603",
    "S607",
    "S4",
    "E701",
    "E702",
    "E703",
    "E741",
    "ASYNC109",
    "N818",
    "B905",
    "B008",
    "SIM108",
    "SIM105",
    "UP009",
)
_IN_TESTS = ("S105", "S106", "S107", "S311", "PLR", "ERA", "N8", "DTZ", "PTH", "B017")


class _Family(msgspec.Struct, frozen=True):
    severity: Severity
    why: str
    cwe: int | None = None


_HIGH, _MEDIUM, _LOW, _INFO = Severity.HIGH, Severity.MEDIUM, Severity.LOW, Severity.INFO
# The longest prefix of a rule's code counts.
_FAMILIES = {
    "": _Family(_LOW, "It departs from what Python developers expect to read."),
    "invalid-syntax": _Family(_HIGH, "The file cannot be imported."),
    "S": _Family(_MEDIUM, "It can be used against the program by whoever controls its input."),
    "S102": _Family(_HIGH, "Whoever controls part of that text runs code inside this program.", 95),
    "S103": _Family(_MEDIUM, "Every account on the machine can change the file.", 732),
    "S104": _Family(_LOW, "The service answers on every network of the machine.", 605),
    "S105": _Family(_MEDIUM, "Whoever can read the repository can use the password.", 798),
    "S106": _Family(_MEDIUM, "Whoever can read the repository can use the password.", 798),
    "S107": _Family(_MEDIUM, "Whoever can read the repository can use the password.", 798),
    "S108": _Family(_LOW, "Another account can create a file of that name first.", 377),
    "S110": _Family(_LOW, "A failure goes on as success, and leaves no trace to find it by.", 390),
    "S112": _Family(_LOW, "A failure goes on as success, and leaves no trace to find it by.", 390),
    "S113": _Family(_MEDIUM, "A server that does not answer stops the program for ever.", 400),
    "S201": _Family(_HIGH, "The debugger lets a visitor run code.", 489),
    "S202": _Family(_MEDIUM, "Member names with `..` write outside the folder.", 22),
    "S301": _Family(_HIGH, "Loading such data can run code; whoever controls the data controls the program.", 502),
    "S302": _Family(_HIGH, "Loading such data can run code; whoever controls the data controls the program.", 502),
    "S306": _Family(_MEDIUM, "Another process can create the file first.", 377),
    "S307": _Family(_HIGH, "Whoever controls part of that text runs code inside this program.", 95),
    "S308": _Family(_MEDIUM, "Text from a user that reaches this place runs as script in the browser.", 79),
    "S311": _Family(_LOW, "Its values can be predicted; harmless unless they guard something.", 330),
    "S324": _Family(_MEDIUM, "Collisions can be made; it does not protect signatures or passwords.", 327),
    "S501": _Family(_HIGH, "Without the check anybody on the way can read and change the traffic.", 295),
    "S506": _Family(_HIGH, "Loading such data can run code; whoever controls the data controls the program.", 502),
    "S602": _Family(_HIGH, "Whoever controls part of that text runs commands with the rights of this program.", 78),
    "S604": _Family(_MEDIUM, "Whoever controls part of that text runs commands with the rights of this program.", 78),
    "S605": _Family(_HIGH, "Whoever controls part of that text runs commands with the rights of this program.", 78),
    "S606": _Family(_LOW, "A program is started; its name and arguments must not come from outside.", 78),
    "S608": _Family(_HIGH, "A value with a quote in it changes the statement.", 89),
    "S701": _Family(_MEDIUM, "Text from a user runs as script in the browser.", 79),
    "PLE25": _Family(_HIGH, "The code reads differently to people than to Python.", 1007),
    "E9": _Family(_HIGH, "The file cannot be imported."),
    "E7": _Family(_LOW, "The comparison or clause may not do what it seems to."),
    "E722": _Family(_MEDIUM, "It also catches Ctrl-C and exit, and hides every fault."),
    "F": _Family(_MEDIUM, "It is most likely not what was meant."),
    "F401": _Family(_LOW, "It costs import time and misleads the reader."),
    "F541": _Family(_INFO, "An f-string without fields is an oversight or a lost value."),
    "F811": _Family(_MEDIUM, "The first definition is never used: a test or branch may be lost."),
    "F821": _Family(_HIGH, "It raises NameError when it is reached."),
    "F822": _Family(_HIGH, "A star import of the module fails."),
    "F823": _Family(_HIGH, "It raises UnboundLocalError when it is reached."),
    "F841": _Family(_LOW, "A result is computed and lost: a check may be missing."),
    "F632": _Family(_MEDIUM, "Identity of literals depends on the interpreter."),
    "B": _Family(_MEDIUM, "It is a known trap: it works until the day it does not."),
    "B006": _Family(_MEDIUM, "The default is shared by all calls: what one leaves in it, the next one finds."),
    "B007": _Family(_LOW, "The loop may use another variable than was meant."),
    "B023": _Family(_MEDIUM, "The function sees the last value of the loop, not the one of its turn."),
    "B904": _Family(_LOW, "The cause of the error is lost, or looks like a second fault."),
    "PLE": _Family(_HIGH, "It fails when it is reached."),
    "PLW": _Family(_MEDIUM, "It is most likely not what was meant."),
    "ASYNC": _Family(_MEDIUM, "Everything else on the event loop waits meanwhile."),
    "RUF006": _Family(_MEDIUM, "A task that nobody holds may vanish before it is done."),
    "DTZ": _Family(_LOW, "A time without zone is wrong wherever the machine's zone differs."),
    "BLE": _Family(_LOW, "Faults of any kind are taken for the expected one."),
    "T100": _Family(_MEDIUM, "The program stops there and waits for somebody at a keyboard.", 489),
    "LOG": _Family(_LOW, "The message may never reach the log."),
    "C90": _Family(_MEDIUM, "So many paths are hard to follow and harder to test."),
    "PLR09": _Family(_LOW, "A reader cannot keep all of it in mind."),
    "PLR0913": _Family(_INFO, "Callers can mix the arguments up."),
    "PERF": _Family(_LOW, "It does work in each turn that could be done once."),
    "SIM": _Family(_INFO, "There is a shorter form that says the same."),
    "C4": _Family(_INFO, "There is a shorter form that says the same."),
    "UP": _Family(_INFO, "Newer Python has a plainer way to say it."),
    "PTH": _Family(_INFO, "pathlib says the same with less to get wrong."),
    "N": _Family(_INFO, "Readers tell kinds of names by their case."),
    "ERA": _Family(_INFO, "Code in comments ages unseen; the history keeps it anyway."),
}


class _Place(msgspec.Struct):
    row: int = 0


class _Fix(msgspec.Struct):
    message: str | None = None


class _Diagnostic(msgspec.Struct):
    message: str
    filename: str
    code: str | None = None
    location: _Place | None = None
    end_location: _Place | None = None
    fix: _Fix | None = None


def analyse(
    change: Change, read: Callable[[str], str | None], *, reviewer: str | None = None, timeout: float = 60.0
) -> Analysis:
    """Lint the Python files of `change` and return what touches an added line.

    `read` gives the text of a path at the reviewed revision (`Repository.file_at`), or None; files that the diff holds
    whole need no reading. `reviewer` limits the rules to one reviewer's, None runs all. `timeout` is in seconds. Never
    raises for a missing or failing ruff: the note says so.
    """
    files = [file for file in change.files if _wanted(file)]
    if not files:
        return Analysis()
    command = _command()
    if command is None:
        return Analysis(note=MISSING)
    note = f"only the first {_MAX_FILES} of {len(files)} Python files were linted" if len(files) > _MAX_FILES else ""
    with tempfile.TemporaryDirectory(prefix="podium-review-") as name:
        folder = Path(name).resolve()
        tree = folder / "tree"
        written = _write(tree, files[:_MAX_FILES], read)
        if not written:
            return Analysis(note=note)
        options = _options(reviewer, _target(read("pyproject.toml")))
        # Not inside `tree`: with `python -m` a module of the reviewed code must not be found first.
        arguments = [*command, "check", *options, "--", *(f"tree/{path}" for path in written)]
        try:
            found = run(arguments, cwd=folder, env=_environment(), timeout=timeout, max_bytes=32 * 1024 * 1024)
        except (ConfigurationError, OSError) as error:
            return Analysis(note=f"ruff did not finish: {error}")
        return _read_output(found, tree, written, note)


def available() -> bool:
    """Whether ruff can be run here."""
    return _command() is not None


def _read_output(found: Output, tree: Path, written: dict[str, FileChange], note: str) -> Analysis:
    try:
        diagnostics = msgspec.json.decode(found.data, type=list[_Diagnostic])
    except msgspec.MsgspecError:
        return Analysis(note=f"ruff failed: {found.complaint}")
    lines = {path: file.added_lines() for path, file in written.items()}
    findings: list[Finding] = []
    for each in diagnostics:
        path = each.filename.removeprefix(f"{tree}{os.sep}").replace(os.sep, "/")
        if path in written and each.location is not None:
            finding = _finding(each, path, written[path], lines[path])
            if finding is not None:
                findings.append(finding)
    return Analysis(tuple(findings), note)


def _finding(each: _Diagnostic, path: str, file: FileChange, lines: frozenset[int]) -> Finding | None:
    start = each.location.row if each.location else 0
    end = max(start, each.end_location.row if each.end_location else start)
    code = each.code or "invalid-syntax"
    touched = [line for line in range(start, min(end, start + 2000) + 1) if line in lines]
    # A syntax error is often noticed far below its cause.
    if not touched and code != "invalid-syntax":
        return None
    test = kind_of(file) is Kind.TEST
    if (test and code.startswith(_IN_TESTS)) or (code == "F401" and path.endswith("__init__.py")):
        return None
    family = next(_FAMILIES[code[:n]] for n in range(len(code), -1, -1) if code[:n] in _FAMILIES)
    reviewer = _reviewer(code)
    severity = min(family.severity, Severity.LOW) if test and reviewer == "security" else family.severity
    suggestion = (each.fix.message or "") if each.fix else ""
    # The range of a complaint may begin on an old line: point at the first that is new.
    line = touched[0] if touched else start
    return Finding(
        path, line, severity, code, mask(each.message), family.why, reviewer, mask(suggestion),
        end if end > line else None, "ruff", family.cwe,
    )  # fmt: skip


def _reviewer(code: str) -> str:
    best = max(((len(p), r) for r in REVIEWERS for p in SELECT[r] if code.startswith(p)), default=(0, "correctness"))
    return best[1]


def _wanted(file: FileChange) -> bool:
    kind = kind_of(file)
    gone = file.status in (Status.DELETED, Status.SUBMODULE, Status.MODE) or file.binary or not file.additions
    links = file.new_mode.startswith("12")
    return file.path.endswith(_SUFFIXES) and kind.written and not gone and not links


def _write(tree: Path, files: list[FileChange], read: Callable[[str], str | None]) -> dict[str, FileChange]:
    """Write the files below `tree`; a path that would leave it, or that this system cannot hold, is passed over."""
    written: dict[str, FileChange] = {}
    for file in files:
        parts = file.path.split("/")
        if any(part in ("", ".", "..") or "\0" in part or "\\" in part for part in parts):
            continue
        text = file.content()
        text = read(file.path) if text is None else text
        if text is None:
            continue
        target = tree.joinpath(*parts)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", errors="replace", newline="")
        except OSError:
            continue
        written[file.path] = file
    return written


def _options(reviewer: str | None, target: str) -> list[str]:
    rules = SELECT[reviewer] if reviewer is not None else [rule for each in SELECT.values() for rule in each]
    return [
        "--isolated",
        "--no-cache",
        "--no-fix",
        "--no-respect-gitignore",
        "--quiet",
        "--exit-zero",
        "--output-format=json",
        f"--select={','.join(rules)}",
        f"--ignore={','.join(_IGNORE)}",
        *([f"--target-version={target}"] if target else []),
    ]


def _target(project: str | None) -> str:
    """Ruff's name for the oldest Python that the project's `requires-python` allows, or empty."""
    if project is None:
        return ""
    try:
        table = tomllib.loads(project).get("project", {})
    except (tomllib.TOMLDecodeError, RecursionError):
        return ""
    asked = str(table.get("requires-python", "")) if isinstance(table, dict) else ""  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - any TOML
    found = re.search(r"(?:>=|~=|==)\s*3\.(\d{1,2})", asked)
    return f"py3{found[1]}" if found and 7 <= int(found[1]) <= 14 else ""


def _command() -> list[str] | None:
    """Ruff of this environment (the extra), else the one on PATH."""
    beside = Path(sys.executable).parent / "ruff"
    if beside.is_file():
        return [str(beside)]
    found = shutil.which("ruff")
    if found is not None:
        return [str(Path(found).resolve())]
    if importlib.util.find_spec("ruff") is not None:
        return [sys.executable, "-P", "-m", "ruff"]
    return None


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("RUFF_")} | {"NO_COLOR": "1"}
