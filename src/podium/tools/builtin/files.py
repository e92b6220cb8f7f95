"""Files below one folder: list, find, read, and (if allowed) write, edit and delete.

Paths are relative to the folder and no link is followed (`rooted`). Writing is whole or not at all. What is read comes
from outside, so its label is untrusted.
"""

from __future__ import annotations

import fnmatch
import os
import unicodedata
from typing import Any, Final

from podium.core.errors import NotDone, ToolError
from podium.tools.function import FunctionTool, tool

from .rooted import Root, lines_of

MOST_BYTES: Final = 1_000_000
"""Bytes of one file that is read or written."""
MOST_LINES: Final = 500
"""Lines that one call shows."""
MOST_FOUND: Final = 500
LONGEST_LINE: Final = 2000
_PROTECTED: Final = frozenset({".git", ".hg", ".svn"})
"""Folders whose files decide what programs do: never written."""


def file_tools(
    root: str | os.PathLike[str], *, write: bool = False, hidden: bool = False
) -> list[FunctionTool[..., Any]]:
    """Tools for the files below `root`: `list_files`, `find_in_files`, `read_file`, and with `write` also `write_file`,
    `edit_file` and `delete_file`.

    `hidden` shows files whose names begin with a dot. Files larger than 1 MB are refused. Raises ConfigurationError
    when `root` is no folder.
    """
    folder = Root(root)
    tools = _reading(folder, hidden=hidden)
    return [*tools, *_writing(folder)] if write else tools


def _reading(root: Root, *, hidden: bool) -> list[FunctionTool[..., Any]]:
    @tool(effect="read", reach="none", tags="files", capabilities="files")
    def list_files(folder: str = "", pattern: str = "*", limit: int = 200) -> dict[str, Any]:
        """List files below a folder.

        Args:
            folder: where to look, from the top folder; empty for all
            pattern: which names, such as `*.md`
            limit: how many at most
        """
        limit = max(1, min(limit, MOST_FOUND))
        found: list[dict[str, Any]] = []
        for entry in root.files(folder, hidden=hidden):
            if fnmatch.fnmatchcase(entry.path.rpartition("/")[2], pattern) or fnmatch.fnmatchcase(entry.path, pattern):
                if len(found) == limit:
                    return {"files": found, "more": True}
                found.append({"path": entry.path, "bytes": entry.size})
        return {"files": found, "more": False}

    @tool(effect="read", reach="none", tags="files", capabilities="files")
    def find_in_files(text: str, folder: str = "", pattern: str = "*", limit: int = 50) -> dict[str, Any]:
        """Find lines that contain a text, in the text files below a folder. Capitals do not matter.

        Args:
            text: what to look for, within one line
            folder: where to look; empty for all
            pattern: which names, such as `*.py`
            limit: how many lines at most
        """
        if not text.strip():
            raise ToolError("say what to look for")
        limit, wanted = max(1, min(limit, MOST_FOUND)), text.casefold()
        found: list[dict[str, Any]] = []
        for entry in root.files(folder, hidden=hidden):
            if entry.size > MOST_BYTES or not fnmatch.fnmatchcase(entry.path.rpartition("/")[2], pattern):
                continue
            for number, line in enumerate(_lines_there(root, entry.path), 1):
                if wanted in line.casefold():
                    if len(found) == limit:
                        return {"lines": found, "more": True}
                    found.append({"path": entry.path, "line": number, "text": line[:LONGEST_LINE]})
        return {"lines": found, "more": False}

    @tool(effect="read", reach="none", tags="files", capabilities="files")
    def read_file(path: str, start: int = 1, lines: int = 200) -> dict[str, Any]:
        """Read a text file.

        Args:
            path: the file, from the top folder
            start: the first line to read, from 1
            lines: how many lines at most
        """
        every = lines_of(_text(root, path))
        first = max(1, start)
        shown = every[first - 1 : first - 1 + max(1, min(lines, MOST_LINES))]
        cut = [line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}… (cut)" for line in shown]
        last = first - 1 + len(shown)
        return {"path": path, "start": first, "lines": len(every), "more": last < len(every), "text": "\n".join(cut)}

    return [list_files, find_in_files, read_file]


def _writing(root: Root) -> list[FunctionTool[..., Any]]:
    @tool(effect="idempotent", reach="local", tags="files", capabilities="files", output_label="trusted")
    def write_file(path: str, text: str) -> dict[str, Any]:
        """Write a text file, whole: what was there before is replaced.

        Args:
            path: the file, from the top folder; folders on the way are made
            text: all of its new text
        """
        data = _writable(path, text)
        return {"path": path, "bytes": len(data), "created": root.write(path, data)}

    def _edited(_key: str, args: dict[str, Any]) -> dict[str, Any]:
        # The file itself tells: an edit that happened left the new text where the old one was.
        text = _text(root, args["path"])
        if args["old"] not in text and args["new"] in text:
            return {"path": args["path"], "replaced": 1}
        raise NotDone(f"{args['path']} still holds the old text")

    @tool(effect="write", reach="local", tags="files", capabilities="files", output_label="trusted", reconcile=_edited)
    def edit_file(path: str, old: str, new: str) -> dict[str, Any]:
        """Replace a text in a file; it must occur exactly once.

        Args:
            path: the file, from the top folder
            old: the text to replace, with enough around it to be the only one
            new: what to put in its place
        """
        text = _text(root, path)
        count = text.count(old) if old else 0
        if count != 1:
            raise NotDone(f"the text occurs {count} times in {path}: give one that occurs exactly once", retry=False)
        try:
            root.write(path, _writable(path, text.replace(old, new)))
        except ToolError as error:
            raise NotDone(str(error), retry=False) from None
        return {"path": path, "replaced": 1}

    @tool(effect="idempotent", reach="destructive", tags="files", capabilities="files", output_label="trusted")
    def delete_file(path: str) -> dict[str, Any]:
        """Delete a file.

        Args:
            path: the file, from the top folder
        """
        _writable(path, "")
        return {"path": path, "deleted": root.delete(path)}

    return [write_file, edit_file, delete_file]


def _lines_there(root: Root, path: str) -> list[str]:
    """The lines of a text file; none when it is no text, went away meanwhile, or may not be read."""
    try:
        return lines_of(_text(root, path))
    except ToolError:
        return []


def _text(root: Root, path: str) -> str:
    data = root.read(path, MOST_BYTES)
    if b"\0" in data[:8000]:
        raise ToolError(f"{path} is not text")
    return data.decode("utf-8", "replace")


def _folded(name: str) -> str:
    """A name as file systems may read it that ignore case, width, and characters that are not seen (HFS+, NTFS)."""
    seen = "".join(each for each in unicodedata.normalize("NFKC", name) if unicodedata.category(each) != "Cf")
    return seen.casefold().rstrip(". ")


def _writable(path: str, text: str) -> bytes:
    if not _PROTECTED.isdisjoint(map(_folded, path.split("/"))):
        raise ToolError(f"{path} belongs to version control, whose files decide what programs do: it is not written")
    data = text.encode("utf-8", "replace")
    if len(data) > MOST_BYTES:
        raise ToolError(f"the text is larger than {MOST_BYTES} bytes")
    return data
