"""The outcome of a review, as a value: what each reviewer found, the merged ranking, the summary, and what it cost.

`report` and its formats render it; the team fills it. Text in it may come from the diff or from a model and is not
trusted: each format escapes it in its own way, with `visible` as the common first step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from podium.review.change import Omitted
from podium.review.findings import Finding, Severity


class ReviewerReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one reviewer said. `status` is how its step ended (`succeeded`, `failed`, `exhausted`); `note` says why."""

    name: str
    status: str = "succeeded"
    findings: tuple[Finding, ...] = ()
    note: str = ""


class Review(msgspec.Struct, frozen=True, omit_defaults=True):
    """A whole review. `findings` are merged and ranked; `cost` is in US dollars, `duration` in seconds."""

    title: str
    base: str = ""
    head: str = ""
    reviewers: tuple[ReviewerReport, ...] = ()
    findings: tuple[Finding, ...] = ()
    summary: str = ""
    omitted: Omitted = Omitted()
    notes: tuple[str, ...] = ()
    files: int = 0
    additions: int = 0
    deletions: int = 0
    run_id: str = ""
    model: str = ""
    cost: Decimal | None = None
    duration: float | None = None

    def counts(self) -> dict[Severity, int]:
        """How many findings there are of each severity, the highest first, without zeros."""
        totals = {s: sum(f.severity is s for f in self.findings) for s in sorted(Severity, key=lambda s: -s.rank)}
        return {severity: count for severity, count in totals.items() if count}

    def verdict(self) -> str:
        """One line: how many findings of which severity."""
        counted = ", ".join(f"{count} {severity}" for severity, count in self.counts().items())
        total = len(self.findings)
        return f"{total} finding{'' if total == 1 else 's'}: {counted}" if total else "no findings"

    def remarks(self) -> list[str]:
        """Everything a reader must know besides the findings: notes, what was left out, reviewers that failed."""
        odd = [each for each in self.reviewers if each.status != "succeeded" or each.note]
        said = [f"{each.name} {each.status}{f': {each.note}' if each.note else ''}" for each in odd]
        left = self.omitted.describe()
        return [*self.notes, *said, *([left] if left else [])]


def abbreviated(revision: str) -> str:
    """A full id in twelve digits, what is staged by name, anything else as it is."""
    if revision.startswith(":"):
        return "staged"
    return revision[:12] if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", revision) else revision


# Control characters, those that turn or hide text, and lone surrogates, which no encoding can write.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def visible(text: str, *, lines: bool = False) -> str:
    """`text` with everything that a terminal or a reader would not see as itself written as an escape.

    Line ends and tabs become spaces unless `lines` keeps them.
    """
    kept = text if lines else re.sub(r"[\r\n\t]+", " ", text)
    return _UNSEEN.sub(_escaped, kept)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def as_json(shape: object) -> str:
    """`shape` as indented JSON in ASCII with a final line end: nothing in it can steer a terminal or break a reader."""
    # Lone surrogates (a file name that is not text) have no place in JSON: they become question marks.
    sound: object = json.loads(json.dumps(shape, ensure_ascii=False).encode("utf-8", "replace"))
    return json.dumps(sound, indent=2).replace("\x7f", "\\u007f") + "\n"


def by_severity(findings: Sequence[Finding]) -> list[tuple[Severity, list[Finding]]]:
    """The findings grouped by severity, the highest first, in their order within."""
    groups = [(s, [f for f in findings if f.severity is s]) for s in sorted(Severity, key=lambda s: -s.rank)]
    return [(severity, group) for severity, group in groups if group]
