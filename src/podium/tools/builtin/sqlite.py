"""Questions to one SQLite file: its schema, and statements that read; writing only when it was allowed.

That a statement only reads is SQLite's word, twice: the file is opened read-only, and an authorizer refuses every
operation that is not reading, among them other files, extensions and settings. Time, rows and bytes are bounded.
"""

from __future__ import annotations

import base64
import contextlib
import os
import sqlite3
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from podium.core.errors import ConfigurationError, NotDone, ToolError, ToolUnavailable
from podium.ports import ToolContext
from podium.tools.function import FunctionTool, tool

from . import sqlite_text

MOST_ROWS: Final = 500
MOST_BYTES: Final = 200_000
"""Of all values that one call gives back."""
LARGEST: Final = 10_000_000
"""Bytes of one value or statement inside SQLite."""
LONGEST_PATTERN: Final = 100
"""Bytes of a pattern of LIKE and GLOB, which take as many looks at each character."""
STEPS: Final = 2000
"""Instructions of SQLite's machine between two looks at the clock."""

_READING: Final = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_CHANGING: Final = frozenset(
    {
        sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE, sqlite3.SQLITE_TRANSACTION,
        sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_INDEX, sqlite3.SQLITE_CREATE_VIEW,
        sqlite3.SQLITE_DROP_TABLE, sqlite3.SQLITE_DROP_INDEX, sqlite3.SQLITE_DROP_VIEW,
        sqlite3.SQLITE_ALTER_TABLE, sqlite3.SQLITE_SAVEPOINT, sqlite3.SQLITE_REINDEX,
    }
)  # fmt: skip
_FORBIDDEN_FUNCTIONS: Final = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"})
Parameters = list[str | int | float | bool | None]


def sqlite_tools(
    path: str | os.PathLike[str], *, write: bool = False, timeout: float = 10.0, prefix: str = "sql"
) -> list[FunctionTool[..., Any]]:
    """Tools for one database: `sql_schema`, `sql_query`, and with `write` also `sql_execute`.

    `timeout` bounds each statement, in seconds. Raises ConfigurationError when there is no such file.
    """
    file = Path(path).absolute()
    if not file.is_file():
        raise ConfigurationError(f"there is no database {path}: create it first, or name another file")

    @tool(name=f"{prefix}_schema", effect="read", reach="none", tags="database", capabilities="database")
    def schema() -> dict[str, Any]:
        """See the tables and views of the database, with the statements that made them."""
        with _opened(file, timeout, None, write=False) as database:
            rows = database.execute(
                "SELECT name, type, sql FROM sqlite_schema WHERE type IN ('table', 'view') "
                "AND name NOT LIKE 'sqlite_%' ORDER BY name LIMIT ?",
                (MOST_ROWS,),
            ).fetchall()
        return {"tables": [{"name": name, "type": kind, "sql": text} for name, kind, text in rows]}

    @tool(name=f"{prefix}_query", effect="read", reach="none", tags="database", capabilities="database")
    def query(statement: str, ctx: ToolContext, parameters: Parameters | None = None) -> dict[str, Any]:
        """Ask the database a question. Only one statement that reads is allowed.

        Args:
            statement: a SELECT, with ? in place of values
            parameters: the values, in order
        """
        with _opened(file, timeout, ctx, write=False) as database:
            return _rows(database.execute(statement, parameters or []))

    if not write:
        return [schema, query]

    @tool(name=f"{prefix}_execute", effect="write", reach="local", tags="database", capabilities="database")
    def execute(statement: str, ctx: ToolContext, parameters: Parameters | None = None) -> dict[str, Any]:
        """Change the database with one statement, all of it or nothing.

        Args:
            statement: INSERT, UPDATE, DELETE or a change of the schema, with ? in place of values
            parameters: the values, in order
        """
        try:
            with _opened(file, timeout, ctx, write=True) as database:
                changed = database.execute(statement, parameters or []).rowcount
                database.commit()
        except ToolError as error:
            raise NotDone(str(error), retry=error.transient) from None  # nothing was committed
        return {"changed": max(changed, 0)}

    return [schema, query, execute]


@contextlib.contextmanager
def _opened(file: Path, timeout: float, ctx: ToolContext | None, *, write: bool) -> Generator[sqlite3.Connection]:
    """A connection for one statement. Raises ToolError for whatever SQLite refuses."""
    end = time.monotonic() + timeout
    mode = "rw" if write else "ro"
    try:
        # Quoted: a file's name must not become an option of the address.
        database = sqlite3.connect(f"file:{quote(str(file))}?mode={mode}", uri=True, timeout=min(timeout, 5.0))
    except sqlite3.Error as error:
        raise ToolError(f"the database cannot be opened: {error}") from None
    try:
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST)
        database.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 100_000)
        database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        database.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, LONGEST_PATTERN)
        database.text_factory = _text
        sqlite_text.define(database, LARGEST)
        if not write:
            database.execute("PRAGMA query_only = ON")
        database.set_authorizer(_authorizer(write=write))
        database.set_progress_handler(
            lambda: time.monotonic() > end or (ctx is not None and ctx.cancelled), STEPS
        )  # a true answer interrupts
        yield database
    except sqlite3.Warning as error:
        raise ToolError(f"one statement at a time: {error}") from None
    except (sqlite3.Error, ValueError, OverflowError) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise ToolUnavailable(f"SQLite: {error}") from None  # another program is writing
        if str(error) == "interrupted":
            raise ToolError(f"the statement took longer than {timeout:g} s: ask for less") from None
        if str(error) == "not authorized":
            what = "only reading and changing tables is allowed" if write else "only reading is allowed"
            raise ToolError(f"{what}: no other files, settings or extensions") from None
        raise ToolError(f"SQLite: {error}") from None
    finally:
        database.close()


def _authorizer(*, write: bool) -> Any:
    allowed = _READING | _CHANGING if write else _READING

    def judge(action: int, first: str | None, second: str | None, _database: str | None, _by: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION:
            return sqlite3.SQLITE_DENY if (second or "").lower() in _FORBIDDEN_FUNCTIONS else sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA:
            # Read through table-valued functions too: what describes the schema, and nothing that sets anything.
            return sqlite3.SQLITE_OK if (first or "").lower() in _DESCRIBING else sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY

    return judge


_DESCRIBING: Final = frozenset(
    {"table_info", "table_xinfo", "index_list", "index_info", "foreign_key_list", "table_list"}
)


def _rows(cursor: sqlite3.Cursor) -> dict[str, Any]:
    if cursor.description is None:
        raise ToolError("the statement asks nothing: write a SELECT")
    rows: list[list[Any]] = []
    size, more = 0, False
    for row in cursor:
        plain = [_plain(value) for value in row]
        size += sum(len(value) if isinstance(value, str) else 8 for value in plain)
        if len(rows) == MOST_ROWS or size > MOST_BYTES:
            more = True
            break
        rows.append(plain)
    return {"columns": [each[0] for each in cursor.description], "rows": rows, "more": more}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"base64:{base64.b64encode(value[:1000]).decode()}" + ("…" if len(value) > 1000 else "")
    if isinstance(value, float) and not abs(value) < float("inf"):
        return str(value)
    if isinstance(value, str):
        cut = value if len(value) <= 20_000 else f"{value[:20_000]}… {len(value) - 20_000} more characters"
        return cut.encode("utf-8", "replace").decode()
    return value
