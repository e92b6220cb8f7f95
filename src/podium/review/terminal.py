"""The report as text: styled by rich on a terminal, plain anywhere else. No markup is interpreted, ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TextIO

from podium.review.findings import Finding, Severity
from podium.review.outcome import Review, abbreviated, by_severity, visible

_STYLES = {
    Severity.CRITICAL: "bold white on red",
    Severity.HIGH: "bold red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "cyan",
    Severity.INFO: "dim",
}
_Line = list[tuple[str, str]]


def text(review: Review) -> str:
    """The report as plain text, one `path:line` per finding, ending with a line end."""
    return "".join("".join(part for part, _ in line).rstrip() + "\n" for line in _lines(review))


def write(review: Review, file: TextIO) -> None:
    """Write the report to `file`, in colour when it is a terminal that wants colour."""
    if not file.isatty():
        file.write(text(review))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=file, highlight=False, markup=False, emoji=False)
    for line in _lines(review):
        # soft_wrap: the terminal folds long lines itself, so that `path:line` stays one word to click on.
        console.print(Text.assemble(*line), soft_wrap=True)


def _lines(review: Review) -> Iterator[_Line]:
    yield [(visible(review.title) or "review", "bold")]
    yield [(_about(review), "dim")]
    if review.summary:
        yield []
        for line in visible(review.summary.replace("\r\n", "\n"), lines=True).split("\n"):
            yield [(line, "")]
    for severity, findings in by_severity(review.findings):
        yield []
        yield [(f" {severity.upper()} ", _STYLES[severity]), (f" {len(findings)}", "dim")]
        for finding in findings:
            yield from _finding(finding)
    yield []
    for remark in review.remarks():
        yield [("note: ", "bold"), (visible(remark), "")]
    yield [(review.verdict(), "bold")]
    if tail := _tail(review):
        yield [(tail, "dim")]


def _finding(finding: Finding) -> Iterator[_Line]:
    who = ", ".join(part for part in (finding.reviewer, finding.rule) if part)
    yield [
        (f"  {visible(finding.place)}", "bold"),
        ("  ", ""),
        (visible(finding.message), ""),
        (f"  [{visible(who)}]", "dim"),
    ]
    if finding.why:
        yield [(f"      {visible(finding.why)}", "dim")]
    if finding.suggestion:
        yield [(f"      -> {visible(finding.suggestion)}", "green")]


def _about(review: Review) -> str:
    base, head = abbreviated(review.base), abbreviated(review.head)
    span = f"{base}..{head}  " if base and head else f"{head}  " if head else ""
    files = f"{review.files} file{'' if review.files == 1 else 's'}"
    return f"{visible(span)}{files}, +{review.additions} -{review.deletions}"


def _tail(review: Review) -> str:
    parts = [f"run {review.run_id}" if review.run_id else "", review.model]
    if review.cost is not None:
        parts.append(f"${review.cost:.4f}")
    if review.duration is not None:
        parts.append(f"{review.duration:.1f} s")
    return visible(", ".join(part for part in parts if part))
