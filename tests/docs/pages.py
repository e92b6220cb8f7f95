"""Documentation pages as values: their fenced blocks, and what the comment above a block says about it.

    <!-- output -->            the text block below is what the example above it prints
    <!-- run -->               the sh block below is run; `<!-- run: exit 1 -->` names the exit code
    <!-- file: shop.py -->     the block below is written to that file, not executed
    <!-- skip: REASON -->      the block below is not executed, and why

In an output block, `...` stands for anything, as in doctest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
_MARKER = re.compile(r"<!--\s*(output|run|file|skip)(?::\s*(.*?))?\s*-->")


@dataclass(frozen=True)
class Block:
    """A fenced block. `line` is that of its first line of content, from 1."""

    language: str
    text: str
    line: int
    marker: str = ""
    detail: str = ""


def all_pages() -> list[Path]:
    """README and everything under docs, in a fixed order."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order. A marker belongs to the block that follows it at once."""
    found: list[Block] = []
    fence, language, start = "", "", 0
    content: list[str] = []
    marker = detail = ""
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        opened = re.match(r"(`{3,})(\w*)", line)
        if fence:
            if line.rstrip() == fence:
                found.append(Block(language, "\n".join(content) + "\n", start, marker, detail))
                fence, marker, detail = "", "", ""
            else:
                content.append(line)
        elif opened:
            fence, language, start, content = opened[1], opened[2], number + 1, []
        elif comment := _MARKER.fullmatch(line.strip()):
            marker, detail = comment[1], comment[2] or ""
        elif line.strip():
            marker, detail = "", ""
    assert not fence, f"{page}: the block opened at line {start - 1} is never closed"
    return found


def commands(block: Block) -> list[str]:
    """The subcommands of `podium` that a shell block uses."""
    return list(re.findall(r"(?:^|[\s/])podium +([a-z][a-z-]*)", block.text, re.MULTILINE))


def matches(expected: str, printed: str) -> bool:
    """Whether the output is as the page says, trailing blanks aside."""
    pieces = [re.escape(piece) for piece in _trimmed(expected).split("...")]
    return re.fullmatch(".*?".join(pieces), _trimmed(printed), re.DOTALL) is not None


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())
