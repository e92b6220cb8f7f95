"""Changes out of real repositories, hostile ones included."""

# ruff: noqa: E501 - diffs and source under test are read whole

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from reviewed_repository import Sandbox

from podium.core.errors import ConfigurationError
from podium.review.change import INDEX, Status
from podium.review.git import MAX_DIFF_BYTES, Repository


def test_the_last_commit_is_the_default(sandbox: Sandbox):
    first = sandbox.commit("First", **{"a.txt": "1\n"})
    second = sandbox.commit("Second\n\nWith a body.", **{"a.txt": "1\n2\n"})
    change = sandbox.repository.change()
    assert (change.title, change.description) == ("Second", "With a body.")
    assert (change.base, change.head) == (first, second)
    assert list(change.files[0].added()) == [(2, "2")]
    assert [commit.author for commit in change.commits] == ["Ada"]


def test_the_first_commit_is_compared_with_nothing(sandbox: Sandbox):
    sandbox.commit("First", **{"a.txt": "1\n", "dir/b.txt": "2\n"})
    change = sandbox.repository.change("HEAD")
    assert [(file.path, file.status, file.size) for file in change.files] == [
        ("a.txt", Status.ADDED, 2),
        ("dir/b.txt", Status.ADDED, 2),
    ]


def test_a_merge_is_compared_with_its_first_parent(sandbox: Sandbox):
    sandbox.commit(**{"a.txt": "1\n"})
    sandbox.git("switch", "-q", "-c", "side")
    sandbox.commit(**{"side.txt": "s\n"})
    sandbox.git("switch", "-q", "main")
    sandbox.commit(**{"main.txt": "m\n"})
    sandbox.git("merge", "-q", "--no-ff", "-m", "Merge side", "side")
    change = sandbox.repository.change()
    assert [file.path for file in change.files] == ["side.txt"]
    assert "first parent" in change.notes[0]


def test_ranges_compare_ends_or_since_they_parted(sandbox: Sandbox):
    sandbox.commit(**{"a.txt": "1\n"})
    sandbox.git("switch", "-q", "-c", "side")
    sandbox.commit("One", **{"one.txt": "1\n"})
    sandbox.commit("Two", **{"two.txt": "2\n"})
    sandbox.git("switch", "-q", "main")
    sandbox.commit(**{"main.txt": "m\n"})
    parted = sandbox.repository.change("main...side")
    ends = sandbox.repository.change("main..side")
    assert [file.path for file in parted.files] == ["one.txt", "two.txt"]
    assert parted.title == "main...side (2 commits)"
    assert parted.description.split("\n")[0].endswith("Two")
    assert [file.path for file in ends.files] == ["main.txt", "one.txt", "two.txt"]
    assert "read as undone" in ends.notes[0]
    assert sandbox.repository.change("side~1..side").title == "Two"


def test_an_empty_range_is_a_change_without_files(sandbox: Sandbox):
    sandbox.commit(**{"a.txt": "1\n"})
    change = sandbox.repository.change("HEAD..HEAD")
    assert (change.files, change.commits) == ((), ())


def test_renames_deletions_modes_and_links_are_told_apart(sandbox: Sandbox):
    sandbox.commit(**{"old.txt": "a\nb\nc\nd\n", "gone.txt": "x\n", "run.sh": "echo\n", "link": "text\n"})
    sandbox.git("mv", "old.txt", "new name.txt")
    (sandbox.root / "gone.txt").unlink()
    (sandbox.root / "run.sh").chmod(0o755)
    (sandbox.root / "link").unlink()
    (sandbox.root / "link").symlink_to("/etc/passwd")
    sandbox.commit()
    files = {file.path: file for file in sandbox.repository.change().files}
    assert {path: file.status for path, file in files.items()} == {
        "gone.txt": Status.DELETED,
        "link": Status.TYPE_CHANGED,
        "new name.txt": Status.RENAMED,
        "run.sh": Status.MODE,
    }
    assert files["new name.txt"].old_path == "old.txt"
    assert sandbox.repository.file_at("link") == "/etc/passwd"


def test_a_submodule_that_moves_is_a_submodule(sandbox: Sandbox, new_sandbox: Callable[[str], Sandbox]):
    inner = new_sandbox("inner")
    inner.commit(**{"i.txt": "1\n"})
    sandbox.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner.root), "lib")
    sandbox.commit("Add")
    added = {file.path: file.status for file in sandbox.repository.change().files}
    moved_to = inner.commit(**{"i.txt": "2\n"})
    subprocess.run(["git", "pull", "-q"], cwd=sandbox.root / "lib", check=True)
    sandbox.commit("Move")
    (moved,) = sandbox.repository.change().files
    assert added == {".gitmodules": Status.ADDED, "lib": Status.SUBMODULE}
    assert (moved.status, moved.hunks[0].lines[1]) == (Status.SUBMODULE, f"+Subproject commit {moved_to}")
    assert sandbox.repository.file_at("lib") is None


def test_staged_changes_are_reviewed_before_and_after_the_first_commit(sandbox: Sandbox):
    sandbox.write("a.txt", "1\n")
    sandbox.git("add", "a.txt")
    unborn = sandbox.repository.change(staged=True)
    sandbox.commit()
    sandbox.write("a.txt", "staged\n")
    sandbox.git("add", "a.txt")
    sandbox.write("a.txt", "unstaged\n")
    change = sandbox.repository.change(staged=True)
    assert [file.status for file in unborn.files] == [Status.ADDED]
    assert [text for _, text in change.files[0].added()] == ["staged"]
    assert change.head == INDEX
    assert sandbox.repository.file_at("a.txt", INDEX) == "staged\n"


def test_names_in_any_script_and_with_odd_characters_are_found_again(sandbox: Sandbox):
    names = ["dir with space/f.txt", 'quo"te.txt', "tab\there.txt", "été/ñ.txt", "-dash.txt", ":colon.txt", "*.txt"]
    sandbox.commit(**{name: f"{name}\n" for name in names})
    change = sandbox.repository.change()
    assert sorted(file.path for file in change.files) == sorted(names)
    for name in names:
        assert sandbox.repository.file_at(name, change.head) == f"{name}\n"
        assert len(sandbox.repository.history(name)) == 1


def test_binary_files_have_a_size_and_no_text(sandbox: Sandbox):
    sandbox.commit(**{"i.bin": "\0\1\2" * 100})
    (file,) = sandbox.repository.change().files
    assert (file.binary, file.size) == (True, 300)
    assert sandbox.repository.file_at("i.bin") is None


def test_a_file_is_read_at_its_revision_within_bounds(sandbox: Sandbox):
    first = sandbox.commit(**{"a.txt": "1\n"})
    sandbox.commit(**{"a.txt": "22\n"})
    repository = sandbox.repository
    assert repository.file_at("a.txt", first) == "1\n"
    assert repository.file_at("./a.txt", "HEAD~1") == "1\n"
    assert repository.file_at("a.txt", max_bytes=2) is None
    assert repository.file_at("missing.txt") is None


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", "a\0b", "."])
def test_paths_that_lead_outside_are_refused(sandbox: Sandbox, path: str):
    sandbox.commit(**{"a.txt": "1\n"})
    with pytest.raises(ConfigurationError, match="not a path inside"):
        sandbox.repository.file_at(path)


@pytest.mark.parametrize(
    "revision", ["-h", "--output=pwned", "--all", "-", "HEAD..--output=pwned", "--output=pwned..HEAD"]
)
def test_a_revision_cannot_become_an_option(sandbox: Sandbox, revision: str):
    sandbox.commit(**{"a.txt": "1\n"})
    with pytest.raises(ConfigurationError, match="not a revision"):
        sandbox.repository.change(revision)
    assert not (sandbox.root / "pwned").exists()


@pytest.mark.parametrize(("revision", "said"), [("nope", "unknown revision 'nope'"), ("a..b..c", "not a (range|revision)|unknown"), ("x\x1b[31m", "unknown revision 'x.\\[31m'")])  # fmt: skip
def test_an_unknown_revision_is_said_in_one_line(sandbox: Sandbox, revision: str, said: str):
    sandbox.commit(**{"a.txt": "1\n"})
    with pytest.raises(ConfigurationError, match=said) as caught:
        sandbox.repository.change(revision)
    assert "\n" not in str(caught.value)


def test_a_repository_without_commits_says_what_to_do(sandbox: Sandbox):
    with pytest.raises(ConfigurationError, match=r"no commit yet.*--staged"):
        sandbox.repository.change()


def test_outside_of_a_repository_one_line_says_so(tmp_path: Path):
    with pytest.raises(
        ConfigurationError, match="not inside a git repository: cd into one, or review a patch"
    ) as caught:
        Repository.discover(tmp_path)
    assert "\n" not in str(caught.value)


def test_without_git_one_line_says_so(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="git is not installed"):
        Repository.discover(sandbox.root)


def test_the_repository_is_found_from_below_and_bare(sandbox: Sandbox, tmp_path: Path):
    sandbox.commit("Only", **{"deep/er/a.txt": "1\n"})
    sandbox.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    below = Repository.discover(sandbox.root / "deep" / "er")
    assert below.root.samefile(sandbox.root)
    assert below.change().files[0].path == "deep/er/a.txt"
    assert Repository.discover(tmp_path / "bare.git").change().title == "Only"


def test_a_shallow_clone_says_how_to_get_the_parent(sandbox: Sandbox, tmp_path: Path):
    sandbox.commit(**{"a.txt": "1\n"})
    sandbox.commit(**{"a.txt": "2\n"})
    sandbox.git("clone", "-q", "--depth=1", f"file://{sandbox.root}", str(tmp_path / "shallow"))
    with pytest.raises(ConfigurationError, match="shallow: git fetch --deepen=1"):
        Repository.discover(tmp_path / "shallow").change()


def test_nothing_that_a_hostile_repository_configures_is_run(sandbox: Sandbox, tmp_path: Path):
    sandbox.commit(**{"a.evil": "1\n", ".gitattributes": "*.evil diff=evil filter=evil\n"})
    mark = tmp_path / "ran"
    script = tmp_path / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch {mark}\ncat\n")
    script.chmod(0o755)
    sandbox.commit(**{"a.evil": "2\n"})
    sandbox.write("a.evil", "3\n")
    sandbox.git("add", "a.evil")
    names = (
        "diff.external", "diff.evil.command", "diff.evil.textconv", "core.fsmonitor", "core.pager", "pager.log", "pager.diff",
        "gpg.program", "filter.evil.smudge", "filter.evil.clean", "core.sshCommand", "alias.diff-tree",
    )  # fmt: skip
    for name in names:
        sandbox.git("config", name, str(script))
    sandbox.git("config", "log.showSignature", "true")
    hooks = sandbox.root / ".git" / "hooks"
    for hook in ("post-index-change", "reference-transaction", "post-checkout"):
        (hooks / hook).write_text(script.read_text())
        (hooks / hook).chmod(0o755)
    repository = sandbox.repository
    assert [text for _, text in repository.change().files[0].added()] == ["2"]
    assert [text for _, text in repository.change(staged=True).files[0].added()] == ["3"]
    assert repository.file_at("a.evil") == "2\n"
    assert repository.history("a.evil")
    assert repository.search("2")
    assert repository.files(INDEX)
    assert not mark.exists()


def test_settings_of_the_user_do_not_change_what_is_read(sandbox: Sandbox):
    sandbox.commit(**{"a.txt": "1\n"})
    sandbox.commit(**{"a.txt": "2\n"})
    plain = sandbox.repository.change()
    for setting in (
        "diff.noprefix=true",
        "color.ui=always",
        "diff.context=0",
        "diff.mnemonicPrefix=true",
        "core.abbrev=4",
    ):
        sandbox.git("config", *setting.split("="))
    assert sandbox.repository.change() == plain


def test_history_follows_renames_and_search_finds_lines(sandbox: Sandbox):
    sandbox.commit("Born", **{"old.py": "def f():\n    return -e\n"})
    sandbox.git("mv", "old.py", "new.py")
    sandbox.commit("Moved")
    repository = sandbox.repository
    assert [commit.subject for commit in repository.history("new.py")] == ["Moved", "Born"]
    assert [(m.path, m.line, m.text) for m in repository.search("-e")] == [("new.py", 2, "    return -e")]
    assert [m.path for m in repository.search("return", revision=INDEX)] == ["new.py"]
    assert repository.search("absent") == []
    assert repository.has("HEAD~1")
    assert not repository.has("0" * 40)


def test_a_diff_beyond_the_bound_names_what_was_not_read(sandbox: Sandbox):
    line = "x" * 99 + "\n"
    big = line * (MAX_DIFF_BYTES // 100 + 1)
    sandbox.commit(**{"a.txt": "1\n", "b.txt": big, "c.txt": "3\n"})
    change = sandbox.repository.change()
    assert [file.path for file in change.files] == ["a.txt"]
    assert [left.path for left in change.omitted.files] == ["b.txt", "c.txt"]


def test_a_diff_of_twenty_thousand_lines_is_read_whole(sandbox: Sandbox):
    sandbox.commit(**{"big.py": "".join(f"x{n} = {n}\n" for n in range(20_000))})
    change = sandbox.repository.change()
    assert (change.additions, change.omitted.files) == (20_000, ())
