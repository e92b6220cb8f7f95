"""`podium review` as people and scripts use it: every way to name a change, every format, every exit code."""

# ruff: noqa: E501 - diffs and source under test are read whole

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from reviewed_repository import Done, Sandbox

from podium.review import ruff, source

Podium = Callable[..., Done]

TOKEN = "ghp_" + "Zq8Lw3Tn6Rb1Vc9Xk4Mj7Hd2Gf5Sp0Ya3Ue8"
FAR = "ghp_" + "Kd7Xw2Pq9Zt4Ls6Vb1Ny8Cf3Hg5Jm0Ra2We7"
PASSWORD = "tr0ub4dor&3-horse"
PEM_BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
PEM = f"-----BEGIN PRIVATE KEY-----\n{PEM_BODY}\nMzEfYyjiWA4R4ab9\n-----END PRIVATE KEY-----\n"
EVIL = "def run(text):\n    return eval(text)\n"


@pytest.fixture
def hasty(sandbox: Sandbox) -> Sandbox:
    """A repository whose last commit has something for two reviewers to find."""
    sandbox.commit("Begin", **{"app.py": "def run(text):\n    return text\n"})
    sandbox.commit("Evaluate", **{"app.py": "import os\n\n\n" + EVIL})
    return sandbox


# ------------------------------------------------------------------------------------------------ what is reviewed


def test_the_last_commit_is_reviewed_by_default(hasty: Sandbox, podium: Podium):
    done = podium("review")
    assert done.code == 0
    assert done.out.startswith("Evaluate\n")
    assert "1 file, +4 -1" in done.out
    assert "  app.py:5  text is run as code  [security, dynamic-code]" in done.out
    assert "`os` imported but unused" in done.out
    assert done.err == ""
    assert hasty.git("status", "--porcelain") == ""


def test_a_range_is_called_as_it_was_asked_for(hasty: Sandbox, podium: Podium):
    hasty.commit("More", **{"b.py": "x = 1\n"})
    done = podium("review", "HEAD~2..HEAD")
    assert done.out.startswith("HEAD~2..HEAD (2 commits)\n")
    assert "app.py:5" in done.out
    assert podium("review", "HEAD~2..HEAD~1").out.startswith("Evaluate\n")


def test_a_range_with_unlike_ends_says_so_in_its_own_words(hasty: Sandbox, podium: Podium):
    hasty.git("switch", "-q", "-c", "side", "HEAD~1")
    hasty.commit("Side", **{"side.py": "x = 1\n"})
    done = podium("review", "main..side")
    assert "note: main has commits that side lacks" in done.out
    assert "main...side" in done.out
    assert podium("review", "main...side").out.startswith("Side\n")


def test_what_is_staged_is_reviewed_even_before_the_first_commit(sandbox: Sandbox, podium: Podium):
    sandbox.write("a.py", EVIL)
    sandbox.write("loose.py", EVIL)
    sandbox.git("add", "a.py")
    done = podium("review", "--staged", "--json")
    assert done.json["title"] == "staged changes"
    assert done.places == ["a.py:2 dynamic-code"]


def test_a_patch_comes_from_a_file_or_from_standard_input(hasty: Sandbox, podium: Podium, tmp_path: Path):
    patch = subprocess.run(["git", "show", "HEAD"], cwd=hasty.root, check=True, capture_output=True).stdout
    (tmp_path / "fix.patch").write_bytes(patch)
    filed = podium("review", "--diff", str(tmp_path / "fix.patch"))
    assert filed.out.startswith("patch fix.patch\n")
    assert "app.py:5  text is run as code" in filed.out
    piped = podium("review", "-", stdin=patch)
    assert piped.out.startswith("patch from standard input\n")
    # The repository has these very lines: ruff can look at the file.
    assert "`os` imported but unused" in piped.out
    assert podium("review", "-", "--json", stdin=patch).places == podium("review", "--json").places


def test_an_unstaged_change_is_linted_as_the_patch_leaves_it(hasty: Sandbox, podium: Podium):
    hasty.write("app.py", "import os\nimport sys\n\n\n" + EVIL)
    patch = subprocess.run(["git", "diff"], cwd=hasty.root, check=True, capture_output=True).stdout
    assert podium("review", "-", "--json", stdin=patch).places == ["app.py:2 F401"]


def test_a_patch_outside_of_a_repository_says_what_was_not_linted(
    podium: Podium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    done = podium("review", "-", stdin="--- a/x.py\n+++ b/x.py\n@@ -4 +4 @@\n-a\n+eval(b)\n")
    assert done.code == 0
    assert "note: x.py was not linted: only its patch is known, the file itself is not here" in done.out
    assert "x.py:4  text is run as code" in done.out


def test_a_patch_that_leads_out_of_the_repository_reads_nothing_there(hasty: Sandbox, podium: Podium, tmp_path: Path):
    (tmp_path / "outside.py").write_text("import os\n")
    patch = "--- a/../outside.py\n+++ b/../outside.py\n@@ -4 +4 @@\n-a\n+eval(b)\n"
    done = podium("review", "-", stdin=patch)
    assert done.code == 0
    assert "was not linted" in done.out
    assert "imported but unused" not in done.out


FAKE_GH = """#!/bin/sh
case "$2" in
view) echo '{"title": "Run \\\\u001b[31mtext", "body": "", "baseRefOid": "", "headRefOid": "", "commits": []}' ;;
diff) printf -- '--- a/app.js\\n+++ b/app.js\\n@@ -1 +1 @@\\n-a\\n+eval(b)\\n' ;;
esac
"""


def test_a_pull_request_comes_through_gh(
    hasty: Sandbox, podium: Podium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "bin").mkdir()
    gh = tmp_path / "bin" / "gh"
    gh.write_text(FAKE_GH)
    gh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{gh.parent}{os.pathsep}{os.environ['PATH']}")
    done = podium("review", "--pr", "https://github.com/o/r/pull/7")
    assert done.out.startswith("Run \\x1b[31mtext\n")
    assert "app.js:1  text is run as code" in done.out
    assert podium("show", "last", "--json").json["input"]


def test_without_gh_a_pull_request_is_one_line_with_the_remedy(
    hasty: Sandbox, podium: Podium, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(hasty.root / "nothing"))
    done = podium("review", "--pr", "https://github.com/o/r/pull/7")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "install `gh`" in done.err


def test_the_first_commit_and_a_merge_are_reviewed(sandbox: Sandbox, podium: Podium):
    sandbox.commit("First", **{"a.py": EVIL})
    assert podium("review", "--json").places == ["a.py:2 dynamic-code"]
    sandbox.git("switch", "-q", "-c", "side")
    sandbox.commit(**{"side.py": EVIL})
    sandbox.git("switch", "-q", "main")
    sandbox.commit(**{"main.py": EVIL})
    sandbox.git("merge", "-q", "--no-ff", "-m", "Merge side", "side")
    merged = podium("review")
    assert "side.py:2" in merged.out
    assert "main.py" not in merged.out
    assert "note: a merge commit, compared with its first parent" in merged.out


def test_renames_deletions_submodules_and_binary_files_are_told(
    sandbox: Sandbox, new_sandbox: Callable[[str], Sandbox], podium: Podium
):
    other = new_sandbox("other")
    other.commit(**{"x.txt": "x\n"})
    body = "".join(f"value_{n} = {n}\n" for n in range(30))
    sandbox.commit(**{"old.py": body, "tests/test_a.py": "def test_a():\n    assert 1\n"})
    (sandbox.root / "old.py").rename(sandbox.root / "new.py")
    sandbox.write("new.py", body + EVIL)
    (sandbox.root / "tests" / "test_a.py").unlink()
    sandbox.write("logo.bin", bytes(range(256)) * 8)
    sandbox.git("-c", "protocol.file.allow=always", "submodule", "-q", "add", str(other.root), "lib")
    sandbox.commit("Move things")
    done = podium("review", "--json")
    assert {
        "lib:0 submodule-moved",
        "logo.bin:0 binary-file",
        "new.py:32 dynamic-code",
        "tests/test_a.py:0 deleted-test",
    } <= set(done.places)


def test_another_language_needs_no_python(sandbox: Sandbox, podium: Podium, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ruff, "_command", lambda: None)
    sandbox.commit("Go", **{"main.go": f'package main\n\nvar token = "{TOKEN}"\n'})
    done = podium("review")
    assert "main.go:3  a GitHub token is added" in done.out
    assert "ruff" not in done.out


def test_without_ruff_there_is_a_note(hasty: Sandbox, podium: Podium, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ruff, "_command", lambda: None)
    done = podium("review")
    assert done.code == 0
    assert "note: ruff is not installed, Python files were not linted: pip install 'podium[review]'" in done.out
    assert "app.py:5  text is run as code" in done.out


def test_a_linter_that_fails_is_told_and_costs_nothing_else(
    hasty: Sandbox, podium: Podium, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ruff, "_command", lambda: ["false"])
    done = podium("review")
    assert done.code == 0
    assert "app.py  ruff failed: exit code 1" in done.out
    assert "app.py:5  text is run as code" in done.out


@pytest.mark.parametrize("arguments", [["HEAD..HEAD"], ["--staged"], ["-"]])
def test_nothing_to_review_is_no_failure(hasty: Sandbox, podium: Podium, arguments: list[str]):
    done = podium("review", *arguments, "--fail-on", "info")
    assert done.code == 0
    assert "There is nothing to review." in done.out
    assert podium("review", *arguments, "--json").json.get("findings", []) == []


def test_nothing_found_is_said_in_a_sentence(sandbox: Sandbox, podium: Podium):
    sandbox.commit("Say", **{"notes.md": "Hello.\n"})
    done = podium("review")
    assert "No language model has read this change; the analysers found nothing in it.\n" in done.out
    assert "no findings" in done.out


def test_a_large_diff_is_cut_for_the_model_and_not_for_the_analysers(sandbox: Sandbox, podium: Podium):
    lines = [f"value_{n} = {n}" for n in range(20_000)]
    lines[19_990] = f'api_token = "{TOKEN}"'
    sandbox.commit("Generate", **{"big.py": "\n".join(lines) + "\n", "small.py": EVIL})
    done = podium("review")
    assert "note: left out 18800 lines" in done.out
    assert "big.py (18800 lines of it" in done.out
    assert "the analysers looked at every changed line" in done.out
    assert "big.py:19991  a GitHub token is added" in done.out
    assert "small.py:2  text is run as code" in done.out
    assert "+20002" in done.out


def test_more_findings_than_fit_are_counted(sandbox: Sandbox, podium: Podium):
    sandbox.commit("Evaluate", **{"a.js": "eval(x);\n" * 450 + f'let t = "{TOKEN}";\n'})
    done = podium("review", "--json")
    assert "a.js:451 github-token" in done.places
    assert [each["message"] for each in done.json["findings"] if each["rule"] == "more-findings"] == [
        "251 more findings here and below"
    ]


# ----------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "unknown revision 'nope'"),
        (["HEAD..nope"], "unknown revision 'nope'"),
        (["a..b..c"], "is not a range"),
        (["--", "--output=x"], "'--output=x' is not a revision"),
        (["--", "-x..HEAD"], "'-x' is not a revision"),
        (["--output=x"], "No such option"),
        (["--diff", "missing.patch"], "missing.patch cannot be read: No such file or directory"),
        (["--staged", "HEAD"], "name one change"),
        (["--format", "xml"], "--format is one of text, markdown, json, sarif"),
        (["--json", "--format", "sarif"], "--json is --format json"),
        (["--fail-on", "awful"], "'awful' is not a severity"),
        (["--pr", "nonsense"], "--pr needs the address of a pull request"),
    ],
)
def test_a_wrong_command_is_one_line_and_leaves_nothing(
    hasty: Sandbox, podium: Podium, arguments: list[str], said: str
):
    done = podium("review", *arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not (hasty.root / ".podium").exists()
    assert not (hasty.root / "x").exists()


def test_outside_of_a_repository_it_is_one_line(podium: Podium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    done = podium("review")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "podium: not inside a git repository: cd into one, or review a patch with --diff FILE or `-` for standard input\n"
    )
    assert list(Path.cwd().iterdir()) == []


def test_text_that_is_no_patch_is_one_line(hasty: Sandbox, podium: Podium):
    done = podium("review", "-", stdin="hello\n")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "there is no diff in this text" in done.err


# ---------------------------------------------------------------------------------------------------------- formats


def test_sarif_has_rule_level_and_location_for_every_result(hasty: Sandbox, podium: Podium):
    log = podium("review", "--format", "sarif").json
    [run] = log["runs"]
    assert log["version"] == "2.1.0"
    assert run["results"]
    for result in run["results"]:
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        [location] = result["locations"]
        assert location["physicalLocation"]["artifactLocation"]["uri"] == "app.py"
        assert location["physicalLocation"]["region"]["startLine"] > 0


def test_the_formats_tell_the_same(hasty: Sandbox, podium: Podium):
    found = podium("review", "--json").json
    assert found == podium("review", "--format", "json").json | {k: found[k] for k in ("run_id", "duration")}
    assert found["model"] == "offline"
    assert [each["name"] for each in found["reviewers"]] == ["security", "correctness", "maintainability"]
    markdown = podium("review", "--format", "markdown").out
    assert markdown.startswith("## Review: Evaluate\n")
    assert "- `app.py:5` **text is run as code**" in markdown
    verdict = f"{len(found['findings'])} findings: "
    assert verdict in markdown
    assert verdict in podium("review").out


@pytest.mark.parametrize(
    ("threshold", "code"), [("info", 1), ("low", 1), ("high", 1), ("HIGH", 1), ("error", 1), ("critical", 0)]
)
def test_the_exit_code_tells_whether_a_threshold_is_reached(hasty: Sandbox, podium: Podium, threshold: str, code: int):
    done = podium("review", "--fail-on", threshold)
    assert done.code == code
    assert "text is run as code" in done.out


# ---------------------------------------------------------------------------------------------- secrets and hostility


def test_secrets_are_found_and_reach_neither_report_nor_journal(sandbox: Sandbox, podium: Podium):
    code = f'token = "{TOKEN}"\nfiller = "{"x y " * 1200}"; other = "{FAR}"\n'
    code += f"db_password = '{PASSWORD}'\nkey = '''\n{PEM}'''\n" + 'inline = "' + PEM.replace("\n", "\\n") + '"\n'
    sandbox.commit(f"Add {TOKEN}\n\npassword = '{PASSWORD}'", **{"app.py": code, "deploy.pem": PEM})
    sandbox.commit("Change", **{"app.py": code + f"# see {TOKEN}\n"})
    texts = [podium("review", "HEAD~1", "--format", form).out for form in ("text", "markdown", "json", "sarif")]
    texts.append(podium("review").out)
    texts.append(podium("show", "last", "--records").out)
    assert "a GitHub token is added: ghp_… (40 characters)" in texts[0]
    assert "deploy.pem" in texts[0]
    files = b"".join(file.read_bytes() for file in (sandbox.root / ".podium").rglob("*") if file.is_file())
    for secret in (TOKEN, PASSWORD, PEM_BODY, "MzEfYyjiWA4R4ab9", FAR):
        assert not [line for text in texts for line in text.splitlines() if secret in line]
        assert secret.encode() not in files


@pytest.mark.parametrize("arguments", [["-"], ["--staged"]])
def test_a_change_that_git_does_not_hold_is_kept_out_of_the_journal(
    sandbox: Sandbox, podium: Podium, arguments: list[str]
):
    sandbox.write("app.py", f'token = "{TOKEN}"\n')
    sandbox.git("add", "app.py")
    patch = sandbox.git("diff", "--cached") + "\n"
    done = podium("review", *arguments, stdin=patch)
    assert "app.py:1  a GitHub token is added" in done.out
    home = sandbox.root / ".podium"
    for file in home.glob("podium.db*"):
        assert TOKEN.encode() not in file.read_bytes()
    [kept] = (home / "reviews").glob("*.change")
    assert TOKEN.encode() in kept.read_bytes()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert sandbox.git("status", "--porcelain") == "A  app.py"


def test_kept_changes_are_forgotten_after_a_week(sandbox: Sandbox, podium: Podium):
    patches = [f"--- a/x.js\n+++ b/x.js\n@@ -4 +4 @@\n-a\n+{word}\n" for word in ("b", "c", "d")]
    folder = sandbox.root / ".podium" / "reviews"
    for patch in patches[:2]:
        podium("review", "-", stdin=patch)
    first, second = sorted(folder.glob("*.change"))
    past = time.time() - (source.KEPT_DAYS + 1) * 86400
    os.utime(first, (past, past))
    podium("review", "-", stdin=patches[2])
    assert not first.exists()
    assert second.exists()


def test_a_store_elsewhere_keeps_its_changes_beside_it_and_out_of_git(sandbox: Sandbox, podium: Podium):
    sandbox.write("reviews/mine.md", "mine\n")
    sandbox.commit("Begin")
    done = podium("review", "-", "--store", "runs.db", stdin="--- a/x.js\n+++ b/x.js\n@@ -4 +4 @@\n-a\n+eval(b)\n")
    assert "x.js:4" in done.out
    assert {line.split("/")[0] for line in sandbox.git("status", "--porcelain", "-uall").splitlines()} == {"?? runs.db"}
    memory = podium("review", "-", "--store", ":memory:", stdin="--- a/x.js\n+++ b/x.js\n@@ -4 +4 @@\n-a\n+eval(b)\n")
    assert "x.js:4" in memory.out


def test_hostile_text_steers_neither_terminal_nor_markdown(sandbox: Sandbox, podium: Podium):
    name = "a\x1b[2J![x](http:\u202e) @team <img src=x>`.js"
    sandbox.commit("\x1b]0;owned\x07 # Title [a](http://evil) <script> @team", **{name: 'eval("\x1b[31m")\n'})
    for form in ("text", "markdown", "json", "sarif"):
        done = podium("review", "--format", form)
        assert done.code == 0
        assert "\u202e" not in done.out
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", done.out)
        if form == "markdown":
            prose = re.sub(r"(`+).*?\1", "", done.out.replace("\\`", ""))
            assert not re.search(r"<(script|img)|(?<!\\)\]\(|@team|http://", prose)
        elif form != "text":
            json.loads(done.out)
    assert "\u202e" not in podium("show", "last").out
