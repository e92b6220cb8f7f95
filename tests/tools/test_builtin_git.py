"""Git and GitHub: what a repository or a command says reaches the model bounded, and nothing in it is run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from podium.core.errors import ConfigurationError, NotDone, ToolError
from podium.ports import ToolContext
from podium.tools.builtin import git_tools, github_tools


def git(folder: Path, *arguments: str) -> str:
    env = {
        **os.environ,
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.com",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.com",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }
    done = subprocess.run(["git", *arguments], cwd=folder, env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "tents.py").write_text("PRICE = 1\nNAME = 'Arctic'\n")
    git(root, "add", ".")
    git(root, "commit", "-qm", "Add tents")
    (root / "tents.py").write_text("PRICE = 2\nNAME = 'Arctic'\n")
    git(root, "commit", "-qam", "Raise the price\n\nIt was too low.")
    return root


async def ask(tools: list[Any], name: str, **args: Any) -> Any:
    tool = next(each for each in tools if each.name == name)
    return await tool.invoke(tool.resolve(args), ToolContext(run_id="r1", key="k1", idempotency_key="r1:k1"))


async def test_history_changes_files_and_lines_are_told(repository: Path) -> None:
    tools = git_tools(repository)
    assert all(each.effect == "read" for each in tools)
    assert [each["subject"] for each in await ask(tools, "git_log")] == ["Raise the price", "Add tents"]
    shown = await ask(tools, "git_show")
    assert "It was too low." in shown["message"]
    assert "+PRICE = 2" in shown["diff"]
    assert "+PRICE = 1" in (await ask(tools, "git_show", revision="HEAD~1"))["diff"], "also of the first commit"
    assert "-PRICE = 1" in (await ask(tools, "git_diff", base="HEAD~1", path="tents.py"))["diff"]
    assert (await ask(tools, "git_file", path="tents.py", revision="HEAD~1"))["text"].startswith("PRICE = 1")
    assert (await ask(tools, "git_files"))["files"] == ["tents.py"]
    assert (await ask(tools, "git_search", text="Arctic"))[0]["line"] == 2
    blamed = await ask(tools, "git_blame", path="tents.py")
    assert [(each["line"], each["subject"]) for each in blamed] == [(1, "Raise the price"), (2, "Add tents")]


@pytest.mark.parametrize("revision", ["--output=/tmp/x", "-c", "none", "HEAD\0", "HEAD:tents.py", ""])
async def test_no_revision_becomes_an_option(repository: Path, revision: str) -> None:
    for name, args in (
        ("git_log", {}),
        ("git_show", {}),
        ("git_file", {"path": "tents.py"}),
        ("git_blame", {"path": "tents.py"}),
    ):
        with pytest.raises(ToolError):
            await ask(git_tools(repository), name, revision=revision, **args)


@pytest.mark.parametrize("path", ["../repo/tents.py", "/etc/passwd", "--help", ":(top)tents.py"])
async def test_no_path_leads_out_or_becomes_an_option(repository: Path, path: str) -> None:
    with pytest.raises(ToolError):
        await ask(git_tools(repository), "git_file", path=path)
    with pytest.raises(ToolError):
        await ask(git_tools(repository), "git_blame", path=path)


async def test_the_configuration_of_the_repository_runs_nothing(repository: Path) -> None:
    canary = repository.parent / "ran"
    script = repository.parent / "evil.sh"
    script.write_text(f'#!/bin/sh\ntouch {canary}\ncat "$@"\n')
    script.chmod(0o755)
    for name in (
        "diff.external",
        "core.fsmonitor",
        "core.pager",
        "diff.evil.textconv",
        "core.sshCommand",
        "gpg.program",
    ):
        git(repository, "config", name, str(script))
    git(repository, "config", "log.showSignature", "true")
    (repository / ".gitattributes").write_text("*.py diff=evil\n")
    tools = git_tools(repository)
    for name, args in (
        ("git_log", {}),
        ("git_show", {}),
        ("git_diff", {"base": "HEAD~1"}),
        ("git_search", {"text": "A"}),
        ("git_blame", {"path": "tents.py"}),
    ):
        await ask(tools, name, **args)
    assert not canary.exists()


async def test_the_configuration_of_the_repository_reads_no_other_file(repository: Path) -> None:
    secret = repository.parent / "secret"
    secret.write_text("hunter2\n")
    git(repository, "config", "blame.ignoreRevsFile", str(secret))
    assert [each["line"] for each in await ask(git_tools(repository), "git_blame", path="tents.py")] == [1, 2]


def test_outside_of_a_repository_it_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not inside a git repository: name a folder that is"):
        git_tools(tmp_path)


# --------------------------------------------------------------------------------------------------------------- GitHub

GH = """#!/bin/sh
# Stands for the GitHub CLI: keeps what it was called with, and one issue in a file.
here=$(dirname "$0")
printf '%s\\n' "$*" >> "$here/calls"
if [ -f "$here/fail" ]; then cat "$here/fail" >&2; exit 1; fi
case "$1 $2" in
  "issue list") printf '[{"number": 7, "title": "Leaks"}]' ;;
  "issue view") printf '{"number": 7, "body": "%s", "comments": [' "$(head -c 9000 /dev/zero | tr '\\0' x)"
    if [ -f "$here/comment" ]; then
      printf '{"url": "https://example.com/c1", "body": "%s"}' "$(tr '\\n' ' ' < "$here/comment")"
    fi
    printf ']}' ;;
  "pr diff") printf 'diff --git a/x b/x\\n' ;;
  "issue comment") cat > "$here/comment"; printf 'https://example.com/c1\\n' ;;
  *) echo "unknown: $*" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def gh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "gh").write_text(GH)
    (folder / "gh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


async def test_issues_and_pull_requests_of_one_repository_are_read(gh: Path) -> None:
    tools = github_tools("acme/shop")
    assert (await ask(tools, "github_issues", search="--repo evil/other leak"))[0]["number"] == 7
    issue = await ask(tools, "github_issue", number=7)
    assert issue["body"].endswith("… 1000 more characters")
    assert (await ask(tools, "github_diff", number=3))["diff"].startswith("diff --git")
    calls = (gh / "calls").read_text().splitlines()
    assert all(call.endswith("--repo acme/shop") for call in calls)


@pytest.mark.parametrize("search", ["repo:evil/other", "x OR REPO:evil/other", "(org:evil)", "-user:me", 'a owner:"b"'])
async def test_a_search_names_no_other_repository(gh: Path, search: str) -> None:
    for name in ("github_issues", "github_pull_requests"):
        with pytest.raises(ToolError, match="only this repository is searched"):
            await ask(github_tools("acme/shop"), name, search=search)
    assert not (gh / "calls").exists()
    assert await ask(github_tools("acme/shop"), "github_issues", search="monorepo: label:bug")


async def test_a_comment_carries_the_mark_by_which_a_lost_call_is_found(gh: Path) -> None:
    tools = github_tools("acme/shop", write=True)
    comment = next(each for each in tools if each.name == "github_comment")
    with pytest.raises(NotDone):
        await comment.settle("r1:k1", {"number": 7, "body": "thanks"})
    assert (await ask(tools, "github_comment", number=7, body="thanks"))["url"] == "https://example.com/c1"
    assert "podium r1:k1" in (gh / "comment").read_text()
    assert await comment.settle("r1:k1", {"number": 7, "body": "thanks"}) == {"url": "https://example.com/c1"}


async def test_a_failure_while_commenting_is_unknown_and_one_before_it_is_not(gh: Path) -> None:
    tools = github_tools("acme/shop", write=True)
    (gh / "fail").write_text("HTTP 502\n")
    with pytest.raises(RuntimeError, match="502"):
        await ask(tools, "github_comment", number=7, body="thanks")
    (gh / "fail").write_text("To get started with GitHub CLI, please run:  gh auth login\n")
    with pytest.raises(NotDone, match="not logged in"):
        await ask(tools, "github_comment", number=7, body="thanks")


async def test_a_missing_command_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotDone, match="install `gh`"):
        await ask(github_tools("acme/shop"), "github_issues")


def test_without_write_there_is_no_comment_and_a_bad_name_is_refused() -> None:
    assert all(each.effect == "read" for each in github_tools("acme/shop"))
    for name in ("shop", "--help", "a/b/c/d", "acme/shop; rm"):
        with pytest.raises(ConfigurationError):
            github_tools(name)
