"""Findings: what a reviewer or an analyser says of a place in the change; merging, ranking and judging them.

Pure values. The JSON of `Finding` is what models write and what `--format json` prints.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from podium.core.errors import ConfigurationError


class Severity(StrEnum):
    """How much a finding matters. Ordered: `Severity.LOW < Severity.HIGH`."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 for info to 4 for critical."""
        return _RANKS[self.value]

    @classmethod
    def parse(cls, text: str) -> Severity:
        """The severity named by `text` in any case, also as other tools call it. Raises `ConfigurationError`."""
        name = text.strip().lower()
        try:
            return cls(_ALIASES.get(name, name))
        except ValueError:
            raise ConfigurationError(f"{text!r} is not a severity: use one of {', '.join(cls)}") from None

    # A StrEnum would compare as text, where "critical" < "info".
    def __lt__(self, other: str, /) -> bool:
        return self.rank < Severity(other).rank

    def __le__(self, other: str, /) -> bool:
        return self.rank <= Severity(other).rank

    def __gt__(self, other: str, /) -> bool:
        return self.rank > Severity(other).rank

    def __ge__(self, other: str, /) -> bool:
        return self.rank >= Severity(other).rank


_RANKS = {"info": 0, "low": 1, "medium": 2, "high": 3, "critical": 4}
_ALIASES = {
    "note": "info",
    "minor": "low",
    "warning": "medium",
    "moderate": "medium",
    "error": "high",
    "major": "high",
    "blocker": "critical",
}


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One remark on one place.

    `line` counts from 1 in the new version; 0 means the file as a whole (or a file that is gone). `message` says what
    is there, `why` what may go wrong because of it, `suggestion` what to do. `reviewer` is who says so, several joined
    by a comma after a merge; `source` the tool behind it (`ruff`, `check`, `model`); `cwe` the weakness' number.
    """

    file: str
    line: int
    severity: Severity
    rule: str
    message: str
    why: str
    reviewer: str = ""
    suggestion: str = ""
    end_line: int | None = None
    source: str = ""
    cwe: int | None = None

    @property
    def place(self) -> str:
        """`path:line`, or the path alone where there is no line."""
        return f"{self.file}:{self.line}" if self.line > 0 else self.file


REVIEWERS = ("security", "correctness", "maintainability")
"""The reviewers of the team, in the order in which they are named."""

_WORD = re.compile(r"\w+")
_NEAR = 0.75


def merge(findings: Iterable[Finding]) -> list[Finding]:
    """One finding for what several said of the same place, ranked.

    Two are the same at one file and line when their rule is the same, their weakness (`cwe`) is, or their messages
    nearly are. The most severe one speaks; reviewers, sources, the longest `why` and the first suggestion join it.
    """
    places: dict[tuple[str, int], list[Finding]] = {}
    for finding in sorted(findings, key=lambda each: -each.severity.rank):
        group = places.setdefault((finding.file, finding.line), [])
        for index, kept in enumerate(group):
            if _same(kept, finding):
                group[index] = _join(kept, finding)
                break
        else:
            group.append(finding)
    return rank(finding for group in places.values() for finding in group)


def rank(findings: Iterable[Finding]) -> list[Finding]:
    """The most severe first, then by file and line."""
    return sorted(findings, key=lambda each: (-each.severity.rank, each.file, each.line, each.rule, each.message))


def fails(findings: Iterable[Finding], threshold: Severity | None) -> bool:
    """Whether any finding is at least as severe as `threshold`; never without a threshold."""
    return threshold is not None and any(finding.severity >= threshold for finding in findings)


def _same(a: Finding, b: Finding) -> bool:
    if a.rule == b.rule or (a.cwe is not None and a.cwe == b.cwe):
        return True
    mine, other = set(_WORD.findall(a.message.lower())), set(_WORD.findall(b.message.lower()))
    return bool(mine | other) and len(mine & other) / len(mine | other) >= _NEAR


def _join(kept: Finding, other: Finding) -> Finding:
    ends = [end for end in (kept.end_line, other.end_line) if end is not None]
    return replace(
        kept,
        reviewer=_names(kept.reviewer, other.reviewer),
        source=_names(kept.source, other.source),
        why=max(kept.why, other.why, key=len),
        suggestion=kept.suggestion or other.suggestion,
        end_line=max(ends) if ends else None,
        cwe=kept.cwe if kept.cwe is not None else other.cwe,
    )


def _names(*lists: str) -> str:
    names = {name.strip() for each in lists for name in each.split(",")} - {""}
    known = [name for name in REVIEWERS if name in names]
    return ", ".join(known + sorted(names - set(known)))
