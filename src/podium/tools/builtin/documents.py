"""Passages of the documents below a folder, found by their words, with file and line to cite.

SQLite's FTS5 ranks by BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009). The index lives in
memory or in a file of its own and follows the folder: what changed since the last question is read again. It knows
no meaning of words; for that an embedding is needed.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import sqlite3
import threading
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from podium.core.errors import ConfigurationError, ToolError
from podium.tools.function import FunctionTool, tool

from .rooted import Entry, Root, lines_of

PATTERNS: Final = ("*.md", "*.txt", "*.rst", "*.html", "*.csv", "*.json", "*.toml", "*.yaml", "*.yml", "*.py")
MOST_BYTES: Final = 2_000_000
"""Larger files are left out."""
MOST_FILES: Final = 20_000
LINES: Final = 30
"""Lines of a passage. Passages overlap by a fifth, so that what matters is not cut in two."""
LONGEST: Final = 4000
"""Characters of a passage that are shown."""
_WORD: Final = re.compile(r"\w+")
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS files (id INTEGER PRIMARY KEY, path TEXT UNIQUE, size INT, modified INT);
CREATE TABLE IF NOT EXISTS passages (id INTEGER PRIMARY KEY, file INT, first INT, last INT);
CREATE INDEX IF NOT EXISTS passages_file ON passages (file);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (text, tokenize = 'porter unicode61 remove_diacritics 2');
"""


class Passage(msgspec.Struct, frozen=True):
    """A passage that was found. `source` is how to cite it: `notes/tents.md:12-41`."""

    source: str
    file: str
    first: int
    last: int
    text: str
    score: float
    """Higher fits better; only to be compared within one answer."""


class Documents:
    """The documents below `folder` whose names fit one of `patterns`, as an index to be asked.

    `index` is a file to keep the index in; without one it is in memory. Safe to be used from several threads. Raises
    ConfigurationError when there is no such folder, or when this Python's SQLite has no FTS5.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        patterns: Sequence[str] = PATTERNS,
        index: str | os.PathLike[str] | None = None,
    ) -> None:
        self._root = Root(folder)
        self._patterns = tuple(patterns)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(":memory:" if index is None else os.fspath(index), check_same_thread=False)
        try:
            self._db.executescript(_TABLES)
        except sqlite3.Error as error:
            self._db.close()
            hint = "this Python's SQLite has no FTS5" if "fts5" in str(error) else f"the index cannot be used: {error}"
            raise ConfigurationError(f"{hint}: use another Python, or another index file") from None

    def close(self) -> None:
        """Let go of the index."""
        with self._lock:
            self._db.close()

    def refresh(self) -> int:
        """Read again what changed since the last time; how many files that were."""
        with self._lock:
            return self._refresh()

    def search(self, query: str, limit: int = 5) -> list[Passage]:
        """The passages that fit `query` best, at most `limit`. Any word may match. Raises ToolError without one."""
        # Quoted, so that nothing in it is an operator of FTS5.
        words = list(dict.fromkeys(_WORD.findall(query)))[:64]
        if not words:
            raise ToolError("the query has no words")
        asked = " OR ".join(f'"{word}"' for word in words)
        with self._lock:
            self._refresh()
            rows = self._db.execute(
                "SELECT f.path, p.first, p.last, w.text, -bm25(words) FROM words w JOIN passages p ON p.id = w.rowid "
                "JOIN files f ON f.id = p.file WHERE words MATCH ? ORDER BY bm25(words), f.path, p.first LIMIT ?",
                (asked, max(1, min(limit, 50)) * 3),
            ).fetchall()
        return _distinct([_passage(*row) for row in rows], limit)

    def _refresh(self) -> int:
        known = {
            path: (number, size, modified)
            for number, path, size, modified in self._db.execute("SELECT id, path, size, modified FROM files")
        }
        changed = 0
        with self._db:
            for count, entry in enumerate(self._root.files()):
                if count >= MOST_FILES:
                    break
                if entry.size > MOST_BYTES or not self._fits(entry.path) or not _is_text(entry.path):
                    continue
                before = known.pop(entry.path, None)
                if before is not None and before[1:] == (entry.size, entry.modified):
                    continue
                changed += 1
                if before is not None:
                    self._forget(before[0])
                self._add(entry)
            for number, _, _ in known.values():
                changed += 1
                self._forget(number)
        return changed

    def _fits(self, path: str) -> bool:
        name = path.rpartition("/")[2]
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self._patterns)

    def _forget(self, number: int) -> None:
        self._db.execute("DELETE FROM words WHERE rowid IN (SELECT id FROM passages WHERE file = ?)", (number,))
        self._db.execute("DELETE FROM passages WHERE file = ?", (number,))
        self._db.execute("DELETE FROM files WHERE id = ?", (number,))

    def _add(self, entry: Entry) -> None:
        data = b""
        with contextlib.suppress(ToolError):  # it went away, or is no plain file any more
            data = self._root.read(entry.path, MOST_BYTES)
        if b"\0" in data[:8000]:
            data = b""
        row = (entry.path, entry.size, entry.modified)
        file = self._db.execute("INSERT INTO files (path, size, modified) VALUES (?, ?, ?)", row).lastrowid
        lines = lines_of(data.decode("utf-8", "replace"))
        step = LINES - LINES // 5
        for start in range(0, len(lines), step):
            part = lines[start : start + LINES]
            text = "\n".join(part)
            if text.strip():
                at = (file, start + 1, start + len(part))
                number = self._db.execute("INSERT INTO passages (file, first, last) VALUES (?, ?, ?)", at).lastrowid
                self._db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (number, text))
            if start + LINES >= len(lines):
                break


def document_tools(documents: Documents | str | os.PathLike[str]) -> list[FunctionTool[..., Any]]:
    """The tool `search_documents(query, limit)` over `documents`, or over the documents below a folder."""
    found = documents if isinstance(documents, Documents) else Documents(documents)

    @tool(effect="read", reach="none", tags="documents", capabilities="retrieval")
    def search_documents(query: str, limit: int = 5) -> list[dict[str, Any]]:
        """Find passages in the documents by their words. Cite what you use by its `source`.

        Args:
            query: the words to look for
            limit: how many passages at most
        """
        return [msgspec.to_builtins(each) for each in found.search(query, min(limit, 20))]

    return [search_documents]


def _is_text(name: str) -> bool:
    """Whether a file's name can be written, and so cited."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _passage(path: str, first: int, last: int, text: str, score: float) -> Passage:
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return Passage(f"{path}:{first}-{last}", path, first, last, cut, round(score, 4))


def _distinct(passages: list[Passage], limit: int) -> list[Passage]:
    """The best, without those that mostly repeat a better one of the same file."""
    kept: list[Passage] = []
    for each in passages:
        if not any(each.file == other.file and abs(each.first - other.first) < LINES for other in kept):
            kept.append(each)
    return kept[: max(1, limit)]
