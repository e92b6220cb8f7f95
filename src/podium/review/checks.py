"""Language-neutral checks of a change: what added lines, file names and file sizes tell without understanding the code.

Three functions, one per reviewer, over the line rules of `risks`, the formats of `credentials` and the structural
checks here. Pure: they read a `Change` and return findings. Only added lines are judged; lock, generated and vendored
files are looked at for credentials and conflict markers alone; in tests and documents severities are lower.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from posixpath import basename

from podium.review.change import Change, FileChange, Status
from podium.review.credentials import leaks
from podium.review.findings import Finding, Severity
from podium.review.paths import Kind, kind_of, language_of, suffix_of
from podium.review.risks import CORRECTNESS, MAINTAINABILITY, SECURITY, Rule

_MAX_LINE = 2000
_SOURCE = "check"


def security(change: Change) -> list[Finding]:
    """Credentials, private files, characters that hide code, risky calls and settings."""
    return [
        *_each(change, _credentials),
        *_each(change, _private_file),
        *_each(change, _hidden_text),
        *_rules(change, SECURITY),
    ]


def correctness(change: Change) -> list[Finding]:
    """Conflict markers, tests that were deleted or switched off, debuggers, swallowed errors."""
    return [
        *_each(change, _conflicts),
        *_each(change, _deleted_test),
        *_each(change, _swallowed),
        *_rules(change, CORRECTNESS),
    ]


def maintainability(change: Change) -> list[Finding]:
    """Source without tests, large and binary files, by-products, repeated blocks, open tasks, very large changes."""
    return [
        *_untested(change),
        *_each(change, _weight),
        *_each(change, _by_product),
        *_each(change, _submodule),
        *_repeated(change),
        *_breadth(change),
        *_rules(change, MAINTAINABILITY),
    ]


CHECKS: dict[str, Callable[[Change], list[Finding]]] = {
    "security": security,
    "correctness": correctness,
    "maintainability": maintainability,
}
"""The checks of each reviewer."""


def check(change: Change) -> list[Finding]:
    """All checks of all reviewers, neither merged nor ranked."""
    return [finding for each in CHECKS.values() for finding in each(change)]


def _each(change: Change, judge: Callable[[FileChange, Kind], Iterable[Finding]]) -> Iterator[Finding]:
    for file in change.files:
        yield from judge(file, kind_of(file))


# --- lines ----------------------------------------------------------------------------------------------------------


def _rules(change: Change, rules: tuple[Rule, ...]) -> Iterator[Finding]:
    for file in change.files:
        kind, language = kind_of(file), language_of(file.path)
        here = [
            rule
            for rule in rules
            if kind in rule.where and (not rule.languages or language in rule.languages) and rule.under in file.path
        ]
        if not here:
            continue
        for number, text in _added(file):
            code = code_of(text, language)
            bare = _STRING.sub('""', code)
            for rule in here:
                if rule.matches(text if rule.raw else bare if rule.calls else code):
                    yield _told(rule, file.path, number, kind)


_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")


def _told(rule: Rule, path: str, line: int, kind: Kind) -> Finding:
    severity = rule.severity
    if kind is Kind.TEST and rule.reviewer == "security":
        severity = min(severity, Severity.LOW)
    return Finding(
        path,
        line,
        severity,
        rule.id,
        rule.message,
        rule.why,
        rule.reviewer,
        rule.suggestion,
        source=_SOURCE,
        cwe=rule.cwe,
    )


def _added(file: FileChange) -> Iterator[tuple[int, str]]:
    """Added lines without those inside Python's triple-quoted strings, as far as the hunk shows."""
    python = language_of(file.path) == "python"
    for hunk in file.hunks:
        inside, before = "", ""
        for number, text, added in hunk.new_side():
            was = inside
            if python:
                inside = _quoted(text, inside, before)
            if added and not was:
                yield number, _before_quote(text, inside)[:_MAX_LINE] if python else text[:_MAX_LINE]
            before = text.strip() or before


_OPENS = re.compile(r"[bBrRuUfF]{0,2}('''|\"\"\")")


def _before_quote(line: str, inside: str) -> str:
    """What stands before a string that `line` leaves open; nothing when the whole line is a string's."""
    bare = line.strip()
    if inside:
        return line[: line.rfind(inside)]
    return "" if _OPENS.match(bare) and bare.endswith(('"""', "'''")) else line


def _quoted(line: str, inside: str, before: str) -> str:
    """The triple quote that is open after `line`, given the one open before it."""
    for mark in ('"""', "'''"):
        if inside and inside != mark:
            continue
        if line.count(mark) % 2:
            if inside:
                return ""
            # A hunk may begin within a string; its closing mark stands alone, or at the end of prose.
            bare = line.strip()
            if bare == mark:
                closes = bool(before) and not before.endswith((":", "(", "=", ",", "["))
            else:
                closes = bare.endswith(mark) and not _OPENS.match(bare) and not re.search(r"[=(,]|return", bare)
            return "" if closes else mark
    return inside


_COMMENTS = {
    "python": "#", "ruby": "#", "shell": "#", "yaml": "#", "docker": "#", "php": "//", "js": "//", "go": "//",
    "c": "//", "java": "//", "csharp": "//", "rust": "//", "swift": "//",
}  # fmt: skip
_TAILS = {"#": re.compile(r"(?:^|\s)#.*"), "//": re.compile(r"(?:^|[\s;{}),])//.*")}


def code_of(line: str, language: str) -> str:
    """`line` without what is certainly a comment. A rough cut: strings that look like comments go too."""
    bare = line.lstrip()
    mark = _COMMENTS.get(language, "")
    if bare.startswith(("<!--", "/*")) or (mark == "//" and bare.startswith("* ")):
        return ""
    return _TAILS[mark].sub("", line) if mark and mark in line else line


def _credentials(file: FileChange, kind: Kind) -> Iterator[Finding]:
    for number, text in file.added():
        for leak in leaks(text, file.path):
            severity = leak.severity
            if not kind.written and not leak.exact:
                continue  # digests of lock files and bundled code are no passwords
            if kind is Kind.TEST:
                severity = min(severity, Severity.LOW)
            elif kind is Kind.DOCS:
                severity = min(severity, Severity.MEDIUM if leak.exact else Severity.LOW)
            message = f"{leak.what} is added: {leak.shown}" if leak.exact else f"{leak.what} is added"
            yield _finding(
                file.path, number, severity, leak.rule, message, "security",
                "Whoever can read the repository, now or later, can use it; deleting the line does not take it back.",
                "revoke it, and read the new one from the environment or a secret store", cwe=798,
            )  # fmt: skip


_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")


def _hidden_text(file: FileChange, kind: Kind) -> Iterator[Finding]:
    for number, text in file.added():
        if not text.isascii() and _BIDI.search(text):
            yield _finding(
                file.path, number, Severity.HIGH if kind is not Kind.DOCS else Severity.LOW, "hidden-text",
                "the line holds characters that reverse the direction of text", "security",
                "The code reads differently to people than to the compiler (CVE-2021-42574).", "remove them", cwe=1007,
            )  # fmt: skip


_PRIVATE = re.compile(
    r"(^|/)(id_(rsa|dsa|ecdsa|ed25519)|[^/]+\.(pem|p12|pfx|jks|keystore|ppk|kdbx)|"
    r"\.env(\.(?!example|sample|template|dist|test)[\w-]+)?|"
    r"\.netrc|\.pgpass|\.htpasswd|credentials\.json|service[-_]account[^/]*\.json)$"
)


def _private_file(file: FileChange, kind: Kind) -> Iterator[Finding]:
    if file.status in (Status.ADDED, Status.RENAMED, Status.COPIED) and _PRIVATE.search(file.path):
        yield _finding(
            file.path, 0, Severity.LOW if kind is Kind.TEST else Severity.HIGH, "private-file",
            "a file of a kind that holds secrets is added", "security",
            "Such files hold keys or passwords, and stay in the history for ever.",
            "keep it out of the repository (.gitignore), and commit an example without values", cwe=538,
        )  # fmt: skip


def _conflicts(file: FileChange, kind: Kind) -> Iterator[Finding]:
    del kind
    marks = [(number, text) for number, text in file.added() if text[:7] in ("<" * 7, ">" * 7, "=" * 7, "|" * 7)]
    sides = [(n, t) for n, t in marks if t[:1] in "<>|" and (len(t.rstrip()) == 7 or t[7] == " ")]
    opened = [number for number, text in sides if text[0] == "<"] or [number for number, _ in sides[:1]]
    for number in opened:
        yield _finding(
            file.path, number, Severity.HIGH, "conflict-marker", "a merge conflict is left in the file", "correctness",
            "Both sides of the conflict are in the file, and most languages cannot read it.", "resolve it",
        )  # fmt: skip


_CATCH = re.compile(
    r"\bcatch\s*(\([^)]*\))?\s*\{\s*$|^\s*except(?:\s+\(?(?:Base)?Exception\b[^#]{0,200})?\s*:\s*$|\bif\s+err\s*!=\s*nil\s*\{\s*$"
)
_NOTHING = re.compile(r"^\s*(\}|pass\s*(#.*)?|\.\.\.)\s*;?\s*$")


def _swallowed(file: FileChange, kind: Kind) -> Iterator[Finding]:
    if kind is not Kind.SOURCE or not language_of(file.path):
        return
    for hunk in file.hunks:
        caught = 0
        for number, text, added in hunk.new_side():
            if caught and added and _NOTHING.match(text):
                yield _finding(
                    file.path, caught, Severity.MEDIUM, "swallowed-error", "an error is swallowed", "correctness",
                    "A failure goes on as success, and leaves no trace to find it by.",
                    "handle it, log it, or let it pass", cwe=390, end_line=number,
                )  # fmt: skip
            caught = number if added and _CATCH.search(text[:_MAX_LINE]) else 0


# --- files ----------------------------------------------------------------------------------------------------------


def _deleted_test(file: FileChange, kind: Kind) -> Iterator[Finding]:
    if kind is Kind.TEST and file.status is Status.DELETED and suffix_of(file.path) and language_of(file.path):
        yield _finding(
            file.path, 0, Severity.MEDIUM, "deleted-test", f"a test file with {file.deletions} lines is deleted",
            "correctness", "What it proved is no longer proved.", "say which tests replace it",
        )  # fmt: skip


_MEBIBYTE = 1024 * 1024
_PROGRAMS = frozenset(
    ".exe .dll .so .dylib .class .jar .war .pyc .pyo .o .a .obj .whl .zip .gz .tgz .7z .rar .dmg .iso .msi".split()  # noqa: SIM905
)


def _weight(file: FileChange, kind: Kind) -> Iterator[Finding]:
    if file.status in (Status.DELETED, Status.SUBMODULE, Status.RENAMED, Status.COPIED, Status.MODE):
        return
    size = file.size if file.size is not None else sum(len(text) + 1 for _, text in file.added())
    large = size >= _MEBIBYTE
    if file.binary and suffix_of(file.path) in _PROGRAMS:
        what, severity = "a built or packed file", Severity.MEDIUM
    elif large:
        what, severity = "a large file", Severity.MEDIUM
    elif file.binary and file.status is Status.ADDED and kind is not Kind.TEST:
        what, severity = "a binary file", Severity.INFO
    else:
        return
    if kind is Kind.LOCK:
        severity = Severity.INFO
    known = f" ({size / 1024:.0f} KiB)" if size else ""
    yield _finding(
        file.path, 0, severity, "large-file" if large else "binary-file", f"{what} is added{known}", "maintainability",
        "It cannot be reviewed line by line, and every clone carries each of its versions for ever.",
        "build it, download it, or keep it in large-file storage",
    )  # fmt: skip


_BY_PRODUCT = re.compile(
    r"(^|/)(\.DS_Store|Thumbs\.db|desktop\.ini|npm-debug\.log|core\.\d+)$|\.(pyc|pyo|swp|swo|orig|rej|bak|tmp|log)$|~$|"
    r"(^|/)(__pycache__|node_modules|\.pytest_cache|\.mypy_cache|\.ruff_cache|\.idea|\.gradle)/"
)


def _by_product(file: FileChange, kind: Kind) -> Iterator[Finding]:
    if file.status is Status.ADDED and kind is not Kind.TEST and _BY_PRODUCT.search(file.path):
        yield _finding(
            file.path, 0, Severity.LOW, "by-product", f"{basename(file.path)} looks like a by-product of a tool",
            "maintainability", "It differs on every machine and hides real changes.",
            "remove it, and add it to .gitignore",
        )  # fmt: skip


def _submodule(file: FileChange, kind: Kind) -> Iterator[Finding]:
    del kind
    if file.status is Status.SUBMODULE:
        signs = [line for hunk in file.hunks for line in hunk.lines if "Subproject commit " in line]
        ids = {line[0]: line.rpartition(" ")[2][:12] for line in signs}
        moved = f"from {ids.get('-', 'nothing')} to {ids.get('+', 'nothing')}"
        yield _finding(
            file.path, 0, Severity.INFO, "submodule-moved", f"a submodule moves {moved}", "maintainability",
            "Its own changes are part of this one, but not part of this diff.", "review them in the submodule",
        )  # fmt: skip


_ENOUGH_TO_TEST = 10


def _untested(change: Change) -> Iterator[Finding]:
    kinds = [(file, kind_of(file)) for file in change.files]
    if any(kind is Kind.TEST and file.status is not Status.DELETED for file, kind in kinds):
        return
    code = [
        (file, _statements(file))
        for file, kind in kinds
        if kind is Kind.SOURCE and language_of(file.path) not in _PAGES
    ]
    total = sum(count for _, count in code)
    if total < _ENOUGH_TO_TEST:
        return
    file, _ = max(code, key=lambda each: each[1])
    first = next(iter(file.added()), (0, ""))[0]
    others = sum(count > 0 for _, count in code) - 1
    where = f" here and in {others} more files" if others > 1 else " here and in one more file" if others else ""
    yield _finding(
        file.path, first, Severity.MEDIUM if total >= 100 else Severity.LOW, "source-without-tests",
        f"{total} lines of source change{where}, and no test does", "maintainability",
        "Nothing shows that it works, and nothing will notice when it stops to.", "add or change a test with it",
    )  # fmt: skip


_PAGES = frozenset({"html", "yaml", "docker"})
_TRIVIAL = re.compile(
    r"^\s*(?:[\])}>;,]*|#.*|//.*|\*.*|/\*.*|(?:import|from|use|using|package|require|include)\b.*)\s*$"
)


def _statements(file: FileChange) -> int:
    return sum(not _TRIVIAL.match(text[:_MAX_LINE]) for _, text in file.added())


_BLOCK = 12
_MANY = 1000


def _repeated(change: Change) -> Iterator[Finding]:
    """Runs of at least `_BLOCK` equal added lines; each is reported once, where it stands for the second time."""
    seen: dict[tuple[str, ...], tuple[str, int]] = {}
    for file in change.files:
        if kind_of(file) is not Kind.SOURCE:
            continue
        lines = [(n, t) for n, text in file.added() if len(t := " ".join(text[:_MAX_LINE].split())) > 3]
        quiet_until = 0
        for at in range(len(lines) - _BLOCK + 1):
            window = tuple(text for _, text in lines[at : at + _BLOCK])
            number, last = lines[at][0], lines[at + _BLOCK - 1][0]
            if len(set(window)) <= _BLOCK // 2:
                continue  # tables and the like
            first = seen.setdefault(window, (file.path, number))
            apart = first[0] != file.path or number - first[1] >= _BLOCK
            if first != (file.path, number) and apart and number > quiet_until:
                yield _finding(
                    file.path, number, Severity.LOW, "repeated-block",
                    f"the same {_BLOCK} or more lines are added at {first[0]}:{first[1]}", "maintainability",
                    "A fix in one copy will be forgotten in the other.", "give the shared part a name", end_line=last,
                )  # fmt: skip
            if first != (file.path, number) and apart:
                quiet_until = last


def _breadth(change: Change) -> Iterator[Finding]:
    written = [file for file in change.files if kind_of(file) in (Kind.SOURCE, Kind.TEST)]
    total = sum(file.additions + file.deletions for file in written)
    if total > _MANY:
        file = max(written, key=lambda each: each.additions + each.deletions)
        message = f"{total} lines in {len(written)} files change at once; most of them here"
        yield _finding(
            file.path, 0, Severity.INFO, "large-change", message, "maintainability",
            "Reviewers find fewer faults the larger a change is.", "split it into steps that stand alone",
        )  # fmt: skip


def _finding(
    file: str,
    line: int,
    severity: Severity,
    rule: str,
    message: str,
    reviewer: str,
    why: str,
    suggestion: str,
    *,
    cwe: int | None = None,
    end_line: int | None = None,
) -> Finding:
    return Finding(file, line, severity, rule, message, why, reviewer, suggestion, end_line, _SOURCE, cwe)
