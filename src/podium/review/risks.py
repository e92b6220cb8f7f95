"""Line rules: calls and settings that deserve a second look in any language, judged from one added line.

A table, to be read as one. Each rule says where it applies, what may go wrong and what to do instead. Rules are kept to
what one line can tell; whole-program questions are the reviewers'. What ruff knows better of Python carries the same
CWE number, so that merging leaves one finding.
"""

# ruff: noqa: E501 - patterns are read (and compared) whole, not folded

from __future__ import annotations

import re

import msgspec

from podium.review.findings import Severity
from podium.review.paths import Kind

_CODE = frozenset({Kind.SOURCE, Kind.CONFIG})
_TESTS = frozenset({Kind.TEST})
_BOTH = frozenset({Kind.SOURCE, Kind.TEST, Kind.CONFIG})


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to find in an added line.

    `hints` are texts of which one must be in the line (cheap, before `pattern` is tried). `languages` are families of
    `paths.language_of`; empty means all. `raw` rules also look into comments; `calls` rules not even into
    strings. `under` is a needed part of the path.
    """

    id: str
    reviewer: str
    severity: Severity
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    message: str
    why: str
    suggestion: str = ""
    languages: frozenset[str] = frozenset()
    unless: re.Pattern[str] | None = None
    where: frozenset[Kind] = _CODE
    cwe: int | None = None
    raw: bool = False
    calls: bool = False
    under: str = ""

    def matches(self, line: str) -> bool:
        """Whether the rule speaks of `line`."""
        return (
            any(hint in line for hint in self.hints)
            and self.pattern.search(line) is not None
            and (self.unless is None or self.unless.search(line) is None)
        )


def _security(
    id: str,
    severity: Severity,
    hints: str,
    pattern: str,
    message: str,
    why: str,
    suggestion: str,
    *,
    cwe: int,
    languages: str = "",
    unless: str = "",
    under: str = "",
    calls: bool = False,
) -> Rule:
    return Rule(
        id=id,
        reviewer="security",
        severity=severity,
        hints=tuple(hints.split()),
        pattern=re.compile(pattern),
        message=message,
        why=why,
        suggestion=suggestion,
        languages=frozenset(languages.split()),
        unless=re.compile(unless) if unless else None,
        where=_BOTH,
        cwe=cwe,
        under=under,
        calls=calls,
    )


_INJECTION = "Whoever controls part of that text runs commands with the rights of this program."
_UNPACK = "Loading such data can run code; whoever controls the data controls the program."
_TLS = "Without the check anybody on the way can read and change the traffic."
_XSS = "Text from a user that reaches this place runs as script in other users' browsers."
_SQL = "A value with a quote in it changes the statement: data can be read, changed or deleted."

SECURITY = (
    _security(
        "dynamic-code", Severity.HIGH, "eval( exec( Function(",
        r"(?<![\w.$:>])(?:eval|exec)\s*\((?!\s*\))|\bnew Function\s*\(",
        "text is run as code", "Whoever controls part of that text runs code inside this program.",
        "parse the text, or look the operation up in a table", calls=True, cwe=95, languages="python js ruby php",
        unless=r"\bdef (?:eval|exec)\b|function (?:eval|exec)\b",
    ),
    _security(
        "shell-command", Severity.HIGH, "os.system os.popen shell=True shell_exec passthru",
        r"\bos\.(?:system|popen)\s*\(|\bshell\s*=\s*True\b|\b(?:shell_exec|passthru)\s*\(.*\$",
        "a command is run through a shell", _INJECTION, "pass a list of arguments, without a shell", calls=True, cwe=78,
        languages="python php",
    ),
    _security(
        "shell-command", Severity.MEDIUM, "exec( execSync( exec.Command system(",
        r"\bchild_process\.exec\s*\(|\bexecSync\s*\(.*(?:\$\{|\+)|exec\.Command\(\s*\"(?:ba|z|da)?sh\"\s*,\s*\"-c\"|"
        r"getRuntime\(\)\.exec\s*\(|(?<![\w.:>])system\s*\(",
        "a command is run through a shell", _INJECTION, "run the program directly with a list of arguments", cwe=78,
        languages="js go java c",
    ),
    _security(
        "shell-eval", Severity.MEDIUM, "eval", r"(?:^|[;&|]\s*)\s*eval\s+[\"']?.*\$", "a variable is evaluated as shell",
        _INJECTION, "call the command with quoted arguments", cwe=95, languages="shell",
    ),
    _security(
        "unsafe-deserialization", Severity.HIGH, "pickle marshal.load shelve. yaml. unserialize Marshal.load ObjectInput Binary",
        r"\b(?:c?[Pp]ickle|dill|cloudpickle|marshal)\.loads?\s*\(|\byaml\.(?:load|load_all|unsafe_load)\s*\(|"
        r"\bunserialize\s*\(\s*\$|\bMarshal\.load\b|\bnew ObjectInputStream\b|\bBinaryFormatter\b",
        "data is deserialised with a format that can hold code", _UNPACK, "use JSON, or a safe loader", calls=True, cwe=502,
        unless=r"SafeLoader|CSafeLoader|FAILSAFE|allowed_classes", languages="python php ruby java csharp",
    ),
    _security(
        "tls-unchecked", Severity.HIGH,
        "verify InsecureSkipVerify rejectUnauthorized NODE_TLS SSL_VERIFY CERT_NONE _create_unverified curl",
        r"\bverify(?:_ssl)?\s*=\s*False\b|InsecureSkipVerify\s*:\s*true|rejectUnauthorized['\"]?\s*:\s*false|"
        r"NODE_TLS_REJECT_UNAUTHORIZED['\"\]]*\s*[=:]\s*['\"]?0|CURLOPT_SSL_VERIFY(?:PEER|HOST)\s*(?:,|=>)\s*(?:false|0)|"
        r"\bCERT_NONE\b|_create_unverified_context|\bcurl\s(?:.*\s)?(?:-k|--insecure)\b|VERIFY_NONE",
        "certificates are not checked", _TLS, "trust the certificate's authority instead", cwe=295,
    ),
    _security(
        "html-injection", Severity.MEDIUM, "innerHTML outerHTML dangerously document.write insertAdjacent v-html mark_safe {!! |safe",
        r"\.(?:inner|outer)HTML\s*\+?=(?!=)|dangerouslySetInnerHTML|\bdocument\.write(?:ln)?\s*\(|\.insertAdjacentHTML\s*\(|"
        r"\bv-html\s*=|\bmark_safe\s*\(|\{!!|\|\s*safe\b",
        "text goes into the page as HTML", _XSS, "set text content, or escape the value", cwe=79,
        unless=r"HTML\s*=\s*(?:''|\"\"|``)\s*;?\s*$|(?i:sanitize|purify)", languages="js html python php ruby",
    ),
    _security(
        "sql-from-text", Severity.HIGH, "SELECT select Select INSERT insert UPDATE update DELETE delete",
        r"(?i)(?:\b[bru]?f[bru]?[\"']{1,3}\s*(?:select\s[^{]{1,200}\sfrom|insert\s+into|update\s+\S{1,80}\s+set|delete\s+from)\b[^\"']{0,300}\{"
        r"|`\s*(?:select\s.{1,200}\sfrom|insert\s+into|update\s+\S{1,80}\s+set|delete\s+from)\b[^`]{0,300}\$\{"
        r"|[\"']\s*(?:select\s.{1,200}\sfrom|insert\s+into|update\s+\S{1,80}\s+set|delete\s+from)\b.{0,300}?"
        r"(?:[\"']\s*(?:\+|%(?!\s*[\"']))\s*[\w$(]|[\"']\.format\s*\())",
        "SQL is put together from text", _SQL, "pass the values as parameters", cwe=89,
    ),
    _security(
        "open-permissions", Severity.MEDIUM, "777 666", r"(?i)\bchmod\b.{0,80}?\b(?:0o?)?0?(?:777|666)\b",
        "a file is made writable for everybody", "Every account on the machine can change it.", "grant the owner only",
        cwe=732,
    ),
    _security(
        "weak-hash", Severity.MEDIUM, "md5 MD5 sha1 SHA1 SHA-1",
        r"\bhashlib\.(?:md5|sha1)\s*\(|createHash\(\s*['\"](?:md5|sha1)['\"]|getInstance\(\s*\"(?:MD5|SHA-?1)\"|"
        r"\b(?:md5|sha1)\.(?:New|Sum)\b|\b(?:MD5|SHA1)(?:\.Create\(|CryptoServiceProvider)|Digest::(?:MD5|SHA1)\b",
        "MD5 or SHA-1 is used", "Collisions can be made; as a signature or for passwords it protects nothing.",
        "use SHA-256, or a password hash", cwe=327, unless=r"usedforsecurity\s*=\s*False",
    ),
    _security(
        "weak-random", Severity.MEDIUM, "Math.random( rand( random.",
        r"(?i)(?:token|secret|passw|session|nonce|otp|salt|api_?key).{0,80}(?:math\.random\(|\brand\(|\brandom\.(?:random|randint|choice)\()",
        "a secret comes from a predictable generator", "Its values can be computed by whoever saw a few of them.",
        "use the platform's cryptographic random source", cwe=330,
    ),
    _security(
        "piped-installer", Severity.MEDIUM, "curl wget", r"\b(?:curl|wget)\b[^|#\n]{0,300}\|\s*(?:sudo\s+)?(?:ba|z|da)?sh\b",
        "a download is run unseen", "Whoever controls the address, or the way to it, runs code here.",
        "download a pinned version and check its digest", cwe=494,
    ),
    _security(
        "unpinned-action", Severity.LOW, "uses:", r"\buses:\s*[\w.-]+/[\w./-]+@(?:main|master|HEAD|latest)\b",
        "a workflow follows a moving branch of somebody else's action", "A change there runs with this repository's secrets.",
        "pin the commit", cwe=829, under=".github/workflows/",
    ),
    _security(
        "workflow-injection", Severity.HIGH, "github.event github.head_ref",
        r"\$\{\{[^}]{0,80}github\.(?:head_ref|event\.(?:issue|pull_request|comment|review|discussion|head_commit)[\w.]{0,40}\."
        r"(?:title|body|ref|label|message|name|email))\b",
        "text of an outsider is pasted into a workflow", "A title or branch name with a quote in it runs commands in CI.",
        "pass it through `env:` and quote the variable", cwe=78, under=".github/workflows/",
        unless=r"^\s*[A-Z_]+:\s*\$\{\{|^\s*if:",
    ),
    _security(
        "debug-mode", Severity.MEDIUM, "debug=True DEBUG", r"\.run\(.*\bdebug\s*=\s*True|^\s*DEBUG\s*=\s*True\b",
        "debug mode is switched on", "Error pages then show internals, and may run code for a visitor.",
        "take it from the environment, off by default", cwe=489, languages="python",
    ),
    _security(
        "any-origin", Severity.LOW, "Allow-Origin allow_origins", r"(?i)allow[-_]origins?['\"]?\s*[,:=]\s*\[?\s*['\"]\*['\"]",
        "every site may call this", "With credentials allowed, any page can act for a logged-in user.", "list the origins",
        cwe=942,
    ),
    _security(
        "unbounded-copy", Severity.MEDIUM, "strcpy( strcat( sprintf( gets(", r"(?<![\w.])(?:strcpy|strcat|v?sprintf|gets)\s*\(",
        "a copy without a bound", "Longer input overwrites memory behind the buffer.", "use the bounded variant", calls=True, cwe=120,
        languages="c",
    ),
    _security(
        "unverified-token", Severity.HIGH, "verify_signature algorithm",
        r"verify_signature['\"]?\s*[:=]\s*False|\balgorithms?['\"]?\s*[:=]\s*\[?\s*['\"]none['\"]",
        "a token's signature is not verified", "Anybody can write a token with any claim.", "verify with a fixed algorithm",
        cwe=347,
    ),
    _security(
        "archive-extraction", Severity.MEDIUM, "extractall(", r"\.extractall\s*\(", "an archive is extracted as it is",
        "Member names with `..` write outside the folder.", "pass filter=\"data\", or check each name", cwe=22,
        languages="python", unless=r"filter\s*=|(?i:zip)",
    ),
    _security(
        "temporary-name", Severity.MEDIUM, "mktemp(", r"\btempfile\.mktemp\s*\(", "a temporary name is used before it exists",
        "Another process can create the file first.", "use mkstemp or NamedTemporaryFile", calls=True, cwe=377, languages="python",
    ),
    _security(
        "privileged-container", Severity.MEDIUM, "privileged", r"^\s*-?\s*privileged:\s*true\b|\bdocker run\b.*--privileged\b",
        "a container gets all rights of its host", "An escape from it owns the machine.", "grant single capabilities", cwe=250,
    ),
    _security(
        "plain-http", Severity.LOW, "http://",
        r"[\"'`]http://(?!localhost|127\.|0\.0\.0\.0|10\.|192\.168\.|\[::1|[^/\"'`]*(?:example|\.test\b|\.local\b|\.invalid|w3\.org|"
        r"schemas?\.|xml\.?|purl\.|ns\.|json-schema|apache\.org/licenses))[\w-]+\.[\w.-]+",
        "an address without TLS", "What is sent there can be read and changed on the way.", "use https://", cwe=319,
    ),
)  # fmt: skip

_STOPS = "The program stops there and waits for somebody at a keyboard."

CORRECTNESS = (
    Rule(
        id="debugger-left", reviewer="correctness", severity=Severity.MEDIUM,
        hints=("debugger", "breakpoint()", "set_trace(", "binding.pry", "byebug"),
        pattern=re.compile(r"^\s*debugger\s*;?\s*$|\bbreakpoint\(\)|\bi?pdb\.set_trace\(|\bbinding\.pry\b|^\s*byebug\b"),
        message="a debugger call is left in", why=_STOPS, suggestion="remove it", where=_BOTH, cwe=489, calls=True,
    ),
    Rule(
        id="focused-test", reviewer="correctness", severity=Severity.MEDIUM,
        hints=(".only", "fdescribe(", "fit("), languages=frozenset({"js"}), where=_TESTS,
        pattern=re.compile(r"\b(?:describe|it|test|context|suite)\.only\s*\(|^\s*(?:fdescribe|fit)\s*\("),
        message="only this test runs", why="All other tests of the suite are silently left out.", suggestion="remove the focus",
    ),
    Rule(
        id="skipped-test", reviewer="correctness", severity=Severity.LOW, where=_TESTS,
        hints=("skip", "Skip", "xit(", "xdescribe(", "xtest(", "@Disabled", "@Ignore", "#[ignore", "xfail"),
        pattern=re.compile(
            r"@(?:pytest\.mark\.|unittest\.)(?:skip|xfail|expectedFailure)\b|\b(?:describe|it|test)\.skip\s*\(|"
            r"^\s*(?:xit|xdescribe|xtest)\s*\(|@(?:Disabled|Ignore)\b|\bt\.Skip(?:f|Now)?\(|#\[ignore"
        ),
        message="a test is switched off", why="What it proved is no longer proved, and nobody is reminded.",
        suggestion="say in the reason when it comes back, or fix it",
    ),
    Rule(
        id="empty-assertion", reviewer="correctness", severity=Severity.LOW, where=_TESTS,
        hints=("assert", "expect("),
        pattern=re.compile(
            r"^\s*assert\s+(?:True|1|not False)\s*(?:,|$|#)|\bassertTrue\(\s*[Tt]rue\s*\)|\bexpect\(\s*true\s*\)\.to(?:Be|Equal)\(\s*true"
        ),
        message="an assertion that cannot fail", why="The test passes whatever the code does.",
    ),
    Rule(
        id="nan-comparison", reviewer="correctness", severity=Severity.MEDIUM, hints=("NaN", "nan"),
        pattern=re.compile(r"[=!]==?\s*(?:Number\.|Double\.|Float\.|math\.|np\.)?(?:NaN|nan)\b|==\s*float\(\s*['\"]nan"),
        message="a comparison with NaN", why="NaN equals nothing, not even itself: the comparison never changes.",
        suggestion="use the language's is-NaN test", where=_BOTH,
    ),
    Rule(
        id="assignment-in-condition", reviewer="correctness", severity=Severity.MEDIUM, hints=("if", "while"),
        pattern=re.compile(r"\b(?:if|while)\s*\(\s*[A-Za-z_$][\w.$\[\]>-]{0,80}\s*=(?![=>~])\s*[\w'\"]"),
        message="an assignment where a comparison is expected",
        why="The condition is the assigned value, and the variable is overwritten.",
        suggestion="compare, or put the assignment on its own line", languages=frozenset({"c", "js", "java", "php"}),
    ),
    Rule(
        id="swallowed-error", reviewer="correctness", severity=Severity.MEDIUM, hints=("catch", "except", "rescue"),
        pattern=re.compile(r"\bcatch\s*(?:\([^)]{0,120}\))?\s*\{\s*\}|^\s*except(?:\s+\(?(?:Base)?Exception\b[^:]{0,120})?\s*:\s*(?:pass|\.\.\.)\s*$|\brescue\s+nil\b"),
        message="an error is swallowed", why="A failure goes on as success, and leaves no trace to find it by.",
        suggestion="handle it, log it, or let it pass", cwe=390,
        languages=frozenset({"js", "java", "csharp", "php", "c", "python", "ruby", "swift"}),
    ),
)  # fmt: skip

MAINTAINABILITY = (
    Rule(
        id="debug-output", reviewer="maintainability", severity=Severity.LOW,
        hints=("console.", "dbg!(", "var_dump(", "print_r("),
        pattern=re.compile(r"\bconsole\.(?:log|debug|trace|dir)\s*\(|\bdbg!\(|\b(?:var_dump|print_r)\s*\("),
        message="debug output is left in", why="It clutters the output and may show what users should not see.",
        suggestion="remove it, or use the logger", languages=frozenset({"js", "rust", "php"}), where=frozenset({Kind.SOURCE}),
    ),
    Rule(
        id="open-task", reviewer="maintainability", severity=Severity.INFO, raw=True, where=_BOTH,
        hints=("TODO", "FIXME", "XXX", "HACK"),
        pattern=re.compile(r"(?:#|//|/\*|\*|--|<!--|;|%).{0,40}\b(?:TODO|FIXME|XXX|HACK)\b"),
        message="a task is left open in a comment", why="Comments are not read as a list of work: it is easily forgotten.",
        suggestion="do it now, or name the issue that tracks it",
    ),
    Rule(
        id="silenced-check", reviewer="maintainability", severity=Severity.INFO, raw=True,
        hints=("eslint-disable", "@ts-ignore", "@ts-nocheck", "type: ignore", "nolint", "SuppressWarnings", "noinspection"),
        pattern=re.compile(
            r"eslint-disable(?!.*--\s*\w)|@ts-(?:ignore|nocheck)|#\s*type:\s*ignore(?!\[)|//\s*nolint\b(?!:)|"
            r"@SuppressWarnings\(\s*\"all\"|noinspection\s+ALL"
        ),
        message="a whole class of checks is silenced", why="The next fault of that kind on this line passes unseen.",
        suggestion="silence one rule, with its reason", where=_BOTH,
    ),
    Rule(
        id="sleeping-test", reviewer="maintainability", severity=Severity.LOW, where=_TESTS,
        hints=("sleep(", "Sleep("),
        pattern=re.compile(r"\b(?:time\.|Thread\.|asyncio\.)sleep\s*\(\s*(?!0\s*\))|\btime\.Sleep\("),
        message="a test waits for time to pass", why="It is slow on a fast machine and fails on a slow one.",
        suggestion="wait for the event, or use a fake clock",
    ),
    Rule(
        id="moving-image", reviewer="maintainability", severity=Severity.LOW, hints=("FROM", "image:"),
        pattern=re.compile(r"^\s*FROM\s+[\w./-]+:latest\b|^\s*image:\s*['\"]?[\w./-]+:latest\b"),
        message="an image without a fixed version", why="The same source builds something else tomorrow.",
        suggestion="name a version or a digest", languages=frozenset({"docker", "yaml"}),
    ),
)  # fmt: skip

RULES = (*SECURITY, *CORRECTNESS, *MAINTAINABILITY)
"""All line rules."""
