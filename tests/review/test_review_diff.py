"""Reading diffs of any origin, writing them back, applying them."""

# ruff: noqa: E501 - diffs and source under test are read whole

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.core.errors import ConfigurationError
from podium.review.change import NO_NEWLINE, Change, FileChange, Hunk, Status
from podium.review.diff import parse
from podium.review.patch import listing, patched, render

GIT = """\
diff --git a/app.py b/app.py
index 1111111..2222222 100644
--- a/app.py
+++ b/app.py
@@ -1,3 +1,4 @@ def main():
 import os
-print("a")
+print("b")
+print("c")
 done()
"""


def only(text: str | bytes) -> FileChange:
    (file,) = parse(text).files
    return file


def test_a_git_diff_gives_file_hunk_and_line_numbers():
    file = only(GIT)
    assert (file.path, file.status, file.additions, file.deletions) == ("app.py", Status.MODIFIED, 2, 1)
    assert list(file.added()) == [(2, 'print("b")'), (3, 'print("c")')]
    assert list(file.hunks[0].removed()) == [(2, 'print("a")')]
    assert file.hunks[0].header == "def main():"


def test_a_removed_line_that_looks_like_a_header_stays_a_line():
    text = "--- a/x.sql\n+++ b/x.sql\n@@ -1,2 +1,2 @@\n--- old comment\n+++ new comment\n same\n"
    file = only(text)
    assert file.hunks[0].lines == ("--- old comment", "+++ new comment", " same")


def test_quoted_names_are_decoded():
    file = only('diff --git "a/caf\\303\\251 \\"x\\".txt" "b/caf\\303\\251 \\"x\\".txt"\nnew file mode 100644\n')
    assert (file.path, file.status) == ('café "x".txt', Status.ADDED)


def test_names_with_spaces_are_read_whole_without_a_hunk():
    file = only("diff --git a/my file b/c.txt b/my file b/c.txt\nold mode 100644\nnew mode 100755\n")
    assert (file.path, file.status) == ("my file b/c.txt", Status.MODE)


def test_diffs_without_prefixes_keep_the_whole_path():
    file = only("diff --git src/a.py src/a.py\n--- src/a.py\n+++ src/a.py\n@@ -1 +1 @@\n-a\n+b\n")
    assert file.path == "src/a.py"


def test_a_rename_without_a_change_is_a_rename():
    file = only("diff --git a/x y b/z\nsimilarity index 100%\nrename from x y\nrename to z\n")
    assert (file.path, file.old_path, file.status, file.similarity) == ("z", "x y", Status.RENAMED, 100)


def test_plain_patches_with_time_stamps_are_read():
    text = (
        "--- old/a.c\t2024-01-01 10:00:00.000 +0000\n+++ new/a.c\t2024-01-02 10:00:00.000 +0000\n@@ -1 +1 @@\n-a\n+b\n"
    )
    assert only("diff -ru old/a.c new/a.c\n" + text).path == "new/a.c"


def test_plain_patches_say_what_was_added_and_deleted():
    text = "--- /dev/null\n+++ b/new.txt\n@@ -0,0 +1 @@\n+x\n--- a/old.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    assert [(f.path, f.status) for f in parse(text).files] == [("new.txt", Status.ADDED), ("old.txt", Status.DELETED)]


def test_mail_around_a_patch_is_skipped_and_its_subject_is_the_title():
    mail = f"From abc Mon Sep 17\nFrom: A <a@example.org>\nSubject: [PATCH 1/2] =?UTF-8?q?caf=C3=A9?=\n open\n\nText\n---\n app.py | 3 +-\n\n{GIT}-- \n2.39.5\n"
    change = parse(mail)
    assert change.title == "café open"
    assert change.files == parse(GIT).files


def test_carriage_returns_of_the_file_stay_and_those_of_the_mailer_go():
    kept = only("--- a/w.txt\n+++ b/w.txt\n@@ -1 +1 @@\n-a\r\n+b\r\n")
    gone = only("--- a/w.txt\r\n+++ b/w.txt\r\n@@ -1 +1 @@\r\n-a\r\n+b\r\n")
    assert kept.hunks[0].lines == ("-a\r", "+b\r")
    assert gone.hunks[0].lines == ("-a", "+b")


def test_a_combined_diff_is_the_change_against_the_first_parent():
    text = "diff --cc a.txt\nindex 1,2..3\n--- a/a.txt\n+++ b/a.txt\n@@@ -1,2 -1,2 +1,3 @@@\n  same\n +theirs\n- mine\n -other\n++both\n"
    file = only(text)
    assert file.hunks[0].lines == (" same", " theirs", "-mine", "+both")


def test_submodules_are_known_by_their_mode_and_by_their_log_form():
    short = only(
        "diff --git a/lib b/lib\nindex aaa1111..bbb2222 160000\n--- a/lib\n+++ b/lib\n@@ -1 +1 @@\n"
        "-Subproject commit aaa1111\n+Subproject commit bbb2222\n"
    )
    log = only("Submodule lib aaa1111..bbb2222:\n  > a commit\n")
    assert short.status is log.status is Status.SUBMODULE
    assert short.hunks[0].lines == log.hunks[0].lines


def test_binary_files_are_marked():
    assert only("diff --git a/i.png b/i.png\nindex 1..2 100644\nBinary files a/i.png and b/i.png differ\n").binary
    assert only("Binary files a/i.png and b/i.png differ\n").binary


def test_a_link_that_became_a_file_is_one_change():
    text = (
        "diff --git a/x b/x\ndeleted file mode 120000\nindex 1..0\n--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-target\n"
        f"{NO_NEWLINE}\ndiff --git a/x b/x\nnew file mode 100644\nindex 0..2\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+text\n"
    )
    file = only(text)
    assert (file.status, file.additions, file.deletions) == (Status.TYPE_CHANGED, 1, 1)


def test_invalid_utf8_and_utf16_are_read():
    assert only(GIT.encode().replace(b'"b"', b'"\xff"')).hunks[0].lines[2] == '+print("\ufffd")'
    assert only(GIT.encode("utf-16")).path == "app.py"


def test_text_without_a_diff_is_refused_in_one_line_and_blank_text_is_no_change():
    with pytest.raises(ConfigurationError, match="no diff in this text"):
        parse("Just a letter.\n--- \n")
    assert parse(" \n").files == ()


def test_twenty_thousand_lines_are_read():
    body = "".join(f"+line {n}\n" for n in range(20_000))
    file = only(
        f"diff --git a/big.py b/big.py\nnew file mode 100644\n--- /dev/null\n+++ b/big.py\n@@ -0,0 +1,20000 @@\n{body}"
    )
    assert (file.additions, max(file.added_lines())) == (20_000, 20_000)


def test_a_listing_numbers_the_lines_of_the_new_version():
    assert '     2 +print("b")' in listing(only(GIT)).split("\n")
    assert '       -print("a")' in listing(only(GIT)).split("\n")


PIECES = st.sampled_from(
    ["diff --git ", "a/x b/x", "--- ", "+++ ", "@@ -1,9 +1,9 @@", "@@@ -1 -1 +1 @@@", "\n", "\r\n", '"', "\\303", "a/x", "b/x", " x", "+y", "-z",
     "\\ No newline", "rename from ", "rename to ", "old mode 160000", "index 1..2 160000", "Binary files a and b differ",
     "diff --cc ", "Submodule a 1234567..7654321:", "Subject: =?utf-8?q?", "similarity index ", "/dev/null", "\0", "é"]
)  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=5), max_size=60).map("".join))
def test_any_text_is_read_or_refused_clearly(text: str):
    try:
        change = parse(text)
    except ConfigurationError:
        return
    for file in change.files:
        assert file.path
        for hunk in file.hunks:
            assert sum(line[0] in " -" for line in hunk.lines) == hunk.old_lines
            assert sum(line[0] in " +" for line in hunk.lines) == hunk.new_lines


LINES = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=20)
NAMES = st.lists(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=8),
    min_size=1,
    max_size=3,
).map("/".join)


@st.composite
def hunks(draw: st.DrawFn, signs: str = " +-") -> tuple[Hunk, ...]:
    found: list[Hunk] = []
    old = new = 1
    for _ in range(draw(st.integers(1, 3))):
        lines = tuple(draw(st.lists(st.tuples(st.sampled_from(signs), LINES).map("".join), min_size=1, max_size=6)))
        gap = draw(st.integers(0, 5)) if " " in signs else 0
        old, new = old + gap, new + gap
        before, after = sum(line[0] in " -" for line in lines), sum(line[0] in " +" for line in lines)
        header = draw(st.sampled_from(["", "def f():"]))
        found.append(Hunk(old, before, new, after, header, lines))
        old, new = old + before, new + after
    return tuple(found)


def counted(file: FileChange) -> FileChange:
    signs = [line[0] for hunk in file.hunks for line in hunk.lines]
    return FileChange(
        file.path, file.old_path, file.status, file.binary, signs.count("+"), signs.count("-"), file.hunks, file.old_mode,
        file.new_mode, file.similarity,
    )  # fmt: skip


@st.composite
def file_changes(draw: st.DrawFn) -> FileChange:
    path, other = draw(NAMES), draw(NAMES)
    status = draw(
        st.sampled_from([Status.ADDED, Status.MODIFIED, Status.DELETED, Status.RENAMED, Status.COPIED, Status.MODE])
    )
    match status:
        case Status.ADDED:
            file = FileChange(path, "", status, hunks=draw(hunks("+"))[:1], new_mode="100644")
        case Status.DELETED:
            file = FileChange(path, "", status, hunks=draw(hunks("-"))[:1], old_mode="100755")
        case Status.MODE:
            file = FileChange(path, "", status, old_mode="100644", new_mode="100755")
        case Status.MODIFIED:
            binary = draw(st.booleans())
            file = FileChange(path, "", status, binary, hunks=() if binary else draw(hunks()))
        case _:
            old = other if other != path else path + "x"
            file = FileChange(
                path, old, status, hunks=draw(st.just(()) | hunks()), similarity=draw(st.integers(50, 100))
            )
    return counted(file)


def distinct(files: list[FileChange]) -> tuple[FileChange, ...]:
    return tuple({file.path: file for file in files}.values())


@given(st.lists(file_changes(), max_size=4).map(distinct))
def test_a_rendered_change_reads_back_as_itself(files: tuple[FileChange, ...]):
    assert parse(render(Change(files=files))).files == files


@given(st.lists(LINES, max_size=12), st.lists(LINES, max_size=12), st.booleans(), st.booleans())
def test_a_patch_applied_gives_the_new_text(before: list[str], after: list[str], old_ends: bool, new_ends: bool):
    old = "".join(f"{line}\n" for line in before)[: None if old_ends else -1]
    new = "".join(f"{line}\n" for line in after)[: None if new_ends else -1]
    olds, news = old.split("\n"), new.split("\n")
    olds, news = (olds[:-1] if not olds[-1] else olds), (news[:-1] if not news[-1] else news)
    lines = [f"-{line}" for line in olds] + ([] if old.endswith("\n") or not old else [NO_NEWLINE])
    lines += [f"+{line}" for line in news] + ([] if new.endswith("\n") or not new else [NO_NEWLINE])
    file = FileChange("f", hunks=(Hunk(1 if olds else 0, len(olds), 1 if news else 0, len(news), "", tuple(lines)),))
    if old != new:
        assert patched(old, file) == new


def test_a_patch_that_does_not_fit_is_not_applied():
    assert patched("other\n", only(GIT)) is None
