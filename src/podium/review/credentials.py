"""Credentials in text: where they stand, what they are, and text with them masked. Pure functions of a line.

A finding never repeats the credential: what is reported is masked. Formats are the providers' published prefixes; a
value assigned to a name such as `password` counts when it does not look like a placeholder.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from posixpath import basename

import msgspec

from podium.review.findings import Severity
from podium.review.paths import suffix_of

_MAX_LINE = 4000


class Leak(msgspec.Struct, frozen=True):
    """A credential within a line: its span there, what it is, and how it may be shown."""

    start: int
    end: int
    rule: str
    what: str
    severity: Severity
    shown: str
    exact: bool


class _Format(msgspec.Struct, frozen=True):
    rule: str
    what: str
    pattern: re.Pattern[str]
    severity: Severity = Severity.CRITICAL


_FORMATS = (
    _Format("aws-access-key", "an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    _Format(
        "github-token", "a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_\w{40,255})\b")
    ),
    _Format("gitlab-token", "a GitLab token", re.compile(r"\bglpat-[\w-]{20,64}")),
    _Format("slack-token", "a Slack token", re.compile(r"\bxox[abeprs]-[\w-]{10,250}")),
    _Format(
        "slack-webhook",
        "a Slack webhook",
        re.compile(r"https://hooks\.slack\.com/services/T\w{6,20}/B\w{6,20}/\w{16,40}"),
        Severity.HIGH,
    ),
    _Format("google-api-key", "a Google API key", re.compile(r"\bAIza[\w-]{35}")),
    _Format("stripe-key", "a live Stripe key", re.compile(r"\b[sr]k_live_[0-9A-Za-z]{16,250}")),
    _Format("anthropic-key", "an Anthropic key", re.compile(r"\bsk-ant-[\w-]{20,250}")),
    _Format("openai-key", "an OpenAI key", re.compile(r"\bsk-(?!ant-)(?:proj-|svcacct-)?(?=[\w-]*\d)[\w-]{32,250}")),
    _Format("npm-token", "an npm token", re.compile(r"\bnpm_[A-Za-z0-9]{36}\b")),
    _Format("pypi-token", "a PyPI token", re.compile(r"\bpypi-AgE[\w-]{50,250}")),
    _Format(
        "private-key", "a private key", re.compile(r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----")
    ),
    _Format(
        "jwt",
        "a JSON web token",
        re.compile(r"\beyJ[\w-]{10,1000}\.eyJ[\w-]{10,2000}\.[\w-]{10,1000}"),
        Severity.MEDIUM,
    ),
)
_MAYBE = re.compile(r"AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|xox|slack|AIza|_live_|sk-|npm_|pypi-|eyJ|PRIVATE KEY")
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@\"'<>{}$]{0,64}:([^\s/@\"'<>]{3,128})@[\w.-]", re.IGNORECASE)
_NAMES = r"(?:password|passwd|passphrase|pwd|secret|token|(?:api|access|private|auth)[_-]?key|credential)"
_MAYBE_NAMED = re.compile(r"pass|pwd|secret|token|key|credential", re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"(?<![\w.-])([\w.-]{{0,60}}?{_NAMES}[\w-]{{0,20}})[\"'\]]{{0,2}}(?:\s?:\s?[A-Za-z][\w\[\]|.]{{0,40}})?"
    r"\s{0,8}(?::=|=>|[:=])\s{0,8}"
    r"[bru]?[\"'`]([^\"'`\s]{6,200})[\"'`]",
    re.IGNORECASE,
)
_BARE = re.compile(
    rf"^\s*(?:export\s+|ENV\s+)?([\w.-]{{0,60}}?{_NAMES}[\w-]{{0,20}})\s?[:=]\s?([^\s\"'#]{{8,200}})\s*$", re.IGNORECASE
)
_BARE_SUFFIXES = frozenset({".env", ".ini", ".cfg", ".conf", ".properties", ".yml", ".yaml", ".toml", ".sh", ".tfvars"})
_NOT_A_VALUE = re.compile(
    r"(?:ur[li]|name|field|label|path|file|dir|header|type|_id|param|hint|prefix|suffix|regex|pattern|format|scope|"
    r"endpoint|length|expir\w*|ttl|count|limit|class|error|message|algorithm|_ref|env|var)s?$",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"example|sample|placeholder|change.?me|replace|your|dummy|fake|mock|redacted|insert|todo|fixme|none|null|undefined|"
    r"^(?:my|the|a)?[-_]?(?:test|secret|pass(?:word|wd)?|pwd|token|user|admin|root|guest|default|api[-_]?key)\d{0,3}$|"
    r"x{4,}|\*{3,}|\.{3,}|\$[\w({]|\{\{?|<\w|%[(s]|environ|getenv|process\.env|secrets?\.|vault|://|^[/.~]|^arn:|^ref\+|1234",
    re.IGNORECASE,
)


def leaks(line: str, path: str = "") -> list[Leak]:
    """The credentials in one line of the file `path`, from left to right, not overlapping."""
    text = line[:_MAX_LINE]
    found: list[Leak] = []
    if _MAYBE.search(text):
        for form in _FORMATS:
            found += (_exact(form, match) for match in form.pattern.finditer(text) if not _stand_in(match[0]))
    if "://" in text:
        found += (_in_url(match) for match in _URL.finditer(text) if not _PLACEHOLDER.search(match[1]))
    if _MAYBE_NAMED.search(text):
        found += _named(text, path)
    kept: list[Leak] = []
    for leak in sorted(found, key=lambda each: (not each.exact, each.start)):
        if all(leak.end <= other.start or leak.start >= other.end for other in kept):
            kept.append(leak)
    return sorted(kept, key=lambda each: each.start)


def mask(text: str) -> str:
    """`text` with every credential in it replaced by its masked form; line ends are kept."""
    out: list[str] = []
    for line in text.split("\n"):
        shown = line
        for leak in reversed(leaks(line)):
            shown = shown[: leak.start] + leak.shown + shown[leak.end :]
        out.append(shown)
    return "\n".join(out)


def _exact(form: _Format, match: re.Match[str]) -> Leak:
    secret = match[0]
    shown = "[private key]" if form.rule == "private-key" else f"{secret[:4]}… ({len(secret)} characters)"
    return Leak(match.start(), match.end(), form.rule, form.what, form.severity, shown, exact=True)


def _in_url(match: re.Match[str]) -> Leak:
    what = "a password in a URL"
    return Leak(match.start(1), match.end(1), "url-password", what, Severity.HIGH, "***", exact=False)


def _named(text: str, path: str) -> list[Leak]:
    matches = [match for match in _ASSIGNED.finditer(text) if _valued(match[1], match[2], strict=False)]
    name = basename(path).lower()
    if not matches and (suffix_of(path) in _BARE_SUFFIXES or name.startswith((".env", "dockerfile"))):
        bare = _BARE.match(text)
        if bare and _valued(bare[1], bare[2], strict=True):
            matches.append(bare)
    return [
        Leak(
            match.start(2),
            match.end(2),
            "hardcoded-credential",
            f"a literal value for `{match[1][-60:].strip('.-')}`",
            Severity.HIGH if _entropy(match[2]) >= 3.5 and len(match[2]) >= 16 else Severity.MEDIUM,
            "***",
            exact=False,
        )
        for match in matches
    ]


def _valued(name: str, value: str, *, strict: bool) -> bool:
    """Whether `value` may be a credential: a name that means one, and no placeholder, word, path or reference."""
    if _NOT_A_VALUE.search(name) or _PLACEHOLDER.search(value) or len(set(value)) < 4:
        return False
    if re.fullmatch(r"[A-Za-z]+(?:[_.:-][A-Za-z]+)*", value) or "(" in value or value.endswith((",", ";", "{")):
        return False  # words and keys ("user_password", "auth.token.missing"), calls, code
    password = re.search(r"pass|pwd", name, re.IGNORECASE) is not None
    mixed = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    return (mixed and _entropy(value) >= 3.0 and len(value) >= 10) or (password and not strict)


def _stand_in(secret: str) -> bool:
    """Whether a token of the right form is the one of a manual."""
    body = secret[4:]
    return "EXAMPLE" in secret.upper() or (len(set(body)) < 6 and not secret.startswith("-----"))


def _entropy(text: str) -> float:
    """Shannon entropy in bits per character."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())
