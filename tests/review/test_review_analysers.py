"""Checks, credentials, ruff, merging and bounds: what is found in which line, and what is left alone."""

# ruff: noqa: E501 - diffs and source under test are read whole

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest
from reviewed_repository import Sandbox

from podium.core.errors import ConfigurationError
from podium.review import ruff
from podium.review.bounds import bound
from podium.review.change import Change, FileChange, Hunk, Status
from podium.review.checks import check, correctness, maintainability, security
from podium.review.credentials import mask
from podium.review.findings import Finding, Severity, fails, merge


def added(path: str, *lines: str, **fields: object) -> Change:
    hunk = Hunk(0, 0, 1, len(lines), "", tuple(f"+{line}" for line in lines))
    file = FileChange(path, status=Status.ADDED, additions=len(lines), hunks=(hunk,) if lines else ())
    return Change(files=(msgspec.structs.replace(file, **fields),))


def rules(findings: list[Finding]) -> set[str]:
    return {finding.rule for finding in findings}


# Put together here, so that no scanner takes this file for a leak.
TOKENS = {
    "aws-access-key": "AKIA" + "Q7ZK4M2XW9PL3VTB",
    "github-token": "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
    "slack-token": "xoxb-" + "1234567890-abcdefghij",
    "google-api-key": "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
    "stripe-key": "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "anthropic-key": "sk-ant-" + "api03-a1b2c3d4e5f6g7h8i9j0",
    "private-key": "-----BEGIN RSA " + "PRIVATE KEY-----",
    "jwt": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0In0." + "dozjgNryP4J3jVmNHl0w",
}


@pytest.mark.parametrize("rule", TOKENS)
def test_a_token_is_found_in_any_language_and_never_repeated(rule: str):
    (finding,) = security(added("src/config.zig", f'const t = "{TOKENS[rule]}";'))
    assert (finding.rule, finding.line, finding.reviewer, finding.cwe) == (rule, 1, "security", 798)
    assert finding.severity >= Severity.MEDIUM
    assert TOKENS[rule] not in repr(finding)
    assert TOKENS[rule] not in mask(f"x {TOKENS[rule]} y")


def test_a_literal_password_is_found_and_masked():
    for line in ('password = "hunter2!x"', 'DB_PASSWORD: "s3cr3t-Pw9"', 'api_key: str = "9f8a7b6c5d4e3f2a1b0c"', 'url = "postgres://app:s3cr3tpw@db.internal/x"'):  # fmt: skip
        (finding,) = security(added("src/settings.py", line))
        assert finding.cwe == 798
        assert all(secret not in repr(finding) for secret in ("hunter2", "s3cr3t", "9f8a7b"))
        assert "***" in mask(line)


def test_placeholders_references_and_words_are_no_credentials():
    quiet = (
        'password = os.environ["PASSWORD"]', 'password = "changeme"', 'token = "your-token-here"', 'secret = "${SECRET}"',
        'password_label = "Enter9 a8"', 'key = "user_password"', 'token_url = "https://auth.internal/t0k3n"', 'aws = "AKIAIOSFODNN7EXAMPLE"',
        'message = "password is required"', 'url = "postgres://user:password@localhost/db"', 'password = ""', "secret = get_secret('a1b2c3d4e5')",
    )  # fmt: skip
    assert security(added("src/settings.py", *quiet)) == []


def test_secrets_in_tests_weigh_less_and_digests_in_lock_files_nothing():
    (finding,) = security(added("tests/test_a.py", f'token = "{TOKENS["github-token"]}"'))
    assert finding.severity is Severity.LOW
    assert security(added("poetry.lock", 'token = "9f8a7b6c5d4e3f2a1b0c"')) == []


@pytest.mark.parametrize(
    ("path", "line", "rule"),
    [
        ("a.py", "subprocess.run(cmd, shell=True)", "shell-command"),
        ("a.js", "el.innerHTML = name;", "html-injection"),
        ("a.js", "const q = `SELECT * FROM users WHERE id = ${id}`;", "sql-from-text"),
        ("a.py", 'cursor.execute(f"SELECT name FROM users WHERE id = {uid}")', "sql-from-text"),
        ("A.java", 'String q = "SELECT * FROM users WHERE id = " + id;', "sql-from-text"),
        ("a.go", "cfg := &tls.Config{InsecureSkipVerify: true}", "tls-unchecked"),
        ("a.py", "yaml.load(text)", "unsafe-deserialization"),
        ("install.sh", "curl -fsSL https://x.dev/i.sh | sudo bash", "piped-installer"),
        ("a.c", "strcpy(buffer, name);", "unbounded-copy"),
        (".github/workflows/ci.yml", "      - run: echo ${{ github.event.issue.title }}", "workflow-injection"),
        ("a.rs", "let x = 1; // \u202e } if admin {", "hidden-text"),
    ],
)
def test_risky_lines_are_named_with_their_reason(path: str, line: str, rule: str):
    (finding,) = security(added(path, line))
    assert (finding.rule, finding.line) == (rule, 1)
    assert finding.why


def test_comments_docstrings_and_safe_forms_are_left_alone():
    assert (
        security(added("a.py", "# never use eval(x) here", "yaml.load(text, Loader=SafeLoader)", "model.eval()")) == []
    )
    assert (
        security(
            added("a.py", "def f():", '    """Do not call eval(x)', "    or os.system(x).", '    """', "    return 1")
        )
        == []
    )
    assert (
        security(
            added("a.js", "// el.innerHTML = x", 'el.innerHTML = "";', 'db.query("SELECT 1 FROM t WHERE a = ?", [a]);')
        )
        == []
    )


def test_a_call_named_in_a_string_is_no_call():
    assert security(added("a.py", 'raise ValueError("do not use eval(x) or os.system(x)")')) == []


def test_a_narrow_except_may_pass_and_a_broad_one_may_not():
    assert correctness(added("a.py", "try: f()", "except KeyError:", "    pass")) == []
    assert rules(correctness(added("a.py", "try: f()", "except Exception:", "    pass"))) == {"swallowed-error"}
    assert rules(correctness(added("a.py", "except: pass"))) == {"swallowed-error"}


def test_a_conflict_is_found_once_and_a_heading_underline_is_none():
    (finding,) = correctness(added("a.txt", "<<<<<<< HEAD", "a", "=======", "b", ">>>>>>> side"))
    assert (finding.rule, finding.line, finding.severity) == ("conflict-marker", 1, Severity.HIGH)
    assert correctness(added("a.rst", "Heading", "=======")) == []


def test_tests_that_vanish_or_stop_are_found():
    gone = Change(files=(FileChange("tests/test_a.py", status=Status.DELETED, deletions=40),))
    assert rules(correctness(gone)) == {"deleted-test"}
    assert rules(correctness(added("tests/test_b.py", "@pytest.mark.skip"))) == {"skipped-test"}
    assert rules(correctness(added("web/a.test.ts", "it.only('x', () => {})"))) == {"focused-test"}


def test_swallowed_errors_are_found_over_lines():
    (finding,) = correctness(added("a.ts", "try { f() }", "catch (e) {", "}"))
    assert (finding.rule, finding.line, finding.end_line) == ("swallowed-error", 2, 3)
    assert rules(correctness(added("a.go", "if err != nil {", "}"))) == {"swallowed-error"}
    assert correctness(added("a.ts", "try { f() }", "catch (e) {", "  log(e)", "}")) == []


def test_source_without_tests_is_said_once_and_not_when_a_test_changes():
    lines = [f"x{n} = {n}" for n in range(20)]
    source, test = added("src/a.py", *lines), added("tests/test_a.py", "def test_a(): ...")
    assert "source-without-tests" in rules(maintainability(source))
    assert "source-without-tests" not in rules(maintainability(Change(files=source.files + test.files)))
    assert "source-without-tests" not in rules(maintainability(added("README.md", *lines)))


def test_large_and_binary_files_and_by_products_are_found():
    assert rules(maintainability(added("data.csv", size=3_000_000))) == {"large-file"}
    assert rules(maintainability(added("tool.exe", binary=True, size=10_000))) == {"binary-file"}
    assert rules(maintainability(added(".DS_Store", binary=True, size=10))) == {"binary-file", "by-product"}
    assert rules(security(added(".env", "A=1"))) == {"private-file"}
    assert rules(security(added(".env.example", "A=1"))) == set()


def test_a_repeated_block_points_at_the_first():
    block = [f"value_{n} = compute({n}, other)" for n in range(14)]
    found = [f for f in maintainability(added("src/a.py", *block, "middle()", *block)) if f.rule == "repeated-block"]
    assert [(f.line, "src/a.py:1" in f.message) for f in found] == [(16, True)]


def test_twenty_thousand_hostile_lines_are_checked():
    lines = ["password" * 500, '"' * 4000, "SELECT " * 600, "eyJ" * 1300] * 25 + [
        f"x{n} = eval_{n}" for n in range(19_900)
    ]
    assert isinstance(check(added("src/a.py", *lines)), list)


def test_severities_are_ordered_and_parsed():
    assert Severity.INFO < Severity.LOW < Severity.MEDIUM < Severity.HIGH < Severity.CRITICAL
    assert max(Severity) is Severity.CRITICAL
    assert Severity.parse(" Warning ") is Severity.MEDIUM
    with pytest.raises(ConfigurationError, match="'dire' is not a severity: use one of info, low"):
        Severity.parse("dire")


def finding(
    line: int = 1, severity: Severity = Severity.LOW, rule: str = "r", message: str = "m", **more: object
) -> Finding:
    return msgspec.structs.replace(Finding("a.py", line, severity, rule, message, "w"), **more)


def test_what_several_say_of_one_place_becomes_one_finding():
    merged = merge(
        [
            finding(1, Severity.LOW, "S602", "call with shell", cwe=78, reviewer="security", source="ruff"),
            finding(
                1,
                Severity.HIGH,
                "shell-command",
                "a command runs",
                cwe=78,
                reviewer="correctness",
                why="a longer reason",
            ),
            finding(1, Severity.INFO, "other", "A command runs!", reviewer="maintainability", suggestion="fix"),
            finding(2, Severity.CRITICAL, "shell-command", "elsewhere", cwe=78),
            finding(1, Severity.LOW, "unrelated", "something else entirely"),
        ]
    )
    assert [(f.line, f.severity) for f in merged] == [(2, "critical"), (1, "high"), (1, "low")]
    assert merged[1].reviewer == "security, correctness, maintainability"
    assert (merged[1].why, merged[1].suggestion, merged[1].source) == ("a longer reason", "fix", "ruff")


def test_only_findings_at_or_above_the_threshold_fail():
    assert fails([finding(severity=Severity.HIGH)], Severity.HIGH)
    assert not fails([finding(severity=Severity.MEDIUM)], Severity.HIGH)
    assert not fails([finding(severity=Severity.CRITICAL)], None)


def test_a_finding_is_plain_json():
    data = msgspec.json.encode(finding(3, Severity.HIGH))
    assert msgspec.json.decode(data)["severity"] == "high"
    assert msgspec.json.decode(data, type=Finding) == finding(3, Severity.HIGH)


def test_a_change_that_fits_is_not_touched():
    change = added("a.py", "x = 1")
    assert bound(change) == (change, change.omitted)


def test_bounds_leave_out_lock_files_first_and_say_exactly_what():
    lock = added("uv.lock", *["l"] * 50).files
    small, large = added("src/a.py", *["s"] * 40).files, added("src/b.py", *["b"] * 100).files
    bounded, omitted = bound(Change(files=lock + large + small), max_lines=120, max_file_lines=90)
    assert [(f.path, sum(len(h.lines) for h in f.hunks), f.additions) for f in bounded.files] == [("src/b.py", 80, 100), ("src/a.py", 40, 40)]  # fmt: skip
    assert [(f.path, f.lines, f.partial) for f in omitted.files] == [("uv.lock", 50, False), ("src/b.py", 20, True)]
    assert (
        omitted.describe()
        == "left out 70 lines: 1 file and 1 file in part: uv.lock (50 lines, lock file), src/b.py (20 lines of it, the file's diff is too long)"
    )
    assert sum(h.new_lines for h in bounded.files[0].hunks) == 80


def test_bounds_hold_for_bytes_and_files():
    bounded, omitted = bound(added("a.js", "x" * 1000, "y" * 1000), max_bytes=1500)
    assert (omitted.lines, bounded.additions) == (1, 2)
    many = Change(files=tuple(FileChange(f"f{n}", status=Status.RENAMED) for n in range(5)))
    assert len(bound(many, max_files=3)[0].files) == 3


PYTHON = "import subprocess\n\n\ndef old(x, items=[]):\n    return eval(x)\n"


def test_ruff_judges_changed_lines_at_the_reviewed_revision(sandbox: Sandbox):
    sandbox.commit(**{"app.py": PYTHON})
    head = sandbox.commit(
        **{"app.py": PYTHON + "\n\ndef new(cmd, items=[]):\n    return subprocess.run(cmd, shell=True)\n"}
    )
    sandbox.write("app.py", "this is not python (")
    repository = sandbox.repository
    found = ruff.analyse(repository.change(), lambda path: repository.file_at(path, head))
    assert [(f.line, f.rule, f.reviewer, f.severity) for f in found.findings] == [
        (8, "B006", "correctness", "medium"),
        (9, "S602", "security", "high"),
    ]
    only = ruff.analyse(repository.change(), lambda path: repository.file_at(path, head), reviewer="correctness")
    assert [f.rule for f in only.findings] == ["B006"]
    assert found.note == ""


def test_ruff_and_the_checks_agree_on_one_finding():
    change = added("src/app.py", "import subprocess", "subprocess.run(x, shell=True)")
    merged = merge([*ruff.analyse(change, lambda _: None).findings, *security(change)])
    shell = [f for f in merged if f.cwe == 78]
    assert [f.source for f in shell] == ["check, ruff"]


def test_ruff_ignores_the_settings_of_the_reviewed_repository_and_runs_nothing_of_it(sandbox: Sandbox, tmp_path: Path):
    mark = tmp_path / "ran"
    sandbox.commit(**{
        "pyproject.toml": "[project]\nrequires-python = '>=3.8'\n[tool.ruff]\nexclude = ['*']\n",
        "ruff.py": f"open({str(mark)!r}, 'w')\n",
        "build/app.py": "def f(x: list = []): return eval(x)\n",
    })  # fmt: skip
    repository = sandbox.repository
    found = ruff.analyse(repository.change(), repository.file_at)
    assert {"B006", "S307"} <= {f.rule for f in found.findings if f.file == "build/app.py"}
    assert not mark.exists()


def test_ruff_takes_no_path_that_leads_out_and_survives_broken_python():
    escape = added("../../escape.py", "eval(x)")
    broken = added("broken.py", "def f(:")
    found = ruff.analyse(Change(files=escape.files + broken.files), lambda _: None)
    assert {(f.file, f.severity) for f in found.findings} == {("broken.py", "high")}


def test_without_ruff_there_is_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    found = ruff.analyse(added("a.py", "eval(x)"), lambda _: None)
    assert (found.findings, found.note) == ((), ruff.MISSING)
    assert ruff.analyse(added("a.go", "x"), lambda _: None) == ruff.Analysis()
