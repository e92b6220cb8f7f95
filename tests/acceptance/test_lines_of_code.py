"""The README says how little one has to write. Counted: code lines, without blank ones, comments and docstrings."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent.parent / "README.md").read_text("utf-8")


def example(heading: str) -> str:
    """The first Python block under a heading."""
    section = README.partition(f"## {heading}")[2].partition("\n## ")[0]
    block = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert block is not None, f"README has no example under {heading!r}"
    return block[1]


def code_lines(source: str) -> int:
    """Lines with at least one token that the interpreter executes."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            docstrings.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    layout = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in layout:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


@pytest.mark.parametrize(
    ("heading", "most"), [("Hello, in four lines", 4), ("Two agents, in eight", 8), ("Approval, in ten", 10)]
)
def test_an_example_is_as_short_as_its_heading_says(heading: str, most: int) -> None:
    assert 0 < code_lines(example(heading)) <= most


def test_durability_is_one_more_argument() -> None:
    plain = next(line for line in example("Two agents, in eight").splitlines() if "run_sync" in line)
    durable = next(line for line in example("Durable, with one more argument").splitlines() if "run_sync" in line)
    calls = [ast.parse(line).body[0].value for line in (plain, durable)]  # pyright: ignore[reportAttributeAccessIssue]
    before, after = ([ast.unparse(part) for part in (*call.args, *call.keywords)] for call in calls)
    assert [part for part in after if part not in before] == ["app=Podium('shop.db')"]
    assert len(after) == len(before) + 1
