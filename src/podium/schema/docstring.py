"""Docstrings: what they say of a function and of its parameters, in Google, NumPy or Sphinx style.

It reads text and knows no functions.
"""

from __future__ import annotations

import inspect
import re

_SECTION = re.compile(
    r"^(args|arguments|parameters|params|returns?|raises|yields?|examples?|notes?)\s*:?\s*$", re.IGNORECASE
)
_ARGUMENTS = re.compile(r"^(args|arguments|parameters|params)\s*:?\s*$", re.IGNORECASE)
_FIELD = re.compile(r"^:(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)$")
_GOOGLE = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)$")
_NUMPY = re.compile(r"^\*{0,2}(\w+)\s*(?::.*)?()$")


def parse_docstring(doc: str | None) -> tuple[str, dict[str, str]]:
    """The first paragraph of a docstring, and what it says of each parameter (Google, NumPy or Sphinx style)."""
    lines = inspect.cleandoc(doc or "").splitlines()
    summary: list[str] = []
    for line in lines:
        if not line.strip() or line.startswith(":") or (_SECTION.match(line) and line.rstrip().endswith(":")):
            break
        summary.append(line.strip())
    found: dict[str, list[str]] = {}
    index = 0
    while index < len(lines):
        line = lines[index]
        index += 1
        if field := _FIELD.match(line):
            index = _continue(lines, index, 0, found.setdefault(field[1], [field[2]]))
        elif _ARGUMENTS.match(line) and index < len(lines):
            numpy = bool(re.fullmatch(r"-{3,}\s*", lines[index]))
            if numpy or line.rstrip().endswith(":"):
                index = _entries(lines, index + numpy, found, _NUMPY if numpy else _GOOGLE)
    texts = {name: " ".join(part for part in parts if part) for name, parts in found.items()}
    return " ".join(summary), {name: text for name, text in texts.items() if text}


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _continue(lines: list[str], index: int, indent: int, into: list[str]) -> int:
    """Add the lines indented deeper than `indent`; the index after them."""
    while index < len(lines) and lines[index].strip() and _indent(lines[index]) > indent:
        into.append(lines[index].strip())
        index += 1
    return index


def _entries(lines: list[str], index: int, found: dict[str, list[str]], pattern: re.Pattern[str]) -> int:
    level: int | None = None
    while index < len(lines):
        line = lines[index]
        if not line.strip():
            index += 1
            continue
        level = _indent(line) if level is None else level
        entry = pattern.match(line.strip())
        underlined = index + 1 < len(lines) and re.fullmatch(r"\s*-{3,}\s*", lines[index + 1])
        if _indent(line) != level or entry is None or underlined or (level == 0 and _SECTION.match(line)):
            return index
        index = _continue(lines, index + 1, level, found.setdefault(entry[1], [entry[2]]))
    return index
