"""The report as GitHub-flavoured Markdown, for a pull request's comment or a job's summary.

Names and messages come from the diff and are escaped: no link, image, HTML, heading or mention of theirs takes effect.
The summary may use plain formatting (lists, emphasis, code), but no HTML, links, images or mentions.
"""

from __future__ import annotations

import re

from podium.review.findings import Finding
from podium.review.outcome import Review, abbreviated, by_severity, visible

_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~^$=-])")


def markdown(review: Review) -> str:
    """The whole report, ending with a line end."""
    out = [f"## Review: {escape(review.title)}", "", _about(review), ""]
    if review.summary:
        out += [_prose(review.summary), ""]
    for severity, findings in by_severity(review.findings):
        out += [f"### {severity.capitalize()} ({len(findings)})", ""]
        out += [_finding(finding) for finding in findings]
        out.append("")
    out.append(f"**{review.verdict()}**")
    out += ["", *(f"> {escape(remark)}\n>" for remark in review.remarks())] if review.remarks() else []
    return "\n".join(out).rstrip(">\n") + "\n"


def _about(review: Review) -> str:
    base, head = abbreviated(review.base), abbreviated(review.head)
    span = f"{code(f'{base}..{head}' if base else head)}: " if head else ""
    files = f"{review.files} file{'' if review.files == 1 else 's'}"
    tail = f", reviewed with {code(review.model)}" if review.model else ""
    return f"{span}{files}, +{review.additions} −{review.deletions}{tail}"  # noqa: RUF001 - a minus sign for people


def _finding(finding: Finding) -> str:
    who = f" — {escape(finding.reviewer)}, {code(finding.rule)}" if finding.reviewer else f" — {code(finding.rule)}"
    lines = [f"- {code(finding.place)} **{escape(finding.message)}**{who}"]
    if finding.why:
        lines.append(f"  {escape(finding.why)}")
    if finding.suggestion:
        lines.append(f"  *Suggestion:* {escape(finding.suggestion)}")
    return "  \n".join(lines)


def escape(text: str) -> str:
    """`text` as one line that Markdown shows literally."""
    flat = visible(text).strip()
    return _defused(_SPECIAL.sub(r"\\\1", flat))


def code(text: str) -> str:
    """`text` as a code span, also when it holds backticks; empty text gives nothing."""
    flat = visible(text)
    if not flat:
        return ""
    longest = max((len(run) for run in re.findall(r"`+", flat)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if flat.startswith(("`", " ")) or flat.endswith(("`", " ")) else ""
    return f"{fence}{pad}{flat}{pad}{fence}"


def _prose(text: str) -> str:
    lines = visible(text.replace("\r\n", "\n"), lines=True).strip()
    return _defused(lines.replace("](", "]\\(").replace("][", "]\\[").replace("]:", "]\\:").replace("![", "!\\["))


def _defused(text: str) -> str:
    # A zero-width space after `@` keeps GitHub from notifying people, an entity for `:` from making links.
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"(?i)\bwww\.", "www&#46;", escaped.replace("@", "@\u200b").replace("://", "&#58;//"))
