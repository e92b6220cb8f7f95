"""The reviewers' tools: the diff, files at the revision, history, and the analysers.

Each is an ordinary Podium tool that only reads. They are made for one change (`Source`). What they return goes into the
journal and before models, so it is bounded, and credentials in it are masked; only the analysers see the change as it
is.
"""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec

from podium.core.errors import ConfigurationError
from podium.review import checks, ruff
from podium.review.change import Change, LeftOut, Omitted, Status
from podium.review.findings import Finding, Severity, merge, rank
from podium.review.git import Repository
from podium.review.masking import masked
from podium.review.outcome import visible
from podium.review.patch import listing
from podium.review.source import Source, file_at_head, load, shown
from podium.tools import tool
from podium.tools.function import FunctionTool

MOST_LINES = 400
"""Lines of a file that one call returns."""
MOST_FILES = 1000
"""Files that the overview names."""
MOST_FINDINGS = 200
"""Findings that one analyser returns."""
_PYTHON = (".py", ".pyi", ".pyw")
MOST_TOLD = 50
"""Findings that the editor is told of one by one."""
MOST_BYTES = 120_000
"""Bytes of findings that one analyser returns, as JSON."""


class FileSummary(msgspec.Struct, frozen=True):
    """One changed file."""

    path: str
    status: str
    additions: int
    deletions: int


def overview(source: Source) -> FunctionTool[..., Any]:
    """The tool every review begins with."""

    @tool(effect="read", reach="none", version="1")
    def read_change() -> dict[str, Any]:
        """Read the change under review: its title, its files, and what is too large to be shown."""
        whole, part = load(source), shown(source)
        files = [FileSummary(file.path, str(file.status), file.additions, file.deletions) for file in whole.files]
        return {
            "title": visible(masked(whole.title)),
            "description": masked(whole.description)[:4000],
            "base": whole.base,
            "head": whole.head,
            "count": len(files),
            "additions": whole.additions,
            "deletions": whole.deletions,
            "files": msgspec.to_builtins(files[:MOST_FILES]),
            "omitted": msgspec.to_builtins(_fewer(part.omitted)),
            "left_out": part.omitted.describe(),
            "notes": [*whole.notes, *_not_shown(whole, part), *_not_linted(source, whole)],
        }

    return read_change


def _fewer(omitted: Omitted) -> Omitted:
    """The same with at most `MOST_FILES` entries: the last one stands for the rest."""
    rest = omitted.files[MOST_FILES - 1 :]
    if len(rest) < 2:
        return omitted
    others = LeftOut(f"{len(rest)} more files", sum(each.lines for each in rest), "too many to name")
    return Omitted((*omitted.files[: MOST_FILES - 1], others))


def _not_shown(whole: Change, part: Change) -> list[str]:
    if not part.omitted or whole.omitted:
        return []
    return ["the change is too long for a model to be shown all of it; the analysers looked at every changed line"]


def _not_linted(source: Source, change: Change) -> list[str]:
    """What the linter will not see, for the reader of the review."""
    gone = (Status.DELETED, Status.SUBMODULE, Status.MODE)
    python = [file.path for file in change.files if file.path.endswith(_PYTHON) and file.status not in gone]
    if not python:
        return []
    if not ruff.available():
        return [ruff.MISSING]
    if not source.kept:
        return []
    unknown = [path for path in python[:MOST_FILES] if _text(source, path) is None]
    if not unknown:
        return []
    if len(unknown) == 1:
        return [f"{unknown[0]} was not linted: only its patch is known, the file itself is not here"]
    return [
        f"{len(unknown)} Python files were not linted: only their patch is known, the files themselves are not here"
    ]


def _text(source: Source, path: str) -> str | None:
    """The file as reviewed; None also for a path of a hostile patch that leads out of the repository."""
    with contextlib.suppress(ConfigurationError):
        return file_at_head(source, path)
    return None


def reading(source: Source) -> list[FunctionTool[..., Any]]:
    """Tools to look at the change and around it."""

    @tool(effect="read", reach="none", version="1")
    def read_diff(path: str) -> str:
        """Show the diff of one changed file, with the line numbers of its new version.

        Args:
            path: the file, as the change names it
        """
        file = shown(source).file(path)
        if file is None:
            known = ", ".join(each.path for each in load(source).files[:40])
            return f"{path} is not in the change (or was left out for its size); changed files: {known}"
        return masked(listing(file))

    @tool(effect="read", reach="none", version="1")
    def read_file(path: str, first: int = 1, last: int = MOST_LINES) -> str:
        """Show lines of a file of the repository as it is at the reviewed revision.

        Args:
            path: the file, from the repository's top folder
            first: number of the first line, from 1
            last: number of the last line
        """
        text = file_at_head(source, path)
        if text is None:
            return f"{path} cannot be read at this revision (missing, binary, too large, or only a patch is known)"
        # Masked as a whole: a key may begin above the lines that are asked for.
        lines = masked(text).split("\n")
        lines = lines[:-1] if lines[-1] == "" else lines
        first = max(1, first)
        last = min(last, first + MOST_LINES - 1, len(lines))
        shown_lines = [f"{number:>5} {lines[number - 1]}" for number in range(first, last + 1)]
        return "\n".join([*shown_lines, f"({len(lines)} lines in all)"])

    @tool(effect="read", reach="none", version="1")
    def read_history(path: str, limit: int = 10) -> str:
        """Show the last commits that touched a file: when, who, and why.

        Args:
            path: the file, from the repository's top folder
            limit: how many commits at the most
        """
        if not source.root:
            return "there is no repository at hand, only a patch"
        commits = Repository(source.root).history(path, limit=max(1, min(limit, 50)))
        told = "\n".join(f"{each.sha[:12]} {each.date} {each.author}: {each.subject}" for each in commits)
        return masked(told) or "no commit has touched it"

    return [read_diff, read_file, read_history]


def analysers(source: Source, reviewer: str) -> list[FunctionTool[..., Any]]:
    """The analysers of one reviewer. They look at the whole change, whatever its size."""
    about = _ABOUT[reviewer]

    @tool(name=f"check_{reviewer}", description=about.check, effect="read", reach="none", version="1", timeout=120)
    def check() -> list[Finding]:
        return _most(merge(checks.CHECKS[reviewer](load(source))))

    @tool(name=f"lint_{reviewer}", description=about.lint, effect="read", reach="none", version="1", timeout=180)
    def lint() -> list[Finding]:
        change = load(source)
        analysis = ruff.analyse(change, lambda path: _text(source, path), reviewer=reviewer)
        findings = list(analysis.findings)
        if analysis.note and analysis.note != ruff.MISSING:  # that one is in the overview
            first = next(file.path for file in change.files if file.path.endswith(_PYTHON))
            findings.append(_remark(first, "not-linted", analysis.note, "What ruff did not see is not judged by it."))
        return _most(findings)

    return [check, lint]


def _most(findings: list[Finding]) -> list[Finding]:
    """The findings that matter most, as many as may be returned; if there are more, the last one says so."""
    ranked = rank(findings)
    size = fit = 0
    for finding in ranked[:MOST_FINDINGS]:
        size += len(msgspec.json.encode(finding))
        if size > MOST_BYTES:
            break
        fit += 1
    left = len(ranked) - fit
    if not left:
        return ranked
    more = "1 more finding" if left == 1 else f"{left} more findings"
    why = f"Only the {fit} most severe findings of one analyser are listed: review a smaller range to see the rest."
    return [*ranked[:fit], _remark(ranked[fit].file, "more-findings", f"{more} here and below", why)]


def _remark(file: str, rule: str, message: str, why: str) -> Finding:
    return Finding(file, 0, Severity.INFO, rule, message, why, source="check")


class _About(msgspec.Struct, frozen=True):
    """How a reviewer's analysers describe themselves to its model."""

    check: str
    lint: str


_ABOUT = {
    "security": _About(
        "Check the changed lines for security problems: credentials and secrets, private files, hidden characters, "
        "risky calls and settings.",
        "Lint the changed lines of Python files with the security rules of ruff.",
    ),
    "correctness": _About(
        "Check the changed lines for correctness problems: conflict markers, deleted or skipped tests, debuggers left "
        "in, swallowed errors.",
        "Lint the changed lines of Python files with the correctness rules of ruff.",
    ),
    "maintainability": _About(
        "Check the change for maintainability problems: source changed without tests, large or binary files, repeated "
        "blocks, open tasks.",
        "Lint the changed lines of Python files with the maintainability rules of ruff.",
    ),
}


def tally(findings: list[Finding], verdict: str) -> FunctionTool[..., Any]:
    """The editor's tool."""

    @tool(effect="read", reach="none", version="1")
    def tally_findings() -> str:
        """Summarise the review: count and rank the findings of all reviewers, the most severe first."""
        lines = [f"The review has {verdict}."]
        lines.extend(
            f"{each.severity.value}: {each.place} {each.message} ({each.reviewer})." for each in findings[:MOST_TOLD]
        )
        if len(findings) > MOST_TOLD:
            lines.append(f"{len(findings) - MOST_TOLD} more are no more severe than these.")
        return "\n".join(lines)

    return tally_findings
