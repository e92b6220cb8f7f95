"""Questions to a database and to a folder of documents."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from podium.core.errors import ConfigurationError, NotDone, ToolError
from podium.ports import ToolContext
from podium.tools.builtin import Documents, document_tools, sqlite_tools


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop's data?mode=rwc.db"
    with sqlite3.connect(path) as db:
        db.executescript(
            "CREATE TABLE tents (name TEXT, cents INT, photo BLOB);"
            "INSERT INTO tents VALUES ('Arctic', 39900, x'00ff'), ('Meadow', 9900, NULL);"
            "CREATE VIEW cheap AS SELECT name FROM tents WHERE cents < 10000;"
        )
    db.close()
    return path


def content(database: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in database.parent.iterdir()}


async def ask(tools: list[Any], name: str, **args: Any) -> Any:
    tool = next(each for each in tools if each.name == name)
    return await tool.invoke(tool.resolve(args), ToolContext(run_id="r", key="k"))


async def test_the_schema_and_the_rows_are_told(database: Path) -> None:
    tools = sqlite_tools(database)
    assert [each["name"] for each in (await ask(tools, "sql_schema"))["tables"]] == ["cheap", "tents"]
    found = await ask(
        tools, "sql_query", statement="SELECT name, cents, photo FROM tents WHERE cents > ?", parameters=[10000]
    )
    assert found == {"columns": ["name", "cents", "photo"], "rows": [["Arctic", 39900, "base64:AP8="]], "more": False}


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM tents", "INSERT INTO tents VALUES ('x', 1, NULL)", "DROP TABLE tents", "CREATE TABLE x (a)",
        "ATTACH DATABASE '/tmp/other.db' AS other", "PRAGMA writable_schema = 1", "PRAGMA query_only = OFF", "VACUUM",
        "VACUUM INTO '/tmp/copy.db'", "SELECT load_extension('x')", "WITH x AS (SELECT 1) DELETE FROM tents",
        "SELECT 1; DELETE FROM tents", "REPLACE INTO tents VALUES ('x', 1, NULL)", "BEGIN", "CREATE TEMP TABLE t (a)",
        "SELECT * FROM pragma_database_list", "not sql", "",
    ],
)  # fmt: skip
async def test_a_question_changes_nothing_and_opens_nothing(database: Path, statement: str) -> None:
    before = content(database)
    with pytest.raises(ToolError):
        await ask(sqlite_tools(database), "sql_query", statement=statement)
    assert content(database) == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.lists(
        st.sampled_from(
            ["SELECT", "DELETE FROM tents", "UPDATE tents SET cents=0", ";", "(", ")", "*", "FROM tents", "--", "'"]
        ),
        max_size=6,
    )
)
async def test_no_statement_that_reads_changes_the_file(database: Path, words: list[str]) -> None:
    before = content(database)
    with contextlib.suppress(ToolError):
        await ask(sqlite_tools(database), "sql_query", statement=" ".join(words))
    assert content(database) == before


async def test_a_statement_that_takes_too_long_is_stopped(database: Path) -> None:
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(ToolError, match="longer than"):
        await ask(sqlite_tools(database, timeout=0.2), "sql_query", statement=endless)


LARGE = "replace(hex(zeroblob(4000000)), '0', 'a')"


@pytest.mark.parametrize(
    "asked",
    [
        f"instr({LARGE}, substr({LARGE}, 1, 3000000) || 'b')",
        f"length(replace({LARGE}, substr({LARGE}, 1, 3000000) || 'b', 'c')) = 8000000",
        f"{LARGE} LIKE '%{'a' * 90}b'",
        f"{LARGE} GLOB '{'*[a-z]' * 15}b'",
        f"length(trim({LARGE}, 'bcda'))",
    ],
)
async def test_one_text_is_looked_for_in_another_without_keeping_the_clock_waiting(database: Path, asked: str) -> None:
    # SQLite's own functions take the product of both sizes, hours here, and cannot be interrupted.
    assert (await ask(sqlite_tools(database), "sql_query", statement=f"SELECT {asked}"))["rows"] in ([[0]], [[1]])


async def test_patterns_that_take_long_are_refused(database: Path) -> None:
    with pytest.raises(ToolError, match="pattern too complex"):
        await ask(sqlite_tools(database), "sql_query", statement=f"SELECT {LARGE} LIKE '%{'a' * 5000}b'")


TEXTS = [
    *(("abcab", "ab", "x"), ("", "", ""), ("a", "", "b"), ("äbä", "ä", "ö"), (None, "a", "b"), ("a", None, "b")),
    *((b"ab", b"b", b"c"), (b"ab", "b", "c"), (123, 2, 9)),
]


@pytest.mark.parametrize("name", ["instr", "replace", "trim", "ltrim", "rtrim"])
@pytest.mark.parametrize("values", TEXTS)
async def test_those_functions_give_what_sqlite_s_own_give(database: Path, name: str, values: tuple[Any, ...]) -> None:
    given = values if name == "replace" else values[:2]
    statement = f"SELECT {name}({', '.join(map(_literal, given))})"
    with sqlite3.connect(":memory:") as own:
        expected = own.execute(statement).fetchone()[0]
    assert (await ask(sqlite_tools(database), "sql_query", statement=statement))["rows"] == [[expected]]


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    return f"x'{value.hex()}'" if isinstance(value, bytes) else repr(value)


async def test_text_that_is_not_utf8_is_shown_with_replacements(database: Path) -> None:
    rows = (await ask(sqlite_tools(database), "sql_query", statement="SELECT CAST(x'ff41' AS TEXT)"))["rows"]
    assert rows == [["\ufffdA"]]


async def test_many_and_large_rows_are_cut_and_said_to_be(database: Path) -> None:
    many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000) SELECT i FROM n"
    found = await ask(sqlite_tools(database), "sql_query", statement=many)
    assert (len(found["rows"]), found["more"]) == (500, True)
    with pytest.raises(ToolError, match="too big"):
        await ask(sqlite_tools(database), "sql_query", statement="SELECT randomblob(1000000000)")


async def test_writing_is_a_tool_of_its_own_all_or_nothing(database: Path) -> None:
    tools = sqlite_tools(database, write=True)
    assert next(each for each in tools if each.name == "sql_execute").effect == "write"
    done = await ask(tools, "sql_execute", statement="UPDATE tents SET cents = cents + ?", parameters=[1])
    assert done == {"changed": 2}
    for statement in ("ATTACH DATABASE 'x.db' AS x", "PRAGMA journal_mode = OFF", "INSERT INTO none VALUES (1)"):
        with pytest.raises(NotDone) as failed:
            await ask(tools, "sql_execute", statement=statement)
        assert not failed.value.worth_retrying
    found = await ask(tools, "sql_query", statement="SELECT cents FROM tents ORDER BY cents")
    assert found["rows"] == [[9901], [39901]]


async def test_a_database_that_another_program_writes_to_may_be_asked_again(database: Path) -> None:
    tools = sqlite_tools(database, write=True, timeout=0.05)
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(NotDone, match="locked") as failed:
            await ask(tools, "sql_execute", statement="UPDATE tents SET cents = 0")
    assert failed.value.worth_retrying


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no database"):
        sqlite_tools(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------------------ documents


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tents.md").write_text("# Tents\n\n" + "filler line\n" * 60 + "The Arctic tent withstands storms.\n")
    (tmp_path / "stoves.md").write_text("Stoves burn gas. Never use a stove inside a tent.\n")
    (tmp_path / "photo.png").write_bytes(b"tent\0tent")
    return tmp_path


def test_a_passage_is_found_by_its_words_and_cited_with_its_lines(folder: Path) -> None:
    found = Documents(folder).search("Which tents withstand a storm?")
    assert found[0].file == "tents.md"
    assert found[0].first <= 63 <= found[0].last
    assert found[0].source == f"tents.md:{found[0].first}-{found[0].last}"
    assert "withstands storms" in found[0].text


def test_what_changed_in_the_folder_is_read_again(folder: Path) -> None:
    documents = Documents(folder)
    assert not documents.search("lantern")
    (folder / "lamps.md").write_text("A lantern for the night.\n")
    (folder / "stoves.md").unlink()
    assert [each.file for each in documents.search("lantern")] == ["lamps.md"]
    assert not documents.search("gas")
    assert documents.refresh() == 0


def test_a_file_whose_name_is_no_text_does_not_keep_the_others_from_being_found(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.md")).write_text("tent")
    found = Documents(folder).search("tent")
    assert found
    assert all(each.file.isascii() for each in found)


def test_an_index_in_a_file_is_used_again(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    index = tmp_path_factory.mktemp("index") / "documents.db"
    first = Documents(folder, index=index)
    assert first.refresh() == 2
    first.close()
    assert Documents(folder, index=index).refresh() == 0


def test_links_out_of_the_folder_are_no_documents(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "private.md"
    outside.write_text("the lantern is private\n")
    (folder / "link.md").symlink_to(outside)
    assert not Documents(folder).search("private")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80)
@given(st.text(max_size=40))
def test_no_query_is_a_syntax_error(folder: Path, query: str) -> None:
    if re.search(r"\w", query):
        assert isinstance(Documents(folder).search(query), list)
    else:
        with pytest.raises(ToolError, match="no words"):
            Documents(folder).search(query)


async def test_as_a_tool_it_gives_plain_passages(folder: Path) -> None:
    found = await ask(document_tools(folder), "search_documents", query="stove gas", limit=1)
    assert found[0]["source"] == "stoves.md:1-1"
