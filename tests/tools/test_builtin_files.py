"""The file tools work below their folder and nowhere else; what they write is there whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podium.core.errors import ConfigurationError, NotDone, ToolError
from podium.ports import ToolContext
from podium.tools.builtin import file_tools
from podium.tools.builtin.rooted import Root

Call = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("outside\n")
    root = tmp_path / "root"
    (root / "notes").mkdir(parents=True)
    (root / "notes" / "tents.md").write_text("# Tents\nThe Arctic tent is red.\nIt weighs 3 kg.\n")
    (root / "todo.txt").write_text("buy tents\n")
    (root / ".env").write_text("KEY=1\n")
    (root / "picture.png").write_bytes(b"\x89PNG\0\0")
    return root


def caller(root: Path, *, write: bool = True, hidden: bool = False) -> Call:
    tools = {each.name: each for each in file_tools(root, write=write, hidden=hidden)}

    async def call(name: str, **args: Any) -> Any:
        tool = tools[name]
        return await tool.invoke(tool.resolve(args), ToolContext(run_id="r", key="k"))

    return call


async def test_files_are_listed_found_and_read(folder: Path) -> None:
    call = caller(folder)
    listed = await call("list_files")
    assert [each["path"] for each in listed["files"]] == ["picture.png", "todo.txt", "notes/tents.md"]
    found = await call("find_in_files", text="TENT", pattern="*.md")
    assert [(each["path"], each["line"]) for each in found["lines"]] == [("notes/tents.md", 1), ("notes/tents.md", 2)]
    assert await call("read_file", path="notes/tents.md", start=2, lines=1) == {
        "path": "notes/tents.md",
        "start": 2,
        "lines": 3,
        "more": True,
        "text": "The Arctic tent is red.",
    }


async def test_a_file_is_written_whole_with_the_folders_on_the_way(folder: Path) -> None:
    call = caller(folder)
    assert (await call("write_file", path="new/deep/a.txt", text="één"))["created"]
    assert (folder / "new/deep/a.txt").read_text() == "één"
    (folder / "new/deep/a.txt").chmod(0o600)
    assert not (await call("write_file", path="new/deep/a.txt", text="two"))["created"]
    assert stat.S_IMODE((folder / "new/deep/a.txt").stat().st_mode) == 0o600, "permissions are kept"
    assert [each.name for each in (folder / "new/deep").iterdir()] == ["a.txt"], "no draft stays behind"


async def test_an_edit_replaces_a_text_that_occurs_once(folder: Path) -> None:
    call = caller(folder)
    await call("edit_file", path="notes/tents.md", old="is red", new="is blue")
    assert "is blue" in (folder / "notes/tents.md").read_text()
    with pytest.raises(NotDone, match="occurs 0 times"):
        await call("edit_file", path="notes/tents.md", old="is red", new="is green")
    with pytest.raises(NotDone, match="occurs 2 times"):
        await call("edit_file", path="notes/tents.md", old="ent", new="x")


async def test_an_edit_whose_outcome_is_unknown_is_settled_by_looking(folder: Path) -> None:
    edit = next(each for each in file_tools(folder, write=True) if each.name == "edit_file")
    args = {"path": "todo.txt", "old": "tents", "new": "stoves"}
    with pytest.raises(NotDone):
        await edit.settle("k", args)
    await edit.invoke(args, ToolContext(run_id="r", key="k"))
    assert await edit.settle("k", args) == {"path": "todo.txt", "replaced": 1}


async def test_without_write_there_are_no_tools_that_write(folder: Path) -> None:
    assert [each.name for each in file_tools(folder)] == ["list_files", "find_in_files", "read_file"]
    assert all(each.effect == "read" for each in file_tools(folder))


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.txt", "notes/../../secret.txt", "", ".", "a\0b", "x/" * 80])
async def test_no_path_leads_out(folder: Path, path: str) -> None:
    call = caller(folder)
    for name, more in (("read_file", {}), ("write_file", {"text": "x"}), ("delete_file", {})):
        with pytest.raises(ToolError):
            await call(name, path=path, **more)


async def test_links_are_not_followed_to_read_to_write_or_to_list(folder: Path) -> None:
    (folder / "link.txt").symlink_to(folder.parent / "secret.txt")
    (folder / "up").symlink_to(folder.parent)
    (folder / "inner").symlink_to(folder / "notes")
    call = caller(folder)
    for path in ("link.txt", "up/secret.txt", "inner/tents.md"):
        with pytest.raises(ToolError, match="link"):
            await call("read_file", path=path)
    for path in ("link.txt", "up/new.txt"):
        with pytest.raises(ToolError):
            await call("write_file", path=path, text="overwritten")
    with pytest.raises(ToolError):
        await call("delete_file", path="link.txt")
    assert (folder.parent / "secret.txt").read_text() == "outside\n"
    assert {each.name for each in folder.parent.iterdir()} == {"root", "secret.txt"}
    listed = await call("list_files")
    assert not any("link" in each["path"] or "up/" in each["path"] for each in listed["files"])


async def test_a_pipe_and_a_device_are_no_files(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    call = caller(folder)
    with pytest.raises(ToolError, match="not a plain file"):
        await call("read_file", path="pipe")
    with pytest.raises(ToolError, match="not a plain file"):
        await call("write_file", path="pipe", text="x")


async def test_version_control_is_not_written_and_hidden_files_are_not_listed(folder: Path) -> None:
    (folder / ".git").mkdir()
    call = caller(folder)
    with pytest.raises(ToolError, match="version control"):
        await call("write_file", path=".git/hooks/pre-commit", text="#!/bin/sh")
    assert ".env" not in str(await call("list_files"))
    assert ".env" in str(await caller(folder, hidden=True)("list_files"))


@pytest.mark.parametrize("name", [".GIT", ".gi\u200ct", ".git\u200b", ".git ", ".git.", "\uff0egit", ".hg"])
async def test_no_spelling_that_a_file_system_may_take_for_it_is_written_either(folder: Path, name: str) -> None:
    with pytest.raises(ToolError, match="belongs to version control"):
        await caller(folder)("write_file", path=f"sub/{name}/config", text="x")


async def test_a_file_that_goes_away_does_not_end_a_search(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "a-first.md").write_text("tent")
    read = Root.read

    def vanishing(self: Root, path: str, most: int) -> bytes:
        (folder / "a-first.md").unlink(missing_ok=True)
        return read(self, path, most)

    monkeypatch.setattr(Root, "read", vanishing)
    (folder / "b-second.md").write_text("a tent")
    found = await caller(folder)("find_in_files", text="a tent")
    assert [each["path"] for each in found["lines"]] == ["b-second.md"]


async def test_binary_and_large_files_are_refused_in_words(folder: Path) -> None:
    call = caller(folder)
    (folder / "big.txt").write_bytes(b"a" * 1_000_001)
    with pytest.raises(ToolError, match="not text"):
        await call("read_file", path="picture.png")
    with pytest.raises(ToolError, match="larger than"):
        await call("read_file", path="big.txt")
    with pytest.raises(ToolError, match="larger than"):
        await call("write_file", path="new.txt", text="a" * 1_000_001)
    assert not (folder / "new.txt").exists()


def test_a_folder_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a folder"):
        file_tools(tmp_path / "none")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(path=st.text(st.sampled_from("ab./\\~ \0-é"), max_size=12), text=st.text(max_size=20))
async def test_whatever_is_written_is_read_back_or_refused_and_nothing_appears_outside(
    folder: Path, path: str, text: str
) -> None:
    call = caller(folder)
    try:
        await call("write_file", path=path, text=text)
    except ToolError:
        return
    finally:
        assert {each.name for each in folder.parent.iterdir()} == {"root", "secret.txt"}
    if "\0" not in text:
        shown = await call("read_file", path=path, lines=500)
        kept = text.encode("utf-8", "replace").decode().replace("\r\n", "\n")
        assert shown["text"] == kept.removesuffix("\n")
