"""Rendering a review in one of its formats: `text`, `markdown`, `json`, `sarif`.

The JSON has a stable shape: all fields of `outcome.Review` (`cost` as a string in US dollars, or null), with
`"version": 1`, `"verdict"` in words and `"counts"` by severity. New fields may come; none changes its meaning.
"""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from podium.review.findings import Finding
from podium.review.markdown import markdown
from podium.review.outcome import Review, as_json
from podium.review.sarif import sarif
from podium.review.terminal import text


class Format(StrEnum):
    """The forms of a report."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"
    SARIF = "sarif"


def render(review: Review, form: Format = Format.TEXT) -> str:
    """The report in `form`, ending with a line end. For colours on a terminal use `terminal.write`."""
    match form:
        case Format.TEXT:
            return text(review)
        case Format.MARKDOWN:
            return markdown(review)
        case Format.JSON:
            return _json(review)
        case Format.SARIF:
            return sarif(review)
        case _:
            assert_never(form)


def _json(review: Review) -> str:
    shape: dict[str, object] = {
        "version": 1,
        "title": review.title,
        "base": review.base,
        "head": review.head,
        "verdict": review.verdict(),
        "counts": {str(severity): count for severity, count in review.counts().items()},
        "files": review.files,
        "additions": review.additions,
        "deletions": review.deletions,
        "summary": review.summary,
        "findings": [_finding(finding) for finding in review.findings],
        "reviewers": [
            {"name": r.name, "status": r.status, "note": r.note, "findings": [_finding(f) for f in r.findings]}
            for r in review.reviewers
        ],
        "omitted": {
            "lines": review.omitted.lines,
            "files": [
                {"path": f.path, "lines": f.lines, "why": f.why, "partial": f.partial} for f in review.omitted.files
            ],
        },
        "notes": list(review.notes),
        "run_id": review.run_id,
        "model": review.model,
        "cost": None if review.cost is None else str(review.cost),
        "duration": review.duration,
    }
    return as_json(shape)


def _finding(finding: Finding) -> dict[str, object]:
    return {name: getattr(finding, name) for name in finding.__struct_fields__}
