"""The report as SARIF 2.1.0, the format that code-scanning services and editors read.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import hashlib
import re
from importlib import metadata
from urllib.parse import quote

from podium.review.findings import Finding, Severity
from podium.review.outcome import Review, as_json, visible

_LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.INFO: "note",
}
# GitHub sorts security results by this score: over 9.0 critical, 7.0 high, 4.0 medium.
_SCORES = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "3.0",
    Severity.INFO: "0.0",
}


def sarif(review: Review) -> str:
    """The review as a SARIF log with one run, as indented JSON that ends with a line end."""
    return as_json(_log(review))


def _log(review: Review) -> dict[str, object]:
    ids = list(dict.fromkeys(_id(finding) for finding in review.findings))
    first = {rule: [f for f in review.findings if _id(f) == rule] for rule in ids}
    seen: dict[str, int] = {}
    notices = [{"level": "note", "message": {"text": visible(remark)}} for remark in review.remarks()]
    failed = any(each.status != "succeeded" for each in review.reviewers)
    properties: dict[str, object] = {"title": visible(review.title), "summary": visible(review.summary, lines=True)}
    properties |= {"runId": review.run_id, "base": review.base, "head": review.head, "model": review.model}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "podium review", **_version(), "rules": [_rule(r, first[r]) for r in ids]}},
                "invocations": [{"executionSuccessful": not failed, "toolExecutionNotifications": notices}],
                "columnKind": "unicodeCodePoints",
                "results": [_result(finding, ids.index(_id(finding)), seen) for finding in review.findings],
                "properties": properties,
            }
        ],
    }


def _id(finding: Finding) -> str:
    return re.sub(r"[^\w./-]+", "-", visible(finding.rule)).strip("-") or "finding"


def _version() -> dict[str, str]:
    try:
        return {"semanticVersion": metadata.version("podium")}
    except metadata.PackageNotFoundError:
        return {}


def _rule(rule: str, findings: list[Finding]) -> dict[str, object]:
    worst = max(finding.severity for finding in findings)
    reviewers = {name.strip() for f in findings for name in f.reviewer.split(",")} - {""}
    cwes = {f"external/cwe/cwe-{finding.cwe:03d}" for finding in findings if finding.cwe is not None}
    properties: dict[str, object] = {"tags": sorted(reviewers | cwes)}
    if "security" in reviewers:
        properties["security-severity"] = _SCORES[worst]
    return {
        "id": rule,
        "shortDescription": {"text": visible(findings[0].message) or rule},
        "fullDescription": {"text": visible(findings[0].why) or rule},
        "defaultConfiguration": {"level": _LEVELS[worst]},
        "properties": properties,
    }


def _result(finding: Finding, index: int, seen: dict[str, int]) -> dict[str, object]:
    said = [finding.message, finding.why, f"Suggestion: {finding.suggestion}" if finding.suggestion else ""]
    place: dict[str, object] = {"artifactLocation": {"uri": uri(finding.file), "uriBaseId": "%SRCROOT%"}}
    if finding.line > 0:
        region = {"startLine": finding.line}
        if finding.end_line is not None and finding.end_line > finding.line:
            region["endLine"] = finding.end_line
        place["region"] = region
    return {
        "ruleId": _id(finding),
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": "\n".join(visible(part) for part in said if part) or finding.rule},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"podiumFinding/v1": _fingerprint(finding, seen)},
        "properties": {"severity": str(finding.severity), "reviewer": finding.reviewer, "source": finding.source},
    }


def _fingerprint(finding: Finding, seen: dict[str, int]) -> str:
    # Without the line, so that the same finding is known again when code moves; equal ones are numbered.
    text = "\0".join((finding.rule, finding.file, re.sub(r"\d+", "0", finding.message)))
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
    seen[digest] = seen.get(digest, 0) + 1
    return f"{digest}:{seen[digest]}"


def uri(path: str) -> str:
    """`path` as a relative URI reference: percent-encoded, never absolute, never leading upwards."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return quote("/".join(parts), safe="/-._~", errors="replace")
