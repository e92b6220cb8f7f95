"""Reports in every format, with text that tries to break out; pull requests through the GitHub CLI."""

# ruff: noqa: E501 - diffs and source under test are read whole

from __future__ import annotations

import io
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from podium.core.errors import ConfigurationError
from podium.review.change import LeftOut, Omitted
from podium.review.findings import Finding, Severity
from podium.review.outcome import Review, ReviewerReport
from podium.review.pull_request import fetch
from podium.review.report import Format, render
from podium.review.terminal import write

EVIL = "\x1b]8;;http://evil\x07x\x1b[2J [a](http://evil) <img src=x> @team `code` ![i](j) [red]\u202e\ud800\n# Title"
FINDINGS = (
    Finding("src/a b#é.py", 7, Severity.HIGH, "S602", "shell", "injection", "security", "use a list", 9, "ruff", 78),
    Finding("gone.py", 0, Severity.LOW, "deleted-test", EVIL, EVIL, "correctness", EVIL, source="check"),
    Finding("../../../etc/\x1b[31mx`y", 1, Severity.LOW, EVIL, "m", "w", "correctness"),
)
REVIEW = Review(
    "Title " + EVIL, "a" * 40, "b" * 40, (ReviewerReport("security", "failed", note="no model"),), FINDINGS, "Summary " + EVIL,
    Omitted((LeftOut("uv.lock", 5, "lock file"),)), ("a note",), 2, 10, 3, "run1", "offline", Decimal("0.01"), 1.5,
)  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("form", Format)
def test_no_report_carries_control_characters_of_the_diff(form: Format):
    said = render(REVIEW, form)
    said.encode()
    assert not [char for char in said if (ord(char) < 32 and char != "\n") or char in "\x7f\u202e"]


def test_text_groups_by_severity_with_places_to_click():
    lines = render(REVIEW).split("\n")
    assert any(line.startswith("  src/a b#é.py:7  shell") for line in lines)
    assert lines.index(" HIGH  1") < lines.index(" LOW  2")
    assert "3 findings: 1 high, 2 low" in lines
    assert "note: security failed: no model" in lines
    assert any("uv.lock (5 lines, lock file)" in line for line in lines)
    assert "no findings" in render(Review("t"))


def test_a_terminal_gets_colour_and_no_markup(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, pipe = Terminal(), io.StringIO()
    write(REVIEW, terminal)
    write(REVIEW, pipe)
    assert "\x1b[1;31m" in terminal.getvalue()
    assert "[red]" in terminal.getvalue()
    assert "\x1b[2J" not in terminal.getvalue()
    assert pipe.getvalue() == render(REVIEW)


def test_markdown_of_the_diff_has_no_effect():
    said = render(REVIEW, Format.MARKDOWN)
    assert "- `src/a b#é.py:7` **shell** — security, `S602`" in said
    active = re.sub(r"(?<![\\`])(`+)(?!`).*?(?<!`)\1(?!`)", "", said)  # without code spans
    for harmful in ("<img", "@team", "](", "://", "[red]\u202e"):
        assert harmful not in active
    assert [line for line in said.split("\n") if line.startswith("# ")] == ["# Title"]
    assert "``../../../etc/\\x1b[31mx`y:1``" in said


def test_json_has_its_documented_shape():
    data = json.loads(render(REVIEW, Format.JSON))
    assert (data["version"], data["cost"], data["counts"]) == (1, "0.01", {"high": 1, "low": 2})
    assert data["findings"][0] == {
        "file": "src/a b#é.py", "line": 7, "severity": "high", "rule": "S602", "message": "shell", "why": "injection",
        "reviewer": "security", "suggestion": "use a list", "end_line": 9, "source": "ruff", "cwe": 78,
    }  # fmt: skip
    assert data["omitted"] == {
        "lines": 5,
        "files": [{"path": "uv.lock", "lines": 5, "why": "lock file", "partial": False}],
    }


def test_sarif_has_rules_levels_places_and_stable_fingerprints():
    log = json.loads(render(REVIEW, Format.SARIF))
    (run,) = log["runs"]
    driver, results = run["tool"]["driver"], run["results"]
    assert log["version"] == "2.1.0"
    assert [driver["rules"][result["ruleIndex"]]["id"] for result in results] == [
        result["ruleId"] for result in results
    ]
    assert [result["level"] for result in results] == ["error", "note", "note"]
    place = results[0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "src/a%20b%23%C3%A9.py"
    assert place["region"] == {"startLine": 7, "endLine": 9}
    assert "region" not in results[1]["locations"][0]["physicalLocation"]
    assert results[2]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "etc/%1B%5B31mx%60y"
    assert "external/cwe/cwe-078" in driver["rules"][0]["properties"]["tags"]
    assert driver["rules"][0]["properties"]["security-severity"] == "8.0"
    assert run["invocations"][0]["executionSuccessful"] is False
    moved = Finding("src/a b#é.py", 70, Severity.HIGH, "S602", "shell", "injection", "security")
    again = json.loads(render(Review("t", findings=(moved, moved)), Format.SARIF))["runs"][0]["results"]
    prints = [result["partialFingerprints"]["podiumFinding/v1"] for result in again]
    assert prints[0] == results[0]["partialFingerprints"]["podiumFinding/v1"]
    assert prints[0] != prints[1]


URL = "https://github.com/owner/repo/pull/7"
DIFF = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n"


@pytest.fixture
def gh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def install(body: str) -> None:
        script = tmp_path / "bin" / "gh"
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")

    return install


def test_a_pull_request_is_read_through_the_github_cli(gh, tmp_path: Path):
    view = {
        "title": "T",
        "body": None,
        "baseRefOid": "a" * 40,
        "headRefOid": "b" * 40,
        "commits": [{"oid": "c", "messageHeadline": "S", "authors": [{"login": "ada"}]}],
    }
    (tmp_path / "view.json").write_text(json.dumps(view))
    (tmp_path / "x.diff").write_text(DIFF)
    gh(f'[ "$3" = {URL} ] || exit 9\ncase "$2" in view) cat {tmp_path}/view.json;; diff) cat {tmp_path}/x.diff;; esac')
    change = fetch(URL + "/files?w=1#top")
    assert (change.title, change.base, change.head) == ("T", "a" * 40, "b" * 40)
    assert [file.path for file in change.files] == ["x.py"]
    assert [(commit.author, commit.subject) for commit in change.commits] == [("ada", "S")]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "echo 'To get started with GitHub CLI, please run:  gh auth login' >&2; exit 4",
            "not logged in: run `gh auth login`",
        ),
        ("echo 'GraphQL: Could not resolve to a PullRequest' >&2; exit 1", "could not read the pull request: GraphQL"),
        ("echo nonsense", "unknown form"),
    ],
)
def test_what_the_github_cli_refuses_is_said_with_the_remedy(gh, body: str, said: str):
    gh(body)
    with pytest.raises(ConfigurationError, match=said) as caught:
        fetch(URL)
    assert "\n" not in str(caught.value)


def test_without_the_github_cli_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="install `gh`"):
        fetch(URL)


@pytest.mark.parametrize(
    "url", ["--help", "7", "https://github.com/owner/repo", "file:///etc/passwd", "https://a/b/c/pull/1 x"]
)
def test_only_addresses_of_pull_requests_are_taken(url: str):
    with pytest.raises(ConfigurationError, match="needs the address of a pull request"):
        fetch(url)
